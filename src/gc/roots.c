/* roots.c - gathering the roots. See roots.h. */
#include "gc/roots.h"

#include <string.h>

enum {
  PIECE = 256 * 1024,
  MAX_TLS_MODULES = 1024,
  RED_ZONE =
      128, /* below its stack pointer a leaf function of x86-64 may keep what it likes; elsewhere this does no harm */
};

/* A growing array in metadata; the old one is kept by nobody, so sizes double from a generous start. */
typedef struct root_array {
  tri_root *roots;
  size_t count, capacity;
} root_array;

static struct {
  tri_lock lock;
  root_array registered;
  root_array gathered;
  size_t data_bytes, stack_bytes;
  struct {
    size_t id, size;
  } modules[MAX_TLS_MODULES];
  size_t module_count;
} roots TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_ROOTS)};

/* Bounds of the section TRI_OWN_DATA puts variables in; made by the linker. */
extern char __start_tri_own_data[] __attribute__((visibility("hidden")));
extern char __stop_tri_own_data[] __attribute__((visibility("hidden")));

static bool reserve(root_array *array, size_t count) {
  if (count <= array->capacity) return true;
  size_t capacity = tri_max(2 * array->capacity, tri_max(count, 1024));
  tri_root *grown = tri_meta_alloc(TRI_META_OTHER, capacity * sizeof *grown);
  if (!grown) return false;
  if (array->count) memcpy(grown, array->roots, array->count * sizeof *grown);
  array->roots = grown;
  array->capacity = capacity;
  return true;
}

static bool append(root_array *array, tri_root root) {
  if (!reserve(array, array->count + 1)) return false;
  array->roots[array->count++] = root;
  return true;
}

/* ---- registered ranges ---- */

static tri_root *find_registered(uintptr_t start) {
  for (size_t i = 0; i < roots.registered.count; i++)
    if (roots.registered.roots[i].low == start) return &roots.registered.roots[i];
  return NULL;
}

bool tri_roots_register(uintptr_t start, size_t size) {
  tri_lock_take(&roots.lock);
  tri_root root = {.low = start, .high = start + size, .kind = TRI_ROOT_REGISTERED};
  tri_root *known = find_registered(start);
  if (known) *known = root;
  bool added = known || append(&roots.registered, root);
  tri_lock_drop(&roots.lock);
  return added;
}

bool tri_roots_unregister(uintptr_t start) {
  tri_lock_take(&roots.lock);
  tri_root *known = find_registered(start);
  if (known) *known = roots.registered.roots[--roots.registered.count];
  tri_lock_drop(&roots.lock);
  return known != NULL;
}

/* ---- gathering ---- */

void tri_roots_clear(void) {
  roots.gathered.count = 0;
  roots.module_count = 0;
  roots.data_bytes = roots.stack_bytes = 0;
}

/* Cuts [low, high) into pieces of whole words. */
static bool add_range(uintptr_t low, uintptr_t high, tri_root_kind kind) {
  low = tri_align_up(low, sizeof(uintptr_t));
  high = tri_align_down(high, sizeof(uintptr_t));
  for (; low < high; low += PIECE) {
    tri_root piece = {.low = low, .high = tri_min(high, low + PIECE), .kind = kind};
    if (!append(&roots.gathered, piece)) return false;
  }
  return true;
}

bool tri_roots_add_data(tri_os_range range) {
  uintptr_t own_low = (uintptr_t)__start_tri_own_data, own_high = (uintptr_t)__stop_tri_own_data;
  roots.data_bytes += range.high - range.low;
  if (own_low < range.low || own_high > range.high) return add_range(range.low, range.high, TRI_ROOT_DATA);
  return add_range(range.low, own_low, TRI_ROOT_DATA) && add_range(own_high, range.high, TRI_ROOT_DATA);
}

bool tri_roots_add_tls_module(size_t module_id, size_t size) {
  if (roots.module_count == MAX_TLS_MODULES) return false;
  roots.modules[roots.module_count].id = module_id;
  roots.modules[roots.module_count++].size = size;
  return true;
}

static bool inside(uintptr_t address, uintptr_t low, uintptr_t high) { return address >= low && address < high; }

/* The lowest word of [low, high) that points into [target_low, target_high). The thread's own words: no sanitizer. */
__attribute__((no_sanitize("address", "thread"))) static uintptr_t lowest_pointer(uintptr_t low, uintptr_t high,
                                                                                  uintptr_t target_low,
                                                                                  uintptr_t target_high) {
  uintptr_t lowest = target_high;
  for (const uintptr_t *word = (const uintptr_t *)tri_align_up(low, 8); (uintptr_t)(word + 1) <= high; word++)
    if (inside(*word, target_low, lowest)) lowest = *word;
  return lowest;
}

/* Where the frames of a thread's own stack begin while it runs on an alternate signal stack: the kernel saved the
 * interrupted stack pointer there, so at the lowest place that a word there points to, or a red zone below. The end of
 * the stack when no word does. */
static uintptr_t interrupted_frames(const tri_thread *thread) {
  uintptr_t lowest = lowest_pointer(thread->sp, thread->alternate_high, thread->stack_low, thread->stack_high);
  return lowest == thread->stack_high ? lowest : lowest - tri_min(RED_ZONE, lowest - thread->stack_low);
}

/* A thread off its own stack: on an alternate signal stack, or on one of the program's making. What it runs on is
 * scanned from its stack pointer to the end of the alternate stack, or of the mapping. Where it left its own stack is
 * known only in the first case; in the second all of it is scanned. */
static bool add_foreign_stack(const tri_thread *thread) {
  uintptr_t high = thread->alternate_high, own = thread->stack_high;
  tri_os_mapping mapping;
  if (inside(thread->sp, thread->alternate_low, thread->alternate_high)) {
    own = interrupted_frames(thread);
  } else {
    if (!tri_os_find_mapping(thread->sp, &mapping)) return false;
    high = mapping.high;
  }
  if (own == thread->stack_high) {
    if (!tri_os_find_mapping(thread->stack_high - 1, &mapping)) return false;
    own = tri_max(mapping.low, thread->stack_low);
  }
  roots.stack_bytes += high - thread->sp + thread->stack_high - own;
  return add_range(thread->sp, high, TRI_ROOT_STACK) && add_range(own, thread->stack_high, TRI_ROOT_STACK);
}

static bool add_stack(const tri_thread *thread) {
  if (!inside(thread->sp, thread->stack_low, thread->stack_high)) return add_foreign_stack(thread);
  roots.stack_bytes += thread->stack_high - thread->sp;
  return add_range(thread->sp, thread->stack_high, TRI_ROOT_STACK);
}

/* Of threads that the C library made, static TLS lies at the top of the stack and was scanned with it. */
static bool add_tls(const tri_thread *thread) {
  tri_os_range tls = tri_os_static_tls(thread->thread_pointer);
  bool in_stack = tls.low >= thread->sp && tls.high <= thread->stack_high;
  if (!in_stack && !add_range(tls.low, tls.high, TRI_ROOT_TLS)) return false;
  for (size_t i = 0; i < roots.module_count; i++) {
    tls = tri_os_dynamic_tls(thread->thread_pointer, roots.modules[i].id, roots.modules[i].size);
    if (!add_range(tls.low, tls.high, TRI_ROOT_TLS)) return false;
  }
  return true;
}

static bool add_word(uintptr_t word) {
  return !word || append(&roots.gathered, (tri_root){.low = word, .high = word, .kind = TRI_ROOT_WORD});
}

static bool add_thread(const tri_thread *thread) {
  uintptr_t registers = (uintptr_t)thread->registers;
  bool blocking = atomic_load_explicit(&thread->state, memory_order_relaxed) == TRI_THREAD_BLOCKING;
  if (blocking && !add_range(registers, registers + sizeof thread->registers, TRI_ROOT_STACK)) return false;
  if (thread->cache.tiny_next && !add_word(thread->cache.tiny_next - 1)) return false;
  return !thread->thread_pointer || (add_stack(thread) && add_tls(thread));
}

bool tri_roots_add_threads(void) {
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    if (!add_thread(thread)) return false;
  for (int list = 0; list < TRI_PARCEL_LISTS; list++)
    for (tri_thread_parcel *parcel = tri_thread_parcels(list); parcel; parcel = parcel->next)
      if (!add_word((uintptr_t)parcel->pointer)) return false;
  for (size_t i = 0; i < roots.registered.count; i++) {
    const tri_root *root = &roots.registered.roots[i];
    if (!add_range(root->low, root->high, TRI_ROOT_REGISTERED)) return false;
  }
  return true;
}

tri_root_list tri_roots_list(void) {
  return (tri_root_list){.roots = roots.gathered.roots,
                         .count = roots.gathered.count,
                         .data_bytes = roots.data_bytes,
                         .stack_bytes = roots.stack_bytes};
}

const char *tri_root_kind_name(tri_root_kind kind) {
  static const char *const names[] = {"static data", "stack", "thread-local storage", "registered range",
                                      "parcel or tiny block"};
  return names[kind];
}
