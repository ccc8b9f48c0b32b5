/* bench.h - the shim between the workloads and what they are run on.
 *
 * Every workload is written once against the names below and compiled three times: with BENCH_TRICOLOR, BENCH_BDWGC or
 * BENCH_MALLOC. (mimalloc and jemalloc are the BENCH_MALLOC program with another library preloaded.)
 *
 * Contract of an allocation: the workload writes every field that it reads later, for malloc does not zero. The
 * collectors do zero, and that work is part of what is measured. A workload that finds no memory dies at the first
 * write; nothing is checked on the way, on no peer.
 *
 * Each program ends with bench_report, which prints one line of key=value figures; run.py adds wall and processor
 * time. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(BENCH_TRICOLOR) + defined(BENCH_BDWGC) + defined(BENCH_MALLOC) != 1
#error "define exactly one of BENCH_TRICOLOR, BENCH_BDWGC and BENCH_MALLOC"
#endif

#define BENCH_NOINLINE __attribute__((noinline))

enum { BENCH_STOP_CLASSES = 40, BENCH_STOPS_TEXT_MAX = 2048 };

/* What the peer knows about its own collections; zero where there are none. */
typedef struct bench_gc_figures {
  uint64_t collections;
  uint64_t stops;
  uint64_t longest_stop_ns;
  uint64_t total_stop_ns;
  uint64_t stop_classes[BENCH_STOP_CLASSES]; /* [i]: stops of up to 2^i microseconds, and over half of that */
  uint64_t cpu_ns;                           /* processor time of the collector, as the peer counts it */
} bench_gc_figures;

/* Nanoseconds on the monotonic clock. */
static inline uint64_t bench_now_ns(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline double bench_ms_since(uint64_t start_ns) { return (double)(bench_now_ns() - start_ns) / 1e6; }

/* How many processors this process may use. */
static inline unsigned bench_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* The longest that a stop of class i was: the class's upper edge, or the longest of all. */
static inline uint64_t bench_stop_edge_ns(const bench_gc_figures *gc, size_t i) {
  uint64_t edge_ns = UINT64_C(1000) << i;
  return edge_ns < gc->longest_stop_ns ? edge_ns : gc->longest_stop_ns;
}

/* What 99 of 100 stops did not exceed, as near as classes that double in width tell. */
static inline uint64_t bench_stop_p99_ns(const bench_gc_figures *gc) {
  uint64_t all = 0;
  for (size_t i = 0; i < BENCH_STOP_CLASSES; i++) all += gc->stop_classes[i];
  uint64_t seen = 0;
  for (size_t i = 0; i < BENCH_STOP_CLASSES; i++) {
    seen += gc->stop_classes[i];
    if (seen * 100 >= all * 99) return bench_stop_edge_ns(gc, i);
  }
  return gc->longest_stop_ns;
}

/* All stops: "EDGE:COUNT,...", where so many took up to EDGE microseconds, and longer than the edge before. */
static inline const char *bench_stops_text(const bench_gc_figures *gc) {
  static char text[BENCH_STOPS_TEXT_MAX];
  size_t used = 0;
  for (size_t i = 0; i < BENCH_STOP_CLASSES; i++)
    if (gc->stop_classes[i] != 0)
      used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.1f:%" PRIu64, used > 0 ? "," : "",
                               (double)bench_stop_edge_ns(gc, i) / 1e3, gc->stop_classes[i]);
  return text;
}

/* ---- The peers ------------------------------------------------------------------------------------------------------
 *
 * BENCH_TYPE(T, field, ...)       says which fields of T hold pointers, where the peer can be told as a matter of
 *                                 course
 * BENCH_EXACT_TYPE(T, n, field..) the same, for bench_new_exact; the first n words of T are those fields
 * bench_new(T)                    one T, precisely scanned where BENCH_TYPE means something, otherwise conservatively
 * bench_new_exact(T)              one T, precisely scanned on every collector
 * bench_scan(size)                scanned conservatively
 * bench_noscan(size)              never scanned
 * bench_drop(p)                   the program is done with p: free() on malloc, nothing on the collectors
 * bench_keep(p)                   p and all that can be reached from it are as written: no compiler leaves out what it
 *                                 knows nobody to read
 * BENCH_FREES                     1 where bench_drop does something, so that loops that only drop can be left out
 * BENCH_COLLECTS                  1 where bench_collect does something
 * bench_collect()                 a whole collection, as far as the peer goes with it before it returns
 * bench_collect_never()           no collections from now on
 * BENCH_TELLS_CYCLES              1 where bench_cycles says how many collections were begun and how many ended, without
 *                                 waiting: so latency.h knows whether one was on at any time
 */
static inline void bench_keep(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

#if defined(BENCH_TRICOLOR)

#include <tricolor.h>

#define BENCH_PEER "tricolor"
#define BENCH_FREES 0
#define BENCH_COLLECTS 1
#define BENCH_TYPE(T, ...) TRI_TYPE(T, ##__VA_ARGS__)
#define BENCH_EXACT_TYPE(T, words, ...) TRI_TYPE(T, ##__VA_ARGS__)
#define bench_new(T) tri_new(T)
#define bench_new_exact(T) tri_new(T)
#define bench_scan(size) tri_alloc(size)
#define bench_noscan(size) tri_alloc_noscan(size)
#define bench_drop(p) ((void)(p))
#define bench_collect() tri_gc()
#define bench_collect_never() ((void)tri_set_gc_percent(-1))
#define BENCH_TELLS_CYCLES 1
#define bench_cycles(begun, ended) tri_read_cycles(begun, ended)

/* When the heap was started, nanoseconds since 1970, as LastGC is. */
static uint64_t bench_tricolor_started;

static inline void bench_peer_start(void) {
  struct timespec t;
  (void)tri_init(NULL);
  (void)clock_gettime(CLOCK_REALTIME, &t);
  bench_tricolor_started = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void bench_peer_version(char *to, size_t size) {
  (void)snprintf(to, size, "%d.%d.%d", TRI_VERSION_MAJOR, TRI_VERSION_MINOR, TRI_VERSION_PATCH);
}

static inline bench_gc_figures bench_peer_figures(void) {
  static tri_memstats mem;
  tri_stopstats stops;
  tri_read_memstats(&mem);
  tri_read_stopstats(&stops);
  /* GCCPUFraction is of what all processors had from the start to the end of the last collection. */
  double available = mem.NumGC == 0 ? 0 : (double)(mem.LastGC - bench_tricolor_started) * bench_processors();
  bench_gc_figures figures = {
      .collections = mem.NumGC,
      .stops = stops.count,
      .longest_stop_ns = stops.longest_ns,
      .total_stop_ns = stops.total_ns,
      .cpu_ns = (uint64_t)(mem.GCCPUFraction * available),
  };
  _Static_assert(TRI_STOP_BUCKETS <= (int)BENCH_STOP_CLASSES, "all of the library's classes are kept");
  memcpy(figures.stop_classes, stops.counts, sizeof(stops.counts));
  return figures;
}

#elif defined(BENCH_BDWGC)

#ifndef GC_THREADS
#define GC_THREADS
#endif
#include <gc/gc.h>
#include <gc/gc_typed.h>

#define BENCH_PEER "bdwgc"
#define BENCH_FREES 0
#define BENCH_COLLECTS 1
#define BENCH_TYPE(T, ...) _Static_assert(sizeof(T) > 0, "a complete type")
#define BENCH_EXACT_TYPE(T, words, ...)                                                                                \
  static inline T *bench_exact_##T(void) {                                                                             \
    static GC_descr descr;                                                                                             \
    if (descr == 0) {                                                                                                  \
      GC_word leading = ((GC_word)1 << (words)) - 1;                                                                   \
      descr = GC_make_descriptor(&leading, sizeof(T) / sizeof(void *));                                                \
    }                                                                                                                  \
    return GC_malloc_explicitly_typed(sizeof(T), descr);                                                               \
  }                                                                                                                    \
  _Static_assert(sizeof(T) > 0, "a complete type")
#define bench_new(T) ((T *)GC_MALLOC(sizeof(T)))
#define bench_new_exact(T) bench_exact_##T()
#define bench_scan(size) GC_MALLOC(size)
#define bench_noscan(size) GC_MALLOC_ATOMIC(size)
#define bench_drop(p) ((void)(p))
#define bench_collect() GC_gcollect()
#define bench_collect_never() GC_disable()
#define BENCH_TELLS_CYCLES 1

/* bdwgc keeps no figures of its stops, but says when each begins and ends. The callback runs under its lock. */
static bench_gc_figures bench_bdwgc;
static uint64_t bench_bdwgc_begun, bench_bdwgc_ended;

static inline void bench_bdwgc_stopped(uint64_t length) {
  size_t i = 0;
  while (i + 1 < BENCH_STOP_CLASSES && length > (UINT64_C(1000) << i)) i++;
  bench_bdwgc.stop_classes[i]++;
  bench_bdwgc.stops++;
  bench_bdwgc.total_stop_ns += length;
  if (length > bench_bdwgc.longest_stop_ns) bench_bdwgc.longest_stop_ns = length;
}

static inline void bench_bdwgc_event(GC_EventType event) {
  static uint64_t stopped;
  if (event == GC_EVENT_PRE_STOP_WORLD) stopped = bench_now_ns();
  if (event == GC_EVENT_POST_START_WORLD) bench_bdwgc_stopped(bench_now_ns() - stopped);
  if (event == GC_EVENT_START) __atomic_fetch_add(&bench_bdwgc_begun, 1, __ATOMIC_RELAXED);
  if (event == GC_EVENT_END) __atomic_fetch_add(&bench_bdwgc_ended, 1, __ATOMIC_RELAXED);
}

static inline void bench_cycles(uint64_t *begun, uint64_t *ended) {
  *begun = __atomic_load_n(&bench_bdwgc_begun, __ATOMIC_RELAXED);
  *ended = __atomic_load_n(&bench_bdwgc_ended, __ATOMIC_RELAXED);
}

static inline void bench_peer_start(void) {
  GC_INIT();
  GC_set_on_collection_event(bench_bdwgc_event);
}

static inline void bench_peer_version(char *to, size_t size) {
  unsigned version = GC_get_version();
  (void)snprintf(to, size, "%u.%u.%u", version >> 16, (version >> 8) & 255, version & 255);
}

static inline bench_gc_figures bench_peer_figures(void) {
  bench_gc_figures figures = bench_bdwgc;
  figures.collections = GC_get_gc_no();
  figures.cpu_ns = figures.total_stop_ns * bench_processors(); /* as Go counts stops: all processors are taken */
  return figures;
}

#else

#define BENCH_PEER "malloc"
#define BENCH_FREES 1
#define BENCH_COLLECTS 0
#define BENCH_TYPE(T, ...) _Static_assert(sizeof(T) > 0, "a complete type")
#define BENCH_EXACT_TYPE(T, words, ...) _Static_assert(sizeof(T) > 0, "a complete type")
#define bench_new(T) ((T *)malloc(sizeof(T)))
#define bench_new_exact(T) bench_new(T)
#define bench_scan(size) malloc(size)
#define bench_noscan(size) malloc(size)
#define bench_drop(p) free(p)
#define bench_collect() ((void)0)
#define bench_collect_never() ((void)0)
#define BENCH_TELLS_CYCLES 0

static inline void bench_peer_start(void) {}

static inline void bench_peer_version(char *to, size_t size) { (void)snprintf(to, size, "%s", gnu_get_libc_version()); }

static inline bench_gc_figures bench_peer_figures(void) { return (bench_gc_figures){0}; }

#endif

/* ---- Arguments and numbers ----------------------------------------------------------------------------------------*/

/* Argument i as a whole number of at least 1, or fallback when it is not given. */
static inline long bench_arg(int argc, char **argv, int i, long fallback) {
  if (i >= argc) return fallback;
  char *end;
  long value = strtol(argv[i], &end, 10);
  if (*end == '\0' && value >= 1) return value;
  fprintf(stderr, "%s: argument %d is \"%s\", not a whole number of at least 1\n", argv[0], i, argv[i]);
  exit(2);
}

/* Argument i is "on", or not given, or "off": then there are no collections from now on, and what is measured is the
 * machine's own noise. */
static inline void bench_arg_collections(int argc, char **argv, int i) {
  if (i >= argc || strcmp(argv[i], "on") == 0) return;
  if (strcmp(argv[i], "off") != 0) {
    fprintf(stderr, "%s: argument %d is \"%s\", neither on nor off\n", argv[0], i, argv[i]);
    exit(2);
  }
  bench_collect_never();
}

/* xorshift64*; the Go twins draw the same numbers. *state must not be 0. */
static inline uint64_t bench_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * UINT64_C(2685821657736338717);
}

/* A number in [0, limit) from the high half of a random one: limit is below 2^32. */
static inline size_t bench_random_below(uint64_t *state, size_t limit) {
  return (size_t)(((bench_random(state) >> 32) * (uint64_t)limit) >> 32);
}

/* ---- Memory of the bench's own ------------------------------------------------------------------------------------*/

/* Zeroed memory from the system, which no collector looks into and which is no part of what is measured; its pages are
 * there at once where `now`, else as they are touched. */
static inline void *bench_map(size_t size, bool now) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | (now ? MAP_POPULATE : MAP_NORESERVE);
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory != MAP_FAILED) return memory;
  fprintf(stderr, "mmap of %zu bytes: %s\n", size, strerror(errno));
  exit(1);
}

/* ---- Threads ------------------------------------------------------------------------------------------------------*/

/* stack_bytes: 0 for what threads have as a rule. */
static inline void bench_thread_start_with_stack(pthread_t *thread, void *(*run)(void *), void *argument,
                                                 size_t stack_bytes) {
  pthread_attr_t attributes;
  int err = pthread_attr_init(&attributes);
  if (err == 0 && stack_bytes != 0) err = pthread_attr_setstacksize(&attributes, stack_bytes);
  if (err == 0) err = pthread_create(thread, &attributes, run, argument);
  if (err != 0) {
    fprintf(stderr, "pthread_create with %zu bytes of stack: %s\n", stack_bytes, strerror(err));
    exit(1);
  }
  (void)pthread_attr_destroy(&attributes);
}

static inline void bench_thread_start(pthread_t *thread, void *(*run)(void *), void *argument) {
  bench_thread_start_with_stack(thread, run, argument, 0);
}

static inline void bench_thread_join(pthread_t thread) { (void)pthread_join(thread, NULL); }

/* ---- The report ---------------------------------------------------------------------------------------------------*/

/* Figures as they stood at the end of what is measured, before the workload checks itself. */
typedef struct bench_end {
  bool taken;
  uint64_t peak_kib;
  bench_gc_figures gc;
} bench_end;

static bench_end bench_final;

/* VmHWM of this process; read without stdio, so that reading it allocates nothing. */
static inline uint64_t bench_peak_kib(void) {
  static char text[8192];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof(text) - 1);
  (void)close(file);
  text[length > 0 ? length : 0] = '\0';
  const char *at = strstr(text, "VmHWM:");
  return at != NULL ? strtoull(at + 6, NULL, 10) : 0;
}

/* Ends the measured part. Optional: bench_report does it otherwise. */
static inline void bench_measured(void) { bench_final = (bench_end){true, bench_peak_kib(), bench_peer_figures()}; }

static inline void bench_start(void) { bench_peer_start(); }

/* The file that malloc comes from: proof that a preloaded allocator is really in use. */
static inline const char *bench_allocator(void) {
  Dl_info info;
  void *address = dlsym(RTLD_DEFAULT, "malloc");
  if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL) return "unknown";
  const char *slash = strrchr(info.dli_fname, '/');
  return slash != NULL ? slash + 1 : info.dli_fname;
}

/* Prints the line that run.py reads. format adds the workload's own key=value figures; every workload gives check=. */
__attribute__((format(printf, 2, 3))) static inline void bench_report(const char *workload, const char *format, ...) {
  char version[64];
  if (!bench_final.taken) bench_measured();
  bench_peer_version(version, sizeof(version));
  const bench_gc_figures *gc = &bench_final.gc;
  printf("bench workload=%s peer=%s version=%s allocator=%s peak_kib=%" PRIu64 " collections=%" PRIu64 " stops=%" PRIu64
         " longest_stop_us=%.1f total_stop_us=%.1f stop_p99_us=%.1f stops_us=%s gc_cpu_ms=%.3f ",
         workload, BENCH_PEER, version, bench_allocator(), bench_final.peak_kib, gc->collections, gc->stops,
         (double)gc->longest_stop_ns / 1e3, (double)gc->total_stop_ns / 1e3, (double)bench_stop_p99_ns(gc) / 1e3,
         bench_stops_text(gc), (double)gc->cpu_ns / 1e6);
  va_list arguments;
  va_start(arguments, format);
  (void)vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
}

#endif
