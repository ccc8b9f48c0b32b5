/* The public header alone, and each of its macros, under a strict and pedantic compiler. Compiled, never run. */
#include <tricolor.h>

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

int main(void) {
  node *n = tri_new(node);
  struct plain *points = tri_make(struct plain, 10);
  char *text = tri_strdup("text");
  tri_options options = {.size = sizeof options, .gc_percent = 50};
  if (tri_init(&options) != TRI_OK || !n || !points || !text) {
    return 1;
  }
  n->left = tri_new(node);
  tri_keep_alive(n);
  tri_gc();
  return 0;
}
