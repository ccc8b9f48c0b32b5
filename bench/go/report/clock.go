package report

import "time"

var epoch = time.Now()

// NowNs is nanoseconds on the monotonic clock. time.Since reads that clock alone, once; time.Now would read two.
func NowNs() int64 {
	return int64(time.Since(epoch))
}

// MsSince is the milliseconds since startNs, a result of NowNs.
func MsSince(startNs int64) float64 {
	return float64(NowNs()-startNs) / 1e6
}
