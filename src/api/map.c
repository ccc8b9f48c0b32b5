/* api/map.c - what maps need of the library: hashes, seeds, and the words for misuse. See tricolor/map.h. */
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <tricolor/map.h>

#include "api/link.h"

/* ---- seeds ---- */

/* Of the process: 0, not there yet. Racing threads agree on the first. No pointer is near it. */
static _Atomic(uint64_t) process_seed TRI_OWN_DATA;
static _Atomic(uint64_t) maps TRI_OWN_DATA;

/* Where the system has no random bytes yet, addresses and clock must do. */
static uint64_t seed_new(void) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    seed = tri_hash_fold_((uint64_t)now.tv_nsec ^ (uintptr_t)&now, (uint64_t)now.tv_sec ^ (uintptr_t)seed_new);
  }
  return seed | 1;
}

TRI_API uint64_t tri_map_seed(void) {
  TRI_KEEP_ERRNO;
  uint64_t seed = atomic_load_explicit(&process_seed, memory_order_relaxed);
  if (!seed) {
    uint64_t new = seed_new();
    if (atomic_compare_exchange_strong(&process_seed, &seed, new)) seed = new;
  }
  return tri_hash_number_(atomic_fetch_add_explicit(&maps, 1, memory_order_relaxed) + 1, seed);
}

/* ---- hashes ---- */

static const uint64_t odd = 0x9e3779b97f4a7c15; /* 2^64 divided by the golden ratio */

static uint64_t word_at(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Up to 8 bytes, each at least once. */
static uint64_t short_word(const unsigned char *bytes, size_t size) {
  if (size >= 4) {
    uint32_t low, high;
    memcpy(&low, bytes, sizeof low);
    memcpy(&high, bytes + size - sizeof high, sizeof high);
    return (uint64_t)high << 32 | low;
  }
  return size ? (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1] : 0;
}

/* Folded products of two words each, both with what nobody knows in them, so that nobody can choose a factor of 0. The
 * last two words overlap others when size is no multiple of 16. */
TRI_API uint64_t tri_hash_bytes(const void *data, size_t size, uint64_t seed) {
  const unsigned char *bytes = data;
  uint64_t hash = seed + size * odd, first, second = 0;
  size_t left = size;
  for (; left > 16; left -= 16, bytes += 16) hash = tri_hash_fold_(word_at(bytes) ^ seed, word_at(bytes + 8) ^ hash);
  if (left > 8) {
    first = word_at(bytes);
    second = word_at(bytes + left - 8);
  } else {
    first = short_word(bytes, left);
  }
  return tri_hash_number_(tri_hash_fold_(first ^ seed, second ^ hash), hash);
}

TRI_API void tri_map_misused(const char *name) {
  tri_fatal("%s: the map is used while it is being changed, by another thread or by its hash or equal", name);
}
