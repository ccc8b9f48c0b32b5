/* pool.c - see pool.h. */
#include "pool/pool.h"

#include <errno.h>

#include "gc/collection.h"
#include "gc/roots.h"
#include "gc/start.h"
#include "gc/thread.h"
#include "pool/memory.h"

static struct {
  _Atomic(tri_pool *) list;    /* see pool.h. A root */
  _Atomic(bool) any_condemned; /* since somebody looked. Relaxed: it only spares looking */
} pools TRI_OWN_DATA;

static void count(_Atomic(uint64_t) *figure) { atomic_fetch_add_explicit(figure, 1, memory_order_relaxed); }

/* The owner's own figures need no read-modify-write. */
static void count_own(_Atomic(uint64_t) *figure) {
  atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + 1, memory_order_relaxed);
}

const tri_pool_places tri_pool_no_places;

/* ---- places ---- */

/* Calls visit for every place there is until it returns true. */
static bool each_place(const tri_pool_places *places, bool (*visit)(void *argument, tri_pool_place *place),
                       void *argument) {
  for (uint32_t i = 0; i < TRI_PLACES; i++) {
    tri_pool_place *place = atomic_load_explicit(&places->at[i], memory_order_acquire);
    if (place && visit(argument, place)) return true;
  }
  for (uint32_t array = 0; array < TRI_MORE_ARRAYS; array++) {
    const tri_more_places *more = atomic_load_explicit(&places->more[array], memory_order_acquire);
    for (uint32_t i = 0; more && i < TRI_MORE_PLACES; i++) {
      tri_pool_place *place = atomic_load_explicit(&more->at[i], memory_order_acquire);
      if (place && visit(argument, place)) return true;
    }
  }
  return false;
}

/* Where a thread's place is noted; NULL: nowhere, or, with make, when memory is out. */
static _Atomic(tri_pool_place *) *find_note(tri_pool_places *places, uint32_t number, bool make) {
  if (number < TRI_PLACES) return &places->at[number];
  uint32_t array = (number - TRI_PLACES) / TRI_MORE_PLACES, index = (number - TRI_PLACES) % TRI_MORE_PLACES;
  if (array >= TRI_MORE_ARRAYS) return NULL;
  tri_more_places *more = atomic_load_explicit(&places->more[array], memory_order_acquire), *new;
  if (!more && make && (new = tri_pool_alloc(sizeof *new)) &&
      atomic_compare_exchange_strong_explicit(&places->more[array], &more, new, memory_order_acq_rel,
                                              memory_order_acquire))
    more = new;
  return more ? &more->at[index] : NULL;
}

static tri_pool_place *find_place(tri_pool_places *places, uint32_t number) {
  _Atomic(tri_pool_place *) *note = places ? find_note(places, number, false) : NULL;
  return note ? atomic_load_explicit(note, memory_order_acquire) : NULL;
}

static tri_pool_place *current_place(tri_pool *pool, uint32_t number) {
  return find_place(atomic_load_explicit(&pool->places, memory_order_acquire), number);
}

/* From here on the pool is turned, and kept. After it got its places: without them the next turn would take it off. */
static void announce(tri_pool *pool) {
  if (atomic_exchange_explicit(&pool->listed, true, memory_order_acq_rel)) return;
  tri_pool *first = atomic_load_explicit(&pools.list, memory_order_relaxed);
  do pool->next = first;
  while (!atomic_compare_exchange_weak_explicit(&pools.list, &first, pool, memory_order_release, memory_order_relaxed));
}

static tri_pool_places *make_places(tri_pool *pool) {
  tri_pool_places *places = atomic_load_explicit(&pool->places, memory_order_acquire), *new;
  if (places || !(new = tri_pool_alloc(sizeof *new))) return places;
  if (!atomic_compare_exchange_strong_explicit(&pool->places, &places, new, memory_order_acq_rel, memory_order_acquire))
    return places;
  announce(pool);
  return new;
}

static void show(tri_pool *pool, const tri_pool_places *places) {
  if (places && !pool->careful && atomic_load_explicit(&pool->quick, memory_order_relaxed) != places)
    atomic_store_explicit(&pool->quick, places, memory_order_release);
}

/* The caller's place, made if need be; NULL when memory is out, or the thread's number too high. Allocates. */
static tri_pool_place *make_place(tri_pool *pool, uint32_t number) {
  tri_pool_places *places = make_places(pool);
  show(pool, places);
  _Atomic(tri_pool_place *) *note = places ? find_note(places, number, true) : NULL;
  if (!note) return NULL;
  tri_pool_place *place = atomic_load_explicit(note, memory_order_acquire);
  if (place || !(place = tri_pool_alloc(sizeof *place))) return place;
  atomic_store_explicit(note, place, memory_order_release);
  return place;
}

/* ---- calls ---- */

/* The calling thread, inside a call. */
typedef struct caller {
  tri_cache *cache; /* NULL: memory is out, it could not be attached */
  uint32_t number;
} caller;

static caller find_caller(void) {
  tri_thread *self = tri_thread_self();
  return self ? (caller){&self->cache, self->cache.number} : (caller){NULL, UINT32_MAX};
}

static void enter(const tri_pool *pool, caller self) {
  if (pool->careful && self.cache) tri_cache_defer(self.cache);
}

static void leave(const tri_pool *pool, caller self) {
  if (pool->careful && self.cache) tri_cache_undefer(self.cache);
}

static void *took(tri_pool *pool, void *object) {
  if (object && pool->max != SIZE_MAX) atomic_fetch_sub_explicit(&pool->queued, 1, memory_order_relaxed);
  return object;
}

static void *take_own(tri_pool_place *place) {
  void *object = atomic_load_explicit(&place->own, memory_order_relaxed);
  if (object) atomic_store_explicit(&place->own, NULL, memory_order_relaxed);
  return object;
}

static void *take_from(tri_pool *pool, tri_pool_place *place) {
  void *object = take_own(place);
  return object ? object : took(pool, tri_queue_take(&place->queue));
}

typedef struct theft {
  tri_pool *pool;
  void *object;
} theft;

static bool steal(void *argument, tri_pool_place *place) {
  theft *found = argument;
  found->object = took(found->pool, tri_queue_steal(&place->queue));
  return found->object;
}

static void *steal_from(tri_pool *pool, const tri_pool_places *places) {
  theft found = {.pool = pool};
  if (places) (void)each_place(places, steal, &found);
  return found.object;
}

/* A victim's own object is its thread's alone, as before. */
static void *take_victim(tri_pool *pool, uint32_t number) {
  tri_pool_places *victims = atomic_load_explicit(&pool->victims, memory_order_acquire);
  if (!victims || atomic_load_explicit(&victims->searched, memory_order_relaxed)) return NULL;
  tri_pool_place *place = find_place(victims, number);
  void *object = place ? take_own(place) : NULL;
  if (!object) object = steal_from(pool, victims);
  return object;
}

static void *search(tri_pool *pool, uint32_t number) {
  tri_pool_places *places = atomic_load_explicit(&pool->places, memory_order_acquire);
  tri_pool_place *place = find_place(places, number);
  if (place)
    count_own(&place->gets);
  else
    count(&pool->gets);
  void *object = place ? take_from(pool, place) : NULL;
  if (!object) object = steal_from(pool, places);
  return object ? object : take_victim(pool, number);
}

void *tri_pool_find(tri_pool *pool) {
  int saved_errno = errno;
  caller self = find_caller();
  enter(pool, self);
  void *object = search(pool, self.number);
  leave(pool, self);
  if (!object) count(&pool->misses);
  if (atomic_load_explicit(&pools.any_condemned, memory_order_relaxed)) tri_pools_destroy();
  errno = saved_errno;
  return object;
}

static void let_go(tri_pool *pool, void *object) {
  count(&pool->dropped);
  if (pool->destroy) pool->destroy(object, pool->context);
}

_Noreturn static void put_twice(const void *object) {
  tri_fatal("tri_pool_put: the object at %p is in the pool already", object);
}

static bool may_queue(tri_pool *pool) {
  if (pool->max == SIZE_MAX || atomic_fetch_add_explicit(&pool->queued, 1, memory_order_relaxed) < pool->max)
    return true;
  atomic_fetch_sub_explicit(&pool->queued, 1, memory_order_relaxed);
  return false;
}

typedef enum attempt { ADDED, NO_ROOM, NO_PLACE, TOO_MANY } attempt;

/* Places of careful pools do not change inside a call; in others what changes is left to be. */
static attempt add(tri_pool *pool, uint32_t number, void *object, tri_ring **room) {
  tri_pool_place *place = current_place(pool, number);
  if (!place) return NO_PLACE;
  void *own = atomic_load_explicit(&place->own, memory_order_relaxed);
  if (own == object || (tri_start_settings()->check && tri_queue_has(&place->queue, object))) put_twice(object);
  if (!own) {
    atomic_store_explicit(&place->own, object, memory_order_relaxed);
  } else {
    if (!may_queue(pool)) return TOO_MANY;
    if (!tri_queue_push(&place->queue, object, room)) {
      (void)took(pool, object);
      return NO_ROOM;
    }
  }
  return ADDED;
}

/* What a call needs is allocated between two tries, for stops are deferred in them. False: memory is out. */
static bool prepare(tri_pool *pool, uint32_t number, attempt last, tri_ring **room) {
  tri_pool_place *place = make_place(pool, number);
  if (!place || last == NO_PLACE) return place;
  *room = tri_ring_new(&place->queue);
  return *room;
}

void tri_pool_add(tri_pool *pool, void *object) {
  int saved_errno = errno;
  caller self = find_caller();
  tri_ring *room = NULL;
  attempt outcome;
  do {
    enter(pool, self);
    outcome = self.cache ? add(pool, self.number, object, &room) : TOO_MANY;
    leave(pool, self);
  } while ((outcome == NO_ROOM || outcome == NO_PLACE) && prepare(pool, self.number, outcome, &room));
  if (outcome != ADDED) let_go(pool, object);
  if (atomic_load_explicit(&pools.any_condemned, memory_order_relaxed)) tri_pools_destroy();
  errno = saved_errno;
}

/* ---- the turn; the world is stopped ---- */

static bool sum_up(void *argument, tri_pool_place *place) {
  tri_pool_stats *sum = argument;
  sum->gets += atomic_load_explicit(&place->gets, memory_order_relaxed);
  sum->held += tri_queue_count(&place->queue) + (atomic_load_explicit(&place->own, memory_order_relaxed) != NULL);
  return false;
}

static bool sum_up_queue(void *argument, tri_pool_place *place) {
  *(size_t *)argument += tri_queue_count(&place->queue);
  return false;
}

static void add_to(_Atomic(uint64_t) *figure, uint64_t more) {
  atomic_fetch_add_explicit(figure, more, memory_order_relaxed);
}

static void drop(tri_pool *pool, tri_pool_places *places) {
  tri_pool_stats sum = {0};
  size_t queued = 0;
  (void)each_place(places, sum_up, &sum);
  add_to(&pool->gets, sum.gets);
  if (pool->max != SIZE_MAX && !each_place(places, sum_up_queue, &queued))
    atomic_fetch_sub_explicit(&pool->queued, queued, memory_order_relaxed);
  if (!pool->destroy) {
    add_to(&pool->dropped, sum.held);
  } else if (sum.held) {
    places->next = atomic_load_explicit(&pool->condemned, memory_order_relaxed);
    atomic_store_explicit(&pool->condemned, places, memory_order_release);
    atomic_store_explicit(&pools.any_condemned, true, memory_order_relaxed);
  }
}

/* Whether anything is left of it. */
static bool turn(tri_pool *pool) {
  tri_pool_places *victims = atomic_load_explicit(&pool->victims, memory_order_relaxed);
  tri_pool_places *places = atomic_load_explicit(&pool->places, memory_order_relaxed);
  if (victims) drop(pool, victims);
  atomic_store_explicit(&pool->victims, places, memory_order_release);
  atomic_store_explicit(&pool->places, NULL, memory_order_release);
  atomic_store_explicit(&pool->quick, &tri_pool_no_places, memory_order_release);
  return places || atomic_load_explicit(&pool->condemned, memory_order_relaxed);
}

static void turn_all(void) {
  tri_pool *kept = NULL, *next;
  for (tri_pool *pool = atomic_load_explicit(&pools.list, memory_order_relaxed); pool; pool = next) {
    next = pool->next;
    pool->next = NULL;
    if (turn(pool)) {
      pool->next = kept;
      kept = pool;
    } else {
      atomic_store_explicit(&pool->listed, false, memory_order_relaxed);
    }
  }
  atomic_store_explicit(&pools.list, kept, memory_order_relaxed);
}

/* ---- what is condemned ---- */

static void destroy_all(tri_pool *pool, tri_pool_place *place) {
  void *object;
  while ((object = take_own(place)) || (object = tri_queue_take(&place->queue))) let_go(pool, object);
}

static bool destroy_place(void *pool, tri_pool_place *place) {
  destroy_all(pool, place);
  return false;
}

/* One that has something condemned, which is the caller's then. */
static tri_pool *next_condemned(tri_pool_places **condemned) {
  tri_thread *self = tri_thread_self();
  if (!self) return NULL;
  tri_cache_defer(&self->cache);
  tri_pool *pool = atomic_load_explicit(&pools.list, memory_order_acquire);
  *condemned = NULL;
  while (pool && !(*condemned = atomic_exchange_explicit(&pool->condemned, NULL, memory_order_acquire)))
    pool = pool->next;
  tri_cache_undefer(&self->cache);
  return pool;
}

void tri_pools_destroy(void) {
  if (!atomic_exchange_explicit(&pools.any_condemned, false, memory_order_relaxed)) return;
  tri_pool_places *condemned;
  for (tri_pool *pool; (pool = next_condemned(&condemned));)
    for (; condemned; condemned = condemned->next) (void)each_place(condemned, destroy_place, pool);
}

/* ---- the pool ---- */

void tri_pool_count(const tri_pool *pool, tri_pool_stats *stats) {
  *stats = (tri_pool_stats){.gets = atomic_load_explicit(&pool->gets, memory_order_relaxed),
                            .misses = atomic_load_explicit(&pool->misses, memory_order_relaxed),
                            .dropped = atomic_load_explicit(&pool->dropped, memory_order_relaxed)};
  const tri_pool_places *both[] = {atomic_load_explicit(&pool->places, memory_order_acquire),
                                   atomic_load_explicit(&pool->victims, memory_order_acquire)};
  for (int i = 0; i < 2; i++)
    if (both[i]) (void)each_place(both[i], sum_up, stats);
  /* While others call, the parts do not belong together. */
  uint64_t found = stats->gets > stats->misses ? stats->gets - stats->misses : 0;
  stats->puts = found + stats->held + stats->dropped;
}

static bool keep_list(void) {
  tri_thread *self = tri_thread_self();
  if (!self) return false;
  tri_cache_defer(&self->cache);
  bool kept = tri_roots_register((uintptr_t)&pools.list, sizeof pools.list);
  tri_cache_undefer(&self->cache);
  atomic_store_explicit(&tri_collection_full_begins, turn_all, memory_order_relaxed);
  return kept;
}

tri_pool *tri_pool_create(void) {
  tri_pool *pool = tri_pool_alloc(sizeof *pool);
  if (!pool || !keep_list()) {
    errno = ENOMEM;
    return NULL;
  }
  atomic_store_explicit(&pool->quick, &tri_pool_no_places, memory_order_relaxed);
  return pool;
}
