// RecordFormat: how a consumed record is printed: kcat's format strings, or a JSON object per line.
//
//   %t topic   %p partition   %o offset     %T timestamp in milliseconds (-1: none)
//   %k key     %s value       %h headers as name=value,...
//   %K, %S     length of key, value (-1: null)
//   %%         a percent sign
//   \n \r \t \\ \0 \xHH       bytes
//
// A null key or value prints as nothing, a null header value as NULL.
//
// Shard: any; pure.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "cli/client/fetched_records.h"
#include "common/ids.h"

namespace millrace {

class RecordFormat {
 public:
  // kInvalidArgument: a sentence naming what is not known.
  static absl::StatusOr<RecordFormat> Parse(std::string_view format);

  // Appends the record as the format says.
  void Print(std::string_view topic, PartitionId partition, const FetchedRecord& record,
             std::string& to) const;

 private:
  struct Piece {
    char field;  // 0: `literal`.
    std::string literal;
  };
  std::vector<Piece> pieces_;
};

// Resolves \n, \t, \xHH and so on, as the format does; for delimiters.
absl::StatusOr<std::string> Unescape(std::string_view text);

// One object and a line break, with kcat's names. A key or value that is no UTF-8 is given as
// key_base64 or payload_base64 instead; header values too, as {"base64": ...}.
void PrintJson(std::string_view topic, PartitionId partition, const FetchedRecord& record,
               std::string& to);

}  // namespace millrace
