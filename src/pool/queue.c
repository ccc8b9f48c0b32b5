/* queue.c - see queue.h. */
#include "pool/queue.h"

#include "pool/memory.h"

enum { FIRST_RING = 8, MAX_RING = 2048 };

#define HEAD_STEP (UINT64_C(1) << 32)

static uint32_t head_of(uint64_t ends) { return (uint32_t)(ends >> 32); }
static uint32_t tail_of(uint64_t ends) { return (uint32_t)ends; }

static _Atomic(void *) *slot_at(tri_ring *ring, uint32_t index) { return &ring->slots[index & (ring->size - 1)]; }

/* ---- one ring ---- */

static bool push(tri_ring *ring, void *object) {
  uint64_t ends = atomic_load_explicit(&ring->ends, memory_order_relaxed);
  _Atomic(void *) *slot = slot_at(ring, head_of(ends));
  if (head_of(ends) - tail_of(ends) >= ring->size) return false;
  /* acquire: pairs with steal's release */
  if (atomic_load_explicit(slot, memory_order_acquire)) return false;
  atomic_store_explicit(slot, object, memory_order_relaxed);
  atomic_fetch_add_explicit(&ring->ends, HEAD_STEP, memory_order_release);
  return true;
}

static void *take(tri_ring *ring) {
  uint64_t ends = atomic_load_explicit(&ring->ends, memory_order_relaxed);
  do {
    if (head_of(ends) == tail_of(ends)) return NULL;
  } while (!atomic_compare_exchange_weak_explicit(&ring->ends, &ends, ends - HEAD_STEP, memory_order_acq_rel,
                                                  memory_order_relaxed));
  _Atomic(void *) *slot = slot_at(ring, head_of(ends) - 1);
  void *object = atomic_load_explicit(slot, memory_order_relaxed);
  atomic_store_explicit(slot, NULL, memory_order_relaxed);
  return object;
}

/* The tail is in the lower half: it must not carry into the head. */
static uint64_t after_tail(uint64_t ends) { return (ends & ~(HEAD_STEP - 1)) | (uint32_t)(ends + 1); }

static void *steal(tri_ring *ring) {
  uint64_t ends = atomic_load_explicit(&ring->ends, memory_order_acquire);
  do {
    if (head_of(ends) == tail_of(ends)) return NULL;
  } while (!atomic_compare_exchange_weak_explicit(&ring->ends, &ends, after_tail(ends), memory_order_acq_rel,
                                                  memory_order_acquire));
  _Atomic(void *) *slot = slot_at(ring, tail_of(ends));
  void *object = atomic_load_explicit(slot, memory_order_relaxed);
  atomic_store_explicit(slot, NULL, memory_order_release);
  return object;
}

/* ---- the rings ---- */

tri_ring *tri_ring_new(const tri_queue *queue) {
  uint32_t size = queue->head ? (uint32_t)tri_min(2 * queue->head->size, MAX_RING) : FIRST_RING;
  tri_ring *ring = tri_pool_alloc(sizeof *ring + size * sizeof ring->slots[0]);
  if (ring) ring->size = size;
  return ring;
}

static void link_ring(tri_queue *queue, tri_ring *ring) {
  tri_ring *head = queue->head;
  atomic_store_explicit(&ring->older, head, memory_order_relaxed);
  queue->head = ring;
  if (head)
    atomic_store_explicit(&head->newer, ring, memory_order_release);
  else
    atomic_store_explicit(&queue->tail, ring, memory_order_release);
}

bool tri_queue_push(tri_queue *queue, void *object, tri_ring **room) {
  if (queue->head && push(queue->head, object)) return true;
  if (!*room) return false;
  link_ring(queue, *room);
  *room = NULL;
  return push(queue->head, object);
}

void *tri_queue_take(tri_queue *queue) {
  for (tri_ring *ring = queue->head; ring; ring = atomic_load_explicit(&ring->older, memory_order_relaxed)) {
    void *object = take(ring);
    if (object) return object;
  }
  return NULL;
}

/* A ring that is empty and has a newer one stays empty, for only the newest is pushed to: it is left behind. newer is
 * read before the ring is found empty, or what was pushed in between would be left behind, too. */
void *tri_queue_steal(tri_queue *queue) {
  tri_ring *ring = atomic_load_explicit(&queue->tail, memory_order_acquire);
  while (ring) {
    tri_ring *newer = atomic_load_explicit(&ring->newer, memory_order_acquire);
    void *object = steal(ring);
    if (object || !newer) return object;
    /* Who wins cuts it off; who loses goes on from there. */
    tri_ring *expected = ring;
    if (atomic_compare_exchange_strong_explicit(&queue->tail, &expected, newer, memory_order_acq_rel,
                                                memory_order_acquire))
      atomic_store_explicit(&newer->older, NULL, memory_order_relaxed);
    ring = newer;
  }
  return NULL;
}

size_t tri_queue_count(const tri_queue *queue) {
  size_t count = 0;
  for (tri_ring *ring = atomic_load_explicit(&queue->tail, memory_order_acquire); ring;
       ring = atomic_load_explicit(&ring->newer, memory_order_acquire)) {
    uint64_t ends = atomic_load_explicit(&ring->ends, memory_order_relaxed);
    count += head_of(ends) - tail_of(ends);
  }
  return count;
}

bool tri_queue_has(const tri_queue *queue, const void *object) {
  for (tri_ring *ring = atomic_load_explicit(&queue->tail, memory_order_acquire); ring;
       ring = atomic_load_explicit(&ring->newer, memory_order_acquire))
    for (uint32_t i = 0; i < ring->size; i++)
      if (atomic_load_explicit(&ring->slots[i], memory_order_relaxed) == object) return true;
  return false;
}
