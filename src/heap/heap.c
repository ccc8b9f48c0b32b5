/* heap.c - the variables that heap.h declares. */
#include "heap/heap.h"

static bool no_handler(size_t size, int attempt) {
  (void)size, (void)attempt;
  return false;
}

/* Set by the linker (gc/start.c), not by code: the program may allocate before any constructor of ours has run. Weak: a
 * program may be linked with the heap alone. */
extern tri_attach_function *const __start_tri_attach[] __attribute__((weak, visibility("hidden")));

static struct tri_cache *attach(void) { return __start_tri_attach[0](); }

tri_heap tri_the_heap TRI_OWN_DATA = {.trigger = PTRDIFF_MAX};
tri_heap_hooks tri_the_hooks TRI_OWN_DATA = {.attach = attach, .out_of_memory = no_handler};
