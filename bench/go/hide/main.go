// Command hide is the Go twin of c/hide.c: latency while a large structure is reached from a stack alone most of the
// time.
//
//	hide [NODES OPERATIONS]      (1,000,000 and 20,000,000)
package main

import (
	"tricolorbench/node"
	"tricolorbench/report"
)

const (
	hiddenLong  = 1000 * 1000
	hiddenShort = 20 * 1000
	shownMost   = 5 * 1000
)

type run struct {
	garbage node.Garbage
	latency *report.Latency
	seed    report.Random
	left    int // operations
	moves   uint64
	path    uint64
}

var (
	shown  *node.Node // the head, in static data
	holder *node.Node // what holds the head in the heap
)

// Node i's children are the nodes 4i + 1 to 4i + 4; returns node 0, and the table is garbage.
//
//go:noinline
func treeMake(count int) *node.Node {
	table := make([]*node.Node, count)
	for i := range table {
		table[i] = node.Make(uint64(i))
		if i > 0 {
			table[(i-1)/node.Edges].Edge[(i-1)%node.Edges] = table[i]
		}
	}
	return table[0]
}

// The number of intact nodes below and including n.
func treeEnd(n *node.Node) uint64 {
	var intact uint64
	if n.Intact() {
		intact = 1
	}
	for _, child := range n.Edge {
		if child != nil {
			intact += treeEnd(child)
		}
	}
	return intact
}

// One way down the tree: the numbers on it, or 0 when a node is not intact.
func pathSum(n *node.Node, draw uint64) uint64 {
	var sum uint64
	for ; n != nil; draw >>= 2 {
		if !n.Intact() {
			return 0
		}
		sum += n.Word[0] + 1
		n = n.Edge[draw&3]
	}
	return sum
}

func (r *run) operations(most int) {
	count := min(most, r.left)
	r.left -= count
	for range count {
		r.garbage.Make()
		r.latency.End()
	}
}

// The head leaves the stack for a while; where it is meanwhile changes from time to time.
//
//go:noinline
func (r *run) headMove(head *node.Node) *node.Node {
	toHeap := r.moves%2 == 0
	r.moves++
	if toHeap {
		holder = node.Make(r.moves)
		holder.Edge[0] = head
	} else {
		shown = head
	}
	head = nil
	r.operations(1 + r.seed.Below(shownMost))
	if toHeap {
		head = holder.Edge[0]
		holder.Edge[0] = nil
		holder = nil
	} else {
		head = shown
		shown = nil
	}
	r.path = r.path*31 + pathSum(head, r.seed.Next()>>32)
	return head
}

func main() {
	nodes := report.Arg(1, 1000000)
	operations := report.Arg(2, 20000000)
	head := treeMake(nodes)
	r := run{garbage: node.NewGarbage(), latency: report.NewLatency(), seed: 1, left: operations}
	start := report.NowNs()
	r.latency.Begin(start)
	for r.left > 0 {
		most := hiddenShort
		if r.moves%4 == 0 {
			most = hiddenLong
		}
		r.operations(1 + r.seed.Below(most))
		head = r.headMove(head)
	}
	wallMs := report.MsSince(start)
	report.Measured()

	intact := treeEnd(head)
	if intact != uint64(nodes) {
		node.Lost("hide", uint64(nodes)-intact)
	}
	report.Print("hide", "wall_ms=%.3f moves=%d %s check=%d", wallMs, r.moves, r.latency.Text(),
		r.path*31+intact+r.garbage.End())
}
