package main

import (
	"fmt"
	"time"
)

// part is what a member says of what it has been given, or that it goes.
type part struct {
	member     string
	generation int32
	partitions int
	gone       bool
	at         time.Time
}

type alive interface {
	live(beat time.Duration, told chan<- part, leaving <-chan struct{}) error
}

// crowd is the members of one group, and what they have been given.
type crowd struct {
	told       chan part
	parts      map[string]part
	partitions int
}

// await is when all `members` were in one generation behind `after` and had all partitions between them: in the consumer
// protocol members get there one by one.
func (all *crowd) await(members int, after int32, what string) (time.Time, int32) {
	limit := time.After(readySecondsMax * time.Second)
	for {
		select {
		case one := <-all.told:
			if one.gone {
				delete(all.parts, one.member)
			} else {
				all.parts[one.member] = one
			}
			if generation := all.generation(members); generation > after {
				return one.at, generation
			}
		case <-limit:
			seen := map[int32]int{}
			for _, one := range all.parts {
				seen[one.generation]++
			}
			check(fmt.Errorf("not within %d s: %s; members by generation: %v", readySecondsMax, what, seen))
		}
	}
}

// generation is the one in which all have something, or -1: in the consumer protocol members are in a generation before
// there is an assignment for it.
func (all *crowd) generation(members int) int32 {
	if len(all.parts) != members {
		return -1
	}
	found, dealt := int32(-1), 0
	for _, one := range all.parts {
		if one.partitions == 0 || found >= 0 && one.generation != found {
			return -1
		}
		found, dealt = one.generation, dealt+one.partitions
	}
	if dealt != all.partitions {
		return -1
	}
	return found
}

// rebalance measures how long it takes from a member's first word, or its last, until all of a group have what is theirs.
func rebalance(options *settings) any {
	brokers := open(options.bootstrap)
	topic, group := freshName("rebalance"), freshName("group")
	brokers.createTopic(topic, int32(options.partitions), int16(options.replicas), nil)
	address, _ := brokers.coordinator(group)
	all := &crowd{told: make(chan part, 10*options.members), parts: map[string]part{}, partitions: options.partitions}
	beat := time.Duration(options.heartbeatMS) * time.Millisecond
	enter := func() chan struct{} {
		var member alive
		link := mustDial(address)
		if options.protocol == "consumer" {
			member = &consumerMember{link: link, group: group, topic: topic}
		} else {
			member = &classicMember{link: link, group: group, topic: topic, partitions: int32(options.partitions), sessionMS: 30000}
		}
		leaving := make(chan struct{})
		go func() {
			check(member.live(beat, all.told, leaving))
			link.close()
		}()
		return leaving
	}
	for range options.members - 1 {
		enter()
	}
	_, generation := all.await(options.members-1, 0, "the group is together")
	joins, leaves := []float64{}, []float64{}
	cpu := options.pids.cpuSeconds()
	begin := time.Now()
	for number := range options.rounds {
		var done time.Time
		apart(2*number, beat)
		asked := time.Now()
		leaving := enter()
		done, generation = all.await(options.members, generation, "all know of the one that has come")
		joins = append(joins, milliseconds(done.Sub(asked)))
		apart(2*number+1, beat)
		asked = time.Now()
		close(leaving)
		done, generation = all.await(options.members-1, generation, "all know of the one that has gone")
		leaves = append(leaves, milliseconds(done.Sub(asked)))
	}
	return map[string]any{"join_ms": joins, "leave_ms": leaves, "broker_cpu_s": options.pids.cpuSeconds() - cpu,
		"seconds": time.Since(begin).Seconds(), "errors": 0}
}

// apart keeps rebalances farther from each other than group.consumer.assignment.interval.ms, which bounds how often a broker
// assigns. All beat in step since the last one, so it also goes through all places between two beats, in an order of no sense.
func apart(number int, beat time.Duration) {
	const places, step = 10, 7
	time.Sleep(1200*time.Millisecond + beat*time.Duration(number*step%places)/places)
}
