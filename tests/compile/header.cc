// The public header and its macros as strict and pedantic C++. Compiled, never run.
#include <tricolor.h>

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
  tri_keep_alive(n);
  tri_gc();
  return 0;
}
