/* lib_constructor.c - a library whose loading takes as long as the test wants: its constructor says, by a byte into one
 * pipe, that it runs, waits for a byte from another, and then starts a thread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *end_at_once(void *unused) { return unused; }

__attribute__((constructor)) static void take_time(void) {
  int say, hear;
  char byte = 0;
  pthread_t thread;
  const char *pipes = getenv("TEST_CONSTRUCTOR_PIPES");
  if (!pipes || sscanf(pipes, "%d %d", &say, &hear) != 2) return;
  if (write(say, &byte, 1) != 1 || read(hear, &byte, 1) != 1) abort();
  if (pthread_create(&thread, NULL, end_at_once, NULL) != 0 || pthread_join(thread, NULL) != 0) abort();
}
