// Command pool is the Go twin of c/pool.c: an object that is used again and again, from a sync.Pool.
//
//	pool [THREADS ROUNDS]      (1 and 20,000,000)
package main

import (
	"sync"

	"tricolorbench/report"
)

type item struct {
	next   *item
	number uint64
	rest   [6]uint64
}

var pool = sync.Pool{New: func() any { return new(item) }}

func takeTurns(rounds int) {
	for i := 0; i < rounds; i++ {
		object := pool.Get().(*item)
		object.number = uint64(i)
		pool.Put(object)
	}
}

func main() {
	count := report.Arg(1, 1)
	rounds := report.Arg(2, 20000000)
	start := report.NowNs()
	var group sync.WaitGroup
	for i := 1; i < count; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			takeTurns(rounds)
		}()
	}
	takeTurns(rounds)
	group.Wait()
	report.Print("pool", "pair_ns=%.3f check=%d", report.MsSince(start)*1e6/float64(rounds), count*rounds)
}
