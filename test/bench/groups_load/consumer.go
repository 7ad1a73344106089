package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const leavingEpoch = -1

// consumerMember is a member of a group of the consumer protocol (KIP-848) on a connection of its own.
type consumerMember struct {
	link  *connection
	group string
	topic string
	id    string
	epoch int32
	owned []kmsg.ConsumerGroupHeartbeatRequestTopic
}

func memberID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return base64.RawURLEncoding.EncodeToString(id)
}

// heartbeat says all of it when it joins and what it owns when that has changed, as clients do. True: it is to own
// something else now.
func (one *consumerMember) heartbeat(owned bool) (changed bool, err error) {
	request := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	request.Version, request.Group, request.MemberID, request.MemberEpoch = 1, one.group, one.id, one.epoch
	request.RebalanceTimeoutMillis = -1
	if one.epoch == 0 {
		request.RebalanceTimeoutMillis, request.SubscribedTopicNames = 60000, []string{one.topic}
		request.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	} else if owned {
		request.Topics = one.owned
	}
	answer, err := ask[*kmsg.ConsumerGroupHeartbeatResponse](one.link, request)
	if err != nil {
		return false, err
	}
	if answer.ErrorCode != 0 {
		return false, fmt.Errorf("ConsumerGroupHeartbeat: error %d", answer.ErrorCode)
	}
	one.epoch = answer.MemberEpoch
	if answer.Assignment == nil {
		return false, nil
	}
	one.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, topic := range answer.Assignment.Topics {
		part := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		part.TopicID, part.Partitions = topic.TopicID, topic.Partitions
		one.owned = append(one.owned, part)
	}
	return true, nil
}

func (one *consumerMember) count() int {
	count := 0
	for _, topic := range one.owned {
		count += len(topic.Partitions)
	}
	return count
}

// live says after each change what it owns and in which epoch, and goes on until it is told to leave.
func (one *consumerMember) live(beat time.Duration, told chan<- part, leaving <-chan struct{}) error {
	one.id = memberID()
	changed, before := false, int32(0)
	for {
		var err error
		if changed, err = one.heartbeat(changed); err != nil {
			return err
		}
		if changed || one.epoch != before {
			told <- part{member: one.id, generation: one.epoch, partitions: one.count(), at: time.Now()}
			before = one.epoch
		}
		if changed {
			continue // What it has let go others wait for.
		}
		select {
		case <-leaving:
			told <- part{member: one.id, gone: true, at: time.Now()}
			one.epoch = leavingEpoch
			_, err := one.heartbeat(false)
			return err
		case <-time.After(beat):
		}
	}
}
