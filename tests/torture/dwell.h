/* dwell.h - what a thread does while its pointer lies wherever it lies: nothing, garbage, a nap, a collection. */
#ifndef TORTURE_DWELL_H
#define TORTURE_DWELL_H

#include "actor.h"

/* Also as what a register's holder calls. */
void actor_dwell(void *actor);
/* Where nothing may be allocated. */
void actor_dwell_bare(actor *a);

#endif
