/* child.h - running a piece of a test in a forked child, with an environment of its own and its standard error
 * captured.
 *
 * The parent must not have started the heap: a forked child would inherit it. So a program either uses children alone,
 * or the heap alone. */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct child_result {
  int status; /* as waitpid gives it */
  char text[8192];
} child_result;

/* Runs body(argument) in a child; leaving body is exit status 0. environment: "NAME=value" strings up to a NULL, or
 * NULL. The child is ended by SIGALRM after so many seconds: a hang is a failure, not a verdict by time. */
enum { CHILD_PATIENCE = 240 };
child_result child_run(void (*body)(void *), void *argument, const char *const *environment);

bool child_succeeded(const child_result *result);
/* Whether it ended by abort() and said all of the texts (up to a NULL) on standard error. */
bool child_aborted(const child_result *result, const char *const *texts);

/* Resident bytes of the process; in a child. Uses no stdio, which would allocate. */
size_t child_resident(void);

/* In a child: says why on standard error and ends it with status 1. */
_Noreturn void child_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHILD_CHECK(condition)                                                                                         \
  ((condition) ? (void)0 : child_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #condition))

#endif
