/* thread.h - the registry of the program's threads, and stopping them.
 *
 * A thread is known from its first allocation, from its interposed start, or because a stop found it in
 * /proc/self/task. Each has a tri_thread, which holds its cache and is never unmapped, only reused. States:
 *
 *   running   anywhere in the program; the stop signal reaches it
 *   blocking  between tri_blocking_begin and _end: touches no heap, counts as stopped, must wait before it goes on.
 *             Handlers of the program that interrupt it leave the region for as long as they run (gc/action.c)
 *
 * STOPPING (stop.c). stop.sequence is odd while a stop is on. The collector, holding TRI_RANK_REGISTRY throughout,
 * makes it odd, then reads every thread's state: blocking ones are stopped already, the others are asked and signalled.
 * Each answers once, from the handler or, when stops are deferred, at the end of its slow path; a stop that is given up
 * takes its questions back. Who answers or takes back changes asked by compare-and-swap, and counts the thread as no
 * longer missing. A thread that leaves a blocking region writes running, then reads sequence; the collector writes
 * sequence, then reads the state (both seq_cst): one of them sees the other. To attach or detach takes the registry's
 * lock too, so no list changes while a stop is on. */
#ifndef TRI_THREAD_H
#define TRI_THREAD_H

#include "heap/cache.h"

/* What tri_os_with_registers stores on x86-64 (6 words and one for alignment) and aarch64 (12 words and 8 doubles). */
#ifdef __x86_64__
enum { TRI_SAVED_REGISTERS = 7 };
#else
enum { TRI_SAVED_REGISTERS = 20 };
#endif

typedef enum tri_thread_state { TRI_THREAD_RUNNING, TRI_THREAD_BLOCKING } tri_thread_state;

typedef struct tri_thread {
  tri_cache cache; /* first: tri_cache_self is a tri_thread */
  struct tri_thread *next;
  int id;
  uintptr_t stack_low, stack_high;
  uintptr_t thread_pointer;
  uintptr_t sp;                            /* while stopped: nothing of interest lies below */
  uintptr_t alternate_low, alternate_high; /* the alternate signal stack in force when it stopped */
  _Atomic(uint32_t) state;                 /* seq_cst, see above */
  _Atomic(uint32_t) asked;    /* the sequence of the last stop that asked it; one more once that is answered. acq_rel */
  uint32_t blocking_depth;    /* of tri_thread_blocking_begin */
  bool bounds_given;          /* by tri_thread_attach */
  bool gone;                  /* found to have ended during a stop, forgotten when no handler can look at the list */
  _Atomic(uint32_t) sent;     /* stop signals sent to it, and how many its handler has seen: while they differ, */
  _Atomic(uint32_t) received; /* one is ours. sent: release before the signal, acquire in the handler */
  uint64_t registers[TRI_SAVED_REGISTERS]; /* at tri_blocking_begin */
} tri_thread;

bool tri_threads_init(void);

/* The calling thread's record, attaching it if need be; NULL when memory is out. */
tri_thread *tri_thread_self(void);
/* Without attaching: NULL when unknown. */
tri_thread *tri_thread_known(void);

tri_thread *tri_thread_attach_self(void);
void tri_thread_detach_self(void);

/* All threads; the registry's lock is held (a stop is on, or between tri_threads_lock and _unlock). */
tri_thread *tri_threads_first(void);
void tri_threads_lock(void);
void tri_threads_unlock(void);

/* The record of a task, made if there is none; NULL when memory is out. Lock held. */
tri_thread *tri_thread_record(int id);
tri_thread *tri_thread_find(int id);
/* A thread that has ended, or the caller: its cache goes back. Lock held. */
void tri_thread_forget(tri_thread *thread);

/* The library's own threads: never stopped, no roots. Returns false when the system refuses. */
bool tri_thread_start_own(void (*run)(void *), void *argument, const char *name);
bool tri_thread_is_ours(int id);
/* Whether the calling thread is inside tri_thread_start_own. */
bool tri_thread_is_starting_own(void);
/* How many tasks there are when every one is known. Lock held. */
int tri_threads_expected_tasks(void);

/* Only the forking thread lives on in the child. Locks are the caller's matter (start.c). */
void tri_threads_after_fork_child(void);

/* Blocking regions of the calling thread. enter is refused, and exit must not be called then, when the thread is in one
 * already or defers stops (a signal handler of the program may have interrupted a slow path). begin and end are what
 * programs call themselves, and nest. exit returns when no stop is on. errno may change. */
bool tri_thread_blocking_enter(tri_thread *thread);
void tri_thread_blocking_exit(tri_thread *thread);
void tri_thread_blocking_begin(tri_thread *thread);
void tri_thread_blocking_end(tri_thread *thread);

/* A signal handler of the program may interrupt a blocking region; it runs program code, so the thread may not count as
 * stopped meanwhile. leave keeps what the region saved and leaves it, seeing a stop through; resume takes it up again.
 * A handler that jumps out instead has left the region for good, as it should. */
typedef struct tri_blocking_state {
  uint32_t state;
  uintptr_t sp;
  uint64_t registers[TRI_SAVED_REGISTERS];
} tri_blocking_state;
void tri_thread_blocking_leave(tri_thread *thread, tri_blocking_state *saved);
void tri_thread_blocking_resume(tri_thread *thread, const tri_blocking_state *saved);

/* ---- stopping ---- */

bool tri_stop_init(int signal);

/* Stops every thread of the program but the caller. Returns false, with nobody stopped, when some thread cannot be: it
 * blocks the signal by a raw system call. The registry's lock is held from here to tri_stop_end. */
bool tri_stop_begin(void);
void tri_stop_end(void);

/* What a thread does when told to stop: from the handler, or at the end of a slow path. */
void tri_stop_park(tri_thread *thread);

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

/* ---- pointers in flight between threads; roots ---- */

enum { TRI_PARCEL_LISTS = 64 };

/* A new thread's argument, from pthread_create until its start has read it (key: any address of the creator's choice),
 * or a finished thread's result until it is joined (key: its pthread_t). The C library gives a pthread_t away again as
 * soon as its thread is joined, before the joiner can say so here: hence the serial number of the thread. */
typedef struct tri_thread_parcel {
  struct tri_thread_parcel *next;
  uintptr_t key;
  uint64_t serial;
  void *pointer;
} tri_thread_parcel;

/* False when memory is out. Takes the place of parcels with the same key and a smaller serial number. */
bool tri_thread_parcel_send(uintptr_t key, uint64_t serial, void *pointer);
/* Drops the parcels with the key whose serial number is at most serial. */
void tri_thread_parcel_drop(uintptr_t key, uint64_t serial);
/* One of the TRI_PARCEL_LISTS lists; the registry's lock is held. */
tri_thread_parcel *tri_thread_parcels(int list);

#endif
