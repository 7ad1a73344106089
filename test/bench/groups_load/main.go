// What test/bench/groups drives both brokers with: one scenario, one process, its figures as one line of JSON.
//
//	groups_load SCENARIO --bootstrap HOST:PORT,... [--pid NODE=PID]... [flags of the scenario]
//
//	rebalance   a group of --members (--protocol classic|consumer) with --partitions, whose members beat every --heartbeat-ms:
//	            --rounds times one more comes, and goes; from its request until all have what is theirs
//	commits     --groups of one member each commit, --in-flight on each connection, --rate a second or as fast as it goes,
//	            for --seconds after --warm-up
//	failover    --groups with --partitions-each committed offsets in one partition of __consumer_offsets, whose coordinator
//	            (--victim controller|other) is ended with SIGKILL; until another one answers, and takes commits
//	standing    --groups of one member each over --connections, or --groups 1 of --members; memory and CPU of who does nothing
//	fill        --bytes of --record-bytes with --keys to --topic of --partitions with --config NAME=VALUE
//	alter       --config NAME=VALUE of --topic
//
// Requests are written as they are to sockets, without a client library, so that a thousand members fit in one process and
// both brokers are asked the very same.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

type settings struct {
	bootstrap, protocol, victim, topic                                   string
	members, partitions, partitionsEach, replicas, rounds                int
	groups, connections, inFlight, bytes, keys, recordBytes, heartbeatMS int
	rate, seconds, warmUp                                                float64
	java                                                                 bool
	pids                                                                 processes
	configs                                                              pairs
}

// pairs are NAME=VALUE.
type pairs map[string]string

func (all pairs) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("NAME=VALUE is wanted")
	}
	all[name] = value
	return nil
}

func (all pairs) String() string { return fmt.Sprint(map[string]string(all)) }

var scenarios = map[string]func(*settings) any{
	"rebalance": rebalance, "commits": commits, "failover": failover, "standing": standing, "fill": fill, "alter": alter,
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "groups_load:", err)
		os.Exit(1)
	}
}

func milliseconds(span time.Duration) float64 { return float64(span.Microseconds()) / 1000 }

func seconds(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }

// quantile is of values in order.
func quantile(sorted []float64, share float64) any {
	if len(sorted) == 0 {
		return nil
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// inParallel does something for each number below `count`, so many at a time.
func inParallel(count, parallel int, do func(number int)) {
	var done sync.WaitGroup
	for lane := range min(count, parallel) {
		done.Go(func() {
			for number := lane; number < count; number += parallel {
				do(number)
			}
		})
	}
	done.Wait()
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		check(fmt.Errorf("expected one of %v", slices.Sorted(maps.Keys(scenarios))))
	}
	options := &settings{pids: processes{}, configs: pairs{}}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&options.bootstrap, "bootstrap", "127.0.0.1:9092", "host:port, by commas")
	flags.StringVar(&options.protocol, "protocol", "classic", "classic, or consumer (KIP-848)")
	flags.StringVar(&options.victim, "victim", "other", "controller: the active one; other: one that is not")
	flags.StringVar(&options.topic, "topic", "", "fill, alter: which")
	flags.IntVar(&options.members, "members", 100, "of a group")
	flags.IntVar(&options.partitions, "partitions", 100, "of the topic")
	flags.IntVar(&options.partitionsEach, "partitions-each", 1, "in one commit")
	flags.IntVar(&options.replicas, "replicas", 3, "of each partition")
	flags.IntVar(&options.rounds, "rounds", 5, "rebalance: how often one comes and goes")
	flags.IntVar(&options.groups, "groups", 60, "how many")
	flags.IntVar(&options.connections, "connections", 2000, "standing: how many, at least as many as members")
	flags.IntVar(&options.inFlight, "in-flight", 5, "commits: requests on each connection")
	flags.IntVar(&options.bytes, "bytes", 1_000_000_000, "fill: how much")
	flags.IntVar(&options.keys, "keys", 100_000, "fill: different ones in each partition")
	flags.IntVar(&options.recordBytes, "record-bytes", 1024, "fill: of a value")
	flags.IntVar(&options.heartbeatMS, "heartbeat-ms", 100, "rebalance: a member beats so often")
	flags.Float64Var(&options.rate, "rate", 0, "commits a second; 0: as fast as answers come")
	flags.Float64Var(&options.seconds, "seconds", 5, "measured")
	flags.Float64Var(&options.warmUp, "warm-up", 1, "seconds before that")
	flags.BoolVar(&options.java, "java", false, "standing: tell what lives in the brokers' heaps, too")
	flags.Var(options.pids, "pid", "NODE=PID of a broker")
	flags.Var(options.configs, "config", "NAME=VALUE of the topic")
	check(flags.Parse(os.Args[2:]))
	check(json.NewEncoder(os.Stdout).Encode(scenarios[os.Args[1]](options)))
}
