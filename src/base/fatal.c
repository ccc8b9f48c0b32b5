/* fatal.c - the end of the process on misuse of the API, on damage, and on a failed assertion.
 *
 * One line on standard error, in one write so that lines of several threads do not mix, then abort: a core is left and
 * the program's SIGABRT handler runs. Allocates nothing and takes no lock; called from anywhere. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/fmt.h"

enum { FATAL_MAX = 1024 };

void tri_fatal(const char *format, ...) {
  char line[FATAL_MAX];
  size_t prefix = tri_format(line, sizeof line, "tricolor: ");
  size_t room = sizeof line - prefix; /* the terminating 0 gives its place to the newline */
  va_list arguments;
  va_start(arguments, format);
  size_t length = prefix + tri_min(tri_vformat(line + prefix, room, format, arguments), room - 1);
  va_end(arguments);
  if (line[length - 1] != '\n') line[length++] = '\n';
  (void)syscall(SYS_write, STDERR_FILENO, line, length);
  abort();
}

void tri_assert_failed(const char *condition, const char *file, int line) {
  tri_fatal("assertion failed: %s (%s:%d)", condition, file, line);
}
