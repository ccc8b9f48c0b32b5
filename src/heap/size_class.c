/* size_class.c - the constant tables of size_class.h. */
#include "heap/size_class.h"

/* Granules until the pattern of starts comes again, and the bits of a word that are multiples of it. The bits are the
 * quotient of geometric series: for g granules, sum over i of 2^(g*i) below 2^64. */
#define PERIOD(size) ((size) == TRI_ODD_SIZE ? TRI_ODD_GRANULES : (size) / TRI_GRANULE)
#define BIT_IF(g, i) ((i) % (g) == 0 ? 1ull << (i) : 0)
#define BITS_8(g, i)                                                                                                   \
  (BIT_IF(g, i) | BIT_IF(g, (i) + 1) | BIT_IF(g, (i) + 2) | BIT_IF(g, (i) + 3) | BIT_IF(g, (i) + 4) |                  \
   BIT_IF(g, (i) + 5) | BIT_IF(g, (i) + 6) | BIT_IF(g, (i) + 7))
#define STARTS(g)                                                                                                      \
  (BITS_8(g, 0) | BITS_8(g, 8) | BITS_8(g, 16) | BITS_8(g, 24) | BITS_8(g, 32) | BITS_8(g, 40) | BITS_8(g, 48) |       \
   BITS_8(g, 56))

#define ENTRY(index, bytes, span_pages, objects, waste)                                                                \
  [index] = {.size = bytes,                                                                                            \
             .magic = UINT32_MAX / (bytes) + 1,                                                                        \
             .slots = objects,                                                                                         \
             .pages = span_pages,                                                                                      \
             .step = PERIOD(bytes) <= 64 ? 64 % PERIOD(bytes) : 0,                                                     \
             .starts = STARTS(PERIOD(bytes))},

const tri_size_class tri_size_classes[TRI_CLASS_COUNT] = {TRI_SIZE_CLASSES(ENTRY)};

const uint8_t tri_size_to_class_16[] = {TRI_SIZE_TO_CLASS_16};
const uint8_t tri_size_to_class_128[] = {TRI_SIZE_TO_CLASS_128};
