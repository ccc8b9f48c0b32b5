// The public headers and their macros as strict and pedantic C++. Compiled, never run.
#include <tricolor.h>
#include <tricolor/map.h>
#include <tricolor/pool.h>
#include <tricolor/region.h>
#include <tricolor/slice.h>

struct node {
  node *left, *right;
  node *children[4];
  long key;
};
TRI_TYPE(node, left, right, children);

struct plain {
  int x, y;
};
TRI_TYPE(plain);

TRI_SLICE(numbers, int);
TRI_SLICE(nodes, node *);
TRI_MAP(counts, const char *, int, tri_hash_string, tri_equal_string);
TRI_MAP(seen, node *, long, tri_hash_pointer, tri_equal_pointer);
TRI_TYPE(counts_group);

int main() {
  node *n = tri_new(node);
  plain *points = tri_make(plain, 10);
  char *text = tri_strdup("text");
  tri_options options = tri_options();
  options.size = sizeof options;
  if (tri_init(&options) != TRI_OK || !n || !points || !text) {
    return 1;
  }
  n->left = tri_new(node);
  numbers list = numbers();
  counts words = counts();
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
