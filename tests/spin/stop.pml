/* stop.pml - a model of stopping a thread: gc/stop.c and gc/blocking.c, with gc/action.c's trampolines.
 *
 * One thread of the program, which enters and leaves blocking regions; two handlers of the program, of which one may
 * interrupt the other, block in turn, and jump out; the stop signal's handler; and a collector that stops the thread
 * STOPS times, or gives up. Only one frame of the thread runs at a time: the one in top. Each step is one access to
 * memory that others see, and names the C function it stands for.
 *
 * Shown: no code of the program runs while the collector marks; what a held thread has written down is of its region;
 * nobody waits for ever. Three mistakes that the protocol avoids can be built in, and must be found:
 *
 *   RUN_FIRST   a region's end that first says RUNNING and then looks whether a stop is on
 *   WAKE_FIRST  a stop's end that first wakes the sleepers and then lets the held go
 *   SP_ALWAYS   a handler that writes its stack pointer down in a region too: it may be slow to take it back */

#ifndef STOPS
#define STOPS 2
#endif
#define ROUNDS 1
#define SIGNALS 2

#define RUNNING 0
#define BLOCKING 1
#define HELD 2

#define MAIN 0
#define STOP_HANDLER 3

byte state = RUNNING; /* tri_thread.state */
byte asked = 0;       /* tri_thread.asked */
byte sp = MAIN;       /* tri_thread.sp: whose frame it is in */
byte sequence = 0;    /* stop.sequence */
byte missing = 0;     /* stop.missing */
bool pending = false; /* the stop signal, in the kernel */

byte top = MAIN;        /* the frame that runs: MAIN, 1 and 2 the program's handlers, or STOP_HANDLER */
byte region = MAIN;     /* whose region the thread is in, if it is in one */
byte signals = SIGNALS; /* that are still to arrive for the program's handlers */
bool marking = false;
bool jumped = false;

#define STEP(what) atomic { top == me -> what }

/* Code of the program: it reads and writes pointers. */
inline run_program() { STEP(assert(!marking)) }

inline blocking_enter() { /* tri_thread_blocking_enter */
  STEP(sp = me);
  STEP(state = BLOCKING; region = me)
}

inline blocking_exit() { /* tri_thread_blocking_exit */
#ifdef RUN_FIRST
  do
  :: STEP(state = RUNNING);
     STEP(seen = sequence);
     if
     :: seen % 2 == 0 -> break
     :: else -> STEP(state = BLOCKING); atomic { top == me && sequence != seen -> skip }
     fi
  od
#else
  do
  :: STEP(seen = sequence);
     atomic { top == me ->
       left = (state != HELD);
       if
       :: left -> state = RUNNING
       :: else
       fi
     };
     if
     :: left -> break
     :: else -> atomic { top == me && sequence != seen -> skip } /* tri_stop_await_end */
     fi
  od
#endif
  seen = 0;
  left = false
}

proctype program_thread() {
  byte me = MAIN, seen, rounds = ROUNDS;
  bool left;
  do
  :: rounds > 0 ->
     {
       run_program();
       blocking_enter();
       blocking_exit();
       run_program();
       atomic { top == me -> rounds-- }
     } unless {
       atomic { top == me && jumped -> jumped = false; rounds--; seen = 0; left = false }
     }
  :: rounds == 0 -> break
  od
}

/* on_simple, on_info: a trampoline and the program's function. */
proctype program_handler(byte me) {
  byte before, seen, saved_sp, saved_region;
  bool left, saved_blocking;
end:
  do
  :: atomic { signals > 0 && top < me -> signals--; before = top; top = me };
     STEP(saved_blocking = (state != RUNNING)); /* tri_thread_blocking_leave */
     STEP(saved_sp = sp; saved_region = region);
     if
     :: saved_blocking -> blocking_exit()
     :: else
     fi;
     run_program();
     if
     :: blocking_enter(); blocking_exit(); run_program()
     :: true
     fi;
     if
     :: atomic { before == MAIN && top == me -> top = MAIN; jumped = true } /* siglongjmp */
     :: STEP(sp = saved_sp); /* tri_thread_blocking_resume */
        if
        :: saved_blocking -> STEP(state = BLOCKING; region = saved_region)
        :: else
        fi;
        STEP(top = before)
     fi;
     before = 0; saved_sp = 0; saved_region = 0; saved_blocking = false
  od
}

/* on_stop_signal, stop_here, wait_for_end. */
proctype stop_handler() {
  byte me = STOP_HANDLER, before, seen, saved_sp;
  bool mine, running;
end:
  do
  :: atomic { pending && top != STOP_HANDLER -> pending = false; before = top; top = STOP_HANDLER };
     STEP(seen = sequence);
     STEP(mine = (seen % 2 == 1 && asked == seen)); /* is_asked */
     if
     :: mine ->
#ifdef SP_ALWAYS
        running = true;
#else
        running = (state == RUNNING);
#endif
        saved_sp = sp;
        if
        :: running -> sp = STOP_HANDLER
        :: else
        fi;
        atomic { /* answer */
          mine = (asked == seen);
          if
          :: mine -> asked = seen + 1
          :: else
          fi
        };
        if
        :: mine ->
           missing--;
           sequence != seen
        :: else
        fi;
        if
        :: running -> sp = saved_sp
        :: else
        fi
     :: else
     fi;
     seen = 0; saved_sp = 0; mine = false; running = false;
     STEP(top = before; before = 0)
  od
}

/* ask_all: hold, or ask with a signal. */
inline ask() {
  if
  :: asked == sequence || asked == sequence + 1 /* was_asked */
  :: else ->
     atomic { /* hold */
       if
       :: state == BLOCKING ->
#ifdef RUN_FIRST
          skip;
#else
          state = HELD;
#endif
          held = true
       :: state == HELD -> held = true
       :: else -> held = false
       fi
     };
     if
     :: held
     :: else -> missing++; asked = sequence; pending = true /* send_signal */
     fi
  fi
}

/* wait_for_missing, take_back: the stop may be given up, while the thread has not answered, at any moment. */
inline await_missing() {
  if
  :: missing == 0
  :: missing > 0 ->
     atomic {
       if
       :: asked == sequence -> asked = sequence + 1; missing--
       :: else
       fi
     };
     missing == 0;
     given_up = true
  fi
}

inline let_go() {
  atomic {
    if
    :: state == HELD -> state = BLOCKING
    :: else
    fi
  }
}

proctype collector() {
  byte stops = STOPS;
  bool given_up, held;
  do
  :: stops > 0 ->
     sequence++; /* tri_stop_begin */
     ask();
     await_missing();
     if
     :: !given_up -> ask(); await_missing()
     :: else
     fi;
     if
     :: !given_up ->
        marking = true;
#ifndef RUN_FIRST
        atomic {
          if
          :: state == RUNNING -> assert(sp == STOP_HANDLER)
          :: else -> assert(sp == region)
          fi
        };
#endif
        marking = false
     :: else
     fi;
     given_up = false;
     held = false;
#ifdef WAKE_FIRST
     sequence++;
     let_go();
#else
     let_go(); /* release_all */
     sequence++;
#endif
     stops--
  :: stops == 0 -> break
  od
}

init {
  atomic {
    run program_thread();
    run program_handler(1);
    run program_handler(2);
    run stop_handler();
    run collector()
  }
}
