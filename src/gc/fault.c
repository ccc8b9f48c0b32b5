/* fault.c - see fault.h. */
#include "gc/fault.h"

#include "gc/mark.h"
#include "heap/heap.h"

#define TRI_READS_ANYTHING __attribute__((no_sanitize("address", "thread")))

enum { MAX_WORDS = 256 };

/* Slots that waited in a cache when the mark began. */
typedef struct waiting_word {
  uintptr_t base;
  uint64_t slots, odd;
} waiting_word;

tri_fault tri_the_fault TRI_OWN_DATA;
static waiting_word waiting[MAX_WORDS] TRI_OWN_DATA;
static size_t waiting_count TRI_OWN_DATA;

static void lose_mark(uintptr_t start) {
  atomic_fetch_and_explicit(&tri_arena_bits(start)->mark, ~tri_bit_mask(start), memory_order_relaxed);
}

/* ---- child: a marked object loses its mark though another one points to it ---- */

TRI_READS_ANYTHING static bool lose_child_of(uintptr_t start) {
  uint64_t pointers = atomic_load_explicit(&tri_the_arena.info[tri_arena_page(start)].pointers, memory_order_relaxed);
  for (; pointers; pointers &= pointers - 1) {
    uintptr_t child = ((const uintptr_t *)start)[__builtin_ctzll(pointers)];
    if (child == start || !tri_arena_has(child) || child % TRI_GRANULE || !tri_mark_is_set(child)) continue;
    lose_mark(child);
    return true;
  }
  return false;
}

static uintptr_t marked_at(size_t granule) {
  uintptr_t address = tri_the_arena.base + granule * TRI_GRANULE;
  const tri_page_info *info = &tri_the_arena.info[tri_arena_page(address)];
  return tri_slot_at_granule(address, atomic_load_explicit(&info->slot_size, memory_order_relaxed));
}

static void lose_child(void) {
  size_t words = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_BITS_SHIFT;
  for (size_t i = 0; i < words; i++)
    for (uint64_t marks = atomic_load_explicit(&tri_the_arena.bits[i].mark, memory_order_relaxed); marks;
         marks &= marks - 1)
      if (lose_child_of(marked_at(i * 64 + (size_t)__builtin_ctzll(marks)))) return;
}

/* ---- new: an object that was handed out during the mark loses it, as if it waited still ---- */

static void note_waiting(const tri_cache_slot *slot) {
  uint64_t free = atomic_load_explicit(&slot->free, memory_order_relaxed);
  if (!free || waiting_count == MAX_WORDS) return;
  waiting[waiting_count++] = (waiting_word){atomic_load_explicit(&slot->base, memory_order_relaxed), free, slot->odd};
}

static bool lose_one_of(waiting_word word) {
  uint64_t marks = atomic_load_explicit(&tri_arena_bits(word.base)->mark, memory_order_relaxed) & word.slots;
  if (marks) lose_mark(tri_cache_slot_address(word.base, marks, word.odd));
  return marks != 0;
}

static void lose_new(void) {
  bool lost = false;
  for (; waiting_count && !lost; waiting_count--) lost = lose_one_of(waiting[waiting_count - 1]);
  waiting_count = 0;
}

/* ---- when ---- */

void tri_fault_mark_begins(void) {
  if (!tri_fault_is(TRI_FAULT_NEW)) return;
  waiting_count = 0;
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    for (size_t i = 0; i < TRI_CACHE_SLOTS; i++) note_waiting(&thread->cache.slots[i]);
}

void tri_fault_mark_ends(void) {
  if (tri_fault_is(TRI_FAULT_CHILD)) lose_child();
  if (tri_fault_is(TRI_FAULT_NEW)) lose_new();
}
