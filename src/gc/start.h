/* start.h - bringing the heap and the collector up, once. */
#ifndef TRI_START_H
#define TRI_START_H

#include "gc/cycle.h"

/* Starts the heap unless it runs: *already says so. settings NULL: those of the environment. Any thread: the first one
 * wins, others wait for it. False when memory is out; the next call tries again. */
bool tri_start(const tri_settings *settings, bool *already);

/* Who hears of collections; set before main. */
extern void (*tri_start_observer)(const tri_cycle_report *);

/* The settings in force. */
const tri_settings *tri_start_settings(void);

/* For forks: waits for a start under way, and lets no other thread begin one until resume, which the same thread, or
 * its copy in the child, calls. after_fork_child: what another thread had begun is nobody's. */
void tri_start_pause(void);
void tri_start_resume(void);
void tri_start_after_fork_child(void);

#endif
