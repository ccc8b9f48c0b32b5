/* test_os.c - memory, time, waiting and processors of the os layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

enum { NOT_LIMITED = 77 }; /* exit status of a child whose limit has no effect */

static size_t page;

static uintptr_t address_of(const volatile void *pointer) { return (uintptr_t)pointer; }

static bool all_zero(const char *start, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (start[i] != 0) return false;
  return true;
}

/* ---- memory ---- */

static void test_page_size(void **state) {
  (void)state;
  assert_int_equal(tri_os_page_size(), sysconf(_SC_PAGESIZE));
}

static void test_reserve_is_aligned_and_without_access(void **state) {
  (void)state;
  for (size_t alignment = page; alignment <= 64 * TRI_MIB; alignment *= 4) {
    char *start = tri_os_reserve(3 * page, alignment);
    tri_os_mapping mapping;
    assert_non_null(start);
    assert_int_equal(address_of(start) % alignment, 0);
    assert_true(tri_os_find_mapping(address_of(start + 3 * page - 1), &mapping));
    assert_true(mapping.low <= address_of(start));
    assert_false(mapping.readable);
    assert_false(mapping.writable);
    tri_os_unreserve(start, 3 * page);
    assert_false(tri_os_find_mapping(address_of(start), &mapping));
    assert_false(tri_os_find_mapping(address_of(start + 3 * page - 1), &mapping));
  }
}

/* Pages of address space the process has. */
static size_t address_space(void) {
  char text[128] = "";
  int file = open("/proc/self/statm", O_RDONLY);
  assert_true(read(file, text, sizeof text - 1) > 0);
  close(file);
  return strtoul(text, NULL, 10);
}

/* What was reserved only to find an aligned place is given back. */
static void test_reserve_keeps_nothing_around(void **state) {
  (void)state;
  const size_t size = 64 * TRI_MIB;
  size_t before = address_space();
  char *start = tri_os_reserve(size, size);
  assert_non_null(start);
  assert_int_equal(address_space() - before, size / page);
  tri_os_unreserve(start, size);
  assert_int_equal(address_space(), before);
}

static void test_reserve_refuses_the_impossible(void **state) {
  (void)state;
  assert_null(tri_os_reserve(0, page));
  assert_null(tri_os_reserve((size_t)1 << 62, page));
  assert_null(tri_os_reserve(SIZE_MAX - 8 * page, 16 * page));
}

static void test_commit_reads_as_zero_and_takes_writes(void **state) {
  (void)state;
  char *start = tri_os_reserve(8 * page, page);
  tri_os_mapping mapping;
  assert_non_null(start);
  assert_true(tri_os_commit(start + 2 * page, 4 * page, "tricolor: test"));
  assert_true(all_zero(start + 2 * page, 4 * page));
  memset(start + 2 * page, 0x5a, 4 * page);
  assert_true(tri_os_find_mapping(address_of(start + 2 * page), &mapping));
  assert_true(mapping.readable && mapping.writable);
  assert_true(tri_os_find_mapping(address_of(start), &mapping));
  assert_false(mapping.readable);
  assert_true(tri_os_commit(start + 2 * page, 4 * page, "tricolor: test")); /* again: what is there stays */
  assert_int_equal(start[3 * page], 0x5a);
  tri_os_unreserve(start, 8 * page);
}

static void test_commit_of_unmapped_space_fails(void **state) {
  (void)state;
  char *start = tri_os_reserve(page, page);
  tri_os_unreserve(start, page);
  assert_false(tri_os_commit(start, page, "tricolor: test"));
}

/* In a child, for the limit cannot be raised again by everybody. Valgrind accepts it and does not keep to it. */
static int commit_beyond_limit(void *start, size_t size) {
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_DATA, &none);
  if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) return NOT_LIMITED;
  return tri_os_commit(start, size, NULL) ? 1 : 0;
}

static void test_commit_without_memory_fails(void **state) {
  (void)state;
  char *start = tri_os_reserve(64 * TRI_MIB, page);
  assert_non_null(start);
  pid_t child = fork();
  if (child == 0) _exit(commit_beyond_limit(start, 64 * TRI_MIB));
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  tri_os_unreserve(start, 64 * TRI_MIB);
  if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_LIMITED) skip();
  assert_int_equal(status, 0);
}

static void test_discard_zeroes_and_keeps_access(void **state) {
  (void)state;
  char *start = tri_os_reserve(4 * page, page);
  assert_true(tri_os_commit(start, 4 * page, NULL));
  memset(start, 1, 4 * page);
  assert_true(tri_os_discard(start + page, 2 * page));
  assert_int_equal(start[page - 1], 1);
  assert_true(all_zero(start + page, 2 * page));
  assert_int_equal(start[3 * page], 1);
  start[page] = 2;
  assert_int_equal(start[page], 2);
  tri_os_unreserve(start, 4 * page);
}

static void test_advice_changes_no_content(void **state) {
  (void)state;
  char *start = tri_os_reserve(4 * TRI_MIB, 4 * TRI_MIB);
  assert_true(tri_os_commit(start, 4 * TRI_MIB, NULL));
  start[TRI_MIB] = 1;
  tri_os_advise_huge(start, 4 * TRI_MIB, true);
  assert_int_equal(start[TRI_MIB], 1);
  tri_os_advise_huge(start, 4 * TRI_MIB, false);
  assert_int_equal(start[TRI_MIB], 1);
  tri_os_unreserve(start, 4 * TRI_MIB);
}

/* ---- mappings ---- */

static int global_variable = 1;
static const int constant = 1;

static void test_find_mapping_of_known_places(void **state) {
  (void)state;
  tri_os_mapping mapping;
  assert_true(tri_os_find_mapping(address_of(&global_variable), &mapping));
  assert_true(mapping.readable && mapping.writable);
  assert_true(tri_os_find_mapping(address_of(&constant), &mapping));
  assert_true(mapping.readable && !mapping.writable);
  assert_true(tri_os_find_mapping(address_of(&mapping), &mapping));
  assert_true(mapping.readable && mapping.writable);
  assert_true(mapping.low <= address_of(&mapping) && address_of(&mapping) < mapping.high);
  assert_false(tri_os_find_mapping(0, &mapping));
  assert_false(tri_os_find_mapping(UINTPTR_MAX, &mapping));
}

/* The last byte of a mapping is in it, the one behind is not, and below is where the one before ends. */
static void test_find_mapping_edges(void **state) {
  (void)state;
  char *start = tri_os_reserve(9 * page, page);
  tri_os_mapping mapping;
  assert_true(tri_os_commit(start + 2 * page, page, NULL));
  tri_os_unreserve(start + 3 * page, page);
  assert_true(tri_os_commit(start + 4 * page, page, NULL));
  assert_true(tri_os_find_mapping_and_below(address_of(start + 2 * page), &mapping));
  assert_int_equal(mapping.low, address_of(start + 2 * page));
  assert_int_equal(mapping.high, address_of(start + 3 * page));
  assert_int_equal(mapping.below, mapping.low);
  assert_true(tri_os_find_mapping_and_below(address_of(start + 3 * page - 1), &mapping));
  assert_false(tri_os_find_mapping_and_below(address_of(start + 3 * page), &mapping));
  assert_true(tri_os_find_mapping_and_below(address_of(start + 4 * page), &mapping));
  assert_int_equal(mapping.below, address_of(start + 3 * page));
  tri_os_unreserve(start, 3 * page);
  tri_os_unreserve(start + 4 * page, 5 * page);
}

/* The system's own answers are those of the list; where it cannot be asked, it says so. */
static bool ask_again(void *stack, const tri_os_mapping *shown) {
  tri_os_mapping asked;
  bool grows = address_of(stack) >= shown->low && address_of(stack) < shown->high;
  if (grows || shown->low > address_of(stack)) return true; /* and what is the kernel's lies above it */
  for (int end = 0; end < 2; end++) {
    tri_os_answer answer = tri_os_query_mapping(end ? shown->high - 1 : shown->low, &asked);
    if (answer == TRI_OS_UNKNOWN) return true;
    assert_int_equal(answer, TRI_OS_YES);
    assert_int_equal(asked.low, shown->low);
    assert_int_equal(asked.high, shown->high);
    assert_int_equal(asked.readable, shown->readable);
    assert_int_equal(asked.writable, shown->writable);
  }
  return true;
}

static void test_query_mapping(void **state) {
  (void)state;
  tri_os_mapping mapping;
  assert_true(tri_os_visit_mappings(ask_again, &mapping));
  assert_int_not_equal(tri_os_query_mapping(0, &mapping), TRI_OS_YES);
  assert_int_equal(mapping.high, 0);
}

/* The list is longer than the buffer it is read through, in every position of a line. */
static void test_find_mapping_among_many(void **state) {
  (void)state;
  enum { COUNT = 300 };
  char *start = tri_os_reserve(2 * COUNT * page, page);
  for (size_t i = 0; i < COUNT; i++) assert_true(tri_os_commit(start + (2 * i + 1) * page, page, NULL));
  for (size_t i = 0; i < 2 * COUNT; i++) {
    tri_os_mapping mapping;
    assert_true(tri_os_find_mapping_and_below(address_of(start + i * page + 8), &mapping));
    assert_int_equal(mapping.readable, i % 2);
    assert_int_equal(mapping.writable, i % 2);
    if (i == 0) continue;
    assert_int_equal(mapping.low, address_of(start + i * page));
    assert_int_equal(mapping.below, mapping.low);
  }
  tri_os_unreserve(start, 2 * COUNT * page);
}

/* ---- time ---- */

static void test_clocks_advance(void **state) {
  (void)state;
  uint64_t now = tri_os_now(), thread = tri_os_thread_cpu(), process = tri_os_process_cpu();
  while (tri_os_now() == now || tri_os_thread_cpu() == thread || tri_os_process_cpu() == process) continue;
  assert_true(tri_os_now() > now);
  assert_true(tri_os_thread_cpu() > thread);
  assert_true(tri_os_process_cpu() > process);
}

static void test_wall_clock(void **state) {
  (void)state;
  uint64_t before = (uint64_t)time(NULL);
  uint64_t wall = tri_os_wall() / 1000000000;
  assert_true(wall + 1 >= before); /* time() may read a coarser clock */
  assert_true(wall <= (uint64_t)time(NULL) + 1);
}

static void test_sleep_lasts(void **state) {
  (void)state;
  uint64_t before = tri_os_now();
  tri_os_sleep(3000000);
  assert_true(tri_os_now() - before >= 3000000);
}

static void on_alarm(int signal) { (void)signal; }

static void test_sleep_outlasts_signals(void **state) {
  (void)state;
  const struct itimerspec often = {.it_interval = {.tv_nsec = 1000000}, .it_value = {.tv_nsec = 1000000}};
  struct sigaction action = {.sa_handler = on_alarm}, previous;
  timer_t timer;
  sigaction(SIGALRM, &action, &previous);
  assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
  timer_settime(timer, 0, &often, NULL);
  uint64_t before = tri_os_now();
  tri_os_sleep(20000000);
  uint64_t slept = tri_os_now() - before;
  timer_delete(timer);
  sigaction(SIGALRM, &previous, NULL);
  assert_true(slept >= 20000000);
}

static void test_processors(void **state) {
  (void)state;
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  assert_int_equal(tri_os_processors(), CPU_COUNT(&set));
  assert_int_equal(tri_os_processors(), CPU_COUNT(&set));
}

/* ---- waiting ---- */

static void test_wait_returns_when_the_word_differs(void **state) {
  (void)state;
  _Atomic(uint32_t) word = 5;
  tri_os_wait(&word, 4, 0); /* would never end otherwise */
  assert_int_equal(word, 5);
}

/* Returns may be spurious, so only the sum of the waits is sure to end. */
static void test_wait_ends_after_its_timeout(void **state) {
  (void)state;
  _Atomic(uint32_t) word = 5;
  for (int i = 0; i < 3; i++) tri_os_wait(&word, 5, 1000000);
  tri_os_wait(&word, 5, 1);
  assert_int_equal(word, 5);
}

typedef struct exchange {
  _Atomic(uint32_t) ball, ended;
} exchange;

static void await(_Atomic(uint32_t) *word, uint32_t value) {
  uint32_t seen;
  while ((seen = atomic_load(word)) != value) tri_os_wait(word, seen, 0);
}

static void *play(void *argument) {
  exchange *game = argument;
  for (uint32_t i = 0; i < 2000; i += 2) {
    await(&game->ball, i + 1);
    atomic_store(&game->ball, i + 2);
    tri_os_wake(&game->ball, 1);
  }
  return NULL;
}

static void test_wake(void **state) {
  (void)state;
  exchange game = {0, 0};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, play, &game), 0);
  for (uint32_t i = 0; i < 2000; i += 2) {
    atomic_store(&game.ball, i + 1);
    tri_os_wake(&game.ball, 1);
    await(&game.ball, i + 2);
  }
  pthread_join(thread, NULL);
  assert_int_equal(game.ball, 2000);
}

static void *wait_for_end(void *argument) {
  exchange *game = argument;
  await(&game->ended, 1);
  return NULL;
}

static void test_wake_all(void **state) {
  (void)state;
  enum { COUNT = 5 };
  exchange game = {0, 0};
  pthread_t threads[COUNT];
  for (int i = 0; i < COUNT; i++) assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &game), 0);
  atomic_store(&game.ended, 1);
  tri_os_wake(&game.ended, INT32_MAX);
  for (int i = 0; i < COUNT; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void) {
  page = tri_os_page_size();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_page_size),
      cmocka_unit_test(test_reserve_is_aligned_and_without_access),
      cmocka_unit_test(test_reserve_keeps_nothing_around),
      cmocka_unit_test(test_reserve_refuses_the_impossible),
      cmocka_unit_test(test_commit_reads_as_zero_and_takes_writes),
      cmocka_unit_test(test_commit_of_unmapped_space_fails),
      cmocka_unit_test(test_commit_without_memory_fails),
      cmocka_unit_test(test_discard_zeroes_and_keeps_access),
      cmocka_unit_test(test_advice_changes_no_content),
      cmocka_unit_test(test_find_mapping_of_known_places),
      cmocka_unit_test(test_find_mapping_edges),
      cmocka_unit_test(test_find_mapping_among_many),
      cmocka_unit_test(test_query_mapping),
      cmocka_unit_test(test_clocks_advance),
      cmocka_unit_test(test_wall_clock),
      cmocka_unit_test(test_sleep_lasts),
      cmocka_unit_test(test_sleep_outlasts_signals),
      cmocka_unit_test(test_processors),
      cmocka_unit_test(test_wait_returns_when_the_word_differs),
      cmocka_unit_test(test_wait_ends_after_its_timeout),
      cmocka_unit_test(test_wake),
      cmocka_unit_test(test_wake_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
