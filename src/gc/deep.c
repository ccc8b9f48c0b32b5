/* deep.c - see deep.h.
 *
 * To be watched a range is registered with the system, and that divides a mapping; the main thread's is what the C
 * library takes its bounds from (pthread_getattr_np), so the mapping is always registered as a whole. Memory that is
 * watched already, for it is heap or static data, is left alone: to arm it here would hide what was written from there.
 *
 * Frames are copied before they are scanned: the thread runs on, and may end and take its stack with it. */
#include "gc/deep.h"

#include "gc/mark.h"
#include "gc/roots.h"
#include "os/dirty.h"

enum {
  NEAR = 64 * 1024,  /* this much below the stack pointer is expected to change, */
  DEEP = 4 * NEAR,   /* and stacks that are not so deep are not worth it */
  MAX_STACKS = 1024, /* what else is deep is read in every stop */
  BUFFER = 1024 * 1024,
  PIECE = 256 * 1024, /* of the buffer, for a marker */
};

typedef struct deep_part {
  uintptr_t low, high; /* of what is watched: up to the beginning of the stack */
  uintptr_t sp;        /* what lies below is no frame, as of the last stop in which it was */
  bool seen;           /* in the last stop */
  bool unread;         /* armed, and nothing more */
} deep_part;

static struct {
  const tri_dirty_provider *provider; /* NULL: nothing is watched */
  deep_part *parts;                   /* MAX_STACKS of them, made when first needed, */
  char *buffer;                       /* as this is */
  size_t count;
  size_t next;   /* where the next one is expected: threads come in the same order in most stops */
  size_t filled; /* bytes of the buffer */
  size_t bytes;  /* read, by the look under way */
  bool refused;  /* a root could not be added, or memory not be read, in the look under way */
  uint32_t turn; /* of who reads */
  tri_helpers_call call;
} deep TRI_OWN_DATA;

void tri_deep_init(void) {
  const tri_dirty_provider *provider = tri_dirty_choose();
  uintptr_t word = 0;
  bool reads = tri_os_read(&word, (uintptr_t)&deep, sizeof word) == sizeof word;
  if (reads && !provider->process_wide) deep.provider = provider;
}

void tri_deep_forget(void) { deep.count = 0; }

size_t tri_deep_bytes(void) {
  size_t bytes = 0;
  for (size_t i = 0; i < deep.count; i++) bytes += deep.parts[i].high - deep.parts[i].low;
  return bytes;
}

/* ---- the table ---- */

static bool has_table(void) {
  if (!deep.parts) deep.parts = tri_meta_alloc(TRI_META_GC, MAX_STACKS * sizeof *deep.parts);
  if (!deep.buffer) deep.buffer = tri_meta_alloc(TRI_META_GC, BUFFER);
  return deep.parts && deep.buffer;
}

static deep_part *find(uintptr_t high) {
  for (size_t i = 0; i < deep.count; i++) {
    size_t at = (deep.next + i) % deep.count;
    if (deep.parts[at].high != high) continue;
    deep.next = at + 1;
    return &deep.parts[at];
  }
  return NULL;
}

static deep_part *add(uintptr_t high) {
  if (!has_table() || deep.count == MAX_STACKS) return NULL;
  deep_part *part = &deep.parts[deep.count++];
  *part = (deep_part){.high = high};
  return part;
}

static void take_off(deep_part *part) { *part = deep.parts[--deep.count]; }

static uintptr_t frames_of(const deep_part *part) { return tri_max(part->low, part->sp); }

/* ---- in a stop ---- */

void tri_deep_stop_begins(void) {
  deep.next = 0;
  for (size_t i = 0; i < deep.count; i++) deep.parts[i].seen = false;
}

static bool is_watched_elsewhere(tri_os_mapping mapping) {
  size_t count;
  const tri_os_range *data = tri_roots_data(&count);
  for (size_t i = 0; i < count; i++)
    if (data[i].low < mapping.high && mapping.low < data[i].high) return true;
  return tri_arena_has(mapping.high - 1);
}

/* The range is in one mapping, unless the program changed the protection of some of it. */
static bool watch(uintptr_t low, uintptr_t high) {
  tri_os_mapping mapping;
  return tri_os_find_mapping(high - 1, &mapping) && mapping.low <= low && !is_watched_elsewhere(mapping) &&
         deep.provider->watch(mapping.low, mapping.high);
}

/* What is not registered yet refuses to be armed. */
static bool arm(uintptr_t low, uintptr_t high) {
  return deep.provider->arm(low, high) || (watch(low, high) && deep.provider->arm(low, high));
}

/* Its deep part is to be read from now on, all of it. What is not deep yet, or cannot be watched, is a root. */
static bool choose(uintptr_t low, uintptr_t high) {
  deep_part *part = find(high);
  if (!part) part = add(high);
  if (!part) return tri_roots_add_frames(low, high);
  uintptr_t deep_low = tri_align_up(low + NEAR, tri_os_page_size());
  *part = (deep_part){.low = deep_low, .high = high, .sp = low, .seen = true, .unread = true};
  bool armed = arm(deep_low, high);
  if (!armed) take_off(part);
  return tri_roots_add_frames(low, armed ? deep_low : high);
}

static bool is_deep(uintptr_t low, uintptr_t high) { return deep.provider && high - low >= DEEP; }

bool tri_deep_add_full(uintptr_t low, uintptr_t high) {
  return is_deep(low, high) ? choose(low, high) : tri_roots_add_frames(low, high);
}

/* What was chosen before, and read; NULL: nothing. */
static deep_part *see(uintptr_t low, uintptr_t high) {
  deep_part *part = is_deep(low, high) ? find(high) : NULL;
  if (!part || part->unread) return NULL;
  part->sp = low;
  part->seen = true;
  return part;
}

bool tri_deep_add_young(uintptr_t low, uintptr_t high) {
  const deep_part *part = see(low, high);
  if (!part || low + DEEP < part->low) return tri_deep_add_full(low, high);
  return tri_roots_add_frames(low, frames_of(part));
}

static void add_dirty(void *unused, tri_os_range range) {
  (void)unused;
  if (!tri_roots_add_frames(range.low, range.high)) deep.refused = true;
}

bool tri_deep_add_dirty(uintptr_t low, uintptr_t high) {
  const deep_part *part = see(low, high);
  if (!part) return tri_roots_add_frames(low, high);
  deep.refused = false;
  (void)deep.provider->harvest(frames_of(part), high, TRI_DIRTY_LIST, add_dirty, NULL);
  return tri_roots_add_frames(low, frames_of(part)) && !deep.refused;
}

/* ---- beside the program ---- */

static void scan_buffer(void) {
  tri_root pieces[BUFFER / PIECE];
  size_t count = 0;
  uintptr_t low = (uintptr_t)deep.buffer, high = low + deep.filled;
  for (; low < high; low += PIECE)
    pieces[count++] = (tri_root){.low = low, .high = tri_min(high, low + PIECE), .kind = TRI_ROOT_STACK};
  if (count) tri_mark_read(deep.turn, deep.call, pieces, count);
  deep.filled = 0;
}

/* What cannot be read has been unmapped, or made inaccessible. */
static void copy(void *unused, tri_os_range range) {
  (void)unused;
  range = (tri_os_range){tri_align_up(range.low, sizeof(uintptr_t)), tri_align_down(range.high, sizeof(uintptr_t))};
  deep.bytes += range.high - range.low;
  while (range.low < range.high && !deep.refused) {
    size_t wanted = tri_min(range.high - range.low, BUFFER - deep.filled);
    ptrdiff_t got = tri_os_read(deep.buffer + deep.filled, range.low, wanted);
    deep.refused = got < 0;
    if (got > 0) deep.filled += (size_t)got;
    range.low = got > 0 ? range.low + (size_t)got : tri_align_down(range.low, tri_os_page_size()) + tri_os_page_size();
    if (deep.filled == BUFFER) scan_buffer();
  }
}

static void read_part(deep_part *part) {
  tri_os_range frames = {frames_of(part), part->high};
  if (part->unread)
    copy(NULL, frames);
  else
    (void)deep.provider->harvest(frames.low, frames.high, TRI_DIRTY_REARM, copy, NULL);
  part->unread = false;
}

/* Of a part that was not seen nobody knows whose memory it is now. */
bool tri_deep_read(uint32_t turn, tri_helpers_call call, size_t *bytes) {
  deep.turn = turn;
  deep.call = call;
  deep.bytes = 0;
  deep.refused = false;
  for (size_t i = deep.count; i-- > 0;) {
    if (deep.parts[i].seen)
      read_part(&deep.parts[i]);
    else
      take_off(&deep.parts[i]);
  }
  scan_buffer();
  *bytes = deep.bytes;
  return !deep.refused;
}
