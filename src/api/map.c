/* api/map.c - what maps need of the library: seeds, and the words for misuse. See tricolor/map.h. */
#include <stdatomic.h>
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

TRI_API void tri_map_misused(const char *name) {
  tri_fatal("%s: the map is used while it is being changed, by another thread or by its hash or equal", name);
}
