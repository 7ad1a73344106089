#include "controller/transport/stream_hello.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {
namespace {

constexpr uint8_t kHasDirectory = 1;
constexpr uint8_t kHasTo = 2;

template <typename T>
void Put(std::string& into, T value) {
  uint8_t bytes[sizeof(T)];
  StoreBig<T>(bytes, value);
  into.append(reinterpret_cast<const char*>(bytes), sizeof(T));
}

void PutDirectory(std::string& into, const DirectoryId& id) {
  Put<uint64_t>(into, id.high());
  Put<uint64_t>(into, id.low());
}

// Fails once and stays failed.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  T Take() {
    const std::string_view bytes = TakeBytes(sizeof(T));
    return bytes.empty() ? T{0} : LoadBig<T>(reinterpret_cast<const uint8_t*>(bytes.data()));
  }
  std::string_view TakeBytes(size_t count) {
    if (failed_ || rest_.size() < count) {
      failed_ = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  DirectoryId TakeDirectory() {
    const uint64_t high = Take<uint64_t>();
    return DirectoryId(high, Take<uint64_t>());
  }
  bool failed() const { return failed_; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("a malformed {}", what));
}

}  // namespace

std::string EncodeHello(const StreamHello& hello) {
  MR_CHECK(hello.cluster_id.size() <= kStreamClusterIdBytesMax);
  std::string bytes;
  Put<uint8_t>(bytes, static_cast<uint8_t>(hello.kind));
  Put<uint32_t>(bytes, hello.protocol);
  Put<uint64_t>(bytes, hello.features);
  Put<int32_t>(bytes, hello.from.value());
  Put<uint8_t>(bytes, static_cast<uint8_t>((hello.from_directory.has_value() ? kHasDirectory : 0) |
                                           (hello.to.has_value() ? kHasTo : 0)));
  if (hello.from_directory.has_value()) PutDirectory(bytes, *hello.from_directory);
  if (hello.to.has_value()) Put<int32_t>(bytes, hello.to->value());
  Put<uint16_t>(bytes, static_cast<uint16_t>(hello.cluster_id.size()));
  bytes += hello.cluster_id;
  MR_CHECK(bytes.size() <= kStreamHelloBytesMax);
  return bytes;
}

absl::StatusOr<StreamHello> DecodeHello(std::string_view bytes) {
  Reader reader(bytes);
  StreamHello hello{.kind = static_cast<StreamKind>(reader.Take<uint8_t>()),
                    .cluster_id = {},
                    .from = BrokerId(0),
                    .from_directory = std::nullopt,
                    .to = std::nullopt};
  hello.protocol = reader.Take<uint32_t>();
  hello.features = reader.Take<uint64_t>();
  hello.from = BrokerId(reader.Take<int32_t>());
  const uint8_t present = reader.Take<uint8_t>();
  if ((present & kHasDirectory) != 0) hello.from_directory = reader.TakeDirectory();
  if ((present & kHasTo) != 0) hello.to = BrokerId(reader.Take<int32_t>());
  const uint16_t length = reader.Take<uint16_t>();
  hello.cluster_id = reader.TakeBytes(length);
  if (reader.failed() || length > kStreamClusterIdBytesMax || hello.from.value() < 0) {
    return Malformed("hello");
  }
  return hello;
}

std::string EncodeWelcome(const StreamWelcome& welcome) {
  std::string bytes;
  Put<uint32_t>(bytes, welcome.protocol);
  Put<uint64_t>(bytes, welcome.features);
  Put<int32_t>(bytes, welcome.from.value());
  Put<uint8_t>(bytes, welcome.from_directory.has_value() ? kHasDirectory : 0);
  if (welcome.from_directory.has_value()) PutDirectory(bytes, *welcome.from_directory);
  return bytes;
}

absl::StatusOr<StreamWelcome> DecodeWelcome(std::string_view bytes) {
  Reader reader(bytes);
  StreamWelcome welcome{.from = BrokerId(0), .from_directory = std::nullopt};
  welcome.protocol = reader.Take<uint32_t>();
  welcome.features = reader.Take<uint64_t>();
  welcome.from = BrokerId(reader.Take<int32_t>());
  const uint8_t present = reader.Take<uint8_t>();
  if ((present & kHasDirectory) != 0) welcome.from_directory = reader.TakeDirectory();
  if (reader.failed() || welcome.from.value() < 0) return Malformed("welcome");
  return welcome;
}

absl::Status CheckDialable(const StreamHello& hello) {
  if (hello.cluster_id.size() <= kStreamClusterIdBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("a cluster id of {} bytes; {} are the most",
                                                hello.cluster_id.size(), kStreamClusterIdBytesMax));
}

absl::Status CheckHello(const StreamHello& hello, std::string_view cluster_id, BrokerId id) {
  if (hello.cluster_id != cluster_id) {
    return absl::FailedPreconditionError(
        fmt::format("node {} is of cluster {}, this is node {} of cluster {}", hello.from,
                    hello.cluster_id, id, cluster_id));
  }
  if (hello.to.has_value() && *hello.to != id) {
    return absl::FailedPreconditionError(
        fmt::format("node {} means node {}, this is node {}", hello.from, *hello.to, id));
  }
  return absl::OkStatus();
}

absl::Status CheckWelcome(const StreamHello& hello, const StreamWelcome& welcome) {
  if (!hello.to.has_value() || *hello.to == welcome.from) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("node {} was dialed, node {} answers", *hello.to, welcome.from));
}

void StreamDoors::Open(StreamKind kind, HelloCheck check, StreamHandler handler) {
  const bool opened = doors_.emplace(kind, Door{std::move(check), std::move(handler)}).second;
  MR_CHECK(opened);
}

absl::StatusOr<StreamWelcome> StreamDoors::Check(const StreamHello& hello) const {
  const auto door = doors_.find(hello.kind);
  if (door == doors_.end()) {
    return absl::FailedPreconditionError(
        fmt::format("this node has no door for streams of kind {}", static_cast<int>(hello.kind)));
  }
  absl::StatusOr<StreamWelcome> welcome = door->second.check(hello);
  if (welcome.ok()) return welcome;
  return absl::FailedPreconditionError(std::string(welcome.status().message()));
}

void StreamDoors::Enter(std::unique_ptr<MessageStream> stream) const {
  const auto door = doors_.find(stream->hello().kind);
  MR_CHECK(door != doors_.end());
  door->second.handler(std::move(stream));
}

}  // namespace millrace
