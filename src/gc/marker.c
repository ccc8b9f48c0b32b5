/* marker.c - one marker at work: white objects have no mark bit, grey ones have it and wait in a buffer (or, when none
 * could be had, in the grey bitmap), black ones are scanned.
 *
 * A marker takes an object from its buffer, asks for its memory ahead of time and lets it ripen in a ring of RING
 * objects, so that several cache misses are under way at once (Cher, Hosking and Vitek, "Software prefetching for
 * mark-sweep garbage collection", 2004; docs/design/collector.md has our figures). A pointer to a slot's start, the
 * usual case, is recognised by its allocation bit alone: only slot starts have bits, and only one to the middle of a
 * granule needs a second look. Markers share words of mark bits,
 * so these are set by atomic OR. Two markers may both find an object white and both scan it, as in Go
 * (runtime/mgcmark.go: greyobject); it is then counted twice.
 *
 * Objects of up to 64 words are scanned by what tri_page_info says of their page, all others the general way, large
 * ones in pieces of 8 KiB, each piece making the next one available to other markers.
 *
 * THE PROGRAM MAY RUN MEANWHILE. Words are then read while they are written: whole, for they are aligned, and whatever
 * a marker reads, what the program writes after it makes the page dirty (gc/watch.h). What is marked stays as it is
 * until the mark is over: no span is taken apart, so an entry always is the start of a slot. An object the marker does
 * not know yet, because it is new, is white, and found again from what is dirty. No other order is needed, except that
 * dirty pages are armed again only while no marker is at work (cycle.c): it could have read an object, yet not shown
 * its mark. */
#include "gc/marker.h"

#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/object.h"

/* Foreign memory is read word by word, also where the sanitizers know better. */
#define TRI_READS_ANYTHING __attribute__((no_sanitize("address", "thread")))

enum {
  NEAR = 64,        /* bytes: the same cache line */
  PIECE = 8 * 1024, /* of a large object */
  ROOM = 64,        /* entries: what scanning an object by its page's info may push */
  BATCH = 256,      /* words held back while their mark bits are fetched; at least two objects' */
  SHARE_EVERY = 64, /* turns of the ring between looks at whether others wait; a power of two */
  TELL_EVERY = 512, /* turns between reports of what is done; a multiple of that */
};

/* An entry of a work buffer is the start of a marked object that its page's info describes; or, with this bit, another
 * object, or the rest of a large one. User addresses end below 2^47. */
#define ENTRY_OTHER (UINT64_C(1) << 63)

static _Atomic(size_t) done TRI_OWN_DATA; /* relaxed: a figure */
static _Atomic(bool)
    overflowed TRI_OWN_DATA; /* the grey bitmap has bits. Release, after a bit; acquire before they are looked for */

/* ---- grey ---- */

/* No buffer: the object waits in the bitmap, which the coordinator goes through at the end of the round. */
static void put_grey(uintptr_t start) {
  size_t granule = tri_granule_of(start);
  atomic_fetch_or_explicit(&tri_the_arena.grey[granule / 64], 1ull << (granule % 64), memory_order_relaxed);
  atomic_store_explicit(&tri_the_arena.grey_used, true, memory_order_relaxed);
  atomic_store_explicit(&overflowed, true, memory_order_release);
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

/* ---- marking one object ---- */

/* Once, and whole: the program may be writing it. */
TRI_READS_ANYTHING TRI_INLINE uintptr_t peek(const uintptr_t *word) { return *(const volatile uintptr_t *)word; }

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

TRI_INLINE size_t slot_size_of(tri_view view, uintptr_t address) {
  return atomic_load_explicit(&info_of(view, address)->slot_size, memory_order_relaxed);
}

TRI_INLINE tri_bits *bits_of(tri_view view, uintptr_t start) {
  return &view.bits[(start + TRI_GRANULE / 2 - view.base) >> TRI_BITS_SHIFT];
}

/* The page has marks. */
TRI_INLINE void note_page(tri_view view, uintptr_t address) {
  size_t page = (address - view.base) >> TRI_PAGE_SHIFT;
  _Atomic(uint64_t) *word = &view.marked_pages[page / 64];
  uint64_t bit = UINT64_C(1) << (page % 64);
  if (tri_unlikely(!(atomic_load_explicit(word, memory_order_relaxed) & bit)))
    atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
}

/* Those of an object that page info describes: two at most. */
TRI_INLINE void note_pages(tri_view view, uintptr_t start, size_t size) {
  uintptr_t last = start + size - 1;
  note_page(view, start);
  if (tri_unlikely((start ^ last) >> TRI_PAGE_SHIFT)) note_page(view, last);
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
  size_t size = size_of(kind, start);
  if (kind & TRI_KIND_NOSCAN) {
    marker->bytes += size;
    return 0;
  }
  tri_note_marked_pages(tri_arena_page(start), tri_arena_page(start + size - 1) + 1);
  return pointers_of(marker->view, start) ? start : start | ENTRY_OTHER;
}

/* Marks what word points to, if it points into the heap at all, and pushes it if it is new and has pointers. There is
 * room at top. Returns the new top.
 *
 * The bit of an address that is a multiple of 8 is that of the slot that starts there, if one does. If none does, a
 * pointer to a granule finds the bit of the odd slot that it lies in, which starts 8 bytes before, or none; one to the
 * middle of a granule may find the next slot's, and has to be looked at. */
TRI_INLINE uintptr_t *shade(tri_view view, tri_marker *marker, uintptr_t *top, uintptr_t word) {
  size_t offset = word - view.base;
  if (offset >= view.used) return top;
  tri_bits *bits = bits_of(view, word);
  uint64_t bit = tri_bit_mask(offset);
  bool found = offset % 8 == 0 && (atomic_load_explicit(&bits->alloc, memory_order_acquire) & bit);
  if (tri_likely(found)) {
    bool marked = atomic_load_explicit(&bits->mark, memory_order_relaxed) & bit, middle = offset % TRI_GRANULE;
    if (marked && !middle) return top;
    size_t size = slot_size_of(view, word);
    bool start = (!middle) | ((size == TRI_ODD_SIZE) & tri_is_odd_start(word));
    if (tri_likely(start) && tri_likely(pointers_of(view, word))) {
      if (marked) return top;
      (void)atomic_fetch_or_explicit(&bits->mark, bit, memory_order_relaxed);
      if (!middle) word = tri_slot_at_granule(word, size);
      note_pages(view, word, size);
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

/* Whether the slot that ends at word, if one does, is free or marked already; false when that takes a longer look. */
TRI_INLINE bool is_settled_before(tri_view view, uintptr_t word) {
  if (word - view.base >= view.used) return false;
  size_t size = slot_size_of(view, word);
  if (!size || word % TRI_PAGE_SIZE < size) return false;
  const tri_bits *bits = bits_of(view, word - size);
  uint64_t bit = tri_bit_mask(word - size);
  return !(atomic_load_explicit(&bits->alloc, memory_order_relaxed) & bit) ||
         (atomic_load_explicit(&bits->mark, memory_order_relaxed) & bit);
}

/* A root may be an end pointer: where a slot starts, the object before it may end. */
static void shade_root(tri_marker *marker, uintptr_t word, bool is_data) {
  shade_word(marker, word);
  if (!is_settled_before(marker->view, word) && tri_object_may_end_at(word, is_data)) shade_word(marker, word - 1);
}

/* ---- scanning ---- */

TRI_READS_ANYTHING static void scan_conservative(tri_marker *marker, uintptr_t low, uintptr_t high) {
  for (const uintptr_t *word = (const uintptr_t *)low; word < (const uintptr_t *)high; word++)
    shade_word(marker, peek(word));
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
        if (tri_likely(index >= from && index < to)) shade_word(marker, peek(&words[index]));
      }
}

/* An object that page info does not describe, from `at` on: all of it, or the next piece of a large one. */
static TRI_NOINLINE void scan_other(tri_marker *marker, uintptr_t at) {
  uint32_t kind = kind_of(marker->view, at), layout = tri_kind_layout(kind);
  bool is_large = kind & TRI_KIND_LARGE; /* only of those the start is known from an address inside */
  uintptr_t start = is_large ? tri_span_of(at)->start : at;
  size_t size = size_of(kind, at);
  uintptr_t end = start + size, to = is_large ? tri_min(end, at + PIECE) : end;
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
    top = shade(view, marker, top, peek(&((const uintptr_t *)start)[__builtin_ctzll(pointers)]));
    pointers &= pointers - 1;
  } while (pointers);
  return top;
}

/* Words found in one go, held back until the bits they lead to have been fetched: two batches, of which one is filled
 * while the other ripens. */
typedef struct tri_batch {
  size_t counts[2], current;
  uintptr_t words[2][BATCH];
} tri_batch;

/* There is room. */
TRI_INLINE void batch_word(tri_view view, tri_batch *batch, uintptr_t word) {
  __builtin_prefetch(bits_of(view, word));
  batch->words[batch->current][batch->counts[batch->current]++] = word;
}

/* The other batch is dealt with, and filled next. */
static void turn_batch(tri_marker *marker, tri_batch *batch,
                       void (*deal)(tri_marker *marker, const uintptr_t *words, size_t count)) {
  batch->current ^= 1;
  deal(marker, batch->words[batch->current], batch->counts[batch->current]);
  batch->counts[batch->current] = 0;
}

static void shade_roots(tri_marker *marker, const uintptr_t *words, size_t count) {
  for (size_t i = 0; i < count; i++) shade_root(marker, words[i], false);
}

static void shade_data(tri_marker *marker, const uintptr_t *words, size_t count) {
  for (size_t i = 0; i < count; i++) shade_root(marker, words[i], true);
}

TRI_READS_ANYTHING static void scan_range(tri_marker *marker, uintptr_t low, uintptr_t high, bool is_data) {
  void (*deal)(tri_marker *, const uintptr_t *, size_t) = is_data ? shade_data : shade_roots;
  tri_batch batch;
  batch.current = batch.counts[0] = batch.counts[1] = 0;
  for (const uintptr_t *at = (const uintptr_t *)low; at < (const uintptr_t *)high; at++) {
    uintptr_t word = peek(at);
    if (tri_likely(word - marker->view.base > marker->view.used)) continue;
    batch_word(marker->view, &batch, word);
    if (batch.counts[batch.current] < BATCH) continue;
    turn_batch(marker, &batch, deal);
    if (tri_work_is_wanted() && !tri_work_is_over()) share_half(marker);
  }
  turn_batch(marker, &batch, deal);
  turn_batch(marker, &batch, deal);
}

void tri_marker_scan_root(tri_marker *marker, const tri_root *root) {
  if (root->kind == TRI_ROOT_WORD)
    shade_root(marker, root->low, false);
  else
    scan_range(marker, root->low, root->high, tri_root_is_data(root));
}

/* ---- scanning again ---- */

/* The part of a large object or of one over 64 words that lies in [low, high). */
static void rescan_other(tri_marker *marker, uintptr_t start, size_t size, uint32_t kind, uintptr_t low,
                         uintptr_t high) {
  uint32_t layout = tri_kind_layout(kind);
  low = tri_max(low, start);
  high = tri_min(high, start + size);
  if (low >= high) return;
  if (layout == TRI_LAYOUT_CONSERVATIVE)
    scan_conservative(marker, low, high);
  else
    scan_typed(marker, start, (low - start) / 8, (high - start) / 8, tri_layout_get(layout));
}

/* Whether the word points to the start of a marked object, as most do; of those in the middle of a granule, shade knows
 * more. */
TRI_INLINE bool is_marked_start(tri_view view, uintptr_t word) {
  size_t offset = word - view.base;
  uint64_t marks = atomic_load_explicit(&view.bits[offset >> TRI_BITS_SHIFT].mark, memory_order_relaxed);
  return !(offset & (TRI_GRANULE - 1)) && (marks & tri_bit_mask(offset));
}

/* Most of what objects that are scanned again point to is marked already. */
static void shade_again(tri_marker *marker, const uintptr_t *words, size_t count) {
  const tri_view view = marker->view;
  for (size_t i = 0; i < count; i++)
    if (tri_unlikely(!is_marked_start(view, words[i]))) shade_word(marker, words[i]);
}

/* There is room in the batch for all of the object's pointers. */
TRI_READS_ANYTHING static void batch_object(tri_view view, tri_batch *batch, uintptr_t start, uint64_t pointers) {
  size_t count = batch->counts[batch->current];
  uintptr_t *words = batch->words[batch->current];
  do {
    uintptr_t word = peek(&((const uintptr_t *)start)[__builtin_ctzll(pointers)]);
    size_t offset = word - view.base;
    if (offset < view.used) {
      __builtin_prefetch(&view.bits[offset >> TRI_BITS_SHIFT]);
      words[count++] = word;
    }
    pointers &= pointers - 1;
  } while (pointers);
  batch->counts[batch->current] = count;
}

static void rescan_object(tri_marker *marker, tri_batch *batch, uintptr_t start, uint32_t kind, uintptr_t low,
                          uintptr_t high) {
  uint64_t pointers = pointers_of(marker->view, start);
  if (!pointers) {
    rescan_other(marker, start, size_of(kind, start), kind, low, high);
    return;
  }
  if (batch->counts[batch->current] + 64 > BATCH) turn_batch(marker, batch, shade_again);
  batch_object(marker->view, batch, start, pointers);
}

static bool is_marked(tri_view view, uintptr_t start) {
  return atomic_load_explicit(&bits_of(view, start)->mark, memory_order_relaxed) & tri_bit_mask(start);
}

/* Asks for the memory of the 64 granules at address. */
TRI_INLINE void prefetch_word(uintptr_t address) {
  for (size_t line = 0; line < 64 * TRI_GRANULE; line += TRI_CACHE_LINE)
    __builtin_prefetch((const void *)(address + line));
}

/* The part [low, high) of one page of the heap; what comes after it is at `after`. No object starts before a word of
 * marks that has its bit, where a part begins. */
static void rescan_page(tri_marker *marker, tri_batch *batch, uintptr_t low, uintptr_t high, uintptr_t after) {
  tri_view view = marker->view;
  uint32_t kind = kind_of(view, low);
  if (!(kind & TRI_KIND_IN_USE) || (kind & TRI_KIND_NOSCAN)) return;
  uintptr_t first = tri_object_slot_start(low, kind);
  if (first && first < low && is_marked(view, first)) rescan_object(marker, batch, first, kind, low, high);
  for (uintptr_t at = low; at < high; at += 64 * TRI_GRANULE) {
    prefetch_word(at + 64 * TRI_GRANULE < high ? at + 64 * TRI_GRANULE : after);
    const tri_bits *bits = &view.bits[(at - view.base) >> TRI_BITS_SHIFT];
    uint64_t marks = atomic_load_explicit(&bits->mark, memory_order_relaxed);
    if (marks) marks &= atomic_load_explicit(&bits->alloc, memory_order_acquire);
    size_t size = slot_size_of(view, at); /* after the bits: see claim (heap/cache.c) */
    for (; marks; marks &= marks - 1)
      rescan_object(marker, batch, tri_slot_at_granule(at + (uintptr_t)__builtin_ctzll(marks) * TRI_GRANULE, size),
                    kind, low, high);
  }
}

static void rescan_range(tri_marker *marker, tri_batch *batch, tri_os_range range, uintptr_t after) {
  uintptr_t end = tri_min(range.high, marker->view.base + marker->view.used);
  for (uintptr_t at = range.low, next; at < end; at = next) {
    next = tri_min(tri_align_down(at, TRI_PAGE_SIZE) + TRI_PAGE_SIZE, end);
    rescan_page(marker, batch, at, next, next < end ? next : after);
  }
}

void tri_marker_rescan(tri_marker *marker, const tri_os_range *ranges, size_t count) {
  _Static_assert(TRI_TABLE_PAGE % (64 * TRI_GRANULE) == 0, "dirty pages are whole words of marks");
  _Static_assert((TRI_TABLE_PAGE - TRI_GRANULE / 2) % TRI_ODD_SIZE, "and no slot starts just before one");
  tri_batch batch;
  batch.current = batch.counts[0] = batch.counts[1] = 0;
  for (size_t i = 0; i < count; i++) rescan_range(marker, &batch, ranges[i], ranges[i + 1 < count ? i + 1 : i].low);
  turn_batch(marker, &batch, shade_again);
  turn_batch(marker, &batch, shade_again);
}

/* ---- a marker's work ---- */

/* The buffer is empty: something from the spare one, or else the oldest entry of the ring. 0: nothing is left. */
static TRI_NOINLINE uintptr_t find_entry(tri_marker *marker) {
  if (use_spare(marker)) return *--marker->top;
  for (int i = 0; i < TRI_MARKER_RING; i++) {
    uintptr_t *place = &marker->ring[marker->turn++ % TRI_MARKER_RING];
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
  uintptr_t oldest = marker->ring[turn % TRI_MARKER_RING];
  marker->ring[turn % TRI_MARKER_RING] = entry;
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

static void tell(tri_marker *marker, size_t bytes) {
  atomic_fetch_add_explicit(&done, bytes - marker->told, memory_order_relaxed);
  marker->told = bytes;
}

size_t tri_marker_done(void) { return atomic_load_explicit(&done, memory_order_relaxed); }

/* What a marker sees to from time to time: whether its time is up, whether others wait. True when the session is
 * over. */
static TRI_NOINLINE bool look_up(tri_marker *marker) {
  if (marker->deadline && tri_os_now() >= marker->deadline) tri_work_end();
  if (tri_work_is_over()) return true;
  if (tri_work_is_wanted()) share_half(marker);
  return false;
}

/* Who assists is kept at it for a time only. */
static bool is_late(const tri_marker *marker) { return marker->until && tri_os_now() >= marker->until; }

/* Until nothing of its own is left, the session is over, or about most bytes are scanned. Entries far from the last
 * object scanned wait in the ring while their memory is fetched; those in the same cache line, made one after the
 * other, are scanned at once, which keeps to the order of a depth-first walk, and so of memory. top and bytes are kept
 * in registers. */
static void drain(tri_marker *marker, size_t most) {
  const tri_view view = marker->view;
  uintptr_t *top = marker->top, last = 0;
  size_t bytes = 0;
  for (;;) {
    uintptr_t entry;
    if (tri_likely(top != marker->floor)) {
      entry = *--top;
      if ((entry ^ last) >= NEAR) {
        entry = exchange(marker, entry);
        bool looks = marker->turn % SHARE_EVERY == 0;
        if (tri_unlikely(looks && marker->turn % TELL_EVERY == 0)) tell(marker, marker->bytes + bytes);
        if (tri_unlikely(looks) && (tri_work_is_wanted() || marker->deadline || marker->until || bytes >= most)) {
          if (entry) *top++ = entry; /* there is room: one was taken out */
          marker->top = top;
          bool leave = look_up(marker) || bytes >= most || is_late(marker);
          top = marker->top;
          if (leave) break;
          continue;
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
      if (tri_unlikely(is_late(marker))) break; /* it may have been long */
      continue;
    }
    bytes += slot_size_of(view, entry);
    top = scan(view, marker, top, entry);
  }
  marker->bytes += bytes;
}

void tri_marker_drain(tri_marker *marker) {
  for (;;) {
    drain(marker, SIZE_MAX);
    if (tri_work_is_over()) return;
    tri_work_buffer *taken = tri_work_take(marker->deadline);
    if (!taken) return;
    tri_work_recycle(marker->buffer);
    buffer_open(marker, taken);
  }
}

void tri_marker_drain_some(tri_marker *marker, size_t bytes, uint64_t until) {
  size_t end = bytes < SIZE_MAX - marker->bytes ? marker->bytes + bytes : SIZE_MAX;
  marker->until = until;
  while (marker->bytes < end && !tri_work_is_over()) {
    drain(marker, end - marker->bytes);
    if (marker->bytes >= end || tri_os_now() >= until) return;
    tri_work_buffer *taken = tri_work_take_awake(until);
    if (!taken) return;
    tri_work_recycle(marker->buffer);
    buffer_open(marker, taken);
  }
}

bool tri_marker_drain_overflow(tri_marker *marker) {
  if (!atomic_exchange_explicit(&overflowed, false, memory_order_acq_rel)) return false;
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) / TRI_GRANULE / 64;
  for (size_t i = 0; i < words; i++) {
    uint64_t bits = atomic_exchange_explicit(&tri_the_arena.grey[i], 0, memory_order_relaxed);
    for (; bits; bits &= bits - 1) {
      uintptr_t granule = tri_the_arena.base + ((i * 64 + (size_t)__builtin_ctzll(bits)) << TRI_GRANULE_SHIFT);
      uintptr_t at = tri_slot_at_granule(granule, slot_size_of(marker->view, granule));
      if (marker->top == marker->limit) drain(marker, SIZE_MAX); /* it may have begun with a full buffer */
      if (tri_unlikely(tri_work_is_over())) {
        put_grey(at);
        continue;
      }
      *marker->top++ = pointers_of(marker->view, at) ? at : at | ENTRY_OTHER;
      drain(marker, SIZE_MAX);
    }
  }
  return true;
}

bool tri_marker_overflowed(void) { return atomic_load_explicit(&overflowed, memory_order_relaxed); }

void tri_marker_drop_overflow(void) {
  if (!atomic_exchange_explicit(&overflowed, false, memory_order_relaxed)) return;
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) / TRI_GRANULE / 64;
  for (size_t i = 0; i < words; i++) atomic_store_explicit(&tri_the_arena.grey[i], 0, memory_order_relaxed);
}

/* ---- beginning and end ---- */

bool tri_marker_begin(tri_marker *marker, uint64_t deadline) {
  tri_work_buffer *buffer = tri_work_first();
  if (!buffer) return false;
  *marker = (tri_marker){.view = {.base = tri_the_arena.base,
                                  .used = atomic_load_explicit(&tri_the_arena.used, memory_order_acquire),
                                  .bits = tri_the_arena.bits,
                                  .marked_pages = tri_the_arena.marked_pages,
                                  .info = tri_the_arena.info},
                         .deadline = deadline};
  buffer_open(marker, buffer);
  return true;
}

static void give(tri_work_buffer *buffer) {
  if (buffer->count)
    tri_work_share(buffer);
  else
    tri_work_recycle(buffer);
}

void tri_marker_end(tri_marker *marker) {
  for (int i = 0; i < TRI_MARKER_RING; i++) {
    uintptr_t entry = marker->ring[i];
    if (!entry) continue;
    if (marker->top != marker->limit || make_room(marker))
      *marker->top++ = entry;
    else
      put_grey(entry & ~ENTRY_OTHER);
  }
  buffer_close(marker);
  give(marker->buffer);
  if (marker->spare) give(marker->spare);
  tell(marker, marker->bytes);
}
