/* gate.c - see gate.h. */
#include "heap/gate.h"

#include "os/os.h"

tri_gate tri_the_gate;
void (*tri_gate_on_untold)(void) TRI_OWN_DATA;

static bool is_set_up TRI_OWN_DATA, tells TRI_OWN_DATA; /* written when the library is loaded, or before */

void tri_gate_close(void) { atomic_store_explicit(&tri_the_gate.state, TRI_GATE_CLOSED, memory_order_relaxed); }

void tri_gate_open(void) {
  atomic_store_explicit(&tri_the_gate.state, TRI_GATE_OPEN, memory_order_release);
  tri_os_wake(&tri_the_gate.state, INT32_MAX);
}

/* Relaxed: what is behind the gate was not written by another thread of this process. */
bool tri_gate_claim(void) {
  uint32_t state = TRI_GATE_UNTOLD;
  return atomic_compare_exchange_strong_explicit(&tri_the_gate.state, &state, TRI_GATE_CLOSED, memory_order_relaxed,
                                                 memory_order_relaxed);
}

bool tri_gate_tells(void) { return tells; }

static void set_up(void) {
  tells = tri_os_empty_in_child(&tri_the_gate, sizeof tri_the_gate);
  is_set_up = true;
  tri_gate_open();
}

void tri_gate_find_out(void) {
  if (!is_set_up)
    set_up();
  else if (tri_gate_on_untold)
    tri_gate_on_untold();
  else
    tri_gate_open(); /* a heap alone, without the collector */
}

/* Acquire: pairs with the release that opens the gate. */
void tri_gate_await_open(void) {
  uint32_t state;
  while ((state = atomic_load_explicit(&tri_the_gate.state, memory_order_acquire)) != TRI_GATE_OPEN) {
    if (state == TRI_GATE_UNTOLD) tri_gate_find_out();
    if (tri_gate_read() == state) tri_os_wait(&tri_the_gate.state, state, 0);
  }
}

/* Before other constructors: they may allocate, or start threads that fork. (The heap can start before this, too.) */
__attribute__((constructor(101))) static void load(void) { tri_gate_look(); }
