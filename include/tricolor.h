/* tricolor.h - Go's memory manager as a C library: allocate, never free.
 *
 * Allocate with tri_alloc and its relatives, store the pointers anywhere the collector looks, and forget them: memory
 * that can no longer be reached is reclaimed. Nothing has to be freed, no object needs a header, pointers are plain C
 * pointers, objects never move.
 *
 *     #include <tricolor.h>
 *
 *     typedef struct node { struct node *left, *right; long key; } node;
 *     TRI_TYPE(node, left, right);            // optional: only these fields hold pointers
 *
 *     node *n = tri_new(node);                // zeroed
 *     n->left = tri_new(node);                // plain stores, no barrier
 *
 * WHERE THE COLLECTOR LOOKS (its roots)
 *   registers and stacks of all threads, alternate signal stacks included; data and bss of the executable and of every
 *   loaded library; thread-local variables; ranges named with tri_add_root; and objects reached from those.
 *   Pointers may point anywhere inside an object. A pointer just past the end of an object keeps that object when it
 *   lies in a root (a variable, a register); found only inside another heap object it keeps nothing. Nor need it
 *   keep, when it lies in static data, a single object of a described type (a stack in static data is to be named with
 *   tri_add_root); nor, wherever it lies, an object of 17 to 24 bytes from tri_new.
 *
 * WHERE IT DOES NOT LOOK
 *   memory from malloc or mmap (name it with tri_add_root), memory from tri_alloc_noscan, fields a TRI_TYPE leaves out,
 *   pthread_getspecific values beyond the first 32 keys, files, pipes, and pointers disguised by arithmetic.
 *
 * THREADS
 *   Every function may be called from any thread at any time unless its text says otherwise. Threads are found by
 *   themselves, however they were made. No function may be called from a signal handler, but for tri_err_name,
 *   tri_version and tri_keep_alive. A child made by fork has a copy of the heap and goes on with it.
 *
 * ERRORS
 *   Allocation returns NULL with errno ENOMEM after the out-of-memory handler (tri_set_oom_handler) gave up; sizes that
 *   can never succeed return NULL with errno ENOMEM at once, without calling the handler, and so does a heap that could
 *   not start. Calls that succeed leave errno as it was. Misuse (freeing what is not ours, freeing twice) prints one
 *   line that names the call and the values to standard error and aborts: the heap is never left corrupted.
 *
 * Go's name for each thing is given as (Go: ...). Sizes are bytes unless a name says otherwise.
 */
#ifndef TRICOLOR_H
#define TRICOLOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header; tri_version tells the library's. */
#define TRI_VERSION_MAJOR 0
#define TRI_VERSION_MINOR 1
#define TRI_VERSION_PATCH 0

#if defined(TRI_BUILDING) && defined(__GNUC__)
#define TRI_API __attribute__((visibility("default")))
#else
#define TRI_API
#endif

#if defined(__GNUC__)
#define TRI_ATTR_ALLOC(...) __attribute__((malloc, warn_unused_result, alloc_size(__VA_ARGS__)))
#define TRI_ATTR_MALLOC __attribute__((malloc, warn_unused_result))
#else
#define TRI_ATTR_ALLOC(...)
#define TRI_ATTR_MALLOC
#endif

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

/* Result of the calls that can fail otherwise than by returning NULL. */
typedef enum tri_err {
  TRI_OK = 0,
  TRI_ERR_NOMEM,     /* the system gave no memory */
  TRI_ERR_INVALID,   /* an argument or an environment variable is malformed; a line on standard error says which */
  TRI_ERR_ALREADY,   /* the heap runs already; the options had no effect */
  TRI_ERR_NOT_FOUND, /* no such root, thread, ... */
  TRI_ERR_SYSTEM     /* the system refused something it usually grants; errno says what */
} tri_err;

/* A constant English name for an error, never NULL. Async-signal-safe. */
TRI_API const char *tri_err_name(tri_err err);

/* The version of the library that the program runs with, "0.1.0". Async-signal-safe. (Go: runtime.Version) */
TRI_API const char *tri_version(void);

/* Options for tri_init. Zero means "the default, or what the environment says"; other values win over the environment.
 * Set size to sizeof(tri_options), so that programs built against an older header keep working. Every option has an
 * environment variable, see tricolor(7). */
typedef struct tri_options {
  size_t size;         /* sizeof(tri_options); required */
  int gc_percent;      /* heap growth that starts a collection, in percent of what is live; negative = never (Go:
                          GOGC). For 0, tri_set_gc_percent */
  int gc_threads;      /* threads that mark during a collection, at most 64; default: one per processor */
  size_t heap_reserve; /* bytes of address space to reserve, the heap's largest size; a wish: less where the limits do
                          not allow it. Rounded up to whole 4 MiB. Default: 1 TiB, or what leaves the program
                          half of its limit (ulimit -v) */
  const char *trace;   /* "gc" prints a line per collection (TRICOLOR_TRACE); read during the call only */
  const char *debug;   /* "check=1,poison=1,gcevery=N" (TRICOLOR_DEBUG); likewise */
} tri_options;

/* Starts the heap. Optional: the first allocation starts it with options from the environment. options may be NULL.
 * Returns TRI_OK; TRI_ERR_ALREADY when the heap runs already and options is not NULL (they are ignored then);
 * TRI_ERR_INVALID for unknown or malformed options, in the environment too: the call has then done nothing, and the
 * first allocation starts the heap by what is good in the environment; TRI_ERR_NOMEM when there is no address space,
 * with a line on standard error.
 * Takes under a millisecond. */
TRI_API tri_err tri_init(const tri_options *options);

/* ---- Allocating -------------------------------------------------------------------------------------------------- */

/* size bytes, zeroed, aligned to 16; scanned conservatively: any word in it that looks like a pointer is taken for one.
 * size 0 gives a unique object of the smallest class. O(1); a few nanoseconds up to 1 KiB. (Go: new, make) */
TRI_API void *tri_alloc(size_t size) TRI_ATTR_ALLOC(1);

/* The same for data without pointers: text, pixels, numbers. Zeroed, never scanned. Use it wherever it is true: it
 * makes collections cheaper. Requests under 16 bytes share blocks and are aligned to 8 from 8 bytes on, to 4 from 4, to
 * 2 from 2: as much as a C object of that size can ask for. (Go: new of a pointer-free type) */
TRI_API void *tri_alloc_noscan(size_t size) TRI_ATTR_ALLOC(1);

/* As tri_alloc_noscan, but the contents are unspecified: for buffers that are overwritten at once. */
TRI_API void *tri_alloc_uninit(size_t size) TRI_ATTR_ALLOC(1);

/* As tri_alloc, at an address that is a multiple of alignment: a power of two, at most 1 MiB; otherwise NULL with errno
 * EINVAL. tri_alloc_noscan_aligned is the pointer-free form. tri_realloc does not keep such an alignment. */
TRI_API void *tri_alloc_aligned(size_t alignment, size_t size) TRI_ATTR_ALLOC(2);
TRI_API void *tri_alloc_noscan_aligned(size_t alignment, size_t size) TRI_ATTR_ALLOC(2);

/* count * size bytes as tri_alloc; NULL with errno ENOMEM when the product overflows. (C: calloc) */
TRI_API void *tri_alloc_array(size_t count, size_t size) TRI_ATTR_ALLOC(1, 2);

/* Grows or shrinks an object, which may change its address; the old address is free afterwards, as with realloc. What
 * is new is zero. The new object is of the old one's kind (conservative, noscan, typed). ptr NULL is tri_alloc(size);
 * size 0 is taken as 1. On failure NULL, and the old object is untouched. A ptr that is not the start of an object:
 * abort. Of pointer-free objects under 16 bytes the old size is not known: past it, up to 16 bytes are unspecified, not
 * zero. */
TRI_API void *tri_realloc(void *ptr, size_t size);

/* Copies of a string, pointer-free, always terminated, not aligned. s must not be NULL. */
TRI_API char *tri_strdup(const char *s) TRI_ATTR_MALLOC;
TRI_API char *tri_strndup(const char *s, size_t max) TRI_ATTR_MALLOC;

/* Gives an object back at once. Never needed; worth it for large short-lived buffers. The caller vouches that nobody
 * uses the object any more, as with free: its memory may be the next object. NULL is ignored. Objects under 16 bytes
 * from tri_alloc_noscan share blocks and are left to the collector. A pointer that is not the start of an object, or
 * whose object is free already: abort. O(1). */
TRI_API void tri_free(void *ptr);

/* ---- Types: saying where the pointers are ------------------------------------------------------------------------ */

/* TRI_TYPE(T, field, ...) at file scope, after T is complete: objects made with tri_new(T) and tri_make(T, n) are
 * scanned precisely: only the named fields hold pointers into the heap. A field may be a pointer, an array of pointers,
 * or a nested struct or union (then every word of it is taken for a possible pointer). TRI_TYPE(T) without fields: T
 * holds none. At most 32 fields; name an enclosing struct or array when there are more. T is any type name, `struct
 * node` and double too. The map serves the translation unit it is written in; put it into the header that defines T to
 * serve all. A type is described once in a translation unit (a second description with other fields is refused, with a
 * line on standard error), and must not have the name and size of a different type in an inner scope of the same file.
 * A shared library that describes types may be unloaded: its types are forgotten then, its objects stay.
 *
 * A field that holds a pointer and is not named is not followed: what only it points to is lost. Precision is not
 * promised: scanned conservatively all the same are types over 32 KiB, types aligned to more than 16, and, of each
 * type, the first 32 KiB or so of small objects. So a small program may hide a wrong TRI_TYPE; under
 * TRICOLOR_DEBUG=check=1 the first object is scanned precisely, too. */
#define TRI_TYPE(...) TRI_TYPE_AT_(TRI_CAT_(tri_type_map_, __COUNTER__), __VA_ARGS__, )

/* The same by ranges of bytes, as "tricolor types" writes them: TRI_TYPE_RANGES(T, {0, 8}, {24, 16}) for the words at
 * 0, 24 and 32. */
#define TRI_TYPE_RANGES(...) TRI_TYPE_RANGES_AT_(TRI_CAT_(tri_type_map_, __COUNTER__), __VA_ARGS__)

/* clang-format off */

/* A zeroed T, aligned as T has to be, and to 16 where T has pointers and is not of 17 to 24 bytes. Precise when a
 * TRI_TYPE for T is known, conservative otherwise (char and double too: tri_alloc_noscan, or TRI_TYPE(double)). Gives T
 * *, NULL when memory is out. In C++ no constructor runs. */
#define tri_new(T) (__extension__({                                                                                    \
  static tri_site tri_site_ = TRI_SITE_(T);                                                                            \
  (T *)tri_alloc_site_here_(&tri_site_);                                                                               \
}))

/* An array of n zeroed Ts, likewise. NULL with errno ENOMEM when n * sizeof(T) overflows. (Go: make([]T, n)) */
#define tri_make(T, n) (__extension__({                                                                                \
  static tri_site tri_site_ = TRI_SITE_(T);                                                                            \
  (T *)tri_alloc_site_array(&tri_site_, (n));                                                                          \
}))

/* clang-format on */

/* What the macros above are made of; runtimes that know their types while running use these directly. */

/* One range of bytes of a type that may hold pointers. */
typedef struct tri_field {
  size_t offset;
  size_t size;
} tri_field;

/* A type as TRI_TYPE describes it. It must stay where it is until it is unregistered. */
typedef struct tri_type {
  const char *name;
  const void *unit; /* identifies the translation unit that describes the type; NULL: no tri_new is to find it */
  size_t size;
  const tri_field *fields;
  size_t field_count;
  struct tri_type *next; /* the library's */
  uint32_t layout;       /* the library's */
} tri_type;

/* One place in the program that allocates a type; caches what the library found out about it. */
typedef struct tri_site {
  const char *name;
  const void *unit;
  size_t size;
  size_t align;
  uint32_t slot;   /* the library's */
  uint32_t bucket; /* the library's */
} tri_site;

/* Registers a type; fields must lie inside it, on pointer boundaries, and no type of the same unit, name and size may
 * be registered with other fields: else a line on standard error, and TRI_ERR_INVALID. Idempotent. Static constructors
 * may call it, before the heap is started. */
TRI_API tri_err tri_type_register(tri_type *type);

/* Forgets a type, whose memory may be reused then; objects made by it stay what they are. TRI_TYPE sees to it that a
 * library which is unloaded forgets its types. TRI_ERR_NOT_FOUND when it is not registered. */
TRI_API tri_err tri_type_unregister(tri_type *type);

/* A zeroed array of count objects of a registered type. NULL with errno ENOMEM when the product overflows. */
TRI_API void *tri_alloc_typed(const tri_type *type, size_t count) TRI_ATTR_MALLOC;

/* What tri_new and tri_make call. site has static storage. */
/* One object of a site's type. */
TRI_API void *tri_alloc_site(tri_site *site) TRI_ATTR_MALLOC;

TRI_API void *tri_alloc_site_array(tri_site *site, size_t count) TRI_ATTR_MALLOC;

/* The library's own, which change with its SONAME: what is compiled into programs looks here, and into tricolor/pool.h.
 * Of the calling thread: its number, where the heap is, and its cache of free slots. */
struct tri_self {
  uint32_t number; /* none has it but this one, while it lives; UINT32_MAX: the library does not know the thread yet */
  uintptr_t heap;  /* it lies between this and heap_size more */
  size_t heap_size;
};
TRI_API extern __thread struct tri_self tri_self __attribute__((tls_model("initial-exec")));
struct tri_cache;
TRI_API extern __thread struct tri_cache *tri_cache_self __attribute__((tls_model("initial-exec")));
typedef struct tri_cache_slot_ {
  uint64_t free;
  uintptr_t base;
  uint64_t odd;
  uint32_t bucket;
} tri_cache_slot_;

/* The short way of tri_alloc_site: takes a free slot. A thread stopped between the store and its use of the object must
 * have the object's address in a register: the asm makes the address come first. */
static inline void *tri_alloc_site_here_(tri_site *site) {
  tri_cache_slot_ *slot =
      (tri_cache_slot_ *)(void *)((char *)tri_cache_self + __atomic_load_n(&site->slot, __ATOMIC_RELAXED));
  uint64_t free_ = __atomic_load_n(&slot->free, __ATOMIC_RELAXED);
  uintptr_t object;
  if (__builtin_expect(!free_ || slot->bucket != __atomic_load_n(&site->bucket, __ATOMIC_RELAXED), 0))
    return tri_alloc_site(site);
  object = __atomic_load_n(&slot->base, __ATOMIC_RELAXED) + ((uintptr_t)__builtin_ctzll(free_) << 4) -
           ((free_ & -free_ & slot->odd) ? 8 : 0);
  __asm__("" : "+r"(object), "+r"(free_));
  __atomic_store_n(&slot->free, free_ & (free_ - 1), __ATOMIC_RELAXED);
  return (void *)object;
}

/* ---- Asking about pointers --------------------------------------------------------------------------------------- */

/* The size that the object at ptr really has: at least what was asked for. ptr must be the start of an object:
 * otherwise abort. Pointer-free objects under 16 bytes answer with the rest of their block. */
TRI_API size_t tri_size_of(const void *ptr);

/* The start of the object that ptr points into, or NULL when ptr is not in an object of this heap, or in a free one.
 * For pointer-free objects under 16 bytes, the start of the block they share. ptr may be any value. */
TRI_API void *tri_base_of(const void *ptr);

/* Keeps the object alive up to this point, though no copy of the pointer may be left: for pointers that the program
 * otherwise only holds disguised. Costs nothing. (Go: runtime.KeepAlive) */
static inline void tri_keep_alive(const void *ptr) {
#if defined(__GNUC__)
  __asm__ volatile("" : : "r"(ptr) : "memory");
#else
  (void)ptr;
#endif
}

/* ---- Collecting -------------------------------------------------------------------------------------------------- */

/* Runs a whole collection and sweeps everything; what was unreachable at the call is free afterwards, and counted so.
 * (Go: runtime.GC) */
TRI_API void tri_gc(void);

/* Sets the percentage of growth over what is live (heap, stacks, static data) that starts the next collection;
 * negative: collections only on tri_gc. Returns the previous value, -1 for a negative one. 100 by default. (Go:
 * debug.SetGCPercent) */
TRI_API int tri_set_gc_percent(int percent);

/* Collects, then returns every free page to the system. (Go: debug.FreeOSMemory) */
TRI_API void tri_free_os_memory(void);

/* ---- Roots ------------------------------------------------------------------------------------------------------- */

/* Lets the collector look into memory it does not see by itself, such as a block from malloc that holds pointers.
 * start need not be aligned; whole aligned words in [start, start + size) are read at each collection, so the range
 * must stay readable until tri_remove_root with the same start (remove it before free). The same start twice replaces
 * the size. TRI_ERR_INVALID when start is NULL or the range wraps around, TRI_ERR_NOMEM. O(1). */
TRI_API tri_err tri_add_root(const void *start, size_t size);

/* Ends what tri_add_root with this start began; TRI_ERR_NOT_FOUND when there is none. O(1). */
TRI_API tri_err tri_remove_root(const void *start);

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* Tells of the calling thread. Never needed for threads that the system lists; for threads with stacks the library
 * cannot bound (a thread made by a raw clone on memory of the program's own): stack_low and stack_high bound the whole
 * stack. Both NULL: find them. Attaching twice only updates the bounds. TRI_ERR_INVALID when low is not below high, or
 * the calling function's frame is not between them. */
TRI_API tri_err tri_thread_attach(void *stack_low, void *stack_high);

/* Forgets the calling thread: its cached memory goes back, its stack is not looked at until it uses the library again.
 * TRI_ERR_NOT_FOUND when the library does not know it. */
TRI_API tri_err tri_thread_detach(void);

/* Brackets a call that may block for long (a system call the library does not interpose): between the two the thread
 * must not touch the heap, and a collection need not interrupt it. May nest; an end without its begin: abort. */
TRI_API void tri_blocking_begin(void);
TRI_API void tri_blocking_end(void);

/* ---- Memory running out -------------------------------------------------------------------------------------------*/

/* Called when the system gives no memory for an allocation of size bytes, after a collection did not help; attempt
 * counts from 1. Return true after releasing something to try again, false to let the allocation return NULL. May
 * allocate; a failure inside does not call it again. It runs in the thread that allocates, with no lock of ours held,
 * and in several threads at once. NULL: no handler. Returns the previous handler. */
typedef bool (*tri_oom_handler)(size_t size, int attempt, void *context);
TRI_API tri_oom_handler tri_set_oom_handler(tri_oom_handler handler, void *context);

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

#define TRI_BY_SIZE_COUNT 68 /* at least the number of size classes; unused entries are zero */

/* Go's runtime.MemStats: the same names, the same meanings, the same identities
 * (HeapSys = HeapInuse + HeapIdle, HeapAlloc = Alloc, HeapObjects = Mallocs - Frees, Sys = the sum of the Sys
 * parts). */
typedef struct tri_memstats {
  uint64_t Alloc;        /* bytes in allocated objects, garbage not yet swept included */
  uint64_t TotalAlloc;   /* bytes ever allocated */
  uint64_t Sys;          /* bytes obtained from the system: the sum of all *Sys */
  uint64_t Lookups;      /* always 0 */
  uint64_t Mallocs;      /* objects ever allocated */
  uint64_t Frees;        /* objects ever freed */
  uint64_t HeapAlloc;    /* = Alloc */
  uint64_t HeapSys;      /* bytes of heap obtained from the system, released ones included */
  uint64_t HeapIdle;     /* bytes in spans without objects */
  uint64_t HeapInuse;    /* bytes in spans with at least one object */
  uint64_t HeapReleased; /* bytes of HeapIdle that the system has back, or never had to provide */
  uint64_t HeapObjects;  /* objects allocated now */
  uint64_t StackInuse;   /* bytes in managed stacks; 0, for there are none yet, and so is StackSys */
  uint64_t StackSys;
  uint64_t MSpanInuse; /* bytes of span descriptors in use */
  uint64_t MSpanSys;
  uint64_t MCacheInuse; /* bytes of thread caches in use */
  uint64_t MCacheSys;
  uint64_t BuckHashSys;   /* bytes of profiling tables */
  uint64_t GCSys;         /* bytes of the collector's tables: bitmaps, page tables, work buffers */
  uint64_t OtherSys;      /* everything else */
  uint64_t NextGC;        /* heap size at which the next collection starts or ends */
  uint64_t LastGC;        /* when the last collection ended, nanoseconds since 1970; 0 before the first */
  uint64_t PauseTotalNs;  /* time for which collections kept the program from running */
  uint64_t PauseNs[256];  /* the last 256 of those; the newest at [(NumGC + 255) % 256] */
  uint64_t PauseEnd[256]; /* when they ended, nanoseconds since 1970 */
  uint32_t NumGC;         /* collections finished */
  uint32_t NumForcedGC;   /* of them by tri_gc */
  double GCCPUFraction;   /* the collector's share, 0 to 1, of the processor time available since the start; of stops
                           * all processors, as in Go */
  bool EnableGC;          /* always true */
  bool DebugGC;           /* always false */
  struct {
    uint32_t Size; /* objects of up to this many bytes, over the previous entry's */
    uint64_t Mallocs;
    uint64_t Frees;
  } BySize[TRI_BY_SIZE_COUNT];
} tri_memstats;

/* Fills *stats. Stops nobody; microseconds. (Go: runtime.ReadMemStats) */
TRI_API void tri_read_memstats(tri_memstats *stats);

/* Stops: every interval for which the collector kept a thread of the program from running, whatever the reason.
 * counts[i] counts stops of up to 2^i microseconds (the last entry: all longer ones). */
#define TRI_STOP_BUCKETS 24
typedef struct tri_stopstats {
  uint64_t count;
  uint64_t total_ns;
  uint64_t longest_ns;
  uint64_t counts[TRI_STOP_BUCKETS];
  uint64_t mark_cpu_ns;          /* processor time of all markers */
  uint64_t largest_marked_bytes; /* the largest live heap that any collection found */
  const char *gear;              /* how collections run: "page", beside the program, or "none", in one stop each */
  uint64_t cycles_begun;         /* collections; of them so many ended: NumGC of tri_memstats */
  uint64_t concurrent;           /* of those ended: that marked beside the program */
  uint64_t young;                /* of those ended: that took old objects to live and looked at young ones only */
  uint64_t rounds;               /* looks at what the program had written meanwhile, beside it or in a stop */
  uint64_t abandoned;            /* stops that were to be the last and took too long: given up */
  uint64_t assist_ns; /* time that threads of the program spent marking, or waiting to, for their allocations; all of
                       * them together */
} tri_stopstats;
/* Fills *stats. Stops nobody; microseconds. */
TRI_API void tri_read_stopstats(tri_stopstats *stats);

/* How many collections have begun, and how many of them are over, finished or given up: the same number while none is
 * under way. Waits for nobody and does not start the heap; nanoseconds, so that a program may ask at each of its
 * operations. (Go: runtime/metrics, /gc/cycles/total:gc-cycles, has those that are over) */
TRI_API void tri_read_cycles(uint64_t *begun, uint64_t *over);

/* ---- What the macros expand to; not for use -----------------------------------------------------------------------*/

#define TRI_CAT2_(a, b) a##b
#define TRI_CAT_(a, b) TRI_CAT2_(a, b)
#ifdef __cplusplus
#define TRI_ALIGNOF_(T) alignof(T)
#else
#define TRI_ALIGNOF_(T) _Alignof(T)
#endif
/* clang-format off */

/* One per translation unit: its address tells equally named types of different files apart. */
__attribute__((unused)) static char tri_unit_;
#define TRI_SITE_(T) {#T, &tri_unit_, sizeof(T), TRI_ALIGNOF_(T), 0, 0}

#define TRI_FIELD_(T, f) {offsetof(T, f), sizeof(((T *)0)->f)},
#define TRI_TYPE_AT_(id, T, ...) TRI_TYPE_BY_(id, T, TRI_EACH_(T, __VA_ARGS__){0, 0})
#define TRI_TYPE_RANGES_AT_(id, T, ...) TRI_TYPE_BY_(id, T, __VA_ARGS__, {0, 0})
#define TRI_TYPE_BY_(id, T, ...)                                                                                       \
  static const tri_field TRI_CAT_(id, _fields)[] = {__VA_ARGS__};                                                      \
  static tri_type id = {#T, &tri_unit_, sizeof(T), TRI_CAT_(id, _fields),                                              \
                        sizeof(TRI_CAT_(id, _fields)) / sizeof(tri_field) - 1, NULL, 0};                               \
  __attribute__((constructor)) static void TRI_CAT_(id, _register)(void) { (void)tri_type_register(&id); }             \
  __attribute__((destructor)) static void TRI_CAT_(id, _unregister)(void) { (void)tri_type_unregister(&id); }          \
  struct TRI_CAT_(id, _semicolon)

/* The fields arrive with an empty argument behind them, which standard C wants in place of nothing. */
#define TRI_COUNT_(...)                                                                                                \
  TRI_COUNT34_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11,    \
               10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, )
#define TRI_COUNT34_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21,   \
                     a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, n, ...)                               \
  n
#define TRI_EACH_(T, ...) TRI_CAT_(TRI_EACH_, TRI_COUNT_(__VA_ARGS__))(T, __VA_ARGS__)
#define TRI_EACH_0(T, end)
#define TRI_EACH_1(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_0(T, __VA_ARGS__)
#define TRI_EACH_2(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_1(T, __VA_ARGS__)
#define TRI_EACH_3(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_2(T, __VA_ARGS__)
#define TRI_EACH_4(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_3(T, __VA_ARGS__)
#define TRI_EACH_5(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_4(T, __VA_ARGS__)
#define TRI_EACH_6(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_5(T, __VA_ARGS__)
#define TRI_EACH_7(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_6(T, __VA_ARGS__)
#define TRI_EACH_8(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_7(T, __VA_ARGS__)
#define TRI_EACH_9(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_8(T, __VA_ARGS__)
#define TRI_EACH_10(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_9(T, __VA_ARGS__)
#define TRI_EACH_11(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_10(T, __VA_ARGS__)
#define TRI_EACH_12(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_11(T, __VA_ARGS__)
#define TRI_EACH_13(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_12(T, __VA_ARGS__)
#define TRI_EACH_14(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_13(T, __VA_ARGS__)
#define TRI_EACH_15(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_14(T, __VA_ARGS__)
#define TRI_EACH_16(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_15(T, __VA_ARGS__)
#define TRI_EACH_17(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_16(T, __VA_ARGS__)
#define TRI_EACH_18(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_17(T, __VA_ARGS__)
#define TRI_EACH_19(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_18(T, __VA_ARGS__)
#define TRI_EACH_20(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_19(T, __VA_ARGS__)
#define TRI_EACH_21(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_20(T, __VA_ARGS__)
#define TRI_EACH_22(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_21(T, __VA_ARGS__)
#define TRI_EACH_23(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_22(T, __VA_ARGS__)
#define TRI_EACH_24(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_23(T, __VA_ARGS__)
#define TRI_EACH_25(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_24(T, __VA_ARGS__)
#define TRI_EACH_26(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_25(T, __VA_ARGS__)
#define TRI_EACH_27(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_26(T, __VA_ARGS__)
#define TRI_EACH_28(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_27(T, __VA_ARGS__)
#define TRI_EACH_29(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_28(T, __VA_ARGS__)
#define TRI_EACH_30(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_29(T, __VA_ARGS__)
#define TRI_EACH_31(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_30(T, __VA_ARGS__)
#define TRI_EACH_32(T, f, ...) TRI_FIELD_(T, f) TRI_EACH_31(T, __VA_ARGS__)

/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif
