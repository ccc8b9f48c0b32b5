/* rounds.pml - a model of how a mark beside the program ends: gc/collection.c, gc/mark.c, gc/marker.c, gc/watch.c.
 *
 * A word of static data and OBJECTS objects of one pointer each, every one on a page of its own; a thread of the
 * program with two registers, which walks, loads, makes an object, stores and clears, up to STORES times, and at some
 * moment does nothing more; a marker, which drains what is grey; and the collector, which makes one collection: it
 * arms the pages in use, takes the first roots, and makes rounds, of which each may be tried as the last one and
 * abandoned at any step. What is listed as dirty the collector scans again itself, so that one thread reads marks that
 * another has set: a mark of the marker's may become visible late, when the marker has read the object already. A
 * session beside the program may be ended at any moment, by somebody who takes over. Each step is one access to memory
 * that others see, and names the C function it stands for; what is done in a stop while no marker is at work is one
 * step. Left out are stops that begin so late that nothing would fit: the budget grows until there are none
 * (collection.c: budget).
 *
 * Shown: when the collection is finished everything reachable is marked; and it is finished in the third stop after
 * the program's last step at the latest. Mistakes that the protocol avoids can be built in, and must be found:
 *
 *   ARM_LATE              pages are armed while markers are at work, perhaps after the object was scanned
 *   DROP_DIRTY            an abandoned stop, which has armed what it listed, forgets what it has not come to
 *   STACK_EARLY           registers are looked at in the first stop only
 *   HARVEST_BESIDE_MARKER a round does not wait for the marker before it lists and arms
 *   NEW_BLACK_UNSCANNED   new objects are marked, and pages that have come into use are not looked at
 *   NEW_PAGE_UNLISTED     a page that has come into use is armed when it holds marks, but not scanned again
 *   READ_BEFORE_ARM       dirty static data is read beside the program, and then armed
 *   LATE_STOP             a stop may leave it at looking although nothing is dirty */

#ifndef STORES
#define STORES 2
#endif
#define OBJECTS 3

#define DATA 0 /* the word of static data; objects count from 1, and 0 is no pointer */
#define BIT(object) (1 << (object))
#define HEAP ((1 << (OBJECTS + 1)) - 2)

byte field[OBJECTS + 1];
byte a = 0, b = 0;       /* the registers, which a stop spills */
byte made = 1;           /* how many objects there are */
byte stores = STORES;    /* that the program may still make */
byte dirty = 0;          /* pages written since they were armed; those that are not armed are not looked at */
byte armed = 0;          /* watch.armed */
byte mark = 0;           /* mark bits */
byte late = 0;           /* a mark that the marker has set and others do not see yet */
byte grey = 0;           /* in work buffers */
byte list = 0;           /* watch.dirty: pages to be scanned again */
bool session = false;    /* work.over, the other way round */
bool busy = false;       /* mark.active: the marker is at work */
bool stopped = false;
bool is_done_writing = false;
#ifdef NEW_BLACK_UNSCANNED
bool marking = false;
#endif

/* ---- the program ---- */

#define STEP(when, what) atomic { !stopped && (when) -> what }

inline store(object, value) {
  stores--;
  field[object] = value;
  dirty = dirty | (BIT(object) & armed)
}

/* White, and zero without being written. */
inline allocate() {
  made++;
#ifdef NEW_BLACK_UNSCANNED
  if
  :: marking -> mark = mark | BIT(made)
  :: else
  fi;
#endif
  a = made
}

proctype program_thread() {
  do
  :: STEP(a != b, b = a)
  :: STEP(a, a = 0)
  :: STEP(a != field[DATA], a = field[DATA])
  :: STEP(stores && a != field[DATA], store(DATA, a))
  :: STEP(b && a != field[b], a = field[b])
  :: STEP(stores && b && a != field[b], store(b, a))
  :: STEP(made < OBJECTS, allocate())
  :: STEP(true, is_done_writing = true; break)
  od
}

/* ---- marking ---- */

/* shade: by the collector, whose marks are seen at once. */
inline shade(value) {
  if
  :: value && !(mark & BIT(value)) -> mark = mark | BIT(value); grey = grey | BIT(value)
  :: else
  fi
}

inline show_late_mark() { mark = mark | late; late = 0 }

/* drain: a grey object is read, then what it points to is marked. The marker sees its own late mark. */
proctype marker() {
  byte object, value;
end:
  do
  :: atomic {
       session && grey ->
       if
       :: grey & 2 -> object = 1
       :: grey & 4 -> object = 2
       :: grey & 8 -> object = 3
       fi;
       grey = grey & ~BIT(object);
       busy = true;
       value = field[object];
       object = 0
     };
     if
     :: atomic {
          value && !((mark | late) & BIT(value)) ->
          show_late_mark();
          if
          :: mark = mark | BIT(value)
          :: late = BIT(value)
          fi;
          grey = grey | BIT(value);
          value = 0;
          busy = false
        }
     :: atomic { !value || ((mark | late) & BIT(value)) -> value = 0; busy = false }
     fi
  od
}

/* tri_mark_take_turn: the marker's last mark is seen when it has left. */
inline take_turn() {
  session = false;
  atomic { !busy -> show_late_mark() }
}

/* rescan: the next page of the list, whose object is scanned again if it is marked. */
inline rescan() {
  atomic {
    list ->
    if
    :: list & 2 -> object = 1
    :: list & 4 -> object = 2
    :: list & 8 -> object = 3
    fi;
    list = list & ~BIT(object);
    if
    :: mark & BIT(object) -> shade(field[object])
    :: else
    fi;
    object = 0
  }
}

#define NOTHING_LEFT (!list && !grey && !busy)
#ifdef LATE_STOP
#define MAY_NOT_FIT true
#else
#define MAY_NOT_FIT (list != 0)
#endif

/* ---- the collector ---- */

/* arm_heap: what is in use. */
inline arm_heap() {
  armed = armed | BIT(1);
  if
  :: made >= 2 -> armed = armed | BIT(2)
  :: made < 2
  fi;
  if
  :: made >= 3 -> armed = armed | BIT(3)
  :: made < 3
  fi
}

inline stop_world() { stopped = true }
inline resume_world() { stopped = false }

inline shade_threads() {
  shade(a);
  shade(b)
}

/* tri_watch_look_at_data, tri_mark_shade, beside the program. */
inline preclean_data() {
  if
  :: dirty & 1 ->
#ifdef READ_BEFORE_ARM
     atomic { shade(field[DATA]) };
     dirty = dirty & ~1
#else
     dirty = dirty & ~1;
     atomic { shade(field[DATA]) }
#endif
  :: else
  fi
}

#define NEWLY_MARKED (mark & HEAP & ~armed)

/* tri_watch_look_at_heap, tri_watch_look_at_data: what is dirty is listed, or read, and armed again; and so is what has
 * come into use and been marked. */
inline look() {
  list = list | (dirty & HEAP);
#ifndef NEW_BLACK_UNSCANNED
#ifndef NEW_PAGE_UNLISTED
  list = list | NEWLY_MARKED;
#endif
  armed = armed | NEWLY_MARKED;
#endif
  if
  :: dirty & 1 -> shade(field[DATA])
  :: else
  fi;
  dirty = 0
}

inline check() {
  d_step {
    byte reached = BIT(a) | BIT(b) | BIT(field[DATA]), before = 0;
    do
    :: reached != before ->
       before = reached;
       for (object : 1 .. OBJECTS) {
         if
         :: reached & BIT(object) -> reached = reached | BIT(field[object])
         :: else
         fi
       }
    :: else -> break
    od;
    assert(!(reached & HEAP & ~mark))
  }
}

proctype collector() {
  byte object, stops_since;
#ifndef ARM_LATE
  arm_heap(); /* tri_watch_arm */
#endif
  armed = armed | BIT(DATA);
  atomic { /* take_first_roots */
    stop_world();
    shade_threads();
#ifdef NEW_BLACK_UNSCANNED
    marking = true;
#endif
    resume_world()
  };
  atomic { shade(field[DATA]); session = true }; /* read_data */
#ifdef ARM_LATE
  arm_heap();
#endif
  do
  :: do /* tri_collection_mark */
     :: rescan()
     :: NOTHING_LEFT -> break
     :: !is_done_writing -> break /* somebody takes over */
     od;
     /* tri_collection_advance */
#ifndef HARVEST_BESIDE_MARKER
     take_turn();
#endif
     preclean_data();
     atomic {
       stop_world();
#ifndef HARVEST_BESIDE_MARKER
       if
       :: is_done_writing -> stops_since++; assert(stops_since <= 3)
       :: else
       fi;
#endif
       look();
#ifndef STACK_EARLY
       shade_threads()
#endif
     };
     if
     :: session = true; /* mark_to_the_end */
        do
        :: rescan()
        :: NOTHING_LEFT -> goto done
        :: !NOTHING_LEFT ->
#ifdef DROP_DIRTY
           list = 0;
#endif
           break
        od;
        take_turn()
     :: MAY_NOT_FIT -> skip /* fits: it is not tried */
     fi;
     atomic { resume_world(); session = true } /* leave_rest */
  od;
done:
  take_turn();
  check();
  resume_world()
}

init {
  atomic {
    field[DATA] = 1;
    run program_thread();
    run marker();
    run collector()
  }
}
