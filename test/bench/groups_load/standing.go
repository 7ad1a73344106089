package main

import (
	"time"
)

const (
	settle    = 2 * time.Second
	idleSpan  = 5 * time.Second
	sessionMS = 30 * 60 * 1000 // Nobody has to speak meanwhile.
)

// standing tells what many groups of one member each, or one group of many members, cost a broker that nobody asks anything:
// memory, and CPU. The members' connections are there before anything counts.
func standing(options *settings) any {
	brokers := open(options.bootstrap)
	topic := freshName("standing")
	brokers.createTopic(topic, int32(options.partitions), int16(options.replicas), nil)
	address, _ := brokers.coordinator("anybody")
	links := make([]*connection, max(options.connections, options.members))
	for number := range links {
		links[number] = mustDial(address)
		_, _, err := fetchOffsets(links[number], "anybody", topic, 100)
		check(err)
	}
	figures := map[string]any{"errors": 0}
	note := func(when string) (rss, heap float64) {
		if options.java {
			heap = options.pids.heapBytes()
		}
		time.Sleep(settle)
		figures["idle_cpu_"+when] = options.pids.idlePercent(idleSpan)
		rss = options.pids.rssBytes()
		figures["rss_mb_"+when] = rss / 1e6
		return rss, heap
	}
	rss, heap := note("before")
	begin := time.Now()
	count := options.groups
	if count == 1 {
		count = options.members
		joinOne(options, links, topic)
	} else {
		joinMany(options, links, topic)
	}
	figures["joining_s"] = time.Since(begin).Seconds()
	rssThen, heapThen := note("then")
	figures["bytes_each"] = (rssThen - rss) / float64(count)
	if options.java {
		figures["heap_bytes_each"] = (heapThen - heap) / float64(count)
	}
	return figures
}

// joinMany makes groups of one member each, which commits once.
func joinMany(options *settings, links []*connection, topic string) {
	inParallel(len(links), len(links), func(number int) {
		for turn := number; turn < options.groups; turn += len(links) {
			member := &classicMember{link: links[number], group: freshName("standing"), topic: topic, partitions: 1, sessionMS: sessionMS}
			_, err := member.join()
			check(err)
			check(member.commit())
		}
	})
}

// joinOne makes one group.
func joinOne(options *settings, links []*connection, topic string) {
	group := freshName("many")
	inParallel(options.members, options.members, func(number int) {
		member := &classicMember{link: links[number], group: group, topic: topic, partitions: int32(options.partitions), sessionMS: sessionMS}
		_, err := member.join()
		check(err)
	})
}
