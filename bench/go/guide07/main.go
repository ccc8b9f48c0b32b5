// Command guide07 is the Go twin of c/guide07.c, the collector benchmark of the guide: allocate, drop, collect.
//
//	guide07 [OBJECTS]      (100,000)
package main

import (
	"runtime"

	"tricolorbench/report"
)

const objectBytes = 1024

type object [objectBytes / 8]uint64

var objects []*object

//go:noinline
func objectsMake(count int) {
	objects = make([]*object, count)
	for i := range objects {
		objects[i] = new(object)
		objects[i][0] = uint64(i)
	}
}

//go:noinline
func objectsSum() uint64 {
	var sum uint64
	for _, o := range objects {
		sum = sum*31 + o[0]
	}
	return sum
}

func main() {
	count := report.Arg(1, 100000)
	start := report.NowNs()
	objectsMake(count)
	allocMs := report.MsSince(start)
	check := objectsSum()
	start = report.NowNs()
	objects = nil
	runtime.GC()
	collectMs := report.MsSince(start)
	report.Print("guide07", "alloc_ms=%.3f collect_ms=%.3f total_ms=%.3f check=%d", allocMs, collectMs,
		allocMs+collectMs, check)
}
