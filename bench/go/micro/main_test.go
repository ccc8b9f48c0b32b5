package main

import (
	"testing"
	"unsafe"
)

func TestEveryLoopFillsTheRing(t *testing.T) {
	for _, l := range loops {
		for kind, run := range l.run {
			clear(ring[:])
			run()
			if got := ringIntact(kind); got != ringSize {
				t.Errorf("size %d, %s: %d objects intact, want %d", l.size, kindNames[kind], got, ringSize)
			}
		}
	}
	clear(ring[:])
}

func TestTypedSizesAreTheSizesNamed(t *testing.T) {
	if got := unsafe.Sizeof(typed8{}); got != 8 {
		t.Errorf("typed8 has %d bytes", got)
	}
	if got := unsafe.Sizeof(typed16{}); got != 16 {
		t.Errorf("typed16 has %d bytes", got)
	}
	if got := unsafe.Sizeof(typed65536{}); got != 65536 {
		t.Errorf("typed65536 has %d bytes", got)
	}
}
