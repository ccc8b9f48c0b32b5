/* roots.c - gathering the roots. See roots.h. */
#include "gc/roots.h"

#include <errno.h>
#include <string.h>

#include "gc/parcel.h"

enum {
  FIRST_LIST_BITS = 6,
  RANGE_BATCH = 128,
  PIECE = 256 * 1024,
  MAX_TLS_MODULES = 1024,
  MAX_DATA_RANGES = 8192, /* of modules: four each of as many as have thread-local storage, and then some */
  /* Below its stack pointer a leaf function of x86-64 may keep what it likes; elsewhere this does no harm. */
  RED_ZONE = 128,
};

/* A growing array in metadata; the old one is kept by nobody, so sizes double from a generous start. */
typedef struct root_array {
  tri_root *roots;
  size_t count, capacity;
} root_array;

/* A range of the program's; on the list of those whose start has the same hash, or unused. */
typedef struct registered_range {
  struct registered_range *next;
  uintptr_t low, high;
} registered_range;

static registered_range *first_lists[1 << FIRST_LIST_BITS] TRI_OWN_DATA;

static struct {
  tri_lock lock;
  registered_range **lists; /* 1 << list_bits of them */
  unsigned list_bits;
  size_t registered_count;
  registered_range *unused;
  root_array gathered;
  size_t data_bytes, stack_bytes;
  struct {
    size_t id, size;
  } modules[MAX_TLS_MODULES];
  size_t module_count;
  tri_os_range *data; /* MAX_DATA_RANGES of them, made when first needed */
  size_t data_count;
} roots TRI_OWN_DATA = {.lock = TRI_LOCK_INIT(TRI_RANK_ROOTS), .lists = first_lists, .list_bits = FIRST_LIST_BITS};

/* Bounds of the section TRI_OWN_DATA puts variables in; made by the linker. */
extern char __start_tri_own_data[] __attribute__((visibility("hidden")));
extern char __stop_tri_own_data[] __attribute__((visibility("hidden")));

static bool reserve(root_array *array, size_t count) {
  if (count <= array->capacity) return true;
  size_t capacity = tri_max(2 * array->capacity, tri_max(count, 1024));
  tri_root *grown = tri_meta_alloc(TRI_META_OTHER, capacity * sizeof *grown);
  if (!grown) {
    tri_stop_blame(TRI_TROUBLE_MEMORY, 0, 0);
    return false;
  }
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

/* ---- registered ranges: a hash table that grows with them; the lock is held ---- */

static registered_range **list_of(uintptr_t start) {
  return &roots.lists[start * 0x9e3779b97f4a7c15u >> (64 - roots.list_bits)];
}

static registered_range **find_registered(uintptr_t start) {
  registered_range **link = list_of(start);
  while (*link && (*link)->low != start) link = &(*link)->next;
  return link;
}

static void link_registered(registered_range *range) {
  registered_range **list = list_of(range->low);
  range->next = *list;
  *list = range;
}

/* Four times as many lists: those before are kept by nobody, and a third of what is. Without memory, lists get
 * longer. */
static void grow_lists(void) {
  registered_range **old = roots.lists;
  size_t old_count = (size_t)1 << roots.list_bits;
  registered_range **grown = tri_meta_alloc(TRI_META_OTHER, 4 * old_count * sizeof *grown);
  if (!grown) return;
  roots.lists = grown;
  roots.list_bits += 2;
  for (size_t i = 0; i < old_count; i++)
    for (registered_range *range = old[i], *next; range; range = next) {
      next = range->next;
      link_registered(range);
    }
}

/* Made by the batch: metadata comes by the cache line. */
static registered_range *take_range(void) {
  if (!roots.unused) {
    registered_range *batch = tri_meta_alloc(TRI_META_OTHER, RANGE_BATCH * sizeof *batch);
    for (int i = 0; batch && i < RANGE_BATCH; i++) {
      batch[i].next = roots.unused;
      roots.unused = &batch[i];
    }
  }
  registered_range *range = roots.unused;
  if (range) roots.unused = range->next;
  return range;
}

static bool add_registered(uintptr_t start, size_t size) {
  registered_range *range = *find_registered(start);
  if (!range) {
    range = take_range();
    if (!range) return false;
    if (roots.registered_count++ >> roots.list_bits) grow_lists();
    range->low = start;
    link_registered(range);
  }
  range->high = start + size;
  return true;
}

static bool remove_registered(uintptr_t start) {
  registered_range **link = find_registered(start), *range = *link;
  if (!range) return false;
  *link = range->next;
  range->next = roots.unused;
  roots.unused = range;
  roots.registered_count--;
  return true;
}

bool tri_roots_register(uintptr_t start, size_t size) {
  tri_lock_take(&roots.lock);
  bool added = add_registered(start, size);
  tri_lock_drop(&roots.lock);
  return added;
}

bool tri_roots_unregister(uintptr_t start) {
  tri_lock_take(&roots.lock);
  bool removed = remove_registered(start);
  tri_lock_drop(&roots.lock);
  return removed;
}

void tri_roots_after_fork_child(void) { tri_lock_abandon(&roots.lock); }

/* ---- gathering ---- */

void tri_roots_forget_modules(void) {
  roots.module_count = roots.data_count = 0;
  roots.data_bytes = 0;
}

bool tri_roots_note_data(tri_os_range range) {
  if (!roots.data) roots.data = tri_meta_alloc(TRI_META_OTHER, MAX_DATA_RANGES * sizeof *roots.data);
  if (!roots.data || roots.data_count == MAX_DATA_RANGES) {
    tri_stop_blame(TRI_TROUBLE_MEMORY, 0, 0);
    return false;
  }
  roots.data[roots.data_count++] = range;
  roots.data_bytes += range.high - range.low;
  return true;
}

bool tri_roots_note_tls(size_t module_id, size_t size) {
  if (roots.module_count == MAX_TLS_MODULES) return false;
  roots.modules[roots.module_count].id = module_id;
  roots.modules[roots.module_count++].size = size;
  return true;
}

const tri_os_range *tri_roots_data(size_t *count) {
  *count = roots.data_count;
  return roots.data;
}

void tri_roots_clear(void) {
  roots.gathered.count = 0;
  roots.stack_bytes = 0;
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
  if (own_high <= range.low || own_low >= range.high) return add_range(range.low, range.high, TRI_ROOT_DATA);
  return add_range(range.low, own_low, TRI_ROOT_DATA) && add_range(own_high, range.high, TRI_ROOT_DATA);
}

bool tri_roots_add_all_data(void) {
  for (size_t i = 0; i < roots.data_count; i++)
    if (!tri_roots_add_data(roots.data[i])) return false;
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

/* Where the frames of a thread's own stack begin, below high, while it runs on an alternate signal stack: the kernel
 * saved the interrupted stack pointer there, so at the lowest place that a word there points to, or a red zone below.
 * high when no word does. */
static uintptr_t interrupted_frames(const tri_thread *thread, uintptr_t high) {
  uintptr_t lowest = lowest_pointer(thread->sp, thread->alternate_high, thread->stack_low, high);
  return lowest == high ? high : lowest - tri_min(RED_ZONE, lowest - thread->stack_low);
}

bool tri_roots_add_frames(uintptr_t low, uintptr_t high) { return add_range(low, high, TRI_ROOT_STACK); }

static bool add_frames(uintptr_t low, uintptr_t high) {
  roots.stack_bytes += high - low;
  return tri_roots_add_frames(low, high);
}

/* The mapping that address lies in. False, and the stop hears why, when they cannot be read; high = 0: in none. */
static bool find_mapping(uintptr_t address, tri_os_mapping *mapping) {
  if (tri_os_find_mapping(address, mapping) || errno == EFAULT) return true;
  tri_stop_blame(TRI_TROUBLE_MAPPINGS, 0, errno);
  return false;
}

/* All of a thread's own stack that there is: the main one's grows, and a program may give bounds that are too wide. */
static bool add_own_stack(const tri_thread *thread) {
  tri_os_mapping mapping;
  if (!find_mapping(thread->stack_high - 1, &mapping)) return false;
  return !mapping.high || add_frames(tri_max(mapping.low, thread->stack_low), thread->stack_high);
}

/* On an alternate signal stack, which may be a part of the thread's own, or of what it keeps there. */
static bool add_alternate_stack(const tri_thread *thread) {
  bool within = inside(thread->alternate_low, thread->stack_low, thread->stack_high);
  uintptr_t high = within ? thread->alternate_low : thread->stack_high;
  uintptr_t own = interrupted_frames(thread, high);
  if (within) return add_frames(own, high) && add_frames(thread->sp, thread->stack_high);
  if (!add_frames(thread->sp, thread->alternate_high)) return false;
  return own == high ? add_own_stack(thread) : add_frames(own, high);
}

/* On a stack of the program's making. Where the thread left its own nobody knows, so all of it is scanned. */
static bool add_foreign_stack(const tri_thread *thread) {
  tri_os_mapping mapping;
  if (!find_mapping(thread->sp, &mapping)) return false;
  return add_frames(thread->sp, mapping.high) && add_own_stack(thread);
}

static bool add_stack(const tri_thread *thread, tri_roots_frames *frames) {
  if (inside(thread->sp, thread->alternate_low, thread->alternate_high)) return add_alternate_stack(thread);
  if (!inside(thread->sp, thread->stack_low, thread->stack_high)) return add_foreign_stack(thread);
  roots.stack_bytes += thread->stack_high - thread->sp;
  return frames(thread->sp, thread->stack_high);
}

/* Of threads that the C library made, static TLS lies at the top of the stack and was scanned with it. */
static bool add_tls(const tri_thread *thread) {
  if (thread->shares_tls) return true; /* it was, or will be, with its owner's */
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

static bool add_thread(const tri_thread *thread, tri_roots_frames *frames) {
  uintptr_t registers = (uintptr_t)thread->registers;
  bool in_region = atomic_load_explicit(&thread->state, memory_order_relaxed) != TRI_THREAD_RUNNING;
  if (in_region && !add_range(registers, registers + sizeof thread->registers, TRI_ROOT_STACK)) return false;
  if (thread->cache.tiny_next && !add_word(thread->cache.tiny_next - 1)) return false;
  return !thread->thread_pointer || (add_stack(thread, frames) && add_tls(thread));
}

static bool add_all_registered(void) {
  for (size_t i = 0; i >> roots.list_bits == 0; i++)
    for (const registered_range *range = roots.lists[i]; range; range = range->next)
      if (!add_range(range->low, range->high, TRI_ROOT_REGISTERED)) return false;
  return true;
}

/* Who collects between tri_blocking_begin and _end may have been held by another's stop just before. */
static void check_collector(void) {
#ifdef TRI_ASSERTIONS
  const tri_thread *self = tri_thread_known();
  if (self && atomic_load_explicit(&self->state, memory_order_relaxed) != TRI_THREAD_RUNNING)
    tri_fatal("a collection between tri_blocking_begin and tri_blocking_end, by the same thread");
#endif
}

bool tri_roots_add_threads(tri_roots_frames *frames) {
  check_collector();
  if (!tri_threads_find_stacks()) return false;
  for (tri_thread *thread = tri_threads_first(); thread; thread = thread->next)
    if (!add_thread(thread, frames)) return false;
  for (int list = 0; list < TRI_PARCEL_LISTS; list++)
    for (const tri_parcel *parcel = tri_parcels(list); parcel; parcel = parcel->next)
      if (!add_word((uintptr_t)parcel->pointer)) return false;
  return add_all_registered();
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
