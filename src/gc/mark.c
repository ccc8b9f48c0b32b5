/* mark.c - the tri-colour mark: white objects have no mark bit, grey ones have it and wait in a buffer (or, when none
 * could be had, in the grey bitmap), black ones are scanned.
 *
 * A marker takes an object from its buffer, asks for its memory ahead of time and lets it ripen in a ring of RING
 * objects, so that several cache misses are under way at once (Cher, Hosking and Vitek, "Software prefetching for
 * mark-sweep garbage collection", 2004; docs/design/mark.md has our figures). A pointer to a slot's start, the usual
 * case, is recognised by its allocation bit alone: only slot starts have bits. Mark bits are set by atomic OR, for
 * markers share words; no ordering is needed, since what an object holds was written before the world stopped.
 *
 * Large objects are scanned in pieces of 128 KiB, each piece making the next one available to other markers. */
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
  SHARE_EVERY = 64,             /* objects between looks at whether others wait */
  HELP_WORTH = 2 * 1024 * 1024, /* a mark expected to be smaller than this is done alone */
};

/* The arena's tables do not move and do not grow while the world is stopped. Passed by value, so that their addresses
 * stay in registers whatever is written. */
typedef struct tri_view {
  uintptr_t base;
  size_t used;
  tri_page_bits *bits;
  const _Atomic(uint32_t) *kinds;
} tri_view;

typedef struct tri_marker {
  uintptr_t *top, *floor, *limit;  /* the stack of entries in buffer: next free one, first, one past the last */
  tri_work_buffer *buffer, *spare; /* the one worked on, and a full or empty one beside it */
  tri_view view;
  size_t bytes, objects;
} tri_marker;

/* An entry of a work buffer: the address of an object, or of the rest of a large one; above it the size class and the
 * layout of a small object, so that scanning it needs no look-up; or, in bit 0, that there is more to look up. Objects
 * start at multiples of 16 and user addresses end below 2^47. */
enum { ENTRY_CLASS_SHIFT = 48, ENTRY_LAYOUT_SHIFT = 55, ENTRY_OTHER = 1 };
#define ENTRY_ADDRESS ((UINT64_C(1) << ENTRY_CLASS_SHIFT) - TRI_GRANULE)
_Static_assert(TRI_CLASS_COUNT <= 1 << (ENTRY_LAYOUT_SHIFT - ENTRY_CLASS_SHIFT) &&
                   (int)TRI_LAYOUT_SHORT <= 1 << (64 - ENTRY_LAYOUT_SHIFT),
               "class and layout fit above the address");

static struct {
  int max_markers;
  tri_mark_fault fault;
  _Atomic(int) helpers_started;
  _Atomic(uint32_t) generation; /* futex word: a mark helpers may join. Release; pairs with their acquire */
  _Atomic(int) active;          /* helpers inside a mark. acq_rel: their counts are seen when it reaches 0 */
  tri_root_list roots;
  _Atomic(size_t) next_root;
  _Atomic(bool) overflowed; /* the grey bitmap has bits */
  _Atomic(bool) fault_done;
  _Atomic(size_t) bytes, objects;
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
    if (!empty) return false;
    if (marker->spare) tri_work_share(marker->spare);
  }
  marker->spare = full;
  buffer_open(marker, empty);
  return true;
}

TRI_INLINE void push(tri_marker *marker, uintptr_t entry) {
  if (tri_unlikely(marker->top == marker->limit) && !make_room(marker)) {
    put_grey(entry & ENTRY_ADDRESS);
    return;
  }
  *marker->top++ = entry;
}

static TRI_NOINLINE bool use_spare(tri_marker *marker) {
  if (!marker->spare || marker->spare->count == 0) return false;
  buffer_close(marker);
  tri_work_buffer *empty = marker->buffer;
  buffer_open(marker, marker->spare);
  marker->spare = empty;
  return true;
}

/* An entry of this marker's own, or 0. */
TRI_INLINE uintptr_t pop(tri_marker *marker) {
  if (tri_unlikely(marker->top == marker->floor) && !use_spare(marker)) return 0;
  return *--marker->top;
}

/* ---- marking one object ---- */

/* False when it was marked already. */
TRI_INLINE bool set_mark(_Atomic(uint64_t) *word, uint64_t bit) {
  if (atomic_load_explicit(word, memory_order_relaxed) & bit) return false;
  return !(atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit);
}

TRI_INLINE size_t size_of_kind(uint32_t kind, uintptr_t start) {
  if (tri_unlikely(kind & TRI_KIND_LARGE)) return tri_span_of(start)->slot_size;
  return tri_size_classes[tri_kind_class(kind)].size;
}

TRI_INLINE uint32_t kind_of(tri_view view, uintptr_t address) {
  return atomic_load_explicit(&view.kinds[(address - view.base) >> TRI_PAGE_SHIFT], memory_order_relaxed);
}

static bool lose_child(void) {
  return mark.fault == TRI_FAULT_CHILD && !atomic_exchange_explicit(&mark.fault_done, true, memory_order_relaxed);
}

static TRI_NOINLINE void count_noscan(tri_marker *marker, uintptr_t start, uint32_t kind) {
  marker->bytes += size_of_kind(kind, start);
  marker->objects++;
}

/* What the entry of an object says besides its address: the size class, or that there is more to look up. */
TRI_INLINE uintptr_t entry_for(uintptr_t start, uint32_t kind) {
  uint32_t layout = tri_kind_layout(kind);
  if (tri_unlikely((kind & TRI_KIND_LARGE) || layout >= TRI_LAYOUT_SHORT)) return start | ENTRY_OTHER;
  return start | (uintptr_t)tri_kind_class(kind) << ENTRY_CLASS_SHIFT | (uintptr_t)layout << ENTRY_LAYOUT_SHIFT;
}

/* start is the start of an allocated slot, word and bit are its mark's. */
TRI_INLINE void shade(tri_view view, tri_marker *marker, uintptr_t start, _Atomic(uint64_t) *word, uint64_t bit) {
  if (!set_mark(word, bit)) return;
  uint32_t kind = kind_of(view, start);
  if (kind & TRI_KIND_NOSCAN)
    count_noscan(marker, start, kind);
  else
    push(marker, entry_for(start, kind));
}

/* Not a slot's start: find the slot. */
static TRI_NOINLINE void shade_interior(tri_marker *marker, uintptr_t address) {
  uint32_t kind = kind_of(marker->view, address);
  if (!(kind & TRI_KIND_IN_USE)) return;
  uintptr_t start = tri_object_slot_start(address, kind);
  if (start && tri_slot_is_allocated(start))
    shade(marker->view, marker, start, &tri_arena_bits(start)->mark[tri_bit_word(start)], tri_bit_mask(start));
}

/* Marks what address points to, if it points into the heap at all. */
TRI_INLINE void shade_word(tri_view view, tri_marker *marker, uintptr_t address) {
  size_t offset = address - view.base;
  if (offset >= view.used) return;
  tri_page_bits *bits = &view.bits[offset >> TRI_PAGE_SHIFT];
  unsigned word = tri_bit_word(offset);
  uint64_t bit = tri_bit_mask(offset);
  bool start = !(offset & (TRI_GRANULE - 1)) && (atomic_load_explicit(&bits->alloc[word], memory_order_relaxed) & bit);
  if (tri_likely(start))
    shade(view, marker, address, &bits->mark[word], bit);
  else
    shade_interior(marker, address);
}

/* A root may be an end pointer: where a slot starts, the object before it ends. */
static void shade_root(tri_marker *marker, uintptr_t word) {
  shade_word(marker->view, marker, word);
  if (!(word & (TRI_GRANULE - 1)) && word - 1 - marker->view.base < marker->view.used) shade_interior(marker, word - 1);
}

/* ---- scanning ---- */

TRI_READS_ANYTHING TRI_INLINE void scan_conservative(tri_view view, tri_marker *marker, uintptr_t low, uintptr_t high) {
  for (const uintptr_t *word = (const uintptr_t *)low; word < (const uintptr_t *)high; word++)
    shade_word(view, marker, *word);
}

/* Words [from, to) of an object of the layout that starts at start. */
TRI_READS_ANYTHING static void scan_typed(tri_view view, tri_marker *marker, uintptr_t start, size_t from, size_t to,
                                          const tri_layout *layout) {
  const uintptr_t *words = (const uintptr_t *)start;
  size_t element = from / layout->element_words * layout->element_words;
  for (; element < to; element += layout->element_words)
    for (size_t i = 0; i < layout->map_words; i++)
      for (uint64_t map = layout->map[i]; map; map &= map - 1) {
        size_t index = element + i * 64 + (size_t)__builtin_ctzll(map);
        if (tri_likely(index >= from && index < to)) shade_word(view, marker, words[index]);
      }
}

/* Maps of one word, by far the most, without the bounds that pieces need. */
TRI_READS_ANYTHING TRI_INLINE void scan_short(tri_view view, tri_marker *marker, uintptr_t start, size_t size,
                                              tri_layout_short layout) {
  for (uintptr_t end = start + size; start + layout.bytes <= end; start += layout.bytes)
    for (uint64_t map = layout.map; map; map &= map - 1)
      shade_word(view, marker, ((const uintptr_t *)start)[__builtin_ctzll(map)]);
}

static void scan_large(tri_marker *marker, uintptr_t at, uint32_t layout) {
  const tri_span *span = tri_span_of(at);
  uintptr_t end = span->start + span->slot_size, to = tri_min(end, at + PIECE);
  if (at == span->start) {
    marker->bytes += span->slot_size;
    marker->objects++;
  }
  if (to < end) push(marker, to | ENTRY_OTHER);
  if (layout == TRI_LAYOUT_CONSERVATIVE)
    scan_conservative(marker->view, marker, at, to);
  else
    scan_typed(marker->view, marker, span->start, (at - span->start) / 8, (to - span->start) / 8,
               tri_layout_get(layout));
}

/* Objects that an entry does not describe: large ones, those with long maps, and those from the grey bitmap. */
static TRI_NOINLINE void scan_other(tri_marker *marker, uintptr_t start) {
  tri_view view = marker->view;
  uint32_t kind = kind_of(view, start);
  uint32_t layout = tri_kind_layout(kind);
  if (kind & TRI_KIND_LARGE) {
    scan_large(marker, start, layout);
    return;
  }
  size_t size = tri_size_classes[tri_kind_class(kind)].size;
  marker->bytes += size;
  marker->objects++;
  if (layout == TRI_LAYOUT_CONSERVATIVE)
    scan_conservative(view, marker, start, start + size);
  else
    scan_typed(view, marker, start, 0, size / 8, tri_layout_get(layout));
}

TRI_READS_ANYTHING TRI_INLINE void scan(tri_view view, tri_marker *marker, uintptr_t entry) {
  uintptr_t start = entry & ENTRY_ADDRESS;
  size_t layout = entry >> ENTRY_LAYOUT_SHIFT;
  if (tri_unlikely(mark.fault == TRI_FAULT_CHILD) && lose_child()) return;
  if (tri_unlikely((entry & ENTRY_OTHER) || (layout && !tri_layout_shorts[layout].bytes))) {
    scan_other(marker, start);
    return;
  }
  size_t size = tri_size_classes[entry >> ENTRY_CLASS_SHIFT & 127].size;
  marker->bytes += size;
  marker->objects++;
  if (layout == TRI_LAYOUT_CONSERVATIVE)
    scan_conservative(view, marker, start, start + size);
  else
    scan_short(view, marker, start, size, tri_layout_shorts[layout]);
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

/* Gives half of what is at hand to markers that wait. */
static void share_half(tri_marker *marker) {
  if (marker->spare && marker->spare->count) {
    tri_work_share(marker->spare);
    marker->spare = NULL;
    return;
  }
  size_t count = (size_t)(marker->top - marker->floor) / 2;
  tri_work_buffer *half = count ? tri_work_new() : NULL;
  if (!half) return;
  marker->top -= count;
  for (size_t i = 0; i < count; i++) half->entries[i] = marker->top[i];
  half->count = count;
  tri_work_share(half);
}

/* Whether b will be in the cache because a was just read: objects made one after the other are found so. */
TRI_INLINE bool is_near(uintptr_t a, uintptr_t b) { return ((a ^ b) & ENTRY_ADDRESS) < NEAR; }

/* Until nothing of its own is left. Entries far from the last object scanned wait in the ring while their memory is
 * fetched; near ones are scanned at once, which keeps to the order of a depth-first walk, and so of memory. */
TRI_READS_ANYTHING static void drain(tri_marker *marker) {
  tri_view view = marker->view;
  uintptr_t ring[RING] = {0}, last = 0;
  unsigned head = 0, tail = 0, since = 0;
  for (;;) {
    uintptr_t entry = pop(marker);
    if (tri_unlikely(!entry)) {
      if (head == tail) return;
      entry = ring[head++ % RING];
    } else if (!is_near(entry, last)) {
      __builtin_prefetch((const void *)(entry & ENTRY_ADDRESS));
      uintptr_t oldest = ring[head % RING];
      ring[tail++ % RING] = entry;
      if (tail - head <= RING) continue;
      head++;
      entry = oldest;
    }
    last = entry;
    scan(view, marker, entry);
    if (tri_unlikely(++since >= SHARE_EVERY)) {
      since = 0;
      if (tri_work_is_wanted()) share_half(marker);
    }
  }
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
                                  .kinds = tri_the_arena.kinds}};
  buffer_open(marker, buffer);
  return true;
}

static void marker_end(tri_marker *marker, uint64_t cpu_start) {
  tri_work_recycle(marker->buffer);
  if (marker->spare) tri_work_recycle(marker->spare);
  atomic_fetch_add_explicit(&mark.bytes, marker->bytes, memory_order_relaxed);
  atomic_fetch_add_explicit(&mark.objects, marker->objects, memory_order_relaxed);
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
      scan_other(marker, tri_the_arena.base + ((i * 64 + (size_t)__builtin_ctzll(bits)) << TRI_GRANULE_SHIFT));
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

tri_mark_result tri_mark_run(tri_root_list roots, size_t expected_bytes) {
  mark.roots = roots;
  atomic_store_explicit(&mark.next_root, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.bytes, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.objects, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.cpu, 0, memory_order_relaxed);
  atomic_store_explicit(&mark.joined, 0, memory_order_relaxed);
  bool with_help = expected_bytes + roots.data_bytes >= HELP_WORTH;
  mark_round(true, with_help);
  while (atomic_exchange_explicit(&mark.overflowed, false, memory_order_relaxed)) mark_round(false, with_help);
  return (tri_mark_result){.marked_bytes = atomic_load_explicit(&mark.bytes, memory_order_relaxed),
                           .marked_objects = atomic_load_explicit(&mark.objects, memory_order_relaxed),
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
