package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const ticksPerSecond = 100 // CLK_TCK of every Linux there is.

// processes are the brokers by their node ids.
type processes map[int32]int

// Set makes it a flag: NODE=PID.
func (all processes) Set(text string) error {
	node, pid, found := strings.Cut(text, "=")
	id, badID := strconv.Atoi(node)
	process, badPid := strconv.Atoi(pid)
	if !found || badID != nil || badPid != nil {
		return fmt.Errorf("NODE=PID is wanted")
	}
	all[int32(id)] = process
	return nil
}

func (all processes) String() string { return fmt.Sprint(map[int32]int(all)) }

// cpuSeconds is what they have used so far, kernel time and all threads included.
func (all processes) cpuSeconds() float64 {
	ticks := 0
	for _, pid := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // It was killed.
		}
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+2:])
		for _, field := range fields[11:13] {
			value, err := strconv.Atoi(string(field))
			check(err)
			ticks += value
		}
	}
	return float64(ticks) / ticksPerSecond
}

func (all processes) rssBytes() float64 {
	kilobytes := 0.0
	for _, pid := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		check(err)
		value, err := strconv.ParseFloat(string(regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(text)[1]), 64)
		check(err)
		kilobytes += value
	}
	return kilobytes * 1024
}

// heapBytes is what lives in a JVM's heap after a collection: its RSS tells little of what it needs.
func (all processes) heapBytes() float64 {
	kilobytes := 0.0
	for _, pid := range all {
		for _, command := range []string{"GC.run", "GC.heap_info"} {
			text, err := exec.Command("jcmd", strconv.Itoa(pid), command).Output()
			check(err)
			if found := regexp.MustCompile(`heap\s+total \d+K, used (\d+)K`).FindSubmatch(text); found != nil {
				value, err := strconv.ParseFloat(string(found[1]), 64)
				check(err)
				kilobytes += value
			}
		}
	}
	return kilobytes * 1024
}

// idlePercent is what they use while nobody asks anything, in percent of a core.
func (all processes) idlePercent(span time.Duration) float64 {
	before := all.cpuSeconds()
	time.Sleep(span)
	return (all.cpuSeconds() - before) / span.Seconds() * 100
}
