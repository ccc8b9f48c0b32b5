/* spans.pml - a model of a cached span that its owner sweeps, beside a concurrent mark: heap/cache.c, heap/central.c,
 * heap/span.c and heap/object.c, with the stops of gc/collection.c and the marks of gc/marker.c.
 *
 * One span of one bitmap word with SLOTS slots; a thread that owns it, hands out its slots, frees objects, forgets
 * some, passes some on, gives the span back and takes it again; another thread, which frees or forgets what it was
 * passed; a marker, which may take any word for a pointer at any time; and a collector, for ever: it sweeps what is
 * left, stops the program to exchange what an idle owner has not, marks beside the program, stops it again to finish
 * the mark, which it may abandon, and moves the epoch on; or it gives the mark up. That a mark finds everything is
 * rounds.pml's matter: here the last stop marks what the program holds, and before it any slot that looks allocated
 * may be marked. A thread can be stopped anywhere outside its slow paths, also between reading free and writing it
 * back. Each step is one access to memory that others see, and names the C function it stands for; what only its
 * thread may touch at the time, by a lock or in a stop, is done in one step with it.
 *
 * Shown: a slot is handed out only when nobody holds the object in it; what the program holds is never swept; no
 * object is freed twice, and a free is never refused; of what a finished mark has marked nothing waits; the span is
 * not taken apart while a marker knows it; and when it is swept every slot is an object, or waits, or is free: none is
 * lost. Mistakes that the protocol avoids can be built in, and must be found:
 *
 *   EMPTY_AT_STOP         the last stop takes waiting slots away from the owner, who may have chosen one
 *   FORGET_AT_STOP        the exchange keeps what waits, but not what waited at the mark and was handed out since
 *   SWEEP_CURRENT_WORD    the collector's exchange of an idle owner's span treats its word like any other
 *   LEAVE_IDLE            the first stop leaves an idle owner's span for the owner to exchange, during the mark
 *   KEEP_WAITING_MARKS    the last stop hides waiting slots but not their marks
 *   HIDE_BESIDE_MARKER    the last stop does not wait for markers before it hides
 *   HIDE_ON_ABANDON       an abandoned stop does not show the waiting slots again
 *   DESTROY_WHILE_MARKING a span that became empty is taken apart though a mark is under way */

#ifndef SLOTS
#define SLOTS 2
#endif

#define NOBODY 0  /* no pages: tri_span_create makes it anew */
#define CACHED 1  /* TRI_SPAN_CACHED */
#define CENTRAL 2 /* TRI_SPAN_CENTRAL */
#define SWEPT 3   /* TRI_SPAN_SWEPT: in somebody's hands */

byte alloc = 0, mark = 0; /* tri_bits */
byte free = 0;            /* tri_cache_slot.free: only the owner writes it */
byte at_stop = 0;         /* tri_cache_slot.at_stop */
byte state = NOBODY;      /* tri_span.state */
byte live = 0;            /* tri_span.live */
byte behind = 0;          /* the heap's epoch less tri_span.epoch */
bool locked = false;      /* tri_central.lock */
bool marking = false;     /* tri_heap.marking */
bool stale = false;       /* collection.c: marks are left of a mark that was given up */

bool stopped = false;                              /* the program is held */
bool owner_is_slow = false, other_is_slow = false; /* tri_cache.defer */
bool marker_is_busy = false, quiet = false;        /* a marker is at work; none may begin */

/* Not in the program: what is true of it. */
byte handed = 0;           /* slots handed out and not freed since */
byte mine = 0, theirs = 0; /* objects that the owner, that the other thread holds a pointer to */
bool taken_apart = false;  /* since the marker looked */

#define ALL ((1 << SLOTS) - 1)
#define LOWEST(bits) ((bits) & -(bits))
#define COUNT(bits) (((bits) & 1) + (((bits) >> 1) & 1) + (((bits) >> 2) & 1))

/* One of the slots in bits. */
#define CHOOSE(slot, bits) if :: (bits) & 1 -> slot = 1 :: (bits) & 2 -> slot = 2 :: (bits) & 4 -> slot = 4 fi

#ifdef DESTROY_WHILE_MARKING
#define MAY_DESTROY true
#else
#define MAY_DESTROY (!marking)
#endif

inline object_freed(slots) {
  assert((handed & (slots)) == (slots));
  handed = handed & ~(slots)
}

/* The bit of an object that the program frees. */
inline clear_bit(slot) {
  assert(alloc & slot);
  alloc = alloc & ~slot;
  object_freed(slot)
}

/* ---- sweeping ---- */

/* tri_span_exchange, exchange_word; keep and freed are the caller's. Then the span is of this epoch. */
inline exchange(also) {
  atomic { keep = mark | (also); mark = 0 };
  atomic {
    freed = alloc & ~keep;
    alloc = alloc & keep;
    assert(!(freed & (mine | theirs)));
    object_freed(freed);
    freed = 0;
    keep = 0
  };
  atomic {
    assert(behind == 1 && (alloc | free) == (handed | free)); /* an object is freed when its bit is cleared */
    live = COUNT(alloc);
    behind = 0
  }
}

/* slot_sweep: the word may hold objects handed out since the mark, which has not seen them. */
#ifdef FORGET_AT_STOP
#define KEPT free
#else
#define KEPT (at_stop | free)
#endif

/* tri_span_destroy */
inline destroy() { atomic { state = NOBODY; alloc = 0; mark = 0; live = 0; behind = 0; taken_apart = true } }

/* tri_central_give */
inline central_give() {
  if
  :: live == 0 && MAY_DESTROY -> destroy()
  :: else -> atomic { !locked -> state = CENTRAL } /* put */
  fi
}

/* ---- the owner ---- */

/* claim_word, claim */
inline claim() {
  atomic { seen = ALL & ~alloc; alloc = alloc | seen };
  atomic { at_stop = 0; free = seen; seen = 0 }
}

/* slot_release */
inline slot_release() {
  if
  :: behind -> exchange(KEPT)
  :: else
  fi;
  alloc = alloc & ~free;
  atomic { free = 0; at_stop = 0; state = SWEPT };
  live = COUNT(alloc);
  central_give()
}

/* tri_central_take, slot_adopt */
inline take() {
  atomic {
    if
    :: !locked && state == CENTRAL && (behind || live < SLOTS) -> state = SWEPT; got = true
    :: state == NOBODY -> assert(!alloc && !mark); state = SWEPT; got = true /* tri_span_create */
    :: else -> got = false /* in other hands, or full, or the lock is taken: it will be tried again */
    fi
  };
  if
  :: got ->
     if
     :: behind -> exchange(0) /* take_unswept */
     :: else
     fi;
     if
     :: live < SLOTS -> state = CACHED; claim()
     :: else -> central_give()
     fi
  :: else
  fi;
  got = false
}

/* refill */
inline refill() {
  if
  :: state == CACHED ->
     if
     :: behind -> exchange(KEPT)
     :: else
     fi;
     if
     :: alloc != ALL -> claim()
     :: slot_release() /* the cursor is at its end */
     fi
  :: else -> take()
  fi
}

proctype owner() {
  byte seen, slot, keep, freed;
  bool got;
end:
  do
  /* tri_cache_slot_pop */
  :: atomic { !stopped && free -> seen = free };
     atomic {
       !stopped ->
       slot = LOWEST(seen);
       assert(!(handed & slot) && !((mine | theirs) & slot) && (alloc & slot));
       free = seen & ~slot;
       handed = handed | slot;
       mine = mine | slot;
       slot = 0;
       seen = 0
     }
  /* tri_cache_alloc_slow */
  :: atomic { !stopped && !free -> owner_is_slow = true };
     refill();
     owner_is_slow = false
  /* tri_cache_release: the thread ends, and another begins. */
  :: atomic { !stopped && state == CACHED -> owner_is_slow = true };
     slot_release();
     owner_is_slow = false
  /* tri_object_free, tri_cache_free_own, which stops cannot part */
  :: atomic {
       !stopped && state == CACHED && mine ->
       CHOOSE(slot, mine);
       assert((alloc & slot) && !(free & slot));
       mine = mine & ~slot;
       if
       :: !behind -> free = free | slot; object_freed(slot) /* free_into_word */
       :: else -> clear_bit(slot)
       fi;
       slot = 0
     }
  /* An object is forgotten, or passed on. */
  :: atomic {
       !stopped && mine ->
       CHOOSE(slot, mine);
       mine = mine & ~slot;
       if
       :: theirs = theirs | slot
       :: true
       fi;
       slot = 0
     }
  od
}

/* ---- the other thread ---- */

proctype other() {
  byte slot;
end:
  do
  :: atomic { !stopped && theirs -> CHOOSE(slot, theirs); theirs = theirs & ~slot; slot = 0 }
  /* tri_object_free, tri_central_free_slot */
  :: atomic {
       !stopped && theirs && !locked -> /* the lock */
       CHOOSE(slot, theirs);
       assert(alloc & slot);
       other_is_slow = true;
       locked = true
     };
     if
     :: state == CENTRAL -> /* free_listed */
        atomic { clear_bit(slot); theirs = theirs & ~slot };
        atomic {
          slot = 0;
          locked = false;
          if
          :: !behind -> assert(live > 0); live--
          :: else
          fi;
          if
          :: !behind && live == 0 && MAY_DESTROY -> state = SWEPT
          :: else -> goto out
          fi
        };
        destroy()
     :: else ->
        assert(!(free & slot)); /* tri_cache_slot_is_waiting */
        atomic { clear_bit(slot); theirs = theirs & ~slot; slot = 0; locked = false }
     fi;
out: other_is_slow = false
  od
}

/* ---- the marker ---- */

/* shade_word, of any word at all, and the scan of what it marked. */
proctype marker() {
  byte slot;
end:
  do
  :: atomic {
       marking && !quiet ->
       CHOOSE(slot, ALL);
       if
       :: alloc & slot -> marker_is_busy = true; taken_apart = false
       :: else -> slot = 0
       fi
     };
     if
     :: slot -> atomic { mark = mark | slot; assert(!taken_apart); slot = 0; marker_is_busy = false }
     :: else
     fi
  od
}

/* ---- the collector ---- */

/* each_cache(tri_cache_sweep): sweep_stale */
inline sweep_idle() {
  if
  :: state == CACHED && behind ->
#ifdef SWEEP_CURRENT_WORD
     exchange(0)
#else
     exchange(KEPT)
#endif
  :: else
  fi
}

/* each_cache(tri_cache_stop_begin): hide_waiting */
inline hide_waiting() {
  at_stop = free;
  alloc = alloc & ~at_stop;
#ifdef EMPTY_AT_STOP
  free = 0;
#endif
#ifndef KEEP_WAITING_MARKS
  mark = mark & ~at_stop
#endif
}

/* each_cache(tri_cache_stop_end): show_waiting. What is not cached has no waiting slots. */
inline show_waiting() {
#ifdef EMPTY_AT_STOP
  at_stop = 0
#else
  alloc = alloc | at_stop
#endif
}

/* Every thread is outside its slow paths. */
#define ALL_HELD (!owner_is_slow && !other_is_slow)

proctype collector() {
  byte keep, freed;
end:
  do
  :: /* tri_collection_begin */
     do /* tri_sweep_finish */
     :: atomic { !locked && state == CENTRAL && behind -> state = SWEPT };
        exchange(0);
        central_give()
     :: atomic { !(state == CENTRAL && behind) -> break }
     od;
     if
     :: stale -> atomic { mark = 0; stale = false } /* clear_marks */
     :: else
     fi;
     atomic { ALL_HELD && !(state == CENTRAL && behind) -> stopped = true }; /* take_first_roots */
#ifndef LEAVE_IDLE
     sweep_idle();
#endif
     atomic { marking = true; stopped = false };
     do
     :: atomic { ALL_HELD -> stopped = true; quiet = true };
        atomic { /* mark_to_the_end */
#ifndef HIDE_BESIDE_MARKER
          !marker_is_busy ->
#endif
          hide_waiting()
        };
        if
        :: goto finish
        :: atomic { /* it is abandoned */
#ifndef HIDE_ON_ABANDON
             show_waiting();
#endif
             quiet = false;
             stopped = false
           }
        fi
     :: quiet = true;
        atomic { !marker_is_busy -> marking = false; quiet = false; stale = true; goto done } /* give_up */
     od;
finish:
     atomic {
       !marker_is_busy ->
       assert(!((mine | theirs) & ~alloc)); /* mark.c: what is held is marked, as it is a root */
       mark = mark | mine | theirs;
       assert(!(mark & (alloc | at_stop) & ~handed)); /* flip */
       marking = false;
       quiet = false;
       if
       :: state != NOBODY -> behind++; assert(behind == 1)
       :: else
       fi
     };
     if
     :: sweep_idle() /* a collection that the program asked for */
     :: true
     fi;
     atomic { show_waiting(); stopped = false };
done: skip
  od
}

init {
  atomic {
    run owner();
    run other();
    run marker();
    run collector()
  }
}
