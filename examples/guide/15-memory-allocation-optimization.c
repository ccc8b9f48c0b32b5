/* 15 - Allocation optimised: 100,000 numbers appended to a slice that grows, and to one that was made with room for
 * all. */
#include <tricolor/slice.h>

#include "guide.h"

enum { COUNT = 100000 };

TRI_TYPE(int);
TRI_SLICE(numbers, int);

GUIDE_NOINLINE static numbers append_all(numbers slice) {
  for (int i = 0; i < COUNT; i++)
    if (!numbers_append(&slice, i)) perror("numbers_append");
  return slice;
}

int main(void) {
  printf("=== Memory Allocation Optimization ===\n");

  uint64_t start = guide_now();
  numbers bad_slice = append_all((numbers){0});
  uint64_t bad_time = guide_now() - start;
  tri_keep_alive(bad_slice.items);

  start = guide_now();
  numbers good_slice = append_all(numbers_make(0, COUNT));
  uint64_t good_time = guide_now() - start;
  tri_keep_alive(good_slice.items);

  printf("Bad approach: %s\n", guide_duration(bad_time).text);
  printf("Good approach: %s\n", guide_duration(good_time).text);
  printf("Improvement: %.2fx\n", (double)bad_time / (double)good_time);
  return 0;
}
