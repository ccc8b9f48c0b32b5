/* starts.pml - a model of the library's own threads being started while a stop finds the program's: tri_thread_start_own
 * and stop_everything (gc/thread.c, gc/stop.c), with the loader's two locks in between.
 *
 * A thread of the program loads a library; another starts a third one of the program's; it, or a thread of ours that is
 * there already, starts another of ours; the collector visits the loader and stops the world, STOPS times. Each step is one access to what others see.
 *
 * Shown: no code of the program runs while the collector marks, and nobody waits for ever. Mistakes that the protocol
 * avoids can be built in, and must be found:
 *
 *   LOCKED_START   the list of threads is locked while a thread of ours is started: the starter waits for the loader's
 *                  lock for thread-local storage, whose holder waits for the collector's, who waits for the list
 *   MASKED_START   the starter blocks the stop signal meanwhile, so that the new thread inherits that
 *   WAITS_FOR_OURS a stop that has taken a new thread of ours for one of the program's waits for it
 *   COUNT_FIRST    tasks are counted before those expected: a thread of ours that says so in between stands for an
 *                  unknown one of the program's */

#ifndef STOPS
#define STOPS 2
#endif

#define LOADING 0
#define STARTING 1
#define STARTED 2 /* the program's, by STARTING; */
#define OURS 3    /* and ours */
#define TASKS 4
#define OLDER 4
#define COLLECTOR 5

bool exists[TASKS];
bool known[TASKS];  /* has a record in the list */
bool asked[TASKS];  /* to stop */
bool stopped[5];    /* in the handler */
bool masked[5];     /* blocks the stop signal */
bool published;      /* our thread's id */
bool marking;
byte loader_write, loader_tls, registry; /* the holder + 1 */

#define RUN(me, what) atomic { !stopped[me] -> what }
#define TAKE(lock, me) atomic { !stopped[me] && lock == 0 -> lock = me + 1 }
#define DROP(lock, me) atomic { !stopped[me] -> lock = 0 }

/* It reads and writes pointers. */
inline run_program(me) { RUN(me, assert(!marking)) }

proctype loading() { /* dlopen */
  run_program(LOADING);
  TAKE(loader_tls, LOADING);
  TAKE(loader_write, LOADING);
  DROP(loader_write, LOADING);
  DROP(loader_tls, LOADING);
  run_program(LOADING)
}

proctype started() {
  run_program(STARTED);
  run_program(STARTED)
}

proctype ours() { /* tri_thread_main */
  RUN(OURS, published = true)
}

inline start_ours(me) { /* tri_thread_start_own */
  TAKE(registry, me); /* claim_own */
#ifndef LOCKED_START
  DROP(registry, me);
#endif
#ifdef MASKED_START
  RUN(me, masked[me] = true);
#endif
  TAKE(loader_tls, me); /* pthread_create: signals of ours are blocked from its first moment */
  RUN(me, exists[OURS] = true; masked[OURS] = true; run ours());
  DROP(loader_tls, me);
  RUN(me, masked[me] = false);
  atomic { !stopped[me] && published -> skip };
#ifdef LOCKED_START
  DROP(registry, me)
#else
  skip
#endif
}

proctype starting(bool starts_ours) {
  run_program(STARTING);
  TAKE(loader_tls, STARTING); /* pthread_create, of the program's */
  RUN(STARTING, exists[STARTED] = true; run started());
  DROP(loader_tls, STARTING);
  if
  :: starts_ours -> start_ours(STARTING)
  :: else
  fi;
  run_program(STARTING)
}

/* A thread of ours that was there before, and is never stopped. */
proctype older() { start_ours(OLDER) }

/* The kernel, and on_stop_signal. */
proctype signals() {
end:
  do
  :: atomic { asked[LOADING] && !stopped[LOADING] -> stopped[LOADING] = true }
  :: atomic { asked[STARTING] && !masked[STARTING] && !stopped[STARTING] -> stopped[STARTING] = true }
  :: atomic { asked[STARTED] && !stopped[STARTED] -> stopped[STARTED] = true }
  od
}

/* ask_all, and wait_for_missing of one thread; look_after_missing sees that it is ours. */
inline stop_known(task) {
  if
  :: known[task] ->
     asked[task] = true;
     if
     :: stopped[task]
#ifndef WAITS_FOR_OURS
     :: atomic { task == OURS && published -> known[OURS] = false; asked[OURS] = false }
#endif
     fi
  :: else
  fi
}

inline count_tasks() { counted = exists[LOADING] + exists[STARTING] + exists[STARTED] + exists[OURS] }
inline count_expected() { expected = known[LOADING] + known[STARTING] + known[STARTED] + known[OURS] + published }

inline learn(task) {
  if
  :: exists[task] && !known[task] && !(task == OURS && published) -> known[task] = true
  :: else
  fi
}

proctype collector() {
  byte stops = STOPS, counted, expected;
  do
  :: stops > 0 ->
     atomic { loader_write == 0 -> loader_write = COLLECTOR + 1 }; /* tri_os_visit_modules */
     atomic { registry == 0 -> registry = COLLECTOR + 1 };
     do
     :: stop_known(LOADING);
        stop_known(STARTING);
        stop_known(STARTED);
        stop_known(OURS);
#ifdef COUNT_FIRST
        count_tasks();
        count_expected();
#else
        count_expected();
        count_tasks();
#endif
        if
        :: counted == expected -> break
        :: else -> learn(LOADING); learn(STARTING); learn(STARTED); learn(OURS)
        fi
     od;
     marking = true;
     marking = false;
     atomic {
       asked[LOADING] = false; asked[STARTING] = false; asked[STARTED] = false; asked[OURS] = false;
       stopped[LOADING] = false; stopped[STARTING] = false; stopped[STARTED] = false
     };
     registry = 0;
     loader_write = 0;
     stops--
  :: stops == 0 -> break
  od
}

init {
  atomic {
    exists[LOADING] = true; exists[STARTING] = true;
    if
    :: run starting(true)
    :: run starting(false); run older()
    fi;
    run loading(); run signals(); run collector()
  }
}
