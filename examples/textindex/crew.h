/* crew.h - threads that take jobs from one queue, first come, first served. */
#ifndef TEXTINDEX_CREW_H
#define TEXTINDEX_CREW_H

#include "memory.h"

#include <pthread.h>

/* Jobs that are waited for together, and what they asked for. Lives where its maker wants it, longer than its jobs. */
typedef struct crew_group {
  uint32_t pending;
  memory_use use;
} crew_group;

typedef void crew_function(void *context, uint32_t number);

/* Starts the threads; ends the program when the system refuses one. Once per process. */
void crew_start(uint32_t threads);

/* function(context, 0 .. count - 1), each a job of its own, in any order and on any thread. */
void crew_post(crew_group *group, crew_function *function, void *context, uint32_t count);

/* Until every job of the group is done. */
void crew_wait(crew_group *group);

/* Ends the threads; no job may be waiting. */
void crew_stop(void);

/* What finished jobs have asked for so far; for the progress line. */
uint64_t crew_bytes(void);

#endif
