package report

import (
	"os"
	"runtime"
	"testing"
)

func TestRandomDrawsTheNumbersOfTheCPrograms(t *testing.T) {
	// What bench_random gives for the seed 1: x = 1 ^ 1<<25 and x>>27 is 0, times the multiplier.
	r := Random(1)
	if got, want := r.Next(), uint64(5180492295206395165); got != want {
		t.Errorf("the first number of seed 1 is %d, want %d", got, want)
	}
	for range 1000 {
		if n := r.Below(10); n < 0 || n > 9 {
			t.Fatalf("Below(10) gave %d", n)
		}
	}
}

func TestArgTakesTheFallbackOnlyWhenNotGiven(t *testing.T) {
	defer func(saved []string) { os.Args = saved }(os.Args)
	os.Args = []string{"program", "7", "word"}
	if got := Arg(1, 3); got != 7 {
		t.Errorf("Arg(1) is %d, want 7", got)
	}
	if got := Arg(3, 3); got != 3 {
		t.Errorf("Arg(3) is %d, want the fallback 3", got)
	}
	if got := Word(2, "other") + Word(3, "other"); got != "wordother" {
		t.Errorf("Word gave %q, want %q", got, "wordother")
	}
}

func TestMeasuredCountsCollectionsAndTheirStops(t *testing.T) {
	runtime.GC()
	runtime.GC()
	Measured()
	if final.collections < 2 || final.stops < 2*uint64(final.collections) {
		t.Errorf("%d collections and %d stops after two forced ones", final.collections, final.stops)
	}
	if final.longestStopNs == 0 || final.totalStopNs == 0 || final.peakKiB == 0 || final.cpuMs <= 0 {
		t.Errorf("a figure is missing: %+v", *final)
	}
}

func TestStopsThat99Of100DidNotExceedAreNoLongerThanTheLongest(t *testing.T) {
	runtime.GC()
	Measured()
	if final.stopP99Ns == 0 || final.stopP99Ns > final.longestStopNs {
		t.Errorf("99 of 100 stops: %d ns, the longest: %d ns", final.stopP99Ns, final.longestStopNs)
	}
}

func TestLongestStopTakesTheSmallerBound(t *testing.T) {
	var mem runtime.MemStats
	mem.NumGC = 2
	mem.PauseNs[0], mem.PauseNs[1] = 900, 400
	if got := longestStop(&mem, 1000); got != 900 {
		t.Errorf("longest is %d, want the collection's 900", got)
	}
	if got := longestStop(&mem, 800); got != 800 {
		t.Errorf("longest is %d, want the bucket's 800", got)
	}
	mem.NumGC = 257
	if got := longestStop(&mem, 1000); got != 1000 {
		t.Errorf("longest is %d, want the bucket's 1000: a collection is no longer on record", got)
	}
}
