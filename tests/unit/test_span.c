/* test_span.c - spans: their lists, making and unmaking them, and the sweeping of one against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <tricolor.h>

#include "heap/heap.h"
#include "heap/object.h"
#include "random.h"

/* Locks of the library are held only while stops are deferred: this thread defers them for good. */
static int start_heap(void **state) {
  (void)state;
  if (tri_init(NULL) != TRI_OK || !tri_alloc(1)) return -1;
  tri_cache_defer(tri_cache_self);
  return 0;
}

static tri_span_request request_of(uint32_t class, bool noscan) {
  return (tri_span_request){.page_count = tri_size_classes[class].pages,
                            .alignment = 1,
                            .slot_size = tri_size_classes[class].size,
                            .slots = tri_size_classes[class].slots,
                            .size_class = class,
                            .bucket = class + (noscan ? TRI_BUCKET_NOSCAN : TRI_BUCKET_CONSERVATIVE),
                            .noscan = noscan};
}

static uintptr_t slot_of(const tri_span *span, uint32_t index) { return span->start + index * span->slot_size; }

static bool is_marked(uintptr_t start) { return atomic_load(&tri_arena_bits(start)->mark) & tri_bit_mask(start); }

static void set_alloc(uintptr_t start) { atomic_fetch_or(&tri_arena_bits(start)->alloc, tri_bit_mask(start)); }

static void set_mark(uintptr_t start) { atomic_fetch_or(&tri_arena_bits(start)->mark, tri_bit_mask(start)); }

static bool bits_are_clear(uintptr_t start, size_t pages) {
  for (size_t word = 0; word < pages * TRI_WORDS_PER_PAGE; word++)
    if (tri_arena_bits(start)[word].alloc || tri_arena_bits(start)[word].mark) return false;
  return true;
}

/* ---- lists ---- */

static void test_lists(void **state) {
  (void)state;
  enum { SPANS = 20 };
  static tri_span spans[SPANS];
  test_random random = {1};
  tri_span_list list = {.count = 0};
  bool listed[SPANS] = {false};
  size_t count = 0;
  for (int step = 0; step < 20000; step++) {
    size_t i = random_below(&random, SPANS);
    if (random_below(&random, 4) == 0) {
      tri_span *popped = tri_span_pop(&list);
      assert_int_equal(popped == NULL, count == 0);
      if (!popped) continue;
      assert_true(listed[popped - spans]);
      listed[popped - spans] = false;
      count--;
    } else if (listed[i]) {
      tri_span_remove(&list, &spans[i]);
      listed[i] = false;
      count--;
    } else {
      tri_span_push(&list, &spans[i]);
      listed[i] = true;
      count++;
    }
    assert_int_equal(list.count, count);
    size_t walked = 0;
    for (tri_span *span = list.head, *before = NULL; span; before = span, span = span->next, walked++) {
      assert_true(listed[span - spans]);
      assert_ptr_equal(span->prev, before);
    }
    assert_int_equal(walked, count);
  }
}

/* ---- making and unmaking ---- */

static void check_fresh(const tri_span *span, const tri_span_request *request) {
  assert_int_equal(span->start % TRI_PAGE_SIZE, 0);
  assert_int_equal((span->start - tri_the_arena.base) / TRI_PAGE_SIZE % request->alignment, 0);
  assert_int_equal(atomic_load(&span->state), TRI_SPAN_SWEPT);
  assert_int_equal(atomic_load(&span->epoch), tri_heap_epoch());
  assert_int_equal(tri_span_count(span), 0);
  assert_true(bits_are_clear(span->start, span->page_count));
  for (size_t page = 0; page < span->page_count; page++) {
    uintptr_t address = span->start + page * TRI_PAGE_SIZE + 100;
    uint32_t kind = tri_arena_kind(tri_arena_page(address));
    assert_ptr_equal(tri_span_of(address), span);
    assert_int_equal(!!(kind & TRI_KIND_NOSCAN), request->noscan);
    assert_int_equal(!!(kind & TRI_KIND_LARGE), request->size_class == 0);
    assert_int_equal(tri_kind_class(kind), request->size_class);
    if (request->size_class) assert_int_equal(tri_kind_offset(kind), page);
  }
}

static void test_create_and_destroy(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++)
    for (int noscan = 0; noscan < 2; noscan++) {
      tri_span_request request = request_of(class, noscan);
      tri_page_heap_figures before = tri_page_heap_read();
      tri_span *span = tri_span_create(&request, NULL);
      assert_non_null(span);
      check_fresh(span, &request);
      tri_page_heap_figures with = tri_page_heap_read();
      assert_int_equal(with.used_bytes - before.used_bytes, request.page_count * TRI_PAGE_SIZE);
      assert_int_equal(with.spans_in_use - before.spans_in_use, 1);
      uintptr_t start = span->start;
      set_alloc(start);
      set_mark(start);
      memset((void *)start, 0xff, request.slot_size);
      tri_span_destroy(span);
      assert_null(tri_span_of(start));
      assert_int_equal(tri_arena_kind(tri_arena_page(start)), 0);
      assert_true(bits_are_clear(start, request.page_count));
      assert_int_equal(tri_page_heap_read().used_bytes, before.used_bytes);
    }
}

static void test_alignment(void **state) {
  (void)state;
  for (size_t alignment = 1; alignment <= 128; alignment *= 2)
    for (size_t pages = 1; pages < 40; pages += 13) {
      tri_span_request request = {
          .page_count = pages, .alignment = alignment, .slot_size = pages * TRI_PAGE_SIZE, .slots = 1};
      tri_span *span = tri_span_create(&request, NULL);
      assert_non_null(span);
      check_fresh(span, &request);
      tri_span_destroy(span);
    }
}

/* A span that does not say it needs clearing is zero. */
static void test_needs_zero_is_true(void **state) {
  (void)state;
  test_random random = {2};
  static tri_span *spans[200];
  tri_span_supply supply = {0};
  for (int step = 0; step < 3000; step++) {
    size_t i = random_below(&random, 200);
    if (spans[i]) {
      memset((void *)spans[i]->start, 0xff, spans[i]->page_count * TRI_PAGE_SIZE);
      tri_span_destroy(spans[i]);
    }
    tri_span_request request = request_of(1 + (uint32_t)random_below(&random, TRI_CLASS_COUNT - 1), i & 1);
    spans[i] = tri_span_create(&request, random_below(&random, 2) ? &supply : NULL);
    assert_non_null(spans[i]);
    if (!atomic_load(&spans[i]->needs_zero)) {
      const uint64_t *words = (const uint64_t *)spans[i]->start;
      for (size_t word = 0; word < spans[i]->page_count * TRI_PAGE_SIZE / 8; word++) assert_int_equal(words[word], 0);
    }
    if (step % 500 == 0) tri_page_heap_release(SIZE_MAX, true);
    if (step % 300 == 0) tri_span_supply_flush(&supply);
  }
  for (int i = 0; i < 200; i++)
    if (spans[i]) tri_span_destroy(spans[i]);
  tri_span_supply_flush(&supply);
}

/* ---- sweeping ---- */

static void check_sweep(tri_span *span, test_random *random) {
  static bool allocated[TRI_PAGE_SIZE], marked[TRI_PAGE_SIZE]; /* 512 slots at most */
  size_t also_word = random_below(random, tri_span_words(span));
  uint64_t also = 0;
  uint32_t live = 0, freed = 0;
  for (uint32_t i = 0; i < span->slots; i++) {
    uintptr_t slot = slot_of(span, i);
    size_t granule = tri_granule_of(slot) - tri_granule_of(span->start);
    allocated[i] = random_below(random, 3) != 0;
    marked[i] = random_below(random, 2) != 0; /* also where nothing is allocated: freed since the mark */
    bool extra = granule / 64 == also_word && random_below(random, 2);
    if (extra) also |= 1ull << granule % 64;
    atomic_fetch_and(&tri_arena_bits(slot)->alloc, ~tri_bit_mask(slot));
    if (allocated[i]) set_alloc(slot);
    atomic_fetch_and(&tri_arena_bits(slot)->mark, ~tri_bit_mask(slot));
    if (marked[i]) set_mark(slot);
    freed += allocated[i] && !marked[i] && !extra;
    allocated[i] = allocated[i] && (marked[i] || extra);
    live += allocated[i];
  }
  atomic_store(&span->needs_zero, 0);
  atomic_fetch_add(&tri_the_heap.epoch, 1);
  assert_int_equal(tri_span_sweep(span, also_word, also), freed);
  assert_int_equal(span->live, live);
  assert_int_equal(tri_span_count(span), live);
  assert_int_equal(atomic_load(&span->epoch), tri_heap_epoch());
  if (freed) assert_int_equal(atomic_load(&span->needs_zero), 1);
  for (uint32_t i = 0; i < span->slots; i++) {
    assert_int_equal(tri_slot_is_allocated(slot_of(span, i)), allocated[i]);
    assert_int_equal(is_marked(slot_of(span, i)), marked[i]);
  }
}

static void test_sweep(void **state) {
  (void)state;
  test_random random = {random_seed(3)};
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++) {
    tri_span_request request = request_of(class, false);
    tri_span *span = tri_span_create(&request, NULL);
    assert_non_null(span);
    for (int round = 0; round < 20; round++) check_sweep(span, &random);
    tri_span_destroy(span);
  }
}

/* ---- from an address to its slot ---- */

static void test_slot_start(void **state) {
  (void)state;
  for (uint32_t class = 1; class < TRI_CLASS_COUNT; class ++) {
    tri_span_request request = request_of(class, false);
    tri_span *span = tri_span_create(&request, NULL);
    assert_non_null(span);
    for (size_t offset = 0; offset < span->page_count * TRI_PAGE_SIZE; offset += 7) {
      uintptr_t address = span->start + offset;
      uint32_t kind = tri_arena_kind(tri_arena_page(address));
      size_t index = offset / span->slot_size;
      assert_int_equal(tri_object_slot_start(address, kind), index < span->slots ? slot_of(span, (uint32_t)index) : 0);
    }
    tri_span_destroy(span);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lists),
      cmocka_unit_test(test_create_and_destroy),
      cmocka_unit_test(test_alignment),
      cmocka_unit_test(test_needs_zero_is_true),
      cmocka_unit_test(test_slot_start),
      cmocka_unit_test(test_sweep), /* last: it moves the epoch, and the heap's own spans stay behind */
  };
  return cmocka_run_group_tests(tests, start_heap, NULL);
}
