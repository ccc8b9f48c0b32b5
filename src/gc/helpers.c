/* helpers.c - see helpers.h. */
#include "gc/helpers.h"

#include "gc/thread.h"
#include "os/os.h"

enum {
  SHARE_OF = 4,           /* a mark beside the program has one processor of so many */
  MOST_LOOKOUTS = 4,      /* threads that look for idle processors */
  MOMENT_NS = 300 * 1000, /* that a helper is called for when one is found, */
  REST_NS = 1000 * 1000,  /* and how long none is when he found nothing to do */
  NAP_NS = 20 * 1000,     /* of a lookout; one that then gets a processor */
  PROMPT_NS = 200 * 1000, /* within that time has found one that was idle; */
  PROMPT_NAPS = 4,        /* so many times in a row, before the first call */
};

static struct {
  int markers;
  bool (*help)(uint64_t until);
  _Atomic(bool) asked_for; /* they are started, as far as the system lets us. Relaxed, as what is no futex word */
  _Atomic(int) count;
  _Atomic(uint32_t) called;    /* futex word: bumped with every invitation. Release; pairs with the helpers' acquire */
  _Atomic(int) wanted;         /* invitations to a whole session, */
  _Atomic(int) wanted_briefly; /* and for a moment */
  _Atomic(uint32_t) opened;    /* futex word: sessions that lookouts may call to. Release, acquire */
  _Atomic(bool) is_open;       /* such a session is on */
  _Atomic(uint32_t) served;    /* futex word: moments that are over. Release, acquire */
  _Atomic(bool) was_of_use;    /* the last moment */
} helpers TRI_OWN_DATA;

static void bump(_Atomic(uint32_t) *word, int wakes) {
  atomic_fetch_add_explicit(word, 1, memory_order_release);
  tri_os_wake(word, wakes);
}

/* Returns when the word is another than seen: what it is then. */
static uint32_t await_change(_Atomic(uint32_t) *word, uint32_t seen) {
  uint32_t now;
  while ((now = atomic_load_explicit(word, memory_order_acquire)) == seen) tri_os_wait(word, seen, 0);
  return now;
}

static bool take_one(_Atomic(int) *invitations) {
  int left = atomic_load_explicit(invitations, memory_order_relaxed);
  while (left > 0)
    if (atomic_compare_exchange_weak_explicit(invitations, &left, left - 1, memory_order_relaxed, memory_order_relaxed))
      return true;
  return false;
}

/* ---- helpers ---- */

static void help_for_a_moment(void) {
  bool of_use = helpers.help(tri_os_now() + MOMENT_NS);
  atomic_store_explicit(&helpers.was_of_use, of_use, memory_order_relaxed);
  bump(&helpers.served, INT32_MAX);
}

static bool accept(void) {
  if (take_one(&helpers.wanted)) {
    (void)helpers.help(0);
    return true;
  }
  if (!take_one(&helpers.wanted_briefly)) return false;
  help_for_a_moment();
  return true;
}

static void helper_main(void *unused) {
  (void)unused;
  uint32_t seen = atomic_load_explicit(&helpers.called, memory_order_acquire) - 1;
  for (;;) {
    seen = await_change(&helpers.called, seen);
    while (accept()) {}
  }
}

static void invite(_Atomic(int) *invitations, int count) {
  atomic_store_explicit(invitations, count, memory_order_relaxed);
  bump(&helpers.called, count);
}

/* ---- lookouts ---- */

static bool is_open(void) { return atomic_load_explicit(&helpers.is_open, memory_order_relaxed); }

/* Now and then a lookout runs where others want to, and who calls a helper then takes the processor from the program.
 * But there it has to wait for it, for a tick of the system's clock at least. */
static bool is_processor_idle(int naps) {
  bool idle = true;
  while (idle && naps-- > 0) {
    uint64_t start = tri_os_now();
    tri_os_sleep(NAP_NS);
    idle = tri_os_now() - start < PROMPT_NS && is_open();
  }
  return idle;
}

static void call_for_a_moment(void) {
  uint32_t served = atomic_load_explicit(&helpers.served, memory_order_acquire);
  invite(&helpers.wanted_briefly, 1);
  tri_os_wait(&helpers.served, served, REST_NS);
  if (!atomic_load_explicit(&helpers.was_of_use, memory_order_relaxed)) tri_os_sleep(REST_NS);
}

static void look_out(void) {
  while (is_open())
    if (is_processor_idle(PROMPT_NAPS)) {
      do call_for_a_moment();
      while (is_processor_idle(1));
    }
}

static void lookout_main(void *unused) {
  (void)unused;
  uint32_t seen = atomic_load_explicit(&helpers.opened, memory_order_acquire) - 1;
  bool is_idle = tri_os_thread_give_way();
  for (;;) {
    seen = await_change(&helpers.opened, seen);
    if (is_idle) look_out();
  }
}

/* ---- for who directs ---- */

/* Of so many markers, who directs them counted. */
static int share_of(int markers) {
  int share = (markers + SHARE_OF / 2) / SHARE_OF;
  return share ? share : 1;
}

static int lookouts_of(int markers) {
  int rest = markers - share_of(markers);
  return rest < MOST_LOOKOUTS ? rest : MOST_LOOKOUTS;
}

void tri_helpers_init(int markers, bool (*help)(uint64_t until)) {
  helpers.markers = markers;
  helpers.help = help;
}

int tri_helpers_count(void) { return atomic_load_explicit(&helpers.count, memory_order_relaxed); }

void tri_helpers_start(void) {
  if (atomic_exchange_explicit(&helpers.asked_for, true, memory_order_relaxed)) return;
  for (int i = 1; i < helpers.markers; i++)
    if (tri_thread_start_own(helper_main, NULL, "tricolor-mark"))
      atomic_fetch_add_explicit(&helpers.count, 1, memory_order_relaxed);
  for (int i = 0; i < lookouts_of(helpers.markers); i++) tri_thread_start_own(lookout_main, NULL, "tricolor-idle");
}

void tri_helpers_call_in(tri_helpers_call call) {
  if (call == TRI_HELPERS_NONE || !tri_helpers_count()) return;
  int count = call == TRI_HELPERS_ALL ? tri_helpers_count() : share_of(helpers.markers) - 1;
  if (count) invite(&helpers.wanted, count);
  if (call == TRI_HELPERS_ALL) return;
  atomic_store_explicit(&helpers.is_open, true, memory_order_relaxed);
  bump(&helpers.opened, INT32_MAX);
}

void tri_helpers_dismiss(void) {
  atomic_store_explicit(&helpers.is_open, false, memory_order_relaxed);
  atomic_store_explicit(&helpers.wanted, 0, memory_order_relaxed);
  atomic_store_explicit(&helpers.wanted_briefly, 0, memory_order_relaxed);
}

void tri_helpers_after_fork_child(void) {
  tri_helpers_dismiss();
  atomic_store_explicit(&helpers.asked_for, false, memory_order_relaxed);
  atomic_store_explicit(&helpers.count, 0, memory_order_relaxed);
}
