/* preinit.c - a program that allocates before any constructor has run, its own or the library's. */
#include <tricolor.h>

static void *volatile first, *volatile second;

static void allocate_first(int count, char **arguments, char **environment) {
  (void)count, (void)arguments, (void)environment;
  first = tri_alloc(100);
}

__attribute__((section(".preinit_array"), used)) static void (*const hook)(int, char **, char **) = allocate_first;

__attribute__((constructor(101))) static void allocate_second(void) { second = tri_alloc(100); }

int main(void) {
  tri_gc();
  return !first || !second || tri_base_of(first) != first || tri_base_of(second) != second;
}
