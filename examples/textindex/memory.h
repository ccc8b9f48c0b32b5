/* memory.h - the only file that knows which memory manager the program is built on.
 *
 * The program asks for memory here and says here when it is done with something. On tricolor the second half compiles
 * to nothing: memory that nobody can reach is reclaimed. With -DTEXTINDEX_MALLOC the same calls end in calloc and free,
 * and whatever several owners share carries a count of its holders: the comparison build.
 *
 * Both builds count the bytes they ask for, per thread: this is what --alloc-gb limits, so that both do the same work.
 * No call returns NULL: when memory is out the program says so and ends.
 */
#ifndef TEXTINDEX_MEMORY_H
#define TEXTINDEX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef TEXTINDEX_MALLOC
#define TRI_TYPE(...) struct memory_semicolon
#define MEMORY_NEW_(T) calloc(1, sizeof(T))
#define MEMORY_ARRAY_(T, n) calloc((n) != 0 ? (n) : 1, sizeof(T))
#define MEMORY_TEXT_(size) malloc((size) != 0 ? (size) : 1)
#define MEMORY_ZEROED_(size) calloc(1, (size) != 0 ? (size) : 1)
#else
#include <tricolor.h>
#define MEMORY_NEW_(T) tri_new(T)
#define MEMORY_ARRAY_(T, n) tri_make(T, n)
#define MEMORY_TEXT_(size) tri_alloc_uninit(size)
#define MEMORY_ZEROED_(size) tri_alloc_noscan(size)
#endif

/* Bytes and objects the calling thread has asked for. */
typedef struct memory_use {
  uint64_t bytes;
  uint64_t objects;
} memory_use;
extern _Thread_local memory_use memory_used;

_Noreturn void memory_out(size_t size);

static inline void *memory_counted(void *ptr, size_t size) {
  if (__builtin_expect(ptr == NULL, 0)) memory_out(size);
  memory_used.bytes += size;
  memory_used.objects++;
  return ptr;
}

/* A zeroed T; an array of n zeroed Ts. Where a TRI_TYPE names the fields of T, only those are searched for pointers. */
#define memory_new(T) ((T *)memory_counted(MEMORY_NEW_(T), sizeof(T)))
#define memory_array(T, n) ((T *)memory_counted(MEMORY_ARRAY_(T, n), sizeof(T) * (n)))

/* size bytes without pointers: to be overwritten, or zeroed. */
static inline void *memory_text(size_t size) { return memory_counted(MEMORY_TEXT_(size), size); }
static inline void *memory_zeroed(size_t size) { return memory_counted(MEMORY_ZEROED_(size), size); }

/* The caller is done with this object, and so is everybody else. */
static inline void memory_give(void *ptr) {
#ifdef TEXTINDEX_MALLOC
  free(ptr);
#else
  (void)ptr;
#endif
}

/* A larger copy of pointer-free memory; the old one is done with. */
static inline void *memory_grow(void *old, size_t old_size, size_t new_size) {
  void *grown = memory_text(new_size);
  if (old_size != 0) memcpy(grown, old, old_size);
  memory_give(old);
  return grown;
}

/* Whether the struct this is a field of owns something that it may also merely refer to. */
typedef struct memory_owner {
#ifdef TEXTINDEX_MALLOC
  bool owns;
#endif
} memory_owner;

static inline void memory_own(memory_owner *owner, bool owns) {
#ifdef TEXTINDEX_MALLOC
  owner->owns = owns;
#else
  (void)owner;
  (void)owns;
#endif
}

static inline bool memory_owned(const memory_owner *owner) {
#ifdef TEXTINDEX_MALLOC
  return owner->owns;
#else
  (void)owner;
  return false;
#endif
}

/* What free needs to know of an object that readers may still be using when its successor is in use already: how many
 * hold it, and what the successor replaced, each with a way to give it back. Lists, so that several threads can add to
 * them. Without free there is nothing to know, and no life either: NULL. Its own memory is not counted as use. */
typedef struct memory_life memory_life;
typedef struct memory_retired memory_retired;
typedef void memory_giver(void *object);

#ifdef TEXTINDEX_MALLOC
/* Held once. */
memory_life *memory_life_new(uint32_t lists);
void memory_hold(memory_life *life);
/* True for the last holder, who must give the object back, and end its life. */
bool memory_drop(memory_life *life);
void memory_life_end(memory_life *life);
memory_retired *memory_life_list(memory_life *life, uint32_t number);
void memory_retire(memory_retired *list, memory_giver *giver, void *object);
#else
static inline memory_life *memory_life_new(uint32_t lists) {
  (void)lists;
  return NULL;
}
static inline void memory_hold(memory_life *life) { (void)life; }
static inline bool memory_drop(memory_life *life) {
  (void)life;
  return false;
}
static inline void memory_life_end(memory_life *life) { (void)life; }
static inline memory_retired *memory_life_list(memory_life *life, uint32_t number) {
  (void)life, (void)number;
  return NULL;
}
static inline void memory_retire(memory_retired *list, memory_giver *giver, void *object) {
  (void)list, (void)giver, (void)object;
}
#endif

/* What the reports show. A malloc build leaves all but the first three at 0. Sizes in bytes, times in nanoseconds. */
typedef struct memory_figures {
  uint64_t rss;       /* resident now */
  uint64_t rss_start; /* resident when main began */
  uint64_t rss_peak;  /* the most that was ever resident */
  uint64_t allocated; /* TotalAlloc */
  uint64_t heap;      /* HeapAlloc */
  uint64_t heap_sys;  /* HeapSys */
  uint64_t sys;       /* Sys */
  uint64_t mallocs;   /* Mallocs */
  uint64_t marked;    /* the largest heap a collection found alive */
  uint64_t pause_total;
  uint64_t stop_count;
  uint64_t stop_longest;
  uint64_t mark_cpu;
  uint32_t collections; /* NumGC */
  double cpu_fraction;  /* GCCPUFraction */
} memory_figures;

/* "tricolor" or "malloc". */
extern const char *const memory_manager;
extern const bool memory_collected;

/* Notes what is resident before any work. */
void memory_start(void);
void memory_read(memory_figures *figures);

#endif
