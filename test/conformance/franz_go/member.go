package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type event map[string]any

var speaking sync.Mutex

// say tells what happens in the words of confluent/member.py.
func say(what string, values event) {
	speaking.Lock()
	defer speaking.Unlock()
	values["event"], values["at"] = what, float64(time.Now().UnixMicro())/1e6
	check(json.NewEncoder(os.Stdout).Encode(values))
}

// commit waits for the answer and tells it, as librdkafka's member does.
func commit(ctx context.Context, consumer *kgo.Client, record *kgo.Record) bool {
	next := map[string]map[int32]kgo.EpochOffset{record.Topic: {record.Partition: {Epoch: record.LeaderEpoch, Offset: record.Offset + 1}}}
	problem := any(nil)
	consumer.CommitOffsetsSync(ctx, next, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err == nil {
			err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			problem = name(err)
		}
	})
	say("committed", event{"error": problem, "offsets": map[int32]int64{record.Partition: record.Offset + 1}})
	return problem == nil
}

// reader joins the group, commits after each record, and reads until its standard input says `close` or ends.
func reader(bootstrap, group, topic string) {
	rebalanced := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, consumer *kgo.Client, parts map[string][]int32) {
			id, generation := consumer.GroupMetadata()
			if partitions := parts[topic]; len(partitions) > 0 {
				say(what, event{"partitions": partitions, "generation": generation, "member": id})
			}
		}
	}
	consumer := client(bootstrap, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.RebalanceTimeout(10*time.Second), kgo.FetchMaxWait(100*time.Millisecond), kgo.DisableAutoCommit(),
		// What was read is of the generation in which it is committed.
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsAssigned(rebalanced("assigned")),
		kgo.OnPartitionsRevoked(rebalanced("revoked")), kgo.OnPartitionsLost(rebalanced("lost")))
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() && lines.Text() != "close" {
		}
		stop()
	}()
	for ctx.Err() == nil {
		fetched := consumer.PollRecords(ctx, 10)
		fetched.EachError(func(_ string, partition int32, err error) {
			if ctx.Err() == nil {
				say("error", event{"name": err.Error(), "partition": partition})
			}
		})
		for _, record := range fetched.Records() {
			say("record", event{"partition": record.Partition, "offset": record.Offset, "value": string(record.Value)})
			commit(ctx, consumer, record)
		}
		consumer.AllowRebalance()
	}
	consumer.CloseAllowingRebalance()
	say("closed", event{})
}
