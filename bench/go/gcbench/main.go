// Command gcbench is the Go twin of c/gcbench.c: trees built bottom-up and top-down, beside a long-lived tree and
// array.
//
//	gcbench [STRETCH LONG_LIVED ARRAY]      (20, 18 and 2,000,000)
package main

import "tricolorbench/report"

const minDepth = 4

type node struct {
	left, right *node
	i, j        int32
}

func treeMake(depth int) *node {
	if depth <= 0 {
		return &node{}
	}
	left := treeMake(depth - 1)
	right := treeMake(depth - 1)
	return &node{left: left, right: right}
}

func (n *node) populate(depth int) {
	if depth <= 0 {
		return
	}
	n.left = &node{}
	n.right = &node{}
	n.left.populate(depth - 1)
	n.right.populate(depth - 1)
}

func (n *node) count() uint64 {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func treeSize(depth int) int {
	return 1<<(depth+1) - 1
}

// The newest tree; global, as a program's data would be, so that no compiler drops the work.
var current *node

//go:noinline
func topDown(depth int) {
	current = &node{}
	current.populate(depth)
	current = nil
}

//go:noinline
func bottomUp(depth int) {
	current = treeMake(depth)
	current = nil
}

// Builds the trees of one depth both ways; returns how many nodes that made.
func depthRun(depth, stretch int) uint64 {
	trees := 2 * treeSize(stretch) / treeSize(depth)
	for range trees {
		topDown(depth)
	}
	for range trees {
		bottomUp(depth)
	}
	return 2 * uint64(trees*treeSize(depth))
}

func main() {
	stretch := report.Arg(1, 20)
	depthMax := report.Arg(2, 18)
	doubles := report.Arg(3, 2000000)
	start := report.NowNs()
	bottomUp(stretch)
	longLived := &node{}
	longLived.populate(depthMax)
	array := make([]float64, doubles)
	for i := range doubles / 2 {
		array[i] = 1.0 / float64(i+1)
	}
	var nodes uint64
	for depth := minDepth; depth <= depthMax; depth += 2 {
		nodes += depthRun(depth, stretch)
	}
	check := nodes*31 + longLived.count()
	if doubles > 2000 && array[1000] == 1.0/1001.0 {
		check++
	}
	wallMs := report.MsSince(start)
	report.Print("gcbench", "wall_ms=%.3f check=%d", wallMs, check)
}
