/* test_process_memory.c - a process changes its memory while it is collected: ranges that are registered, moved and
 * unmapped, blocks that grow and shrink, libraries that come and go, objects that the kernel writes into.
 *
 * One thread collects all the time; the others do what the case is about. Each case runs in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "child.h"
#include "random.h"
#include "steps.h"

enum { ROUNDS = UNDER_ASAN ? 20 : 40 };

static void in_child(void (*body)(void *)) {
  child_result result = child_run(body, NULL, (const char *const[]){"TRICOLOR_DEBUG=poison=1,check=1", NULL});
  assert_true(child_succeeded(&result));
}

/* ---- a thread that collects all the time ---- */

static test_step collector_ends;

static void *collect_on(void *unused) {
  while (!atomic_load(&collector_ends)) tri_gc();
  return unused;
}

static pthread_t collector_start(void) {
  pthread_t thread;
  CHILD_CHECK(tri_init(NULL) == TRI_OK);
  CHILD_CHECK(pthread_create(&thread, NULL, collect_on, NULL) == 0);
  return thread;
}

static void collector_end(pthread_t thread) {
  step_reach(&collector_ends, 1);
  CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

/* Two whole collections, both begun after the call. */
static void await_collections(void) {
  for (uint32_t before = collections(); collections() - before < 3;) sched_yield();
}

/* ---- registered ranges ---- */

enum { RANGE_SIZE = 256 * 1024, RANGE_WORDS = RANGE_SIZE / sizeof(void *) };

static void *volatile *map(void *at) {
  void *mapped =
      mmap(at, RANGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
  CHILD_CHECK(mapped != MAP_FAILED);
  return mapped;
}

/* The same address again and again: holding, not registered and unmapped, mapped anew, registered with another size. */
static void run_ranges(void *unused) {
  (void)unused;
  test_random random = {.state = 1};
  pthread_t collector = collector_start();
  void *volatile *range = map(NULL);
  for (int i = 0; i < ROUNDS; i++) {
    size_t size = (1 + random_below(&random, RANGE_WORDS)) * sizeof(void *),
           at = random_below(&random, size / sizeof(void *));
    CHILD_CHECK(tri_add_root((void *)(uintptr_t)range, size) == TRI_OK);
    hidden object = hidden_new(&range[at]);
    forget_stack();
    if (i % 8 == 0) await_collections();
    CHILD_CHECK(hidden_lives(object) && range[at] == hidden_reveal(object));
    CHILD_CHECK(tri_remove_root((void *)(uintptr_t)range) == TRI_OK);
    CHILD_CHECK(munmap((void *)(uintptr_t)range, RANGE_SIZE) == 0);
    forget_stack();
    if (i % 8 == 0) {
      await_collections();
      CHILD_CHECK(UNDER_ASAN || !hidden_lives(object));
    }
    range = map((void *)(uintptr_t)range);
  }
  collector_end(collector);
}

static void test_ranges_are_mapped_again(void **state) {
  (void)state;
  in_child(run_ranges);
}

/* ---- blocks of other allocators that hold pointers ---- */

enum { FEW = 16 };

/* The new block is registered before the old one is not: the collector sees one of them, or both. */
static void run_moved_blocks(void *unused) {
  (void)unused;
  test_random random = {.state = 2};
  pthread_t collector = collector_start();
  void *volatile *block = calloc(FEW, sizeof(void *));
  hidden objects[FEW];
  CHILD_CHECK(block && tri_add_root((void *)(uintptr_t)block, FEW * sizeof(void *)) == TRI_OK);
  for (int i = 0; i < FEW; i++) objects[i] = hidden_new(&block[i]);
  for (int i = 0; i < 20 * ROUNDS; i++) {
    size_t size = (FEW + random_below(&random, 100000)) * sizeof(void *);
    void *moved = calloc(1, size);
    CHILD_CHECK(moved && tri_add_root(moved, size) == TRI_OK);
    memcpy(moved, (void *)(uintptr_t)block, FEW * sizeof(void *));
    CHILD_CHECK(tri_remove_root((void *)(uintptr_t)block) == TRI_OK);
    memset((void *)(uintptr_t)block, 0, FEW * sizeof(void *));
    free((void *)(uintptr_t)block);
    block = moved;
    forget_stack();
    CHILD_CHECK(hidden_lives(objects[i % FEW]) && block[i % FEW] == hidden_reveal(objects[i % FEW]));
  }
  collector_end(collector);
}

static void test_blocks_move(void **state) {
  (void)state;
  in_child(run_moved_blocks);
}

/* ---- large objects that grow and shrink ---- */

enum { SMALLEST = 64, LARGEST = 1 << 20 };

static void run_realloc(void *unused) {
  (void)unused;
  test_random random = {.state = 3};
  pthread_t collector = collector_start();
  static void *volatile *array; /* the only way to the objects */
  hidden objects[SMALLEST];
  array = tri_alloc_array(SMALLEST, sizeof(void *));
  for (int i = 0; i < SMALLEST; i++) objects[i] = hidden_new(&array[i]);
  for (int i = 0; i < ROUNDS; i++) {
    size_t words = SMALLEST + random_below(&random, i % 4 ? 5000 : LARGEST);
    array = tri_realloc((void *)(uintptr_t)array, words * sizeof(void *));
    CHILD_CHECK(array && (words == SMALLEST || !array[words - 1]));
    forget_stack();
    for (int j = 0; j < SMALLEST; j++) CHILD_CHECK(array[j] == hidden_reveal(objects[j]) && hidden_lives(objects[j]));
    hidden last = hidden_new(&array[words - 1]); /* cut off by the next, or not */
    if (words - 1 < SMALLEST) objects[words - 1] = last;
  }
  collector_end(collector);
}

static void test_large_objects_are_reallocated(void **state) {
  (void)state;
  in_child(run_realloc);
}

/* ---- libraries that come and go ---- */

typedef void *volatile *words_of(unsigned which);

static void *find(void *library, const char *name) {
  void *found = dlsym(library, name);
  CHILD_CHECK(found);
  return found;
}

static void run_libraries(void *unused) {
  (void)unused;
  static const char *const names[] = {"crate_data", "crate_bss", "crate_thread_words"};
  pthread_t collector = collector_start();
  for (int i = 0; i < ROUNDS; i++) {
    void *library = dlopen(TEST_LIB_DIR "/torture_crate.so", RTLD_NOW | RTLD_LOCAL);
    CHILD_CHECK(library);
    words_of *words;
    *(void **)&words = find(library, names[i % 3]);
    hidden object = hidden_new(&words(5)[i % 16]);
    forget_stack();
    if (i % 16 < 3) await_collections();
    CHILD_CHECK(hidden_lives(object) && words(5)[i % 16] == hidden_reveal(object));
    CHILD_CHECK(dlclose(library) == 0);
    CHILD_CHECK(!dlopen(TEST_LIB_DIR "/torture_crate.so", RTLD_NOW | RTLD_NOLOAD)); /* it is not there any more */
  }
  collector_end(collector);
}

static void test_libraries_come_and_go(void **state) {
  (void)state;
  in_child(run_libraries);
}

/* ---- objects that the kernel writes into ---- */

enum { BUFFER_WORDS = 512 };

static int pipes[2], sockets[2], file;

static ssize_t by_read(void *to, size_t size) { return read(pipes[0], to, size); }

static ssize_t by_readv(void *to, size_t size) {
  struct iovec pieces[] = {{to, size / 2}, {(char *)to + size / 2, size - size / 2}};
  return readv(pipes[0], pieces, 2);
}

static ssize_t by_recv(void *to, size_t size) { return recv(sockets[0], to, size, MSG_WAITALL); }

static ssize_t by_recvmsg(void *to, size_t size) {
  struct iovec pieces[] = {{to, size / 2}, {(char *)to + size / 2, size - size / 2}};
  struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
  return recvmsg(sockets[0], &header, MSG_WAITALL);
}

static ssize_t by_pread(void *to, size_t size) { return pread(file, to, size, 0); }

static ssize_t by_preadv(void *to, size_t size) {
  struct iovec pieces[] = {{to, size / 2}, {(char *)to + size / 2, size - size / 2}};
  return preadv(file, pieces, 2, 0);
}

/* A call that nobody stands in for. */
static ssize_t by_bare_pread(void *to, size_t size) { return syscall(SYS_pread64, file, to, size, (off_t)0); }

static void send_all(const void *from, size_t size) {
  CHILD_CHECK(write(pipes[1], from, size) == (ssize_t)size);
  CHILD_CHECK(send(sockets[1], from, size, 0) == (ssize_t)size);
  CHILD_CHECK(pwrite(file, from, size, 0) == (ssize_t)size);
}

/* Into memory that is not scanned: the object is dead by now, and a word that the kernel brings back in the middle of a
 * stop is no reference of the program's. */
static void drain(int from, size_t size) {
  void *rest = tri_alloc_noscan(size);
  CHILD_CHECK(rest && read(from, rest, size) == (ssize_t)size);
}

/* The object's address is in the kernel and in keep; then, by the call, in an old heap object, of which no page was
 * written otherwise; and then there alone. */
static void receive(ssize_t (*call)(void *, size_t), size_t offset) {
  static void *volatile *buffer;
  static void *volatile keep;
  static char words[BUFFER_WORDS * sizeof(void *)];
  size_t size = sizeof words;
  if (!buffer) buffer = tri_alloc_array(64 * BUFFER_WORDS, sizeof(void *));
  hidden object = hidden_new(&keep);
  memset(words, 0, sizeof words);
  ((void *volatile *)(void *)words)[7] = keep;
  send_all(words, size);
  memset(words, 0, sizeof words);
  forget_stack();
  CHILD_CHECK(call((void *)(uintptr_t)&buffer[offset], size) == (ssize_t)size);
  keep = NULL;
  forget_stack();
  await_collections();
  CHILD_CHECK(buffer[offset + 7] == hidden_reveal(object) && hidden_lives(object));
  buffer[offset + 7] = NULL;
}

static void run_calls(void *unused) {
  static ssize_t (*const calls[])(void *, size_t) = {by_read,  by_readv,  by_recv,      by_recvmsg,
                                                     by_pread, by_preadv, by_bare_pread};
  (void)unused;
  test_random random = {.state = 4};
  file = memfd_create("file", 0);
  CHILD_CHECK(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 && file >= 0);
  pthread_t collector = collector_start();
  for (int i = 0; i < ROUNDS / 8; i++)
    for (int c = 0; c < 7; c++) {
      receive(calls[c], random_below(&random, 63 * BUFFER_WORDS));
      if (c > 1) drain(pipes[0], BUFFER_WORDS * sizeof(void *));
      if (c != 2 && c != 3) drain(sockets[0], BUFFER_WORDS * sizeof(void *));
    }
  collector_end(collector);
}

static void test_system_calls_write_into_the_heap(void **state) {
  (void)state;
  in_child(run_calls);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ranges_are_mapped_again),          cmocka_unit_test(test_blocks_move),
      cmocka_unit_test(test_large_objects_are_reallocated),    cmocka_unit_test(test_libraries_come_and_go),
      cmocka_unit_test(test_system_calls_write_into_the_heap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
