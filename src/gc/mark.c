/* mark.c - the tri-colour mark: white objects have no mark bit, grey ones have it and wait in a buffer (or, when none
 * could be had, in the grey bitmap), black ones are scanned.
 *
 * A marker takes an object from its buffer, asks for its memory ahead of time and lets it ripen in a ring of RING
 * objects, so that several cache misses are under way at once (Cher, Hosking and Vitek, "Software prefetching for
 * mark-sweep garbage collection", 2004; docs/design/collector.md has our figures). A pointer to a slot's start, the
 * usual case, is recognised by its allocation bit alone: only slot starts have bits. Markers share words of mark bits,
 * so these are set by atomic OR; no ordering is needed, since what an object holds was written before the world
 * stopped. Two markers may both find an object white and both scan it, as in Go (runtime/mgcmark.go: greyobject); it is
 * then counted twice.
 *
 * Objects of up to 64 words are scanned by what tri_page_info says of their page, all others the general way, large
 * ones in pieces of 128 KiB, each piece making the next one available to other markers. */
#include "gc/mark.h"

#include "gc/work.h"
#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/object.h"

/* Foreign memory is read word by word, also where the sanitizers know better. */
#define TRI_READS_ANYTHING __attribute__((no_sanitize("address", "thread")))

enum {
  RING = 16,
  NEAR = 64, /* bytes: the same cache line */
  PIECE = 128 * 1024,
  ROOM = 64,                    /* entries: what scanning an object by its page's info may push */
  SHARE_EVERY = 64,             /* turns of the ring between looks at whether others wait; a power of two */
  HELP_WORTH = 2 * 1024 * 1024, /* a mark expected to be smaller than this is done alone */
};

/* The arena's tables do not move and do not grow while the world is stopped. Passed by value, so that their addresses
 * stay in registers whatever is written. */
typedef struct tri_view {
  uintptr_t base;
  size_t used;
  tri_bits *bits;
  const tri_page_info *info;
} tri_view;

typedef struct tri_marker {
  uintptr_t *top, *floor, *limit;  /* the stack of entries in buffer: next free one, first, one past the last */
  tri_work_buffer *buffer, *spare; /* the one worked on, and a full or empty one beside it */
  tri_view view;
  size_t bytes;
  unsigned turn; /* of the ring: where the next entry goes in and the oldest comes out */
  uintptr_t ring[RING];
} tri_marker;

/* An entry of a work buffer is the start of a marked object that its page's info describes; or, with this bit, another
 * object, or the rest of a large one. User addresses end below 2^47. */
#define ENTRY_OTHER (UINT64_C(1) << 63)

static struct {
  int max_markers;
  tri_mark_fault fault;
  _Atomic(int) helpers_started;
  _Atomic(uint32_t) generation; /* futex word: a mark helpers may join. Release; pairs with their acquire */
  _Atomic(int) active;          /* helpers inside a mark. acq_rel: their counts are seen when it reaches 0 */
  tri_root_list roots;
  _Atomic(size_t) next_root;
  _Atomic(bool) overflowed; /* the grey bitmap has bits */
  _Atomic(size_t) bytes;
  _Atomic(uint64_t) cpu;
  _Atomic(int) joined;
} mark TRI_OWN_DATA;

/* ---- grey ---- */

/* No buffer: the object waits in the bitmap, which the coordinator goes through at the end of the round. */
static void put_grey(uintptr_t start) {
  size_t granule = (start - tri_the_arena.base) >> TRI_GRANULE_SHIFT;
  atomic_fetch_or_explicit(&tri_the_arena.grey[granule / 64], 1ull << (granule % 64), memory_order_relaxed);
  atomic_store_explicit(&mark.overflowed, true, memory_order_relaxed);
}

static void buffer_close(tri_marker *marker) { marker->buffer->count = (size_t)(marker->top - marker->floor); }

static void buffer_open(tri_marker *marker, tri_work_buffer *buffer) {
  marker->buffer = buffer;
  marker->floor = buffer->entries;
  marker->limit = buffer->entries + TRI_WORK_ENTRIES;
  marker->top = buffer->entries + buffer->count;
}

/* The buffer is full: goes on with the spare one if that is empty, with a fresh one otherwise. */
static TRI_NOINLINE bool make_room(tri_marker *marker) {
  tri_work_buffer *full = marker->buffer, *empty = marker->spare;
  buffer_close(marker);
  if (!empty || empty->count) {
    empty = tri_work_new();
    if (!empty) return marker->top + ROOM <= marker->limit;
    if (marker->spare) tri_work_share(marker->spare);
  }
  marker->spare = full;
  buffer_open(marker, empty);
  return true;
}

static TRI_NOINLINE bool use_spare(tri_marker *marker) {
  if (!marker->spare || marker->spare->count == 0) return false;
  buffer_close(marker);
  tri_work_buffer *empty = marker->buffer;
  buffer_open(marker, marker->spare);
  marker->spare = empty;
  return true;
}

/* ---- marking one object ---- */

TRI_INLINE const tri_page_info *info_of(tri_view view, uintptr_t address) {
  return &view.info[(address - view.base) >> TRI_PAGE_SHIFT];
}

TRI_INLINE uint32_t kind_of(tri_view view, uintptr_t address) {
  return atomic_load_explicit(&info_of(view, address)->kind, memory_order_relaxed);
}

TRI_INLINE uint64_t pointers_of(tri_view view, uintptr_t address) {
  return atomic_load_explicit(&info_of(view, address)->pointers, memory_order_relaxed);
}

static size_t size_of(uint32_t kind, uintptr_t start) {
  return kind & TRI_KIND_LARGE ? tri_span_of(start)->slot_size : tri_size_classes[tri_kind_class(kind)].size;
}

/* False when it was marked already. */
static bool set_mark(uintptr_t start) {
  uint64_t bit = tri_bit_mask(start);
  return !(atomic_fetch_or_explicit(&tri_arena_bits(start)->mark, bit, memory_order_relaxed) & bit);
}

/* The start of the object that address lies in; 0 when there is none. */
static uintptr_t object_around(tri_view view, uintptr_t address) {
  uint32_t kind = kind_of(view, address);
  uintptr_t start = kind & TRI_KIND_IN_USE ? tri_object_slot_start(address, kind) : 0;
  return start && tri_slot_is_allocated(start) ? start : 0;
}

/* shade for interior pointers, pointer-free objects and those that page info does not describe. Returns the entry to
 * push, or 0. */
static TRI_NOINLINE uintptr_t shade_other(tri_marker *marker, uintptr_t address) {
  uintptr_t start = object_around(marker->view, address);
  if (!start || !set_mark(start)) return 0;
  uint32_t kind = kind_of(marker->view, start);
  if (!(kind & TRI_KIND_NOSCAN)) return pointers_of(marker->view, start) ? start : start | ENTRY_OTHER;
  marker->bytes += size_of(kind, start);
  return 0;
}

/* Marks what word points to, if it points into the heap at all, and pushes it if it is new and has pointers. There is
 * room at top. Returns the new top. */
TRI_INLINE uintptr_t *shade(tri_view view, tri_marker *marker, uintptr_t *top, uintptr_t word) {
  size_t offset = word - view.base;
  if (offset >= view.used) return top;
  tri_bits *bits = &view.bits[offset >> TRI_BITS_SHIFT];
  uint64_t bit = tri_bit_mask(offset);
  bool start = !(offset & (TRI_GRANULE - 1)) && (atomic_load_explicit(&bits->alloc, memory_order_relaxed) & bit);
  if (tri_likely(start)) {
    if (atomic_load_explicit(&bits->mark, memory_order_relaxed) & bit) return top;
    if (tri_likely(pointers_of(view, word))) {
      (void)atomic_fetch_or_explicit(&bits->mark, bit, memory_order_relaxed);
      *top = word;
      return top + 1;
    }
  }
  uintptr_t entry = shade_other(marker, word);
  *top = entry;
  return top + (entry != 0);
}

/* No buffer can be had: what word points to waits in the grey bitmap. */
static TRI_NOINLINE void shade_to_bitmap(tri_marker *marker, uintptr_t word) {
  bool ours = word - marker->view.base < marker->view.used;
  uintptr_t entry = ours ? shade_other(marker, word) : 0;
  if (entry) put_grey(entry & ~ENTRY_OTHER);
}

/* For whoever has not made sure of room. */
static void shade_word(tri_marker *marker, uintptr_t word) {
  if (tri_likely(marker->top != marker->limit) || make_room(marker))
    marker->top = shade(marker->view, marker, marker->top, word);
  else
    shade_to_bitmap(marker, word);
}

/* A root may be an end pointer: where a slot starts, the object before it may end. */
static void shade_root(tri_marker *marker, uintptr_t word) {
  shade_word(marker, word);
  if (!(word & (TRI_GRANULE - 1)) && tri_object_may_end_at(word)) shade_word(marker, word - 1);
}

/* ---- scanning ---- */

TRI_READS_ANYTHING static void scan_conservative(tri_marker *marker, uintptr_t low, uintptr_t high) {
  for (const uintptr_t *word = (const uintptr_t *)low; word < (const uintptr_t *)high; word++)
    shade_word(marker, *word);
}

/* Words [from, to) of an object of the layout that starts at start. */
TRI_READS_ANYTHING static void scan_typed(tri_marker *marker, uintptr_t start, size_t from, size_t to,
                                          const tri_layout *layout) {
  const uintptr_t *words = (const uintptr_t *)start;
  size_t element = from / layout->element_words * layout->element_words;
  for (; element < to; element += layout->element_words)
    for (size_t i = 0; i < layout->map_words; i++)
      for (uint64_t map = layout->map[i]; map; map &= map - 1) {
        size_t index = element + i * 64 + (size_t)__builtin_ctzll(map);
        if (tri_likely(index >= from && index < to)) shade_word(marker, words[index]);
      }
}

/* An object that page info does not describe, from `at` on: all of it, or the next piece of a large one. */
static TRI_NOINLINE void scan_other(tri_marker *marker, uintptr_t at) {
  uint32_t kind = kind_of(marker->view, at), layout = tri_kind_layout(kind);
  uintptr_t start = kind & TRI_KIND_LARGE ? tri_span_of(at)->start : at;
  size_t size = size_of(kind, at);
  uintptr_t end = start + size, to = tri_min(end, at + PIECE);
  if (at == start) marker->bytes += size;
  if (to < end) {
    if (marker->top != marker->limit || make_room(marker))
      *marker->top++ = to | ENTRY_OTHER;
    else
      put_grey(to);
  }
  if (layout == TRI_LAYOUT_CONSERVATIVE)
    scan_conservative(marker, at, to);
  else
    scan_typed(marker, start, (at - start) / 8, (to - start) / 8, tri_layout_get(layout));
}

/* An object that page info describes. There is room for all its pointers at top; returns the new top. */
TRI_READS_ANYTHING TRI_INLINE uintptr_t *scan(tri_view view, tri_marker *marker, uintptr_t *top, uintptr_t start) {
  uint64_t pointers = pointers_of(view, start);
  do {
    top = shade(view, marker, top, ((const uintptr_t *)start)[__builtin_ctzll(pointers)]);
    pointers &= pointers - 1;
  } while (pointers);
  return top;
}

TRI_READS_ANYTHING static void scan_root(tri_marker *marker, const tri_root *root) {
  if (root->kind == TRI_ROOT_WORD) {
    shade_root(marker, root->low);
    return;
  }
  for (const uintptr_t *word = (const uintptr_t *)root->low; word < (const uintptr_t *)root->high; word++)
    if (tri_unlikely(*word - marker->view.base <= marker->view.used)) shade_root(marker, *word);
}

/* ---- a marker's work ---- */

/* Gives half of what is at hand to markers that wait: the older half, whose objects have more below them. */
static void share_half(tri_marker *marker) {
  if (marker->spare && marker->spare->count) {
    tri_work_share(marker->spare);
    marker->spare = NULL;
    return;
  }
  size_t held = (size_t)(marker->top - marker->floor), given = held / 2;
  tri_work_buffer *half = given ? tri_work_new() : NULL;
  if (!half) return;
  for (size_t i = 0; i < given; i++) half->entries[i] = marker->floor[i];
  half->count = given;
  for (size_t i = given; i < held; i++) marker->floor[i - given] = marker->floor[i];
  marker->top -= given;
  tri_work_share(half);
}

/* The buffer is empty: something from the spare one, or else the oldest entry of the ring. 0: nothing is left. */
static TRI_NOINLINE uintptr_t find_entry(tri_marker *marker) {
  if (use_spare(marker)) return *--marker->top;
  for (int i = 0; i < RING; i++) {
    uintptr_t *place = &marker->ring[marker->turn++ % RING];
    uintptr_t entry = *place;
    *place = 0;
    if (entry) return entry;
  }
  return 0;
}

/* Asks for the memory of the entry's object, puts it into the ring and takes out the oldest, which is 0 while the ring
 * fills. */
TRI_INLINE uintptr_t exchange(tri_marker *marker, uintptr_t entry) {
  __builtin_prefetch((const void *)entry);
  unsigned turn = marker->turn++;
  uintptr_t oldest = marker->ring[turn % RING];
  marker->ring[turn % RING] = entry;
  return oldest;
}

/* An entry that is not simply scanned: nothing, an object that page info does not describe, or no room for what an
 * object may push. */
static TRI_NOINLINE void take_other(tri_marker *marker, uintptr_t entry) {
  if (entry & ENTRY_OTHER)
    scan_other(marker, entry & ~ENTRY_OTHER);
  else if (entry && make_room(marker))
    *marker->top++ = entry; /* to be popped again */
  else if (entry)
    put_grey(entry);
}

/* Until nothing of its own is left. Entries far from the last object scanned wait in the ring while their memory is
 * fetched; those in the same cache line, made one after the other, are scanned at once, which keeps to the order of a
 * depth-first walk, and so of memory. top and bytes are kept in registers. */
static void drain(tri_marker *marker) {
  const tri_view view = marker->view;
  uintptr_t *top = marker->top, last = 0;
  size_t bytes = 0;
  for (;;) {
    uintptr_t entry;
    if (tri_likely(top != marker->floor)) {
      entry = *--top;
      if ((entry ^ last) >= NEAR) {
        entry = exchange(marker, entry);
        if (tri_unlikely(marker->turn % SHARE_EVERY == 0) && tri_work_is_wanted()) {
          marker->top = top;
          share_half(marker);
          top = marker->top;
        }
      }
    } else {
      marker->top = top;
      entry = find_entry(marker);
      top = marker->top;
      if (!entry) break;
    }
    last = entry;
    if (tri_unlikely((intptr_t)entry <= 0 || marker->limit - top < ROOM)) {
      marker->top = top;
      take_other(marker, entry);
      top = marker->top;
      continue;
    }
    bytes += atomic_load_explicit(&info_of(view, entry)->slot_size, memory_order_relaxed);
    top = scan(view, marker, top, entry);
  }
  marker->bytes += bytes;
}

static void scan_roots(tri_marker *marker) {
  size_t index;
  while ((index = atomic_fetch_add_explicit(&mark.next_root, 1, memory_order_relaxed)) < mark.roots.count) {
    if (mark.fault == TRI_FAULT_ROOT && mark.roots.roots[index].kind == TRI_ROOT_STACK) continue;
    scan_root(marker, &mark.roots.roots[index]);
  }
}

/* Takes shared buffers until the mark is over. */
static void drain_all(tri_marker *marker) {
  for (;;) {
    drain(marker);
    tri_work_buffer *taken = tri_work_take();
    if (!taken) return;
    tri_work_recycle(marker->buffer);
    buffer_open(marker, taken);
  }
}

static bool marker_begin(tri_marker *marker) {
  tri_work_buffer *buffer = tri_work_new();
  if (!buffer) return false;
  *marker = (tri_marker){.view = {.base = tri_the_arena.base,
                                  .used = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed),
                                  .bits = tri_the_arena.bits,
                                  .info = tri_the_arena.info}};
  buffer_open(marker, buffer);
  return true;
}

static void marker_end(tri_marker *marker, uint64_t cpu_start) {
  tri_work_recycle(marker->buffer);
  if (marker->spare) tri_work_recycle(marker->spare);
  atomic_fetch_add_explicit(&mark.bytes, marker->bytes, memory_order_relaxed);
  atomic_fetch_add_explicit(&mark.cpu, tri_os_thread_cpu() - cpu_start, memory_order_relaxed);
}

/* ---- helpers ---- */

static void help(void) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  if (!marker_begin(&marker)) return;
  if (tri_work_join()) {
    atomic_fetch_add_explicit(&mark.joined, 1, memory_order_relaxed);
    scan_roots(&marker);
    drain_all(&marker);
  }
  marker_end(&marker, cpu_start);
}

static void helper_main(void *argument) {
  (void)argument;
  uint32_t seen = atomic_load_explicit(&mark.generation, memory_order_acquire) - 1;
  for (;;) {
    uint32_t generation;
    while ((generation = atomic_load_explicit(&mark.generation, memory_order_acquire)) == seen)
      tri_os_wait(&mark.generation, seen, 0);
    seen = generation;
    /* seq_cst: a helper late for its mark sees it over, or wait_for_helpers sees the helper. So none touches buffers
     * between marks, when the process may fork. */
    atomic_fetch_add_explicit(&mark.active, 1, memory_order_seq_cst);
    if (!tri_work_is_over()) help();
    atomic_fetch_sub_explicit(&mark.active, 1, memory_order_acq_rel);
  }
}

void tri_mark_start_helpers(size_t marked_bytes) {
  int wanted = mark.max_markers - 1;
  if (marked_bytes < HELP_WORTH ||
      atomic_exchange_explicit(&mark.helpers_started, wanted, memory_order_relaxed) == wanted)
    return;
  for (int i = 0; i < wanted; i++) tri_thread_start_own(helper_main, NULL, "tricolor-mark");
}

static void call_helpers(void) {
  atomic_fetch_add_explicit(&mark.generation, 1, memory_order_release);
  tri_os_wake(&mark.generation, INT32_MAX);
}

/* A helper that woke late finds the mark over and leaves; all are gone when this returns, and none comes back before
 * the next call, except to find it over again. */
static void wait_for_helpers(void) {
  while (atomic_load_explicit(&mark.active, memory_order_seq_cst)) tri_os_relax();
}

/* ---- a whole mark ---- */

/* Objects that overflowed into the grey bitmap, scanned and followed by the coordinator alone. */
static void drain_grey(tri_marker *marker) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) / TRI_GRANULE / 64;
  for (size_t i = 0; i < words; i++) {
    uint64_t bits = atomic_exchange_explicit(&tri_the_arena.grey[i], 0, memory_order_relaxed);
    for (; bits; bits &= bits - 1) {
      uintptr_t at = tri_the_arena.base + ((i * 64 + (size_t)__builtin_ctzll(bits)) << TRI_GRANULE_SHIFT);
      *marker->top++ = pointers_of(marker->view, at) ? at : at | ENTRY_OTHER;
      drain(marker);
    }
  }
}

static void mark_round(bool first, bool with_help) {
  uint64_t cpu_start = tri_os_thread_cpu();
  tri_marker marker;
  while (!marker_begin(&marker)) tri_os_yield(); /* tri_mark_init made one; a late helper has it for a moment */
  tri_work_begin();
  if (with_help) call_helpers();
  if (first)
    scan_roots(&marker);
  else
    drain_grey(&marker);
  drain_all(&marker);
  wait_for_helpers();
  marker_end(&marker, cpu_start);
}

/* The fault that check mode is shown to catch: a marked object loses its mark though another one points to it. */
TRI_READS_ANYTHING static bool lose_child_of(uintptr_t start) {
  uint64_t pointers = atomic_load_explicit(&tri_the_arena.info[tri_arena_page(start)].pointers, memory_order_relaxed);
  for (; pointers; pointers &= pointers - 1) {
    uintptr_t child = ((const uintptr_t *)start)[__builtin_ctzll(pointers)];
    if (child == start || !tri_arena_has(child) || child % TRI_GRANULE || !tri_mark_is_set(child)) continue;
    atomic_fetch_and_explicit(&tri_arena_bits(child)->mark, ~tri_bit_mask(child), memory_order_relaxed);
    return true;
  }
  return false;
}

static void lose_child(void) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_BITS_SHIFT;
  for (size_t i = 0; i < words; i++)
    for (uint64_t marks = atomic_load_explicit(&tri_the_arena.bits[i].mark, memory_order_relaxed); marks;
         marks &= marks - 1)
      if (lose_child_of(tri_the_arena.base + ((i * 64 + (size_t)__builtin_ctzll(marks)) << TRI_GRANULE_SHIFT))) return;
}

tri_mark_result tri_mark_run(tri_root_list roots, size_t expected_bytes) {
  mark.roots = roots;
  atomic_store_explicit(&mark.next_root, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.bytes, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.joined, 0, memory_order_relaxed);
  bool with_help = expected_bytes + roots.data_bytes >= HELP_WORTH;
  mark_round(true, with_help);
  while (atomic_exchange_explicit(&mark.overflowed, false, memory_order_relaxed)) mark_round(false, with_help);
  if (tri_unlikely(mark.fault == TRI_FAULT_CHILD)) lose_child();
  return (tri_mark_result){.marked_bytes = atomic_load_explicit(&mark.bytes, memory_order_relaxed),
                           .cpu_ns = atomic_load_explicit(&mark.cpu, memory_order_relaxed),
                           .markers = 1 + atomic_load_explicit(&mark.joined, memory_order_relaxed)};
}

bool tri_mark_init(int markers, tri_mark_fault fault) {
  mark.max_markers = markers;
  mark.fault = fault;
  tri_work_buffer *buffer = tri_work_new();
  if (buffer) tri_work_recycle(buffer);
  return buffer != NULL;
}

void tri_mark_after_fork_child(void) {
  atomic_store_explicit(&mark.helpers_started, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.active, 0, memory_order_relaxed);
}
