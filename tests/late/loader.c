/* loader.c - a program that loads the shared library late, uses it, and lets it go, three times. The library's threads
 * and handlers go on, so its code must stay.
 * usage: loader LIBRARY */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, OBJECTS = 100000, SIZE = 100 };

typedef void *alloc_function(size_t size);
typedef void gc_function(void);

static int use(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  alloc_function *alloc = (alloc_function *)dlsym(library, "tri_alloc");
  gc_function *gc = (gc_function *)dlsym(library, "tri_gc");
  if (!alloc || !gc) return 1;
  char *object = NULL;
  for (int i = 0; i < OBJECTS; i++) {
    object = alloc(SIZE);
    if (!object) return 1;
    memset(object, 'x', SIZE);
  }
  gc();
  return dlclose(library) != 0 || !dlopen(path, RTLD_NOW | RTLD_NOLOAD);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  for (int i = 0; i < ROUNDS; i++)
    if (use(arguments[1]) != 0) return 1;
  return 0;
}
