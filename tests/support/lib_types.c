/* lib_types.c - a library that describes a type, to be loaded and unloaded. */
#include <tricolor.h>

typedef struct leaf {
  void *hidden;
  void *shown;
  long number;
} leaf;
TRI_TYPE(leaf, shown);

void *types_make(void);
void *types_make(void) { return tri_new(leaf); }
