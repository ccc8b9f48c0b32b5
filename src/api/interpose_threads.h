/* interpose_threads.h - starting a thread that runs what a notification of the system asks for (SIGEV_THREAD). */
#ifndef TRI_INTERPOSE_THREADS_H
#define TRI_INTERPOSE_THREADS_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create, but with no signal blocked. attributes: of a detached thread. */
int tri_notified_thread_start(const pthread_attr_t *attributes, void (*run)(union sigval), union sigval value);

#endif
