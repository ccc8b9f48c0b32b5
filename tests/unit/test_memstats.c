/* test_memstats.c - the figures of tri_read_memstats against the allocation bits, against the program's own counts,
 * against each other, and against what the system says of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>
#include <unistd.h>

#include "child.h"
#include "gc/thread.h"
#include "gc/watch.h"
#include "heap/arena.h"
#include "heap/heap.h"
#include "heap/object.h"
#include "heap/reservation.h"
#include "random.h"
#include "steps.h"

/* ---- a walk over the allocation bits ---- */

typedef struct walk {
  uint64_t objects, bytes, inuse, spans;
  uint64_t by_class[TRI_CLASS_COUNT];
} walk;

static void walk_span(walk *sum, tri_span *span) {
  sum->spans++;
  sum->inuse += span->page_count * TRI_PAGE_SIZE;
  for (uint32_t slot = 0; slot < span->slots; slot++) {
    uintptr_t start = span->start + slot * span->slot_size;
    if (!tri_slot_is_allocated(start) || tri_cache_slot_is_waiting(span, start)) continue;
    sum->objects++;
    sum->bytes += span->slot_size;
    sum->by_class[span->size_class]++;
  }
}

/* Nobody else uses the heap, and nothing is unswept, so nothing changes meanwhile. */
static walk walk_heap(void) {
  walk sum = {0};
  size_t pages = atomic_load(&tri_the_arena.used) >> TRI_PAGE_SHIFT;
  for (size_t page = 0; page < pages; page++) {
    tri_span *span = tri_span_of(tri_arena_address(page));
    if (span && span->start == tri_arena_address(page)) walk_span(&sum, span);
  }
  return sum;
}

static tri_memstats read_stats(void) {
  tri_memstats stats;
  tri_read_memstats(&stats);
  return stats;
}

static void check_identities(const tri_memstats *s) {
  assert_int_equal(s->HeapSys, s->HeapInuse + s->HeapIdle);
  assert_true(s->HeapReleased <= s->HeapIdle);
  assert_int_equal(s->HeapAlloc, s->Alloc);
  assert_int_equal(s->HeapObjects, s->Mallocs - s->Frees);
  assert_int_equal(s->Sys,
                   s->HeapSys + s->StackSys + s->MSpanSys + s->MCacheSys + s->BuckHashSys + s->GCSys + s->OtherSys);
  assert_true(s->MSpanInuse <= s->MSpanSys);
  assert_true(s->MCacheInuse <= s->MCacheSys);
  assert_true(s->StackInuse <= s->StackSys);
  assert_true(s->Alloc <= s->HeapInuse);
  assert_true(s->TotalAlloc >= s->Alloc);
  assert_true(s->NumGC >= s->NumForcedGC);
  assert_true(s->EnableGC);
  assert_false(s->DebugGC);
  assert_int_equal(s->Lookups, 0);
  assert_true(s->GCCPUFraction >= 0 && s->GCCPUFraction <= 1);
}

static void check_walk(const tri_memstats *s) {
  walk sum = walk_heap();
  assert_int_equal(s->HeapObjects, sum.objects);
  assert_int_equal(s->HeapAlloc, sum.bytes);
  assert_int_equal(s->HeapInuse, sum.inuse);
  assert_int_equal(s->MSpanInuse, sum.spans * sizeof(tri_span));
  for (int i = 1; i < TRI_CLASS_COUNT; i++) {
    assert_int_equal(s->BySize[i].Size, tri_size_classes[i].size);
    assert_int_equal(s->BySize[i].Mallocs - s->BySize[i].Frees, sum.by_class[i]);
  }
  check_identities(s);
}

/* ---- one thread ---- */

enum { KEPT = 500 };
static void *kept[KEPT];

static size_t pick_size(test_random *random) {
  size_t kind = random_below(random, 100);
  return random_below(random, kind < 40 ? 16 : kind < 80 ? 300 : kind < 95 ? 4000 : kind < 99 ? 34000 : 200000);
}

static void *allocate(test_random *random) {
  size_t size = pick_size(random);
  switch (random_below(random, 4)) {
  case 0: return tri_alloc(size);
  case 1: return tri_alloc_noscan(size);
  case 2: return tri_alloc_uninit(size);
  default: return tri_alloc_aligned(32, size);
  }
}

/* Returns how many allocations that were. */
static uint64_t churn(test_random *random, int steps) {
  uint64_t allocations = 0;
  for (int i = 0; i < steps; i++) {
    size_t place = random_below(random, KEPT);
    if (random_below(random, 3) == 0) {
      /* A block of tiny objects may be shared, so it is never freed by hand here, nor counted so. */
      tri_free(kept[place]);
      kept[place] = NULL;
    } else {
      kept[place] = allocate(random);
      allocations++;
    }
  }
  return allocations;
}

static void test_figures_equal_a_walk(void **state) {
  (void)state;
  test_random random = {1};
  tri_set_gc_percent(-1);
  for (int round = 0; round < 30; round++) {
    churn(&random, 1000);
    tri_memstats stats = read_stats();
    check_walk(&stats);
    if (round % 3 == 0) {
      tri_gc();
      stats = read_stats();
      check_walk(&stats);
    }
  }
  tri_set_gc_percent(100);
}

static void test_mallocs_equal_our_count(void **state) {
  (void)state;
  test_random random = {2};
  uint64_t before = read_stats().Mallocs;
  uint64_t ours = churn(&random, 50000); /* collections and background sweeping come and go */
  assert_int_equal(read_stats().Mallocs - before, ours);
}

static void test_typed_objects_are_counted(void **state) {
  (void)state;
  static const tri_field fields[] = {{8, 8}};
  static tri_type type = {.name = "counted", .unit = fields, .size = 40, .fields = fields, .field_count = 1};
  assert_int_equal(tri_type_register(&type), TRI_OK);
  uint64_t before = read_stats().Mallocs;
  for (size_t i = 0; i < 5000; i++) assert_non_null(tri_alloc_typed(&type, 1 + i % 30));
  assert_int_equal(read_stats().Mallocs - before, 5000);
  tri_gc();
  tri_memstats stats = read_stats();
  check_walk(&stats);
}

/* ---- several threads ---- */

enum { THREADS = 6, STEPS = 20000 };

typedef struct worker {
  pthread_t thread;
  uint64_t seed, allocations;
} worker;

static _Atomic(void *) exchange[64]; /* what one thread made another one frees */

static void *work(void *argument) {
  worker *self = argument;
  test_random random = {self->seed};
  for (int i = 0; i < STEPS; i++) {
    size_t size = 16 + pick_size(&random);
    void *object = random_below(&random, 2) ? tri_alloc(size) : tri_alloc_noscan(size);
    if (random_below(&random, 2))
      tri_keep_alive(tri_alloc_noscan(random_below(&random, 16)));
    else
      tri_keep_alive(tri_alloc(8));
    self->allocations += 2;
    object = atomic_exchange(&exchange[random_below(&random, 64)], object);
    if (random_below(&random, 2)) tri_free(object);
  }
  return NULL;
}

static void test_mallocs_of_threads(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  static worker workers[THREADS];
  tri_memstats before = read_stats();
  for (uint64_t i = 0; i < THREADS; i++) {
    workers[i] = (worker){.seed = i};
    assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 50; i++) {
    tri_memstats stats = read_stats(); /* while they run: no figure may be absurd */
    assert_true(stats.HeapObjects < UINT32_MAX);
    assert_true(stats.HeapAlloc < UINT32_MAX);
    assert_int_equal(stats.HeapSys, stats.HeapInuse + stats.HeapIdle);
  }
  uint64_t ours = 0;
  for (int i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    ours += workers[i].allocations;
  }
  assert_int_equal(read_stats().Mallocs - before.Mallocs, ours);
  memset((void *)exchange, 0, sizeof exchange);
  tri_gc();
  tri_memstats after = read_stats();
  check_walk(&after);
}

/* ---- while others allocate and free ---- */

enum { HANDED_OVER = 20000 };

static _Atomic(void *) hand;
static _Atomic(bool) giver_done;

static void *give(void *unused) {
  for (int i = 0; i < HANDED_OVER; i++) {
    void *object = tri_alloc(64);
    while (atomic_load(&hand)) sched_yield();
    atomic_store(&hand, object);
  }
  atomic_store(&giver_done, true);
  return unused;
}

static void *take(void *unused) {
  while (!atomic_load(&giver_done) || atomic_load(&hand)) {
    void *object = atomic_exchange(&hand, NULL);
    tri_free(object);
    if (!object) sched_yield();
  }
  return unused;
}

/* Hardly an object is alive, and what one thread allocates another one frees: no difference may turn negative. */
static void test_figures_while_others_run(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("a stop may interrupt it, see tests/CMakeLists.txt");
  pthread_t giver, taker;
  tri_gc();
  assert_int_equal(pthread_create(&giver, NULL, give, NULL), 0);
  assert_int_equal(pthread_create(&taker, NULL, take, NULL), 0);
  while (!atomic_load(&giver_done)) {
    tri_memstats stats = read_stats();
    assert_true(stats.HeapObjects < INT32_MAX);
    assert_true(stats.HeapAlloc < INT32_MAX);
    check_identities(&stats);
  }
  pthread_join(giver, NULL);
  pthread_join(taker, NULL);
}

/* ---- against the system ---- */

/* The file is read into a block of its own: stdio would use malloc, whose mappings would show. */
static char maps[1 << 20];

static void read_maps(void) {
  int file = open("/proc/self/maps", O_RDONLY);
  size_t length = 0;
  ssize_t got;
  while ((got = read(file, maps + length, sizeof maps - 1 - length)) > 0) length += (size_t)got;
  maps[length] = 0;
  close(file);
}

/* Readable and writable bytes mapped in [low, high). */
static size_t mapped(uintptr_t low, uintptr_t high) {
  size_t bytes = 0;
  read_maps();
  for (char *line = maps; *line; line = strchr(line, '\n') + 1) {
    char *rest;
    uintptr_t from = strtoull(line, &rest, 16), to = strtoull(rest + 1, &rest, 16);
    if (strncmp(rest, " rw", 3) != 0 || to <= low || from >= high) continue;
    bytes += (to < high ? to : high) - (from > low ? from : low);
  }
  return bytes;
}

static void check_reservation(const tri_reservation *reservation) {
  assert_non_null(reservation->name);
  assert_true(reservation->committed <= reservation->reserved);
  assert_int_equal(mapped(reservation->base, reservation->base + reservation->reserved), reservation->committed);
}

static void test_parts_of_sys_are_mapped(void **state) {
  (void)state;
  test_random random = {3};
  churn(&random, 2000);
  tri_memstats stats = read_stats();
  const tri_arena *arena = &tri_the_arena;
  const tri_reservation *tables[] = {&arena->bits_reservation, &arena->marked_reservation, &arena->info_reservation,
                                     &arena->spans_reservation};
  size_t table_bytes = 0;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    check_reservation(tables[i]);
    table_bytes += tables[i]->committed;
  }
  check_reservation(&arena->heap_reservation);
  check_reservation(
      &arena->grey_reservation); /* counts once something was written there, which takes memory to run out */
  assert_false(atomic_load(&arena->grey_used));
  for (int kind = 0; kind < TRI_META_KINDS; kind++) check_reservation(tri_meta_reservation((tri_meta_kind)kind));
  assert_int_equal(stats.HeapSys, arena->heap_reservation.committed);
  assert_int_equal(stats.MSpanSys, tri_meta_reservation(TRI_META_SPAN)->committed);
  assert_int_equal(stats.MCacheSys, tri_meta_reservation(TRI_META_CACHE)->committed);
  tri_cache_defer(tri_cache_self);
  table_bytes += tri_page_heap_read().table_bytes + tri_watch_table_bytes();
  tri_cache_undefer(tri_cache_self);
  assert_int_equal(stats.GCSys, table_bytes + tri_meta_reservation(TRI_META_GC)->committed);
  assert_int_equal(stats.OtherSys, tri_meta_reservation(TRI_META_OTHER)->committed + tri_central_bytes());
}

/* Everything the library maps is in Sys, but for the grey bitmap, which is not touched: the process's writable memory
 * grew by that, and by no part of it less. */
static void map_all(void *unused) {
  (void)unused;
  enum { SLACK = 48 * 1024 }; /* our stack may grow; the smallest piece that is mapped is larger */
  size_t before = mapped(0, UINTPTR_MAX);
  tri_set_gc_percent(-1);
  for (int i = 0; i < 20000; i++) CHILD_CHECK(tri_alloc((size_t)i % 5000));
  tri_memstats stats = read_stats();
  size_t growth = mapped(0, UINTPTR_MAX) - before, ours = stats.Sys + tri_the_arena.grey_reservation.committed;
  if (growth > ours + SLACK || growth + SLACK < ours)
    child_fail("writable mappings grew by %zu bytes, Sys and the grey bitmap are %zu", growth, ours);
}

static void test_sys_is_what_was_mapped(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("its shadow is memory, too");
  child_result result = child_run(map_all, NULL, NULL);
  assert_true(child_succeeded(&result));
}

/* ---- resident memory ---- */

/* The background may give back memory meanwhile: what is resident belongs to figures that are the same before and
 * after. */
static tri_memstats read_with_resident(size_t *resident) {
  tri_memstats before, after = read_stats();
  do {
    before = after;
    *resident = child_resident();
    after = read_stats();
  } while (before.Sys != after.Sys || before.HeapReleased != after.HeapReleased);
  return after;
}

/* Within a twentieth of the growth and 2 MiB. untouched: of tables that may lie there unused. */
static void compare_resident(size_t before, const char *when, size_t untouched) {
  size_t resident;
  tri_memstats stats = read_with_resident(&resident);
  size_t growth = resident - before, sys = stats.Sys - stats.HeapReleased;
  size_t difference = growth > sys ? growth - sys : sys - growth;
  if (difference > growth / 20 + (2 << 20) + untouched)
    child_fail("%s: resident memory grew by %zu bytes, Sys - HeapReleased is %zu (HeapSys %zu, HeapInuse %zu, GCSys "
               "%zu, OtherSys %zu)",
               when, growth, sys, (size_t)stats.HeapSys, (size_t)stats.HeapInuse, (size_t)stats.GCSys,
               (size_t)stats.OtherSys);
}

typedef struct list {
  struct list *next;
} list;

static list *grown;
static void **table;

enum { FULL_GROWTH = 200 << 20 };

static void add(list *new, size_t size) {
  CHILD_CHECK(new);
  memset(new, 1, size);
  new->next = grown;
  grown = new;
}

static void grow_small(void) {
  for (size_t bytes = 0; bytes < FULL_GROWTH; bytes += 64) add(tri_alloc(64), 64);
}

static void grow_mixed(void) {
  for (size_t bytes = 0, i = 0; bytes < FULL_GROWTH; i++) {
    size_t size = 16 + i * 37 % 20000;
    add(tri_alloc(size), size);
    bytes += size;
  }
}

static void grow_large(void) {
  for (size_t bytes = 0; bytes < FULL_GROWTH; bytes += 700000) add(tri_alloc(700000), 700000);
}

static void grow_noscan(void) {
  table = tri_alloc(FULL_GROWTH / 1000 * sizeof *table);
  for (size_t i = 0; i < FULL_GROWTH / 1000; i++) memset(table[i] = tri_alloc_noscan(1000), 1, 1000);
}

/* Much garbage on the way, so that collections and the background have memory to give back. */
static void grow_with_garbage(void) {
  for (size_t bytes = 0; bytes < FULL_GROWTH; bytes += 1000) {
    add(tri_alloc(1000), 1000);
    memset(tri_alloc(1500), 1, 1500);
  }
}

static void (*const shapes[])(void) = {grow_small, grow_mixed, grow_large, grow_noscan, grow_with_garbage};
static const char *const shape_names[] = {"small", "mixed", "large", "pointer-free", "with garbage"};

static void grow_and_compare(void *argument) {
  int shape = *(int *)argument;
  size_t before = (child_resident(), child_resident());
  shapes[shape]();
  compare_resident(before, shape_names[shape], 0);
  tri_free_os_memory();
  compare_resident(before, "after tri_free_os_memory", 0);
  grown = NULL;
  table = NULL;
  tri_free_os_memory();
  /* The tables of the heap at its largest stay: a bit for every 8 bytes, of which large objects touch a third. */
  compare_resident(before, "after dropping all", (size_t)read_stats().HeapSys / 96);
}

static void test_resident_memory(void **state) {
  (void)state;
  SKIP_UNDER_TSAN("its shadow is memory, too");
  for (int shape = 0; shape < 5; shape++) {
    child_result result = child_run(grow_and_compare, &shape, NULL);
    if (!child_succeeded(&result)) fail_msg("shape: %s", shape_names[shape]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sys_is_what_was_mapped), /* children first: the parent has no heap yet */
      cmocka_unit_test(test_resident_memory),          cmocka_unit_test(test_figures_equal_a_walk),
      cmocka_unit_test(test_mallocs_equal_our_count),  cmocka_unit_test(test_typed_objects_are_counted),
      cmocka_unit_test(test_mallocs_of_threads),       cmocka_unit_test(test_parts_of_sys_are_mapped),
      cmocka_unit_test(test_figures_while_others_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
