// Command deep is the Go twin of c/deep.c: latency at the bottom of a deep stack that is full of pointers.
//
//	deep [MIB OPERATIONS]      (8 MiB and 5,000,000)
//
// The goroutine's stack grows as it recurses, and is copied when it does.
package main

import (
	"tricolorbench/node"
	"tricolorbench/report"
)

const (
	framesPerMiB  = 4096
	framePointers = 8
	frameNumbers  = 20
)

type frame struct {
	held   [framePointers]*node.Node
	number [frameNumbers]uint64
}

type run struct {
	frames, operations int
	latency            *report.Latency
	intact             uint64 // results
	wallMs             float64
}

//go:noinline
func (f *frame) fill(depth int) {
	for i := range f.held {
		f.held[i] = node.Make(uint64(depth*framePointers + i))
	}
	for i := range f.number {
		f.number[i] = uint64(depth + i)
	}
}

// How many of a frame's pointers and numbers are as they should be.
//
//go:noinline
func (f *frame) end(depth int) uint64 {
	var intact uint64
	for i, n := range f.held {
		if n.Intact() && n.Word[0] == uint64(depth*framePointers+i) {
			intact++
		}
	}
	for i, number := range f.number {
		if number == uint64(depth+i) {
			intact++
		}
	}
	return intact
}

//go:noinline
func (r *run) bottom() {
	g := node.NewGarbage()
	start := report.NowNs()
	r.latency.Begin(start)
	for range r.operations {
		g.Make()
		r.latency.End()
	}
	r.wallMs = report.MsSince(start)
	report.Measured()
	r.intact += g.End()
}

//go:noinline
func (r *run) descend(depth int) {
	var f frame
	f.fill(depth)
	if depth+1 < r.frames {
		r.descend(depth + 1)
	} else {
		r.bottom()
	}
	r.intact += f.end(depth)
}

func main() {
	r := run{frames: report.Arg(1, 8) * framesPerMiB, operations: report.Arg(2, 5000000), latency: report.NewLatency()}
	done := make(chan struct{})
	go func() {
		r.descend(0)
		close(done)
	}()
	<-done
	expected := uint64(r.frames*(framePointers+frameNumbers) + min(r.operations, 1024))
	if r.intact != expected {
		node.Lost("deep", expected-r.intact)
	}
	report.Print("deep", "wall_ms=%.3f %s check=%d", r.wallMs, r.latency.Text(), r.intact)
}
