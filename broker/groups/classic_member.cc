#include "broker/groups/classic_member.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace millrace {
namespace {

// Of a member's id, in front of the uuid.
constexpr size_t kPrefixBytesMax = 255;
// What the maps of a group take for a member beside its strings, about.
constexpr size_t kNodeBytes = 256;

// At most kPrefixBytesMax bytes of it, without half a character at the end.
std::string_view CutPrefix(std::string_view text) {
  if (text.size() <= kPrefixBytesMax) return text;
  // A character of UTF-8 has up to three bytes behind its first one; more are not UTF-8.
  constexpr size_t kTailBytesMax = 3;
  for (size_t cut = 0; cut <= kTailBytesMax; ++cut) {
    const size_t size = kPrefixBytesMax - cut;
    if ((static_cast<unsigned char>(text[size]) & 0xC0) != 0x80) return text.substr(0, size);
  }
  return text.substr(0, kPrefixBytesMax);
}

}  // namespace

std::string_view ClassicMember::MetadataFor(std::string_view protocol) const {
  const auto found = std::ranges::find(protocols, protocol, &MemberProtocol::name);
  return found == protocols.end() ? std::string_view() : found->metadata;
}

size_t ClassicMember::bytes() const {
  // Its id: here, as a key, at its timer and at its instance id.
  size_t sum = sizeof(ClassicMember) + kNodeBytes + 4 * id.size() + client_id.size() +
               client_host.size() + assignment.size();
  if (instance_id.has_value()) sum += 2 * instance_id->size();
  for (const MemberProtocol& protocol : protocols) {
    sum += sizeof(MemberProtocol) + 2 * protocol.name.size() + protocol.metadata.size();
  }
  return sum;
}

std::string NewMemberId(std::string_view prefix, const Uuid& drawn) {
  // Clients that look for the prefix expect a uuid of 36 characters behind it.
  return fmt::format("{}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", CutPrefix(prefix),
                     drawn.high() >> 32, (drawn.high() >> 16) & 0xFFFF, drawn.high() & 0xFFFF,
                     drawn.low() >> 48, drawn.low() & 0xFFFF'FFFF'FFFF);
}

void RemoveRepeated(std::vector<MemberProtocol>& protocols) {
  std::set<std::string> seen;
  std::erase_if(protocols, [&seen](const MemberProtocol& protocol) {
    return !seen.insert(protocol.name).second;
  });
}

}  // namespace millrace
