// Command threads is the Go twin of c/threads.c: latency beside many goroutines that sleep, with something of their own
// in hand.
//
//	threads [THREADS OPERATIONS]      (100 and 5,000,000)
//
// One half of the sleepers waits for a pipe, the other for a channel, as a Go programmer would have them wait: neither
// holds a thread of the system meanwhile.
package main

import (
	"os"
	"sync"

	"tricolorbench/node"
	"tricolorbench/report"
)

const (
	churners   = 2
	listNodes  = 1000
	threadsMax = 20000
)

var (
	ready   sync.WaitGroup // until all sleepers have their lists
	woken   = make(chan struct{})
	reading *os.File
)

//go:noinline
func listMake(number int) *node.Node {
	var list *node.Node
	for i := range listNodes {
		n := node.Make(uint64(number*listNodes + i))
		n.Edge[0] = list
		list = n
	}
	return list
}

// How many nodes of the list are those that were made, up to the first that is not.
func listEnd(list *node.Node, number int) int {
	intact := 0
	for list != nil && list.Intact() && list.Word[0] == uint64(number*listNodes+listNodes-1-intact) {
		list = list.Edge[0]
		intact++
	}
	return intact
}

func sleeperRun(number int, intact *int) {
	list := listMake(number)
	ready.Done()
	if number%2 == 0 {
		reading.Read(make([]byte, 1)) // ends with an error, io.EOF, which is what is waited for
	} else {
		<-woken
	}
	*intact = listEnd(list, number)
}

type churner struct {
	operations int
	startNs    int64
	latency    *report.Latency
	intact     uint64 // result
}

func (c *churner) run() {
	g := node.NewGarbage()
	c.latency.Begin(c.startNs)
	for range c.operations {
		g.Make()
		c.latency.End()
	}
	c.intact = g.End()
}

func main() {
	threads := report.Arg(1, 100)
	operations := report.Arg(2, 5000000)
	if threads <= churners || threads > threadsMax {
		report.Fail("%d threads are not 3 to %d", threads, threadsMax)
	}
	asleep := threads - churners
	var writing *os.File
	var err error
	if reading, writing, err = os.Pipe(); err != nil {
		report.Fail("%v", err)
	}
	intact := make([]int, asleep)
	var sleepers, churning sync.WaitGroup
	ready.Add(asleep)
	for i := range intact {
		sleepers.Go(func() { sleeperRun(i, &intact[i]) })
	}
	ready.Wait()

	var work [churners]churner
	start := report.NowNs()
	for i := range work {
		work[i] = churner{operations: operations / churners, startNs: start, latency: report.NewLatency()}
		churning.Go(work[i].run)
	}
	churning.Wait()
	wallMs := report.MsSince(start)
	report.Measured()

	work[0].latency.Add(work[1].latency)
	close(woken)
	writing.Close()
	sleepers.Wait()
	sum := 0
	for _, n := range intact {
		sum += n
	}
	if sum != asleep*listNodes {
		node.Lost("threads", uint64(asleep*listNodes-sum))
	}
	report.Print("threads", "wall_ms=%.3f %s check=%d", wallMs, work[0].latency.Text(),
		uint64(sum)+work[0].intact+work[1].intact)
}
