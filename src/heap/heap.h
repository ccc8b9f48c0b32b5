/* heap.h - what the parts of the heap share: the epoch, how much is live, the debugging switches, and the hooks through
 * which the heap reaches the collector, which it may not include.
 *
 * epoch counts collections; it changes only while the world is stopped, at the end of a mark, and every span then is
 * unswept. live is the estimate that starts collections: what the last mark found plus what was claimed since, in
 * bytes. It is advanced in steps of a span refill (runtime/mcache.go:refill does the same), never per object. */
#ifndef TRI_HEAP_H
#define TRI_HEAP_H

#include "heap/arena.h"
#include "os/lock.h"

struct tri_cache;

enum { TRI_POISON_BYTE = 0xdb };

typedef struct tri_heap {
  _Atomic(uint32_t) epoch; /* Release at the flip. Relaxed reads suffice: who reads it defers stops or holds the sweep
                               lock, so he is not at it during a flip, and the end of the stop orders the two */
  _Atomic(ptrdiff_t) live; /* relaxed: a statistic that triggers; briefly negative when frees are counted first */
  _Atomic(ptrdiff_t) trigger; /* live at which a collection starts; PTRDIFF_MAX: never */
  /* A mark is on while the program runs: no span is taken apart (gc/collection.c). Set while the world is stopped, when
   * every thread is outside its slow paths, so a relaxed look in these suffices; but it ends at any time, when the mark
   * is given up, so one path looks once. */
  _Atomic(bool) marking;
  bool check;             /* TRICOLOR_DEBUG=check: precision from a type's first object on (heap/layout.c) */
  bool poison;            /* TRICOLOR_DEBUG=poison: overwrite what is swept or freed */
  uint32_t collect_every; /* TRICOLOR_DEBUG=gcevery: collect each so many allocations; 0: off */
  /* Check mode: a bit for each granule where an object was when the mark began (gc/check.c), as far as words go; a slot
   * that is handed out anew loses it. NULL otherwise. Relaxed: read with the world stopped. */
  _Atomic(uint64_t) *remembered;
  size_t remembered_words;
} tri_heap;

extern tri_heap tri_the_heap;

TRI_INLINE uint32_t tri_heap_epoch(void) { return atomic_load_explicit(&tri_the_heap.epoch, memory_order_relaxed); }
TRI_INLINE bool tri_heap_is_marking(void) { return atomic_load_explicit(&tri_the_heap.marking, memory_order_relaxed); }
TRI_INLINE bool tri_heap_wants_collection(void) {
  return atomic_load_explicit(&tri_the_heap.live, memory_order_relaxed) >=
         atomic_load_explicit(&tri_the_heap.trigger, memory_order_relaxed);
}

/* The collector's half: attach is set by the linker (heap/heap.c), out_of_memory by the program (api/control.c), the
 * others when the heap starts (gc/cycle.c). All may block or park the calling thread. */
typedef struct tri_cache *tri_attach_function(void);
typedef struct tri_heap_hooks {
  tri_attach_function *attach;      /* the calling thread's cache; starts the heap if need be; NULL: no memory */
  void (*collect)(void);            /* a collection because the heap has grown; not while stops are deferred */
  void (*assist)(size_t claimed);   /* so many bytes were claimed while a mark is on; not while stops are deferred */
  bool (*collect_for_memory)(void); /* one because memory ran out; false when one just did not help */
  void (*park)(struct tri_cache *); /* a stop was asked for while it was deferred */
  bool (*out_of_memory)(size_t size, int attempt); /* the program's handler; true: try again */
} tri_heap_hooks;
extern tri_heap_hooks tri_the_hooks;

/* The slots of the word of bits that base has are handed out anew. */
TRI_INLINE void tri_heap_forget_slots(uintptr_t base, uint64_t slots) {
  size_t word = tri_granule_of(base) / 64;
  if (tri_unlikely(tri_the_heap.remembered) && word < tri_the_heap.remembered_words)
    atomic_fetch_and_explicit(&tri_the_heap.remembered[word], ~slots, memory_order_relaxed);
}

#endif
