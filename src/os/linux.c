/* linux.c - memory, time, waiting and processors on Linux; os.h has the contract.
 *
 * Memory is reserved without access and committed by changing its protection, so that a reservation costs address space
 * only, whatever the overcommit policy. Blocking calls are made bare: the library's interposed versions would enter a
 * blocking region. Takes no lock; errno may change. Called by every layer above. */
#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os/linux_proc.h"
#include "os/os.h"

enum {
  /* Of linux/prctl.h, linux/mman.h and linux/futex.h, whose older versions lack some. */
  TRI_PR_SET_VMA = 0x53564d41,
  TRI_PR_SET_VMA_ANON_NAME = 0,
  TRI_MADV_WIPEONFORK = 18,
  TRI_NICE = 10,
  TRI_FUTEX_WAIT_PRIVATE = 0 | 128,
  TRI_FUTEX_WAKE_PRIVATE = 1 | 128,
  TRI_CPU_MASK_WORDS = 128, /* 8192 processors, the most a Linux kernel is built for */
};

#define TRI_SECOND UINT64_C(1000000000)

/* ---- memory ---- */

size_t tri_os_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

size_t tri_os_address_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
  return (size_t)limit.rlim_cur;
}

void *tri_os_reserve(size_t size, size_t alignment) {
  size_t page = tri_os_page_size();
  TRI_ASSERT((alignment & (alignment - 1)) == 0);
  size = tri_align_up(size, page);
  size_t slack = alignment > page ? alignment - page : 0;
  if (size == 0 || size + slack < size) return NULL;
  char *start = mmap(NULL, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return NULL;
  size_t before = tri_align_up((uintptr_t)start, alignment) - (uintptr_t)start;
  if (before > 0) munmap(start, before);
  if (slack > before) munmap(start + before + size, slack - before);
  return start + before;
}

void tri_os_unreserve(void *start, size_t size) {
  if (munmap(start, tri_align_up(size, tri_os_page_size())) != 0)
    tri_fatal("munmap(%p, %zu): errno %d", start, size, errno);
}

bool tri_os_commit(void *start, size_t size, const char *name) {
  TRI_ASSERT(((uintptr_t)start | size) % tri_os_page_size() == 0);
  if (mprotect(start, size, PROT_READ | PROT_WRITE) != 0) return false;
  if (name) /* only for those who look at the maps: a kernel that cannot is none the worse */
    (void)prctl(TRI_PR_SET_VMA, TRI_PR_SET_VMA_ANON_NAME, start, size, name);
  return true;
}

bool tri_os_discard(void *start, size_t size) {
  TRI_ASSERT(((uintptr_t)start | size) % tri_os_page_size() == 0);
  return madvise(start, size, MADV_DONTNEED) == 0;
}

bool tri_os_empty_in_child(void *start, size_t size) {
  TRI_ASSERT(((uintptr_t)start | size) % tri_os_page_size() == 0);
  return madvise(start, size, TRI_MADV_WIPEONFORK) == 0;
}

ptrdiff_t tri_os_read(void *to, uintptr_t from, size_t size) {
  struct iovec local = {to, size}, remote = {(void *)from, size};
  ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return got < 0 && errno == EFAULT ? 0 : got;
}

void tri_os_advise_huge(void *start, size_t size, bool huge) {
  (void)madvise(start, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* Reads one line, "low-high rwxp ...". */
static bool tri_mapping_read(tri_proc_file *file, tri_os_mapping *mapping) {
  uint64_t low, high;
  if (tri_proc_number(file, 16, &low) != '-' || tri_proc_number(file, 16, &high) != ' ') return false;
  mapping->low = (uintptr_t)low;
  mapping->high = (uintptr_t)high;
  mapping->readable = tri_proc_next(file) == 'r';
  mapping->writable = tri_proc_next(file) == 'w';
  return tri_proc_skip(file, '\n');
}

bool tri_os_visit_mappings(bool (*visit)(void *argument, const tri_os_mapping *mapping), void *argument) {
  tri_proc_file file;
  tri_os_mapping mapping = {0};
  if (!tri_proc_open(&file, "/proc/thread-self/maps")) return false;
  for (bool more = true; more && tri_mapping_read(&file, &mapping); mapping.below = mapping.high)
    more = visit(argument, &mapping);
  tri_proc_close(&file);
  return true;
}

typedef struct tri_mapping_search {
  uintptr_t address;
  tri_os_mapping *found; /* its high is 0 until then */
} tri_mapping_search;

static bool tri_mapping_compare(void *argument, const tri_os_mapping *mapping) {
  tri_mapping_search *search = argument;
  if (search->address >= mapping->low && search->address < mapping->high) *search->found = *mapping;
  return search->address >= mapping->high;
}

bool tri_os_find_mapping_and_below(uintptr_t address, tri_os_mapping *mapping) {
  tri_mapping_search search = {.address = address, .found = mapping};
  mapping->high = 0;
  if (!tri_os_visit_mappings(tri_mapping_compare, &search)) return false;
  errno = EFAULT;
  return mapping->high != 0;
}

/* Of linux/fs.h since Linux 6.11: PROCMAP_QUERY and what it takes. */
typedef struct tri_mapping_query {
  uint64_t size, query_flags, query_address;
  uint64_t low, high, flags, page_size, offset, inode;
  uint32_t device_major, device_minor, name_size, build_id_size;
  uint64_t name, build_id;
} tri_mapping_query;

#define TRI_PROCMAP_QUERY _IOWR('f', 17, tri_mapping_query)

enum { TRI_MAPPING_READABLE = 1, TRI_MAPPING_WRITABLE = 2 };

tri_os_answer tri_os_query_mapping(uintptr_t address, tri_os_mapping *mapping) {
  tri_mapping_query query = {.size = sizeof query, .query_address = address};
  tri_proc_file file;
  mapping->high = 0;
  if (!tri_proc_open(&file, "/proc/thread-self/maps")) return TRI_OS_UNKNOWN;
  int error = syscall(SYS_ioctl, file.descriptor, TRI_PROCMAP_QUERY, &query) == 0 ? 0 : errno;
  tri_proc_close(&file);
  if (error) return error == ENOENT ? TRI_OS_NO : TRI_OS_UNKNOWN;
  *mapping = (tri_os_mapping){.low = (uintptr_t)query.low,
                              .high = (uintptr_t)query.high,
                              .readable = query.flags & TRI_MAPPING_READABLE,
                              .writable = query.flags & TRI_MAPPING_WRITABLE};
  return TRI_OS_YES;
}

bool tri_os_find_mapping(uintptr_t address, tri_os_mapping *mapping) {
  tri_os_answer answer = tri_os_query_mapping(address, mapping);
  if (answer == TRI_OS_UNKNOWN) return tri_os_find_mapping_and_below(address, mapping);
  errno = EFAULT;
  return answer == TRI_OS_YES;
}

/* ---- time ---- */

static uint64_t tri_clock(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) tri_fatal("clock_gettime(%d): errno %d", (int)clock, errno);
  return (uint64_t)time.tv_sec * TRI_SECOND + (uint64_t)time.tv_nsec;
}

uint64_t tri_os_now(void) { return tri_clock(CLOCK_MONOTONIC); }
uint64_t tri_os_wall(void) { return tri_clock(CLOCK_REALTIME); }
uint64_t tri_os_thread_cpu(void) { return tri_clock(CLOCK_THREAD_CPUTIME_ID); }
uint64_t tri_os_process_cpu(void) { return tri_clock(CLOCK_PROCESS_CPUTIME_ID); }

static int tri_processors_count(void) {
  unsigned long mask[TRI_CPU_MASK_WORDS] = {0};
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  int count = 0;
  for (size_t i = 0; bytes > 0 && i < (size_t)bytes / sizeof mask[0]; i++) count += __builtin_popcountl(mask[i]);
  return count > 0 ? count : 1;
}

int tri_os_processors(void) {
  static _Atomic(int) cached TRI_OWN_DATA;
  /* relaxed: the number stands alone, and threads that race compute the same one */
  int count = atomic_load_explicit(&cached, memory_order_relaxed);
  if (tri_unlikely(count == 0)) {
    count = tri_processors_count();
    atomic_store_explicit(&cached, count, memory_order_relaxed);
  }
  return count;
}

/* ---- waiting ---- */

static struct timespec tri_timespec(uint64_t duration) {
  return (struct timespec){.tv_sec = (time_t)(duration / TRI_SECOND), .tv_nsec = (long)(duration % TRI_SECOND)};
}

void tri_os_wait(_Atomic(uint32_t) *word, uint32_t expected, uint64_t timeout) {
  int saved_errno = errno;
  struct timespec limit = tri_timespec(timeout);
  syscall(SYS_futex, word, TRI_FUTEX_WAIT_PRIVATE, expected, timeout ? &limit : NULL, NULL, 0);
  errno = saved_errno;
}

void tri_os_wake(_Atomic(uint32_t) *word, int count) {
  syscall(SYS_futex, word, TRI_FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void tri_os_yield(void) { syscall(SYS_sched_yield); }

bool tri_os_thread_give_way(void) { return setpriority(PRIO_PROCESS, (id_t)tri_os_thread_id(), TRI_NICE) == 0; }

void tri_os_sleep(uint64_t duration) {
  struct timespec rest = tri_timespec(duration);
  while (syscall(SYS_nanosleep, &rest, &rest) != 0 && errno == EINTR) continue;
}
