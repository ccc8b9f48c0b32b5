/* watch.c - see watch.h.
 *
 * The whole reservation of the heap is watched from the start, so that what is committed later is, too, and remains one
 * mapping with what is there. Of it only those pages are armed that belong to spans in which something was marked: most
 * of what a program allocates dies young, is written all over while it lives, and every first write to an armed page
 * costs nearly a microsecond. A page that is not armed and found to have marks is armed then, and all of it is dirty
 * that once. A page stays armed after the mark, unless nothing in it has lived; it is armed again before the next. */
#include "gc/watch.h"

#include <string.h>

#include "heap/span.h"
#include "os/dirty.h"

enum {
  FIRST_RANGES = 4096,
  PIECE = 32 * 1024, /* of a dirty range, for a marker to take */
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
  tri_region armed_region;
  uint64_t *armed;    /* a bit for each page of the heap: what is dirty there is known from the provider */
  bool data_refused;  /* the list of roots could not take a range */
  watched_data *data; /* in the order the loader shows them; MAX_DATA, made when first needed */
  size_t data_count;
} watch TRI_OWN_DATA;

bool tri_watch_init(void) {
  watch.provider = tri_dirty_choose();
  if (strcmp(watch.provider->name, "none") == 0) return false;
  size_t bytes = (tri_the_arena.reserved >> TRI_PAGE_SHIFT) / 8;
  if (!watch.armed && !tri_region_reserve(&watch.armed_region, bytes, 4096, "tricolor: armed")) return false;
  watch.armed = (uint64_t *)watch.armed_region.base;
  return watch.provider->watch(tri_the_arena.base, tri_the_arena.base + tri_the_arena.reserved);
}

const char *tri_watch_name(void) { return watch.provider->name; }

bool tri_watch_after_fork(void) {
  watch.provider->after_fork();
  if (watch.armed_region.committed) memset(watch.armed, 0, watch.armed_region.committed);
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

static void add_dirty(void *argument, tri_os_range range) {
  (void)argument;
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

/* ---- the heap ---- */

static bool is_armed(size_t page) { return watch.armed[page / 64] >> (page % 64) & 1; }

static void set_armed(size_t first, size_t end) {
  for (size_t page = first; page < end; page++) watch.armed[page / 64] |= UINT64_C(1) << (page % 64);
}

/* Room for all pages there are; those that come are not armed. */
static bool extend_armed(void) {
  size_t words = (atomic_load_explicit(&tri_the_arena.used, memory_order_relaxed) >> TRI_PAGE_SHIFT) / 64;
  return tri_region_extend(&watch.armed_region, words * sizeof *watch.armed);
}

/* A run of chunks to look at, as far as there is room for its pages: the heap may grow while the program runs. What is
 * beyond is not armed. */
static bool next_chunks(size_t page, size_t *first, size_t *end) {
  bool found = tri_page_heap_next_scanned(page, first, end);
  *end = tri_min(*end, watch.armed_region.committed * 8);
  return found && *first < *end;
}

static bool is_scanned(size_t page) {
  uint32_t kind = tri_arena_kind(page);
  return (kind & TRI_KIND_IN_USE) && !(kind & TRI_KIND_NOSCAN);
}

/* A run of pages for which holds is true, or gaps in it of so few pages that to ask the system once is cheaper. */
static bool next_run(size_t *page, size_t limit, bool (*holds)(size_t page), size_t *first, size_t *end) {
  while (*page < limit && !holds(*page)) ++*page;
  *first = *end = *page;
  for (; *page < limit && *page - *end <= GAP; ++*page)
    if (holds(*page)) *end = *page + 1;
  return *first < *end;
}

/* Where arming is for the whole process at once, that comes later. */
static bool arm_pages(size_t first, size_t end) {
  set_armed(first, end);
  return watch.provider->process_wide || watch.provider->arm(tri_arena_address(first), tri_arena_address(end));
}

static bool was_armed_and_is_used(size_t page) { return is_armed(page) && is_scanned(page); }

/* Before a mark: of what is in use, what had marks before. The rest is armed when it is found to be marked, if ever. */
bool tri_watch_arm_heap(void) {
  size_t chunk_first, chunk_end = 0, first, end;
  if (!extend_armed()) return false;
  while (next_chunks(chunk_end, &chunk_first, &chunk_end))
    for (size_t page = chunk_first; next_run(&page, chunk_end, was_armed_and_is_used, &first, &end);)
      if (!arm_pages(first, end)) return false;
  return !watch.provider->process_wide || watch.provider->arm(0, 0);
}

static bool has_marks(const tri_span *span) {
  size_t words = span->size_class ? tri_span_words(span) : 1; /* a large object has bits at its start alone */
  for (size_t word = 0; word < words; word++)
    if (atomic_load_explicit(tri_span_mark_word(span, word), memory_order_relaxed)) return true;
  return false;
}

/* A page that is not armed, and belongs to a span that holds what is marked. */
static bool is_newly_marked(size_t page) {
  if (is_armed(page) || !is_scanned(page)) return false;
  const tri_span *span = tri_span_of(tri_arena_address(page));
  return span && has_marks(span);
}

static void look_at_new(size_t from, size_t limit) {
  size_t first, end, page = from;
  while (next_run(&page, limit, is_newly_marked, &first, &end)) {
    (void)arm_pages(first, end);
    add_dirty(NULL, (tri_os_range){tri_arena_address(first), tri_arena_address(end)});
  }
}

static void look_at_armed(size_t from, size_t limit) {
  size_t first, end, page = from;
  while (next_run(&page, limit, is_armed, &first, &end))
    (void)watch.provider->harvest(tri_arena_address(first), tri_arena_address(end), !watch.provider->process_wide,
                                  add_dirty, NULL);
}

size_t tri_watch_look_at_new(void) {
  size_t first, end = 0;
  watch.found = 0;
  if (!extend_armed()) return 0;
  while (next_chunks(end, &first, &end)) look_at_new(first, end);
  return watch.found;
}

size_t tri_watch_look_at_heap(void) {
  size_t first, end = 0;
  watch.found = 0;
  if (!extend_armed()) {
    give_up_list(); /* nothing is armed again: what is dirty stays so for the next look */
    return watch.found;
  }
  while (next_chunks(end, &first, &end)) {
    look_at_armed(first, end);
    look_at_new(first, end);
  }
  return watch.found;
}

/* Where arming is for the whole process at once, that is done when everything has been looked at. */
bool tri_watch_end_look(void) { return !watch.provider->process_wide || watch.provider->arm(0, 0); }

/* Whoever sweeps meanwhile may make it look so when it is not, which does no harm: before the next mark all is armed
 * again. */
static bool is_dead(size_t page) {
  if (!is_armed(page)) return false;
  const tri_span *span = is_scanned(page) ? tri_span_of(tri_arena_address(page)) : NULL;
  return !span || !has_marks(span);
}

void tri_watch_release_dead(void) {
  size_t limit, end = 0, first, run_end, page;
  while (next_chunks(end, &page, &limit)) {
    while (next_run(&page, limit, is_dead, &first, &run_end)) {
      if (watch.provider->disarm && run_end - first >= WORTH_RELEASE)
        watch.provider->disarm(tri_arena_address(first), tri_arena_address(run_end));
      for (size_t at = first; at < run_end; at++)
        if (is_dead(at)) watch.armed[at / 64] &= ~(UINT64_C(1) << (at % 64));
    }
    end = limit;
  }
}

size_t tri_watch_table_bytes(void) { return watch.armed_region.committed; }

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

bool tri_watch_look_at_data(void) {
  bool rearm = !watch.provider->process_wide;
  watch.data_refused = false;
  if (!update_data()) return tri_roots_add_all_data();
  for (size_t i = 0; i < watch.data_count; i++) {
    watched_data *data = &watch.data[i];
    if (data->armed)
      data->armed = watch.provider->harvest(data->range.low, data->range.high, rearm, add_data, NULL);
    else { /* armed first, then read: what is written between is dirty */
      data->armed = arm_data(data);
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
