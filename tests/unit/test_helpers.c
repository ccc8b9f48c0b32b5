/* test_helpers.c - the library's own threads: which there are once they are of use, under their names, and again in the
 * child of a fork, which inherits none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "child.h"
#include "steps.h"

enum { MIB = 1 << 20, MARKERS = 3, GENERATIONS = 30 };

/* A small heap is marked alone; this one is worth help. */
static const char *const settings[] = {"TRICOLOR_GC_THREADS=3", NULL};
static void *volatile live;

static void read_name(const char *id, char name[32]) {
  char path[300];
  snprintf(path, sizeof path, "/proc/self/task/%s/comm", id);
  FILE *file = fopen(path, "r");
  CHILD_CHECK(file && fgets(name, 32, file));
  fclose(file);
  name[strcspn(name, "\n")] = 0;
}

static int count_threads(const char *wanted) {
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHILD_CHECK(tasks);
  for (const struct dirent *task; (task = readdir(tasks));) {
    char name[32];
    if (task->d_name[0] == '.') continue;
    read_name(task->d_name, name);
    count += strcmp(name, wanted) == 0;
  }
  closedir(tasks);
  return count;
}

/* Three processors: one is a mark's share, on the two others it may be helped when they are idle. */
static void check_helpers(void) {
  CHILD_CHECK(count_threads("tricolor-idle") == MARKERS - 1);
  if (count_threads("tricolor-mark") != MARKERS - 1 || count_threads("tricolor-sweep") != 1)
    child_fail("%d markers beside the collecting thread, %d sweepers", count_threads("tricolor-mark"),
               count_threads("tricolor-sweep"));
}

static void check_no_helpers(void) {
  CHILD_CHECK(count_threads("tricolor-mark") == 0 && count_threads("tricolor-idle") == 0 &&
              count_threads("tricolor-sweep") == 0);
}

static void await_child(pid_t child) {
  int status;
  CHILD_CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* So many generations that one which remembered its ancestors' helpers would have no room for its own. */
static void run_helpers(void *unused) {
  (void)unused;
  live = tri_alloc(8 * MIB);
  CHILD_CHECK(live);
  check_no_helpers();
  tri_gc();
  check_helpers();
  for (int generation = 0; generation < GENERATIONS; generation++) {
    pid_t child = fork();
    if (child != 0) {
      await_child(child);
      tri_gc();
      check_helpers();
      return;
    }
    check_no_helpers();
    tri_gc();
    check_helpers();
  }
}

static void test_helpers(void **state) {
  (void)state;
  child_result result = child_run(run_helpers, NULL, settings);
  assert_true(child_succeeded(&result));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_helpers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
