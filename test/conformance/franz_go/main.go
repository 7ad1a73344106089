// What the franz-go tests run.
//
//	franz_go BOOTSTRAP ACTION TOPIC           one action against one topic, its result as JSON
//	franz_go BOOTSTRAP member GROUP TOPIC     a member of a group that says what happens to it (member.go)
//	franz_go BOOTSTRAP load TOPIC LEDGER PARTITIONS RATE
//	                                          a producer that outlives brokers (load.go)
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 500

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.RecordDeliveryTimeout(30 * time.Second)}, options...)...)
	check(err)
	return made
}

// produce sends records to partition 0 as an idempotent producer with a small batch size, so that there are
// many batches, and returns the offsets it was told.
func produce(ctx context.Context, bootstrap, topic string, codec kgo.CompressionCodec) []int64 {
	producer := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(2000))
	defer producer.Close()
	offsets := make([]int64, records)
	for n := range records {
		record := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", n), Value: fmt.Appendf(nil, "value %060d", n),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, n)}, {Key: "nil"}}}
		producer.Produce(ctx, record, func(done *kgo.Record, err error) {
			check(err)
			offsets[n] = done.Offset
		})
	}
	check(producer.Flush(ctx))
	return offsets
}

// consume reads partition 0 from the given offset until `want` records have come, without a group.
func consume(ctx context.Context, bootstrap, topic string, from kgo.Offset, want int) []*kgo.Record {
	consumer := client(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}),
		kgo.FetchMaxPartitionBytes(10000))
	defer consumer.Close()
	var seen []*kgo.Record
	for len(seen) < want {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err())
		seen = append(seen, fetches.Records()...)
	}
	return seen
}

// roundTrip says for each codec what did not come back as it was sent.
func roundTrip(ctx context.Context, bootstrap, topic string) any {
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}}
	wrong := map[string][]string{}
	for index, codec := range codecs {
		base := int64(index * records)
		wrong[codec.name] = []string{}
		note := func(format string, arguments ...any) {
			wrong[codec.name] = append(wrong[codec.name], fmt.Sprintf(format, arguments...))
		}
		for n, offset := range produce(ctx, bootstrap, topic, codec.codec) {
			if offset != base+int64(n) {
				note("record %d was told offset %d", n, offset)
			}
		}
		for n, record := range consume(ctx, bootstrap, topic, kgo.NewOffset().At(base), records) {
			if record.Offset != base+int64(n) || string(record.Key) != fmt.Sprintf("k%d", n) ||
				string(record.Value) != fmt.Sprintf("value %060d", n) || len(record.Headers) != 2 ||
				string(record.Headers[0].Value) != fmt.Sprint(n) || record.Headers[1].Value != nil {
				note("record %d came back as %d %s %s %v", n, record.Offset, record.Key, record.Value, record.Headers)
			}
		}
	}
	return wrong
}

func name(err error) string {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known.Message
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func admin(ctx context.Context, bootstrap, topic string) any {
	made := client(bootstrap)
	defer made.Close()
	adm := kadm.NewClient(made)
	seen := map[string]any{}
	value := "3600000"
	_, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &value}, topic)
	seen["create"] = name(err)
	_, err = adm.CreateTopic(ctx, 2, 1, nil, topic)
	seen["again"] = name(err)
	grown, err := adm.CreatePartitions(ctx, 1, topic)
	check(err)
	seen["grow"] = name(grown[topic].Err)
	// Brokers hear of the new partition a moment after the controller has decided it.
	details, err := adm.ListTopics(ctx, topic)
	for check(err); len(details[topic].Partitions) < 3 && ctx.Err() == nil; check(err) {
		details, err = adm.ListTopics(ctx, topic)
	}
	seen["partitions"] = len(details[topic].Partitions)
	seen["id"] = details[topic].ID != kadm.TopicID{}
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	check(err)
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			seen["retention"] = *config.Value
		}
	}
	start, err := adm.ListStartOffsets(ctx, topic)
	check(err)
	end, err := adm.ListEndOffsets(ctx, topic)
	check(err)
	ends := []int64{}
	for partition := range int32(3) {
		from, haveStart := start.Lookup(topic, partition)
		to, haveEnd := end.Lookup(topic, partition)
		if !haveStart || !haveEnd {
			check(fmt.Errorf("no offsets of partition %d", partition))
		}
		ends = append(ends, from.Offset, to.Offset)
	}
	seen["offsets"] = ends
	brokers, err := adm.ListBrokers(ctx)
	check(err)
	addresses := []string{}
	for _, broker := range brokers {
		addresses = append(addresses, fmt.Sprintf("%s:%d", broker.Host, broker.Port))
	}
	sort.Strings(addresses)
	seen["brokers"] = addresses
	deleted, err := adm.DeleteTopics(ctx, topic)
	check(err)
	seen["delete"] = name(deleted[topic].Err)
	return seen
}

// member is a consumer of a group (cooperative-sticky, franz-go's choice) that commits what it has read after each poll.
type member struct {
	client *kgo.Client
	lock   sync.Mutex
	values []string
	owned  map[int32]bool
	lost   int
	done   chan struct{}
}

func join(ctx context.Context, bootstrap, group, topic string, options ...kgo.Opt) *member {
	one := &member{owned: map[int32]bool{}, done: make(chan struct{})}
	change := func(to bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			one.lock.Lock()
			defer one.lock.Unlock()
			for _, partition := range changed[topic] {
				if to {
					one.owned[partition] = true
				} else {
					delete(one.owned, partition)
				}
			}
		}
	}
	lost := func(ctx context.Context, made *kgo.Client, changed map[string][]int32) {
		one.lost += len(changed[topic])
		change(false)(ctx, made, changed)
	}
	one.client = client(bootstrap, append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(lost)}, options...)...)
	go func() {
		defer close(one.done)
		for {
			fetches := one.client.PollFetches(ctx)
			if fetches.IsClientClosed() || ctx.Err() != nil || errors.Is(fetches.Err(), kgo.ErrClientClosed) {
				return
			}
			check(fetches.Err())
			one.lock.Lock()
			for _, record := range fetches.Records() {
				one.values = append(one.values, string(record.Value))
			}
			one.lock.Unlock()
			if err := one.client.CommitUncommittedOffsets(ctx); !errors.Is(err, kgo.ErrClientClosed) {
				check(err)
			}
			one.client.AllowRebalance()
		}
	}()
	return one
}

func (one *member) read() []string {
	one.lock.Lock()
	defer one.lock.Unlock()
	return append([]string(nil), one.values...)
}

func (one *member) owns() int {
	one.lock.Lock()
	defer one.lock.Unlock()
	return len(one.owned)
}

func (one *member) leave() {
	one.client.CloseAllowingRebalance()
	<-one.done
}

func until(ctx context.Context, what string, condition func() bool) {
	for !condition() {
		select {
		case <-ctx.Done():
			check(fmt.Errorf("not in time: %s", what))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func spread(ctx context.Context, bootstrap, topic string, from, to int) {
	producer := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	for n := from; n < to; n++ {
		record := &kgo.Record{Topic: topic, Partition: int32(n % 4), Value: fmt.Append(nil, n)}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) { check(err) })
	}
	check(producer.Flush(ctx))
}

// group: two members share a topic of four partitions, one leaves; a static one restarts; the admin looks at it and deletes it.
func group(ctx context.Context, bootstrap, topic string) any {
	group := topic + "-group"
	made := client(bootstrap)
	defer made.Close()
	adm := kadm.NewClient(made)
	seen := map[string]any{}
	spread(ctx, bootstrap, topic, 0, 40)
	first := join(ctx, bootstrap, group, topic)
	until(ctx, "the first reads", func() bool { return len(first.read()) == 40 })
	second := join(ctx, bootstrap, group, topic, kgo.InstanceID("static"))
	until(ctx, "two share", func() bool { return first.owns() == 2 && second.owns() == 2 })
	spread(ctx, bootstrap, topic, 40, 80)
	read := func(members ...*member) (values []string) {
		for _, one := range members {
			values = append(values, one.read()...)
		}
		return values
	}
	until(ctx, "two read", func() bool { return len(read(first, second)) == 80 })
	second.leave() // A static member does not: its place is kept.
	third := join(ctx, bootstrap, group, topic, kgo.InstanceID("static"))
	until(ctx, "the static one is back", func() bool { return third.owns() == 2 })
	seen["kept"] = first.owns()
	spread(ctx, bootstrap, topic, 80, 120)
	until(ctx, "all read", func() bool { return len(read(first, second, third)) == 120 })
	described, err := adm.DescribeGroups(ctx, group)
	check(err)
	seen["state"], seen["members"] = described[group].State, len(described[group].Members)
	lag, err := adm.Lag(ctx, group)
	check(err)
	seen["lag"] = lag[group].Lag.Total()
	busy, err := adm.DeleteGroup(ctx, group)
	seen["busy"] = name(errors.Join(err, busy.Err))
	third.leave()
	gone, err := adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs("static").Reason("the test removes it"))
	check(err)
	seen["removed"] = name(gone.Error())
	until(ctx, "the first has all", func() bool { return first.owns() == 4 })
	first.leave()
	fetched, err := adm.FetchOffsets(ctx, group)
	check(err)
	offsets := []int64{}
	for partition := range int32(4) {
		one, _ := fetched.Lookup(topic, partition)
		offsets = append(offsets, one.At)
	}
	seen["offsets"] = offsets
	seen["lost"] = first.lost + second.lost + third.lost
	deleted, err := adm.DeleteGroup(ctx, group)
	seen["delete"] = name(errors.Join(err, deleted.Err))
	values := []int{}
	for _, value := range read(first, second, third) {
		number := 0
		fmt.Sscan(value, &number)
		values = append(values, number)
	}
	sort.Ints(values)
	seen["values"] = values
	return seen
}

func main() {
	if len(os.Args) > 4 && os.Args[2] == "member" {
		reader(os.Args[1], os.Args[3], os.Args[4])
		return
	}
	if len(os.Args) > 6 && os.Args[2] == "load" {
		partitions, err := strconv.ParseInt(os.Args[5], 10, 32)
		check(err)
		rate, err := strconv.ParseFloat(os.Args[6], 64)
		check(err)
		load(os.Args[1], os.Args[3], os.Args[4], int32(partitions), rate)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	bootstrap, action, topic := os.Args[1], os.Args[2], os.Args[3]
	actions := map[string]func(context.Context, string, string) any{"round-trip": roundTrip, "admin": admin, "group": group,
		"administer": administer}
	check(json.NewEncoder(os.Stdout).Encode(actions[action](ctx, bootstrap, topic)))
}
