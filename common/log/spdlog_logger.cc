#include "common/log/spdlog_logger.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <utility>

namespace millrace {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  std::abort();
}

// Our names of the levels, padded so that messages line up; spdlog's own are lower case.
class LevelNameFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string_view name = NameOf(message.level);
    out.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelNameFlag>();
  }

 private:
  static std::string_view NameOf(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::trace:
      case spdlog::level::debug:
        return "DEBUG";
      case spdlog::level::info:
        return "INFO ";
      case spdlog::level::warn:
        return "WARN ";
      default:
        return "ERROR";
    }
  }
};

std::string EscapeControlCharacters(std::string message) {
  auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  size_t controls = 0;
  for (char c : message) controls += is_control(c);
  if (controls == 0) return message;
  std::string escaped;
  escaped.reserve(message.size() + 3 * controls);
  for (char c : message) {
    if (!is_control(c)) {
      escaped.push_back(c);
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '\t') {
      escaped += "\\t";
    } else {
      escaped += fmt::format("\\x{:02X}", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

}  // namespace

struct SpdlogLogger::Adapter {
  explicit Adapter(spdlog::sink_ptr sink) : logger("millrace", std::move(sink)) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<LevelNameFlag>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %* %v");
    logger.set_formatter(std::move(formatter));
    logger.set_level(spdlog::level::trace);
    // By default spdlog reports its own failures on stderr, which is what failed.
    logger.set_error_handler([](const std::string&) {});
  }
  spdlog::logger logger;
};

SpdlogLogger::SpdlogLogger(LogLevel lowest)
    : lowest_(lowest),
      adapter_(std::make_unique<Adapter>(std::make_shared<spdlog::sinks::stderr_sink_mt>())) {}

SpdlogLogger::SpdlogLogger(LogLevel lowest, std::ostream& stream)
    : lowest_(lowest),
      adapter_(std::make_unique<Adapter>(
          std::make_shared<spdlog::sinks::ostream_sink_mt>(stream, /*force_flush=*/true))) {}

SpdlogLogger::~SpdlogLogger() = default;

void SpdlogLogger::Log(LogLevel level, std::string message) {
  if (!Enabled(level)) return;
  std::string line = EscapeControlCharacters(std::move(message));
  adapter_->logger.log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace millrace
