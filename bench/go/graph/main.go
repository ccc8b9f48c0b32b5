// Command graph is the Go twin of c/graph.c: how fast a collector marks a random graph that stays alive.
//
//	graph NODES typed [COLLECTIONS]
//
// Go knows the type of every object, so the conservative kind of the C program has no twin. A collection is runtime.GC,
// which returns only when it has swept as well.
package main

import (
	"math"
	"runtime"
	"slices"

	"tricolorbench/report"
)

const (
	edges          = 4
	collectionsMax = 32
)

type node struct {
	edge   [edges]*node
	number [edges]uint64 // 0: the node's own; 1: 1 once walked
}

var root *node

// Builds the graph and keeps node 0; the table of nodes is garbage on return.
//
//go:noinline
func graphBuild(count int) {
	table := make([]*node, count)
	seed := report.Random(88172645463325252)
	for i := range table {
		n := new(node)
		n.number[0] = uint64(i)
		n.number[1] = 0
		table[i] = n
	}
	for _, n := range table {
		for k := range n.edge {
			n.edge[k] = table[seed.Below(count)]
		}
	}
	root = table[0]
}

// Walks everything that node 0 reaches; live counts it, and check mixes the numbers found.
func graphWalk(count int) (check, live uint64) {
	stack := make([]*node, 0, count)
	live = 1
	root.number[1] = 1
	stack = append(stack, root)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		check = check*31 + n.number[0]
		for _, to := range n.edge {
			if to.number[1] != 0 {
				continue
			}
			to.number[1] = 1
			stack = append(stack, to)
			live++
		}
	}
	return check, live
}

func main() {
	count := report.Arg(1, 2000000)
	kind := report.Word(2, "typed")
	collections := report.Arg(3, 3)
	if kind != "typed" || collections > collectionsMax || count > math.MaxUint32 {
		report.Fail("give NODES below 2^32, typed (Go has no conservative objects), and at most %d collections",
			collectionsMax)
	}
	start := report.NowNs()
	graphBuild(count)
	buildMs := report.MsSince(start)
	runtime.GC()
	collectMs := make([]float64, collections)
	for i := range collectMs {
		start = report.NowNs()
		runtime.GC()
		collectMs[i] = report.MsSince(start)
	}
	report.Measured()
	slices.Sort(collectMs)
	check, live := graphWalk(count)
	medianMs := collectMs[collections/2]
	report.Print("graph", "kind=%s nodes=%d live=%d build_ms=%.3f collect_ms=%.3f mobj_per_s=%.3f check=%d",
		kind, count, live, buildMs, medianMs, float64(live)/medianMs/1e3, check)
}
