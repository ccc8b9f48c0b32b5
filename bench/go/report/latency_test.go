package report

import (
	"math"
	"strings"
	"testing"
)

func TestEveryTimeLiesInItsBucketAndCountsAsAtMost1PercentMore(t *testing.T) {
	for _, ns := range []uint64{0, 1, 127, 128, 255, 256, 257, 511, 512, 1000003, 1 << 40, math.MaxUint64} {
		bucket := bucketOf(ns)
		if bucket >= buckets {
			t.Fatalf("%d ns goes into bucket %d of %d", ns, bucket, buckets)
		}
		top := bucketTopNs(bucket)
		if top < ns || (bucket > 0 && bucketTopNs(bucket-1) >= ns) {
			t.Errorf("%d ns goes into bucket %d, which ends at %d", ns, bucket, top)
		}
		if float64(top-ns) > float64(ns)*0.008 {
			t.Errorf("%d ns counts as %d", ns, top)
		}
	}
}

// A latency of the given times, whose operations all ended in the first window.
func latencyOf(times ...uint64) *Latency {
	l := NewLatency()
	for _, ns := range times {
		l.buckets[bucketOf(ns)]++
		l.count++
		l.longestNs = max(l.longestNs, ns)
	}
	return l
}

func TestPercentilesAreThoseOfTheSortedTimes(t *testing.T) {
	var times []uint64
	for ns := uint64(1); ns <= 1000; ns++ {
		times = append(times, ns*1000)
	}
	l := latencyOf(times...)
	for share, want := range map[float64]float64{0.5: 501, 0.99: 991, 0.9999: 1000, 1: 1000} {
		if got := l.percentileUs(share); got < want || got > want*1.008 {
			t.Errorf("the percentile of %v is %v us, want %v", share, got, want)
		}
	}
}

func TestHistogramHasEveryTimeOnceAndEndsWithTheLongest(t *testing.T) {
	l := latencyOf(15, 16, 1000, 1001, 5000003)
	if got, want := l.histogramText(), "15:1,31:1,1023:2,5000003:1"; got != want {
		t.Errorf("the histogram is %s, want %s", got, want)
	}
}

func TestWindowsWithoutAnOperationCountAsNone(t *testing.T) {
	l := NewLatency()
	l.windowEndNs = windowNs
	for _, end := range []int64{1, 2, 3, windowNs * 3, windowNs*3 + 1} {
		if end >= l.windowEndNs {
			l.endWindows(end)
		}
		l.done[l.windows]++
	}
	if l.windows != 3 || l.done[0] != 3 || l.done[1] != 0 || l.done[2] != 0 || l.done[3] != 2 {
		t.Errorf("%d windows: %v", l.windows, l.done[:4])
	}
	if text := l.Text(); !strings.HasSuffix(text, " windows=3,0,0 win_median=0 win_p1=0 win_min=0") {
		t.Error(text)
	}
}

func TestWindowsAfterTenMinutesAreNotCounted(t *testing.T) {
	l := NewLatency()
	l.windowEndNs = windowNs
	l.endWindows(math.MaxInt64)
	if l.windows != windowMax {
		t.Errorf("%d windows", l.windows)
	}
	l.done[l.windows]++
}

func TestAddKeepsTheWindowsThatBothHave(t *testing.T) {
	a, b := latencyOf(10, 20), latencyOf(30)
	a.windows, b.windows = 2, 1
	a.done[0], a.done[1], b.done[0] = 5, 6, 7
	a.Add(b)
	if a.Count() != 3 || a.longestNs != 30 || a.windows != 1 || a.done[0] != 12 {
		t.Errorf("%d operations, longest %d, %d windows, %d in the first", a.Count(), a.longestNs, a.windows, a.done[0])
	}
}
