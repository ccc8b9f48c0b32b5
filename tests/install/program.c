/* What a user of the installed library would write: short lists that are dropped, collected, and counted. A stale
 * pointer in a register may keep one of them, not all. */
#include <stdio.h>
#include <tricolor.h>

typedef struct node {
  struct node *next;
  long key;
} node;
TRI_TYPE(node, next);

static long make_list(long length) {
  node *list = NULL;
  long sum = 0;
  for (long i = 0; i < length; i++) {
    node *n = tri_new(node);
    n->next = list;
    n->key = i;
    list = n;
  }
  for (node *n = list; n; n = n->next) {
    sum += n->key;
  }
  return sum;
}

int main(void) {
  for (int i = 0; i < 1000; i++) {
    if (make_list(100) != 4950) {
      return 1;
    }
  }
  tri_gc();
  tri_memstats stats;
  tri_read_memstats(&stats);
  printf("%d.%d.%d: collections %u, objects made %llu, left %llu\n", TRI_VERSION_MAJOR, TRI_VERSION_MINOR,
         TRI_VERSION_PATCH, stats.NumGC, (unsigned long long)stats.Mallocs, (unsigned long long)stats.HeapObjects);
  return stats.NumGC >= 1 && stats.Mallocs >= 100000 && stats.Frees >= 50000 ? 0 : 1;
}
