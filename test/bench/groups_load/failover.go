package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const firstOffset = 7

// failover fills one partition of __consumer_offsets, ends the node that coordinates it with SIGKILL, and says when another
// one answers for these groups, and takes commits.
func failover(options *settings) any {
	brokers := open(options.bootstrap)
	topic := freshName("failover")
	brokers.createTopic(topic, int32(options.partitionsEach), int16(options.replicas), nil)
	brokers.coordinator("anybody") // From here on there is __consumer_offsets.
	partition := choosePartition(brokers, options.victim)
	partitions := len(brokers.topic(offsetsTopic).Partitions)
	groups := groupsOn(partition, partitions, options.groups, freshName("group"))
	fillOffsets(options, groups, topic)
	until("all replicas are in sync", func() bool {
		return len(brokers.topic(offsetsTopic).Partitions[partitionIndex(brokers, partition)].ISR) == options.replicas
	})
	// Leaderships move on a busy machine: whoever it is now.
	_, victim := brokers.coordinator(groups[0])
	controller := brokers.controller()
	survivors := map[string]*connection{}
	for other, at := range brokers.addresses() {
		if other != victim {
			survivors[at] = mustDial(at)
		}
	}
	killed := time.Now()
	check(syscall.Kill(options.pids[victim], syscall.SIGKILL))
	last := groups[len(groups)-1]
	successor, fetched := served(survivors, last, topic, int32(options.partitionsEach))
	committed := committedAgain(successor, last, topic)
	return map[string]any{"fetch_ms": milliseconds(fetched.Sub(killed)), "commit_ms": milliseconds(committed.Sub(killed)),
		"offsets": options.groups * options.partitionsEach, "victim_was_controller": victim == controller, "victim": victim, "errors": 0}
}

// choosePartition is one of __consumer_offsets whose leader is the active controller, or is not, as is wanted.
func choosePartition(brokers *cluster, wanted string) int32 {
	controller := brokers.controller()
	for _, one := range brokers.topic(offsetsTopic).Partitions {
		if (one.Leader == controller) == (wanted == "controller") {
			return one.Partition
		}
	}
	check(fmt.Errorf("no partition of %s is led as is wanted: %s", offsetsTopic, wanted))
	return 0
}

func partitionIndex(brokers *cluster, partition int32) int {
	for index, one := range brokers.topic(offsetsTopic).Partitions {
		if one.Partition == partition {
			return index
		}
	}
	return 0
}

// fillOffsets commits for each group an offset in each partition, from nobody's member.
func fillOffsets(options *settings, groups []string, topic string) {
	inParallel(len(groups), 4, func(number int) {
		group := groups[number]
		until("a commit is taken", func() bool {
			brokers := open(options.bootstrap)
			defer brokers.control.close()
			address, _ := brokers.coordinator(group)
			link := mustDial(address)
			defer link.close()
			request := commitRequest(group, "", -1, topic, int32(options.partitionsEach), firstOffset)
			return commitError(mustAsk[*kmsg.OffsetCommitResponse](link, request)) == 0
		})
	})
}

// served waits until one of the nodes answers with what was committed.
func served(nodes map[string]*connection, group, topic string, partitions int32) (*connection, time.Time) {
	deadline := time.Now().Add(readySecondsMax * time.Second)
	for time.Now().Before(deadline) {
		for _, link := range nodes {
			code, offsets, err := fetchOffsets(link, group, topic, partitions)
			check(err)
			if code != 0 {
				continue // Somebody else's, or not loaded yet.
			}
			for partition, offset := range offsets {
				if offset != firstOffset {
					check(fmt.Errorf("partition %d: %d was committed, and %d is there", partition, firstOffset, offset))
				}
			}
			return link, time.Now()
		}
		time.Sleep(time.Millisecond)
	}
	check(fmt.Errorf("not within %d s: the groups are served again", readySecondsMax))
	return nil, time.Time{}
}

func committedAgain(link *connection, group, topic string) time.Time {
	until("commits are taken", func() bool {
		answer := mustAsk[*kmsg.OffsetCommitResponse](link, commitRequest(group, "", -1, topic, 1, firstOffset+1))
		return commitError(answer) == 0
	})
	return time.Now()
}
