/* fmt.h - formatted output that never allocates and takes no lock, for traces, reports and fatal errors.
 *
 * Understands %% %s %c %d %i %u %x %p with the lengths hh h l ll z, a minimum width with optional 0 or -, and a
 * precision for %f (%.3f, at most 9 digits) and %s (%.8s). %f is rounded exactly as printf does; 2^64 and more is
 * printed as inf. Anything else is printed as it stands and takes no argument. Async-signal-safe. */
#ifndef TRI_FMT_H
#define TRI_FMT_H

#include <stdarg.h>

#include "base/base.h"

/* Writes at most size bytes with the terminating 0; returns the length the whole text has or would have. */
size_t tri_format(char *out, size_t size, const char *format, ...) TRI_PRINTF(3, 4);
size_t tri_vformat(char *out, size_t size, const char *format, va_list arguments) TRI_PRINTF(3, 0);

/* One write to standard error of at most 1 KiB; longer text is cut. errno is kept. */
void tri_print(const char *format, ...) TRI_PRINTF(1, 2);

#endif
