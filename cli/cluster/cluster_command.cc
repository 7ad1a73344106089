// `millrace cluster status|voters|add-voter|remove-voter|health|move-leaders|reassign`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/cluster/cluster_view.h"
#include "cli/cluster/reassigner.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "proto/kafka/add_raft_voter_request.h"
#include "proto/kafka/add_raft_voter_response.h"
#include "proto/kafka/elect_leaders_request.h"
#include "proto/kafka/elect_leaders_response.h"
#include "proto/kafka/remove_raft_voter_request.h"
#include "proto/kafka/remove_raft_voter_response.h"

namespace millrace {
namespace {

using Align = TextTable::Align;

struct ClusterArguments {
  ClientArguments client;
  int32_t voter = -1;
  std::string directory;
  std::vector<std::string> addresses;  // LISTENER://host:port.
  bool watch = false;
  bool exit_when_healthy = false;
  bool unclean = false;
  bool list = false;
  bool cancel = false;
  bool wait = false;
  std::vector<std::string> partitions;  // topic or topic:partition.
  std::vector<int32_t> to;
};

using Arguments = std::shared_ptr<ClusterArguments>;

int Finish(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  PrintError(status);
  return absl::IsCancelled(status) ? kExitInterrupted : kExitFailed;
}

void Print(const ClusterArguments& arguments, const std::string& text, const JsonWriter& json) {
  PrintOutput(arguments.client.json() ? json.text() + "\n" : text);
}

// --- status, health

void BrokersJson(const ClusterReport& view, JsonWriter& json) {
  json.BeginArray();
  for (const BrokerRow& broker : view.brokers) {
    json.BeginObject().Key("id").Number(broker.id.value()).Key("host").String(broker.host);
    json.Key("port").Number(broker.port).Key("rack");
    broker.rack.has_value() ? json.String(*broker.rack) : json.Null();
    json.Key("fenced").Bool(broker.fenced).Key("leaders").Number(broker.leaders);
    json.Key("replicas").Number(broker.replicas).EndObject();
  }
  json.EndArray();
}

std::string BrokersText(const ClusterReport& view) {
  TextTable table({{"BROKER", Align::kRight},
                   {"ADDRESS", Align::kLeft},
                   {"RACK", Align::kLeft},
                   {"STATE", Align::kLeft},
                   {"LEADERS", Align::kRight},
                   {"REPLICAS", Align::kRight}});
  for (const BrokerRow& broker : view.brokers) {
    table.AddRow({fmt::format("{}", broker.id), fmt::format("{}:{}", broker.host, broker.port),
                  broker.rack.value_or("-"), broker.fenced ? "fenced" : "active",
                  fmt::format("{}", broker.leaders), fmt::format("{}", broker.replicas)});
  }
  return table.ToString();
}

void StatusJson(const ClusterReport& cluster, const QuorumView& quorum, int64_t reassigning,
                JsonWriter& json) {
  const std::vector<std::string> ailments = Ailments(cluster, quorum);
  json.BeginObject().Key("cluster_id").String(cluster.cluster_id);
  json.Key("healthy").Bool(ailments.empty()).Key("ailments").BeginArray();
  for (const std::string& ailment : ailments) json.String(ailment);
  json.EndArray().Key("controller");
  json.OptionalNumber(quorum.leader.has_value() ? std::optional<int64_t>(quorum.leader->value())
                                                : std::nullopt);
  json.Key("controller_epoch").Number(quorum.epoch);
  json.Key("topics").Number(cluster.counts.topics);
  json.Key("partitions").Number(cluster.counts.partitions);
  json.Key("under_replicated").Number(cluster.counts.under_replicated);
  json.Key("leaderless").Number(cluster.counts.leaderless);
  json.Key("reassigning").Number(reassigning);
  json.Key("brokers");
  BrokersJson(cluster, json);
  json.EndObject();
}

std::string StatusText(const ClusterReport& cluster, const QuorumView& quorum,
                       int64_t reassigning) {
  std::string text = fmt::format("Cluster {}\n", cluster.cluster_id);
  int64_t voters = 0;
  for (const VoterRow& row : quorum.rows) voters += row.observer ? 0 : 1;
  text += quorum.leader.has_value()
              ? fmt::format("Controller: {} of {} voter{}, epoch {}\n", *quorum.leader, voters,
                            voters == 1 ? "" : "s", quorum.epoch)
              : "Controller: none is active\n";
  text += fmt::format("Topics: {}, partitions: {}{}\n\n", cluster.counts.topics,
                      cluster.counts.partitions,
                      reassigning == 0 ? "" : fmt::format(", being reassigned: {}", reassigning));
  text += BrokersText(cluster);
  const std::vector<std::string> ailments = Ailments(cluster, quorum);
  text += ailments.empty() ? "\nHealthy.\n"
                           : fmt::format("\nNot healthy: {}.\n", fmt::join(ailments, "; "));
  return text;
}

struct Views {
  ClusterReport cluster;
  QuorumView quorum;
};

Task<absl::StatusOr<Views>> AskViews(ClientSession* session) {
  Views views;
  MR_CO_ASSIGN_OR_RETURN(views.cluster, co_await AskCluster(session->client, session->Deadline()));
  MR_CO_ASSIGN_OR_RETURN(views.quorum, co_await AskQuorum(session->client, session->Deadline()));
  co_return views;
}

Task<int> Status(ClientSession* session, Arguments arguments) {
  absl::StatusOr<Views> views = co_await AskViews(session);
  if (!views.ok()) co_return Finish(views.status());
  absl::StatusOr<std::vector<OngoingMove>> moves = co_await ListReassignments(session);
  if (!moves.ok()) co_return Finish(moves.status());
  const auto reassigning = static_cast<int64_t>(moves->size());
  JsonWriter json;
  StatusJson(views->cluster, views->quorum, reassigning, json);
  Print(*arguments, StatusText(views->cluster, views->quorum, reassigning), json);
  co_return kExitOk;
}

Task<int> Health(ClientSession* session, Arguments arguments) {
  constexpr Duration kInterval = seconds(1);
  for (;;) {
    absl::StatusOr<Views> views = co_await AskViews(session);
    std::vector<std::string> ailments;
    if (views.ok()) {
      ailments = Ailments(views->cluster, views->quorum);
    } else {
      if (!arguments->watch) co_return Finish(views.status());
      ailments.emplace_back(views.status().message());
    }
    JsonWriter json;
    json.BeginObject().Key("healthy").Bool(ailments.empty()).Key("ailments").BeginArray();
    for (const std::string& ailment : ailments) json.String(ailment);
    json.EndArray().EndObject();
    Print(*arguments,
          ailments.empty() ? "healthy\n"
                           : fmt::format("not healthy: {}\n", fmt::join(ailments, "; ")),
          json);
    if (!arguments->watch) co_return ailments.empty() ? kExitOk : kExitFailed;
    if (ailments.empty() && arguments->exit_when_healthy) co_return kExitOk;
    co_await Sleep(session->env.reactor, kInterval);
    if (session->interrupted) co_return kExitInterrupted;
  }
}

// --- voters

Task<int> Voters(ClientSession* session, Arguments arguments) {
  absl::StatusOr<QuorumView> quorum = co_await AskQuorum(session->client, session->Deadline());
  if (!quorum.ok()) co_return Finish(quorum.status());
  TextTable table({{"NODE", Align::kRight},
                   {"DIRECTORY", Align::kLeft},
                   {"STATE", Align::kLeft},
                   {"LOG END", Align::kRight},
                   {"LAG", Align::kRight},
                   {"ENDPOINTS", Align::kLeft}});
  JsonWriter json;
  json.BeginArray();
  for (const VoterRow& row : quorum->rows) {
    const std::string state = row.id == quorum->leader ? "leader"
                              : row.observer           ? "observer"
                                                       : "follower";
    const int64_t lag = std::max<int64_t>(0, quorum->leader_end - row.log_end);
    table.AddRow({fmt::format("{}", row.id), row.directory.ToString(), state,
                  fmt::format("{}", row.log_end), fmt::format("{}", lag),
                  fmt::format("{}", fmt::join(row.endpoints, ","))});
    json.BeginObject().Key("id").Number(row.id.value());
    json.Key("directory").String(row.directory.ToString()).Key("state").String(state);
    json.Key("voter").Bool(!row.observer).Key("log_end").Number(row.log_end).Key("lag").Number(lag);
    json.Key("caught_up_ms").OptionalNumber(row.caught_up_ms).Key("endpoints").BeginArray();
    for (const std::string& endpoint : row.endpoints) json.String(endpoint);
    json.EndArray().EndObject();
  }
  json.EndArray();
  Print(*arguments, table.ToString(), json);
  co_return kExitOk;
}

// "LISTENER://host:port"; CLI11 has checked it.
kafka::AddRaftVoterRequest::Listener ListenerOf(const std::string& text) {
  kafka::AddRaftVoterRequest::Listener listener;
  const size_t scheme = text.find("://");
  listener.name = text.substr(0, scheme);
  const absl::StatusOr<std::vector<SocketAddress>> address = ParseServers(text.substr(scheme + 3));
  listener.host = address->front().host;
  listener.port = address->front().port;
  return listener;
}

std::string CheckListener(const std::string& text) {
  const size_t scheme = text.find("://");
  if (scheme != std::string::npos && scheme > 0) {
    const auto address = ParseServers(text.substr(scheme + 3));
    if (address.ok() && address->size() == 1) return {};
  }
  return fmt::format("'{}' is no address: LISTENER://host:port is accepted", text);
}

std::string CheckUuid(const std::string& text) {
  return Uuid::Parse(text).has_value() ? "" : fmt::format("'{}' is no directory id", text);
}

int ReportVoter(const ClusterArguments& arguments, const char* done, const absl::Status& status) {
  if (!status.ok()) return Finish(status);
  JsonWriter json;
  json.BeginObject().Key("voter").Number(arguments.voter).Key("result").String(done).EndObject();
  Print(arguments, fmt::format("Voter {} was {}.\n", arguments.voter, done), json);
  return kExitOk;
}

Task<int> AddVoter(ClientSession* session, Arguments arguments) {
  kafka::AddRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.timeout_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(session->timeout).count());
  request.voter_id = arguments->voter;
  request.voter_directory_id = *Uuid::Parse(arguments->directory);
  for (const std::string& address : arguments->addresses) {
    request.listeners.push_back(ListenerOf(address));
  }
  auto response = co_await session->client.CallAny<kafka::AddRaftVoterResponse>(
      std::move(request), session->Deadline());
  absl::Status status = response.status();
  if (response.ok() && response->error_code != 0) {
    status = KafkaFailure(response->error_code, response->error_message);
  }
  co_return ReportVoter(*arguments, "added", status);
}

Task<int> RemoveVoter(ClientSession* session, Arguments arguments) {
  kafka::RemoveRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.voter_id = arguments->voter;
  request.voter_directory_id = *Uuid::Parse(arguments->directory);
  auto response = co_await session->client.CallAny<kafka::RemoveRaftVoterResponse>(
      std::move(request), session->Deadline());
  absl::Status status = response.status();
  if (response.ok() && response->error_code != 0) {
    status = KafkaFailure(response->error_code, response->error_message);
  }
  co_return ReportVoter(*arguments, "removed", status);
}

// --- move-leaders, reassign

// "topic" or "topic:partition": those of the cluster that are meant. kNotFound names what is not.
absl::StatusOr<std::vector<PlanPartition>> Named(const ClusterReport& view,
                                                 const std::vector<std::string>& names) {
  std::vector<PlanPartition> found;
  for (const std::string& name : names) {
    const size_t before = found.size();
    for (const PlanPartition& partition : view.partitions) {
      if (name == partition.topic ||
          name == fmt::format("{}:{}", partition.topic, partition.partition)) {
        found.push_back(partition);
      }
    }
    if (found.size() == before)
      return absl::NotFoundError(fmt::format("{}: no such partition", name));
  }
  return found;
}

Task<absl::StatusOr<std::vector<PlanPartition>>> AskNamed(ClientSession* session,
                                                          std::vector<std::string> names) {
  MR_CO_ASSIGN_OR_RETURN(ClusterReport view,
                         co_await AskCluster(session->client, session->Deadline()));
  co_return Named(view, names);
}

Task<int> MoveLeaders(ClientSession* session, Arguments arguments) {
  kafka::ElectLeadersRequest request;
  request.election_type = arguments->unclean ? 1 : 0;
  request.topic_partitions = std::nullopt;
  if (!arguments->partitions.empty()) {
    absl::StatusOr<std::vector<PlanPartition>> named =
        co_await AskNamed(session, arguments->partitions);
    if (!named.ok()) co_return Finish(named.status());
    request.topic_partitions.emplace();
    for (const PlanPartition& partition : *named) {
      auto& topics = *request.topic_partitions;
      if (topics.empty() || topics.back().topic != partition.topic) {
        topics.emplace_back().topic = partition.topic;
      }
      topics.back().partitions.push_back(partition.partition.value());
    }
  }
  auto response = co_await session->client.CallAny<kafka::ElectLeadersResponse>(
      std::move(request), session->Deadline());
  if (!response.ok()) co_return Finish(response.status());
  if (response->error_code != 0) co_return Finish(KafkaFailure(response->error_code));
  int exit_status = kExitOk;
  int64_t moved = 0;
  JsonWriter json;
  json.BeginArray();
  for (const auto& topic : response->replica_election_results) {
    for (const auto& partition : topic.partition_result) {
      const auto error = static_cast<kafka::KafkaError>(partition.error_code);
      const bool needed = error != kafka::KafkaError::kElectionNotNeeded;
      json.BeginObject().Key("topic").String(topic.topic);
      json.Key("partition").Number(partition.partition_id);
      if (needed && partition.error_code != 0) {
        const absl::Status failure = KafkaFailure(partition.error_code, partition.error_message);
        json.Key("error").String(std::string(failure.message()));
        PrintError(fmt::format("{}-{}: {}", topic.topic, partition.partition_id,
                               std::string(failure.message())));
        exit_status = kExitFailed;
      } else {
        json.Key("result").String(needed ? "elected" : "not needed");
        moved += needed ? 1 : 0;
      }
      json.EndObject();
    }
  }
  json.EndArray();
  Print(*arguments,
        fmt::format("{} partition{} got another leader.\n", moved, moved == 1 ? "" : "s"), json);
  co_return exit_status;
}

Task<int> ListMoves(ClientSession* session, Arguments arguments) {
  absl::StatusOr<std::vector<OngoingMove>> moves = co_await ListReassignments(session);
  if (!moves.ok()) co_return Finish(moves.status());
  TextTable table({{"PARTITION", Align::kLeft},
                   {"REPLICAS", Align::kLeft},
                   {"ADDING", Align::kLeft},
                   {"REMOVING", Align::kLeft}});
  JsonWriter json;
  json.BeginArray();
  auto ids = [&json](const char* key, const std::vector<BrokerId>& brokers) {
    json.Key(key).BeginArray();
    for (BrokerId id : brokers) json.Number(id.value());
    json.EndArray();
  };
  for (const OngoingMove& move : *moves) {
    table.AddRow({fmt::format("{}-{}", move.partition.topic, move.partition.partition),
                  fmt::format("{}", fmt::join(move.partition.replicas, ",")),
                  fmt::format("{}", fmt::join(move.adding, ",")),
                  fmt::format("{}", fmt::join(move.removing, ","))});
    json.BeginObject().Key("topic").String(move.partition.topic);
    json.Key("partition").Number(move.partition.partition.value());
    ids("replicas", move.partition.replicas);
    ids("adding", move.adding);
    ids("removing", move.removing);
    json.EndObject();
  }
  json.EndArray();
  Print(*arguments, table.ToString(), json);
  co_return kExitOk;
}

Task<int> Reassign(ClientSession* session, Arguments arguments) {
  if (arguments->list) co_return co_await ListMoves(session, arguments);
  if (arguments->partitions.empty() || arguments->to.empty() != arguments->cancel) {
    PrintError("PARTITION and --to (or --cancel) are required, or --list");
    co_return kExitUsage;
  }
  absl::StatusOr<std::vector<PlanPartition>> named =
      co_await AskNamed(session, arguments->partitions);
  if (!named.ok()) co_return Finish(named.status());
  for (PlanPartition& partition : *named) {
    partition.replicas = std::vector<BrokerId>(arguments->to.begin(), arguments->to.end());
  }
  absl::Status status;
  if (arguments->cancel) {
    status = co_await CancelReassignments(session, *named);
  } else {
    status = co_await StartReassignments(session, *named);
    if (status.ok() && arguments->wait) status = co_await AwaitReassignments(session, *named);
  }
  if (!status.ok()) co_return Finish(status);
  const char* done = arguments->cancel ? "cancelled" : arguments->wait ? "moved" : "started";
  JsonWriter json;
  json.BeginObject().Key("partitions").Number(static_cast<int64_t>(named->size()));
  json.Key("result").String(done).EndObject();
  Print(*arguments,
        fmt::format("{} partition{}: {}.\n", named->size(), named->size() == 1 ? "" : "s", done),
        json);
  co_return kExitOk;
}

void AddVoterOptions(Command& verb, ClusterArguments& arguments) {
  verb.AddOption("--id", arguments.voter, "The controller's node.id")
      .Required()
      .TypeName("ID")
      .NotNegative();
  verb.AddOption("--directory", arguments.directory,
                 "Its metadata directory's id (`millrace storage info` shows it)")
      .Required()
      .TypeName("UUID")
      .Check(CheckUuid);
}

}  // namespace

void AddClusterCommand(Command& program, ChosenCommand& chosen) {
  Command cluster =
      program.AddVerb("cluster", "Look at a cluster, its quorum and where replicas are");
  cluster.RequireVerb();
  auto fresh = [] { return std::make_shared<ClusterArguments>(); };

  AddClientVerb(cluster, chosen, "status", "Brokers, controller and what is wrong", Status,
                fresh());
  auto health = fresh();
  Command verb =
      AddClientVerb(cluster, chosen, "health", "Exit status 0 when all is well", Health, health);
  verb.AddFlag("--watch", health->watch, "Again every second");
  verb.AddFlag("--exit-when-healthy", health->exit_when_healthy, "With --watch: until then");

  AddClientVerb(cluster, chosen, "voters", "Show the quorum's voters and observers", Voters,
                fresh());
  auto add = fresh();
  verb =
      AddClientVerb(cluster, chosen, "add-voter", "Let a running controller vote", AddVoter, add);
  AddVoterOptions(verb, *add);
  verb.AddOption("--address", add->addresses, "Where its controller listener is reached")
      .Required()
      .TypeName("LISTENER://HOST:PORT")
      .OneValueEach()
      .Check(CheckListener);
  auto remove = fresh();
  verb = AddClientVerb(cluster, chosen, "remove-voter", "Take a controller's vote away",
                       RemoveVoter, remove);
  AddVoterOptions(verb, *remove);

  auto leaders = fresh();
  verb = AddClientVerb(cluster, chosen, "move-leaders",
                       "Give preferred leaders their partitions back", MoveLeaders, leaders);
  verb.AddOption("PARTITION", leaders->partitions, "topic or topic:partition; none: all")
      .TypeName("");
  verb.AddFlag("--unclean", leaders->unclean,
               "Where nobody leads, let whoever is alive lead: what it lacks is lost");

  auto reassign = fresh();
  verb = AddClientVerb(cluster, chosen, "reassign", "Move replicas to other brokers", Reassign,
                       reassign);
  Option names = verb.AddOption("PARTITION", reassign->partitions, "topic or topic:partition");
  names.TypeName("");
  Option to = verb.AddOption("--to", reassign->to, "Brokers, the preferred leader first");
  to.Delimiter(',').TypeName("ID,ID,...");
  Option list = verb.AddFlag("--list", reassign->list, "Show what is being moved");
  Option cancel = verb.AddFlag("--cancel", reassign->cancel, "Stop moving; replicas stay");
  verb.AddFlag("--wait", reassign->wait, "Until everything has been moved");
  to.Excludes(list).Excludes(cancel);
  list.Excludes(cancel).Excludes(names);
}

}  // namespace millrace
