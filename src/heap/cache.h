/* cache.h - a thread's own supply of free slots: allocation without a lock and without atomic read-modify-writes.
 *
 * The counterpart of Go's mcache, one per thread. It has one slot for each untyped bucket and a direct-mapped table of
 * TYPED slots for typed ones (which caps the spans that many types and many threads can hold idle). A slot owns a span
 * and hands out one bitmap word of it at a time: free holds the slot starts of that word that are still to be had.
 *
 *   claim     refill sets all allocation bits of a word at once (one atomic OR) and keeps the new ones in free
 *   hand out  ctz(free), clear that bit: plain loads and stores of the owner's
 *   waiting   a claimed slot not yet handed out: allocation bit set, bit in free set
 *
 * Bit i of free is the slot at base + 16 * i or, where it is set in odd, 8 bytes before that (heap/arena.h).
 *
 * THE OWNER-SWEPT PROTOCOL. A thread may be stopped anywhere, also between reading free
 * and writing it back, when it has chosen a slot that free still shows. Hence nobody but the owner ever writes free,
 * and everything else treats what free shows as neither allocated nor free:
 *
 *   stop begin  (collector, all threads stopped) clears the allocation bits of waiting slots, so that the mark sees
 *               exactly the objects that were handed out, and remembers free in at_stop
 *   stop end    sets those bits again. A slot the thread had just chosen is in at_stop: allocated after the mark
 *   refill      (owner) finds span epoch behind heap epoch: sweeps the span, keeping at_stop's slots of the current
 *               word, which were handed out since the mark or wait. Then it claims as ever.
 *   idle owner  when the next collection begins and the owner has not refilled, the collector sweeps the span in the
 *               same way while the owner is stopped; it touches neither free nor the current word's waiting bits
 *
 * Slow paths run with defer set: the stop signal's handler then only notes the request and the path parks when it is
 * done. So a stopped thread is never inside a lock of ours, and the collector may use a stopped thread's slow-path
 * state. */
#ifndef TRI_CACHE_H
#define TRI_CACHE_H

#include <tricolor.h>

#include "heap/central.h"
#include "heap/counts.h"
#include "heap/gate.h"

enum {
  TRI_CACHE_TYPED = 64, /* slots for typed buckets; a power of two */
  TRI_CACHE_SLOTS = TRI_BUCKET_TYPED + TRI_CACHE_TYPED,
  TRI_TINY_SIZE = 16,
};

/* A cache line each. All fields are the owner's; others read free, base and span (tri_cache_slot_is_waiting), hence
 * atomic, relaxed. */
typedef struct tri_cache_slot {
  _Atomic(uint64_t) free;
  _Atomic(uintptr_t) base; /* address of the current word's first granule */
  uint64_t odd;
  uint32_t bucket;
  uint32_t word;            /* the current word's index in the span */
  _Atomic(tri_span *) span; /* NULL: none */
  uint64_t at_stop;         /* free as the last mark saw it */
  uint32_t cursor;          /* where the next claim looks: a word (slots to 1 KiB) or a slot (larger) */
  uint32_t offset;          /* granules from the cursor word's start to its first slot start */
} __attribute__((aligned(TRI_CACHE_LINE))) tri_cache_slot;

typedef struct tri_cache {
  tri_cache_slot slots[TRI_CACHE_SLOTS];
  uint64_t active[(TRI_CACHE_SLOTS + 63) / 64]; /* slots that own a span */
  _Atomic(uint32_t) defer; /* > 0: in a slow path. Owner's; its own signal handler reads it: relaxed + signal fence */
  _Atomic(uint32_t) stop_pending; /* set by the handler when it found defer set */
  uintptr_t tiny_next;     /* free part of the current tiny block, 0: none. The block is a root: its owner may be */
  size_t tiny_left;        /* stopped having read these two, before it has made a pointer of them */
  ptrdiff_t claimed_bytes; /* claimed less freed since last added to the heap's live */
  size_t to_assist;        /* bytes claimed while a mark is on, for which the owner has not scanned yet */
  tri_tally counts;        /* allocated counts claims: waiting slots are subtracted on reading */
  tri_span_supply supply;
  uint32_t number; /* of its thread: small, no other thread's while it lives. tri_cache_none's is UINT32_MAX */
} tri_cache;

/* tri_cache_self is the calling thread's cache; this one, without slots, until it is attached. */
extern tri_cache tri_cache_none;

/* The calling thread's cache from now on; tri_cache_none: it has none. Thread-local variables are roots, so what
 * tri_self says must not be the address of the heap's first object. */
TRI_INLINE void tri_cache_adopt(tri_cache *cache) {
  bool none = cache == &tri_cache_none;
  tri_self = (struct tri_self){.number = cache->number,
                               .heap = tri_the_arena.base - TRI_GRANULE,
                               .heap_size = none ? 0 : tri_the_arena.reserved + TRI_GRANULE};
  tri_cache_self = cache;
}

void tri_cache_init(tri_cache *cache);

/* ---- allocation ---- */

/* Which slot of a cache serves a bucket. */
TRI_INLINE uint32_t tri_cache_slot_index(uint32_t bucket) {
  return bucket < TRI_BUCKET_TYPED ? bucket : TRI_BUCKET_TYPED + (bucket & (TRI_CACHE_TYPED - 1));
}

/* Where the first of the slots in free is. */
TRI_INLINE uintptr_t tri_cache_slot_address(uintptr_t base, uint64_t free, uint64_t odd) {
  uintptr_t granule = base + ((uintptr_t)__builtin_ctzll(free) << TRI_GRANULE_SHIFT);
  return granule - ((free & -free & odd) ? TRI_GRANULE / 2 : 0);
}

/* Takes a waiting slot; NULL when there is none. Owner only. Slots of up to TRI_BULK_ZERO_MAX bytes are zero.
 * A thread stopped right after the store owns an object that free shows no more: its address must be in a register by
 * then, where the mark finds it. */
TRI_INLINE void *tri_cache_slot_pop(tri_cache_slot *slot) {
  uint64_t free = atomic_load_explicit(&slot->free, memory_order_relaxed);
  if (tri_unlikely(!free)) return NULL;
  uintptr_t base = atomic_load_explicit(&slot->base, memory_order_relaxed);
  uintptr_t object = tri_cache_slot_address(base, free, slot->odd);
  __asm__(""
          : "+r"(object), "+r"(free)); /* the store below needs what comes out of here, so the address is there first */
  atomic_store_explicit(&slot->free, free & (free - 1), memory_order_relaxed);
  return (void *)object;
}

/* One object of the bucket by the long way: attaches the thread, refills, collects, asks the out-of-memory handler.
 * NULL with errno ENOMEM. */
void *tri_cache_alloc_slow(uint32_t bucket);

/* What to do when an allocation of size bytes failed: collect, ask the handler. True: try again. attempt starts at 0.
 * Sets errno to ENOMEM with false. Stops not deferred. */
bool tri_cache_find_memory(size_t size, int *attempt);

/* Slots over TRI_BULK_ZERO_MAX are cleared when handed out; call on them before they are used, unless contents may be
 * arbitrary. */
void tri_cache_clear_slot(void *slot, size_t size);

/* ---- deferring stops ---- */

/* The gate is not open: heap/gate.h. */
void tri_cache_wait_at_gate(tri_cache *cache);

TRI_INLINE void tri_cache_defer(tri_cache *cache) {
  uint32_t depth = atomic_load_explicit(&cache->defer, memory_order_relaxed);
  atomic_store_explicit(&cache->defer, depth + 1, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst);
  if (!tri_gate_is_open() && depth == 0) tri_cache_wait_at_gate(cache);
}

void tri_cache_park(tri_cache *cache);

/* A signal before the store is noted in stop_pending and seen below; one after it parks the thread itself. */
TRI_INLINE void tri_cache_undefer(tri_cache *cache) {
  atomic_signal_fence(memory_order_seq_cst);
  uint32_t depth = atomic_load_explicit(&cache->defer, memory_order_relaxed);
  TRI_ASSERT(depth > 0);
  atomic_store_explicit(&cache->defer, depth - 1, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst);
  if (tri_unlikely(atomic_load_explicit(&cache->stop_pending, memory_order_relaxed)) && depth == 1)
    tri_cache_park(cache);
}

/* ---- freeing ---- */

/* Frees a slot of a span that this cache owns. False when it is free already. Stops deferred. */
bool tri_cache_free_own(tri_cache *cache, tri_cache_slot *slot, tri_span *span, uintptr_t start);

/* Whether the slot waits in the cache that owns the span: free, though its allocation bit is set. Any thread; exact for
 * the owner, a good guess for others. */
bool tri_cache_slot_is_waiting(tri_span *span, uintptr_t start);

/* ---- for the collector; the owner is stopped (or is the caller), outside its slow paths ---- */

void tri_cache_stop_begin(tri_cache *cache);
void tri_cache_stop_end(tri_cache *cache);

/* Sweeps the cached spans that the owner has not swept since the last mark. */
void tri_cache_sweep(tri_cache *cache);

/* In a child of which the library was not told, which may have been made while a stop held the caller: what waits is
 * allocated again. What the cache has in store is lost (heap/mend.h). */
void tri_cache_mend(tri_cache *cache);

/* Gives every span back: the thread ends or detaches. */
void tri_cache_release(tri_cache *cache);

/* Adds the thread's figures to *sum, waiting slots subtracted. Any thread, approximate while the owner runs. */
void tri_cache_counts_add(const tri_cache *cache, tri_counts *sum);

#endif
