// Command slice is the Go twin of c/slice.c: arrays that grow one item at a time.
//
//	slice [ITEMS ROUNDS]      (100,000 and 500)
package main

import (
	"runtime"

	"tricolorbench/report"
)

type item struct {
	next *item
}

var one item

//go:noinline
func appendNumbers(count int) uint64 {
	var list []uint64
	for i := 0; i < count; i++ {
		list = append(list, uint64(i))
	}
	runtime.KeepAlive(list)
	return list[count-1]
}

//go:noinline
func appendItems(count int) uint64 {
	var list []*item
	for i := 0; i < count; i++ {
		list = append(list, &one)
	}
	runtime.KeepAlive(list)
	if list[count-1] == &one {
		return 1
	}
	return 0
}

func main() {
	count, rounds := report.Arg(1, 100000), report.Arg(2, 500)
	var check uint64
	start := report.NowNs()
	for i := 0; i < rounds; i++ {
		check += appendNumbers(count) + appendItems(count)
	}
	report.Print("slice", "append_ns=%.3f check=%d", report.MsSince(start)*1e6/(2*float64(count)*float64(rounds)), check)
}
