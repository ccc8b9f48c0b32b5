/* 17 - Alignment optimisation: the same fields in two orders. */
#include "guide.h"

typedef struct unaligned_struct {
  bool a;    /* 1 byte */
  int64_t b; /* 8 bytes */
  bool c;    /* 1 byte */
  int32_t d; /* 4 bytes */
  bool e;    /* 1 byte */
} unaligned_struct;

typedef struct aligned_struct {
  int64_t b; /* 8 bytes */
  int32_t d; /* 4 bytes */
  bool a;    /* 1 byte */
  bool c;    /* 1 byte */
  bool e;    /* 1 byte */
} aligned_struct;

int main(void) {
  printf("=== Memory Alignment Optimization ===\n");

  printf("Unaligned struct size: %zu bytes\n", sizeof(unaligned_struct));
  printf("Aligned struct size: %zu bytes\n", sizeof(aligned_struct));
  printf("Memory saved: %zu bytes\n", sizeof(unaligned_struct) - sizeof(aligned_struct));
  return 0;
}
