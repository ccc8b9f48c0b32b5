/* 23 - In practice: a slice that is made with room for all its items. */
#include <tricolor/slice.h>

#include "guide.h"

TRI_TYPE(int);
TRI_SLICE(numbers, int);

int main(void) {
  numbers slice = numbers_make(0, 1000);

  for (int i = 0; i < 1000; i++)
    if (!numbers_append(&slice, i)) perror("numbers_append");

  printf("Slice length: %zu\n", slice.length);
  return 0;
}
