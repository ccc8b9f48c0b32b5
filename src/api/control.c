/* api/control.c - the public functions that start, collect, register and tell. They check arguments, attach the thread
 * and defer stops around what takes locks; the work is the gc layer's. Lock: the api layer's (api/link.h) guards the
 * out-of-memory handler. */
#include <string.h>
#include <tricolor.h>

#include "api/link.h"
#include "base/fmt.h"
#include "gc/roots.h"
#include "gc/start.h"
#include "gc/sweep.h"
#include "gc/thread.h"
#include "heap/heap.h"
#include "pool/pool.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

TRI_API const char *tri_version(void) {
  return TEXT(TRI_VERSION_MAJOR) "." TEXT(TRI_VERSION_MINOR) "." TEXT(TRI_VERSION_PATCH);
}

TRI_API const char *tri_err_name(tri_err err) {
  switch (err) {
  case TRI_OK: return "ok";
  case TRI_ERR_NOMEM: return "out of memory";
  case TRI_ERR_INVALID: return "invalid argument";
  case TRI_ERR_ALREADY: return "already started";
  case TRI_ERR_NOT_FOUND: return "not found";
  case TRI_ERR_SYSTEM: return "system error";
  }
  return "unknown error";
}

/* ---- starting ---- */

static bool apply_numbers(tri_settings *settings, const tri_options *options) {
  if (options->gc_threads < 0 || options->gc_threads > TRI_MOST_GC_THREADS) {
    tri_print("tricolor: tri_init: gc_threads %d is not between 0 and %d\n", options->gc_threads, TRI_MOST_GC_THREADS);
    return false;
  }
  if (options->gc_percent) settings->gc_percent = options->gc_percent < 0 ? -1 : options->gc_percent;
  if (options->gc_threads) settings->gc_threads = options->gc_threads;
  if (options->heap_reserve) settings->heap_reserve = (int64_t)options->heap_reserve;
  return true;
}

static bool apply(tri_settings *settings, const tri_options *given) {
  tri_options options = {0};
  if (given->size < sizeof given->size || given->size > 4096) {
    tri_print("tricolor: tri_init: options.size is %zu, not sizeof(tri_options)\n", given->size);
    return false;
  }
  memcpy(&options, given, tri_min(given->size, sizeof options));
  return apply_numbers(settings, &options) &&
         (!options.trace || tri_settings_parse_list(settings, "tri_init: trace", options.trace)) &&
         (!options.debug || tri_settings_parse_list(settings, "tri_init: debug", options.debug));
}

TRI_API tri_err tri_init(const tri_options *options) {
  TRI_KEEP_ERRNO;
  tri_settings settings;
  bool already;
  if (!tri_settings_read(&settings) || (options && !apply(&settings, options))) return TRI_ERR_INVALID;
  if (!tri_start(&settings, &already)) return TRI_ERR_NOMEM;
  return already && options ? TRI_ERR_ALREADY : TRI_OK;
}

static bool start(void) {
  bool already;
  return tri_start(NULL, &already);
}

/* ---- collecting ---- */

TRI_API void tri_gc(void) {
  TRI_KEEP_ERRNO;
  if (!start()) return;
  (void)tri_cycle_run(TRI_CYCLE_FORCED);
  tri_pools_destroy();
}

TRI_API int tri_set_gc_percent(int percent) {
  TRI_KEEP_ERRNO;
  if (!start()) return 0;
  int before = tri_cycle_set_percent(percent);
  if (tri_heap_wants_collection()) tri_cycle_run(TRI_CYCLE_GROWTH);
  return before;
}

TRI_API void tri_free_os_memory(void) {
  TRI_KEEP_ERRNO;
  tri_gc();
  tri_thread *self = tri_thread_self();
  if (!self) return;
  tri_cache_defer(&self->cache);
  tri_scavenge_all();
  tri_cache_undefer(&self->cache);
}

/* ---- roots ---- */

TRI_API tri_err tri_add_root(const void *start_, size_t size) {
  TRI_KEEP_ERRNO;
  uintptr_t low = (uintptr_t)start_;
  if (!start_ || low + size < low) {
    tri_print("tricolor: tri_add_root: %zu bytes at %p are no range\n", size, start_);
    return TRI_ERR_INVALID;
  }
  tri_thread *self = tri_thread_self();
  if (!self) return TRI_ERR_NOMEM;
  tri_cache_defer(&self->cache);
  bool added = tri_roots_register(low, size);
  tri_cache_undefer(&self->cache);
  return added ? TRI_OK : TRI_ERR_NOMEM;
}

TRI_API tri_err tri_remove_root(const void *start_) {
  TRI_KEEP_ERRNO;
  tri_thread *self = tri_thread_self();
  if (!self) return TRI_ERR_NOMEM;
  tri_cache_defer(&self->cache);
  bool removed = tri_roots_unregister((uintptr_t)start_);
  tri_cache_undefer(&self->cache);
  return removed ? TRI_OK : TRI_ERR_NOT_FOUND;
}

/* ---- threads ---- */

TRI_API tri_err tri_thread_attach(void *stack_low, void *stack_high) {
  TRI_KEEP_ERRNO;
  if ((stack_low || stack_high) && stack_low >= stack_high) {
    tri_print("tricolor: tri_thread_attach: %p to %p is no stack\n", stack_low, stack_high);
    return TRI_ERR_INVALID;
  }
  tri_thread *self = tri_thread_self();
  if (!self) return TRI_ERR_NOMEM;
  if (tri_thread_set_stack(self, (uintptr_t)stack_low, (uintptr_t)stack_high)) return TRI_OK;
  tri_print("tricolor: tri_thread_attach: %p to %p is not the calling thread's stack\n", stack_low, stack_high);
  return TRI_ERR_INVALID;
}

TRI_API tri_err tri_thread_detach(void) {
  TRI_KEEP_ERRNO;
  if (!tri_thread_known()) return TRI_ERR_NOT_FOUND;
  tri_thread_detach_self();
  return TRI_OK;
}

TRI_API void tri_blocking_begin(void) {
  TRI_KEEP_ERRNO;
  tri_thread *self = tri_thread_self();
  if (self) tri_thread_blocking_begin(self);
}

TRI_API void tri_blocking_end(void) {
  TRI_KEEP_ERRNO;
  tri_thread *self = tri_thread_known();
  if (!self || !self->blocking_depth) tri_fatal("tri_blocking_end: no tri_blocking_begin in this thread");
  tri_thread_blocking_end(self);
}

/* ---- memory running out ---- */

typedef struct oom_pair {
  tri_oom_handler handler;
  void *context;
} oom_pair;

/* The new pair is written beside the one in force, then takes its place by a single store (api/link.h says why). Not
 * TRI_OWN_DATA: a context from the heap has to live. */
static struct {
  oom_pair pairs[2];
  int current;
} oom;
static _Thread_local bool in_handler;

static oom_pair read_oom_pair(void) {
  tri_api_lock();
  oom_pair pair = oom.pairs[oom.current];
  tri_api_unlock();
  return pair;
}

static bool out_of_memory(size_t size, int attempt) {
  oom_pair pair = read_oom_pair();
  if (!pair.handler || in_handler) return false;
  in_handler = true;
  bool again = pair.handler(size, attempt, pair.context);
  in_handler = false;
  return again;
}

TRI_API tri_oom_handler tri_set_oom_handler(tri_oom_handler handler, void *context) {
  tri_api_lock();
  tri_oom_handler before = oom.pairs[oom.current].handler;
  oom.pairs[!oom.current] = (oom_pair){.handler = handler, .context = context};
  atomic_signal_fence(memory_order_seq_cst);
  oom.current = !oom.current;
  tri_api_unlock();
  return before;
}

__attribute__((constructor(101))) static void link_handler(void) { tri_the_hooks.out_of_memory = out_of_memory; }
