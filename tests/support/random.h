/* random.h - random numbers that a seed repeats (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014), and the seed itself: TEST_SEED, or the given one. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct test_random {
  uint64_t state;
} test_random;

static inline uint64_t random_mix(uint64_t value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
  value = (value ^ value >> 27) * 0x94d049bb133111ebu;
  return value ^ value >> 31;
}

static inline uint64_t random_next(test_random *random) { return random_mix(random->state += 0x9e3779b97f4a7c15u); }

/* Below limit, which is not 0. */
static inline size_t random_below(test_random *random, size_t limit) { return (size_t)(random_next(random) % limit); }

static inline uint64_t random_seed(uint64_t usual) {
  const char *given = getenv("TEST_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 0) : usual;
  printf("seed %llu (TEST_SEED repeats it)\n", (unsigned long long)seed);
  return seed;
}

#endif
