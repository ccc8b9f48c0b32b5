/* parcel.h - the pointers that are on their way into a thread and out of it, where no collection would find them.
 *
 * Every thread that the program starts has a parcel: from before the call that starts it, when it holds the thread's
 * argument, until the thread is joined, when it holds the result. What is in parcels is a root.
 *
 * A parcel belongs to up to three parties, and its memory, which is the caller's, to the last of them: the creator,
 * until the call that starts the thread has returned; the thread, until it ends; the joiner, whoever that will be,
 * until the thread is joined or detached. A joiner finds it by the thread's pthread_t, so it must be found before the
 * real join: once that has been made, the C library gives the pthread_t away again. Creator and thread both name the
 * parcel, the one before it returns, the other before it runs code of the program: nobody can have the pthread_t, and
 * join, before one of them has. Of two parcels with the same name the newer one is meant: the other's thread has been
 * joined, and its joiner is about to say so here, or never will, having joined beneath us.
 *
 * Lock: TRI_RANK_REGISTRY, in every function here but where it says that the lock is held. */
#ifndef TRI_PARCEL_H
#define TRI_PARCEL_H

#include <pthread.h>

#include "base/base.h"

enum { TRI_PARCEL_CREATOR = 1, TRI_PARCEL_THREAD = 2, TRI_PARCEL_JOINER = 4 };

typedef struct tri_parcel {
  struct tri_parcel *next;
  pthread_t thread; /* 0 until it is named */
  void *pointer;
  unsigned parties;
  bool sought; /* somebody found it to join the thread, and will drop it when he has */
} tri_parcel;

/* Puts *parcel, which belongs to parties, among the parcels. */
void tri_parcel_post(tri_parcel *parcel, unsigned parties, void *pointer);

/* Names the parcel unless it has a name: a thread with one may have freed what thread points to. Returns a parcel that
 * nobody will ever ask for, whose memory is the caller's now, or NULL. */
tri_parcel *tri_parcel_name(tri_parcel *parcel, const pthread_t *thread);

/* Exchanges what is in it. */
void *tri_parcel_swap(tri_parcel *parcel, void *pointer);

/* The parcel of a thread that the caller may join or detach; NULL when it has none. It stays until that is done. */
tri_parcel *tri_parcel_find(pthread_t thread);

/* Takes it from some of its parties. True when it belongs to nobody now, and its memory is the caller's. */
bool tri_parcel_drop(tri_parcel *parcel, unsigned parties);

/* Of the child's one thread only the own parcel is left. The memory of others is lost: to call free here may be to wait
 * for a lock of an allocator that looks after itself later. Lock held. */
void tri_parcels_after_fork_child(pthread_t thread);

/* One of TRI_PARCEL_LISTS lists. Lock held. */
enum { TRI_PARCEL_LISTS = 64 };
tri_parcel *tri_parcels(int list);

#endif
