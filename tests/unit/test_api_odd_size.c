/* test_api_odd_size.c - objects of 24 bytes, every other one of which starts in the middle of a granule: found by every
 * pointer into them, whatever holds it, and gone with the last one; freed, reused and told of as others are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <tricolor.h>

enum { COUNT = 20000, EARNING = 4000 };

typedef struct item {
  uintptr_t *next; /* any word of another one */
  uint64_t number, check;
} item;
TRI_TYPE(item, next);

typedef struct plain { /* no map: scanned conservatively */
  uint64_t number, check;
  void *next;
} plain;

typedef struct numbers {
  uint64_t a, b;
  uint32_t c;
} numbers;
TRI_TYPE(numbers);

static void *volatile root;
static uintptr_t dropped[COUNT]; /* addresses, disguised */

static uint64_t check_of(uint64_t number) { return number * 0x9e3779b97f4a7c15u; }

static item *item_new(uint64_t number) {
  item *made = tri_new(item);
  assert_non_null(made);
  assert_int_equal((uintptr_t)made % 8, 0);
  assert_true(!made->next && !made->number && !made->check);
  made->number = number;
  made->check = check_of(number);
  return made;
}

static void collect(void) {
  tri_gc();
  tri_gc();
}

static size_t dropped_that_live(void) {
  size_t live = 0;
  for (size_t i = 0; i < COUNT; i++) live += tri_base_of((void *)~dropped[i]) == (void *)~dropped[i];
  return live;
}

/* A list through the words that `word` picks; between two items that are kept one that is not. */
static __attribute__((noinline)) void make_list(size_t (*word)(uint64_t number)) {
  root = NULL;
  for (uint64_t i = 0; i < COUNT; i++) {
    item *kept = item_new(i);
    kept->next = root;
    dropped[i] = ~(uintptr_t)item_new(~i);
    root = (uintptr_t *)kept + word(i);
  }
}

static __attribute__((noinline)) void check_list(void) {
  uintptr_t *at = root;
  for (uint64_t i = COUNT; i--;) {
    item *kept = tri_base_of(at);
    assert_non_null(kept);
    assert_true(at >= (uintptr_t *)kept && at < (uintptr_t *)(kept + 1));
    assert_int_equal(kept->number, i);
    assert_int_equal(kept->check, check_of(i));
    assert_int_equal(tri_size_of(kept), sizeof(item));
    at = kept->next;
  }
  assert_null(at);
}

static size_t first(uint64_t number) { return number * 0; }
static size_t second(uint64_t number) { return 1 + number * 0; }
static size_t third(uint64_t number) { return 2 + number * 0; }
static size_t any(uint64_t number) { return number * number / 7 % 3; }

static void test_lists(void **state) {
  (void)state;
  size_t (*const words[])(uint64_t) = {first, second, third, any};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    make_list(words[i]);
    collect();
    check_list();
    assert_true(dropped_that_live() < COUNT / 100);
  }
  root = NULL;
}

/* Two lists made at once and beside each other, dropped in turns: what is handed out anew is zero, and nothing that
 * lives is handed out. */
static void test_reuse(void **state) {
  (void)state;
  make_list(any);
  for (int round = 0; round < 10; round++) {
    for (uint64_t i = 0; i < COUNT; i++) tri_keep_alive(item_new(i));
    if (round % 3 == 0) collect();
    check_list();
  }
  root = NULL;
}

static void test_in_conservative_objects(void **state) {
  (void)state;
  item **table = tri_alloc(COUNT * sizeof *table);
  root = table;
  for (uint64_t i = 0; i < COUNT; i++) {
    table[i] = item_new(i);
    dropped[i] = ~(uintptr_t)item_new(i);
  }
  collect();
  for (uint64_t i = 0; i < COUNT; i++) assert_true(table[i]->number == i && table[i]->check == check_of(i));
  assert_true(dropped_that_live() < COUNT / 100);
  tri_keep_alive(table);
  root = NULL;
}

static void test_without_a_map(void **state) {
  (void)state;
  for (uint64_t i = 0; i < COUNT; i++) {
    plain *made = tri_new(plain);
    *made = (plain){.number = i, .check = check_of(i), .next = root};
    root = &made->check;
  }
  collect();
  char *at = root;
  for (uint64_t i = COUNT; i--;) {
    plain *kept = (plain *)(void *)(at - offsetof(plain, check));
    assert_ptr_equal(tri_base_of(at), kept);
    assert_true(kept->number == i && kept->check == check_of(i));
    at = kept->next;
  }
  root = NULL;
}

/* Pointer-free ones, and sizes that are no multiple of 8. */
static void test_without_pointers(void **state) {
  (void)state;
  numbers **table = tri_make(numbers *, COUNT);
  root = table;
  for (uint32_t i = 0; i < COUNT; i++) {
    table[i] = tri_new(numbers);
    assert_true(!table[i]->a && !table[i]->b && !table[i]->c);
    *table[i] = (numbers){i, i, i};
  }
  collect();
  for (uint32_t i = 0; i < COUNT; i++) assert_true(table[i]->a == i && table[i]->b == i && table[i]->c == i);
  tri_keep_alive(table);
  root = NULL;
}

/* Each address twice at most, and nothing of what was kept. */
static void test_freed_by_hand(void **state) {
  (void)state;
  item **table = tri_make(item *, COUNT);
  root = table;
  for (uint64_t i = 0; i < COUNT; i++) table[i] = item_new(i);
  for (uint64_t i = 0; i < COUNT; i += 2) {
    tri_free(table[i]);
    table[i] = NULL;
  }
  for (uint64_t i = 0; i < COUNT; i += 2) table[i] = item_new(i);
  collect();
  for (uint64_t i = 0; i < COUNT; i++) assert_true(table[i]->number == i && table[i]->check == check_of(i));
  tri_keep_alive(table);
  root = NULL;
}

/* What grows goes to a size aligned to 16, with what it held. */
static void test_growing(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 100; i++) {
    item *made = item_new(i);
    made = tri_realloc(made, sizeof(item) * 2);
    assert_int_equal(made[0].number, i);
    assert_int_equal(made[1].number, 0);
    assert_int_equal((uintptr_t)made % 16, 0);
  }
}

typedef struct wide {
  void *pointer;
  uint64_t number, check;
} wide __attribute__((aligned(16))); /* has 24 bytes all the same: the attribute is the name's */

static void test_a_type_aligned_to_16(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    wide *made = tri_new(wide);
    assert_int_equal((uintptr_t)made % 16, 0);
    tri_keep_alive(tri_new(item));
  }
}

/* The end of one keeps nothing, whether another one starts there or did. */
static void test_end_pointers(void **state) {
  (void)state;
  static void *volatile ends[COUNT];
  for (uint64_t i = 0; i < COUNT; i++) {
    item *made = item_new(i), *behind = item_new(i);
    dropped[i] = ~(uintptr_t)made;
    ends[i] = behind == made + 1 ? behind : NULL;
  }
  for (uint64_t i = 0; i < COUNT; i += 2)
    if (ends[i]) tri_free(ends[i]);
  collect();
  assert_true(dropped_that_live() < COUNT / 100);
  memset((void *)ends, 0, sizeof ends);
}

/* What is asked for by its size alone is aligned to 16. */
static void test_alignment(void **state) {
  (void)state;
  for (size_t size = 16; size <= 32; size++)
    for (int i = 0; i < 100; i++) {
      assert_int_equal((uintptr_t)tri_alloc(size) % 16, 0);
      assert_int_equal((uintptr_t)tri_alloc_noscan(size) % 16, 0);
      assert_int_equal((uintptr_t)tri_alloc_aligned(16, size) % 16, 0);
    }
}

/* ---- the last bytes of a page, which are no slot ---- */

enum { PAGE = 8192, LAST = PAGE - PAGE % sizeof(item) - sizeof(item) };

static struct {
  void *volatile end;    /* of the last item of a page; read before */
  item *volatile behind; /* the first one of the next page, which alone knows */
} roots;
static uintptr_t child; /* this one; disguised */

static __attribute__((noinline)) bool make_neighbours(void) {
  item *last = NULL;
  for (int i = 0; i < 100 * COUNT && !roots.behind; i++) {
    item *made = item_new(7);
    if ((uintptr_t)made % PAGE == LAST) last = made;
    if (last && (uintptr_t)made == ((uintptr_t)last | (PAGE - 1)) + 1) roots.behind = made;
  }
  if (!roots.behind) return false;
  roots.end = last + 1;
  item *known = item_new(9);
  roots.behind->next = (uintptr_t *)known;
  child = ~(uintptr_t)known;
  return true;
}

static void test_the_end_of_a_page(void **state) {
  (void)state;
  assert_true(make_neighbours());
  collect();
  assert_ptr_equal(tri_base_of((void *)~child), (void *)~child);
  assert_true(((item *)~child)->number == 9 && ((item *)~child)->check == check_of(9));
  assert_null(tri_base_of(roots.end));
  roots.end = roots.behind = NULL;
}

static void test_room(void **state) {
  (void)state;
  tri_memstats before, after;
  for (int i = 0; i < EARNING; i++) tri_keep_alive(tri_new(item));
  tri_read_memstats(&before);
  for (uint64_t i = 0; i < COUNT; i++) tri_keep_alive(tri_new(item));
  tri_read_memstats(&after);
  assert_int_equal(after.Mallocs - before.Mallocs, COUNT);
  assert_int_equal(after.TotalAlloc - before.TotalAlloc, COUNT * sizeof(item));
}

int main(void) {
  for (int i = 0; i < EARNING; i++) tri_keep_alive(tri_new(item)); /* spans of their own */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lists),         cmocka_unit_test(test_reuse),
      cmocka_unit_test(test_without_a_map), cmocka_unit_test(test_in_conservative_objects),
      cmocka_unit_test(test_freed_by_hand), cmocka_unit_test(test_without_pointers),
      cmocka_unit_test(test_growing),       cmocka_unit_test(test_alignment),
      cmocka_unit_test(test_room),          cmocka_unit_test(test_the_end_of_a_page),
      cmocka_unit_test(test_end_pointers),  cmocka_unit_test(test_a_type_aligned_to_16),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
