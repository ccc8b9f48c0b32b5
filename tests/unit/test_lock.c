/* test_lock.c - the futex lock: exclusion, and that who was woken in vain goes before who comes later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "os/lock.h"

enum { THREADS = 4, TURNS = 20000, TRIES = 20000, PATIENCE = 512 };

static tri_lock lock = TRI_LOCK_INIT(TRI_RANK_CYCLE);
static long guarded;
static _Atomic(int) taken;

static void *count_up(void *unused) {
  for (int i = 0; i < TURNS; i++) {
    tri_lock_take(&lock);
    guarded++;
    tri_lock_drop(&lock);
  }
  return unused;
}

static void test_one_at_a_time(void **state) {
  pthread_t threads[THREADS];
  (void)state;
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(guarded, (long)THREADS * TURNS);
  assert_false(tri_lock_is_held(&lock));
  assert_int_equal(atomic_load(&lock.hungry), 0);
}

static void *take_once(void *unused) {
  tri_lock_take(&lock);
  atomic_store(&taken, 1);
  tri_lock_drop(&lock);
  return unused;
}

/* Whether a thread that waits goes first once it is hungry, though this one drops the lock and takes it at once. It may
 * have been let in earlier, for it was not yet asleep when the lock was dropped, or may come too late when it does not
 * run: this one has more patience at each try, up to a point. */
static bool goes_first(int patience) {
  pthread_t thread;
  atomic_store(&taken, 0);
  tri_lock_take(&lock);
  assert_int_equal(pthread_create(&thread, NULL, take_once, NULL), 0);
  while (atomic_load(&lock.state) != 2) tri_os_yield();
  for (int i = 0; i < patience; i++) tri_os_yield();
  bool hungry = false;
  while (!hungry && !atomic_load(&taken)) {
    tri_lock_drop(&lock);
    tri_lock_take(&lock);
    hungry = atomic_load(&lock.hungry) != 0;
  }
  tri_lock_drop(&lock);
  tri_lock_take(&lock);
  bool first = hungry && atomic_load(&taken);
  tri_lock_drop(&lock);
  assert_int_equal(pthread_join(thread, NULL), 0);
  return first;
}

static void test_who_is_hungry_goes_first(void **state) {
  int tries = 0;
  (void)state;
  while (!goes_first(tries % PATIENCE)) assert_true(++tries < TRIES);
  assert_int_equal(atomic_load(&lock.hungry), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_at_a_time),
      cmocka_unit_test(test_who_is_hungry_goes_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
