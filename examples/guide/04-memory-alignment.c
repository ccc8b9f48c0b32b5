/* 04 - Memory alignment: sizes, alignments and offsets of two structs, as the C compiler lays them out. */
#include "guide.h"

/* What a Go string is: where it starts and how long it is. */
typedef struct string {
  const char *data;
  size_t length;
} string;

typedef struct aligned_struct {
  bool a;    /* 1 byte */
  int32_t b; /* 4 bytes */
  int64_t c; /* 8 bytes */
  string d;  /* 16 bytes */
} aligned_struct;

typedef struct unaligned_struct {
  int64_t a; /* 8 bytes */
  bool b;    /* 1 byte */
  int32_t c; /* 4 bytes */
  string d;  /* 16 bytes */
} unaligned_struct;

int main(void) {
  printf("=== Memory Alignment ===\n");

  printf("Aligned struct size: %zu bytes\n", sizeof(aligned_struct));
  printf("Aligned struct alignment: %zu bytes\n", _Alignof(aligned_struct));

  printf("Unaligned struct size: %zu bytes\n", sizeof(unaligned_struct));
  printf("Unaligned struct alignment: %zu bytes\n", _Alignof(unaligned_struct));

  printf("Aligned struct field offsets:\n");
  printf("  a: %zu\n", offsetof(aligned_struct, a));
  printf("  b: %zu\n", offsetof(aligned_struct, b));
  printf("  c: %zu\n", offsetof(aligned_struct, c));
  printf("  d: %zu\n", offsetof(aligned_struct, d));

  printf("Unaligned struct field offsets:\n");
  printf("  a: %zu\n", offsetof(unaligned_struct, a));
  printf("  b: %zu\n", offsetof(unaligned_struct, b));
  printf("  c: %zu\n", offsetof(unaligned_struct, c));
  printf("  d: %zu\n", offsetof(unaligned_struct, d));
  return 0;
}
