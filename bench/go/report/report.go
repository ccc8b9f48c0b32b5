// Package report is what the Go twins of the C workloads share: the counterpart of bench.h.
//
// A twin does the same work as its C program, in the same order and with the same check value, as a Go programmer would
// write it: default GOGC, nothing pooled, nothing freed by hand. It ends with Print, which writes the same line.
package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// Figures as they stood at the end of what is measured, before the workload checks itself.
type figures struct {
	peakKiB       uint64
	collections   uint32
	stops         uint64
	longestStopNs uint64
	totalStopNs   uint64
	stopP99Ns     uint64
	stopsUs       string
	cpuMs         float64
}

var final *figures

// Measured ends the measured part. Optional: Print does it otherwise.
func Measured() {
	peak := peakKiB()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	stops, p99, longest, text := stopHistogram()
	longest = longestStop(&mem, longest)
	final = &figures{peak, mem.NumGC, stops, longest, mem.PauseTotalNs, min(p99, longest), text, collectorMs()}
}

// Print writes the line that run.py reads. format adds the workload's own key=value figures; every workload gives
// check=.
func Print(workload, format string, arguments ...any) {
	if final == nil {
		Measured()
	}
	fmt.Printf("bench workload=%s peer=go version=%s allocator=go peak_kib=%d collections=%d stops=%d "+
		"longest_stop_us=%.1f total_stop_us=%.1f stop_p99_us=%.1f stops_us=%s gc_cpu_ms=%.3f ", workload, version(), final.peakKiB,
		final.collections, final.stops, float64(final.longestStopNs)/1e3, float64(final.totalStopNs)/1e3,
		float64(final.stopP99Ns)/1e3, final.stopsUs, final.cpuMs)
	fmt.Printf(format+"\n", arguments...)
}

// The release without its leading "go"; experiments, which Go sets apart by a space, stay part of the value.
func version() string {
	return strings.ReplaceAll(strings.TrimPrefix(runtime.Version(), "go"), " ", "_")
}

// VmHWM of this process.
func peakKiB() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) >= 2 && string(fields[0]) == "VmHWM:" {
			kib, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			return kib
		}
	}
	return 0
}

// The number of stops that the collector made, and the upper edges, in nanoseconds, of the bucket that 99 of 100 of
// them did not exceed, and of the bucket of the longest one. And all of them: "EDGE:COUNT,...", where so many took up to
// EDGE microseconds, and longer than the edge before.
func stopHistogram() (stops, p99Ns, longestNs uint64, text string) {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	histogram := sample[0].Value.Float64Histogram()
	for _, count := range histogram.Counts {
		stops += count
	}
	var seen uint64
	var parts []string
	for i, count := range histogram.Counts {
		before := seen
		seen += count
		edge := histogram.Buckets[i+1]
		if count == 0 || math.IsInf(edge, 1) {
			continue
		}
		longestNs = uint64(edge * 1e9)
		parts = append(parts, fmt.Sprintf("%.3f:%d", edge*1e6, count))
		if before*100 < stops*99 {
			p99Ns = longestNs
		}
	}
	return stops, p99Ns, longestNs, strings.Join(parts, ",")
}

// The collector's processor time up to the end of the last collection: what GCCPUFraction is the share of. Marking by
// workers of its own and by goroutines that assist, and all processors for each stop; not what workers of idle priority
// did while nobody wanted the processor.
func collectorMs() float64 {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(samples)
	return (samples[0].Value.Float64() - samples[1].Value.Float64()) * 1e3
}

// The longest single stop. Go keeps no exact figure of it, only two upper bounds, of which this is the smaller: the
// histogram's bucket (at most a quarter too long), and the stops of one collection added up (two or more of them),
// which are on record for the last 256 collections only.
func longestStop(mem *runtime.MemStats, bucketNs uint64) uint64 {
	if int(mem.NumGC) > len(mem.PauseNs) {
		return bucketNs
	}
	return min(bucketNs, slices.Max(mem.PauseNs[:]))
}
