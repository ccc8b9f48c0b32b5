/* api/control.c - the public functions that start, collect, register and tell. */
#include <errno.h>
#include <string.h>
#include <tricolor.h>

#include "api/link.h"
#include "base/fmt.h"
#include "gc/roots.h"
#include "gc/start.h"
#include "gc/sweep.h"
#include "gc/thread.h"
#include "heap/heap.h"

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
  if (options->gc_percent < -1) {
    tri_print("tricolor: tri_init: gc_percent %d is neither a percentage nor -1 (off)\n", options->gc_percent);
    return false;
  }
  if (options->gc_threads < 0 || options->gc_threads > 64) {
    tri_print("tricolor: tri_init: gc_threads %d is not between 0 and 64\n", options->gc_threads);
    return false;
  }
  if (options->gc_percent) settings->gc_percent = options->gc_percent;
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
  if (start()) (void)tri_cycle_run(TRI_CYCLE_FORCED);
}

TRI_API int tri_set_gc_percent(int percent) {
  if (!start()) return 0;
  int before = tri_cycle_set_percent(percent);
  if (tri_heap_wants_collection()) tri_cycle_run(TRI_CYCLE_GROWTH);
  return before;
}

TRI_API void tri_free_os_memory(void) {
  tri_gc();
  tri_thread *self = tri_thread_self();
  if (!self) return;
  tri_cache_defer(&self->cache);
  tri_scavenge_all();
  tri_cache_undefer(&self->cache);
}

/* ---- roots ---- */

TRI_API tri_err tri_add_root(const void *start_, size_t size) {
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
  tri_thread *self = tri_thread_self();
  if (!self) return TRI_ERR_NOMEM;
  tri_cache_defer(&self->cache);
  bool removed = tri_roots_unregister((uintptr_t)start_);
  tri_cache_undefer(&self->cache);
  return removed ? TRI_OK : TRI_ERR_NOT_FOUND;
}

/* ---- threads ---- */

TRI_API tri_err tri_thread_attach(void *stack_low, void *stack_high) {
  if ((stack_low || stack_high) && stack_low >= stack_high) {
    tri_print("tricolor: tri_thread_attach: %p to %p is no stack\n", stack_low, stack_high);
    return TRI_ERR_INVALID;
  }
  tri_thread *self = tri_thread_self();
  if (!self) return TRI_ERR_NOMEM;
  if (stack_high) {
    self->stack_low = (uintptr_t)stack_low;
    self->stack_high = (uintptr_t)stack_high;
    self->bounds_given = true;
  }
  return TRI_OK;
}

TRI_API tri_err tri_thread_detach(void) {
  if (!tri_thread_known()) return TRI_ERR_NOT_FOUND;
  tri_thread_detach_self();
  return TRI_OK;
}

TRI_API void tri_blocking_begin(void) {
  tri_thread *self = tri_thread_self();
  if (self) tri_thread_blocking_begin(self);
}

TRI_API void tri_blocking_end(void) {
  tri_thread *self = tri_thread_known();
  if (!self || !self->blocking_depth) tri_fatal("tri_blocking_end: no tri_blocking_begin in this thread");
  tri_thread_blocking_end(self);
}

/* ---- memory running out ---- */

static struct {
  _Atomic(tri_oom_handler) handler;
  _Atomic(void *) context;
} oom TRI_OWN_DATA;
static _Thread_local bool in_handler;

static bool out_of_memory(size_t size, int attempt) {
  tri_oom_handler handler = atomic_load_explicit(&oom.handler, memory_order_acquire);
  if (!handler || in_handler) return false;
  in_handler = true;
  bool again = handler(size, attempt, atomic_load_explicit(&oom.context, memory_order_acquire));
  in_handler = false;
  return again;
}

TRI_API tri_oom_handler tri_set_oom_handler(tri_oom_handler handler, void *context) {
  atomic_store_explicit(&oom.context, context, memory_order_release);
  tri_the_hooks.out_of_memory = out_of_memory;
  return atomic_exchange_explicit(&oom.handler, handler, memory_order_acq_rel);
}
