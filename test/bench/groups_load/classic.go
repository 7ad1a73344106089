package main

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicMember is a member of a classic group on a connection of its own. Its leader deals partitions out in turn.
type classicMember struct {
	link       *connection
	group      string
	topic      string
	partitions int32
	sessionMS  int32
	id         string
	generation int32
}

// join goes through JoinGroup and SyncGroup until the member has its part; the partitions of it.
func (one *classicMember) join() ([]int32, error) {
	for {
		request := kmsg.NewPtrJoinGroupRequest()
		request.Version, request.Group, request.MemberID, request.ProtocolType = 7, one.group, one.id, "consumer"
		request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = one.sessionMS, 60000
		protocol := kmsg.NewJoinGroupRequestProtocol()
		protocol.Name = "range"
		protocol.Metadata = (&kmsg.ConsumerMemberMetadata{Topics: []string{one.topic}}).AppendTo(nil)
		request.Protocols = append(request.Protocols, protocol)
		joined, err := ask[*kmsg.JoinGroupResponse](one.link, request)
		if err != nil {
			return nil, err
		}
		switch joined.ErrorCode {
		case 0:
			one.id, one.generation = joined.MemberID, joined.Generation
		case memberIDRequired:
			one.id = joined.MemberID
			continue
		case rebalanceInProgress, loading, notAvailable:
			continue
		default:
			return nil, fmt.Errorf("JoinGroup: error %d", joined.ErrorCode)
		}
		synced, err := one.sync(joined)
		if err != nil {
			return nil, err
		}
		switch synced.ErrorCode {
		case 0:
			return readAssignment(synced.MemberAssignment)
		case rebalanceInProgress, illegalGeneration:
		default:
			return nil, fmt.Errorf("SyncGroup: error %d", synced.ErrorCode)
		}
	}
}

func (one *classicMember) sync(joined *kmsg.JoinGroupResponse) (*kmsg.SyncGroupResponse, error) {
	request := kmsg.NewPtrSyncGroupRequest()
	request.Version, request.Group, request.MemberID, request.Generation = 5, one.group, one.id, one.generation
	request.ProtocolType, request.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	if joined.LeaderID == one.id {
		parts := make([][]int32, len(joined.Members))
		for partition := range one.partitions {
			owner := int(partition) % len(parts)
			parts[owner] = append(parts[owner], partition)
		}
		for number, member := range joined.Members {
			assignment := kmsg.ConsumerMemberAssignment{}
			assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: one.topic, Partitions: parts[number]}}
			part := kmsg.NewSyncGroupRequestGroupAssignment()
			part.MemberID, part.MemberAssignment = member.MemberID, assignment.AppendTo(nil)
			request.GroupAssignment = append(request.GroupAssignment, part)
		}
	}
	return ask[*kmsg.SyncGroupResponse](one.link, request)
}

func readAssignment(data []byte) ([]int32, error) {
	assignment := kmsg.ConsumerMemberAssignment{}
	if err := assignment.ReadFrom(data); err != nil {
		return nil, err
	}
	partitions := []int32{}
	for _, topic := range assignment.Topics {
		partitions = append(partitions, topic.Partitions...)
	}
	return partitions, nil
}

func (one *classicMember) heartbeat() (int16, error) {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Version, request.Group, request.MemberID, request.Generation = 4, one.group, one.id, one.generation
	answer, err := ask[*kmsg.HeartbeatResponse](one.link, request)
	if err != nil {
		return 0, err
	}
	return answer.ErrorCode, nil
}

func (one *classicMember) leave() error {
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Version, request.Group = 4, one.group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = one.id
	request.Members = append(request.Members, member)
	answer, err := ask[*kmsg.LeaveGroupResponse](one.link, request)
	if err == nil && answer.ErrorCode != 0 {
		err = fmt.Errorf("LeaveGroup: error %d", answer.ErrorCode)
	}
	return err
}

// live says each part that it is given, and goes on until it is told to leave.
func (one *classicMember) live(beat time.Duration, told chan<- part, leaving <-chan struct{}) error {
	for {
		partitions, err := one.join()
		if err != nil {
			return err
		}
		told <- part{member: one.id, generation: one.generation, partitions: len(partitions), at: time.Now()}
		for again := false; !again; {
			select {
			case <-leaving:
				told <- part{member: one.id, gone: true, at: time.Now()}
				return one.leave()
			case <-time.After(beat):
			}
			code, err := one.heartbeat()
			switch {
			case err != nil:
				return err
			case code == rebalanceInProgress || code == illegalGeneration:
				again = true
			case code == unknownMember:
				one.id, again = "", true
			case code != 0:
				return fmt.Errorf("Heartbeat: error %d", code)
			}
		}
	}
}

// commit commits partition 0.
func (one *classicMember) commit() error {
	answer, err := ask[*kmsg.OffsetCommitResponse](one.link, commitRequest(one.group, one.id, one.generation, one.topic, 1, 1))
	if err != nil {
		return err
	}
	if code := commitError(answer); code != 0 {
		return fmt.Errorf("OffsetCommit: error %d", code)
	}
	return nil
}
