// What the sarama tests run.
//
//	sarama BOOTSTRAP round-trip TOPIC         each codec there and back; the result as JSON
//	sarama BOOTSTRAP admin TOPIC              what an admin does; likewise
//	sarama BOOTSTRAP member GROUP TOPIC       a member of a group that says what happens to it (member.go)
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const records = 300

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

// produce sends records to partition 0 as an idempotent producer and returns the offsets that it was told.
func produce(bootstrap []string, topic string, codec sarama.CompressionCodec) []int64 {
	config := settings()
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Net.MaxOpenRequests = 1 // sarama's own condition.
	config.Producer.Compression = codec
	config.Producer.Flush.MaxMessages = 20
	producer, err := sarama.NewAsyncProducer(bootstrap, config)
	check(err)
	go func() {
		for n := range records {
			producer.Input() <- &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprintf("k%d", n)),
				Value: sarama.StringEncoder(fmt.Sprintf("value %060d", n)), Metadata: n,
				Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: fmt.Append(nil, n)}}}
		}
	}()
	offsets := make([]int64, records)
	for range records {
		select {
		case done := <-producer.Successes():
			offsets[done.Metadata.(int)] = done.Offset
		case failed := <-producer.Errors():
			check(failed)
		}
	}
	check(producer.Close())
	return offsets
}

// consume reads partition 0 from the given offset, without a group.
func consume(bootstrap []string, topic string, from int64, want int) []*sarama.ConsumerMessage {
	consumer, err := sarama.NewConsumer(bootstrap, settings())
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, from)
	check(err)
	seen := []*sarama.ConsumerMessage{}
	for len(seen) < want {
		select {
		case message := <-partition.Messages():
			seen = append(seen, message)
		case <-time.After(30 * time.Second):
			check(fmt.Errorf("%d of %d records came", len(seen), want))
		}
	}
	check(partition.Close())
	check(consumer.Close())
	return seen
}

// roundTrip says for each codec what did not come back as it was sent.
func roundTrip(bootstrap []string, topic string) any {
	wrong := map[string][]string{}
	for index, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
		sarama.CompressionLZ4, sarama.CompressionZSTD} {
		base := int64(index * records)
		notes := []string{}
		for n, offset := range produce(bootstrap, topic, codec) {
			if offset != base+int64(n) {
				notes = append(notes, fmt.Sprintf("record %d was told offset %d", n, offset))
			}
		}
		for n, message := range consume(bootstrap, topic, base, records) {
			if message.Offset != base+int64(n) || string(message.Key) != fmt.Sprintf("k%d", n) ||
				string(message.Value) != fmt.Sprintf("value %060d", n) || len(message.Headers) != 1 ||
				string(message.Headers[0].Value) != fmt.Sprint(n) {
				notes = append(notes, fmt.Sprintf("record %d came back as %d %s %s", n, message.Offset, message.Key, message.Value))
			}
		}
		wrong[codec.String()] = notes
	}
	return wrong
}

// name is that of the broker's error, or nothing.
func name(err error) string {
	var refused sarama.KError
	var topic *sarama.TopicError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &topic):
		return fmt.Sprint(int16(topic.Err))
	case errors.As(err, &refused):
		return fmt.Sprint(int16(refused))
	}
	return err.Error()
}

func admin(bootstrap []string, topic string) any {
	adm, err := sarama.NewClusterAdmin(bootstrap, settings())
	check(err)
	defer adm.Close()
	hour := "3600000"
	detail := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &hour}}
	seen := map[string]any{}
	seen["create"] = name(adm.CreateTopic(topic, detail, false))
	seen["again"] = name(adm.CreateTopic(topic, detail, false))
	seen["grow"] = name(adm.CreatePartitions(topic, 3, nil, false))
	// Brokers hear of the new partition a moment after the controller has decided it.
	partitions := 0
	for until := time.Now().Add(20 * time.Second); partitions < 3 && time.Now().Before(until); {
		described, err := adm.DescribeTopics([]string{topic})
		check(err)
		partitions = len(described[0].Partitions)
	}
	seen["partitions"] = partitions
	configs, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	check(err)
	seen["retention"] = configs[0].Value
	minute := "60000"
	seen["alter"] = name(adm.IncrementalAlterConfig(sarama.TopicResource, topic,
		map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &minute}}, false))
	brokers, _, err := adm.DescribeCluster()
	check(err)
	seen["broker"] = brokers[0].Addr()
	groups, err := adm.ListConsumerGroups()
	check(err)
	_, there := groups[topic+"-group"]
	seen["group"] = there
	seen["no such group"] = name(adm.DeleteConsumerGroup(topic + "-group"))
	seen["delete"] = name(adm.DeleteTopic(topic))
	return seen
}

func main() {
	bootstrap, action := strings.Split(os.Args[1], ","), os.Args[2]
	switch action {
	case "round-trip":
		check(json.NewEncoder(os.Stdout).Encode(roundTrip(bootstrap, os.Args[3])))
	case "admin":
		check(json.NewEncoder(os.Stdout).Encode(admin(bootstrap, os.Args[3])))
	case "member":
		member(bootstrap, os.Args[3], os.Args[4])
	default:
		check(fmt.Errorf("no such action: %s", action))
	}
}
