#include "cli/node_settings.h"

#include <cstdio>
#include <utility>

#include "common/sys/text_file.h"

namespace millrace {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;

void PrintErrors(const std::vector<std::string>& errors) {
  for (const std::string& error : errors) std::fprintf(stderr, "%s\n", error.c_str());
}

}  // namespace

std::optional<NodeSettings> ReadNodeSettings(const std::string& file,
                                             const std::vector<std::string>& settings,
                                             bool strict) {
  ConfigInput input;
  if (!file.empty()) {
    absl::StatusOr<std::string> text = ReadTextFile(file, kFileBytesMax);
    if (!text.ok()) {
      PrintErrors({std::string(text.status().message())});
      return std::nullopt;
    }
    input.file_name = file;
    input.file_text = *std::move(text);
  }
  input.set_arguments = settings;
  input.strict = strict;
  return NodeSettingsOf(input);
}

std::optional<NodeSettings> NodeSettingsOf(const ConfigInput& input) {
  BrokerConfigResult result = LoadBrokerConfig(input);
  if (!result.config.has_value()) {
    PrintErrors(result.report.errors);
    return std::nullopt;
  }
  ConfigReport& report = result.report;
  return NodeSettings{*std::move(result.config), std::move(report.warnings),
                      std::move(report.notes)};
}

}  // namespace millrace
