// Command table is the Go twin of c/table.c: maps filled, asked and emptied.
//
//	table [KEYS ENTRIES ROUNDS]      (int, 1,000,000 and 1)
package main

import (
	"fmt"

	"tricolorbench/report"
)

var (
	entries int
	times   [4]int64
	check   uint64
)

func mixed(i uint64) uint64 {
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

func number(i int) uint64 { return mixed(uint64(i)) }

func word(i int) string { return fmt.Sprintf("key-%s%012x", "abcdefgh"[:i%9], mixed(uint64(i))>>16) }

func common(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func stride() int {
	step := entries*5/8 | 1
	for common(entries, step) != 1 {
		step += 2
	}
	return step
}

func keysOf[K any](make1 func(int) K) []K {
	keys := make([]K, 2*entries)
	for i := range keys {
		keys[i] = make1(i)
	}
	return keys
}

func runInts(keys []uint64, step int) {
	table := map[uint64]uint64{}
	t0 := report.NowNs()
	for i := 0; i < entries; i++ {
		table[keys[i]] = uint64(i)
	}
	t1 := report.NowNs()
	for i, at := 0, 0; i < entries; i++ {
		check += table[keys[at]]
		if at += step; at >= entries {
			at -= entries
		}
	}
	t2 := report.NowNs()
	for i := entries; i < 2*entries; i++ {
		if _, found := table[keys[i]]; found {
			check++
		}
	}
	t3 := report.NowNs()
	for i, at := 0, 0; i < entries/2; i++ {
		before := len(table)
		delete(table, keys[at])
		check += uint64(before - len(table))
		if at += step; at >= entries {
			at -= entries
		}
	}
	add(t0, t1, t2, t3, report.NowNs())
}

func runStrings(keys []string, step int) {
	table := map[string]uint64{}
	t0 := report.NowNs()
	for i := 0; i < entries; i++ {
		table[keys[i]] = uint64(i)
	}
	t1 := report.NowNs()
	for i, at := 0, 0; i < entries; i++ {
		check += table[keys[at]]
		if at += step; at >= entries {
			at -= entries
		}
	}
	t2 := report.NowNs()
	for i := entries; i < 2*entries; i++ {
		if _, found := table[keys[i]]; found {
			check++
		}
	}
	t3 := report.NowNs()
	for i, at := 0, 0; i < entries/2; i++ {
		before := len(table)
		delete(table, keys[at])
		check += uint64(before - len(table))
		if at += step; at >= entries {
			at -= entries
		}
	}
	add(t0, t1, t2, t3, report.NowNs())
}

func add(t ...int64) {
	for i := range times {
		times[i] += t[i+1] - t[i]
	}
}

func main() {
	kind := report.Word(1, "int")
	entries = report.Arg(2, 1000000)
	rounds := report.Arg(3, 1)
	step := stride()
	if kind == "string" {
		keys := keysOf(word)
		for i := 0; i < rounds; i++ {
			runStrings(keys, step)
		}
	} else {
		keys := keysOf(number)
		for i := 0; i < rounds; i++ {
			runInts(keys, step)
		}
	}
	calls := float64(entries) * float64(rounds)
	report.Print("table", "insert_ns=%.2f hit_ns=%.2f miss_ns=%.2f delete_ns=%.2f check=%d", float64(times[0])/calls,
		float64(times[1])/calls, float64(times[2])/calls, 2*float64(times[3])/calls, check)
}
