package main

import (
	"context"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// administer does to a cluster of three what an administrator does. The topic's partition 0 is led by another than its preferred
// leader, and partition 1, with some records, has replicas on brokers 1 and 2.
func administer(ctx context.Context, bootstrap, topic string) any {
	made := client(bootstrap, kgo.MetadataMinAge(100*time.Millisecond))
	defer made.Close()
	adm := kadm.NewClient(made)
	seen := map[string]any{}

	request := kmsg.NewPtrDescribeQuorumRequest()
	request.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata",
		Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	quorum, err := request.RequestWith(ctx, made)
	check(err)
	partition := quorum.Topics[0].Partitions[0]
	check(kerr.ErrorForCode(partition.ErrorCode))
	voters := []int{}
	for _, voter := range partition.CurrentVoters {
		voters = append(voters, int(voter.ReplicaID))
	}
	sort.Ints(voters)
	seen["quorum"], seen["voters"] = partition.LeaderID, voters

	first := kadm.TopicsSet{topic: {0: {}}}
	elections := []string{}
	for range 2 {
		elected, err := adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, first)
		check(err)
		elections = append(elections, name(elected[topic][0].Err))
	}
	seen["elections"] = elections

	// At a byte a second a move is under way for as long as it is looked at.
	rate, all := "1", "*"
	set := func(op kadm.IncrementalOp) {
		altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: "follower.replication.throttled.replicas", Value: &all}}, topic)
		check(err)
		check(altered[0].Err)
		altered, err = adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: "follower.replication.throttled.rate", Value: &rate}}, 3)
		check(err)
		check(altered[0].Err)
	}
	moves := func() []kadm.ListPartitionReassignmentsResponse {
		listed, err := adm.ListPartitionReassignments(ctx, kadm.TopicsSet{topic: {1: {}}})
		check(err)
		return listed.Sorted()
	}
	move := func(change func(*kadm.AlterPartitionAssignmentsReq)) string {
		var wanted kadm.AlterPartitionAssignmentsReq
		change(&wanted)
		answer, err := adm.AlterPartitionAssignments(ctx, wanted)
		check(err)
		return name(answer[topic][1].Err)
	}
	assign := func(wanted *kadm.AlterPartitionAssignmentsReq) { wanted.Assign(topic, 1, []int32{1, 3}) }
	cancel := func(wanted *kadm.AlterPartitionAssignmentsReq) { wanted.CancelAssign(topic, 1) }
	set(kadm.SetConfig)
	// Which it says once it knows of both: the topic's was changed first.
	until(ctx, "broker 3 says that it throttles", func() bool {
		configs, err := adm.DescribeBrokerConfigs(ctx, 3)
		check(err)
		for _, config := range configs[0].Configs {
			if config.Key == "follower.replication.throttled.rate" {
				return config.MaybeValue() == rate
			}
		}
		return false
	})
	started := move(assign)
	for _, one := range moves() {
		seen["move"] = map[string]any{"topic": one.Topic == topic, "replicas": one.Replicas, "adding": one.AddingReplicas, "removing": one.RemovingReplicas}
	}
	seen["moves"] = []string{started, move(cancel), move(cancel)}
	seen["left"] = len(moves())
	set(kadm.DeleteConfig)
	seen["again"] = move(assign)
	until(ctx, "it has moved", func() bool {
		details, err := adm.ListTopics(ctx, topic)
		check(err)
		isr := details[topic].Partitions[1].ISR
		return len(moves()) == 0 && len(isr) == 2 && isr[0]+isr[1] == 4
	})

	levels := []string{}
	for _, update := range []kadm.FeatureUpdate{{Feature: "group.version", UpgradeType: 2}, {Feature: "group.version", MaxVersionLevel: 1,
		UpgradeType: 1}, {Feature: "group.version", MaxVersionLevel: 99, UpgradeType: 1}} {
		updated, err := adm.UpdateFeatures(ctx, false, update)
		check(err)
		levels = append(levels, name(updated.Error()))
	}
	seen["features"] = levels

	configs, err := adm.DescribeBrokerConfigs(ctx, 1, 2, 3)
	check(err)
	nodes := []string{}
	for _, one := range configs {
		check(one.Err)
		for _, config := range one.Configs {
			if config.Key == "node.id" {
				nodes = append(nodes, config.MaybeValue())
			}
		}
	}
	sort.Strings(nodes)
	seen["nodes"] = nodes
	directories, err := adm.DescribeAllLogDirs(ctx, nil)
	check(err)
	seen["directories"] = len(directories)
	return seen
}
