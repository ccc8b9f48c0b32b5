/* thread.h - the registry of the program's threads, and stopping them.
 *
 * A thread is known from its first allocation, from its interposed start, or because a stop found it in
 * /proc/self/task. Each has a tri_thread, which holds its cache and is never unmapped, only reused. States:
 *
 *   running   anywhere in the program; the stop signal reaches it
 *   blocking  in a blocking region, between tri_blocking_begin and _end or in an interposed call: touches no heap. A
 *             stop need not interrupt it. Handlers of the program leave the region for as long as they run
 *   held      blocking, and the collector counts on it: it cannot leave the region before the stop is over
 *
 * gc/stop.c tells who changes what. To attach or detach takes the registry's lock, which a stop holds throughout; so
 * while one is on the collector alone changes the list of threads: it adds tasks that it finds, whose handlers look for
 * their records, and takes off threads that have ended, when no handler can be looking. */
#ifndef TRI_THREAD_H
#define TRI_THREAD_H

#include "heap/cache.h"

/* What tri_os_with_registers stores on x86-64 (6 words and one for alignment) and aarch64 (12 words and 8 doubles). */
#ifdef __x86_64__
enum { TRI_SAVED_REGISTERS = 7 };
#else
enum { TRI_SAVED_REGISTERS = 20 };
#endif

typedef enum tri_thread_state { TRI_THREAD_RUNNING, TRI_THREAD_BLOCKING, TRI_THREAD_HELD } tri_thread_state;

typedef struct tri_thread {
  tri_cache cache;                 /* first: tri_cache_self is a tri_thread */
  struct tri_thread *next, **link; /* in the list of all; what points to it there */
  struct tri_thread *next_by_id;   /* of those whose id has the same hash */
  int id;
  uintptr_t stack_low, stack_high;
  uintptr_t tls_top; /* the end of its static TLS; only while tri_threads_find_stacks looks */
  uintptr_t thread_pointer;
  uintptr_t sp;                            /* while stopped: nothing of interest lies below */
  uintptr_t alternate_low, alternate_high; /* the alternate signal stack in force when it stopped */
  _Atomic(uint32_t) state;                 /* see gc/stop.c */
  _Atomic(uint32_t) asked; /* the sequence of the last stop that asked it; one more once that is answered. acq_rel */
  uint32_t blocking_depth; /* of tri_thread_blocking_begin */
  uint64_t heap_print;     /* assertion builds: of its cache, at tri_thread_blocking_begin */
  bool unbounded;          /* stack_low and _high are not known: the next stop looks for them */
  bool shares_tls;         /* made by a bare clone: its thread pointer, and tri_cache_self, are another thread's */
  bool gone;               /* found to have ended during a stop, forgotten when no handler can look at the list */
  bool stuck;              /* the last stop was given up because of it */
  _Atomic(bool) enters;    /* a collection, which see (gc/cycle.c): it may hold the loader's lock for it. Relaxed */
  _Atomic(uint32_t) sent;  /* stop signals sent to it; relaxed, a figure */
  uint64_t registers[TRI_SAVED_REGISTERS]; /* at tri_blocking_begin */
} tri_thread;

bool tri_threads_init(void);

/* How often over the calling thread is at something of the collector's that it does not defer stops for: it holds or
 * waits for a lock up to TRI_RANK_REGISTRY, is on its way into a collection, starts the heap, or prepares a fork. A
 * handler of the program that finds it so makes no collection, and forks unprepared (gc/fork.c). */
extern _Thread_local volatile uint32_t tri_thread_busy __attribute__((tls_model("initial-exec")));
TRI_INLINE void tri_thread_busy_begin(void) {
  tri_thread_busy = tri_thread_busy + 1;
  atomic_signal_fence(memory_order_seq_cst);
}
TRI_INLINE void tri_thread_busy_end(void) {
  atomic_signal_fence(memory_order_seq_cst);
  tri_thread_busy = tri_thread_busy - 1;
}

/* Whether a slow path of the heap's is under way in the calling thread, so that it must not wait for the collector. */
bool tri_thread_defers_stops(void);

/* The calling thread's record, attaching it if need be; NULL when memory is out. */
tri_thread *tri_thread_self(void);
/* Without attaching: NULL when unknown. */
tri_thread *tri_thread_known(void);
/* The same where a thread may run that has no thread-local storage of its own: NULL there. */
tri_thread *tri_thread_here(void);

/* Whether the task is a thread in its last moments: it was detached by the C library's ending it, has not come back,
 * and blocks even signals that no program can block. It runs nothing of the program's any more, and may not be waited
 * for in a stop: to free its memory it may wait for a lock of malloc's that a stopped thread has. Lock held. */
bool tri_thread_is_leaving(int id);

tri_thread *tri_thread_attach_self(void);
void tri_thread_detach_self(void);

/* Tells the calling thread's stack; low = high = 0: as the system knows it. False, and nothing changes, when what is
 * given does not hold the caller's stack pointer, or this thread has no thread-local storage of its own. */
bool tri_thread_set_stack(tri_thread *self, uintptr_t low, uintptr_t high);

/* All threads; the registry's lock is held (a stop is on, or between tri_threads_lock and _unlock). */
tri_thread *tri_threads_first(void);
bool tri_threads_is_only(const tri_thread *thread);
void tri_threads_lock(void);
void tri_threads_unlock(void);
/* The same for a fork: until it is over the two above do nothing in this thread, for handlers of the program that run
 * meanwhile may start threads. */
void tri_threads_lock_for_fork(void);
void tri_threads_unlock_for_fork(void);

/* The record of a task, made if there is none; NULL when memory is out. Lock held. */
tri_thread *tri_thread_record(int id);
tri_thread *tri_thread_find(int id);
/* A thread that has ended, or the caller: its cache goes back. Lock held. */
void tri_thread_forget(tri_thread *thread);

/* The library's own threads: never stopped, no roots. Returns false when the system refuses. No lock is held: the
 * loader's may be waited for. */
bool tri_thread_start_own(void (*run)(void *), void *argument, const char *name);
/* Whether the task has said so; the first that it does. Lock held. */
bool tri_thread_is_ours(int id);
/* Whether the calling thread is inside tri_thread_start_own. */
bool tri_thread_is_starting_own(void);
/* How many tasks there are when every one is known; those of our own that said so by now. Ask before counting: those
 * that say so in between would stand for others, which are not known. Lock held. */
int tri_threads_expected_tasks(void);

/* Looks for the stacks of threads whose bounds are not known, in one reading of the mappings at most. All are stopped.
 * False, and the stop hears why (tri_stop_blame), when some cannot be found. */
bool tri_threads_find_stacks(void);

/* Only the forking thread lives on in the child. torn: others may have been using the heap or, when the lock was not
 * taken for this fork, the list; their caches are left alone. */
void tri_threads_after_fork_child(bool torn);

/* From now on no thread of ours is started. */
void tri_threads_start_none(void);

/* Blocking regions of the calling thread. enter is refused, and exit must not be called then, when the thread is in one
 * already or defers stops (a signal handler of the program may have interrupted a slow path). begin and end are what
 * programs call themselves, and nest. exit returns when no stop holds the thread. errno may change. */
bool tri_thread_blocking_enter(tri_thread *thread);
void tri_thread_blocking_exit(tri_thread *thread);
void tri_thread_blocking_begin(tri_thread *thread);
void tri_thread_blocking_end(tri_thread *thread);

/* A signal handler of the program may interrupt a blocking region; it runs program code, so the thread may not count as
 * stopped meanwhile. leave keeps what the region saved and leaves it, seeing a stop through; resume takes it up again.
 * A handler that jumps out instead has left the region for good, as it should. */
typedef struct tri_blocking_state {
  bool blocking; /* in a region */
  uintptr_t sp;
  uint64_t registers[TRI_SAVED_REGISTERS];
} tri_blocking_state;
void tri_thread_blocking_leave(tri_thread *thread, tri_blocking_state *saved);
void tri_thread_blocking_resume(tri_thread *thread, const tri_blocking_state *saved);

/* ---- stopping ---- */

bool tri_stop_init(int signal);

/* Stops every thread of the program but the caller. Returns false, with nobody stopped, when some thread cannot be
 * (it blocks the signal by a raw system call), or the threads cannot be listed. The registry's lock is held from here
 * to tri_stop_end, and signals of the program wait: no handler runs in any thread while the world is stopped. */
bool tri_stop_begin(void);

/* Returns when everybody ran again; when that has not been seen yet, now. */
uint64_t tri_stop_end(void);

/* In a stop: those that wait for its end should sleep, for there is work for their processors, or pages are armed. */
void tri_stop_stand_aside(void);

/* In a fork's child no stop is on, whoever had begun one. */
void tri_stop_after_fork_child(tri_thread *self);

/* What may be the matter when no collection can be made. */
typedef enum tri_stop_trouble {
  TRI_TROUBLE_NONE,
  TRI_TROUBLE_BLOCKED,  /* id blocks the stop signal */
  TRI_TROUBLE_UNSEEN,   /* id does not answer, and nobody can say why */
  TRI_TROUBLE_SIGNAL,   /* the system does not send the stop signal to id */
  TRI_TROUBLE_TASKS,    /* the threads cannot be listed */
  TRI_TROUBLE_MANY,     /* more threads than there is room for */
  TRI_TROUBLE_MAPPINGS, /* the mappings cannot be read */
  TRI_TROUBLE_STACK,    /* the stack of id is in none */
  TRI_TROUBLE_MEMORY,
} tri_stop_trouble;

/* During a stop: what keeps the collection from being made, with the thread that is to blame (0: none) and an errno
 * (0: none). The first of a stop counts, and each kind is said once, on standard error, when the world goes on. */
void tri_stop_blame(tri_stop_trouble trouble, int id, int error);

/* What a thread does when told to stop while it deferred stops, at the end of its slow path. */
void tri_stop_park(tri_thread *thread);

/* The number of the stop that is on, or, when even, of the last end of one; and waiting, at most until it is
 * another. */
uint32_t tri_stop_sequence(void);
void tri_stop_await_end(uint32_t sequence);

/* The stop signal once the heap has started, 0 before. Acquire: threads can be attached from then on. */
int tri_stop_signal(void);

/* Lets the stop signal through in the calling thread, should it be blocked. */
void tri_stop_unblock(void);

/* Handlers that ran in this thread: ours, and the program's (gc/action.c). They tell an EINTR of ours from one that the
 * program expects. */
typedef struct tri_signal_counts {
  uint32_t stops, handlers;
} tri_signal_counts;
extern _Thread_local volatile tri_signal_counts tri_signals_seen __attribute__((tls_model("initial-exec")));

#endif
