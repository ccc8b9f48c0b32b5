// Command data is the Go twin of c/data.c: latency with much static data, all of it pointers, written all over while
// the program allocates.
//
//	data [OPERATIONS]      (10,000,000)
package main

import (
	"tricolorbench/node"
	"tricolorbench/report"
)

const places = 9 << 20 / 8

var place [places]*node.Node

func main() {
	operations := report.Arg(1, 10000000)
	seed := report.Random(88172645463325252)
	for i := range place {
		place[i] = node.Make(uint64(i))
	}
	latency := report.NewLatency()
	start := report.NowNs()
	latency.Begin(start)
	for i := range operations {
		place[seed.Below(places)] = node.Make(uint64(places + i))
		latency.End()
	}
	wallMs := report.MsSince(start)
	report.Measured()

	var lost, check uint64
	for _, n := range place {
		if !n.Intact() {
			lost++
		}
		check = check*31 + n.Word[0]
	}
	if lost > 0 {
		node.Lost("data", lost)
	}
	report.Print("data", "wall_ms=%.3f %s check=%d", wallMs, latency.Text(), check)
}
