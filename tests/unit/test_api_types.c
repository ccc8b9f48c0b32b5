/* test_api_types.c - TRI_TYPE, tri_new and tri_make: what is described keeps its target, what is not does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <tricolor.h>

enum { COUNT = 200, EARNING = 40 * 1024 }; /* bytes after which a layout has spans of its own, and some */

/* ---- types of all sorts ---- */

struct tagged {
  long key;
  struct tagged *shown;
  void *hidden;
};
TRI_TYPE(struct tagged, shown);

typedef struct with_array {
  void *hidden;
  void *shown[5];
  long number;
} with_array;
TRI_TYPE(with_array, shown);

typedef struct inner {
  void *first;
  long number;
  void *second;
} inner;

typedef struct outer {
  void *hidden;
  inner shown;
  void *also_hidden;
} outer;
TRI_TYPE(outer, shown);

typedef union either {
  void *pointer;
  double number;
} either;

typedef struct with_union {
  void *hidden;
  either shown;
} with_union;
TRI_TYPE(with_union, shown);

typedef struct none {
  void *hidden[4];
} none;
TRI_TYPE(none);

/* More than a machine word of words, and larger than what is cleared at once. */
typedef struct long_one {
  void *hidden[100];
  void *shown;
  void *also_hidden[60];
  void *last;
} long_one;
TRI_TYPE(long_one, shown, last);

typedef struct unlike {
  long a;
  void *shown;
  long b, c;
} unlike;

typedef struct small_none {
  char text[5];
} small_none;
TRI_TYPE(small_none);

/* As many fields as can be named. */
typedef struct fields32 {
  void *a1, *a2, *a3, *a4, *a5, *a6, *a7, *a8, *b1, *b2, *b3, *b4, *b5, *b6, *b7, *b8;
  void *c1, *c2, *c3, *c4, *c5, *c6, *c7, *c8, *d1, *d2, *d3, *d4, *d5, *d6, *d7, *d8;
  void *hidden;
} fields32;
TRI_TYPE(fields32, a1, a2, a3, a4, a5, a6, a7, a8, b1, b2, b3, b4, b5, b6, b7, b8, c1, c2, c3, c4, c5, c6, c7, c8, d1,
         d2, d3, d4, d5, d6, d7, d8);

typedef struct undescribed {
  long number;
  void *shown;
} undescribed;

/* ---- is a target kept? ---- */

static void *holders[COUNT];       /* a root */
static uintptr_t disguised[COUNT]; /* ~address */

/* Not inlined, so that no copy of a pointer stays in the test's own frame. */
__attribute__((noinline)) static void put_targets(void **(*place)(void *holder), size_t target_size) {
  for (int i = 0; i < COUNT; i++) {
    void *target = tri_alloc(target_size);
    *place(holders[i]) = target;
    disguised[i] = ~(uintptr_t)target;
  }
}

/* How many of the targets are still there after a collection. Noise on the stack may hold a few. */
static int kept_targets(void **(*place)(void *holder)) {
  put_targets(place, 272); /* a size that nothing else here uses */
  tri_gc();
  int kept = 0;
  for (int i = 0; i < COUNT; i++) kept += tri_base_of((void *)~disguised[i]) != NULL; /* NOLINT: undisguised */
  for (int i = 0; i < COUNT; i++) *place(holders[i]) = NULL;
  return kept;
}

#define PLACE(name, T, expression)                                                                                     \
  static void **name(void *holder) {                                                                                   \
    T *object = holder;                                                                                                \
    return (void **)&object->expression;                                                                               \
  }

PLACE(tagged_shown, struct tagged, shown)
PLACE(tagged_hidden, struct tagged, hidden)
PLACE(array_first, with_array, shown[0])
PLACE(array_last, with_array, shown[4])
PLACE(array_hidden, with_array, hidden)
PLACE(outer_first, outer, shown.first)
PLACE(outer_second, outer, shown.second)
PLACE(outer_hidden, outer, hidden)
PLACE(outer_also_hidden, outer, also_hidden)
PLACE(union_shown, with_union, shown.pointer)
PLACE(union_hidden, with_union, hidden)
PLACE(none_hidden, none, hidden[2])
PLACE(long_shown, long_one, shown)
PLACE(long_last, long_one, last)
PLACE(long_hidden, long_one, hidden[3])
PLACE(long_also_hidden, long_one, also_hidden[59])
PLACE(fields_first, fields32, a1)
PLACE(fields_last, fields32, d8)
PLACE(fields_hidden, fields32, hidden)
PLACE(undescribed_number, undescribed, number)
PLACE(undescribed_shown, undescribed, shown)

static void assert_all_kept(void **(*place)(void *)) { assert_int_equal(kept_targets(place), COUNT); }
static void assert_few_kept(void **(*place)(void *)) { assert_in_range(kept_targets(place), 0, COUNT / 20); }

/* Makes holders of the type, after enough others that the type has earned its spans. The site is one. */
#define MAKE_HOLDERS(T)                                                                                                \
  do {                                                                                                                 \
    for (size_t made = 0, at = 0; made < EARNING + (COUNT + 1) * sizeof(T); made += sizeof(T), at++)                   \
      holders[at % COUNT] = tri_new(T);                                                                                \
    for (int i = 0; i < COUNT; i++) holders[i] = tri_new(T);                                                           \
  } while (0)

static void test_struct_tag(void **state) {
  (void)state;
  MAKE_HOLDERS(struct tagged);
  assert_all_kept(tagged_shown);
  assert_few_kept(tagged_hidden);
}

static void test_array_field(void **state) {
  (void)state;
  MAKE_HOLDERS(with_array);
  assert_all_kept(array_first);
  assert_all_kept(array_last);
  assert_few_kept(array_hidden);
}

static void test_nested_field(void **state) {
  (void)state;
  MAKE_HOLDERS(outer);
  assert_all_kept(outer_first);
  assert_all_kept(outer_second);
  assert_few_kept(outer_hidden);
  assert_few_kept(outer_also_hidden);
}

static void test_union_field(void **state) {
  (void)state;
  MAKE_HOLDERS(with_union);
  assert_all_kept(union_shown);
  assert_few_kept(union_hidden);
}

static void test_no_fields(void **state) {
  (void)state;
  MAKE_HOLDERS(none);
  assert_few_kept(none_hidden);
}

static void test_long_type(void **state) {
  (void)state;
  MAKE_HOLDERS(long_one);
  assert_all_kept(long_shown);
  assert_all_kept(long_last);
  assert_few_kept(long_hidden);
  assert_few_kept(long_also_hidden);
}

static void test_32_fields(void **state) {
  (void)state;
  MAKE_HOLDERS(fields32);
  assert_all_kept(fields_first);
  assert_all_kept(fields_last);
  assert_few_kept(fields_hidden);
}

static void test_undescribed_is_conservative(void **state) {
  (void)state;
  MAKE_HOLDERS(undescribed);
  assert_all_kept(undescribed_number);
  assert_all_kept(undescribed_shown);
}

/* The described field keeps its target from the first object on, before anything is earned. */
static void test_before_earning(void **state) {
  (void)state;
  for (int i = 0; i < COUNT; i++) holders[i] = tri_new(with_array);
  assert_all_kept(array_last);
}

/* ---- arrays ---- */

static size_t element;
static void **tagged_element_shown(void *holder) { return (void **)&((struct tagged *)holder)[element].shown; }
static void **tagged_element_hidden(void *holder) { return &((struct tagged *)holder)[element].hidden; }

static void check_arrays(size_t length) {
  for (int i = 0; i < 2 * COUNT; i++) holders[i % COUNT] = tri_make(struct tagged, length);
  size_t places[] = {0, 1, length / 2, length - 2, length - 1};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    element = places[i];
    assert_all_kept(tagged_element_shown);
    assert_few_kept(tagged_element_hidden);
  }
}

static void test_arrays(void **state) {
  (void)state;
  check_arrays(40);
  check_arrays(100);
  check_arrays(1000);
}

/* Large objects are scanned in pieces, and their maps tiled across these. */
static void test_large_arrays(void **state) {
  (void)state;
  check_arrays(3000);
  memset(holders, 0, sizeof holders);
}

static void **long_element_shown(void *holder) { return &((long_one *)holder)[element].shown; }
static void **long_element_hidden(void *holder) { return &((long_one *)holder)[element].hidden[99]; }

static void test_large_arrays_of_long_types(void **state) {
  (void)state;
  for (int i = 0; i < COUNT; i++) holders[i] = tri_make(long_one, 130);
  for (element = 0; element < 130; element += 43) {
    assert_all_kept(long_element_shown);
    assert_few_kept(long_element_hidden);
  }
  memset(holders, 0, sizeof holders);
}

/* Bytes that are no whole elements never reach the end of their slot, where an end pointer would not be seen. */
static void test_realloc_leaves_room_for_ends(void **state) {
  (void)state;
  for (int i = 0; i < EARNING / 24 * 2; i++) tri_keep_alive(tri_new(struct tagged));
  for (size_t size = 17; size <= 2048; size++) {
    struct tagged *object = tri_new(struct tagged);
    object->key = 17;
    object = tri_realloc(object, size);
    assert_int_equal(object->key, 17);
    if (size % sizeof *object) assert_true(tri_size_of(object) > size);
  }
  struct tagged *object = tri_new(struct tagged);
  assert_null(tri_realloc(object, SIZE_MAX));
  assert_null(tri_realloc(object, SIZE_MAX - 1));
  tri_keep_alive(object);
}

/* realloc keeps the kind. */
static void test_realloc_stays_typed(void **state) {
  (void)state;
  MAKE_HOLDERS(struct tagged);
  for (int i = 0; i < COUNT; i++) {
    holders[i] = tri_make(struct tagged, 50); /* these sizes earn their spans first */
    holders[i] = tri_realloc(holders[i], 100 * sizeof(struct tagged));
  }
  for (int i = 0; i < COUNT; i++) holders[i] = tri_realloc(tri_make(struct tagged, 50), 100 * sizeof(struct tagged));
  element = 99;
  assert_all_kept(tagged_element_shown);
  assert_few_kept(tagged_element_hidden);
}

static void test_sizes_and_overflow(void **state) {
  (void)state;
  volatile size_t too_many = SIZE_MAX / sizeof(struct tagged) + 1;
  assert_non_null(tri_make(struct tagged, 0));
  small_none *small = tri_new(small_none);
  small->text[4] = 1;
  assert_non_null(tri_make(small_none, 1000));
  errno = 0;
  assert_null(tri_make(struct tagged, too_many));
  assert_int_equal(errno, ENOMEM);
}

typedef struct aligned_one {
  void *pointer;
  char bytes[56];
} __attribute__((aligned(64))) aligned_one;
TRI_TYPE(aligned_one, pointer);

PLACE(aligned_pointer, aligned_one, pointer)

static void test_aligned_type(void **state) {
  (void)state;
  for (int i = 0; i < COUNT; i++) {
    aligned_one *one = tri_new(aligned_one), *array = tri_make(aligned_one, 7);
    assert_int_equal((uintptr_t)one % 64, 0);
    assert_int_equal((uintptr_t)array % 64, 0);
    holders[i] = one;
  }
  assert_all_kept(aligned_pointer);
}

/* ---- registration at run time ---- */

static void **fourth_word(void *holder) { return &((void **)holder)[3]; }
static void **fifth_word(void *holder) { return &((void **)holder)[4]; }

static void test_registered_at_run_time(void **state) {
  (void)state;
  static const tri_field fields[] = {{24, 8}};
  static char unit;
  static tri_type type = {.name = "made up", .unit = &unit, .size = 48, .fields = fields, .field_count = 1};
  assert_int_equal(tri_type_register(&type), TRI_OK);
  assert_int_equal(tri_type_register(&type), TRI_OK);
  for (int i = 0; i < 2000; i++) holders[i % COUNT] = tri_alloc_typed(&type, 1);
  assert_all_kept(fourth_word);
  assert_few_kept(fifth_word);
  errno = 0;
  volatile size_t too_many = SIZE_MAX / 40;
  assert_null(tri_alloc_typed(&type, too_many));
  assert_int_equal(errno, ENOMEM);
}

static void test_malformed_types(void **state) {
  (void)state;
  static const tri_field bad[][1] = {{{4, 8}},   {{0, 4}}, {{40, 8}}, {{0, 48}}, {{SIZE_MAX - 7, 8}},
                                     {{32, 16}}, {{0, 0}}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tri_type type = {.name = "bad", .size = 40, .fields = bad[i], .field_count = 1};
    assert_int_equal(tri_type_register(&type), TRI_ERR_INVALID);
  }
  tri_type nameless = {.size = 40}, empty = {.name = "empty"};
  assert_int_equal(tri_type_register(&nameless), TRI_ERR_INVALID);
  assert_int_equal(tri_type_register(&empty), TRI_ERR_INVALID);
}

/* A type without a TRI_TYPE of its own, as large as one that has, stays conservative. */
static void test_name_counts(void **state) {
  (void)state;
  _Static_assert(sizeof(unlike) == sizeof(none), "as large");
  for (int i = 0; i < 3 * COUNT; i++) holders[i % COUNT] = tri_new(unlike);
  assert_all_kept(tagged_shown); /* the second word */
}

/* ---- types that go ---- */

typedef struct seen_after {
  void *hidden;
  void *shown;
} seen_after;
TRI_TYPE(seen_after, shown);

PLACE(seen_after_shown, seen_after, shown)
PLACE(seen_after_hidden, seen_after, hidden)
/* The library's leaf is like it. */
PLACE(leaf_shown, seen_after, shown)
PLACE(leaf_hidden, seen_after, hidden)

typedef void *leaf_maker(void);

static leaf_maker *load_leaves(void **library) {
  *library = dlopen(TEST_LIB_DIR "/lib_types.so", RTLD_NOW | RTLD_LOCAL);
  assert_non_null(*library);
  return (leaf_maker *)(uintptr_t)dlsym(*library, "types_make"); /* NOLINT: a function from an object pointer */
}

/* The memory of an unloaded library's types is gone: whoever looks a type up afterwards must not come by them. */
static void test_unloading_a_library(void **state) {
  (void)state;
  for (int times = 0; times < 3; times++) {
    void *library;
    leaf_maker *make = load_leaves(&library);
    for (int i = 0; i < 3000; i++) holders[i % COUNT] = make();
    assert_int_equal(dlclose(library), 0);
    assert_null(dlopen(TEST_LIB_DIR "/lib_types.so", RTLD_NOW | RTLD_NOLOAD)); /* it is not there any more */
    assert_all_kept(leaf_shown);
    assert_few_kept(leaf_hidden);
    if (times == 0) MAKE_HOLDERS(seen_after); /* a site's first look */
  }
  MAKE_HOLDERS(seen_after);
  assert_all_kept(seen_after_shown);
  assert_few_kept(seen_after_hidden);
}

static void test_unregistering(void **state) {
  (void)state;
  static tri_type types[3];
  for (int i = 0; i < 3; i++) {
    types[i] = (tri_type){.name = "to go", .size = 64};
    assert_int_equal(tri_type_unregister(&types[i]), TRI_ERR_NOT_FOUND);
    assert_int_equal(tri_type_register(&types[i]), TRI_OK);
  }
  for (int i = 0; i < 3; i++) {
    int which = (i + 1) % 3; /* from the middle, the front, and the end of the list */
    assert_int_equal(tri_type_unregister(&types[which]), TRI_OK);
    memset(&types[which], 0x5a, sizeof types[which]);
    assert_int_equal(tri_type_unregister(&types[which]), TRI_ERR_NOT_FOUND);
  }
  MAKE_HOLDERS(with_union);
  assert_all_kept(union_shown);
}

/* ---- one type, two descriptions ---- */

static void test_two_descriptions(void **state) {
  (void)state;
  static char unit, other_unit;
  static const tri_field second[] = {{8, 8}}, third[] = {{16, 8}};
  tri_type first = {.name = "twice", .unit = &unit, .size = 24, .fields = second, .field_count = 1};
  tri_type same = first, other_fields = first, no_fields = first, other_size = first, elsewhere = first,
           nowhere = first;
  other_fields.fields = third;
  no_fields.field_count = 0;
  other_size.size = 32;
  other_size.fields = third;
  elsewhere.unit = &other_unit;
  elsewhere.fields = third;
  nowhere.unit = NULL;
  nowhere.fields = third;
  assert_int_equal(tri_type_register(&first), TRI_OK);
  assert_int_equal(tri_type_register(&same), TRI_OK);
  assert_int_equal(tri_type_register(&other_fields), TRI_ERR_INVALID);
  assert_int_equal(tri_type_register(&no_fields), TRI_ERR_INVALID);
  assert_int_equal(tri_type_register(&other_size), TRI_OK);
  assert_int_equal(tri_type_register(&elsewhere), TRI_OK);
  assert_int_equal(tri_type_register(&nowhere), TRI_OK);
  assert_int_equal(tri_type_unregister(&nowhere), TRI_OK);
  assert_int_equal(tri_type_unregister(&elsewhere), TRI_OK);
  assert_int_equal(tri_type_unregister(&other_size), TRI_OK);
  assert_int_equal(tri_type_unregister(&no_fields), TRI_ERR_NOT_FOUND);
  assert_int_equal(tri_type_unregister(&other_fields), TRI_ERR_NOT_FOUND);
  assert_int_equal(tri_type_unregister(&same), TRI_OK);
  assert_int_equal(tri_type_unregister(&first), TRI_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_before_earning),
      cmocka_unit_test(test_struct_tag),
      cmocka_unit_test(test_array_field),
      cmocka_unit_test(test_nested_field),
      cmocka_unit_test(test_union_field),
      cmocka_unit_test(test_no_fields),
      cmocka_unit_test(test_long_type),
      cmocka_unit_test(test_32_fields),
      cmocka_unit_test(test_undescribed_is_conservative),
      cmocka_unit_test(test_arrays),
      cmocka_unit_test(test_large_arrays),
      cmocka_unit_test(test_large_arrays_of_long_types),
      cmocka_unit_test(test_realloc_stays_typed),
      cmocka_unit_test(test_realloc_leaves_room_for_ends),
      cmocka_unit_test(test_sizes_and_overflow),
      cmocka_unit_test(test_aligned_type),
      cmocka_unit_test(test_registered_at_run_time),
      cmocka_unit_test(test_malformed_types),
      cmocka_unit_test(test_name_counts),
      cmocka_unit_test(test_unloading_a_library),
      cmocka_unit_test(test_unregistering),
      cmocka_unit_test(test_two_descriptions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
