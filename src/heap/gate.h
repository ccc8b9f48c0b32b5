/* gate.h - the gate in front of the heap's slow paths, by which a process also finds out that it is somebody's child.
 *
 * While the gate is closed no thread begins a slow path: a fork must find none under way (gc/fork.c). It is closed with
 * the world stopped and every thread outside its slow paths, so a relaxed look after deferring stops suffices.
 *
 * Its page is emptied by the kernel in the child of whatever makes one with a memory of its own, be it _Fork or a bare
 * system call: there the gate is neither open nor closed but untold, until somebody has seen to what the child
 * inherited. A kernel that cannot do that (before Linux 4.14) leaves it as the parent had it. No lock. */
#ifndef TRI_GATE_H
#define TRI_GATE_H

#include <stdatomic.h>

#include "base/base.h"

typedef enum tri_gate_state {
  TRI_GATE_UNTOLD, /* zero: so the page is in a child that nobody has told yet, and before the library is loaded */
  TRI_GATE_OPEN,
  TRI_GATE_CLOSED,
} tri_gate_state;

#ifdef __x86_64__
enum { TRI_GATE_BYTES = 4096 };
#else
enum { TRI_GATE_BYTES = 65536 }; /* the largest page there is */
#endif

/* Zero to begin with, and so in memory without a file behind it, as the kernel demands; TRI_OWN_DATA has one. */
typedef union tri_gate {
  _Atomic(uint32_t) state; /* a futex word. Release opens it: who waited sees what the fork did */
  char page[TRI_GATE_BYTES];
} __attribute__((aligned(TRI_GATE_BYTES))) tri_gate;
extern tri_gate tri_the_gate;

TRI_INLINE uint32_t tri_gate_read(void) { return atomic_load_explicit(&tri_the_gate.state, memory_order_relaxed); }
TRI_INLINE bool tri_gate_is_open(void) { return tri_likely(tri_gate_read() == TRI_GATE_OPEN); }

/* The world is stopped. */
void tri_gate_close(void);
void tri_gate_open(void);
/* False when the gate is not, or no longer, untold. Closed then, and the caller's to open. */
bool tri_gate_claim(void);
void tri_gate_await_open(void);

/* Whether the kernel empties the page. */
bool tri_gate_tells(void);

/* What a process does that finds the gate untold; set when the library is loaded (gc/fork.c). It may return with the
 * gate untold, when another thread sees to it. */
extern void (*tri_gate_on_untold)(void);
void tri_gate_find_out(void);

/* Where a thread comes from the program, before it takes a lock or believes what others left. A word that is zero means
 * nothing else, so nothing is ordered by it. */
TRI_INLINE void tri_gate_look(void) {
  if (tri_unlikely(tri_gate_read() == TRI_GATE_UNTOLD)) tri_gate_find_out();
}

#endif
