// The handlers of all APIs, each in the file named by its key; what it promises stands on top of
// that file.
#pragma once

#include "broker/admin_context.h"
#include "broker/broker.h"
#include "broker/server/api_request.h"
#include "common/runtime/task.h"

namespace millrace {

Task<ApiReply> HandleProduce(Broker* broker, ApiRequest request);          // 00_produce.cc
Task<ApiReply> HandleFetch(Broker* broker, ApiRequest request);            // 01_fetch.cc
Task<ApiReply> HandleListOffsets(Broker* broker, ApiRequest request);      // 02_list_offsets.cc
Task<ApiReply> HandleMetadata(Broker* broker, ApiRequest request);         // 03_metadata.cc
Task<ApiReply> HandleOffsetCommit(Broker* broker, ApiRequest request);     // 08_offset_commit.cc
Task<ApiReply> HandleOffsetFetch(Broker* broker, ApiRequest request);      // 09_offset_fetch.cc
Task<ApiReply> HandleFindCoordinator(Broker* broker, ApiRequest request);  // 10_find_coordinator.cc
Task<ApiReply> HandleJoinGroup(Broker* broker, ApiRequest request);        // 11_join_group.cc
Task<ApiReply> HandleHeartbeat(Broker* broker, ApiRequest request);        // 12_heartbeat.cc
Task<ApiReply> HandleLeaveGroup(Broker* broker, ApiRequest request);       // 13_leave_group.cc
Task<ApiReply> HandleSyncGroup(Broker* broker, ApiRequest request);        // 14_sync_group.cc
Task<ApiReply> HandleDescribeGroups(Broker* broker, ApiRequest request);   // 15_describe_groups.cc
Task<ApiReply> HandleListGroups(Broker* broker, ApiRequest request);       // 16_list_groups.cc
Task<ApiReply> HandleApiVersions(AdminContext* admin, ApiRequest request);   // 18_api_versions.cc
Task<ApiReply> HandleCreateTopics(AdminContext* admin, ApiRequest request);  // 19_create_topics.cc
Task<ApiReply> HandleDeleteTopics(AdminContext* admin, ApiRequest request);  // 20_delete_topics.cc
Task<ApiReply> HandleDeleteRecords(Broker* broker, ApiRequest request);      // 21_delete_records.cc
Task<ApiReply> HandleInitProducerId(Broker* broker, ApiRequest request);  // 22_init_producer_id.cc
Task<ApiReply> HandleOffsetForLeaderEpoch(Broker* broker,
                                          ApiRequest request);  // 23_offset_for_leader_epoch.cc
Task<ApiReply> HandleDescribeConfigs(AdminContext* admin,
                                     ApiRequest request);  // 32_describe_configs.cc
Task<ApiReply> HandleAlterConfigs(AdminContext* admin, ApiRequest request);  // 33_alter_configs.cc
Task<ApiReply> HandleAlterReplicaLogDirs(Broker* broker,
                                         ApiRequest request);  // 34_alter_replica_log_dirs.cc
Task<ApiReply> HandleDescribeLogDirs(Broker* broker,
                                     ApiRequest request);  // 35_describe_log_dirs.cc
Task<ApiReply> HandleCreatePartitions(AdminContext* admin,
                                      ApiRequest request);              // 37_create_partitions.cc
Task<ApiReply> HandleDeleteGroups(Broker* broker, ApiRequest request);  // 42_delete_groups.cc
Task<ApiReply> HandleElectLeaders(AdminContext* admin, ApiRequest request);  // 43_elect_leaders.cc
Task<ApiReply> HandleIncrementalAlterConfigs(
    AdminContext* admin, ApiRequest request);  // 44_incremental_alter_configs.cc
Task<ApiReply> HandleAlterPartitionReassignments(
    AdminContext* admin, ApiRequest request);  // 45_alter_partition_reassignments.cc
Task<ApiReply> HandleListPartitionReassignments(
    AdminContext* admin, ApiRequest request);  // 46_list_partition_reassignments.cc
Task<ApiReply> HandleAlterPartition(AdminContext* admin,
                                    ApiRequest request);  // 56_alter_partition.cc
Task<ApiReply> HandleAllocateProducerIds(AdminContext* admin,
                                         ApiRequest request);  // 67_allocate_producer_ids.cc
Task<ApiReply> HandleOffsetDelete(Broker* broker, ApiRequest request);  // 47_offset_delete.cc
Task<ApiReply> HandleDescribeQuorum(AdminContext* admin,
                                    ApiRequest request);  // 55_describe_quorum.cc
Task<ApiReply> HandleUpdateFeatures(AdminContext* admin,
                                    ApiRequest request);  // 57_update_features.cc
Task<ApiReply> HandleDescribeCluster(AdminContext* admin,
                                     ApiRequest request);  // 60_describe_cluster.cc
Task<ApiReply> HandleDescribeProducers(Broker* broker,
                                       ApiRequest request);  // 61_describe_producers.cc
Task<ApiReply> HandleUnregisterBroker(AdminContext* admin,
                                      ApiRequest request);  // 64_unregister_broker.cc
Task<ApiReply> HandleConsumerGroupHeartbeat(Broker* broker,
                                            ApiRequest request);  // 68_consumer_group_heartbeat.cc
Task<ApiReply> HandleConsumerGroupDescribe(Broker* broker,
                                           ApiRequest request);  // 69_consumer_group_describe.cc
Task<ApiReply> HandleAssignReplicasToDirs(AdminContext* admin,
                                          ApiRequest request);  // 73_assign_replicas_to_dirs.cc
Task<ApiReply> HandleListConfigResources(AdminContext* admin,
                                         ApiRequest request);  // 74_list_config_resources.cc
Task<ApiReply> HandleDescribeTopicPartitions(
    Broker* broker, ApiRequest request);  // 75_describe_topic_partitions.cc
Task<ApiReply> HandleAddRaftVoter(AdminContext* admin, ApiRequest request);  // 80_add_raft_voter.cc
Task<ApiReply> HandleRemoveRaftVoter(AdminContext* admin,
                                     ApiRequest request);  // 81_remove_raft_voter.cc
Task<ApiReply> HandleUpdateRaftVoter(AdminContext* admin,
                                     ApiRequest request);  // 82_update_raft_voter.cc
Task<ApiReply> HandleUnregisterController(AdminContext* admin,
                                          ApiRequest request);  // 94_unregister_controller.cc

}  // namespace millrace
