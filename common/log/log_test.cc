#include "common/log/log.h"

#include <catch2/catch.hpp>
#include <regex>
#include <sstream>

#include "common/log/capturing_logger.h"
#include "common/log/spdlog_logger.h"

namespace millrace {
namespace {

using Lines = std::vector<std::string>;

TEST_CASE("Logger: the convenience calls format and carry their level") {
  CapturingLogger logger;
  logger.Debug("plain");
  logger.Info("epoch {} -> {}", 6, 7);
  logger.Warning("{}", "w");
  logger.Error("{:>3}", 1);
  CHECK(logger.Lines() == Lines{"DEBUG plain", "INFO  epoch 6 -> 7", "WARN  w", "ERROR   1"});
}

TEST_CASE("Logger: lines below the lowest level are dropped") {
  CapturingLogger logger(LogLevel::kWarning);
  logger.Info("no");
  logger.Log(LogLevel::kInfo, "no");
  logger.Warning("yes");
  CHECK(logger.TakeLines() == Lines{"WARN  yes"});
  CHECK(logger.Lines().empty());
}

TEST_CASE("PrefixLogger: prefixes add up, and the inner one does not need the outer one to live") {
  CapturingLogger root;
  Logger& as_interface = root;
  std::optional<PrefixLogger> node = as_interface.WithPrefix("[n 1]");
  Logger& node_interface = *node;
  PrefixLogger partition = node_interface.WithPrefix("[p topic-0 e7]");
  node.reset();
  partition.Info("leader");
  CHECK(root.Lines() == Lines{"INFO  [n 1] [p topic-0 e7] leader"});
  CHECK(root.Contains("topic-0"));
  CHECK_FALSE(root.Contains("topic-1"));
}

TEST_CASE("LogLevel: every name reads back, in any case") {
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    CHECK(ParseLogLevel(LogLevelName(level)) == level);
  }
  CHECK(ParseLogLevel("warning") == LogLevel::kWarning);
  CHECK(ParseLogLevel("Info") == LogLevel::kInfo);
  CHECK_FALSE(ParseLogLevel("loud").has_value());
}

TEST_CASE("SpdlogLogger: a line is time in UTC, padded level, message") {
  std::ostringstream out;
  SpdlogLogger logger(LogLevel::kInfo, out);
  logger.Debug("hidden");
  logger.Info("node {} started", 1);
  logger.Error("{} stays as it is", "{}");
  CHECK(std::regex_match(
      out.str(),
      std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO  node 1 started\n)"
                 R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR \{\} stays as it is\n)")));
}

TEST_CASE("SpdlogLogger: a message cannot forge a second line") {
  std::ostringstream out;
  SpdlogLogger logger(LogLevel::kInfo, out);
  logger.Info("client {}", "a\n2026-01-01T00:00:00.000Z ERROR b\x1B[1m\t\x7F");
  std::string line = out.str();
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  CHECK(line.find("a\\n2026") != std::string::npos);
  CHECK(line.find("b\\x1B[1m\\t\\x7F\n") != std::string::npos);
}

}  // namespace
}  // namespace millrace
