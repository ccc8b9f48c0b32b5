/* test_api_errno.c - calls that succeed leave errno as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <tricolor.h>

#include "child.h"

enum { BEFORE = 1234 };

#define KEEPS(call)                                                                                                    \
  do {                                                                                                                 \
    errno = BEFORE;                                                                                                    \
    (void)(call);                                                                                                      \
    if (errno != BEFORE) child_fail("%s changed errno to %d", #call, errno);                                           \
  } while (0)

typedef struct node {
  struct node *next;
  long key;
} node;
TRI_TYPE(node, next);

static void *volatile sink;

/* Each is the first call, and starts the heap if any does. */
static void first_alloc(void *unused) { KEEPS(((void)unused, sink = tri_alloc(10))); }
static void first_noscan(void *unused) { KEEPS(((void)unused, sink = tri_alloc_noscan(3))); }
static void first_large(void *unused) { KEEPS(((void)unused, sink = tri_alloc(1 << 20))); }
static void first_new(void *unused) { KEEPS(((void)unused, sink = tri_new(node))); }
static void first_array(void *unused) { KEEPS(((void)unused, sink = tri_make(node, 10))); }
static void first_init(void *unused) { KEEPS(((void)unused, tri_init(NULL))); }
static void first_cycles(void *unused) {
  uint64_t begun, over;
  KEEPS(((void)unused, tri_read_cycles(&begun, &over), 0)); /* which starts no heap */
}
static void first_gc(void *unused) { KEEPS(((void)unused, tri_gc(), 0)); }

static void grow(size_t size, size_t bytes) {
  for (size_t made = 0; made < bytes; made += size) KEEPS(sink = tri_alloc(size));
}

static void small_calls(void) {
  static const tri_field fields[] = {{offsetof(node, next), sizeof(node *)}};
  static tri_type type = {.name = "node of its own", .size = sizeof(node), .fields = fields, .field_count = 1};
  char *text;
  KEEPS(sink = tri_alloc_noscan(100));
  KEEPS(sink = tri_alloc_aligned(4096, 100));
  KEEPS(sink = tri_alloc_array(10, 100));
  KEEPS(sink = text = tri_strdup("text"));
  KEEPS(sink = tri_strndup("text", 2));
  KEEPS(sink = tri_new(node));
  KEEPS(tri_type_register(&type));
  KEEPS(sink = tri_alloc_typed(&type, 3));
  KEEPS(tri_type_unregister(&type));
  KEEPS(tri_size_of(text));
  KEEPS(tri_base_of(text + 1));
  KEEPS(tri_set_oom_handler(NULL, NULL));
  KEEPS(tri_err_name(TRI_OK));
  KEEPS(tri_version());
}

/* Through collections, growth, and what large objects take and give back. */
static void many_calls(void *unused) {
  (void)unused;
  static void *block[10];
  tri_memstats stats;
  tri_stopstats stops;
  uint64_t begun, over;
  grow(64, 64 << 20);
  grow(3000, 64 << 20);
  grow(100000, 256 << 20);
  for (int i = 0; i < 100; i++) {
    KEEPS(sink = tri_alloc(10 << 20));
    KEEPS(sink = tri_realloc(sink, 11 << 20));
    KEEPS((tri_free(sink), 0));
    KEEPS(sink = tri_alloc_uninit(1 << 20));
    KEEPS(sink = tri_alloc_noscan_aligned(1 << 20, 100));
    KEEPS(sink = tri_make(node, 100000));
    small_calls();
  }
  KEEPS((tri_gc(), 0));
  KEEPS((tri_free_os_memory(), 0));
  KEEPS(tri_set_gc_percent(50));
  KEEPS(tri_add_root(block, sizeof block));
  KEEPS(tri_remove_root(block));
  KEEPS(tri_thread_detach());
  KEEPS(tri_thread_attach(NULL, NULL));
  KEEPS((tri_blocking_begin(), 0));
  KEEPS((tri_blocking_end(), 0));
  KEEPS((tri_read_memstats(&stats), 0));
  KEEPS((tri_read_stopstats(&stops), 0));
  KEEPS((tri_read_cycles(&begun, &over), 0));
  CHILD_CHECK(stats.NumGC > 3);
}

static void test_successful_calls(void **state) {
  (void)state;
  static void (*const bodies[])(void *) = {first_alloc, first_noscan, first_large, first_new, first_array,
                                           first_init,  first_cycles, first_gc,    many_calls};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    child_result result = child_run(bodies[i], NULL, NULL);
    if (!child_succeeded(&result)) fail_msg("%s", result.text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_successful_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
