/* lib_threads.c - a library, loaded late, that starts a thread on the program's behalf. */
#include <pthread.h>

int lib_start_thread(pthread_t *thread, void *(*run)(void *), void *argument);
int lib_start_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
  return pthread_create(thread, NULL, run, argument);
}
