// Command micro is the Go twin of c/micro.c: the cost of one allocation of one constant size, the collections it causes
// included.
//
//	micro noscan|conservative|typed [MIB]      (256 MiB for each size)
//
// Go scans nothing conservatively. The nearest thing, and what the conservative kind allocates here, is an object of
// which every word is a pointer: the collector has to look at each word, but need not ask whether it is one.
package main

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"tricolorbench/report"
)

//go:generate go run generate.go

const (
	ringSize  = 1024
	roundsMin = 4
)

const (
	noscan = iota
	conservative
	typed
	kinds
)

var kindNames = []string{"noscan", "conservative", "typed"}

// The newest objects; whatever their type, each is reached from here alone.
var ring [ringSize]unsafe.Pointer

type loop struct {
	size int
	run  [kinds]func()
}

// How many of the ring's objects hold what was written into them.
func ringIntact(kind int) uint64 {
	var intact uint64
	for i, p := range ring {
		if kind == noscan && *(*uint64)(p) == uint64(i) || kind != noscan && *(*unsafe.Pointer)(p) == p {
			intact++
		}
	}
	return intact
}

// Nanoseconds per allocation of one size; adds to *check how much was allocated and found intact.
func (l *loop) time(kind, bytes int, check *uint64) float64 {
	rounds := max(bytes/l.size/ringSize, roundsMin)
	start := report.NowNs()
	for range rounds {
		l.run[kind]()
	}
	took := report.NowNs() - start
	*check = *check*31 + uint64(rounds) + ringIntact(kind)
	clear(ring[:])
	return float64(took) / float64(rounds*ringSize)
}

func main() {
	name := report.Word(1, "noscan")
	kind := slices.Index(kindNames, name)
	if kind < 0 {
		report.Fail("kind %q is none of noscan, conservative, typed", name)
	}
	bytes := report.Arg(2, 256) << 20
	var text strings.Builder
	var check uint64
	start := report.NowNs()
	for i := range loops {
		ns := loops[i].time(kind, bytes, &check)
		fmt.Fprintf(&text, "ns_%d=%.3f ", loops[i].size, ns)
	}
	wallMs := report.MsSince(start)
	report.Print("micro", "kind=%s wall_ms=%.3f %scheck=%d", name, wallMs, text.String(), check)
}
