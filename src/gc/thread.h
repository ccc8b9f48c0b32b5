/* thread.h - the registry of the program's threads, and stopping them.
 *
 * A thread is known from its first allocation, from its interposed start, or because a stop found it in /proc/self/task. Each has
 * a tri_thread, which holds its cache and is never unmapped, only reused. States:
 *
 *   running   anywhere in the program; the stop signal reaches it
 *   blocking  between tri_blocking_begin and _end: touches no heap, counts as stopped, must wait before it goes on
 *
 * STOPPING (stop.c). stop.sequence is odd while a stop is on. The collector, holding TRI_RANK_REGISTRY throughout, makes it odd, then
 * reads every thread's state: blocking ones are stopped already, the others are signalled and acknowledge once each, from
 * the handler or, when stops are deferred, at the end of their slow path. A thread that leaves a blocking region writes
 * running, then reads sequence; the collector writes sequence, then reads the state (both seq_cst): one of them sees the
 * other. To attach or detach takes the registry's lock too, so no list changes while a stop is on. */
#ifndef TRI_THREAD_H
#define TRI_THREAD_H

#include "heap/cache.h"

enum { TRI_SAVED_REGISTER_BYTES = 192 };

typedef enum tri_thread_state { TRI_THREAD_RUNNING, TRI_THREAD_BLOCKING } tri_thread_state;

typedef struct tri_thread {
  tri_cache cache; /* first: tri_cache_self is a tri_thread */
  struct tri_thread *next;
  int id;
  uintptr_t stack_low, stack_high;
  uintptr_t thread_pointer;
  uintptr_t sp;                /* while stopped: nothing of interest lies below */
  uintptr_t alternate_low, alternate_high; /* the alternate signal stack in force when it stopped */
  _Atomic(uint32_t) state;     /* seq_cst, see above */
  _Atomic(uint32_t) asked;     /* the sequence of the last stop that signalled it: release; pairs with the handler */
  _Atomic(uint32_t) stopped;   /* the sequence of the last stop it acknowledged: release; pairs with the collector */
  uint32_t blocking_depth;
  bool bounds_given;           /* by tri_thread_attach */
  uint64_t registers[TRI_SAVED_REGISTER_BYTES / 8]; /* at tri_blocking_begin */
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
/* How many tasks there are when every one is known. Lock held. */
int tri_threads_expected_tasks(void);

/* Only the forking thread lives on in the child. Locks are the caller's matter (start.c). */
void tri_threads_after_fork_child(void);

/* Blocking regions of the calling thread. */
void tri_thread_blocking_begin(tri_thread *thread);
void tri_thread_blocking_end(tri_thread *thread);

/* ---- stopping ---- */

bool tri_stop_init(int signal);

/* Stops every thread of the program but the caller. Returns false, with nobody stopped, when some thread cannot be: it
 * blocks the signal by a raw system call. The registry's lock is held from here to tri_stop_end. */
bool tri_stop_begin(void);
void tri_stop_end(void);

/* What a thread does when told to stop: from the handler, or at the end of a slow path. */
void tri_stop_park(tri_thread *thread);

/* Where a signal with the stop's number goes that is not a stop: the program's own handler, when it installed one. */
extern struct sigaction tri_stop_chained;
int tri_stop_signal(void);

/* Whether the signal handler ran in this thread since the last call: tells an EINTR of ours from the program's. */
bool tri_stop_interrupted(void);

/* ---- pointers in flight between threads; roots ---- */

/* A new thread's argument, from pthread_create until its start has read it; a finished thread's result until it is joined. */
typedef struct tri_thread_parcel {
  struct tri_thread_parcel *next;
  uintptr_t key;      /* pthread_t, for results */
  void *(*run)(void *);
  void *pointer;
} tri_thread_parcel;
tri_thread_parcel *tri_thread_parcel_new(uintptr_t key, void *(*run)(void *), void *pointer);
/* Unlinks the parcel; its memory is reused. */
void tri_thread_parcel_drop(tri_thread_parcel *parcel);
/* Drops the parcel with the key, if there is one. */
void tri_thread_parcel_drop_key(uintptr_t key);
tri_thread_parcel *tri_thread_parcels(void); /* registry's lock held */

#endif
