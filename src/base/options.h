/* options.h - the run-time options: one table, read from the environment, that also writes the manual page.
 *
 * Pure: text in, settings out, messages through tri_print. Reads the environment once, at start, and not at all in
 * set-user-id programs (secure_getenv). */
#ifndef TRI_OPTIONS_H
#define TRI_OPTIONS_H

#include "base/base.h"

/* What tests break in the collector (gc/fault.h). */
typedef enum tri_fault {
  TRI_FAULT_NONE,
  TRI_FAULT_ROOT,
  TRI_FAULT_CHILD,
  TRI_FAULT_DIRTY,
  TRI_FAULT_REGISTER,
  TRI_FAULT_NEW,
  TRI_FAULT_STACK
} tri_fault;

/* How collections run (gc/collection.c). */
typedef enum tri_gear { TRI_GEAR_AUTO, TRI_GEAR_PAGE, TRI_GEAR_NONE } tri_gear;

enum { TRI_MOST_GC_THREADS = 64 };

typedef struct tri_settings {
  int64_t gc_percent;   /* -1: off */
  int64_t gc_threads;   /* 0: one per processor, at most TRI_MOST_GC_THREADS, as always */
  int64_t gear;         /* tri_gear */
  int64_t young;        /* 0, 1 */
  int64_t heap_reserve; /* bytes; 0: as much as the limits allow */
  int64_t signal;
  int64_t huge_pages; /* 0 or 1 */
  int64_t trace_gc;
  int64_t trace_rounds;
  int64_t check;
  int64_t poison;
  int64_t collect_every;
  int64_t period;       /* ms */
  int64_t work_buffers; /* 0: no limit */
  int64_t inject;       /* tri_fault */
} tri_settings;

/* Defaults, then what the environment says. False when a variable was malformed or unknown; a line on standard error
 * says which, and its default stays. */
bool tri_settings_read(tri_settings *settings);

/* "name=value,name,..." for the options that TRICOLOR_TRACE and TRICOLOR_DEBUG hold; source names the origin in
 * messages. */
bool tri_settings_parse_list(tri_settings *settings, const char *source, const char *text);

/* Calls visit for every option: its variable, name within the variable's list ("" for none), default and
 * description. */
void tri_settings_describe(void (*visit)(void *argument, const char *variable, const char *name, const char *initial,
                                         const char *text),
                           void *argument);

#endif
