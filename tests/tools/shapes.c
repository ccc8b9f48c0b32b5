/* shapes.c - structs whose layout and pointers test_layout.py knows: read by hand, on x86-64 and aarch64. Compiled with
 * debugging information, never run. */
#include <stdbool.h>
#include <stdint.h>

typedef void callback(void *);
union number_or_pointer {
  double number;
  void *pointer;
};
union numbers {
  double number;
  long words[3];
};
enum colour { RED, GREEN };

struct plain {
  int x, y;
};
struct one_pointer {
  void *pointer;
};
struct list {
  struct list *next;
  long key;
};
struct tree {
  struct tree *left, *right;
  int depth;
};
struct guide {
  bool a;
  int64_t b;
  bool c;
  int32_t d;
  bool e;
};
struct only_functions {
  callback *first;
  callback *second;
  int (*const third)(int);
};
struct text {
  const char *bytes;
  uint64_t length;
  char small[7];
};
struct pointers_in_arrays {
  char *names[3];
  int counts[3];
  const void *matrix[2][2];
};
struct nested {
  char tag;
  struct list list;
  struct plain plain;
};
struct array_of_structs {
  struct list lists[2];
  short last;
};
struct with_union {
  char kind;
  union number_or_pointer value;
};
struct with_pointerless_union {
  union numbers numbers;
  void *pointer;
};
struct anonymous_members {
  int kind;
  union {
    struct list *list;
    struct {
      int low, high;
    };
  };
  enum colour colour;
};
struct flexible {
  uint32_t count;
  struct list *items[];
};
struct bits {
  unsigned a : 5;
  char c;
  unsigned b : 20;
  long l;
  unsigned z : 12;
};
struct __attribute__((packed)) packed {
  char c;
  void *unaligned;
  void *another;
};
struct __attribute__((aligned(64))) aligned {
  char name[60];
  void *pointer;
};
typedef struct {
  long double wide;
  char c;
  float _Complex f;
} wide;
struct qualified {
  volatile long *const volatile counter;
  char *_Atomic atomic;
  uintptr_t disguised;
};
struct recursive_function {
  struct recursive_function *(*make)(struct recursive_function *, callback *);
  char *(*table)[4];
  void **where;
};
struct no_waste_but_order {
  char a[3];
  char b;
  int c;
};

struct plain plain;
struct one_pointer one_pointer;
struct tree tree;
struct guide guide;
struct only_functions only_functions;
struct text text;
struct pointers_in_arrays pointers_in_arrays;
struct nested nested;
struct array_of_structs array_of_structs;
struct with_union with_union;
struct with_pointerless_union with_pointerless_union;
struct anonymous_members anonymous_members;
struct flexible *flexible;
struct bits bits;
struct packed packed;
struct aligned aligned;
wide wide_one;
struct qualified qualified;
struct recursive_function recursive_function;
struct no_waste_but_order no_waste_but_order;
