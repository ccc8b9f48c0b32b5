/* guide.h - what the guide's programs share: Go's way to write a duration, a clock, and the objects they allocate.
 *
 * The programs are twins of the guide's Go programs: same numbers and names, same lines. What differs is C's: main
 * leaves the work to a function that is never inlined, so that a pointer the program has dropped is not still lying in
 * one of main's registers, where a collector that takes every word for a possible pointer would find it.
 */
#ifndef TRICOLOR_EXAMPLES_GUIDE_H
#define TRICOLOR_EXAMPLES_GUIDE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <tricolor.h>

#define GUIDE_NOINLINE __attribute__((noinline))

/* Go's [1024]byte and [64 * 1024]byte: arrays without pointers. */
typedef char kilobyte[1024];
typedef char block64k[64 * 1024];
TRI_TYPE(kilobyte);
TRI_TYPE(block64k);

/* count fresh kilobytes, reachable from the array that is returned. (Go: make([]*[1024]byte, count), then a loop) */
GUIDE_NOINLINE __attribute__((unused)) static kilobyte **guide_kilobytes(size_t count) {
  kilobyte **objects = tri_make(kilobyte *, count);
  if (objects == NULL) {
    perror("tri_make");
    exit(1);
  }
  for (size_t i = 0; i < count; i++) {
    objects[i] = tri_new(kilobyte);
    if (objects[i] == NULL) {
      perror("tri_new");
      exit(1);
    }
  }
  return objects;
}

/* Overwrites the part of the stack that returned calls have left behind: it may hold copies of pointers that the
 * program has dropped, and the next call's frame would show them to the collector. */
GUIDE_NOINLINE __attribute__((unused)) static void guide_clear_stack(void) {
  volatile char frame[16 * 1024];
  for (size_t i = 0; i < sizeof frame; i++) frame[i] = 0;
}

/* Nanoseconds of a clock that only goes forward. */
__attribute__((unused)) static uint64_t guide_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

typedef struct duration_text {
  char text[32];
} duration_text;

/* value / unit with all its decimals, the zeros at the end left out. Gives the length. */
static int guide_fraction(char *out, size_t size, uint64_t value, uint64_t unit) {
  int length = snprintf(out, size, "%" PRIu64, value / unit);
  uint64_t rest = value % unit;
  if (rest != 0) length += snprintf(out + length, size - (size_t)length, ".");
  while (rest != 0) {
    unit /= 10;
    length += snprintf(out + length, size - (size_t)length, "%c", (char)('0' + rest / unit));
    rest %= unit;
  }
  return length;
}

/* ns as Go prints a time.Duration: 0s, 17ns, 313.384µs, 26.598522ms, 1.5s, 2m3.25s, 1h0m0s. */
__attribute__((unused)) static duration_text guide_duration(uint64_t ns) {
  duration_text out;
  char *text = out.text;
  size_t size = sizeof out.text;
  uint64_t minutes = ns / 60000000000u;
  int length = 0;
  if (ns == 0) {
    snprintf(text, size, "0s");
  } else if (ns < 1000) {
    snprintf(text, size, "%" PRIu64 "ns", ns);
  } else if (ns < 1000000) {
    length = guide_fraction(text, size, ns, 1000);
    snprintf(text + length, size - (size_t)length, "\u00b5s");
  } else if (ns < 1000000000) {
    length = guide_fraction(text, size, ns, 1000000);
    snprintf(text + length, size - (size_t)length, "ms");
  } else {
    if (minutes >= 60) length = snprintf(text, size, "%" PRIu64 "h", minutes / 60);
    if (minutes > 0) length += snprintf(text + length, size - (size_t)length, "%" PRIu64 "m", minutes % 60);
    length += guide_fraction(text + length, size - (size_t)length, ns - minutes * 60000000000u, 1000000000u);
    snprintf(text + length, size - (size_t)length, "s");
  }
  return out;
}

/* Beyond what the guide's programs print in Go: how many collections ran beside the program, and the longest stop. */
__attribute__((unused)) static void guide_show_stops(void) {
  tri_memstats memory;
  tri_stopstats stops;
  tri_read_memstats(&memory);
  tri_read_stopstats(&stops);
  printf("Collections beside the program: %" PRIu64 " of %" PRIu32 " (gear %s), longest stop: %s\n", stops.concurrent,
         memory.NumGC, stops.gear, guide_duration(stops.longest_ns).text);
}

#endif
