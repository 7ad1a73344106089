// `millrace broker list|decommission`.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/cluster/cluster_view.h"
#include "cli/cluster/reassigner.h"
#include "cli/cluster/replica_plan.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "proto/kafka/unregister_broker_request.h"
#include "proto/kafka/unregister_broker_response.h"

namespace millrace {
namespace {

using Align = TextTable::Align;

struct BrokerArguments {
  ClientArguments client;
  int32_t id = -1;
  bool no_wait = false;
};

using Arguments = std::shared_ptr<BrokerArguments>;

int Finish(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  PrintError(status);
  return absl::IsCancelled(status) ? kExitInterrupted : kExitFailed;
}

Task<int> ListBrokers(ClientSession* session, Arguments arguments) {
  absl::StatusOr<ClusterReport> view = co_await AskCluster(session->client, session->Deadline());
  if (!view.ok()) co_return Finish(view.status());
  TextTable table({{"BROKER", Align::kRight},
                   {"ADDRESS", Align::kLeft},
                   {"RACK", Align::kLeft},
                   {"STATE", Align::kLeft},
                   {"LEADERS", Align::kRight},
                   {"REPLICAS", Align::kRight}});
  JsonWriter json;
  json.BeginArray();
  for (const BrokerRow& broker : view->brokers) {
    table.AddRow({fmt::format("{}", broker.id), fmt::format("{}:{}", broker.host, broker.port),
                  broker.rack.value_or("-"), broker.fenced ? "fenced" : "active",
                  fmt::format("{}", broker.leaders), fmt::format("{}", broker.replicas)});
    json.BeginObject().Key("id").Number(broker.id.value()).Key("host").String(broker.host);
    json.Key("port").Number(broker.port).Key("rack");
    broker.rack.has_value() ? json.String(*broker.rack) : json.Null();
    json.Key("fenced").Bool(broker.fenced).Key("leaders").Number(broker.leaders);
    json.Key("replicas").Number(broker.replicas).EndObject();
  }
  json.EndArray();
  PrintOutput(arguments->client.json() ? json.text() + "\n" : table.ToString());
  co_return kExitOk;
}

Task<absl::Status> Unregister(ClientSession* session, BrokerId id) {
  kafka::UnregisterBrokerRequest request;
  request.broker_id = id.value();
  MR_CO_ASSIGN_OR_RETURN(kafka::UnregisterBrokerResponse response,
                         co_await session->client.CallAny<kafka::UnregisterBrokerResponse>(
                             request, session->Deadline()));
  if (response.error_code == 0) co_return absl::OkStatus();
  co_return KafkaFailure(response.error_code, response.error_message);
}

// What is to be done yet, in words; "" when the broker is gone.
struct Decommissioned {
  int64_t moved = 0;
  std::string result;  // "moving", "empty", "unregistered".
};

// Moves every replica away. A broker that has stopped (is fenced) is then unregistered as well; one
// that runs would only register again.
Task<absl::StatusOr<Decommissioned>> Decommission(ClientSession* session, BrokerId id, bool wait) {
  // What is created meanwhile may be placed on it: looked at again until there is nothing.
  Decommissioned done;
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(ClusterReport view,
                           co_await AskCluster(session->client, session->Deadline()));
    const BrokerRow* broker = view.Find(id);
    if (broker == nullptr) {
      co_return absl::NotFoundError(fmt::format("broker {} is not registered", id));
    }
    // What is leaving it already (an earlier run did not wait) needs no other plan.
    MR_CO_ASSIGN_OR_RETURN(std::vector<OngoingMove> ongoing, co_await ListReassignments(session));
    ApplyMoves(ongoing, view.partitions);
    MR_CO_ASSIGN_OR_RETURN(std::vector<PlanPartition> moves,
                           ReplicaPlan(view.PlanBrokers(), view.partitions).Without(id));
    std::vector<PlanPartition> leaving = moves;
    for (const OngoingMove& move : ongoing) {
      if (move.Removes(id)) leaving.push_back(move.partition);
    }
    if (leaving.empty()) {
      done.result = broker->fenced ? "unregistered" : "empty";
      if (broker->fenced) MR_CO_RETURN_IF_ERROR(co_await Unregister(session, id));
      co_return done;
    }
    done.moved += static_cast<int64_t>(leaving.size());
    MR_CO_RETURN_IF_ERROR(co_await StartReassignments(session, std::move(moves)));
    if (!wait) {
      done.result = "moving";
      co_return done;
    }
    MR_CO_RETURN_IF_ERROR(co_await AwaitReassignments(session, std::move(leaving)));
  }
}

Task<int> DecommissionBroker(ClientSession* session, Arguments arguments) {
  absl::StatusOr<Decommissioned> done =
      co_await Decommission(session, BrokerId(arguments->id), !arguments->no_wait);
  if (!done.ok()) co_return Finish(done.status());
  JsonWriter json;
  json.BeginObject().Key("broker").Number(arguments->id).Key("moved").Number(done->moved);
  json.Key("result").String(done->result).EndObject();
  const std::string next =
      done->result == "moving" ? "Run this again when `millrace cluster reassign --list` is empty."
      : done->result == "empty"
          ? "It holds none any more: stop it, then run this again to unregister it."
          : "It is no longer registered.";
  PrintOutput(arguments->client.json()
                  ? json.text() + "\n"
                  : fmt::format("Broker {}: {} replica{} {} away. {}\n", arguments->id, done->moved,
                                done->moved == 1 ? "" : "s",
                                done->result == "moving" ? "move" : "moved", next));
  co_return kExitOk;
}

}  // namespace

void AddBrokerCommand(Command& program, ChosenCommand& chosen) {
  Command broker = program.AddVerb("broker", "Look at brokers, and let one go");
  broker.RequireVerb();
  AddClientVerb(broker, chosen, "list", "List brokers, fenced ones too", ListBrokers,
                std::make_shared<BrokerArguments>());
  auto arguments = std::make_shared<BrokerArguments>();
  Command verb =
      AddClientVerb(broker, chosen, "decommission",
                    "Move all replicas away from a broker; unregister it once it has stopped",
                    DecommissionBroker, arguments);
  verb.AddOption("ID", arguments->id, "The broker's node.id").Required().TypeName("").NotNegative();
  verb.AddFlag("--no-wait", arguments->no_wait, "Do not wait until the replicas have moved");
}

}  // namespace millrace
