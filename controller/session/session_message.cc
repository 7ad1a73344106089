// The one place where a session's messages meet protobuf.
#include "controller/session/session_message.h"

#include <utility>

#include "controller/image/metadata_record.h"
#include "proto/control/session.pb.h"

namespace millrace::session {
namespace {

template <typename Proto>
std::optional<RaftIndex> AppliedOf(const Proto& from) {
  if (!from.has_applied()) return std::nullopt;
  return RaftIndex(from.applied());
}

void Put(const Uuid& id, control::UuidValue* to) {
  to->set_high(id.high());
  to->set_low(id.low());
}

void Put(const SocketAddress& address, control::AddressValue* to) {
  to->set_host(address.host);
  to->set_port(address.port);
}
SocketAddress Get(const control::AddressValue& from) {
  return {from.host(), static_cast<uint16_t>(from.port())};
}

static_assert(static_cast<int>(Result::kAnswered) == control::Response::ANSWERED);
static_assert(static_cast<int>(Result::kNotController) == control::Response::NOT_CONTROLLER);
static_assert(static_cast<int>(Result::kClose) == control::Response::CLOSE);

// --- To the controller.

struct ToControllerProto {
  control::ToController* to;

  void operator()(const Register& message) const {
    control::Register* registration = to->mutable_registration();
    MetadataEntry entry{RaftTerm(0), Timestamp(0), {}};
    entry.records.emplace_back(RegisterBrokerRecord{message.broker});
    // The same bytes, whether they are called an entry or its encoding.
    registration->mutable_broker()->ParseFromString(EncodeEntry(entry));
    registration->set_logs(message.logs);
    if (message.previous_epoch.has_value()) {
      registration->set_previous_epoch(message.previous_epoch->value());
    }
    registration->set_wants_metadata(message.wants_metadata);
    if (message.applied.has_value()) registration->set_applied(message.applied->value());
    registration->set_caught_up(message.caught_up);
  }
  void operator()(const Heartbeat& message) const {
    control::Heartbeat* heartbeat = to->mutable_heartbeat();
    heartbeat->set_broker_epoch(message.epoch.value());
    heartbeat->set_sequence(message.sequence);
    if (message.applied.has_value()) heartbeat->set_applied(message.applied->value());
    heartbeat->set_wants_fence(message.wants_fence);
    heartbeat->set_wants_shutdown(message.wants_shutdown);
    for (const DirectoryId& id : message.offline_directories) {
      Put(id, heartbeat->add_offline_directories());
    }
    for (BrokerId id : message.lost_peers) heartbeat->add_lost_peers(id.value());
    for (BrokerId id : message.found_peers) heartbeat->add_found_peers(id.value());
    for (const DirectoryId& id : message.full_directories) {
      Put(id, heartbeat->add_full_directories());
    }
    for (const DirectoryId& id : message.slow_directories) {
      Put(id, heartbeat->add_slow_directories());
    }
  }
  void operator()(const Request& message) const {
    control::Request* request = to->mutable_request();
    request->set_id(message.id);
    request->set_api_key(message.api_key);
    request->set_api_version(message.api_version);
    request->set_correlation_id(message.correlation_id);
    if (message.client_id.has_value()) request->set_client_id(*message.client_id);
    request->set_body(message.body);
    request->set_principal(message.principal);
    request->set_listener(message.listener);
    request->set_controller_listener(message.controller_listener);
    Put(message.client, request->mutable_client());
    Put(message.local, request->mutable_local());
  }
};

absl::StatusOr<ToController> Decode(const control::Register& from) {
  absl::StatusOr<MetadataEntry> entry = DecodeEntry(from.broker().SerializeAsString());
  const RegisterBrokerRecord* record =
      entry.ok() && entry->records.size() == 1
          ? std::get_if<RegisterBrokerRecord>(&entry->records.front())
          : nullptr;
  if (record == nullptr) {
    return absl::InvalidArgumentError("a registration that does not say who the broker is");
  }
  Register message{.broker = record->broker};
  message.logs = from.logs();
  if (from.has_previous_epoch()) message.previous_epoch = BrokerEpoch(from.previous_epoch());
  message.wants_metadata = from.wants_metadata();
  message.applied = AppliedOf(from);
  message.caught_up = from.caught_up();
  return message;
}

ToController Decode(const control::Heartbeat& from) {
  Heartbeat message;
  message.epoch = BrokerEpoch(from.broker_epoch());
  message.sequence = from.sequence();
  message.applied = AppliedOf(from);
  message.wants_fence = from.wants_fence();
  message.wants_shutdown = from.wants_shutdown();
  for (const control::UuidValue& id : from.offline_directories()) {
    message.offline_directories.emplace_back(id.high(), id.low());
  }
  for (int32_t id : from.lost_peers()) message.lost_peers.emplace_back(id);
  for (int32_t id : from.found_peers()) message.found_peers.emplace_back(id);
  for (const control::UuidValue& id : from.full_directories()) {
    message.full_directories.emplace_back(id.high(), id.low());
  }
  for (const control::UuidValue& id : from.slow_directories()) {
    message.slow_directories.emplace_back(id.high(), id.low());
  }
  return message;
}

ToController Decode(control::Request* from) {
  Request message;
  message.id = from->id();
  message.api_key = static_cast<int16_t>(from->api_key());
  message.api_version = static_cast<int16_t>(from->api_version());
  message.correlation_id = from->correlation_id();
  if (from->has_client_id()) message.client_id = std::move(*from->mutable_client_id());
  message.body = std::move(*from->mutable_body());
  message.principal = std::move(*from->mutable_principal());
  message.listener = std::move(*from->mutable_listener());
  message.controller_listener = from->controller_listener();
  message.client = Get(from->client());
  message.local = Get(from->local());
  return message;
}

// --- To the broker.

struct ToBrokerProto {
  control::ToBroker* to;

  void operator()(const Redirect& message) const {
    control::Redirect* redirect = to->mutable_redirect();
    if (message.leader.has_value()) redirect->set_leader(message.leader->value());
    for (const BrokerEndpoint& endpoint : message.endpoints) {
      control::EndpointValue* value = redirect->add_endpoints();
      value->set_listener(endpoint.listener);
      value->set_host(endpoint.host);
      value->set_port(endpoint.port);
      value->set_security_protocol(endpoint.security_protocol);
    }
  }
  void operator()(const Refused& message) const {
    to->mutable_refused()->set_why(message.why);
    to->mutable_refused()->set_for_good(message.for_good);
  }
  void operator()(const Registered& message) const {
    to->mutable_registered()->set_broker_epoch(message.epoch.value());
    to->mutable_registered()->set_term(message.term.value());
  }
  void operator()(const HeartbeatReply& message) const {
    to->mutable_heartbeat_reply()->set_sequence(message.sequence);
    to->mutable_heartbeat_reply()->set_fenced(message.fenced);
    to->mutable_heartbeat_reply()->set_may_shut_down(message.may_shut_down);
  }
  void operator()(const Entries& message) const {
    for (const Entries::Item& item : message.items) {
      control::Entries::Item* value = to->mutable_entries()->add_items();
      value->set_index(item.index.value());
      value->set_entry(item.entry);
    }
  }
  void operator()(const SnapshotPiece& message) const {
    control::SnapshotPiece* piece = to->mutable_snapshot_piece();
    piece->set_index(message.index.value());
    piece->set_first(message.first);
    piece->set_last(message.last);
    piece->set_piece(message.piece);
  }
  void operator()(const Response& message) const {
    control::Response* response = to->mutable_response();
    response->set_id(message.id);
    response->set_result(static_cast<control::Response::Result>(message.result));
    response->set_frame(message.frame);
    if (message.index.has_value()) response->set_index(message.index->value());
    response->set_why(message.why);
  }
};

ToBroker Decode(const control::Redirect& from) {
  Redirect message;
  if (from.has_leader()) message.leader = BrokerId(from.leader());
  for (const control::EndpointValue& value : from.endpoints()) {
    message.endpoints.push_back({value.listener(), value.host(),
                                 static_cast<uint16_t>(value.port()), value.security_protocol()});
  }
  return message;
}

ToBroker Decode(control::Entries* from) {
  Entries message;
  message.items.reserve(static_cast<size_t>(from->items_size()));
  for (control::Entries::Item& item : *from->mutable_items()) {
    message.items.push_back({RaftIndex(item.index()), std::move(*item.mutable_entry())});
  }
  return message;
}

absl::StatusOr<ToBroker> Decode(control::Response* from) {
  Response message;
  message.id = from->id();
  switch (from->result()) {
    case control::Response::ANSWERED:
      message.result = Result::kAnswered;
      break;
    case control::Response::NOT_CONTROLLER:
      message.result = Result::kNotController;
      break;
    case control::Response::CLOSE:
      message.result = Result::kClose;
      break;
    default:
      return absl::InvalidArgumentError("a response with a result this version does not know");
  }
  message.frame = std::move(*from->mutable_frame());
  if (from->has_index()) message.index = RaftIndex(from->index());
  message.why = std::move(*from->mutable_why());
  return message;
}

}  // namespace

std::string Encode(const ToController& message) {
  control::ToController proto;
  std::visit(ToControllerProto{&proto}, message);
  return proto.SerializeAsString();
}

std::string Encode(const ToBroker& message) {
  control::ToBroker proto;
  std::visit(ToBrokerProto{&proto}, message);
  return proto.SerializeAsString();
}

absl::StatusOr<ToController> DecodeToController(std::string_view bytes) {
  control::ToController proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a message to the controller that does not parse");
  }
  switch (proto.kind_case()) {
    case control::ToController::kRegistration:
      return Decode(proto.registration());
    case control::ToController::kHeartbeat:
      return Decode(proto.heartbeat());
    case control::ToController::kRequest:
      return Decode(proto.mutable_request());
    case control::ToController::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "a message to the controller of a kind this version does not know");
}

absl::StatusOr<ToBroker> DecodeToBroker(std::string_view bytes) {
  control::ToBroker proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a message to a broker that does not parse");
  }
  switch (proto.kind_case()) {
    case control::ToBroker::kRedirect:
      return Decode(proto.redirect());
    case control::ToBroker::kRefused:
      return Refused{proto.refused().why(), proto.refused().for_good()};
    case control::ToBroker::kRegistered:
      return Registered{BrokerEpoch(proto.registered().broker_epoch()),
                        RaftTerm(proto.registered().term())};
    case control::ToBroker::kHeartbeatReply:
      return HeartbeatReply{proto.heartbeat_reply().sequence(), proto.heartbeat_reply().fenced(),
                            proto.heartbeat_reply().may_shut_down()};
    case control::ToBroker::kEntries:
      return Decode(proto.mutable_entries());
    case control::ToBroker::kSnapshotPiece: {
      control::SnapshotPiece* piece = proto.mutable_snapshot_piece();
      return SnapshotPiece{RaftIndex(piece->index()), piece->first(), piece->last(),
                           std::move(*piece->mutable_piece())};
    }
    case control::ToBroker::kResponse:
      return Decode(proto.mutable_response());
    case control::ToBroker::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message to a broker of a kind this version does not know");
}

}  // namespace millrace::session
