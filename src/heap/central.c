/* central.c - see central.h. */
#include "heap/central.h"

#include "heap/cache.h"
#include "heap/counts.h"
#include "heap/heap.h"
#include "heap/unswept.h"

/* Full unswept spans looked through before fresh memory is taken: bounds a refill (runtime/mcentral.go: spanBudget;
 * Go's is 100, which may take 50 us). */
enum { SWEEP_BUDGET = 32 };

enum { WITH_FREE, FULL };

typedef struct tri_central {
  tri_lock lock;
  uint32_t layout;
  uint32_t size_class;
  bool noscan;
  tri_span_list lists[2][2]; /* [swept: epoch parity][full] */
} __attribute__((aligned(TRI_CACHE_LINE))) tri_central;

static struct {
  tri_central *centrals;
  tri_reservation reservation;
  _Atomic(uint32_t) count; /* release when a bucket is complete; pairs with the acquire in tri_central_count */
} central_table TRI_OWN_DATA;

static tri_central *central_of(uint32_t bucket) {
  TRI_ASSERT(bucket < TRI_BUCKET_MAX);
  return &central_table.centrals[bucket];
}

static void central_set(uint32_t bucket, uint32_t layout, uint32_t size_class, bool noscan) {
  tri_central *central = central_of(bucket);
  central->lock = (tri_lock)TRI_LOCK_INIT(TRI_RANK_CENTRAL);
  central->layout = layout;
  central->size_class = size_class;
  central->noscan = noscan;
}

bool tri_central_init(void) {
  tri_reservation *reservation = &central_table.reservation;
  bool reserved = reservation->base != 0; /* by a start that failed */
  if (!reserved && !tri_reservation_make(reservation, TRI_BUCKET_MAX * sizeof(tri_central), 4096, "tricolor: centrals"))
    return false;
  if (!tri_reservation_extend(reservation, TRI_BUCKET_TYPED * sizeof(tri_central))) return false;
  central_table.centrals = (tri_central *)reservation->base;
  for (uint32_t size_class = 0; size_class < TRI_CLASS_COUNT; size_class++) {
    central_set(TRI_BUCKET_CONSERVATIVE + size_class, 0, size_class, false);
    central_set(TRI_BUCKET_NOSCAN + size_class, 0, size_class, true);
  }
  central_set(TRI_BUCKET_TINY, 0, 1, true);
  atomic_store_explicit(&central_table.count, TRI_BUCKET_TYPED, memory_order_release);
  return true;
}

uint32_t tri_central_create(uint32_t layout, uint32_t size_class) {
  uint32_t bucket = atomic_load_explicit(&central_table.count, memory_order_relaxed);
  if (bucket >= TRI_BUCKET_MAX) return 0;
  if (!tri_reservation_extend(&central_table.reservation, (bucket + 1) * sizeof(tri_central))) return 0;
  central_set(bucket, layout, size_class, false);
  atomic_store_explicit(&central_table.count, bucket + 1, memory_order_release);
  return bucket;
}

uint32_t tri_central_count(void) { return atomic_load_explicit(&central_table.count, memory_order_acquire); }
uint32_t tri_central_class(uint32_t bucket) { return central_of(bucket)->size_class; }
size_t tri_central_bytes(void) { return central_table.reservation.committed; }

/* ---- lists; the lock is held ---- */

static tri_span_list *swept(tri_central *central) { return central->lists[tri_heap_epoch() & 1]; }
static tri_span_list *unswept(tri_central *central) { return central->lists[~tri_heap_epoch() & 1]; }

static void set_state(tri_span *span, tri_span_state state) {
  atomic_store_explicit(&span->state, (uint8_t)state, memory_order_relaxed);
}

static tri_span *take_from(tri_span_list *list) {
  tri_span *span = tri_span_pop(list);
  if (span) set_state(span, TRI_SPAN_SWEPT);
  return span;
}

static void put(tri_central *central, tri_span *span) {
  set_state(span, TRI_SPAN_CENTRAL);
  tri_span_push(&swept(central)[span->live == span->slots ? FULL : WITH_FREE], span);
}

/* ---- taking and giving ---- */

static void sweep(tri_span *span) {
  TRI_ASSERT(atomic_load_explicit(&span->epoch, memory_order_relaxed) + 1 == tri_heap_epoch());
  tri_count_swept(span->size_class, tri_span_sweep(span, 0, 0));
  tri_unswept_note_swept();
}

static tri_span *create(tri_central *central, uint32_t bucket, tri_span_supply *supply) {
  const tri_size_class *class = &tri_size_classes[central->size_class];
  tri_span_request request = {.page_count = class->pages,
                              .alignment = 1,
                              .slot_size = class->size,
                              .slots = class->slots,
                              .size_class = central->size_class,
                              .layout = central->layout,
                              .bucket = bucket,
                              .noscan = central->noscan};
  return tri_span_create(&request, supply);
}

/* Sweeps unswept spans until one has room. */
static tri_span *take_unswept(tri_central *central) {
  for (int budget = SWEEP_BUDGET; budget > 0; budget--) {
    tri_lock_take(&central->lock);
    tri_span *span = take_from(&unswept(central)[WITH_FREE]);
    if (!span) span = take_from(&unswept(central)[FULL]);
    tri_lock_drop(&central->lock);
    if (!span) return NULL;
    sweep(span);
    if (span->live < span->slots) return span;
    tri_central_give(span);
  }
  return NULL;
}

tri_span *tri_central_take(uint32_t bucket, tri_span_supply *supply) {
  tri_central *central = central_of(bucket);
  tri_unswept_pay(tri_size_classes[central->size_class].pages * TRI_PAGE_SIZE);
  tri_lock_take(&central->lock);
  tri_span *span = take_from(&swept(central)[WITH_FREE]);
  tri_lock_drop(&central->lock);
  if (!span) span = take_unswept(central);
  return span ? span : create(central, bucket, supply);
}

void tri_central_give(tri_span *span) {
  TRI_ASSERT(atomic_load_explicit(&span->epoch, memory_order_relaxed) == tri_heap_epoch());
  if (span->live == 0 && !tri_heap_is_marking()) {
    tri_span_destroy(span);
    return;
  }
  tri_central *central = central_of(span->bucket);
  tri_lock_take(&central->lock);
  put(central, span);
  tri_lock_drop(&central->lock);
}

bool tri_central_any_unswept(uint32_t bucket) {
  const tri_span_list *lists = unswept(central_of(bucket));
  return tri_span_list_any(&lists[WITH_FREE]) || tri_span_list_any(&lists[FULL]);
}

size_t tri_central_unswept_count(uint32_t bucket) {
  tri_central *central = central_of(bucket);
  tri_lock_take(&central->lock);
  size_t count = unswept(central)[WITH_FREE].count + unswept(central)[FULL].count;
  tri_lock_drop(&central->lock);
  return count;
}

bool tri_central_sweep_one(uint32_t bucket) {
  tri_central *central = central_of(bucket);
  if (!tri_central_any_unswept(bucket)) return false;
  tri_lock_take(&central->lock);
  tri_span *span = take_from(&unswept(central)[WITH_FREE]);
  if (!span) span = take_from(&unswept(central)[FULL]);
  tri_lock_drop(&central->lock);
  if (!span) return false;
  sweep(span);
  tri_central_give(span);
  return true;
}

/* ---- mending ---- */

void tri_central_mend_begin(void) {
  for (uint32_t bucket = 1; bucket < tri_central_count(); bucket++) {
    tri_central *central = central_of(bucket);
    tri_lock_abandon(&central->lock);
    for (int i = 0; i < 4; i++) central->lists[i / 2][i % 2] = (tri_span_list){.count = 0};
  }
}

void tri_central_mend_span(tri_span *span) {
  uint32_t parity = atomic_load_explicit(&span->epoch, memory_order_relaxed) & 1;
  tri_span_push(&central_of(span->bucket)->lists[parity][span->live >= span->slots ? FULL : WITH_FREE], span);
}

/* ---- freeing one object ---- */

/* Clears the allocation bit; acq_rel so that whoever claims the slot next sees needs_zero and the contents as they
 * are. */
static bool clear_alloc_bit(tri_span *span, uintptr_t start) {
  atomic_store_explicit(&span->needs_zero, 1, memory_order_relaxed);
  uint64_t mask = tri_bit_mask(start);
  return atomic_fetch_and_explicit(&tri_arena_bits(start)->alloc, ~mask, memory_order_acq_rel) & mask;
}

/* The span is on a list. Returns it when it became empty and was taken off. While a mark is on it stays, for the next
 * sweep. */
static tri_span *free_listed(tri_central *central, tri_span *span, uintptr_t start, bool *freed) {
  bool is_swept = atomic_load_explicit(&span->epoch, memory_order_relaxed) == tri_heap_epoch();
  bool was_full = is_swept && span->live == span->slots;
  *freed = clear_alloc_bit(span, start);
  if (!*freed || !is_swept) return NULL; /* an unswept span is counted when it is swept */
  bool goes = --span->live == 0 && !tri_heap_is_marking();
  if (goes || was_full) tri_span_remove(&swept(central)[was_full ? FULL : WITH_FREE], span);
  if (goes) {
    set_state(span, TRI_SPAN_SWEPT);
    return span;
  }
  if (was_full) put(central, span);
  return NULL;
}

bool tri_central_free_slot(tri_span *span, uintptr_t start) {
  tri_central *central = central_of(span->bucket);
  tri_span *empty = NULL;
  bool freed;
  tri_lock_take(&central->lock);
  if (atomic_load_explicit(&span->state, memory_order_relaxed) == TRI_SPAN_CENTRAL)
    empty = free_listed(central, span, start, &freed);
  else
    freed = !tri_cache_slot_is_waiting(span, start) && clear_alloc_bit(span, start);
  tri_lock_drop(&central->lock);
  if (empty) tri_span_destroy(empty);
  return freed;
}
