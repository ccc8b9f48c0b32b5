/* cache.c - claiming, refilling, sweeping one's own. See cache.h for the protocol. */
#include "heap/cache.h"

#include <errno.h>
#include <string.h>

#include "heap/heap.h"

/* No slot has bucket 0, see api/types.c. */
tri_cache tri_cache_none TRI_OWN_DATA = {.slots[0].bucket = UINT32_MAX, .number = UINT32_MAX};
_Thread_local struct tri_self tri_self __attribute__((tls_model("initial-exec"))) = {.number = UINT32_MAX};
_Thread_local tri_cache *tri_cache_self __attribute__((tls_model("initial-exec"))) = &tri_cache_none;

enum {
  ASSIST_STEP = 1024,    /* claimed while a mark is on before the owner helps with it: often and briefly */
  LIVE_STEP = 64 * 1024, /* claimed bytes are added to the heap's live at refills, and at least this often */
  COLLECTIONS_FIRST = 2, /* before the program's handler is asked for memory */
};

void tri_cache_init(tri_cache *cache) {
  memset((void *)cache, 0, sizeof *cache);
  for (uint32_t i = 0; i < TRI_CACHE_SLOTS; i++) cache->slots[i].bucket = i && i < TRI_BUCKET_TYPED ? i : UINT32_MAX;
}

/* ---- small accessors ---- */

static uint64_t waiting(const tri_cache_slot *slot) { return atomic_load_explicit(&slot->free, memory_order_relaxed); }

static tri_span *span_of(const tri_cache_slot *slot) { return atomic_load_explicit(&slot->span, memory_order_relaxed); }

static bool is_stale(const tri_span *span) {
  return atomic_load_explicit(&span->epoch, memory_order_relaxed) != tri_heap_epoch();
}

static void set_active(tri_cache *cache, const tri_cache_slot *slot, bool active) {
  size_t index = (size_t)(slot - cache->slots);
  uint64_t bit = 1ull << (index % 64);
  cache->active[index / 64] = active ? cache->active[index / 64] | bit : cache->active[index / 64] & ~bit;
}

static void rewind_cursor(tri_cache_slot *slot) { slot->cursor = slot->offset = 0; }

/* ---- live accounting ---- */

static void add_live(tri_cache *cache) {
  atomic_fetch_add_explicit(&tri_the_heap.live, cache->claimed_bytes, memory_order_relaxed);
  cache->to_assist =
      tri_heap_is_marking() && cache->claimed_bytes > 0 ? cache->to_assist + (size_t)cache->claimed_bytes : 0;
  cache->claimed_bytes = 0;
}

/* ---- claiming ---- */

/* Slot starts in a word of bits. odd: of those, which start in the middle of a granule. */
typedef struct word_starts {
  uint64_t all, odd;
} word_starts;

/* offset is the first start at a granule: it is less than the period, which is at most 64, and 64 only with no
 * start. */
static word_starts starts_of(const tri_size_class *class, uint32_t offset) {
  uint64_t even = class->starts << offset;
  uint64_t odd = class->size == TRI_ODD_SIZE ? class->starts << (offset + 2) % TRI_ODD_GRANULES : 0;
  return (word_starts){.all = even | odd, .odd = odd};
}

static void clear_slots(uintptr_t base, uint64_t claimed, size_t size) {
  for (; claimed; claimed &= claimed - 1)
    memset((void *)(base + ((uintptr_t)__builtin_ctzll(claimed) << TRI_GRANULE_SHIFT)), 0, size);
}

static void clear_odd_slots(uintptr_t base, uint64_t claimed, uint64_t odd) {
  for (; claimed; claimed &= claimed - 1) memset((void *)tri_cache_slot_address(base, claimed, odd), 0, TRI_ODD_SIZE);
}

/* A word whose slots are all free is one stretch of memory, the last slot of which may reach beyond the word. */
static void clear_claimed(const tri_span *span, uintptr_t base, uint64_t claimed, word_starts starts) {
  if (span->slot_size > TRI_BULK_ZERO_MAX || !atomic_load_explicit(&span->needs_zero, memory_order_relaxed)) return;
  if (claimed != starts.all || span->slot_size == TRI_BULK_ZERO_MAX) {
    if (starts.odd)
      clear_odd_slots(base, claimed, starts.odd);
    else
      clear_slots(base, claimed, span->slot_size);
    return;
  }
  uintptr_t first = tri_cache_slot_address(base, claimed, starts.odd);
  uintptr_t last = tri_cache_slot_address(base, 1ull << (63 - __builtin_clzll(claimed)), starts.odd);
  memset((void *)first, 0, last - first + span->slot_size);
}

/* Makes the slots in claimed, which are free, the owner's. The OR is a read-modify-write because
 * tri_free may clear other bits of the word; acquire, pairs with the release of tri_free: its needs_zero is seen;
 * release, so that a marker which sees the bits sees what their page is. */
static void claim(tri_cache *cache, tri_cache_slot *slot, tri_span *span, uint32_t word, uint64_t claimed,
                  word_starts starts) {
  if (tri_unlikely(tri_the_heap.collect_every)) claimed &= -claimed; /* every allocation comes by here */
  tri_bits *bits = &tri_arena_bits(span->start)[word];
  tri_clear_marks(bits, claimed); /* of objects that were freed while they were old */
  uintptr_t base = span->start + (uintptr_t)word * 64 * TRI_GRANULE;
  tri_heap_forget_slots(base, claimed);
  uint64_t before = atomic_fetch_or_explicit(&bits->alloc, claimed, memory_order_acq_rel);
  TRI_ASSERT(!(before & claimed));
  (void)before;
  clear_claimed(span, base, claimed, starts);
  uint64_t count = tri_popcount(claimed);
  tri_tally_add(&cache->counts.allocated[span->size_class], count);
  cache->claimed_bytes += (ptrdiff_t)(count * span->slot_size);
  if (cache->claimed_bytes >= (tri_unlikely(tri_heap_is_marking()) ? ASSIST_STEP : LIVE_STEP)) add_live(cache);
  slot->word = word;
  slot->at_stop = 0;
  slot->odd = starts.odd;
  /* Release, both: pair with the acquires in tri_cache_slot_is_waiting, which must not see the new base beside a free
   * from before, when the old word was not used up, nor the new free beside the old base. */
  atomic_store_explicit(&slot->base, base, memory_order_release);
  atomic_store_explicit(&slot->free, claimed, memory_order_release);
}

/* Slots of up to 1 KiB: whole bitmap words. */
static bool claim_word(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  const tri_size_class *class = &tri_size_classes[span->size_class];
  uint32_t period = tri_size_class_period(class);
  uint32_t end = (class->slots * class->size + TRI_GRANULE - 1) / TRI_GRANULE; /* granules that belong to slots */
  for (uint32_t word = slot->cursor; word * 64 < end; word++) {
    word_starts starts = starts_of(class, slot->offset);
    if (end - word * 64 < 64) starts.all &= (1ull << (end - word * 64)) - 1;
    slot->offset = slot->offset >= class->step ? slot->offset - class->step : slot->offset + period - class->step;
    uint64_t free = starts.all & ~atomic_load_explicit(tri_span_alloc_word(span, word), memory_order_relaxed);
    if (!free) continue;
    slot->cursor = word + 1;
    claim(cache, slot, span, word, free, starts);
    return true;
  }
  return false;
}

/* Larger slots: one at a time, for a word holds one start at most. */
static bool claim_slot(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  uint32_t granules = (uint32_t)(span->slot_size / TRI_GRANULE);
  for (uint32_t index = slot->cursor; index < span->slots; index++) {
    uint32_t granule = index * granules;
    uint64_t bit = 1ull << (granule % 64);
    if (atomic_load_explicit(tri_span_alloc_word(span, granule / 64), memory_order_relaxed) & bit) continue;
    slot->cursor = index + 1;
    claim(cache, slot, span, granule / 64, bit, (word_starts){.all = bit});
    return true;
  }
  return false;
}

static bool claim_next(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  return span->slot_size <= TRI_BULK_ZERO_MAX ? claim_word(cache, slot, span) : claim_slot(cache, slot, span);
}

/* ---- owning spans ---- */

static void slot_sweep(tri_cache_slot *slot, tri_span *span) {
  uint32_t freed = tri_span_sweep(span, slot->word, slot->at_stop | waiting(slot));
  tri_count_swept(span->size_class, freed);
  if (freed) rewind_cursor(slot);
}

/* Gives the slot's span back. Waiting slots become free again. */
static void slot_release(tri_cache *cache, tri_cache_slot *slot) {
  tri_span *span = span_of(slot);
  if (!span) return;
  if (is_stale(span)) slot_sweep(slot, span);
  uint64_t left = waiting(slot);
  if (left) {
    /* Release: what was cleared is seen by the next claimer. The slots may have been cleared; that is not
     * remembered. */
    atomic_store_explicit(&span->needs_zero, 1, memory_order_relaxed);
    atomic_fetch_and_explicit(tri_span_alloc_word(span, slot->word), ~left, memory_order_release);
    tri_tally_add(&cache->counts.allocated[span->size_class], -(uint64_t)tri_popcount(left));
  }
  atomic_store_explicit(&slot->free, 0, memory_order_relaxed);
  atomic_store_explicit(&slot->span, NULL, memory_order_relaxed);
  set_active(cache, slot, false);
  atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
  atomic_store_explicit(&span->state, TRI_SPAN_SWEPT, memory_order_relaxed);
  span->live = tri_span_count(span);
  tri_central_give(span);
}

static void slot_adopt(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  atomic_store_explicit(&span->owner, slot, memory_order_relaxed);
  atomic_store_explicit(&span->state, TRI_SPAN_CACHED, memory_order_relaxed);
  atomic_store_explicit(&slot->span, span, memory_order_relaxed);
  set_active(cache, slot, true);
  rewind_cursor(slot);
  slot->word = 0;
  slot->at_stop = 0;
}

/* Leaves at least one waiting slot, or false when memory is out. Stops deferred. */
static bool refill(tri_cache *cache, tri_cache_slot *slot, uint32_t bucket) {
  if (slot->bucket != bucket) { /* two typed buckets share this slot: the other one gives way */
    slot_release(cache, slot);
    slot->bucket = bucket;
  }
  if (waiting(slot)) return true;
  for (;;) {
    tri_span *span = span_of(slot);
    if (span) {
      if (is_stale(span)) slot_sweep(slot, span);
      if (claim_next(cache, slot, span)) return true;
      slot_release(cache, slot);
    }
    add_live(cache);
    span = tri_central_take(bucket, &cache->supply);
    if (!span) return false;
    slot_adopt(cache, slot, span);
  }
}

/* ---- the long way ---- */

/* One collection may not help although there is garbage: other threads took what it found, or are sweeping it still.
 * The handler may have dropped objects rather than freed them, so a collection follows it, too. */
TRI_COLD bool tri_cache_find_memory(size_t size, int *attempt) {
  int asked = ++*attempt - COLLECTIONS_FIRST;
  if (asked > 0 && !tri_the_hooks.out_of_memory(size, asked)) {
    errno = ENOMEM;
    return false;
  }
  (void)tri_the_hooks.collect_for_memory();
  return true;
}

static void assist(tri_cache *cache) {
  size_t claimed = cache->to_assist;
  cache->to_assist = 0;
  tri_the_hooks.assist(claimed);
}

static size_t bucket_size(uint32_t bucket) { return tri_size_classes[tri_central_class(bucket)].size; }

void *tri_cache_alloc_slow(uint32_t bucket) {
  tri_cache *cache = tri_cache_self;
  if (tri_unlikely(cache == &tri_cache_none) && !(cache = tri_the_hooks.attach())) {
    errno = ENOMEM;
    return NULL;
  }
  tri_cache_slot *slot = &cache->slots[tri_cache_slot_index(bucket)];
  for (int attempt = 0;;) {
    tri_cache_defer(cache);
    void *object = refill(cache, slot, bucket) ? tri_cache_slot_pop(slot) : NULL;
    tri_cache_undefer(cache);
    if (tri_likely(object)) {
      if (tri_unlikely(tri_heap_wants_collection() || tri_the_heap.collect_every)) tri_the_hooks.collect();
      if (tri_unlikely(cache->to_assist >= ASSIST_STEP)) assist(cache);
      return object;
    }
    if (!tri_cache_find_memory(bucket_size(bucket), &attempt)) return NULL;
  }
}

void tri_cache_clear_slot(void *object, size_t size) {
  tri_span *span = tri_span_of((uintptr_t)object);
  if (atomic_load_explicit(&span->needs_zero, memory_order_relaxed)) memset(object, 0, size);
}

void tri_cache_wait_at_gate(tri_cache *cache) {
  int saved_errno = errno;
  do {
    tri_cache_undefer(cache);
    tri_gate_await_open();
    atomic_store_explicit(&cache->defer, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
  } while (!tri_gate_is_open());
  errno = saved_errno;
}

void tri_cache_park(tri_cache *cache) {
  atomic_store_explicit(&cache->stop_pending, 0, memory_order_relaxed);
  tri_the_hooks.park(cache);
}

/* ---- freeing ---- */

/* Whether the bit of the slot at start is in the word of bits that begins with that of base. */
static bool is_in_word(uintptr_t base, uintptr_t start) { return start + TRI_GRANULE / 2 - base < 64 * TRI_GRANULE; }

bool tri_cache_slot_is_waiting(tri_span *span, uintptr_t start) {
  tri_cache_slot *slot = atomic_load_explicit(&span->owner, memory_order_relaxed);
  if (!slot) return false;
  uintptr_t base = atomic_load_explicit(&slot->base, memory_order_acquire);
  uint64_t free = atomic_load_explicit(&slot->free, memory_order_acquire);
  return is_in_word(base, start) && span_of(slot) == span && (free & tri_bit_mask(start)) &&
         atomic_load_explicit(&slot->base, memory_order_relaxed) == base;
}

/* A slot of the current word goes straight back to the waiting ones and is the next to be handed out. */
static void free_into_word(tri_cache_slot *slot, tri_span *span, uintptr_t start) {
  tri_clear_marks(tri_arena_bits(start), tri_bit_mask(start));
  tri_heap_forget_slots(start, tri_bit_mask(start));
  if (span->slot_size <= TRI_BULK_ZERO_MAX) memset((void *)start, 0, span->slot_size);
  atomic_store_explicit(&slot->free, waiting(slot) | tri_bit_mask(start), memory_order_relaxed);
}

bool tri_cache_free_own(tri_cache *cache, tri_cache_slot *slot, tri_span *span, uintptr_t start) {
  _Atomic(uint64_t) *word = &tri_arena_bits(start)->alloc;
  uint64_t mask = tri_bit_mask(start);
  bool current = is_in_word(atomic_load_explicit(&slot->base, memory_order_relaxed), start);
  if (!(atomic_load_explicit(word, memory_order_relaxed) & mask) || (current && (waiting(slot) & mask))) return false;
  atomic_store_explicit(&span->needs_zero, 1, memory_order_relaxed);
  if (current && !is_stale(span) && !tri_the_heap.poison) {
    free_into_word(slot, span, start);
    tri_tally_add(&cache->counts.allocated[span->size_class], 1); /* it waits again, and what waits is subtracted */
    return true;
  }
  cache->claimed_bytes -= (ptrdiff_t)span->slot_size;
  return atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed) & mask;
}

/* ---- for the collector ---- */

/* Calls visit for every slot that owns a span. */
static void each_active(tri_cache *cache, void (*visit)(tri_cache *, tri_cache_slot *, tri_span *)) {
  for (size_t i = 0; i < sizeof cache->active / sizeof *cache->active; i++)
    for (uint64_t bits = cache->active[i]; bits; bits &= bits - 1) {
      tri_cache_slot *slot = &cache->slots[i * 64 + (size_t)__builtin_ctzll(bits)];
      visit(cache, slot, span_of(slot));
    }
}

static void hide_waiting(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  (void)cache;
  slot->at_stop = waiting(slot);
  if (!slot->at_stop) return;
  atomic_fetch_and_explicit(tri_span_alloc_word(span, slot->word), ~slot->at_stop, memory_order_relaxed);
  atomic_fetch_and_explicit(tri_span_mark_word(span, slot->word), ~slot->at_stop, memory_order_relaxed);
}

static void show_waiting(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  (void)cache;
  if (slot->at_stop)
    atomic_fetch_or_explicit(tri_span_alloc_word(span, slot->word), slot->at_stop, memory_order_relaxed);
}

static void keep_waiting(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  (void)cache;
  atomic_fetch_or_explicit(tri_span_alloc_word(span, slot->word), waiting(slot), memory_order_relaxed);
}

static void sweep_stale(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  (void)cache;
  if (is_stale(span)) slot_sweep(slot, span);
}

static void release_one(tri_cache *cache, tri_cache_slot *slot, tri_span *span) {
  (void)span;
  slot_release(cache, slot);
}

void tri_cache_stop_begin(tri_cache *cache) {
  each_active(cache, hide_waiting);
  add_live(cache);
  tri_span_supply_flush(&cache->supply);
}

void tri_cache_stop_end(tri_cache *cache) { each_active(cache, show_waiting); }

void tri_cache_mend(tri_cache *cache) {
  each_active(cache, keep_waiting);
  cache->supply = (tri_span_supply){0};
}

void tri_cache_sweep(tri_cache *cache) { each_active(cache, sweep_stale); }

void tri_cache_release(tri_cache *cache) {
  each_active(cache, release_one);
  add_live(cache);
  cache->tiny_left = 0;
  cache->tiny_next = 0;
  tri_span_supply_flush(&cache->supply);
}

void tri_cache_counts_add(const tri_cache *cache, tri_counts *sum) {
  tri_tally_sum(&cache->counts, sum);
  for (size_t i = 0; i < TRI_CACHE_SLOTS; i++) {
    const tri_span *span = span_of(&cache->slots[i]);
    if (span) sum->allocated[span->size_class] -= tri_popcount(waiting(&cache->slots[i]));
  }
}
