/* test_cache.c - the owner-swept protocol of heap/cache.h, with stops simulated wherever a real one can come, against a
 * model.
 *
 * One thread plays both: as the owner it takes slots step by step (reads free, chooses, writes free back), as the
 * collector it does between any two steps what gc/cycle.c does while the world is stopped. No collection of the
 * library's own ever runs: it would not know of the objects here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <tricolor.h>

#include "gc/sweep.h"
#include "heap/heap.h"
#include "heap/object.h"
#include "random.h"

enum { OBJECTS = 3000, PATTERN = 0x77 };

typedef struct object {
  unsigned char *start;
  uint32_t bucket;
} object;

static object objects[OBJECTS]; /* what lives; pattern-filled */
static size_t object_count;
static tri_cache *cache;
static uintptr_t in_flight; /* chosen, not yet handed out: in a register of the owner, so the mark finds it */

static const uint32_t classes[] = {1, TRI_CLASS_ODD, 4, 13, 25, 31, 32, 39, 66};
enum { CLASSES = sizeof classes / sizeof *classes };

static size_t size_of(uint32_t bucket) { return tri_size_classes[tri_central_class(bucket)].size; }

static tri_cache_slot *slot_for(uint32_t bucket) { return &cache->slots[tri_cache_slot_index(bucket)]; }

/* ---- the collector ---- */

static void set_mark(uintptr_t start) { atomic_fetch_or(&tri_arena_bits(start)->mark, tri_bit_mask(start)); }

/* The allocation bits show what was handed out and nothing else. */
static void check_hidden(void) {
  for (size_t i = 0; i < object_count; i++) assert_true(tri_slot_is_allocated((uintptr_t)objects[i].start));
  for (uint32_t c = 0; c < CLASSES; c++)
    for (uint32_t bucket = classes[c]; bucket <= classes[c] + TRI_BUCKET_NOSCAN; bucket += TRI_BUCKET_NOSCAN) {
      tri_cache_slot *slot = slot_for(bucket);
      for (uint64_t free = atomic_load(&slot->free); free; free &= free - 1)
        assert_false(tri_slot_is_allocated(tri_cache_slot_address(slot->base, free, slot->odd)));
    }
}

static void sweep_all(void) {
  while (tri_sweep_batch()) {}
}

static void clear_marks(void) {
  for (size_t i = 0; i < atomic_load(&tri_the_arena.used) >> TRI_BITS_SHIFT; i++)
    atomic_store(&tri_the_arena.bits[i].mark, 0);
}

/* A whole collection; forced: as tri_gc makes it, with the caches swept before the world goes on. One that is not is
 * young: what has a mark lives. */
static void collect(bool forced) {
  sweep_all();
  tri_cache_sweep(cache);
  if (forced) clear_marks();
  tri_cache_stop_begin(cache);
  check_hidden();
  for (size_t i = 0; i < object_count; i++) set_mark((uintptr_t)objects[i].start);
  if (in_flight && tri_slot_is_allocated(in_flight)) set_mark(in_flight);
  atomic_fetch_add(&tri_the_heap.epoch, 1);
  if (forced) tri_cache_sweep(cache);
  tri_cache_stop_end(cache);
  if (forced) sweep_all();
}

static void maybe_collect(test_random *random) {
  size_t choice = random_below(random, 40);
  if (choice < 2) collect(choice == 0);
  if (choice == 2) {
    collect(false);
    collect(false);
  }
}

/* ---- the owner ---- */

static bool is_zero(const unsigned char *bytes, size_t size) {
  return !bytes[0] && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* No living object may be handed out again, and what is handed out is allocated and zero. */
static void receive(unsigned char *start, uint32_t bucket) {
  size_t size = size_of(bucket);
  assert_true(tri_slot_is_allocated((uintptr_t)start));
  assert_false(tri_cache_slot_is_waiting(tri_span_of((uintptr_t)start), (uintptr_t)start));
  if (size > TRI_BULK_ZERO_MAX) tri_cache_clear_slot(start, size);
  if (!is_zero(start, size)) fail_msg("%zu bytes at %p are not zero", size, (void *)start);
  memset(start, PATTERN, size);
  if (object_count == OBJECTS) object_count--;
  objects[object_count++] = (object){start, bucket};
}

/* tri_cache_slot_pop, with a stop between any two of its steps. */
static void allocate(uint32_t bucket, test_random *random) {
  tri_cache_slot *slot = slot_for(bucket);
  maybe_collect(random);
  uint64_t free = atomic_load(&slot->free);
  if (!free) {
    receive(tri_cache_alloc_slow(bucket), bucket);
    return;
  }
  uintptr_t start = tri_cache_slot_address(slot->base, free, slot->odd);
  in_flight = start;
  maybe_collect(random);
  maybe_collect(random); /* even two */
  assert_int_equal(atomic_load(&slot->free), free);
  atomic_store(&slot->free, free & (free - 1));
  maybe_collect(random);
  in_flight = 0;
  receive((unsigned char *)start, bucket);
}

static void check_object(const object *o) {
  size_t size = size_of(o->bucket);
  if (o->start[0] != PATTERN || memcmp(o->start, o->start + 1, size - 1) != 0)
    fail_msg("the object of %zu bytes at %p was damaged", size, (void *)o->start);
}

static object take_object(test_random *random) {
  size_t i = random_below(random, object_count);
  object taken = objects[i];
  check_object(&taken);
  objects[i] = objects[--object_count];
  return taken;
}

static void step(test_random *random) {
  uint32_t bucket = classes[random_below(random, CLASSES)];
  if (random_below(random, 2)) bucket += TRI_BUCKET_NOSCAN;
  switch (random_below(random, 8)) {
  case 0:
    if (object_count) tri_free(take_object(random).start);
    break;
  case 1:
    for (size_t i = random_below(random, 40); i && object_count; i--) (void)take_object(random); /* dropped */
    break;
  case 2:
    for (size_t i = random_below(random, 100); i; i--) allocate(bucket, random);
    break;
  default: allocate(bucket, random);
  }
}

/* Right after a forced collection exactly the living objects are allocated. */
static void check_counts(void) {
  collect(true);
  size_t allocated = 0, pages = atomic_load(&tri_the_arena.used) >> TRI_PAGE_SHIFT;
  for (size_t page = 0; page < pages; page++) {
    tri_span *span = tri_span_of(tri_arena_address(page));
    if (!span || span->start != tri_arena_address(page)) continue;
    for (uint32_t i = 0; i < span->slots; i++) {
      uintptr_t start = span->start + i * span->slot_size;
      allocated += tri_slot_is_allocated(start) && !tri_cache_slot_is_waiting(span, start);
    }
  }
  assert_int_equal(allocated, object_count);
  tri_memstats stats;
  tri_cache_undefer(cache); /* the collector's own locks are waited for only so */
  tri_read_memstats(&stats);
  tri_cache_defer(cache);
  assert_int_equal(stats.HeapObjects, object_count);
  for (size_t i = 0; i < object_count; i++) check_object(&objects[i]);
}

static void run_steps(uint64_t seed, int steps) {
  test_random random = {seed};
  for (int i = 0; i < steps; i++) {
    step(&random);
    if (i % 1000 == 999) check_counts();
  }
}

static void test_stops_anywhere(void **state) {
  (void)state;
  uint64_t seed = random_seed(1);
  for (uint64_t i = 0; i < 4; i++) run_steps(seed + i, 4000);
}

static void test_stops_anywhere_with_poison(void **state) {
  (void)state;
  uint64_t seed = random_seed(100);
  tri_the_heap.poison = true;
  for (uint64_t i = 0; i < 2; i++) run_steps(seed + i, 4000);
  tri_the_heap.poison = false;
}

/* The slot that was chosen but not written back when the world stopped is allocated after it, and only once. */
static void test_a_chosen_slot_is_kept(void **state) {
  (void)state;
  tri_cache_slot *slot = slot_for(4);
  for (int forced = 0; forced < 2; forced++)
    for (int times = 1; times < 4; times++) {
      while (!atomic_load(&slot->free)) receive(tri_cache_alloc_slow(4), 4);
      uint64_t free = atomic_load(&slot->free);
      uintptr_t chosen = tri_cache_slot_address(slot->base, free, slot->odd);
      for (int i = 0; i < times; i++) collect(forced);
      atomic_store(&slot->free, free & (free - 1));
      receive((unsigned char *)chosen, 4);
      for (int i = 0; i < 200; i++) {
        unsigned char *other = tri_alloc(40);
        assert_ptr_not_equal(other, (void *)chosen);
        receive(other, 4);
      }
      collect(true);
      assert_true(tri_slot_is_allocated(chosen));
    }
  object_count = 0;
}

/* A cache that gives everything back leaves nothing waiting, and loses nothing. */
static void test_release(void **state) {
  (void)state;
  test_random random = {7};
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 300; i++) step(&random);
    if (round & 1) collect(false);
    tri_cache_release(cache);
    for (size_t i = 0; i < TRI_CACHE_SLOTS; i++) assert_null(atomic_load(&cache->slots[i].span));
    check_counts();
  }
}

static int start_heap(void **state) {
  (void)state;
  if (tri_init(NULL) != TRI_OK) return -1;
  tri_set_gc_percent(-1);
  tri_free(tri_alloc(16));
  cache = tri_cache_self;
  tri_cache_defer(cache); /* the library's locks are held only so */
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_chosen_slot_is_kept),
      cmocka_unit_test(test_stops_anywhere),
      cmocka_unit_test(test_stops_anywhere_with_poison),
      cmocka_unit_test(test_release),
  };
  return cmocka_run_group_tests(tests, start_heap, NULL);
}
