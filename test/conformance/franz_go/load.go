package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load produces to the partitions of a topic in turn, as many records a second as it is told, until its standard input
// ends: the twin of test/chaos/load.py, with this client's own defaults. It writes a line for each acknowledgement to the
// ledger and, at the end, says what came of it in load.py's words.
func load(bootstrap, topic, file string, partitions int32, rate float64) {
	ledger, err := os.Create(file)
	check(err)
	lines := bufio.NewWriter(ledger)
	producer := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(2*time.Minute))
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var telling sync.Mutex
	last, gaps, failed := map[int32]time.Time{}, map[int32]float64{}, []string{}
	acknowledged, sent := 0, 0
	began := time.Now()
	for ; ; sent++ {
		due := began.Add(time.Duration(float64(sent) / rate * float64(time.Second)))
		select {
		case <-ended:
		case <-time.After(time.Until(due)):
			record := &kgo.Record{Topic: topic, Partition: int32(sent) % partitions, Value: fmt.Appendf(nil, "value-%09d", sent)}
			producer.Produce(context.Background(), record, func(done *kgo.Record, err error) {
				telling.Lock()
				defer telling.Unlock()
				if err != nil {
					failed = append(failed, err.Error())
					return
				}
				now := time.Now()
				if before, seen := last[done.Partition]; seen {
					gaps[done.Partition] = max(gaps[done.Partition], float64(now.Sub(before).Microseconds())/1000)
				}
				last[done.Partition] = now
				acknowledged++
				fmt.Fprintf(lines, "%.1f %d %d %s\n", float64(now.Sub(began).Microseconds())/1000, done.Partition, done.Offset, done.Value)
				lines.Flush()
			})
			continue
		}
		break
	}
	check(producer.Flush(context.Background()))
	producer.Close()
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"sent": sent, "acknowledged": acknowledged,
		"unreported": sent - acknowledged - len(failed), "failed": failed, "gap_ms": gaps}))
}
