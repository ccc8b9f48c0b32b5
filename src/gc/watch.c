/* watch.c - see watch.h.
 *
 * The whole reservation of the heap is watched from the start, so that what is committed later is, too, and remains one
 * mapping with what is there. Of it only those pages are armed that belong to spans in which something was marked: most
 * of what a program allocates dies young, is written all over while it lives, and every first write to an armed page
 * costs nearly a microsecond. A page that is not armed and has marks counts as dirty, all of it, until it is armed. A
 * page stays armed after the mark, unless nothing in it has lived.
 *
 * In a stop that is to be the last, pages are just listed and not armed again: that is quicker, and what is written at
 * such a time is likely to be written again, which then costs nothing; it is dirty at the next look in any case. */
#include "gc/watch.h"

#include <string.h>

#include "gc/fault.h"
#include "heap/span.h"
#include "os/dirty.h"

enum {
  FIRST_RANGES = 4096,
  PIECE = 8 * 1024, /* of a dirty range, for a marker to take */
  MAX_DATA = 8192,
  WORTH_RELEASE = 32, /* pages: to disarm a run costs some 20 microseconds, to write a page that is armed 1 */
  GAP = 8,            /* pages of the heap: see next_run */
};

typedef struct watched_data {
  tri_os_range range;
  bool armed;
} watched_data;

static struct {
  const tri_dirty_provider *provider;
  tri_os_range *dirty;
  size_t count, capacity;
  size_t found; /* bytes, by the look under way */
  tri_reservation armed_reservation;
  uint64_t *armed;    /* a bit for each page of the heap: what is dirty there is known from the provider */
  bool data_refused;  /* the list of roots could not take a range */
  watched_data *data; /* in the order the loader shows them; MAX_DATA, made when first needed */
  size_t data_count;
} watch TRI_OWN_DATA;

bool tri_watch_init(void) {
  watch.provider = tri_dirty_choose();
  if (strcmp(watch.provider->name, "none") == 0) return false;
  /* Where pages of the heap share one of the system's, to arm one would lose what was written to the others. */
  if (tri_os_page_size() > TRI_PAGE_SIZE) return false;
  size_t bytes = (tri_the_arena.reserved >> TRI_PAGE_SHIFT) / 8;
  if (!watch.armed && !tri_reservation_make(&watch.armed_reservation, bytes, 4096, "tricolor: armed")) return false;
  watch.armed = (uint64_t *)watch.armed_reservation.base;
  return watch.provider->watch(tri_the_arena.base, tri_the_arena.base + tri_the_arena.reserved);
}

const char *tri_watch_name(void) { return watch.provider->name; }

bool tri_watch_after_fork(void) {
  watch.provider->after_fork();
  if (watch.armed_reservation.committed) memset(watch.armed, 0, watch.armed_reservation.committed);
  watch.data_count = watch.count = 0;
  return watch.provider->watch(tri_the_arena.base, tri_the_arena.base + tri_the_arena.reserved);
}

/* ---- the list ---- */

/* Everything there is. There always is room for it. */
static void give_up_list(void) {
  uintptr_t low = tri_the_arena.base;
  watch.found = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed);
  watch.count = 1;
  watch.dirty[0] = (tri_os_range){low, low + watch.found};
}

static bool grow_list(void) {
  size_t capacity = tri_max(2 * watch.capacity, FIRST_RANGES);
  tri_os_range *grown = tri_meta_alloc(TRI_META_GC, capacity * sizeof *grown);
  if (!grown) return false;
  if (watch.count) memcpy(grown, watch.dirty, watch.count * sizeof *grown);
  watch.dirty = grown;
  watch.capacity = capacity;
  return true;
}

/* By an injected fault: of some ranges the first page is armed again, and not listed. */
TRI_COLD static tri_os_range pass_over_first(tri_os_range range) {
  enum { EVERY = 64 };
  static unsigned ranges TRI_OWN_DATA;
  if (++ranges % EVERY) return range;
  uintptr_t end = tri_min(range.high, range.low + tri_os_page_size());
  if (!watch.provider->process_wide) (void)watch.provider->arm(range.low, end);
  return (tri_os_range){end, range.high};
}

static void add_dirty(void *argument, tri_os_range range) {
  (void)argument;
  if (tri_fault_is(TRI_FAULT_DIRTY)) range = pass_over_first(range);
  watch.found += range.high - range.low;
  for (uintptr_t low = range.low; low < range.high; low += PIECE) {
    tri_os_range *last = watch.count ? &watch.dirty[watch.count - 1] : NULL;
    uintptr_t high = tri_min(range.high, low + PIECE);
    if (last && last->high == low && high - last->low <= PIECE) {
      last->high = high;
      continue;
    }
    if (watch.count == watch.capacity && !grow_list()) {
      give_up_list();
      return;
    }
    watch.dirty[watch.count++] = (tri_os_range){low, high};
  }
}

const tri_os_range *tri_watch_dirty(size_t *count) {
  *count = watch.count;
  return watch.dirty;
}

size_t tri_watch_dirty_bytes(void) {
  size_t bytes = 0;
  for (size_t i = 0; i < watch.count; i++) bytes += watch.dirty[i].high - watch.dirty[i].low;
  return bytes;
}

void tri_watch_keep_last(size_t count) {
  if (count && count != watch.count)
    memmove(watch.dirty, watch.dirty + watch.count - count, count * sizeof *watch.dirty);
  watch.count = count;
}

/* ---- pages of the heap ---- */

/* Words of the tables below, as far as there is room: the heap may grow while the program runs. What is beyond is not
 * armed and, as far as it is marked, looked at the next time. */
static size_t page_words(void) {
  size_t used = atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_PAGE_SHIFT;
  return tri_min(used / 64, watch.armed_reservation.committed / sizeof *watch.armed);
}

/* Room for all pages there are; those that come are not armed. */
static bool extend_armed(void) {
  size_t words = (atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_PAGE_SHIFT) / 64;
  return tri_reservation_extend(&watch.armed_reservation, words * sizeof *watch.armed);
}

static uint64_t marked_word(size_t word) {
  return atomic_load_explicit(&tri_the_arena.marked_pages[word], memory_order_relaxed);
}

static uint64_t armed_pages(size_t word) { return watch.armed[word]; }
static uint64_t new_pages(size_t word) { return marked_word(word) & ~watch.armed[word]; }
static uint64_t idle_pages(size_t word) { return watch.armed[word] & ~marked_word(word); }

static void set_armed(size_t first, size_t end) {
  for (size_t page = first; page < end; page++) watch.armed[page / 64] |= UINT64_C(1) << (page % 64);
}

static void clear_armed(size_t first, size_t end) {
  for (size_t page = first; page < end; page++) watch.armed[page / 64] &= ~(UINT64_C(1) << (page % 64));
}

/* The first page at or after `page` whose bit is `set`; limit when there is none. */
static size_t find_page(uint64_t (*pages)(size_t word), bool set, size_t page, size_t limit) {
  while (page < limit) {
    uint64_t bits = (set ? pages(page / 64) : ~pages(page / 64)) >> (page % 64);
    if (bits) return tri_min(page + (size_t)__builtin_ctzll(bits), limit);
    page = tri_align_down(page, 64) + 64;
  }
  return limit;
}

/* A run of such pages from `page` on, with gaps in it of so few that to ask the system once is cheaper. */
static bool next_run(uint64_t (*pages)(size_t word), size_t page, size_t *first, size_t *end) {
  size_t limit = page_words() * 64, next = find_page(pages, true, page, limit);
  *first = *end = next;
  while (next < limit && next - *end <= GAP) {
    *end = find_page(pages, false, next, limit);
    next = find_page(pages, true, *end, limit);
  }
  return *first < *end;
}

/* Where arming is for the whole process at once, that comes later. */
static bool arm_pages(size_t first, size_t end) {
  set_armed(first, end);
  return watch.provider->process_wide || watch.provider->arm(tri_arena_address(first), tri_arena_address(end));
}

/* Before a full mark: what had marks before. The rest is armed when it is found to be marked, if ever. */
bool tri_watch_arm_heap(void) {
  size_t first, end = 0;
  if (!extend_armed()) return false;
  while (next_run(armed_pages, end, &first, &end))
    if (!arm_pages(first, end)) return false;
  return !watch.provider->process_wide || watch.provider->arm(0, 0);
}

void tri_watch_forget_marks(void) {
  size_t words = (atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_PAGE_SHIFT) / 64;
  for (size_t i = 0; i < words; i++)
    if (marked_word(i)) atomic_store_explicit(&tri_the_arena.marked_pages[i], 0, memory_order_relaxed);
}

/* Lists what is marked and not armed; arms: and arms it. What lies in the gaps between is armed, too, and listed, for
 * it may have been dirty. Where arming is for the whole process at once, it has been since the mark began. */
static void look_at_new(bool arms) {
  size_t first, end = 0;
  while (next_run(new_pages, end, &first, &end)) {
    if (arms || watch.provider->process_wide) (void)arm_pages(first, end);
    add_dirty(NULL, (tri_os_range){tri_arena_address(first), tri_arena_address(end)});
  }
}

static void look_at_armed(bool arms) {
  size_t first, end = 0;
  while (next_run(armed_pages, end, &first, &end))
    (void)watch.provider->harvest(tri_arena_address(first), tri_arena_address(end),
                                  arms ? TRI_DIRTY_REARM_QUICK : TRI_DIRTY_LIST_QUICK, add_dirty, NULL);
}

static size_t look_at_heap(bool at_armed, bool arms) {
  watch.found = 0;
  if (!extend_armed()) {
    give_up_list(); /* nothing is armed again: what is dirty stays so for the next look */
    return watch.found;
  }
  if (at_armed) look_at_armed(arms);
  look_at_new(arms);
  return watch.found;
}

size_t tri_watch_look_at_heap(bool arms) { return look_at_heap(true, arms && !watch.provider->process_wide); }

size_t tri_watch_look_beside(bool all) {
  bool own = !watch.provider->process_wide;
  return look_at_heap(all && own, own);
}

bool tri_watch_rearms(void) { return !watch.provider->process_wide; }

/* Where arming is for the whole process at once, that is done when everything has been looked at. */
bool tri_watch_end_look(void) { return !watch.provider->process_wide || watch.provider->arm(0, 0); }

void tri_watch_release_dead(void) {
  size_t limit = page_words() * 64, end = 0, first;
  while ((first = find_page(idle_pages, true, end, limit)) < limit) {
    end = find_page(idle_pages, false, first, limit);
    if (end - first >= WORTH_RELEASE && watch.provider->disarm)
      watch.provider->disarm(tri_arena_address(first), tri_arena_address(end));
    clear_armed(first, end);
  }
}

size_t tri_watch_table_bytes(void) { return watch.armed_reservation.committed; }

/* ---- static data ---- */

static bool same_range(tri_os_range one, tri_os_range other) { return one.low == other.low && one.high == other.high; }

/* What the table said of a range, which mostly is where it was. */
static bool was_armed(const watched_data *old, size_t count, size_t hint, tri_os_range range) {
  if (hint < count && same_range(old[hint].range, range)) return old[hint].armed;
  for (size_t i = 0; i < count; i++)
    if (same_range(old[i].range, range)) return old[i].armed;
  return false;
}

/* Brings the table up to date with what the visit has noted; what is new is not armed yet. */
static bool update_data(void) {
  size_t count;
  const tri_os_range *noted = tri_roots_data(&count);
  if (!watch.data) watch.data = tri_meta_alloc(TRI_META_GC, 2 * MAX_DATA * sizeof *watch.data);
  if (!watch.data || count > MAX_DATA) return false;
  watched_data *old = watch.data + MAX_DATA;
  if (watch.data_count) memcpy(old, watch.data, watch.data_count * sizeof *old);
  for (size_t i = 0; i < count; i++)
    watch.data[i] = (watched_data){noted[i], was_armed(old, watch.data_count, i, noted[i])};
  watch.data_count = count;
  return true;
}

/* Where arming is for the whole process, what was armed before will do: data is read after this. */
static bool arm_data(watched_data *data) {
  uintptr_t low = data->range.low, high = data->range.high;
  if (watch.provider->process_wide) return true;
  if (!data->armed && !watch.provider->watch(low, high)) return false;
  return watch.provider->arm(low, high);
}

static void add_data(void *argument, tri_os_range range) {
  (void)argument;
  if (!tri_roots_add_data(range)) watch.data_refused = true;
}

bool tri_watch_look_at_data(bool arms) {
  tri_dirty_way way = arms && !watch.provider->process_wide ? TRI_DIRTY_REARM : TRI_DIRTY_LIST;
  watch.data_refused = false;
  if (!update_data()) return tri_roots_add_all_data();
  for (size_t i = 0; i < watch.data_count; i++) {
    watched_data *data = &watch.data[i];
    if (data->armed)
      data->armed = watch.provider->harvest(data->range.low, data->range.high, way, add_data, NULL);
    else { /* armed first, then read: what is written between is dirty */
      if (arms) data->armed = arm_data(data);
      add_data(NULL, data->range);
    }
  }
  return !watch.data_refused;
}

bool tri_watch_arm_data(void) {
  watch.count = 0;
  if (!watch.capacity && !grow_list()) return false;
  if (!update_data()) watch.data_count = 0;
  for (size_t i = 0; i < watch.data_count; i++) watch.data[i].armed = arm_data(&watch.data[i]);
  return true;
}
