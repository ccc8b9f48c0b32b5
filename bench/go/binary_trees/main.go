// Command binary_trees is the Go twin of c/binary_trees.c: many short-lived trees beside one long-lived tree.
//
//	binary_trees DEPTH [THREADS]
//
// The threads of the C program are goroutines here, made anew for each depth.
package main

import (
	"sync"

	"tricolorbench/report"
)

const (
	minDepth   = 4
	maxThreads = 64
)

type node struct {
	left, right *node
}

type share struct {
	depth int
	trees int
	nodes uint64 // result
}

func treeMake(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	left := treeMake(depth - 1)
	right := treeMake(depth - 1)
	return &node{left, right}
}

func (n *node) count() uint64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

//go:noinline
func treeMakeCountDrop(depth int) uint64 {
	return treeMake(depth).count()
}

func (s *share) run() {
	for range s.trees {
		s.nodes += treeMakeCountDrop(s.depth)
	}
}

// All trees of one depth, by `threads` goroutines; the caller itself when that is one.
func depthRun(depth, trees, threads int) uint64 {
	var shares [maxThreads]share
	var running sync.WaitGroup
	for i := range threads {
		s := &shares[i]
		s.depth = depth
		s.trees = trees / threads
		if i < trees%threads {
			s.trees++
		}
		if threads > 1 {
			running.Go(s.run)
		}
	}
	if threads == 1 {
		shares[0].run()
	}
	running.Wait()
	var nodes uint64
	for i := range threads {
		nodes += shares[i].nodes
	}
	return nodes
}

func main() {
	maxDepth := max(report.Arg(1, 18), minDepth+2)
	threads := report.Arg(2, 1)
	if maxDepth > 30 || threads > maxThreads {
		report.Fail("depth %d or threads %d is over the limit of 30 and %d", maxDepth, threads, maxThreads)
	}
	start := report.NowNs()
	check := treeMakeCountDrop(maxDepth + 1)
	longLived := treeMake(maxDepth)
	for depth := minDepth; depth <= maxDepth; depth += 2 {
		check = check*31 + depthRun(depth, 1<<(maxDepth-depth+minDepth), threads)
	}
	check = check*31 + longLived.count()
	wallMs := report.MsSince(start)
	report.Print("binary_trees", "wall_ms=%.3f check=%d", wallMs, check)
}
