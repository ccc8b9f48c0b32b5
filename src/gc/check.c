/* check.c - see check.h. */
#include "gc/check.h"

#include "gc/mark.h"
#include "heap/heap.h"
#include "heap/layout.h"
#include "heap/object.h"

#define TRI_READS_ANYTHING __attribute__((no_sanitize("address", "thread")))

/* Less than this much of its stack the collector has used since it wrote down its stack pointer. */
enum { OWN_FRAMES = 64 * 1024 };

static struct {
  tri_reservation seen_reservation; /* one bit per granule of the heap */
  tri_reservation stack_reservation;
  uint64_t *seen;
  uintptr_t *stack;
  size_t depth;
  uintptr_t own_high; /* the collector's own frames end here */
  tri_reservation old_reservation;
  const tri_check_read *read_last;
} check TRI_OWN_DATA;

bool tri_check_init(void) {
  size_t reserved = tri_the_arena.reserved;
  if (!tri_reservation_make(&check.seen_reservation, reserved / TRI_GRANULE / 8, 4096, "tricolor: check")) return false;
  if (!tri_reservation_make(&check.stack_reservation, tri_min(reserved / 2, 64 * TRI_GIB), 4096, "tricolor: check"))
    return false;
  if (!tri_reservation_make(&check.old_reservation, reserved / TRI_GRANULE / 8, 4096, "tricolor: check")) return false;
  check.seen = (uint64_t *)check.seen_reservation.base;
  tri_the_heap.remembered = (_Atomic(uint64_t) *)check.old_reservation.base;
  check.stack = (uintptr_t *)check.stack_reservation.base;
  return true;
}

static uint64_t bits_of(const tri_bits *bits, bool marked_only) {
  return atomic_load_explicit(marked_only ? &bits->mark : &bits->alloc, memory_order_relaxed);
}

void tri_check_remember(bool marked_only) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_BITS_SHIFT;
  if (!tri_reservation_extend(&check.old_reservation, words * sizeof(uint64_t)))
    tri_fatal("check: no memory for its bits");
  tri_the_heap.remembered_words = words;
  for (size_t i = 0; i < words; i++)
    atomic_store_explicit(&tri_the_heap.remembered[i], bits_of(&tri_the_arena.bits[i], marked_only),
                          memory_order_relaxed);
}

static bool is_old(uintptr_t start) {
  size_t word = tri_granule_of(start) / 64;
  return word < tri_the_heap.remembered_words &&
         (atomic_load_explicit(&tri_the_heap.remembered[word], memory_order_relaxed) & tri_bit_mask(start));
}

static bool see(uintptr_t start) {
  size_t granule = tri_granule_of(start);
  uint64_t bit = 1ull << (granule % 64);
  bool first = !(check.seen[granule / 64] & bit);
  check.seen[granule / 64] |= bit;
  return first;
}

static void push(uintptr_t start) {
  if (!tri_reservation_extend(&check.stack_reservation, (check.depth + 1) * sizeof *check.stack))
    tri_fatal("check: no memory for %zu pending objects", check.depth);
  check.stack[check.depth++] = start;
}

/* The allocated object around address, found without the shortcut that marking takes. */
static uintptr_t object_at(uintptr_t address, tri_span **span) {
  if (!tri_arena_has(address) || !(*span = tri_span_of(address))) return 0;
  uintptr_t start = (*span)->start;
  if ((*span)->size_class) {
    size_t index = (address - start) / (*span)->slot_size;
    if (index >= (*span)->slots) return 0;
    start += index * (*span)->slot_size;
  }
  return tri_slot_is_allocated(start) ? start : 0;
}

typedef struct tri_edge {
  uintptr_t from;     /* the object, or 0: a root */
  uintptr_t place;    /* address of the word */
  tri_root_kind kind; /* of the root */
} tri_edge;

_Noreturn static void report(uintptr_t start, const tri_span *span, tri_edge edge) {
  if (edge.from)
    tri_fatal("check: object %p (%zu bytes, layout %u) is reachable but not marked: the word at %p, %zu bytes into "
              "object %p, points to it",
              (void *)start, span->slot_size, (unsigned)span->layout, (void *)edge.place,
              (size_t)(edge.place - edge.from), (void *)edge.from);
  tri_fatal(
      "check: object %p (%zu bytes, layout %u) is reachable but not marked: the root word at %p (%s) points to it",
      (void *)start, span->slot_size, (unsigned)span->layout, (void *)edge.place, tri_root_kind_name(edge.kind));
}

/* The collector may run on a stack that the program told of as a root, or that is an object. What its own frames hold
 * has changed since the mark read it, and is nothing of the program's. */
static bool is_own_frame(uintptr_t place) { return place < check.own_high && place >= check.own_high - OWN_FRAMES; }

static bool is_inside(uintptr_t place, uintptr_t low, uintptr_t high) { return place >= low && place < high; }

/* Whether what is at the edge's place was read in this stop: of static data and stacks perhaps a part. */
static bool was_read_last(tri_edge edge) {
  const tri_check_read *read = check.read_last;
  if (!read) return true;
  for (size_t i = 0; i < read->heap_count && tri_arena_has(edge.place); i++)
    if (is_inside(edge.place, read->heap[i].low, read->heap[i].high)) return true;
  if (tri_arena_has(edge.place)) return false;
  if (edge.kind != TRI_ROOT_DATA && edge.kind != TRI_ROOT_STACK) return true;
  for (size_t i = 0; i < read->data.count; i++)
    if (is_inside(edge.place, read->data.roots[i].low, read->data.roots[i].high)) return true;
  return false;
}

static void follow(uintptr_t word, tri_edge edge) {
  tri_span *span;
  if (is_own_frame(edge.place)) return;
  uintptr_t start = object_at(word, &span);
  if (!start) return;
  if (!tri_mark_is_set(start)) {
    if (!is_old(start) && !was_read_last(edge)) return;
    report(start, span, edge);
  }
  if (!see(start)) return;
  if (!span->noscan) push(start);
}

TRI_READS_ANYTHING static void follow_object(uintptr_t start) {
  tri_span *span = tri_span_of(start);
  const tri_layout *layout = span->layout ? tri_layout_get(span->layout) : NULL;
  const uintptr_t *words = (const uintptr_t *)start;
  for (size_t i = 0; i < span->slot_size / 8; i++) {
    size_t index = layout ? i % layout->element_words : 0;
    if (layout && !(layout->map[index / 64] >> (index % 64) & 1)) continue;
    follow(words[i], (tri_edge){.from = start, .place = (uintptr_t)&words[i]});
  }
}

TRI_READS_ANYTHING static void follow_root(const tri_root *root) {
  tri_edge edge = {.place = root->low, .kind = root->kind};
  if (root->kind == TRI_ROOT_WORD) {
    follow(root->low, edge);
    return;
  }
  for (; edge.place < root->high; edge.place += sizeof(uintptr_t)) {
    uintptr_t word = *(const uintptr_t *)edge.place;
    follow(word, edge);
    if (tri_object_may_end_at(word, tri_root_is_data(root))) follow(word - 1, edge);
  }
}

void tri_check_run(tri_root_list roots, const tri_check_read *read_last) {
  size_t used = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed);
  if (!tri_reservation_extend(&check.seen_reservation, used / TRI_GRANULE / 8))
    tri_fatal("check: no memory for its bits");
  for (size_t i = 0; i < used / TRI_GRANULE / 64; i++) check.seen[i] = 0;
  check.read_last = read_last;
  const tri_thread *self = tri_thread_known(); /* the collector's thread has no stack that anybody looks into */
  check.own_high = self ? self->sp : 0;
  for (size_t i = 0; i < roots.count; i++) {
    follow_root(&roots.roots[i]);
    while (check.depth) follow_object(check.stack[--check.depth]);
  }
}
