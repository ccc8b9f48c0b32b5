/* 09 - Stack layout: the memory of managed stacks, and a recursion that uses some stack. */
#include "guide.h"

static GUIDE_NOINLINE void test_stack(int depth) {
  if (depth >= 10) return;

  char data[1024] = {0};
  data[0] = (char)depth;

  test_stack(depth + 1);

  tri_keep_alive(data);
}

static GUIDE_NOINLINE void stack_layout(void) {
  printf("=== Stack Memory Layout ===\n");

  tri_memstats m;
  tri_read_memstats(&m);

  printf("Stack memory:\n");
  printf("  Inuse: %" PRIu64 " KB (in use)\n", m.StackInuse / 1024);
  printf("  Sys: %" PRIu64 " KB (from the system)\n", m.StackSys / 1024);

  test_stack(0);
}

int main(void) {
  stack_layout();
  return 0;
}
