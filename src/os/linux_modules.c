/* linux_modules.c - what the loader has mapped, and where threads keep their thread-local storage; os.h has the
 * contract.
 *
 * Modules come from dl_iterate_phdr, which holds the loader's lock during the callback. It lists the namespace of the
 * caller only: objects loaded with dlmopen elsewhere are not seen. The vdso is listed too, but has nothing writable.
 *
 * The lock survives a fork, in the hands of whoever had it. It is one of the words of glibc's _rtld_global, and found
 * there when the library is loaded by what it does: it is the mutex that a callback's thread holds, and once more in a
 * callback within a callback.
 *
 * Thread-local storage of *other* threads has no public interface. Everything that knows the layout of the C library
 * is in the second half, and follows the ELF TLS specification (Drepper, "ELF Handling For Thread-Local Storage") and
 * glibc, whose layout has been this since 2.25:
 *
 *   x86-64 (variant II)     [ static TLS blocks ... | tp: struct pthread ]          the DTV's address at tp + 8
 *   aarch64 (variant I)     [ struct pthread | tp: 16 bytes | static TLS blocks ]   the DTV's address at tp
 *   DTV                     dtv[-1] its length, dtv[0] a generation, dtv[module] = {block or -1, memory to free}
 *
 * The size of the static area and of struct pthread are asked of glibc's private symbols, which debuggers and
 * sanitizers use too. Where these are missing (static links, other C libraries) the area is measured: the blocks of
 * the modules present at the start lie at the same distance from every thread pointer. A measured area is cut to what
 * is readable. Dynamic blocks are found with glibc alone. Takes no lock. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/lock.h"

/* ---- modules ---- */

typedef struct tri_visit {
  const tri_os_module_visitor *visitor;
  bool begun;
} tri_visit;

static tri_os_range tri_segment(const struct dl_phdr_info *module, const ElfW(Phdr) * header) {
  uintptr_t low = module->dlpi_addr + header->p_vaddr;
  return (tri_os_range){low, low + header->p_memsz};
}

/* The part of an object that the loader makes read-only after relocation, rounded as the loader does it. Nothing of the
 * program's has been able to write there. */
static tri_os_range tri_relro(const struct dl_phdr_info *module) {
  size_t page = tri_os_page_size();
  for (size_t i = 0; i < module->dlpi_phnum; i++) {
    if (module->dlpi_phdr[i].p_type != PT_GNU_RELRO) continue;
    tri_os_range range = tri_segment(module, &module->dlpi_phdr[i]);
    return (tri_os_range){tri_align_down(range.low, page), tri_align_down(range.high, page)};
  }
  return (tri_os_range){0, 0};
}

static void tri_visit_data(const tri_os_module_visitor *visitor, tri_os_range range) {
  if (range.low < range.high) visitor->data(visitor->argument, range);
}

static void tri_visit_segment(const tri_os_module_visitor *visitor, tri_os_range segment, tri_os_range relro) {
  if (relro.high <= segment.low || relro.low >= segment.high) {
    tri_visit_data(visitor, segment);
    return;
  }
  tri_visit_data(visitor, (tri_os_range){segment.low, relro.low});
  tri_visit_data(visitor, (tri_os_range){relro.high, segment.high});
}

static int tri_visit_module(struct dl_phdr_info *module, size_t size, void *raw) {
  const tri_os_module_visitor *visitor = raw;
  (void)size;
  tri_os_range relro = tri_relro(module);
  for (size_t i = 0; i < module->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &module->dlpi_phdr[i];
    if (header->p_type == PT_LOAD && (header->p_flags & PF_W))
      tri_visit_segment(visitor, tri_segment(module, header), relro);
    else if (header->p_type == PT_TLS && module->dlpi_tls_modid != 0)
      visitor->tls(visitor->argument, module->dlpi_tls_modid, header->p_memsz);
  }
  return 0;
}

/* The first callback of an outer iteration, whose lock is held for the whole visit: the inner one takes it again. */
static int tri_visit_all(struct dl_phdr_info *first, size_t size, void *raw) {
  tri_visit *visit = raw;
  const tri_os_module_visitor *visitor = visit->visitor;
  (void)first, (void)size;
  visit->begun = visitor->begin(visitor->argument);
  if (!visit->begun) return 1;
  dl_iterate_phdr(tri_visit_module, (void *)(uintptr_t)visitor);
  if (visitor->end) visitor->end(visitor->argument);
  return 1;
}

bool tri_os_visit_modules(const tri_os_module_visitor *visitor) {
  tri_visit visit = {visitor, false};
  dl_iterate_phdr(tri_visit_all, &visit);
  return visit.begun;
}

/* ---- the lock, in a child ---- */

#ifdef __GLIBC__

enum { TRI_MOST_HELD = 8 };

/* The recursive mutexes that this thread holds, and how often over. */
typedef struct tri_lock_search {
  char *low, *high;
  pthread_mutex_t *held[TRI_MOST_HELD];
  unsigned depth[TRI_MOST_HELD];
  int count, found;
  pthread_mutex_t *lock;
} tri_lock_search;

/* Written once, when the library is loaded. NULL: not found. */
static pthread_mutex_t *tri_loader_lock TRI_OWN_DATA;

static int tri_see_deeper(struct dl_phdr_info *first, size_t size, void *raw) {
  tri_lock_search *search = raw;
  (void)first, (void)size;
  for (int i = 0; i < search->count; i++) {
    if (search->held[i]->__data.__count != search->depth[i] + 1) continue;
    search->lock = search->held[i];
    search->found++;
  }
  return 1;
}

static int tri_see_held(struct dl_phdr_info *first, size_t size, void *raw) {
  tri_lock_search *search = raw;
  (void)first, (void)size;
  int id = tri_os_thread_id();
  for (char *at = search->low; at + sizeof(pthread_mutex_t) <= search->high; at += sizeof(uintptr_t)) {
    pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)at;
    if (mutex->__data.__owner != id || mutex->__data.__kind != PTHREAD_MUTEX_RECURSIVE_NP) continue;
    if (search->count == TRI_MOST_HELD) return 1;
    search->held[search->count] = mutex;
    search->depth[search->count++] = mutex->__data.__count;
  }
  dl_iterate_phdr(tri_see_deeper, raw);
  return 1;
}

static void tri_loader_lock_find(void) {
  Dl_info info;
  const ElfW(Sym) *symbol = NULL;
  char *data = dlsym(RTLD_DEFAULT, "_rtld_global");
  if (!data || !dladdr1(data, &info, (void **)(uintptr_t)&symbol, RTLD_DL_SYMENT) || !symbol) return;
  tri_lock_search search = {.low = data, .high = data + symbol->st_size};
  dl_iterate_phdr(tri_see_held, &search);
  if (search.found == 1) tri_loader_lock = search.lock;
}

/* A mutex knows its holder by the id that the C library has for it, which is a new one in the child of its forks. */
tri_os_answer tri_os_loader_survives(int id_before) {
  pthread_mutex_t *lock = tri_loader_lock;
  if (!lock) return TRI_OS_UNKNOWN;
  if (id_before && lock->__data.__owner == id_before) lock->__data.__owner = tri_os_thread_id();
  if (pthread_mutex_trylock(lock) != 0) return TRI_OS_NO;
  pthread_mutex_unlock(lock);
  return TRI_OS_YES;
}

int tri_os_loader_holder(void) {
  return tri_loader_lock ? __atomic_load_n(&tri_loader_lock->__data.__owner, __ATOMIC_RELAXED) : -1;
}

#else

static void tri_loader_lock_find(void) {}
int tri_os_loader_holder(void) { return -1; }

tri_os_answer tri_os_loader_survives(int id_before) {
  (void)id_before;
  return TRI_OS_UNKNOWN;
}

#endif

/* ---- thread-local storage ---- */

#if defined(__x86_64__)
enum { TRI_DTV_OFFSET = 8, TRI_CONTROL_ABOVE = 1 }; /* struct pthread lies above the thread pointer */
#elif defined(__aarch64__)
enum { TRI_DTV_OFFSET = 0, TRI_CONTROL_ABOVE = 0 };
#endif

enum {
  TRI_CONTROL_GUESS = 2304,            /* sizeof(struct pthread) of glibc 2.36, when nothing tells it */
  TRI_STATIC_TLS_MOST = 1024 * 1024,   /* a block farther from the thread pointer than this is not in the static area */
  TRI_MASK_NO_SUCH_OPERATION = 0x7fff, /* not SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK */
  TRI_MASK_BYTES = 8,
};

/* How far the static area reaches below and above a thread pointer. exact: glibc said so. Written once, by
 * tri_os_tls_prepare, before there is a second reader. */
static struct {
  size_t below, above;
  bool exact, known;
} tri_tls_layout TRI_OWN_DATA;

uintptr_t tri_os_thread_pointer(void) {
  uintptr_t pointer;
#if defined(__x86_64__)
  __asm__("movq %%fs:0, %0" : "=r"(pointer));
#elif defined(__aarch64__)
  __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
#endif
  return pointer;
}

/* Whether the 8 bytes at address can be read, without reading them here: the kernel copies the mask of rt_sigprocmask
 * in before it looks at the operation, which does not exist. Async-signal-safe. */
static bool tri_readable(uintptr_t address) {
  int saved = errno;
  long result = syscall(SYS_rt_sigprocmask, TRI_MASK_NO_SUCH_OPERATION, address & ~(uintptr_t)7, NULL, TRI_MASK_BYTES);
  bool readable = !(result != 0 && errno == EFAULT);
  errno = saved;
  return readable;
}

/* Cuts range at the first page above from that cannot be read, and at the first below it. */
static tri_os_range tri_clip(tri_os_range range, uintptr_t from) {
  size_t page = tri_os_page_size();
  for (uintptr_t at = tri_align_down(from, page); at > range.low; at -= page)
    if (!tri_readable(at - 1)) range.low = at;
  for (uintptr_t at = tri_align_down(from, page) + page; at < range.high; at += page)
    if (!tri_readable(at)) range.high = at;
  return range;
}

static void tri_layout_set(size_t blocks, size_t control) {
  tri_tls_layout.below = TRI_CONTROL_ABOVE ? blocks : control;
  tri_tls_layout.above = TRI_CONTROL_ABOVE ? control : blocks;
}

/* Asks glibc. On x86-64 the size it gives for the static area includes struct pthread. */
static bool tri_layout_ask(void) {
  TRI_ASSERT(!tri_lock_holds_any());
  void (*static_info)(size_t *, size_t *) =
      (void (*)(size_t *, size_t *))dlsym(RTLD_DEFAULT, "_dl_get_tls_static_info");
  const uint32_t *control = dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread");
  if (!static_info || !control) return false;
  size_t size = 0, alignment = 0;
  static_info(&size, &alignment);
  size_t control_size = TRI_CONTROL_ABOVE ? *control : tri_align_up(*control, 64);
  if (size == 0 || (TRI_CONTROL_ABOVE && size < control_size)) return false;
  tri_layout_set(TRI_CONTROL_ABOVE ? size - control_size : size, control_size);
  return true;
}

/* Widens the layout to the calling thread's block of one module, if that lies in the static area. */
static int tri_layout_measure(struct dl_phdr_info *module, size_t size, void *argument) {
  uintptr_t pointer = tri_os_thread_pointer();
  uintptr_t block = (uintptr_t)module->dlpi_tls_data;
  (void)size;
  (void)argument;
  for (size_t i = 0; i < module->dlpi_phnum; i++) {
    if (module->dlpi_phdr[i].p_type != PT_TLS || block == 0) continue;
    uintptr_t end = block + module->dlpi_phdr[i].p_memsz;
    if (TRI_CONTROL_ABOVE && block < pointer && pointer - block < TRI_STATIC_TLS_MOST)
      tri_tls_layout.below = tri_max(tri_tls_layout.below, pointer - block);
    if (!TRI_CONTROL_ABOVE && block >= pointer && end - pointer < TRI_STATIC_TLS_MOST)
      tri_tls_layout.above = tri_max(tri_tls_layout.above, end - pointer);
  }
  return 0;
}

static tri_os_range tri_static_area(uintptr_t thread_pointer) {
  return (tri_os_range){thread_pointer - tri_tls_layout.below, thread_pointer + tri_tls_layout.above};
}

/* Whether the caller's own area is readable as a whole: were an answer of the C library misunderstood, it might not
 * be. */
static bool tri_layout_holds(void) {
  uintptr_t pointer = tri_os_thread_pointer();
  tri_os_range area = tri_static_area(pointer);
  tri_os_range readable = tri_clip(area, pointer);
  return readable.low == area.low && readable.high == area.high;
}

void tri_os_tls_prepare(void) {
  if (tri_tls_layout.known) return;
  tri_tls_layout.exact = tri_layout_ask() && tri_layout_holds();
  if (!tri_tls_layout.exact) {
    tri_layout_set(0, TRI_CONTROL_GUESS);
    dl_iterate_phdr(tri_layout_measure, NULL);
  }
  tri_tls_layout.known = true;
}

/* The loader is asked before anybody can wait for it and hold a lock of ours. */
__attribute__((constructor(101))) static void tri_layout_load(void) {
  tri_os_tls_prepare();
  tri_loader_lock_find();
}

tri_os_range tri_os_static_tls(uintptr_t thread_pointer) {
  tri_os_range area = tri_static_area(thread_pointer);
  return tri_tls_layout.exact ? area : tri_clip(area, thread_pointer);
}

#ifdef __GLIBC__

/* An entry of glibc's DTV. The one before the first holds, as a number, how many modules the vector has room for. */
typedef struct tri_dtv_entry {
  uintptr_t block, to_free;
} tri_dtv_entry;

tri_os_range tri_os_dynamic_tls(uintptr_t thread_pointer, size_t module_id, size_t size) {
  const tri_os_range none = {0, 0};
  const tri_dtv_entry *vector = *(const tri_dtv_entry *const *)(thread_pointer + TRI_DTV_OFFSET);
  if (!vector || module_id == 0 || module_id > vector[-1].block) return none;
  uintptr_t block = vector[module_id].block;
  if (block == 0 || block == UINTPTR_MAX) /* the thread has not used the module */
    return none;
  if (block - (thread_pointer - tri_tls_layout.below) < tri_tls_layout.below + tri_tls_layout.above)
    return none; /* a module loaded late, whose block fitted into the static area */
  /* The entry may be that of an unloaded module whose number was given away again and whose block is smaller. */
  return tri_clip((tri_os_range){block, block + size}, block);
}

#else

tri_os_range tri_os_dynamic_tls(uintptr_t thread_pointer, size_t module_id, size_t size) {
  (void)thread_pointer, (void)module_id, (void)size;
  return (tri_os_range){0, 0};
}

#endif
