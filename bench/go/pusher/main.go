// Command pusher is the Go twin of c/pusher.c: how long one allocation can take while much is alive and the collector
// is kept busy.
//
//	pusher [PUSHES LIVE]      (2,000,000 and 200,000)
package main

import (
	"math"
	"slices"

	"tricolorbench/report"
)

const (
	messageBytes = 1024
	patternExtra = 256
)

type message [messageBytes]byte

var pattern [messageBytes + patternExtra]byte

// One push; the bytes written differ from message to message.
func push(ring []*message, slot, number int) {
	m := new(message)
	copy(m[:], pattern[number%patternExtra:])
	ring[slot] = m
}

// The latency that `share` of the pushes did not exceed, in microseconds.
func percentileUs(sorted []uint32, share float64) float64 {
	at := int(float64(len(sorted)) * share)
	return float64(sorted[min(at, len(sorted)-1)]) / 1e3
}

func main() {
	pushes := report.Arg(1, 2000000)
	live := report.Arg(2, 200000)
	for i := range pattern {
		pattern[i] = byte(i*7 + 1)
	}
	// Cleared although they are zero, as in C: so their pages are there before the clock runs.
	ring := make([]*message, live)
	clear(ring)
	tookNs := make([]uint32, pushes)
	clear(tookNs)

	start := report.NowNs()
	slot := 0
	for i := range pushes {
		before := report.NowNs()
		push(ring, slot, i)
		ns := report.NowNs() - before
		tookNs[i] = uint32(min(ns, math.MaxUint32))
		if slot++; slot == live {
			slot = 0
		}
	}
	wallMs := report.MsSince(start)
	report.Measured()

	var check uint64
	for _, m := range ring {
		if m == nil {
			continue
		}
		check = check*31 + uint64(m[0]) + uint64(m[messageBytes-1])
	}
	slices.Sort(tookNs)
	report.Print("pusher", "wall_ms=%.3f p50_us=%.3f p99_us=%.3f p999_us=%.3f p9999_us=%.3f max_us=%.3f check=%d",
		wallMs, percentileUs(tookNs, 0.5), percentileUs(tookNs, 0.99), percentileUs(tookNs, 0.999),
		percentileUs(tookNs, 0.9999), percentileUs(tookNs, 1.0), check)
}
