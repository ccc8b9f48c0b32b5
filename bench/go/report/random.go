package report

// Random is xorshift64*, which draws the same numbers as bench_random. It must not be 0.
type Random uint64

// Next draws a number.
func (r *Random) Next() uint64 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = Random(x)
	return x * 2685821657736338717
}

// Below draws a number in [0, limit) from the high half of a random one: limit is below 2^32.
func (r *Random) Below(limit int) int {
	return int((r.Next() >> 32) * uint64(limit) >> 32)
}
