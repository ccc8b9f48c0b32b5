// Command pusher is the Go twin of c/pusher.c: how long one allocation can take while much is alive and the collector
// is kept busy.
//
//	pusher [PUSHES LIVE on]      (2,000,000, 200,000 and on)
package main

import "tricolorbench/report"

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

func main() {
	pushes := report.Arg(1, 2000000)
	live := report.Arg(2, 200000)
	report.ArgCollections(3)
	for i := range pattern {
		pattern[i] = byte(i*7 + 1)
	}
	// Cleared although they are zero, as in C: so their pages are there before the clock runs.
	ring := make([]*message, live)
	clear(ring)
	latency := report.NewLatency()

	start := report.NowNs()
	latency.Begin(start)
	slot := 0
	for i := range pushes {
		push(ring, slot, i)
		latency.End()
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
	report.Print("pusher", "wall_ms=%.3f %s check=%d", wallMs, latency.Text(), check)
}
