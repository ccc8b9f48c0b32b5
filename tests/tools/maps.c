/* maps.c - TRI_TYPEs that are right, that read too much, and that leave a pointer out, for test_types.py. Linked, and
 * run to see that the library takes them. */
#include <tricolor.h>

typedef struct node {
  struct node *next;
  long key;
  union {
    double number;
    char *text;
  } value;
} node;
TRI_TYPE(node, next, value);

struct plain {
  int numbers[4];
};
TRI_TYPE(struct plain);

typedef struct {
  char *name;
  void *data[2];
  long length;
} named;
TRI_TYPE(named, name);

typedef struct generous {
  long number;
  void *pointer;
} generous;
TRI_TYPE(generous, number, pointer);

typedef struct ranges {
  long number;
  void *pointers[3];
  char rest[12];
} ranges;
TRI_TYPE_RANGES(ranges, {8, 16}, {24, 8});

int main(void) {
  return !(tri_new(node) && tri_new(struct plain) && tri_new(named) && tri_new(generous) && tri_new(ranges));
}
