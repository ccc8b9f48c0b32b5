// Command churn is the Go twin of c/churn.c: latency of a program that writes pointers all over a large graph while it
// allocates.
//
//	churn [NODES OPERATIONS THREADS on]      (4,000,000, 10,000,000, 1 and on)
//
// The threads of the C program are goroutines here. They share the graph by plain loads and stores: those of the C
// program are the same instructions on x86-64, and those of sync/atomic would cost Go a locked one for each store.
package main

import (
	"math"
	"sync"

	"tricolorbench/node"
	"tricolorbench/report"
)

const (
	threadsMax = 2
	walk       = 4
	hubEvery   = 16
	hubShare   = 1 + node.Edges
)

var hub []*node.Node

type share struct {
	seed       report.Random
	made       uint64 // the number of its next node
	operations int
	startNs    int64
	latency    *report.Latency
	sum, lost  uint64 // results
}

//go:noinline
func graphMake(hubs int) {
	seed := report.Random(88172645463325252)
	var made uint64
	hub = make([]*node.Node, hubs)
	for i := range hub {
		hub[i] = node.Make(made)
		made++
		for k := range hub[i].Edge {
			hub[i].Edge[k] = node.Make(made)
			made++
		}
	}
	for _, h := range hub {
		for _, leaf := range h.Edge {
			for k := range leaf.Edge {
				leaf.Edge[k] = hub[seed.Below(hubs)]
			}
		}
	}
}

// A leaf in the place of another; edges that another goroutine has taken away meanwhile are not there.
func (s *share) leafReplace(place **node.Node) {
	leaf := node.Make(s.made)
	s.made++
	old := *place
	leaf.Edge[0] = hub[s.seed.Below(len(hub))]
	if old != nil {
		copy(leaf.Edge[1:], old.Edge[:])
	}
	*place = leaf
}

func (s *share) hubReplace(place **node.Node) {
	fresh := node.Make(s.made)
	s.made++
	old := *place
	fresh.Edge = old.Edge
	clear(old.Edge[:])
	*place = fresh
}

func (s *share) churn(i int) {
	at := hub[s.seed.Below(len(hub))]
	draw := s.seed.Next() >> 32
	s.leafReplace(&at.Edge[draw&3])
	for k := 1; k <= walk && at != nil; k++ {
		s.sum += at.Word[0]
		if !at.Intact() {
			s.lost++
		}
		at = at.Edge[draw>>(2*k)&3]
	}
	if i%hubEvery == 0 {
		s.hubReplace(&hub[s.seed.Below(len(hub))])
	}
}

func (s *share) run() {
	s.latency.Begin(s.startNs)
	for i := range s.operations {
		s.churn(i)
		s.latency.End()
	}
}

// Walks everything that the array reaches: how much that is, and what of it is not as it was written.
func graphWalk() (live, lost uint64) {
	var stack []*node.Node
	for _, n := range hub {
		if n.Word[3] == 0 {
			stack = append(stack, n)
		}
		n.Word[3] = 1
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			live++
			if !n.Intact() {
				lost++
			}
			for _, to := range n.Edge {
				if to == nil || to.Word[3] != 0 {
					continue
				}
				to.Word[3] = 1
				stack = append(stack, to)
			}
		}
	}
	return live, lost
}

func main() {
	nodes := report.Arg(1, 4000000)
	operations := report.Arg(2, 10000000)
	threads := report.Arg(3, 1)
	report.ArgCollections(4)
	hubs := nodes / hubShare
	if threads > threadsMax || hubs == 0 || nodes > math.MaxUint32 {
		report.Fail("give at least 5 NODES, below 2^32, and 1 or 2 threads")
	}
	graphMake(hubs)

	shares := make([]share, threads)
	var running sync.WaitGroup
	start := report.NowNs()
	for i := range shares {
		s := &shares[i]
		*s = share{seed: report.Random(1 + i), made: uint64(nodes + 2*i*operations), operations: operations / threads,
			startNs: start, latency: report.NewLatency()}
		if threads > 1 {
			running.Go(s.run)
		}
	}
	if threads == 1 {
		shares[0].run()
	}
	running.Wait()
	wallMs := report.MsSince(start)
	report.Measured()

	for i := 1; i < threads; i++ {
		shares[0].latency.Add(shares[i].latency)
		shares[0].lost += shares[i].lost
	}
	live, lost := graphWalk()
	if lost += shares[0].lost; lost > 0 {
		node.Lost("churn", lost)
	}
	// What two goroutines find, and what is left, depends on who came first.
	check := shares[0].latency.Count()
	if threads == 1 {
		check = shares[0].sum*31 + live
	}
	report.Print("churn", "wall_ms=%.3f live=%d %s check=%d", wallMs, live, shares[0].latency.Text(), check)
}
