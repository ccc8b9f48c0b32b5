/* interpose_signals.h - signal sets without the stop signal. */
#ifndef TRI_INTERPOSE_SIGNALS_H
#define TRI_INTERPOSE_SIGNALS_H

#include <signal.h>

/* set, or *copy made of it without the stop signal when set has that. NULL for NULL. Async-signal-safe. */
const sigset_t *tri_signals_without_stop(const sigset_t *set, sigset_t *copy);

#endif
