/* api/interpose.c - finding the functions that the library stands in for, and what is done when it is loaded.
 *
 * Who is called when the program says read? The first in the loader's order among the program, a sanitizer, this
 * library and the C library. When that is us, a sanitizer's version goes by another name and must be called by it; when
 * it is the sanitizer, it has called us in place of the C library, and what comes next is the C library's. No lock. */
#include "api/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gc/fork.h"
#include "gc/thread.h"

enum { NAME_MAX_BYTES = 64 };

extern tri_real __start_tri_reals[] __attribute__((visibility("hidden")));
extern tri_real __stop_tri_reals[] __attribute__((visibility("hidden")));

const char tri_interpose_anchor = 0;
__attribute__((used)) static const char *const anchors[] = {
    &tri_interpose_anchor_threads, &tri_interpose_anchor_signals, &tri_interpose_anchor_blocking,
    &tri_interpose_anchor_waiting, &tri_interpose_anchor_sort,    &tri_interpose_anchor_children,
    &tri_interpose_anchor_notify};

TRI_UNSANITIZED_BEGIN

/* ---- looking up ---- */

/* A static C library's names, for want of a loader to ask. Weak: what the program did not link is not there. */
extern int __pthread_create_2_1(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) __attribute__((weak));

static bool is_ours(const void *function) {
  Dl_info theirs, ours;
  return dladdr(function, &theirs) && dladdr(&tri_interpose_anchor, &ours) && theirs.dli_fbase == ours.dli_fbase;
}

/* The sanitizers' prefix, and that since LLVM 17. Put together by hand: a sanitizer may not be ready for calls of
 * ours. */
static void *sanitizer_version(const char *name) {
  char longer[NAME_MAX_BYTES] = "___interceptor_";
  size_t length = sizeof "___interceptor_" - 1;
  while (*name && length + 1 < sizeof longer) longer[length++] = *name++;
  longer[length] = 0;
  void *found = dlsym(RTLD_DEFAULT, longer + 1);
  return found ? found : dlsym(RTLD_DEFAULT, longer);
}

static bool has_sanitizer(void) {
  static _Atomic(int) known TRI_OWN_DATA; /* 0: not yet, else 1 or 2. Relaxed, as a tri_real */
  int state = atomic_load_explicit(&known, memory_order_relaxed);
  if (!state) {
    state = sanitizer_version("pthread_create") ? 2 : 1;
    atomic_store_explicit(&known, state, memory_order_relaxed);
  }
  return state == 2;
}

static uintptr_t look_up(const char *name) {
  void *found = NULL;
  if (has_sanitizer()) {
    const void *first = dlsym(RTLD_DEFAULT, name);
    if (first && is_ours(first)) found = sanitizer_version(name);
  }
  if (!found) found = dlsym(RTLD_NEXT, name);
  return (uintptr_t)found;
}

static int absent(void) {
  errno = ENOSYS;
  return -1;
}

uintptr_t tri_real_find(tri_real *real) {
  int saved_errno = errno;
  uintptr_t function = look_up(real->name);
  if (!function && strcmp(real->name, "pthread_create") == 0) function = (uintptr_t)__pthread_create_2_1;
  if (!function) function = (uintptr_t)absent;
  atomic_store_explicit(&real->function, function, memory_order_relaxed);
  errno = saved_errno;
  return function;
}

/* ---- loading ---- */

/* ThreadSanitizer's. Weak: mostly they are not there. */
extern void __tsan_init(void) __attribute__((weak));
extern void __sanitizer_sandbox_on_notify(void *) __attribute__((weak));

static void *end_at_once(void *unused) { return unused; }

/* ThreadSanitizer starts a thread of its own before the program's first, to watch its memory limits. That one blocks
 * all signals, so no stop would ever succeed. It ends when told that the process goes into a sandbox. */
static void end_sanitizers_thread(void) {
  pthread_t first;
  if (!__tsan_init || !__sanitizer_sandbox_on_notify) return;
  if (!is_ours(dlsym(RTLD_DEFAULT, "pthread_create"))) return; /* it would begin in our code, before it is ready */
  if (pthread_create(&first, NULL, end_at_once, NULL) == 0) pthread_join(first, NULL);
  __sanitizer_sandbox_on_notify(NULL);
}

/* Without a loader nobody can say where the C library's read is: every call of the program's would fail. */
static void refuse_static_program(void) {
  if (!dlsym(RTLD_NEXT, "read"))
    tri_fatal(
        "the program is linked with -static, so the C library's functions cannot be found; link the static library "
        "of tricolor, if you like, but the C library dynamically");
}

/* Early among constructors: pthread_atfork's handlers of others are to run around ours (gc/fork.h). */
__attribute__((constructor(102))) static void load(void) {
  refuse_static_program();
  for (tri_real *real = __start_tri_reals; real < __stop_tri_reals; real++) tri_real_function(real);
  end_sanitizers_thread();
  tri_fork_watch();
  (void)pthread_atfork(tri_fork_prepare, tri_fork_parent, tri_fork_child);
}

TRI_UNSANITIZED_END
