package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits lets the only members of many groups commit, each on its own connection, several requests in flight: as fast as
// they are answered, or at a rate.
func commits(options *settings) any {
	brokers := open(options.bootstrap)
	topic := freshName("commits")
	brokers.createTopic(topic, int32(options.partitions), int16(options.replicas), nil)
	members := make([]*classicMember, options.groups)
	inParallel(len(members), len(members), func(number int) {
		brokers := open(options.bootstrap)
		group := freshName(fmt.Sprintf("group-%d", number))
		address, _ := brokers.coordinator(group)
		brokers.control.close()
		members[number] = &classicMember{link: mustDial(address), group: group, topic: topic, partitions: int32(options.partitions),
			sessionMS: 60000}
		_, err := members[number].join()
		check(err)
	})
	run := &commitRun{options: options, begin: time.Now().Add(seconds(options.warmUp))}
	run.end = run.begin.Add(seconds(options.seconds))
	var done sync.WaitGroup
	for number, member := range members {
		done.Go(func() { run.drive(member, number) })
	}
	time.Sleep(time.Until(run.begin))
	cpu := options.pids.cpuSeconds()
	time.Sleep(time.Until(run.end))
	cpu = options.pids.cpuSeconds() - cpu
	done.Wait()
	slices.Sort(run.latencies)
	return map[string]any{"commits": len(run.latencies), "seconds": options.seconds, "broker_cpu_s": cpu, "errors": run.errors.Load(),
		"p50_ms": quantile(run.latencies, 0.5), "p99_ms": quantile(run.latencies, 0.99), "rate": options.rate}
}

type commitRun struct {
	options    *settings
	begin, end time.Time
	errors     atomic.Int64
	mutex      sync.Mutex
	latencies  []float64 // Of what was answered between begin and end.
}

// drive keeps requests of one member in flight until the end, and waits for their answers.
func (run *commitRun) drive(member *classicMember, number int) {
	due := make(chan time.Time, run.options.inFlight) // Of each request that is in flight.
	request := func(offset int64) *kmsg.OffsetCommitRequest {
		return commitRequest(member.group, member.id, member.generation, member.topic, int32(run.options.partitionsEach), offset)
	}
	go func() {
		defer close(due)
		pace := time.Duration(0)
		if run.options.rate > 0 {
			pace = time.Duration(float64(run.options.groups) / run.options.rate * float64(time.Second))
		}
		next := time.Now().Add(pace * time.Duration(number) / time.Duration(run.options.groups))
		for offset := int64(1); time.Now().Before(run.end); offset++ {
			if pace > 0 {
				time.Sleep(time.Until(next))
				due <- next
				next = next.Add(pace)
			} else {
				due <- time.Now()
			}
			check(member.link.send(request(offset)))
		}
	}()
	latencies := []float64{}
	like := request(0)
	for asked := range due {
		answer, err := member.link.receive(like)
		check(err)
		now := time.Now()
		if commitError(answer.(*kmsg.OffsetCommitResponse)) != 0 {
			run.errors.Add(1)
		} else if now.After(run.begin) && now.Before(run.end) {
			latencies = append(latencies, milliseconds(now.Sub(asked)))
		}
	}
	run.mutex.Lock()
	defer run.mutex.Unlock()
	run.latencies = append(run.latencies, latencies...)
}
