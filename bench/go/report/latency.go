package report

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

const (
	partBits  = 7
	buckets   = (64 - partBits + 1) << partBits
	windowNs  = 10 * 1000 * 1000
	windowMax = 60 * 1000 // ten minutes, which is as long as run.py waits
	toldBits  = 3         // the histogram that is printed divides each power of two into 8 parts
)

// Latency is how long each operation takes, and how many are done in each 10 ms: the counterpart of latency.h, which
// says what counts where. Go tells when a collection ended, and not that one has begun, so windows with and without one
// cannot be told apart.
//
// Each goroutine that is measured has its own.
type Latency struct {
	lastNs      int64 // when the operation before ended
	windowEndNs int64 // of the window that is not full yet, number `windows`
	windows     int
	count       uint64
	longestNs   uint64
	buckets     [buckets]uint64
	done        [windowMax + 1]uint32
}

// NewLatency makes one whose pages are there before the clock runs.
func NewLatency() *Latency {
	l := new(Latency)
	clear(l.buckets[:])
	clear(l.done[:])
	return l
}

// Begin begins measuring in this goroutine; the windows begin at startNs.
func (l *Latency) Begin(startNs int64) {
	l.windowEndNs = startNs + windowNs
	l.lastNs = NowNs()
}

// Ends all windows that are over at nowNs.
//
//go:noinline
func (l *Latency) endWindows(nowNs int64) {
	for l.windowEndNs <= nowNs && l.windows < windowMax {
		l.windows++
		l.windowEndNs += windowNs
	}
}

func bucketOf(ns uint64) int {
	shift := max(0, bits.Len64(ns)-1-partBits)
	return shift<<partBits + int(ns>>shift)
}

// The highest time that goes into a bucket.
func bucketTopNs(bucket int) uint64 {
	shift := max(0, bucket>>partBits-1)
	return uint64(bucket-shift<<partBits)<<shift + 1<<shift - 1
}

// End says that one operation has ended.
func (l *Latency) End() {
	nowNs := NowNs()
	tookNs := uint64(nowNs - l.lastNs)
	l.lastNs = nowNs
	l.count++
	l.buckets[bucketOf(tookNs)]++
	if tookNs > l.longestNs {
		l.longestNs = tookNs
	}
	if nowNs >= l.windowEndNs {
		l.endWindows(nowNs)
	}
	l.done[l.windows]++
}

// Add adds the operations of another goroutine. Only windows in which both ran to the end are left.
func (l *Latency) Add(from *Latency) {
	l.count += from.count
	l.longestNs = max(l.longestNs, from.longestNs)
	l.windows = min(l.windows, from.windows)
	for i := range l.buckets {
		l.buckets[i] += from.buckets[i]
	}
	for i := range l.windows {
		l.done[i] += from.done[i]
	}
}

// Count is how many operations have ended.
func (l *Latency) Count() uint64 {
	return l.count
}

// The time that `share` of the operations did not exceed, in microseconds.
func (l *Latency) percentileUs(share float64) float64 {
	before := uint64(float64(l.count) * share)
	var seen uint64
	for i, count := range l.buckets {
		if seen += count; seen > before {
			return float64(min(bucketTopNs(i), l.longestNs)) / 1e3
		}
	}
	return float64(l.longestNs) / 1e3
}

// All operations: "TOP:COUNT,...", where so many took up to TOP nanoseconds, and longer than the top before.
func (l *Latency) histogramText() string {
	const together = 1 << (partBits - toldBits)
	var parts []string
	for i := 0; i < buckets; i += together {
		var count uint64
		for _, n := range l.buckets[i : i+together] {
			count += n
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d:%d", min(bucketTopNs(i+together-1), l.longestNs), count))
		}
	}
	return strings.Join(parts, ",")
}

// All windows in order: "COUNT,...".
func (l *Latency) windowsText() string {
	parts := make([]string, l.windows)
	for i := range parts {
		parts[i] = fmt.Sprint(l.done[i])
	}
	return strings.Join(parts, ",")
}

// Text gives the key=value figures of all operations for Print.
func (l *Latency) Text() string {
	text := fmt.Sprintf("p50_us=%.3f p99_us=%.3f p999_us=%.3f p9999_us=%.3f max_us=%.3f", l.percentileUs(0.5),
		l.percentileUs(0.99), l.percentileUs(0.999), l.percentileUs(0.9999), float64(l.longestNs)/1e3)
	if l.count > 0 {
		text += " ops_ns=" + l.histogramText()
	}
	if l.windows == 0 {
		return text
	}
	sorted := slices.Sorted(slices.Values(l.done[:l.windows]))
	return text + " windows=" + l.windowsText() + fmt.Sprintf(" win_median=%d win_p1=%d win_min=%d", sorted[l.windows/2], sorted[l.windows/100],
		sorted[0])
}
