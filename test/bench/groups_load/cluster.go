package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const readySecondsMax = 60

// Error codes of Kafka that are answers like any other here.
const (
	loading             = 14
	notAvailable        = 15
	notCoordinator      = 16
	illegalGeneration   = 22
	unknownMember       = 25
	rebalanceInProgress = 27
	topicExists         = 36
	memberIDRequired    = 79
)

const offsetsTopic = "__consumer_offsets"

// cluster is what a scenario knows of the brokers it drives.
type cluster struct {
	bootstrap []string
	control   *connection // To the first broker.
}

func open(bootstrap string) *cluster {
	addresses := strings.Split(bootstrap, ",")
	return &cluster{bootstrap: addresses, control: mustDial(addresses[0])}
}

// until waits for a condition that others bring about.
func until(what string, condition func() bool) {
	deadline := time.Now().Add(readySecondsMax * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			check(fmt.Errorf("not within %d s: %s", readySecondsMax, what))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (one *cluster) createTopic(name string, partitions int32, replicas int16, configs map[string]string) {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Version, request.TimeoutMillis = 5, 30000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, replicas
	for key, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, config)
	}
	request.Topics = append(request.Topics, topic)
	answer := mustAsk[*kmsg.CreateTopicsResponse](one.control, request)
	if code := answer.Topics[0].ErrorCode; code != 0 && code != topicExists {
		check(fmt.Errorf("CreateTopics %s: error %d", name, code))
	}
	until(name+" is led", func() bool {
		found := one.topic(name)
		if found == nil || len(found.Partitions) < int(partitions) {
			return false
		}
		for _, partition := range found.Partitions {
			if partition.Leader < 0 {
				return false
			}
		}
		return true
	})
}

func (one *cluster) metadata(topics ...string) *kmsg.MetadataResponse {
	request := kmsg.NewPtrMetadataRequest()
	request.Version, request.Topics = 10, []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	return mustAsk[*kmsg.MetadataResponse](one.control, request)
}

// topic is nil while the broker that was asked does not know it.
func (one *cluster) topic(name string) *kmsg.MetadataResponseTopic {
	answer := one.metadata(name)
	if len(answer.Topics) == 0 || answer.Topics[0].ErrorCode != 0 {
		return nil
	}
	return &answer.Topics[0]
}

func (one *cluster) addresses() map[int32]string {
	found := map[int32]string{}
	for _, broker := range one.metadata().Brokers {
		found[broker.NodeID] = fmt.Sprintf("%s:%d", broker.Host, broker.Port)
	}
	return found
}

// coordinator waits until the group is served: where, and by which node.
func (one *cluster) coordinator(group string) (address string, node int32) {
	request := kmsg.NewPtrFindCoordinatorRequest()
	request.Version, request.CoordinatorKey = 3, group
	until(group+" is served", func() bool {
		answer := mustAsk[*kmsg.FindCoordinatorResponse](one.control, request)
		if answer.ErrorCode != 0 {
			return false
		}
		address, node = fmt.Sprintf("%s:%d", answer.Host, answer.Port), answer.NodeID
		link, err := dial(address)
		if err != nil {
			return false
		}
		defer link.close()
		code, _, err := fetchOffsets(link, group, "none", 1)
		return err == nil && code == 0
	})
	return address, node
}

// controller is the node whose controller is active.
func (one *cluster) controller() int32 {
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	request.Topics = append(request.Topics, topic)
	answer := mustAsk[*kmsg.DescribeQuorumResponse](one.control, request)
	if answer.ErrorCode != 0 || len(answer.Topics) == 0 {
		check(fmt.Errorf("DescribeQuorum: error %d", answer.ErrorCode))
	}
	return answer.Topics[0].Partitions[0].LeaderID
}

// partitionOf is the partition of __consumer_offsets that a group belongs to: Java's String.hashCode() modulo.
func partitionOf(group string, partitions int) int32 {
	hash := int32(0)
	for _, letter := range []byte(group) {
		hash = 31*hash + int32(letter)
	}
	return (hash & 0x7fffffff) % int32(partitions)
}

// groupsOn makes names of groups that all belong to one partition.
func groupsOn(partition int32, partitions, count int, prefix string) []string {
	names := make([]string, 0, count)
	for number := 0; len(names) < count; number++ {
		name := fmt.Sprintf("%s-%d", prefix, number)
		if partitionOf(name, partitions) == partition {
			names = append(names, name)
		}
	}
	return names
}

var (
	runID     = fmt.Sprintf("%x", time.Now().UnixMilli())
	lastFresh atomic.Int64
)

// freshName differs from all others, also on a cluster that keeps what earlier runs left.
func freshName(prefix string) string { return fmt.Sprintf("%s-%s-%d", prefix, runID, lastFresh.Add(1)) }

func fetchOffsets(link *connection, group, topic string, partitions int32) (code int16, offsets []int64, err error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Version, request.Group = 7, group
	wanted := kmsg.NewOffsetFetchRequestTopic()
	wanted.Topic = topic
	for partition := range partitions {
		wanted.Partitions = append(wanted.Partitions, partition)
	}
	request.Topics = append(request.Topics, wanted)
	answer, err := ask[*kmsg.OffsetFetchResponse](link, request)
	if err != nil || answer.ErrorCode != 0 {
		if err == nil {
			code = answer.ErrorCode
		}
		return code, nil, err
	}
	offsets = make([]int64, partitions)
	for _, found := range answer.Topics {
		for _, one := range found.Partitions {
			offsets[one.Partition] = one.Offset
		}
	}
	return 0, offsets, nil
}

// commitRequest commits `offset` for each of the first `partitions` of the topic.
func commitRequest(group, member string, generation int32, topic string, partitions int32, offset int64) *kmsg.OffsetCommitRequest {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Version, request.Group, request.MemberID, request.Generation = 8, group, member, generation
	wanted := kmsg.NewOffsetCommitRequestTopic()
	wanted.Topic = topic
	for partition := range partitions {
		one := kmsg.NewOffsetCommitRequestTopicPartition()
		one.Partition, one.Offset, one.Metadata = partition, offset, kmsg.StringPtr("")
		wanted.Partitions = append(wanted.Partitions, one)
	}
	request.Topics = append(request.Topics, wanted)
	return request
}

// commitError is the first error of an answer.
func commitError(answer *kmsg.OffsetCommitResponse) int16 {
	for _, topic := range answer.Topics {
		for _, one := range topic.Partitions {
			if one.ErrorCode != 0 {
				return one.ErrorCode
			}
		}
	}
	return 0
}
