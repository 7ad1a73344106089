package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	batchRecords = 64
	fillInFlight = 4
)

// fill produces records whose keys come again and again to each partition of a topic, which it creates.
func fill(options *settings) any {
	brokers := open(options.bootstrap)
	brokers.createTopic(options.topic, int32(options.partitions), int16(options.replicas), options.configs)
	addresses := brokers.addresses()
	leaders := map[int32]int32{}
	for _, partition := range brokers.topic(options.topic).Partitions {
		leaders[partition.Partition] = partition.Leader
	}
	begin := time.Now()
	left := atomic.Int64{}
	left.Store(int64(options.bytes))
	var done sync.WaitGroup
	for partition, leader := range leaders {
		done.Go(func() {
			link := mustDial(addresses[leader])
			defer link.close()
			fillPartition(link, options, partition, &left)
		})
	}
	done.Wait()
	return map[string]any{"seconds": time.Since(begin).Seconds(), "bytes": options.bytes, "errors": 0}
}

func fillPartition(link *connection, options *settings, partition int32, left *atomic.Int64) {
	dice := rand.New(rand.NewSource(int64(partition)))
	flying := 0
	request := kmsg.NewPtrProduceRequest()
	request.Version, request.Acks, request.TimeoutMillis = 7, -1, 30000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = options.topic
	records := kmsg.NewProduceRequestTopicPartition()
	records.Partition = partition
	topic.Partitions = append(topic.Partitions, records)
	request.Topics = append(request.Topics, topic)
	wait := func() {
		response, err := link.receive(request)
		check(err)
		if code := response.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			check(fmt.Errorf("Produce: error %d", code))
		}
		flying--
	}
	value := make([]byte, options.recordBytes)
	// A broker may be named as the leader a moment before it knows it.
	until("a record is taken", func() bool {
		records.Records = batch(dice, options.keys, value)
		request.Topics[0].Partitions[0] = records
		return mustAsk[*kmsg.ProduceResponse](link, request).Topics[0].Partitions[0].ErrorCode == 0
	})
	for left.Add(-int64(batchRecords*options.recordBytes)) > -int64(batchRecords*options.recordBytes) {
		request.Topics[0].Partitions[0].Records = batch(dice, options.keys, value)
		check(link.send(request))
		if flying++; flying == fillInFlight {
			wait()
		}
	}
	for flying > 0 {
		wait()
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a record batch (v2) of records with keys drawn from so many, and values that do not compress well.
func batch(dice *rand.Rand, keys int, value []byte) []byte {
	now := time.Now().UnixMilli()
	body := []byte{}
	for number := range batchRecords {
		_, _ = dice.Read(value[:min(len(value), 64)])
		record := kmsg.Record{OffsetDelta: int32(number), Key: strconv.AppendInt([]byte("key-"), int64(dice.Intn(keys)), 10), Value: value}
		without := record.AppendTo(nil)
		record.Length = int32(len(without) - 1) // Of what follows the length, which was one byte for now.
		body = record.AppendTo(body)
	}
	whole := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: batchRecords - 1, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: batchRecords, Records: body}
	data := whole.AppendTo(nil)
	const lengthEnds, crcBegins, crcEnds = 12, 17, 21
	binary.BigEndian.PutUint32(data[8:], uint32(len(data)-lengthEnds))
	binary.BigEndian.PutUint32(data[crcBegins:], crc32.Checksum(data[crcEnds:], castagnoli))
	return data
}

// alter sets configurations of the topic.
func alter(options *settings) any {
	brokers := open(options.bootstrap)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Version = 1
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, options.topic
	for key, value := range options.configs {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = key, kmsg.StringPtr(value)
		resource.Configs = append(resource.Configs, config)
	}
	request.Resources = append(request.Resources, resource)
	answer := mustAsk[*kmsg.IncrementalAlterConfigsResponse](brokers.control, request)
	if code := answer.Resources[0].ErrorCode; code != 0 {
		check(fmt.Errorf("IncrementalAlterConfigs: error %d", code))
	}
	return map[string]any{"errors": 0}
}
