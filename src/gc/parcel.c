/* parcel.c - see parcel.h. A parcel without a name is in the list that the name 0 has; others, in their name's.
 *
 * A cancelled thread comes by here while it is unwound out of a call that ThreadSanitizer wraps, and takes for still
 * under way: it sees no locks then. */
#include "gc/parcel.h"

#include "gc/action.h"
#include "gc/thread.h"

static tri_parcel *lists[TRI_PARCEL_LISTS] TRI_OWN_DATA;

TRI_UNSANITIZED_BEGIN

static tri_parcel **list_of(pthread_t thread) {
  return &lists[((uint64_t)thread * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}
_Static_assert(TRI_PARCEL_LISTS == 1 << (64 - 58), "as many lists as the hash has values");

static void link_in(tri_parcel *parcel) {
  tri_parcel **list = list_of(parcel->thread);
  parcel->next = *list;
  *list = parcel;
}

/* One that a fork's child has lost is in no list. */
static void unlink_from(tri_parcel *parcel) {
  for (tri_parcel **link = list_of(parcel->thread); *link; link = &(*link)->next) {
    if (*link != parcel) continue;
    *link = parcel->next;
    return;
  }
}

static tri_parcel *newest(pthread_t thread) {
  tri_parcel *parcel = *list_of(thread);
  while (parcel && parcel->thread != thread) parcel = parcel->next;
  return parcel;
}

static bool drop(tri_parcel *parcel, unsigned parties) {
  parcel->parties &= ~parties;
  if (parcel->parties) return false;
  unlink_from(parcel);
  return true;
}

void tri_parcel_post(tri_parcel *parcel, unsigned parties, void *pointer) {
  *parcel = (tri_parcel){.pointer = pointer, .parties = parties};
  tri_threads_lock();
  link_in(parcel);
  tri_threads_unlock();
}

tri_parcel *tri_parcel_name(tri_parcel *parcel, const pthread_t *thread) {
  tri_parcel *orphan = NULL;
  tri_threads_lock();
  if (!parcel->thread) {
    orphan = newest(*thread);
    if (orphan && (orphan->sought || !drop(orphan, TRI_PARCEL_THREAD | TRI_PARCEL_JOINER))) orphan = NULL;
    unlink_from(parcel);
    parcel->thread = *thread;
    link_in(parcel);
  }
  tri_threads_unlock();
  return orphan;
}

void *tri_parcel_swap(tri_parcel *parcel, void *pointer) {
  tri_threads_lock();
  void *before = parcel->pointer;
  parcel->pointer = pointer;
  tri_threads_unlock();
  return before;
}

tri_parcel *tri_parcel_find(pthread_t thread) {
  tri_threads_lock();
  tri_parcel *parcel = newest(thread);
  if (parcel) parcel->sought = true;
  tri_threads_unlock();
  return parcel;
}

bool tri_parcel_drop(tri_parcel *parcel, unsigned parties) {
  tri_threads_lock();
  bool dead = drop(parcel, parties);
  tri_threads_unlock();
  return dead;
}

void tri_parcels_after_fork_child(pthread_t thread) {
  tri_parcel *own = newest(thread);
  for (int i = 0; i < TRI_PARCEL_LISTS; i++) lists[i] = NULL;
  if (own) link_in(own);
}

tri_parcel *tri_parcels(int list) { return lists[list]; }

TRI_UNSANITIZED_END
