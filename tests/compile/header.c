/* The public headers, and each of its macros, under a strict and pedantic compiler. Compiled, never run. */
#include <tricolor.h>
#include <tricolor/map.h>
#include <tricolor/pool.h>
#include <tricolor/region.h>
#include <tricolor/slice.h>

typedef struct node {
  struct node *left, *right;
  struct node *children[4];
  long key;
} node;
TRI_TYPE(node, left, right, children);

struct plain {
  int x, y;
};
TRI_TYPE(struct plain);

TRI_SLICE(numbers, int);
TRI_SLICE(nodes, node *);
TRI_MAP(counts, const char *, int, tri_hash_string, tri_equal_string);
TRI_MAP(seen, node *, long, tri_hash_pointer, tri_equal_pointer);
TRI_TYPE(counts_group);

int main(void) {
  node *n = tri_new(node);
  struct plain *points = tri_make(struct plain, 10);
  char *text = tri_strdup("text");
  tri_options options = {.size = sizeof options, .gc_percent = 50};
  if (tri_init(&options) != TRI_OK || !n || !points || !text) {
    return 1;
  }
  n->left = tri_new(node);
  numbers list = {0};
  counts words = {0};
  tri_region *region = tri_region_begin();
  tri_pool *pool = tri_pool_new(NULL);
  if (!numbers_append(&list, 1) || !counts_set(&words, "one", 1)) return 1;
  for (counts_iterator i = counts_each(&words); counts_next(&i);) list.items[0] += *i.value;
  list = numbers_clone(numbers_sub(list, 0, 1));
  n->right = tri_region_new(region, node);
  tri_region_end(region);
  tri_pool_put(pool, tri_pool_get(pool));
  tri_keep_alive(n);
  tri_gc();
  return 0;
}
