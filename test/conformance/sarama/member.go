package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type event map[string]any

var speaking sync.Mutex

func say(what string, values event) {
	speaking.Lock()
	defer speaking.Unlock()
	values["event"], values["at"] = what, float64(time.Now().UnixMicro())/1e6
	check(json.NewEncoder(os.Stdout).Encode(values))
}

// handler says what happens in the words of confluent/member.py, and commits after each record.
type handler struct {
	// Of its own: a client has one connection to a broker, on which answers come in order, so that a commit behind a fetch that
	// waits for records waits for them, too (by Kafka as by us: with nothing to read, half a second each).
	commits sarama.Client
	group   string
}

func (one *handler) rebalanced(what string, session sarama.ConsumerGroupSession) error {
	for _, partitions := range session.Claims() {
		say(what, event{"partitions": partitions, "generation": session.GenerationID(), "member": session.MemberID()})
	}
	return nil
}

func (one *handler) Setup(session sarama.ConsumerGroupSession) error {
	return one.rebalanced("assigned", session)
}

func (one *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	return one.rebalanced("revoked", session)
}

func (one *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			say("record", event{"partition": message.Partition, "offset": message.Offset, "value": string(message.Value)})
			next := message.Offset + 1
			err := one.commit(session, message.Topic, message.Partition, next)
			problem := any(nil)
			if err != nil {
				problem = err.Error()
			}
			say("committed", event{"error": problem, "offsets": map[string]int64{fmt.Sprint(message.Partition): next}})
			// Later sessions begin where this one has got to, also when the commit has failed: sarama asks the broker.
			session.MarkMessage(message, "")
		}
	}
}

// commit asks the coordinator itself: sarama's own Commit() does not tell its caller what was answered.
func (one *handler) commit(session sarama.ConsumerGroupSession, topic string, partition int32, offset int64) error {
	coordinator, err := one.commits.Coordinator(one.group)
	if err != nil {
		return err
	}
	request := &sarama.OffsetCommitRequest{Version: 2, ConsumerGroup: one.group, ConsumerGroupGeneration: session.GenerationID(),
		ConsumerID: session.MemberID(), RetentionTime: -1}
	request.AddBlock(topic, partition, offset, sarama.ReceiveTime, "")
	response, err := coordinator.CommitOffset(request)
	if err == nil && response.Errors[topic][partition] != sarama.ErrNoError {
		err = response.Errors[topic][partition]
	}
	if err != nil {
		_ = coordinator.Close()
		_ = one.commits.RefreshCoordinator(one.group)
	}
	return err
}

// member joins the group and reads until its standard input says `close` or ends.
func member(bootstrap []string, group, topic string) {
	config := settings()
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	config.Consumer.Retry.Backoff = 200 * time.Millisecond
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	client, err := sarama.NewClient(bootstrap, config)
	check(err)
	consumers, err := sarama.NewConsumerGroupFromClient(group, client)
	check(err)
	commits, err := sarama.NewClient(bootstrap, config)
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() && lines.Text() != "close" {
		}
		stop()
	}()
	for ctx.Err() == nil {
		err := consumers.Consume(ctx, []string{topic}, &handler{commits: commits, group: group})
		if err != nil && !errors.Is(err, context.Canceled) {
			say("error", event{"name": err.Error()})
		}
	}
	check(consumers.Close())
	_ = client.Close()
	_ = commits.Close()
	say("closed", event{})
}
