// What the franz-go test runs: one action against one topic, its result as JSON.
//
//	franz_go BOOTSTRAP ACTION TOPIC
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
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
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordDeliveryTimeout(30 * time.Second)}, options...)...)
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

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	bootstrap, action, topic := os.Args[1], os.Args[2], os.Args[3]
	actions := map[string]func(context.Context, string, string) any{"round-trip": roundTrip, "admin": admin}
	check(json.NewEncoder(os.Stdout).Encode(actions[action](ctx, bootstrap, topic)))
}
