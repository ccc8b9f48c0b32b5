/* random.h - numbers that look random, and hashes: the same on every machine (splitmix64, Steele, Lea and Flood 2014;
 * FNV-1a, Fowler, Noll and Vo). */
#ifndef TEXTINDEX_RANDOM_H
#define TEXTINDEX_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Spreads the bits of x over all 64. */
static inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* hash, continued by some bytes. */
static inline uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
  return hash;
}

static inline uint64_t random_next(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15u;
  return mix64(*state);
}

/* A number below limit, which must not be 0. */
static inline uint32_t random_below(uint64_t *state, uint32_t limit) {
  return (uint32_t)(((random_next(state) >> 32) * limit) >> 32);
}

#endif
