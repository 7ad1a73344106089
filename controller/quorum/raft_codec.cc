// The one place where Raft meets protobuf.
#include "controller/quorum/raft_codec.h"

#include <fmt/format.h>

#include <bit>
#include <span>
#include <utility>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/status_macros.h"
#include "proto/control/raft.pb.h"

namespace millrace {
namespace {

constexpr uint8_t kFormat = 1;
constexpr size_t kHeaderBytes = 5;
// Beyond what any log reaches; arithmetic on what is below cannot overflow.
constexpr int64_t kNumberMax = int64_t{1} << 60;

void Put(const Uuid& id, control::UuidValue* to) {
  to->set_high(id.high());
  to->set_low(id.low());
}
Uuid Get(const control::UuidValue& from) { return Uuid(from.high(), from.low()); }

void Put(const raft::ReplicaKey& key, control::ReplicaValue* to) {
  to->set_id(key.id.value());
  Put(key.directory, to->mutable_directory());
}
raft::ReplicaKey Get(const control::ReplicaValue& from) {
  return {BrokerId(from.id()), Get(from.directory())};
}

// Of a VoterValue or a JoinRequestValue.
template <typename Proto>
void PutEndpoints(const std::vector<raft::VoterEndpoint>& endpoints, Proto* to) {
  for (const raft::VoterEndpoint& endpoint : endpoints) {
    control::VoterEndpointValue* at = to->add_endpoints();
    at->set_listener(endpoint.listener);
    at->set_host(endpoint.host);
    at->set_port(endpoint.port);
  }
}
template <typename Proto>
std::vector<raft::VoterEndpoint> GetEndpoints(const Proto& from) {
  std::vector<raft::VoterEndpoint> endpoints;
  for (const control::VoterEndpointValue& at : from.endpoints()) {
    endpoints.push_back({at.listener(), at.host(), static_cast<uint16_t>(at.port())});
  }
  return endpoints;
}

void Put(const raft::VoterSet& voters, control::VoterSetValue* to) {
  for (const auto& [id, voter] : voters.all()) {
    control::VoterValue* value = to->add_voters();
    value->set_id(id.value());
    if (voter.directory.has_value()) Put(*voter.directory, value->mutable_directory());
    PutEndpoints(voter.endpoints, value);
  }
}
raft::VoterSet Get(const control::VoterSetValue& from) {
  std::map<BrokerId, raft::Voter> voters;
  for (const control::VoterValue& value : from.voters()) {
    raft::Voter voter;
    if (value.has_directory()) voter.directory = Get(value.directory());
    voter.endpoints = GetEndpoints(value);
    voters.insert_or_assign(BrokerId(value.id()), std::move(voter));
  }
  return raft::VoterSet(std::move(voters));
}

// Raft's numbers begin at 0 and only rise; remembers whether all that were seen did.
class Numbers {
 public:
  RaftIndex Index(int64_t value) { return RaftIndex(Check(value)); }
  RaftTerm Term(int64_t value) { return RaftTerm(Check(value)); }
  bool ok() const { return ok_; }

 private:
  int64_t Check(int64_t value) {
    ok_ = ok_ && value >= 0 && value <= kNumberMax;
    return value;
  }
  bool ok_ = true;
};

void Put(const raft::LogEntry& entry, control::LogEntryValue* to) {
  to->set_index(entry.index.value());
  to->set_term(entry.term.value());
  if (const auto* data = std::get_if<raft::Data>(&entry.payload)) {
    to->set_data(**data);
  } else if (const auto* change = std::get_if<raft::LeaderChange>(&entry.payload)) {
    to->set_leader_change(change->leader.value());
  } else {
    Put(std::get<raft::VoterSet>(entry.payload), to->mutable_voters());
  }
}
// False: no entry.
bool Take(control::LogEntryValue& from, Numbers& numbers, std::vector<raft::LogEntry>* to) {
  raft::LogEntry entry{numbers.Index(from.index()), numbers.Term(from.term()), raft::Data()};
  switch (from.payload_case()) {
    case control::LogEntryValue::kData:
      entry.payload = std::make_shared<const std::string>(std::move(*from.mutable_data()));
      break;
    case control::LogEntryValue::kLeaderChange:
      entry.payload = raft::LeaderChange{BrokerId(from.leader_change())};
      break;
    case control::LogEntryValue::kVoters:
      entry.payload = Get(from.voters());
      break;
    case control::LogEntryValue::PAYLOAD_NOT_SET:
      return false;
  }
  to->push_back(std::move(entry));
  return true;
}

void Put(const raft::SnapshotMeta& meta, control::SnapshotMetaValue* to) {
  to->set_index(meta.index.value());
  to->set_term(meta.term.value());
  Put(meta.voters, to->mutable_voters());
}
raft::SnapshotMeta Get(const control::SnapshotMetaValue& from, Numbers& numbers) {
  return {numbers.Index(from.index()), numbers.Term(from.term()), Get(from.voters())};
}

struct BodyToProto {
  control::RaftMessage* to;

  void operator()(const raft::VoteRequest& body) const {
    control::VoteRequestValue* value = to->mutable_vote_request();
    value->set_pre(body.pre);
    value->set_transfer(body.transfer);
    value->set_last_index(body.last_index.value());
    value->set_last_term(body.last_term.value());
  }
  void operator()(const raft::VoteReply& body) const {
    control::VoteReplyValue* value = to->mutable_vote_reply();
    value->set_pre(body.pre);
    value->set_granted(body.granted);
    value->set_election(body.election.value());
  }
  void operator()(const raft::AppendRequest& body) const {
    control::AppendRequestValue* value = to->mutable_append_request();
    value->set_prev_index(body.prev_index.value());
    value->set_prev_term(body.prev_term.value());
    for (const raft::LogEntry& entry : body.entries) Put(entry, value->add_entries());
    value->set_commit(body.commit.value());
    value->set_unanswered(body.unanswered);
  }
  void operator()(const raft::AppendAccepted& body) const {
    to->mutable_append_accepted()->set_match(body.match.value());
  }
  void operator()(const raft::AppendRejected& body) const {
    control::AppendRejectedValue* value = to->mutable_append_rejected();
    value->set_prev_index(body.prev_index.value());
    value->set_hint_index(body.hint_index.value());
    value->set_hint_term(body.hint_term.value());
  }
  void operator()(const raft::InstallSnapshot& body) const {
    Put(body.snapshot.meta, to->mutable_install_snapshot()->mutable_meta());
  }
  void operator()(const raft::TimeoutNow&) const { to->set_timeout_now(true); }
  void operator()(const raft::Observe&) const { to->set_observe(true); }
};

void Put(const raft::Message& message, control::RaftMessage* to) {
  Put(message.from, to->mutable_from());
  to->set_to(message.to.value());
  if (message.to_directory.has_value()) Put(*message.to_directory, to->mutable_to_directory());
  to->set_term(message.term.value());
  std::visit(BodyToProto{to}, message.body);
}

absl::Status NotAFrame(std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("not a frame of a Raft peer: {}", why));
}

absl::StatusOr<raft::Message> FromProto(control::RaftMessage& from) {
  Numbers numbers;
  raft::Message message{
      Get(from.from()), BrokerId(from.to()), std::nullopt, numbers.Term(from.term()), {}};
  if (!from.has_from()) return NotAFrame("it has no sender");
  if (from.has_to_directory()) message.to_directory = Get(from.to_directory());
  switch (from.body_case()) {
    case control::RaftMessage::kVoteRequest: {
      const control::VoteRequestValue& value = from.vote_request();
      message.body =
          raft::VoteRequest{value.pre(), value.transfer(), numbers.Index(value.last_index()),
                            numbers.Term(value.last_term())};
      break;
    }
    case control::RaftMessage::kVoteReply: {
      const control::VoteReplyValue& value = from.vote_reply();
      message.body = raft::VoteReply{value.pre(), value.granted(), numbers.Term(value.election())};
      break;
    }
    case control::RaftMessage::kAppendRequest: {
      control::AppendRequestValue& value = *from.mutable_append_request();
      raft::AppendRequest body{numbers.Index(value.prev_index()),
                               numbers.Term(value.prev_term()),
                               {},
                               numbers.Index(value.commit()),
                               value.unanswered()};
      body.entries.reserve(static_cast<size_t>(value.entries_size()));
      for (control::LogEntryValue& entry : *value.mutable_entries()) {
        if (!Take(entry, numbers, &body.entries)) return NotAFrame("an entry without a payload");
      }
      message.body = std::move(body);
      break;
    }
    case control::RaftMessage::kAppendAccepted:
      message.body = raft::AppendAccepted{numbers.Index(from.append_accepted().match())};
      break;
    case control::RaftMessage::kAppendRejected: {
      const control::AppendRejectedValue& value = from.append_rejected();
      message.body =
          raft::AppendRejected{numbers.Index(value.prev_index()), numbers.Index(value.hint_index()),
                               numbers.Term(value.hint_term())};
      break;
    }
    case control::RaftMessage::kInstallSnapshot:
      message.body = raft::InstallSnapshot{{Get(from.install_snapshot().meta(), numbers), nullptr}};
      break;
    case control::RaftMessage::kTimeoutNow:
      message.body = raft::TimeoutNow{};
      break;
    case control::RaftMessage::kObserve:
      message.body = raft::Observe{};
      break;
    case control::RaftMessage::BODY_NOT_SET:
      return NotAFrame("a message of a kind this version does not know");
  }
  if (!numbers.ok()) return NotAFrame("a term or an index out of range");
  return message;
}

// --- Stored values ---

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Seal(std::string_view key, std::string_view message) {
  std::string value(kHeaderBytes, '\0');
  value[0] = static_cast<char>(kFormat);
  StoreBig<uint32_t>(reinterpret_cast<uint8_t*>(value.data()) + 1,
                     Crc32c(Bytes(message), Crc32c(Bytes(key))));
  value.append(message);
  return value;
}

// The checksum does not cover the format. Later ones must differ from this in two bits or more.
bool IsOneFlippedBit(uint8_t format) {
  return std::has_single_bit(static_cast<unsigned>(format ^ kFormat));
}

absl::StatusOr<std::string_view> Unseal(std::string_view key, std::string_view value) {
  if (value.size() < kHeaderBytes) return absl::DataLossError("it is cut off");
  const auto format = static_cast<uint8_t>(value[0]);
  const std::string_view message = value.substr(kHeaderBytes);
  const auto crc = LoadBig<uint32_t>(reinterpret_cast<const uint8_t*>(value.data()) + 1);
  if (crc != Crc32c(Bytes(message), Crc32c(Bytes(key)))) {
    return absl::DataLossError("its checksum does not fit");
  }
  if (IsOneFlippedBit(format)) return absl::DataLossError("its format is damaged");
  if (format != kFormat) {
    // Not damage, which is a reason to begin anew: a later version wrote it.
    return absl::FailedPreconditionError(
        fmt::format("it is of format {}; this version reads {}", format, kFormat));
  }
  return message;
}

template <typename Proto>
absl::Status Parse(std::string_view key, std::string_view value, Proto* proto) {
  MR_ASSIGN_OR_RETURN(const std::string_view message, Unseal(key, value));
  if (proto->ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return absl::OkStatus();
  }
  return absl::DataLossError("it does not parse");
}

absl::Status InRange(const Numbers& numbers) {
  return numbers.ok() ? absl::OkStatus() : absl::DataLossError("a number is out of range");
}

// Who asks for what: what a JoinRequest and its answer have in common.
template <typename Join, typename Proto>
void PutJoin(const Join& from, Proto* to) {
  Put(from.replica, to->mutable_replica());
  if (from.former.has_value()) Put(*from.former, to->mutable_former());
}
template <typename Join, typename Proto>
absl::StatusOr<Join> GetJoin(const Proto& from) {
  if (!from.has_replica()) return NotAFrame("a change of the voters without a replica");
  Join join{Get(from.replica()), std::nullopt, {}};
  if (from.has_former()) join.former = Get(from.former());
  return join;
}

}  // namespace

std::string EncodeRaftFrame(const RaftFrame& frame) {
  control::RaftFrame proto;
  if (const auto* message = std::get_if<raft::Message>(&frame)) {
    Put(*message, proto.mutable_message());
  } else if (const auto* piece = std::get_if<SnapshotPiece>(&frame)) {
    control::SnapshotPieceValue* value = proto.mutable_snapshot_piece();
    if (piece->install.has_value()) Put(*piece->install, value->mutable_install());
    value->set_number(piece->number);
    value->set_count(piece->count);
    value->set_data(piece->data);
  } else if (const auto* hint = std::get_if<VotersHint>(&frame)) {
    Put(hint->voters, proto.mutable_voters_hint()->mutable_voters());
  } else if (const auto* request = std::get_if<JoinRequest>(&frame)) {
    control::JoinRequestValue* value = proto.mutable_join_request();
    PutJoin(*request, value);
    PutEndpoints(request->endpoints, value);
  } else {
    const auto& answer = std::get<JoinAnswer>(frame);
    PutJoin(answer, proto.mutable_join_answer());
    proto.mutable_join_answer()->set_refusal(answer.refusal);
  }
  return proto.SerializeAsString();
}

absl::StatusOr<RaftFrame> DecodeRaftFrame(std::string_view bytes) {
  control::RaftFrame proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return NotAFrame("it does not parse");
  }
  switch (proto.kind_case()) {
    case control::RaftFrame::kMessage: {
      MR_ASSIGN_OR_RETURN(raft::Message message, FromProto(*proto.mutable_message()));
      return message;
    }
    case control::RaftFrame::kSnapshotPiece: {
      control::SnapshotPieceValue& value = *proto.mutable_snapshot_piece();
      SnapshotPiece piece{std::nullopt, value.number(), value.count(),
                          std::move(*value.mutable_data())};
      if (piece.number > piece.count) return NotAFrame("a piece beyond the last one");
      if (value.has_install()) {
        MR_ASSIGN_OR_RETURN(piece.install, FromProto(*value.mutable_install()));
        if (!std::holds_alternative<raft::InstallSnapshot>(piece.install->body)) {
          return NotAFrame("a piece of something else than a snapshot");
        }
      }
      return piece;
    }
    case control::RaftFrame::kVotersHint:
      return VotersHint{Get(proto.voters_hint().voters())};
    case control::RaftFrame::kJoinRequest: {
      MR_ASSIGN_OR_RETURN(JoinRequest request, GetJoin<JoinRequest>(proto.join_request()));
      request.endpoints = GetEndpoints(proto.join_request());
      return request;
    }
    case control::RaftFrame::kJoinAnswer: {
      MR_ASSIGN_OR_RETURN(JoinAnswer answer, GetJoin<JoinAnswer>(proto.join_answer()));
      answer.refusal = proto.join_answer().refusal();
      return answer;
    }
    case control::RaftFrame::KIND_NOT_SET:
      break;
  }
  return NotAFrame("it is of a kind this version does not know");
}

std::string StoreState(std::string_view key, const StoredState& state) {
  control::RaftStateValue proto;
  proto.set_term(state.hard_state.term.value());
  if (state.hard_state.vote.has_value()) Put(*state.hard_state.vote, proto.mutable_vote());
  proto.set_commit(state.hard_state.commit.value());
  proto.set_log_end(state.log_end.value());
  return Seal(key, proto.SerializeAsString());
}

absl::StatusOr<StoredState> ReadState(std::string_view key, std::string_view value) {
  control::RaftStateValue proto;
  MR_RETURN_IF_ERROR(Parse(key, value, &proto));
  Numbers numbers;
  StoredState state;
  state.hard_state.term = numbers.Term(proto.term());
  if (proto.has_vote()) state.hard_state.vote = Get(proto.vote());
  state.hard_state.commit = numbers.Index(proto.commit());
  state.log_end = numbers.Index(proto.log_end());
  MR_RETURN_IF_ERROR(InRange(numbers));
  return state;
}

std::string StoreIdentity(std::string_view key, const DirectoryId& directory) {
  control::RaftIdentityValue proto;
  Put(directory, proto.mutable_directory());
  return Seal(key, proto.SerializeAsString());
}

absl::StatusOr<DirectoryId> ReadIdentity(std::string_view key, std::string_view value) {
  control::RaftIdentityValue proto;
  MR_RETURN_IF_ERROR(Parse(key, value, &proto));
  return Get(proto.directory());
}

std::string StoreSnapshot(std::string_view key, const StoredSnapshot& snapshot) {
  control::StoredSnapshotValue proto;
  Put(snapshot.meta, proto.mutable_meta());
  proto.set_pieces(snapshot.pieces);
  return Seal(key, proto.SerializeAsString());
}

absl::StatusOr<StoredSnapshot> ReadSnapshot(std::string_view key, std::string_view value) {
  control::StoredSnapshotValue proto;
  MR_RETURN_IF_ERROR(Parse(key, value, &proto));
  Numbers numbers;
  StoredSnapshot snapshot{Get(proto.meta(), numbers), proto.pieces()};
  MR_RETURN_IF_ERROR(InRange(numbers));
  return snapshot;
}

std::string StoreLogEntry(std::string_view key, const raft::LogEntry& entry) {
  control::LogEntryValue proto;
  Put(entry, &proto);
  return Seal(key, proto.SerializeAsString());
}

absl::StatusOr<raft::LogEntry> ReadLogEntry(std::string_view key, std::string_view value) {
  control::LogEntryValue proto;
  MR_RETURN_IF_ERROR(Parse(key, value, &proto));
  Numbers numbers;
  std::vector<raft::LogEntry> entries;
  if (!Take(proto, numbers, &entries)) {
    return absl::FailedPreconditionError("its payload is of a kind this version does not know");
  }
  MR_RETURN_IF_ERROR(InRange(numbers));
  return std::move(entries.front());
}

std::string StorePiece(std::string_view key, std::string_view piece) { return Seal(key, piece); }

absl::StatusOr<std::string> ReadStatePiece(std::string_view key, std::string_view value) {
  MR_ASSIGN_OR_RETURN(const std::string_view piece, Unseal(key, value));
  return std::string(piece);
}

}  // namespace millrace
