// Command cache is the Go twin of c/cache.c: latency of a service that answers from a cache of so many bytes.
//
//	cache [MIB OPERATIONS]      (1,024 MiB and 10,000,000)
package main

import (
	"bytes"

	"tricolorbench/report"
)

const (
	sizes        = 64
	sizeLeast    = 100
	sizeMost     = 4096
	keyHead      = "user:"
	keyBytes     = len(keyHead) + 16
	requestHead  = "GET "
	requestTail  = " HTTP/1.1\r\nHost: cache.test\r\n\r\n"
	responseHead = "HTTP/1.1 200 OK\n"
	patternExtra = 256
	hitPercent   = 90
	entryBytes   = 48 // as the C program counts it
)

type entry struct {
	next     *entry // in its bucket
	key      string
	value    []byte
	hash, id uint64
}

type cache struct {
	buckets           []*entry
	ring              []*entry // in order of age; the oldest is at id % count of the next one's id
	count             uint64
	nextID            uint64
	seed              report.Random
	request, response []byte // the newest
	sum               uint64 // of what was answered
}

var (
	service    cache
	pattern    [sizeMost + patternExtra]byte
	valueSizes [sizes]int
)

// Returns the mean of the sizes.
func sizesMake() int {
	sum, size := 0, sizeLeast
	for i := range valueSizes {
		valueSizes[i] = min(size, sizeMost)
		sum += valueSizes[i]
		size += size * 6 / 100
	}
	return sum / sizes
}

// The key of an id, as the program's users would have named it: a scattered number in hexadecimal digits.
func keyWrite(to []byte, id uint64) {
	number := (id + 1) * 0x9E3779B97F4A7C15
	copy(to, keyHead)
	digits := to[len(keyHead):keyBytes]
	for i := range digits {
		digits[i] = "0123456789abcdef"[number>>(60-4*i)&15]
	}
}

// FNV-1a.
func keyHash(key []byte) uint64 {
	hash := uint64(14695981039346656037)
	for _, c := range key {
		hash = (hash ^ uint64(c)) * 1099511628211
	}
	return hash
}

func bucketOf(hash uint64) **entry {
	return &service.buckets[(hash^hash>>32)&uint64(len(service.buckets)-1)]
}

func cacheFind(key []byte, hash uint64) *entry {
	e := *bucketOf(hash)
	for e != nil && (e.hash != hash || e.key != string(key)) {
		e = e.next
	}
	return e
}

func entryEvict(old *entry) {
	at := bucketOf(old.hash)
	for *at != old {
		at = &(*at).next
	}
	*at = old.next
}

// An entry of the next id, in the place of the oldest.
func cacheAdd(key []byte, hash uint64) *entry {
	e := &entry{id: service.nextID, hash: hash, key: string(key)}
	service.nextID++
	e.value = make([]byte, valueSizes[hash%sizes])
	copy(e.value, pattern[e.id%patternExtra:])
	place := &service.ring[e.id%service.count]
	if *place != nil {
		entryEvict(*place)
	}
	*place = e
	bucket := bucketOf(hash)
	e.next = *bucket
	*bucket = e
	return e
}

// Which key is asked for: one that is there, where half of the draws take an eighth of them; or the next new one.
func idDraw() uint64 {
	if service.seed.Below(100) >= hitPercent {
		return service.nextID
	}
	draw := service.seed.Next() >> 32
	skewed := (draw * draw >> 32) * draw >> 32
	rank := skewed * service.count >> 32
	// Scattered over the ring, so that favour and age are not the same.
	place := rank * 2654435761 % service.count
	newest := service.nextID - 1
	return newest - (newest+service.count-place)%service.count
}

func serve() {
	request := make([]byte, len(requestHead)+keyBytes+len(requestTail))
	copy(request, requestHead)
	key := request[len(requestHead) : len(requestHead)+keyBytes]
	keyWrite(key, idDraw())
	copy(request[len(requestHead)+keyBytes:], requestTail)
	service.request = request

	hash := keyHash(key)
	e := cacheFind(key, hash)
	if e == nil {
		e = cacheAdd(key, hash)
	}

	response := make([]byte, len(responseHead)+len(e.value))
	copy(response, responseHead)
	copy(response[len(responseHead):], e.value)
	service.response = response
	service.sum = service.sum*31 + uint64(response[len(responseHead)]) + uint64(response[len(response)-1]) + e.id&255
}

func cacheMake(liveBytes int) {
	mean := sizesMake()
	for i := range pattern {
		pattern[i] = byte(i*7 + 1)
	}
	service.count = uint64(liveBytes / (mean + keyBytes + entryBytes))
	buckets := 2
	for uint64(buckets-1) < service.count {
		buckets *= 2
	}
	service.buckets = make([]*entry, buckets)
	service.ring = make([]*entry, service.count)
	clear(service.buckets)
	clear(service.ring)
	service.seed = 88172645463325252
	key := make([]byte, keyBytes)
	for range service.count {
		keyWrite(key, service.nextID)
		cacheAdd(key, keyHash(key))
	}
}

// How many of the newest entries are not found by their key, or are not as they were written.
func cacheLost() (lost uint64) {
	key := make([]byte, keyBytes)
	for id := service.nextID - service.count; id < service.nextID; id++ {
		keyWrite(key, id)
		e := cacheFind(key, keyHash(key))
		if e == nil || e.id != id || !bytes.HasPrefix(pattern[id%patternExtra:], e.value) {
			lost++
		}
	}
	return lost
}

func main() {
	liveBytes := report.Arg(1, 1024) << 20
	operations := report.Arg(2, 10000000)
	cacheMake(liveBytes)
	latency := report.NewLatency()
	start := report.NowNs()
	latency.Begin(start)
	for range operations {
		serve()
		latency.End()
	}
	wallMs := report.MsSince(start)
	report.Measured()

	if lost := cacheLost(); lost > 0 {
		report.Die("cache: %d of %d entries are lost or overwritten", lost, service.count)
	}
	report.Print("cache", "wall_ms=%.3f entries=%d hits=%.4f %s check=%d", wallMs, service.count,
		1-float64(service.nextID-service.count)/float64(operations), latency.Text(), service.sum*31+service.nextID)
}
