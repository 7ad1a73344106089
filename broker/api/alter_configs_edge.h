// What AlterConfigs and IncrementalAlterConfigs have in common: resources that are refused before
// the controller decides, and the answer in the order of the request.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/api/config_resources.h"
#include "broker/kafka_error.h"
#include "controller/config_decisions.h"

namespace millrace {

class AlterConfigsEdge {
 public:
  // Of the next resource of the request. Refused where `status` is not OK or the type is unknown.
  void Add(int8_t type, std::string name, absl::Status status, std::vector<ConfigChange> changes) {
    const std::optional<ConfigResource> resource = ConfigResourceFromWire(type);
    if (!resource.has_value()) status = UnknownConfigResource(type);
    rows_.push_back({type, name, std::move(status), std::nullopt});
    if (!rows_.back().status.ok()) return;
    rows_.back().asked = asked_.size();
    asked_.push_back({*resource, std::move(name), std::move(changes)});
  }

  const std::vector<AlterConfigsRequest>& asked() const { return asked_; }

  // `replies` are what was decided, one for each of asked(); or nothing, where nothing could be
  // `committed`.
  template <typename Response>
  Response ToWire(const absl::Status& committed,
                  const std::vector<AlterConfigsReply>& replies) const {
    Response response;
    for (const Row& row : rows_) {
      absl::Status status = row.status;
      if (row.asked.has_value()) {
        status = committed.ok() ? replies[*row.asked].status : committed;
      }
      response.responses.push_back({ErrorCode(status), ErrorMessage(status), row.type, row.name});
    }
    return response;
  }

 private:
  struct Row {
    int8_t type;
    std::string name;
    absl::Status status;
    std::optional<size_t> asked;  // Which of asked_ it became.
  };
  std::vector<Row> rows_;
  std::vector<AlterConfigsRequest> asked_;
};

}  // namespace millrace
