/* child.c - see child.h. */
#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void run_body(int error, void (*body)(void *), void *argument, const char *const *environment) {
  struct rlimit no_core = {0};
  setrlimit(RLIMIT_CORE, &no_core);
  dup2(error, STDERR_FILENO);
  close(error);
  signal(SIGABRT, SIG_DFL); /* cmocka's handlers belong to the parent */
  signal(SIGSEGV, SIG_DFL);
  signal(SIGBUS, SIG_DFL);
  for (; environment && *environment; environment++) putenv((char *)(size_t)*environment);
  alarm(CHILD_PATIENCE);
  body(argument);
  _exit(0);
}

static void read_text(int from, char *text, size_t size) {
  size_t length = 0;
  char rest[256];
  for (;;) {
    bool room = length + 1 < size;
    ssize_t got = read(from, room ? text + length : rest, room ? size - 1 - length : sizeof rest);
    if (got <= 0) break;
    if (room) length += (size_t)got;
  }
  text[length] = 0;
}

child_result child_run(void (*body)(void *), void *argument, const char *const *environment) {
  child_result result = {.status = -1};
  int ends[2];
  if (pipe(ends) != 0) return result;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    run_body(ends[1], body, argument, environment);
  }
  close(ends[1]);
  if (child > 0) {
    read_text(ends[0], result.text, sizeof result.text);
    waitpid(child, &result.status, 0);
  }
  close(ends[0]);
  return result;
}

static void explain(const child_result *result, const char *wanted) {
  if (WIFSIGNALED(result->status))
    printf("child: ended by signal %d", WTERMSIG(result->status));
  else
    printf("child: exit status %d", WEXITSTATUS(result->status));
  printf(", not as expected (%s); it said:\n%s\n", wanted, result->text);
}

bool child_succeeded(const child_result *result) {
  bool good = WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0;
  if (!good) explain(result, "success");
  return good;
}

bool child_aborted(const child_result *result, const char *const *texts) {
  bool good = WIFSIGNALED(result->status) && WTERMSIG(result->status) == SIGABRT;
  if (!good) explain(result, "abort");
  for (; good && *texts; texts++)
    if (!strstr(result->text, *texts)) {
      explain(result, *texts);
      good = false;
    }
  return good;
}

void child_fail(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
  line[length] = '\n';
  if (write(STDERR_FILENO, line, (size_t)length + 1) < 0) _exit(2);
  _exit(1);
}

size_t child_resident(void) {
  char text[128] = "", *second;
  int file = open("/proc/self/statm", O_RDONLY);
  CHILD_CHECK(read(file, text, sizeof text - 1) > 0);
  close(file);
  (void)strtoul(text, &second, 10);
  return strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}
