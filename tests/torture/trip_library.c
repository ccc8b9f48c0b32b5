/* trip_library.c - trips through the data, bss and thread-local variables of a library that is loaded for the trip.
 *
 * Actors on this trip at the same moment share the library: the last one unloads it. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "dwell.h"
#include "registers.h"
#include "report.h"
#include "trips.h"

static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;

typedef void *volatile *words_of_actor(unsigned actor);
typedef void *volatile *words_of_thread(void);

static void *find(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (!found) report_text("dlsym: %s", dlerror());
  return found;
}

/* One of the words that this actor has there. */
static void *volatile *find_word(actor *a, void *library) {
  words_of_actor *words;
  words_of_thread *thread_words;
  switch (random_below(&a->random, 3)) {
  case 0: *(void **)&words = find(library, "crate_data"); return &words(a->number)[random_below(&a->random, 16)];
  case 1: *(void **)&words = find(library, "crate_bss"); return &words(a->number)[random_below(&a->random, 16)];
  default:
    *(void **)&thread_words = find(library, "crate_thread_words");
    return &thread_words()[random_below(&a->random, 1024)];
  }
}

static void *load(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s/torture_crate.so", torture.library_folder);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) report_text("dlopen: %s", dlerror());
  return library;
}

void trip_library(actor *a, void *volatile *home) {
  if (pthread_rwlock_rdlock(&gate) != 0) report_call("pthread_rwlock_rdlock", 0);
  void *library = load();
  void *volatile *word = find_word(a, library);
  torture_move(home, word);
  actor_dwell(a);
  torture_move(word, home);
  if (dlclose(library) != 0) report_text("dlclose: %s", dlerror());
  pthread_rwlock_unlock(&gate);
}

void trip_library_hold(void) {
  if (pthread_rwlock_wrlock(&gate) != 0) report_call("pthread_rwlock_wrlock", 0);
}

void trip_library_release(void) { pthread_rwlock_unlock(&gate); }
