/* linux_proc.h - reading files of /proc one character at a time.
 *
 * No stdio, no malloc, no lock, bare system calls (open and read may be interposed): async-signal-safe, and small
 * enough for an alternate signal stack. Paths go through thread-self where the file belongs to the process: /proc/self
 * is the main thread, whose maps are gone once it has ended by pthread_exit. Private to the linux*.c files. */
#ifndef TRI_OS_LINUX_PROC_H
#define TRI_OS_LINUX_PROC_H

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

typedef struct tri_proc_file {
  int descriptor;
  size_t next, length;
  char buffer[512];
} tri_proc_file;

static inline bool tri_proc_open(tri_proc_file *file, const char *path) {
  file->descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  file->next = file->length = 0;
  return file->descriptor >= 0;
}

static inline void tri_proc_close(tri_proc_file *file) { syscall(SYS_close, file->descriptor); }

/* The next character, or -1 at the end of the file. */
static inline int tri_proc_next(tri_proc_file *file) {
  if (file->next == file->length) {
    long got;
    do got = syscall(SYS_read, file->descriptor, file->buffer, sizeof file->buffer);
    while (got < 0 && errno == EINTR);
    if (got <= 0) return -1;
    file->length = (size_t)got;
    file->next = 0;
  }
  return (unsigned char)file->buffer[file->next++];
}

/* Passes over everything up to and including the character; false at the end of the file. */
static inline bool tri_proc_skip(tri_proc_file *file, int character) {
  int got;
  do got = tri_proc_next(file);
  while (got >= 0 && got != character);
  return got >= 0;
}

/* Reads a number in the given base and the character that ends it, which is returned; -1 at the end of the file. */
static inline int tri_proc_number(tri_proc_file *file, unsigned base, uint64_t *number) {
  *number = 0;
  for (;;) {
    int got = tri_proc_next(file);
    unsigned digit;
    if (got >= '0' && got <= '9')
      digit = (unsigned)(got - '0');
    else if (base == 16 && got >= 'a' && got <= 'f')
      digit = (unsigned)(got - 'a') + 10;
    else
      return got;
    *number = *number * base + digit;
  }
}

#endif
