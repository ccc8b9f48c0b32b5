/* young.pml - a model of young collections: gc/collection.c, gc/watch.c, gc/marker.c, heap/span.c, heap/cache.c.
 *
 * A word of static data and OBJECTS slots of one pointer each, all of one cached span, each on a page of its own; a
 * thread of the program with one register, which claims slots, loads, and sweeps, and stores or frees CHANGES times;
 * and the collector, which makes COLLECTIONS collections: the first is full, each one after it full or young, and each
 * may be given up after a round. A young one may begin with its last stop; a stop may arm again or only list, and may
 * be abandoned. Each step names the C function it stands for; a stop is one step. Left out is what other models show:
 * markers beside the collector, late marks, and what has to wait for them (rounds.pml); slots that wait, and owners who
 * are stopped while they sweep (spans.pml). Left out, too, are full collections in one stop, after which none is young.
 * Nothing is written to a slot when it is claimed, so that its page need not be dirty. Other pages lie about, of which
 * any may be newly marked: so each of these here may lie in a gap.
 *
 * Shown: nothing that can be reached is freed, by whichever collection; and an object that was claimed since the
 * collection before, cannot be reached when one begins, and is not led to by what is old, is freed by it. So slots come
 * back, and what is claimed is not old. Mistakes that the protocol avoids can be built in, and must be found:
 *
 *   YOUNG_FORGETS_DIRTY   a young collection arms first, as a full one does: what was written between is not dirty
 *   ARM_GAP_UNLISTED      pages armed because they lie between newly marked ones are not listed
 *   CLEAR_BEFORE_SWEEP    marks are cleared while a thread has a span that is not swept
 *   CLAIM_KEEPS_MARK      a slot that was freed while it was old is handed out again with its mark: nothing is lost,
 *                         but garbage stays
 *   YOUNG_AFTER_GIVING_UP a young collection goes on from the marks of one that was given up */

#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef COLLECTIONS
#define COLLECTIONS 3
#endif
#define OBJECTS 3

#define DATA 0 /* the page of static data; objects count from 1, and 0 is no pointer */
#define BIT(object) (1 << (object))
#define HEAP ((1 << (OBJECTS + 1)) - 2)

byte field[OBJECTS + 1];
byte data = 1;
byte a = 0;             /* the register, which a stop spills */
byte changes = CHANGES; /* that the program may still make */
byte alloc = BIT(1);    /* tri_bits, as is mark */
byte mark = 0;
byte marked_pages = 0; /* tri_the_arena.marked_pages */
byte armed = 0;        /* watch.armed, and watched_data.armed */
byte clean = 0;        /* armed and not written since: the provider does not report it */
bool is_swept = true;  /* the span's epoch is the heap's */

/* Not in the program: what is true of it. */
byte old = 0;  /* between collections: what the last one has marked and nobody has claimed since */
byte dead = 0; /* during one: what it has to free */
hidden byte living, before, each;

#define DIRTY (armed & ~clean)
#define NEW (marked_pages & ~armed)
#define FIRST(bits) ((bits) & 2 -> 1 : ((bits) & 4 -> 2 : 3))

/* What can be reached, with the objects in bits for roots. */
inline reach(bits) {
  d_step {
    living = (bits) & HEAP;
    before = 0;
    do
    :: living != before ->
       before = living;
       for (each : 1 .. OBJECTS) {
         if
         :: living & BIT(each) -> living = (living | BIT(field[each])) & HEAP
         :: else
         fi
       }
    :: else -> break
    od
  }
}

#define ROOTS (BIT(a) | BIT(data))

/* ---- slots ---- */

/* They are cleared here, and not when they are claimed. */
inline free_slots(slots) {
  d_step {
    for (each : 1 .. OBJECTS) {
      if
      :: (slots) & BIT(each) -> field[each] = 0
      :: else
      fi
    };
    alloc = alloc & ~(slots)
  }
}

/* tri_span_sweep, by the owner or in a stop: marks stay. */
inline sweep() {
  if
  :: !is_swept ->
     reach(ROOTS);
     assert(!(living & ~(mark & alloc)));
     free_slots(alloc & ~mark);
     is_swept = true
  :: else
  fi
}

/* claim, tri_clear_marks */
inline claim() {
  a = FIRST(~alloc);
#ifndef CLAIM_KEEPS_MARK
  mark = mark & ~BIT(a);
#endif
  alloc = alloc | BIT(a);
  old = old & ~BIT(a);
  dead = dead & ~BIT(a)
}

/* tri_cache_free_own, outside the owner's word: the mark stays. Of what nothing else leads to that can be reached. */
inline free_object() {
  reach(BIT(data));
  if
  :: !(living & BIT(a)) ->
     changes--;
     free_slots(BIT(a));
     a = 0
  :: else
  fi
}

/* ---- the program ---- */

inline store(place, page, value) {
  changes--;
  place = value;
  clean = clean & ~BIT(page)
}

proctype program_thread() {
end:
  do
  :: atomic { a -> a = 0 }
  :: atomic { a != data -> a = data }
  :: atomic { a && a != field[a] -> a = field[a] }
  :: atomic { changes && a != data -> store(data, DATA, a) }
  :: atomic { changes && data && a != field[data] -> store(field[data], data, a) }
  :: atomic { changes && a && field[a] != data -> store(field[a], a, data) }
  :: atomic { changes && BIT(a) & mark -> free_object() }
  :: atomic { is_swept && alloc != HEAP -> claim() }
  :: atomic { !is_swept -> sweep() }
  od
}

/* ---- marking ---- */

/* shade, note_page */
inline shade(value) {
  if
  :: alloc & ~mark & BIT(value) ->
     mark = mark | BIT(value);
     marked_pages = marked_pages | BIT(value);
     grey = grey | BIT(value)
  :: else
  fi
}

/* rescan_page, of what is listed; after that scan, of what is grey. */
inline scan_one() {
  if
  :: list ->
     object = FIRST(list);
     list = list & ~BIT(object);
     if
     :: mark & alloc & BIT(object) -> shade(field[object])
     :: else
     fi
  :: else ->
     object = FIRST(grey);
     grey = grey & ~BIT(object);
     shade(field[object])
  fi;
  object = 0
}

#define NOTHING_LEFT (!list && !grey)

/* ---- watching ---- */

inline arm(pages) {
  armed = armed | (pages);
  clean = clean | (pages)
}

inline list_and_arm(listed, pages, arms) {
  list = list | (listed);
  if
  :: arms -> arm(pages)
  :: else
  fi
}

#ifdef ARM_GAP_UNLISTED
#define WITH_GAPS NEW
#else
#define WITH_GAPS HEAP
#endif

inline look_at_new(arms) {
  if
  :: NEW -> list_and_arm(NEW, NEW, arms)
  :: NEW -> list_and_arm(WITH_GAPS, HEAP, arms)
  :: !NEW
  fi
}

/* look_at_armed, beside the program: what is armed again may be written before the next page is. */
inline look_at_armed() {
  for (object : 1 .. OBJECTS) {
    if
    :: DIRTY & BIT(object) -> list = list | BIT(object); arm(BIT(object))
    :: DIRTY & BIT(object) -> list = list | BIT(object)
    :: !(DIRTY & BIT(object))
    fi
  }
  object = 0
}

/* look, in a stop: the list, then the registers, then static data if it is dirty. */
inline look(arms) {
  list_and_arm(DIRTY & HEAP, DIRTY & HEAP, arms);
  look_at_new(arms);
  shade(a);
  if
  :: DIRTY & BIT(DATA) -> shade(data)
  :: else
  fi
}

/* ---- the collector ---- */

/* tri_collection_begin, tri_generations_next_is_young */
inline begin() {
  count++;
  if
  :: can_be_young -> is_young = true
  :: is_young = false; old = 0
  fi;
  reach(ROOTS | (old & alloc));
  dead = alloc & ~living;
  old = 0
}

inline end() {
  old = mark;
  dead = 0;
  is_young = false
}

inline give_up() {
  grey = 0;
  list = 0;
#ifndef YOUNG_AFTER_GIVING_UP
  can_be_young = false
#endif
}

/* flip; what is marked is what lives, and nothing that has to go. */
inline flip() {
  reach(ROOTS);
  assert(!(living & ~(mark & alloc)));
  assert(!(dead & mark & alloc));
  is_swept = false;
  can_be_young = true
}

proctype collector() {
  byte object, grey, list, count;
  bool is_young, can_be_young;
  do
  :: count == COLLECTIONS -> break
  :: atomic { count < COLLECTIONS -> begin() };
     if
     :: atomic { is_young -> /* begin_young */
#ifdef YOUNG_FORGETS_DIRTY
          arm(armed);
#endif
          if
          :: goto last_stop
          :: true -> sweep(); shade(a); goto round /* take_first_roots */
          fi
        }
     :: atomic { !is_young -> /* begin_full */
#ifndef CLEAR_BEFORE_SWEEP
          sweep() /* sweep_caches */
#endif
        }
     fi;
     atomic { mark = 0; marked_pages = 0 }; /* clear_marks */
     atomic { arm(BIT(DATA) | armed) };     /* tri_watch_arm_data, tri_watch_arm_heap */
     atomic { sweep(); shade(a) };          /* take_first_roots */
     atomic { shade(data) };                /* read_data */
marking: /* tri_collection_mark */
     do
     :: atomic { !NOTHING_LEFT -> scan_one() }
     :: NOTHING_LEFT -> break
     od;
round: /* look_beside */
     atomic {
       if
       :: look_at_armed()
       :: true
       fi;
       look_at_new(true)
     };
     if /* preclean_data */
     :: atomic { DIRTY & BIT(DATA) -> arm(BIT(DATA)) };
        atomic { shade(data) }
     :: !(DIRTY & BIT(DATA))
     fi;
     if
     :: goto marking
     :: goto last_stop
     :: atomic { give_up(); goto done }
     fi;
last_stop: /* stop_and_look */
     atomic {
       sweep();
       if
       :: look(true)
       :: look(false)
       fi;
       do /* mark_to_the_end, leave_rest */
       :: !NOTHING_LEFT -> scan_one()
       :: !NOTHING_LEFT -> goto marking
       :: NOTHING_LEFT -> break
       od;
       flip()
     };
     if
     :: is_young
     :: atomic { /* tri_watch_release_dead */
          !is_young ->
          armed = armed & (marked_pages | BIT(DATA));
          clean = clean & armed
        }
     fi;
done:
     atomic { end() }
  od
}

init {
  atomic {
    run program_thread();
    run collector()
  }
}
