/* os.h - the contract with the operating system: memory, time, waiting, threads, signals, modules.
 *
 * Everything the library wants from a system goes through here; linux*.c and arch/ implement it. Nothing here
 * allocates with malloc or takes a lock of ours; what is said to be async-signal-safe is. Sizes are bytes, times
 * nanoseconds. errno may change in any of them: a signal handler saves it. */
#ifndef TRI_OS_H
#define TRI_OS_H

#include <signal.h>
#include <stdatomic.h>

#include "base/base.h"

/* ---- memory ---- */

/* The system's page size (4 KiB mostly). */
size_t tri_os_page_size(void);

/* The most address space the process may have (RLIMIT_AS); 0: as much as there is. */
size_t tri_os_address_limit(void);

/* Reserves address space without access, aligned to a power of two; NULL when refused. No memory is promised. */
void *tri_os_reserve(size_t size, size_t alignment);
void tri_os_unreserve(void *start, size_t size);

/* Makes reserved, page-aligned space readable and writable; it reads as zero. name shows in /proc/self/maps as
 * "[anon:name]" where the kernel can do it. False when the system has no memory. */
bool tri_os_commit(void *start, size_t size, const char *name);

/* Gives the memory behind committed pages back; they stay accessible and read as zero. False when refused. */
bool tri_os_discard(void *start, size_t size);

/* Has committed pages without a file behind them read as zero in every child with a memory of its own that this process
 * makes from now on, and in theirs. False when the system cannot (Linux before 4.14). */
bool tri_os_empty_in_child(void *start, size_t size);

/* Asks for (or against) huge pages in a committed range; only advice. */
void tri_os_advise_huge(void *start, size_t size, bool huge);

typedef enum tri_os_answer { TRI_OS_NO, TRI_OS_YES, TRI_OS_UNKNOWN } tri_os_answer;

/* The mapping of the process that contains address: its bounds, and whether it is readable and writable; _and_below
 * tells where the mapping before it ends, too (0: there is none). False when there is none. Async-signal-safe.
 * query is quick, and Linux can be asked so since 6.11; find reads /proc/thread-self/maps where it cannot, as
 * find_and_below does everywhere: with the stacks of a thousand threads that takes a millisecond. */
typedef struct tri_os_mapping {
  uintptr_t low, high, below;
  bool readable, writable;
} tri_os_mapping;
tri_os_answer tri_os_query_mapping(uintptr_t address, tri_os_mapping *mapping);
bool tri_os_find_mapping(uintptr_t address, tri_os_mapping *mapping);
bool tri_os_find_mapping_and_below(uintptr_t address, tri_os_mapping *mapping);

/* Shows every mapping in ascending order, until visit returns false. False, with errno, when they cannot be read. After
 * a find_mapping that returned false, errno is EFAULT when they could be, and address is in none. Async-signal-safe. */
bool tri_os_visit_mappings(bool (*visit)(void *argument, const tri_os_mapping *mapping), void *argument);

/* Copies memory that may be unmapped meanwhile. Returns how many bytes could be read: 0 when the first cannot, -1, with
 * errno, when the system refuses to look. */
ptrdiff_t tri_os_read(void *to, uintptr_t from, size_t size);

/* ---- time ---- */

uint64_t tri_os_now(void);         /* monotonic */
uint64_t tri_os_wall(void);        /* since 1970 */
uint64_t tri_os_thread_cpu(void);  /* of the calling thread */
uint64_t tri_os_process_cpu(void); /* of the process */
int tri_os_processors(void);       /* that this process may use; at least 1; cached */

/* ---- waiting (futex) ---- */

/* Sleeps while *word == expected, until woken, a signal, or timeout (0 = none). Spurious returns are possible. Keeps
 * errno: locks are waited for in calls that succeed. */
void tri_os_wait(_Atomic(uint32_t) *word, uint32_t expected, uint64_t timeout);
void tri_os_wake(_Atomic(uint32_t) *word, int count);
void tri_os_yield(void);
/* From now on the calling thread runs at once where a processor would be idle, and elsewhere after the others, though
 * not so late that the end of the process, which waits for it, is kept up (as by SCHED_IDLE). No way back. False: it
 * cannot. */
bool tri_os_thread_give_way(void);
/* One turn of a spin loop. */
TRI_INLINE void tri_os_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}
void tri_os_sleep(uint64_t duration);

/* ---- threads ---- */

int tri_os_thread_id(void); /* gettid */
int tri_os_process_id(void);

/* Starts a thread of the library's own: not interposed, detached, small stack, named; all signals blocked but those a
 * faulting instruction raises and those the C library keeps for itself. The first that it does is to set *id, 0 before,
 * to its own: it waits for nobody. Returns once it is set; false when refused. May wait for the loader's locks. */
bool tri_os_thread_start(void (*run)(void *), void *argument, const char *name, _Atomic(uint32_t) *id);
/* For tests: called by such a thread before that. */
extern void (*tri_os_thread_observer)(void);

/* How many tasks the process has (one stat), and their ids: returns the number there are, fills at most capacity. 0,
 * with errno, when /proc cannot be read (a listing needs a file descriptor). While threads start and end a listing may
 * miss some: it is sure when no other follows it that differs. */
int tri_os_task_count(void);
int tri_os_tasks(int *ids, int capacity);

/* A task that is a kernel worker (io_uring), or one that has ended and is still listed (a main thread after
 * pthread_exit), runs no user code and answers no signal. No: also when there is no such task; unknown, with errno:
 * /proc cannot be read. */
tri_os_answer tri_os_task_is_kernel(int id);
/* Whether the task blocks the signal, by /proc/self/task/ID/status. */
tri_os_answer tri_os_task_blocks(int id, int signal);
/* Whether it is known to block all signals, the C library's own for cancellation, too: so the C library does for
 * moments, to start a thread or a process, and in the end of a thread. */
bool tri_os_task_blocks_all(int id);

/* Sends a signal to a thread of this process. 0, or an errno (ESRCH: it is gone). */
int tri_os_signal_thread(int id, int signal);
/* The same, with a value by which its handler recognises it (siginfo_t as sigqueue gives it: SI_QUEUE, si_value). */
int tri_os_signal_thread_value(int id, int signal, void *value);

/* Bounds of the calling thread's stack as the system made it: the whole stack for the main thread up to its limit.
 * Reads the mappings for the main thread alone. Not async-signal-safe (pthread_getattr_np); false when unknown. */
bool tri_os_stack_bounds(uintptr_t *low, uintptr_t *high);

/* The main thread's stack. Async-signal-safe. */
bool tri_os_main_stack(uintptr_t *low, uintptr_t *high);

/* The calling thread's thread pointer: identifies its TLS to the functions below. Async-signal-safe. */
uintptr_t tri_os_thread_pointer(void);

/* ---- signals ---- */

typedef void tri_os_handler(int signal, siginfo_t *info, void *context);

/* Blocks every signal in the calling thread but those that a faulting instruction raises; returns the mask there was,
 * for unblock. Beneath what is interposed: the stop signal too. Async-signal-safe. */
uint64_t tri_os_block_signals(void);
void tri_os_unblock_signals(uint64_t mask);

/* Installs a handler with SA_SIGINFO | SA_RESTART, bypassing interposed and sanitizer-wrapped sigaction. */
bool tri_os_install_handler(int signal, tri_os_handler *handler, struct sigaction *previous);

/* The lowest stack address the interrupted code may use: the stack pointer saved in a signal context less the red zone
 * where the ABI has one; and the alternate stack the context names (low = high = 0 when none). */
uintptr_t tri_os_context_sp(const void *context);
void tri_os_context_altstack(const void *context, uintptr_t *low, uintptr_t *high);

/* Calls body(argument, sp) with every register that may hold a pointer stored in memory at or above sp, on this stack.
 * In assembly per processor: setjmp mangles registers. */
void tri_os_with_registers(void (*body)(void *argument, uintptr_t sp), void *argument);

/* ---- modules: the executable, loaded libraries, and thread-local storage ---- */

typedef struct tri_os_range {
  uintptr_t low, high;
} tri_os_range;

/* Visits what the loader has mapped while holding the loader's lock: begin once, before anything else; then, object by
 * object, data for every writable segment (without its RELRO part) and tls if it has thread-local storage; then end, if
 * there is one, which may take its time: nothing is loaded or unloaded meanwhile. Returning false from begin ends the
 * visit, and makes it return false. No callback may use the loader. Objects in other dlmopen namespaces than the
 * library's are not seen. */
typedef struct tri_os_module_visitor {
  bool (*begin)(void *argument);
  void (*data)(void *argument, tri_os_range range);
  void (*tls)(void *argument, size_t module_id, size_t size);
  void (*end)(void *argument);
  void *argument;
} tri_os_module_visitor;
bool tri_os_visit_modules(const tri_os_module_visitor *visitor);

/* In the child of a fork, while it has one thread: whether that thread can visit modules, for it has the loader's lock,
 * or can get it; no: the lock was in the hands of another thread and will never be free; unknown: it was not found.
 * id_before is what the thread was called in the parent, and by the lock if it holds it; 0: it is called so still. */
tri_os_answer tri_os_loader_survives(int id_before);

/* The id of the thread that holds the loader's lock; 0: nobody, or one that is just taking it or giving it back; -1:
 * not known. It may be old when it returns. */
int tri_os_loader_holder(void);

/* The static TLS area of the thread whose thread pointer is given, with its thread control block (where the first
 * block of pthread keys lies). Async-signal-safe after tri_os_tls_prepare, which asks the loader. It is called when
 * the library is loaded, and does nothing a second time: for who comes earlier. */
void tri_os_tls_prepare(void);
tri_os_range tri_os_static_tls(uintptr_t thread_pointer);

/* The dynamically allocated block of module module_id in that thread, through its DTV; empty when it has none, or when
 * it lies in the static area. The thread must be stopped, or be the caller. Async-signal-safe. */
tri_os_range tri_os_dynamic_tls(uintptr_t thread_pointer, size_t module_id, size_t size);

#endif
