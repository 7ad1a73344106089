// millrace_load: produces to a broker or a cluster on this machine at full speed or at an offered
// rate, and reports what the client saw and what the brokers' processes used meanwhile, as one line
// of JSON.
//
//   millrace_load --port P --topic T [--partitions N] [--record-bytes B] [--batch-records N]
//                 [--acks -1|1|0] [--connections N] [--in-flight N] [--rate BATCHES/S]
//                 [--warm-up S] [--seconds S] [--pid BROKER]... [--config NAME=VALUE]...
//                 [--replication-factor N]
//   millrace_load --port P --topic T --first-produce      waits for a listener, creates the topic,
//                                                         reports when a produce was accepted
//   millrace_load --port P --topic T --fill BYTES ...     creates the topic unless it is there,
//                                                         produces so much, ends
//   millrace_load --port P --topic T --fetch [--fetch-bytes B] [--once] ...
//                                                         reads a topic that is there
//
// Producing creates the topic, and deletes it at the end (but for --fill). One thread; requests are
// encoded before and sent as they are (one batch of one partition each, as librdkafka sends them),
// so that its own cost is that of the system calls.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string>

#include "test/bench/fetch_load.h"
#include "test/bench/load_connection.h"
#include "test/bench/load_options.h"
#include "test/bench/produce_load.h"

namespace millrace::bench {
namespace {

constexpr int64_t kStartWaitNs = 60 * kSecondNs;
// Whoever has much to recover listens late; the caller knows when to give up.
constexpr int64_t kFirstProduceWaitNs = 600 * kSecondNs;
constexpr useconds_t kRetryUs = 1000;
constexpr double kFillSecondsMax = 600;
constexpr int16_t kTopicAlreadyExists = 36;

template <typename T>
T Number(const std::string& name, const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    Fail(name + ": not a number: " + text);
  return value;
}

LoadOptions Parse(int count, char** words) {
  LoadOptions o;
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    if (name == "--first-produce") {
      o.mode = LoadMode::kFirstProduce;
      continue;
    }
    if (name == "--fetch") {
      o.mode = LoadMode::kFetch;
      continue;
    }
    if (name == "--once") {
      o.once = true;
      continue;
    }
    if (++i == count) Fail(name + " needs a value");
    const std::string value = words[i];
    if (name == "--port") {
      o.port = Number<uint16_t>(name, value);
    } else if (name == "--topic") {
      o.topic = value;
    } else if (name == "--partitions") {
      o.partitions = Number<int32_t>(name, value);
    } else if (name == "--replication-factor") {
      o.replication_factor = Number<int16_t>(name, value);
    } else if (name == "--record-bytes") {
      o.shape.record_bytes = Number<int32_t>(name, value);
    } else if (name == "--batch-records") {
      o.shape.records = Number<int32_t>(name, value);
    } else if (name == "--acks") {
      o.acks = Number<int16_t>(name, value);
    } else if (name == "--connections") {
      o.connections = Number<int>(name, value);
    } else if (name == "--in-flight") {
      o.in_flight = Number<int>(name, value);
    } else if (name == "--rate") {
      o.rate = Number<double>(name, value);
    } else if (name == "--warm-up") {
      o.warm_up = Number<double>(name, value);
    } else if (name == "--seconds") {
      o.seconds = Number<double>(name, value);
    } else if (name == "--fill") {
      o.mode = LoadMode::kFill;
      o.fill_bytes = Number<uint64_t>(name, value);
      o.warm_up = 0;
      o.seconds = kFillSecondsMax;
    } else if (name == "--fetch-bytes") {
      o.fetch_bytes = Number<int32_t>(name, value);
    } else if (name == "--pid") {
      o.pids.push_back(Number<int>(name, value));
    } else if (name == "--config") {
      const size_t equals = value.find('=');
      if (equals == std::string::npos) Fail("--config wants NAME=VALUE");
      o.configs.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else {
      Fail("unknown option " + name);
    }
  }
  if (o.topic.empty()) Fail("--topic is missing");
  if (o.acks == 0) Fail("--acks 0 has no answers to count");
  return o;
}

void FirstProduce(const LoadOptions& options, LoadConnection& control) {
  const Frame batch = EncodeBatch(options.shape, 0, 0);
  const Frame request = EncodeProduce(options.topic, 0, options.acks, batch);
  while (ProduceError(control.Call(request)) != 0) usleep(kRetryUs);
  std::printf("{\"accepted_ns\": %lld}\n", static_cast<long long>(MonotonicNs()));
}

int Main(int count, char** words) {
  const LoadOptions options = Parse(count, words);
  if (options.mode == LoadMode::kFetch) {
    FetchLoad load(options);
    load.Run();
    std::printf("%s\n", load.Report().c_str());
    return 0;
  }
  const int64_t wait = options.mode == LoadMode::kFirstProduce ? kFirstProduceWaitNs : kStartWaitNs;
  LoadConnection control(options.port, MonotonicNs() + wait);
  const Frame create = EncodeCreateTopic(options.topic, options.partitions,
                                         options.replication_factor, options.configs);
  while (int16_t error = CreateTopicError(control.Call(create))) {
    if (options.mode == LoadMode::kFill && error == kTopicAlreadyExists) break;
    if (options.mode != LoadMode::kFirstProduce)
      Fail("the topic was not created: error " + std::to_string(error));
    usleep(kRetryUs);
  }
  if (options.mode == LoadMode::kFirstProduce) {
    FirstProduce(options, control);
    return 0;
  }
  {
    ProduceLoad load(options, control);
    load.Run();
    std::printf("%s\n", load.Report().c_str());
  }
  if (options.mode == LoadMode::kFill) return 0;
  if (int16_t error = CreateTopicError(control.Call(EncodeDeleteTopic(options.topic))))
    Fail("the topic was not deleted: error " + std::to_string(error));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }
