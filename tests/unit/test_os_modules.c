/* test_os_modules.c - loaded objects and thread-local storage of the os layer, with libraries loaded while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "os/os.h"

enum { RANGES = 512, MODULES = 64, SMALL = 64, LARGE = 1 << 20 };

static uintptr_t address_of(const volatile void *pointer) { return (uintptr_t)pointer; }

static bool holds(tri_os_range range, uintptr_t address) { return range.low <= address && address < range.high; }

static bool empty(tri_os_range range) { return range.low == range.high; }

/* ---- a visit, written down ---- */

typedef struct visit {
  int begun;
  bool go, data_before_begin;
  size_t ranges, modules;
  tri_os_range range[RANGES];
  struct {
    size_t id, size;
  } module[MODULES];
} visit;

static bool on_begin(void *argument) {
  visit *self = argument;
  self->begun++;
  return self->go;
}

static void on_data(void *argument, tri_os_range range) {
  visit *self = argument;
  if (self->begun == 0) self->data_before_begin = true;
  if (self->ranges < RANGES) self->range[self->ranges] = range;
  self->ranges++;
}

static void on_tls(void *argument, size_t module_id, size_t size) {
  visit *self = argument;
  if (self->modules < MODULES) {
    self->module[self->modules].id = module_id;
    self->module[self->modules].size = size;
  }
  self->modules++;
}

static bool visit_modules(visit *self, bool go) {
  memset(self, 0, sizeof *self);
  self->go = go;
  const tri_os_module_visitor visitor = {.begin = on_begin, .data = on_data, .tls = on_tls, .argument = self};
  bool done = tri_os_visit_modules(&visitor);
  assert_true(self->ranges <= RANGES && self->modules <= MODULES);
  return done;
}

static int times_visited(const visit *self, uintptr_t address) {
  int times = 0;
  for (size_t i = 0; i < self->ranges; i++) times += holds(self->range[i], address);
  return times;
}

/* The id of the one module whose block has this size; 0 when there is none. */
static size_t module_of_size(const visit *self, size_t size) {
  size_t id = 0;
  for (size_t i = 0; i < self->modules; i++)
    if (self->module[i].size == size) id = self->module[i].id;
  return id;
}

static visit seen;

/* ---- data ---- */

static int initialised = 1;
static char zeroed[100000];
static int *volatile const relocated = &initialised; /* a constant that the loader fills in: RELRO */
static const int constant = 1;

static void test_visit_finds_variables(void **state) {
  (void)state;
  assert_true(visit_modules(&seen, true));
  assert_int_equal(seen.begun, 1);
  assert_false(seen.data_before_begin);
  assert_int_equal(times_visited(&seen, address_of(&initialised)), 1);
  assert_int_equal(times_visited(&seen, address_of(zeroed)), 1);
  assert_int_equal(times_visited(&seen, address_of(zeroed + sizeof zeroed - 1)), 1);
  assert_int_equal(times_visited(&seen, address_of(&stdout)), 1);
}

static void test_visit_leaves_out_what_cannot_be_written(void **state) {
  (void)state;
  tri_os_mapping mapping;
  assert_true(visit_modules(&seen, true));
  assert_int_equal(times_visited(&seen, address_of(&constant)), 0);
  assert_int_equal(times_visited(&seen, address_of((void *)test_visit_finds_variables)), 0);
  assert_int_equal(times_visited(&seen, getauxval(AT_SYSINFO_EHDR)), 0);
  assert_true(tri_os_find_mapping(address_of(&relocated), &mapping));
  assert_int_equal(times_visited(&seen, address_of(&relocated)), mapping.writable);
}

static void test_visited_ranges_are_mapped_and_apart(void **state) {
  (void)state;
  assert_true(visit_modules(&seen, true));
  assert_true(seen.ranges > 0);
  for (size_t i = 0; i < seen.ranges; i++) {
    assert_true(seen.range[i].low < seen.range[i].high);
    for (uintptr_t at = seen.range[i].low; at < seen.range[i].high;) {
      tri_os_mapping mapping;
      assert_true(tri_os_find_mapping(at, &mapping));
      assert_true(mapping.readable && mapping.writable);
      at = mapping.high;
    }
    for (size_t j = 0; j < i; j++)
      assert_true(seen.range[i].high <= seen.range[j].low || seen.range[j].high <= seen.range[i].low);
  }
}

static void test_refused_visit(void **state) {
  (void)state;
  assert_false(visit_modules(&seen, false));
  assert_int_equal(seen.begun, 1);
  assert_int_equal(seen.ranges, 0);
  assert_int_equal(seen.modules, 0);
}

/* ---- threads that use thread-local storage on request ---- */

typedef char *block_function(void);

typedef struct user {
  pthread_t thread;
  _Atomic(uint32_t) requests, answers;
  block_function *use; /* what to call at the next request; NULL: end */
  char *used;          /* what it returned */
  uintptr_t pointer, own_variable, error_number;
} user;

static _Thread_local int own_variable = 7;
static pthread_key_t key;

static void await(_Atomic(uint32_t) *word, uint32_t value) {
  uint32_t now;
  while ((now = atomic_load(word)) != value) tri_os_wait(word, now, 0);
}

static void advance(_Atomic(uint32_t) *word) {
  atomic_fetch_add(word, 1);
  tri_os_wake(word, INT_MAX);
}

static void *serve(void *argument) {
  user *self = argument;
  self->pointer = tri_os_thread_pointer();
  self->own_variable = address_of(&own_variable);
  self->error_number = address_of(&errno);
  pthread_setspecific(key, self);
  for (uint32_t turn = 1;; turn++) {
    advance(&self->answers);
    await(&self->requests, turn);
    if (!self->use) return NULL;
    self->used = self->use();
  }
}

static void user_start(user *self) {
  memset(self, 0, sizeof *self);
  assert_int_equal(pthread_create(&self->thread, NULL, serve, self), 0);
  await(&self->answers, 1);
}

/* Has the thread call use and waits for it. */
static char *user_call(user *self, block_function *use) {
  uint32_t answers = self->answers;
  self->use = use;
  advance(&self->requests);
  await(&self->answers, answers + 1);
  return self->used;
}

static void user_end(user *self) {
  self->use = NULL;
  advance(&self->requests);
  assert_int_equal(pthread_join(self->thread, NULL), 0);
}

static bool readable(tri_os_range range) {
  for (uintptr_t at = range.low; at < range.high;) {
    tri_os_mapping mapping;
    if (!tri_os_find_mapping(at, &mapping) || !mapping.readable) return false;
    at = mapping.high;
  }
  return true;
}

/* Reads a range as the collector would; counts the words that hold the value. */
__attribute__((no_sanitize("address", "thread"))) static size_t count_word(tri_os_range range, uintptr_t value) {
  size_t count = 0;
  for (uintptr_t at = tri_align_up(range.low, sizeof at); at + sizeof at <= range.high; at += sizeof at)
    count += *(const volatile uintptr_t *)at == value;
  return count;
}

/* ---- the static area ---- */

static void check_static_area(uintptr_t pointer, uintptr_t variable, uintptr_t error_number) {
  tri_os_range area = tri_os_static_tls(pointer);
  assert_true(holds(area, pointer));
  assert_true(holds(area, variable));
  assert_true(holds(area, error_number));
  assert_true(readable(area));
}

static void test_static_tls_of_this_thread(void **state) {
  (void)state;
  check_static_area(tri_os_thread_pointer(), address_of(&own_variable), address_of(&errno));
}

static void test_static_tls_of_other_threads(void **state) {
  (void)state;
  enum { COUNT = 4 };
  static user users[COUNT];
  for (int i = 0; i < COUNT; i++) user_start(&users[i]);
  for (int i = 0; i < COUNT; i++) {
    check_static_area(users[i].pointer, users[i].own_variable, users[i].error_number);
    tri_os_range area = tri_os_static_tls(users[i].pointer);
    for (int j = 0; j < i; j++) assert_false(holds(area, users[j].pointer));
  }
  for (int i = 0; i < COUNT; i++) user_end(&users[i]);
}

/* The first pthread keys are kept in the thread control block, which is part of the area. */
static void test_static_tls_has_the_first_keys(void **state) {
  (void)state;
  user self;
  user_start(&self);
  assert_true(count_word(tri_os_static_tls(self.pointer), address_of(&self)) > 0);
  user_end(&self);
}

/* ---- dynamic blocks ---- */

static void *library_open(const char *name, const char *symbol, block_function **function) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", TEST_LIB_DIR, name);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail_msg("%s", dlerror());
  *function = (block_function *)dlsym(library, symbol);
  assert_non_null(*function);
  return library;
}

static void test_large_block(void **state) {
  (void)state;
  block_function *use;
  user self, other; /* one from before the library was loaded, one from after */
  user_start(&self);
  void *library = library_open("lib_tls_large.so", "tls_large_block", &use);
  user_start(&other);
  assert_true(visit_modules(&seen, true));
  size_t id = module_of_size(&seen, LARGE);
  assert_true(id > 0);
  assert_true(empty(tri_os_dynamic_tls(self.pointer, id, LARGE)));
  char *block = user_call(&self, use);
  tri_os_range range = tri_os_dynamic_tls(self.pointer, id, LARGE);
  assert_int_equal(range.low, address_of(block));
  assert_int_equal(range.high - range.low, LARGE);
  assert_true(empty(tri_os_dynamic_tls(other.pointer, id, LARGE)));
  char *other_block = user_call(&other, use);
  assert_ptr_not_equal(other_block, block);
  assert_int_equal(tri_os_dynamic_tls(other.pointer, id, LARGE).low, address_of(other_block));
  user_end(&self);
  user_end(&other);
  dlclose(library);
}

static void test_large_block_of_this_thread(void **state) {
  (void)state;
  block_function *use;
  void *library = library_open("lib_tls_large.so", "tls_large_block", &use);
  uintptr_t block = address_of(use());
  assert_true(visit_modules(&seen, true));
  tri_os_range range = tri_os_dynamic_tls(tri_os_thread_pointer(), module_of_size(&seen, LARGE), LARGE);
  assert_int_equal(range.low, block);
  assert_int_equal(range.high, block + LARGE);
  dlclose(library);
}

/* Where the loader puts a small block is its choice; found it must be, and only once. */
static void test_small_block_is_found_once(void **state) {
  (void)state;
  block_function *use;
  user self;
  user_start(&self);
  void *library = library_open("lib_tls_small.so", "tls_small_block", &use);
  uintptr_t block = address_of(user_call(&self, use));
  assert_true(visit_modules(&seen, true));
  int found = holds(tri_os_static_tls(self.pointer), block);
  for (size_t i = 0; i < seen.modules; i++)
    found += holds(tri_os_dynamic_tls(self.pointer, seen.module[i].id, seen.module[i].size), block);
  assert_int_equal(found, 1);
  user_end(&self);
  dlclose(library);
}

/* Blocks in the static area are not told again, and numbers that no module has yield nothing. */
static void test_no_dynamic_block(void **state) {
  (void)state;
  uintptr_t pointer = tri_os_thread_pointer();
  assert_true(visit_modules(&seen, true));
  assert_true(seen.modules > 0);
  for (size_t i = 0; i < seen.modules; i++)
    assert_false(holds(tri_os_dynamic_tls(pointer, seen.module[i].id, seen.module[i].size), address_of(&own_variable)));
  assert_true(empty(tri_os_dynamic_tls(pointer, 0, LARGE)));
  assert_true(empty(tri_os_dynamic_tls(pointer, 1000000, LARGE)));
}

/* A thread still has its small block of a library that is gone when a larger one gets the number: what is told must be
 * readable to its end. */
static void test_stale_block_is_cut_to_what_is_readable(void **state) {
  (void)state;
  block_function *use;
  user self;
  user_start(&self);
  void *library = library_open("lib_tls_small.so", "tls_small_block", &use);
  user_call(&self, use);
  dlclose(library);
  library = library_open("lib_tls_large.so", "tls_large_block", &use);
  assert_true(visit_modules(&seen, true));
  size_t id = module_of_size(&seen, LARGE);
  assert_true(id > 0);
  tri_os_range range = tri_os_dynamic_tls(self.pointer, id, 64 * (size_t)LARGE);
  assert_true(readable(range));
  char *block = user_call(&self, use);
  assert_int_equal(tri_os_dynamic_tls(self.pointer, id, LARGE).low, address_of(block));
  user_end(&self);
  dlclose(library);
}

static void test_visit_follows_loading(void **state) {
  (void)state;
  block_function *use;
  assert_true(visit_modules(&seen, true));
  assert_int_equal(module_of_size(&seen, LARGE), 0);
  size_t ranges = seen.ranges, modules = seen.modules;
  void *library = library_open("lib_tls_large.so", "tls_large_block", &use);
  assert_true(visit_modules(&seen, true));
  assert_true(seen.ranges > ranges);
  assert_int_equal(seen.modules, modules + 1);
  dlclose(library);
  assert_true(visit_modules(&seen, true));
  assert_int_equal(seen.ranges, ranges);
  assert_int_equal(seen.modules, modules);
}

int main(void) {
  tri_os_tls_prepare();
  pthread_key_create(&key, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_visit_finds_variables),
      cmocka_unit_test(test_visit_leaves_out_what_cannot_be_written),
      cmocka_unit_test(test_visited_ranges_are_mapped_and_apart),
      cmocka_unit_test(test_refused_visit),
      cmocka_unit_test(test_static_tls_of_this_thread),
      cmocka_unit_test(test_static_tls_of_other_threads),
      cmocka_unit_test(test_static_tls_has_the_first_keys),
      cmocka_unit_test(test_large_block),
      cmocka_unit_test(test_large_block_of_this_thread),
      cmocka_unit_test(test_small_block_is_found_once),
      cmocka_unit_test(test_no_dynamic_block),
      cmocka_unit_test(test_stale_block_is_cut_to_what_is_readable),
      cmocka_unit_test(test_visit_follows_loading),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
