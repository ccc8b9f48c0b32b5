/* report.h - the end of a torture that found something: one line that says what, then abort. */
#ifndef TORTURE_REPORT_H
#define TORTURE_REPORT_H

#include "actor.h"
#include "cargo.h"

/* Every report ends with seed, thread, step, what was under way, and the way the pointer at hand took. */
_Noreturn void report_lost(const hand *h, const cargo_fault *fault);
_Noreturn void report_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A call that failed, with its argument; adds errno. */
_Noreturn void report_call(const char *call, long value);

/* Reports deadly signals likewise, abort by the library included. */
void report_catch_signals(void);
/* Of the calling thread: a small stack for that. */
void report_set_up_thread(void);
void report_tear_down_thread(void);

#endif
