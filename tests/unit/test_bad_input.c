/* test_bad_input.c - misuse of the API and malformed options: each stops, or is refused, with a message that names the
 * call and the values. Every case runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>
#include <unistd.h>

#include "base/base.h"
#include "child.h"

static int global;

/* The address as messages show it, printed by the child before it misbehaves. */
static void tell(const void *address) {
  char line[64];
  int length = snprintf(line, sizeof line, "address %p\n", address);
  CHILD_CHECK(write(STDERR_FILENO, line, (size_t)length) == length);
}

/* Whether the message repeats the address that the child told. */
static bool names_address(const child_result *result) {
  char address[40];
  return sscanf(result->text, "address %39s", address) == 1 && strstr(strchr(result->text, '\n'), address) != NULL;
}

static void assert_refused(void (*body)(void *), void *argument, const char *const *texts) {
  child_result result = child_run(body, argument, NULL);
  assert_true(child_aborted(&result, texts));
  if (!names_address(&result)) fail_msg("the message does not name the address: %s", result.text);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- pointers that are not ours ---- */

typedef enum foreign {
  FOREIGN_STACK,
  FOREIGN_GLOBAL,
  FOREIGN_MALLOC,
  FOREIGN_CODE,
  FOREIGN_LOW,
  FOREIGN_ARENA_END,
  FOREIGNS
} foreign;

static void *foreign_pointer(foreign kind) {
  switch (kind) {
  case FOREIGN_STACK: return __builtin_frame_address(0);
  case FOREIGN_GLOBAL: return &global;
  case FOREIGN_MALLOC: return malloc(10);
  case FOREIGN_CODE: return (void *)(uintptr_t)foreign_pointer;
  case FOREIGN_LOW: return (void *)(uintptr_t)64; /* NOLINT: an address nobody has */
  default: return (char *)tri_alloc(16) + ((size_t)1 << 41);
  }
}

typedef struct misuse {
  const char *call;
  bool unstarted;
  int kind;
} misuse;

static void *volatile sink;

static void call_with(const char *call, void *pointer) {
  tell(pointer);
  if (strcmp(call, "tri_free") == 0) tri_free(pointer);
  if (strcmp(call, "tri_realloc") == 0) sink = tri_realloc(pointer, 100);
  if (strcmp(call, "tri_size_of") == 0) sink = (void *)tri_size_of(pointer); /* NOLINT: only to use it */
}

static void misuse_foreign(void *argument) {
  misuse *m = argument;
  if (!m->unstarted) CHILD_CHECK(tri_init(NULL) == TRI_OK);
  call_with(m->call, foreign_pointer((foreign)m->kind));
}

static const char *const calls[] = {"tri_free", "tri_realloc", "tri_size_of"};

static void test_foreign_pointers(void **state) {
  (void)state;
  for (int call = 0; call < 3; call++)
    for (int kind = 0; kind < FOREIGNS; kind++)
      for (int unstarted = 0; unstarted < 2; unstarted++) {
        misuse m = {calls[call], unstarted, kind};
        assert_refused(misuse_foreign, &m, TEXTS("tricolor: ", calls[call], "not an object of this heap"));
      }
}

/* ---- pointers into objects ---- */

static const size_t sizes[] = {16, 48, 1024, 2000, 32768, 100000};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void misuse_interior(void *argument) {
  misuse *m = argument;
  char *object = tri_alloc(sizes[m->kind]);
  call_with(m->call, object + (m->unstarted ? 1 : sizes[m->kind] / 2));
}

static void test_interior_pointers(void **state) {
  (void)state;
  for (int call = 0; call < 3; call++)
    for (int size = 0; size < SIZES; size++)
      for (int near = 0; near < 2; near++) {
        misuse m = {calls[call], near, size};
        char offset[64];
        snprintf(offset, sizeof offset, "it points %zu bytes into the one at", near ? 1 : sizes[size] / 2);
        assert_refused(misuse_interior, &m, TEXTS("tricolor: ", calls[call], "not the start of an object", offset));
      }
}

/* Into an object that is free, and behind the last slot of a span: nothing is there to point into. */
static void misuse_no_object(void *argument) {
  misuse *m = argument;
  char *object = tri_alloc(192); /* 42 to a span, 128 bytes left over */
  char *end = (char *)((uintptr_t)object | (TRI_PAGE_SIZE - 1));
  if (!m->kind) tri_free(object);
  call_with(m->call, m->kind ? end - 16 : object + 8);
}

static void test_pointers_into_no_object(void **state) {
  (void)state;
  for (int call = 0; call < 3; call++)
    for (int tail = 0; tail < 2; tail++) {
      misuse m = {calls[call], false, tail};
      assert_refused(misuse_no_object, &m, TEXTS("tricolor: ", calls[call], "not an object of this heap"));
    }
}

/* ---- what is free already ---- */

typedef enum again {
  AGAIN_AT_ONCE,      /* the slot waits in the cache */
  AGAIN_OTHER_WORD,   /* its bitmap word is no longer the current one */
  AGAIN_OTHER_SPAN,   /* its span went back to the central list */
  AGAIN_OTHER_THREAD, /* freed here, again there, while the span is cached here */
  AGAIN_FREED_THERE,  /* freed there, again here */
  AGAIN_COLLECTED,
  AGAINS
} again;

static void *free_it(void *object) {
  tri_free(object);
  return NULL;
}

static void in_a_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  CHILD_CHECK(pthread_create(&thread, NULL, body, argument) == 0);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

/* Uses up the current bitmap word, or several spans. */
static void allocate_more(size_t size, size_t bytes) {
  for (size_t i = 0; i < bytes; i += size) sink = tri_alloc(size);
}

typedef struct twice {
  again how;
  size_t size;
  const char *call;
} twice;

__attribute__((noinline)) static uintptr_t make_disguised(size_t size) { return ~(uintptr_t)tri_alloc(size); }

static void misuse_twice(void *argument) {
  const twice *t = argument;
  tri_set_gc_percent(-1);
  char *object = tri_alloc(t->size);
  uintptr_t disguised = ~(uintptr_t)object;
  memset(object, 1, t->size);
  switch (t->how) {
  case AGAIN_AT_ONCE: tri_free(object); break;
  case AGAIN_OTHER_WORD:
    allocate_more(t->size, 64 * 16);
    tri_free(object);
    break;
  case AGAIN_OTHER_SPAN:
    allocate_more(t->size, 300000);
    tri_free(object);
    break;
  case AGAIN_OTHER_THREAD:
    tri_free(object);
    tell(object);
    in_a_thread(free_it, object);
    return;
  case AGAIN_FREED_THERE: in_a_thread(free_it, object); break;
  default:
    object = NULL;
    for (int i = 0; i < 20; i++) disguised = make_disguised(t->size);
    tri_gc();
    object = (char *)~disguised; /* NOLINT: undisguised */
    if (tri_base_of(object)) {   /* a stale word holds it: as good as freed once */
      tri_free(object);
    }
  }
  call_with(t->call, object);
}

static void test_double_free(void **state) {
  (void)state;
  for (int how = 0; how < AGAINS; how++)
    for (int size = 0; size < SIZES; size++) {
      twice t = {(again)how, sizes[size], "tri_free"};
      child_result result = child_run(misuse_twice, &t, NULL);
      /* Memory that has no span any more is no object's. */
      const char *const *texts = strstr(result.text, "free already")
                                     ? TEXTS("tricolor: tri_free: ", "is free already")
                                     : TEXTS("tricolor: tri_free: ", "not an object of this heap (or no longer)");
      if (!child_aborted(&result, texts) || !names_address(&result)) fail_msg("way %d, size %zu", how, sizes[size]);
    }
}

static void test_use_after_free(void **state) {
  (void)state;
  for (int call = 1; call < 3; call++)
    for (int how = 0; how < AGAINS; how++)
      for (int size = 0; size < SIZES; size++) {
        twice t = {(again)how, sizes[size], calls[call]};
        if (how == AGAIN_OTHER_THREAD) continue;
        assert_refused(misuse_twice, &t, TEXTS("tricolor: ", calls[call], "not an object of this heap"));
      }
}

/* Poisoning does not hide it. */
static void test_double_free_under_poison(void **state) {
  (void)state;
  for (int size = 0; size < SIZES; size++) {
    twice t = {AGAIN_AT_ONCE, sizes[size], "tri_free"};
    child_result result = child_run(misuse_twice, &t, TEXTS("TRICOLOR_DEBUG=poison=1"));
    assert_true(child_aborted(&result, TEXTS("tri_free")));
  }
}

/* ---- blocking regions ---- */

static void end_nothing(void *unused) {
  (void)unused;
  tri_blocking_end();
}

static void test_blocking_end_without_begin(void **state) {
  (void)state;
  child_result result = child_run(end_nothing, NULL, NULL);
  assert_true(child_aborted(&result, TEXTS("tricolor: tri_blocking_end: no tri_blocking_begin")));
}

/* ---- options ---- */

typedef struct bad_options {
  tri_options options;
  const char *texts[3];
} bad_options;

static void init_with(void *argument) {
  const bad_options *bad = argument;
  CHILD_CHECK(tri_init(&bad->options) == TRI_ERR_INVALID);
  CHILD_CHECK(tri_alloc(10)); /* the heap can still be had */
}

static void assert_says(const child_result *result, const char *const *texts) {
  assert_true(child_succeeded(result));
  for (; *texts; texts++)
    if (!strstr(result->text, *texts)) fail_msg("\"%s\" does not say %s", result->text, *texts);
}

static void test_malformed_options(void **state) {
  (void)state;
  enum { SIZE = sizeof(tri_options) };
  bad_options bad[] = {
      {{.size = 0}, {"tri_init", "options.size is 0"}},
      {{.size = 4}, {"tri_init", "options.size is 4"}},
      {{.size = 1 << 20}, {"tri_init", "options.size is 1048576"}},
      {{.size = SIZE, .gc_threads = -1}, {"tri_init", "gc_threads -1"}},
      {{.size = SIZE, .gc_threads = 65}, {"tri_init", "gc_threads 65"}},
      {{.size = SIZE, .trace = "gcc"}, {"tri_init: trace", "\"gcc\""}},
      {{.size = SIZE, .trace = "gc=2"}, {"tri_init: trace", "gc=\"2\""}},
      {{.size = SIZE, .debug = "check=1,posion=1"}, {"tri_init: debug", "\"posion\""}},
      {{.size = SIZE, .debug = "gcevery=x"}, {"tri_init: debug", "gcevery=\"x\""}},
      {{.size = SIZE, .debug = "gcevery=-1"},
       {"tri_init: debug", "gcevery=\"-1\" is not a number from 0 to 2147483647"}},
      {{.size = SIZE, .debug = "inject=stacks"}, {"tri_init: debug", "inject=\"stacks\""}},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    child_result result = child_run(init_with, &bad[i], NULL);
    assert_says(&result, bad[i].texts);
  }
}

static void start_by_init(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_init(NULL) == TRI_ERR_INVALID);
}

static void start_by_alloc(void *unused) {
  (void)unused;
  CHILD_CHECK(tri_alloc(10)); /* complaints are printed, defaults stand in */
  CHILD_CHECK(tri_set_gc_percent(100) == 100);
}

static void test_malformed_environment(void **state) {
  (void)state;
  static const char *const cases[][3] = {
      {"TRICOLOR_GC_THREADS=-1", "TRICOLOR_GC_THREADS", "\"-1\" is not a number from 0 to 64"},
      {"TRICOLOR_GC_PERCENT=x", "TRICOLOR_GC_PERCENT", "\"x\" is not a percentage from 0 to 2147483647, or off"},
      {"TRICOLOR_SIGNAL=9", "TRICOLOR_SIGNAL", "\"9\" is not a number from 1 to 64 other than KILL, STOP, SEGV"},
      {"GOGC=many", "GOGC", "\"many\""},
      {"GOGC=-5", "GOGC", "\"-5\""},
      {"TRICOLOR_GC_PERCENT=1x", "TRICOLOR_GC_PERCENT", "\"1x\""},
      {"TRICOLOR_GC_PERCENT=99999999999", "TRICOLOR_GC_PERCENT", "\"99999999999\""},
      {"TRICOLOR_GC_PERCENT=99999999999999999999", "TRICOLOR_GC_PERCENT", "\"99999999999999999999\""},
      {"TRICOLOR_GC_THREADS=65", "TRICOLOR_GC_THREADS", "\"65\""},
      {"TRICOLOR_HEAP_RESERVE=1GB", "TRICOLOR_HEAP_RESERVE", "\"1GB\""},
      {"TRICOLOR_HEAP_RESERVE=9999999TiB", "TRICOLOR_HEAP_RESERVE", "\"9999999TiB\""},
      {"TRICOLOR_SIGNAL=0", "TRICOLOR_SIGNAL", "\"0\""},
      {"TRICOLOR_SIGNAL=", "TRICOLOR_SIGNAL", "\"\""},
      {"TRICOLOR_HUGE_PAGES=2", "TRICOLOR_HUGE_PAGES", "\"2\""},
      {"TRICOLOR_TRACE=gc,mark", "TRICOLOR_TRACE", "\"mark\""},
      {"TRICOLOR_DEBUG=check=yes", "TRICOLOR_DEBUG", "check=\"yes\""},
      {"TRICOLOR_DEBUG=workbufs", "TRICOLOR_DEBUG", "workbufs"},
      {"TRICOLOR_DEBG=check=1", "unknown environment variable", "TRICOLOR_DEBG"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *environment[] = {cases[i][0], NULL};
    child_result result = child_run(start_by_init, NULL, environment);
    assert_says(&result, TEXTS("tricolor: ", cases[i][1], cases[i][2]));
    result = child_run(start_by_alloc, NULL, environment);
    assert_says(&result, TEXTS("tricolor: ", cases[i][1], cases[i][2]));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_foreign_pointers),
      cmocka_unit_test(test_interior_pointers),
      cmocka_unit_test(test_pointers_into_no_object),
      cmocka_unit_test(test_double_free),
      cmocka_unit_test(test_use_after_free),
      cmocka_unit_test(test_double_free_under_poison),
      cmocka_unit_test(test_blocking_end_without_begin),
      cmocka_unit_test(test_malformed_options),
      cmocka_unit_test(test_malformed_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
