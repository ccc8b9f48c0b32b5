/* heap.c - the variables that heap.h declares. */
#include "heap/heap.h"

static bool no_handler(size_t size, int attempt) {
  (void)size, (void)attempt;
  return false;
}

tri_heap tri_the_heap TRI_OWN_DATA = {.trigger = PTRDIFF_MAX};
tri_heap_hooks tri_the_hooks TRI_OWN_DATA = {.out_of_memory = no_handler};
