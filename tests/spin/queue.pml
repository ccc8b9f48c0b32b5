/* queue.pml - a model of one ring of a thread's list of objects in a pool: pool/queue.c, push, take and steal.
 *
 * The owner puts objects in and takes some out again, THIEVES others steal. The ring has SIZE slots and is used over and
 * over. Each step is one access to memory that others see; ends, head and tail in one word, changes in one step, by the
 * compare-and-swaps. Numbers of objects stand for objects; 0 is an empty slot.
 *
 * Shown: nobody gets an empty slot's nothing, or an object that somebody else has got; none is lost; the slots that are
 * full in the end are those between tail and head. Mistakes that the protocol avoids can be built in, and must be found:
 *
 *   PUSH_OVER      push fills the slot at head though a thief has not emptied it yet
 *   TAKE_UNASKED   the owner takes the last object without a compare-and-swap
 *   EMPTY_EARLY    a thief reads the object before it has won it, and empties the slot whatever comes of that */

#ifndef SIZE
#define SIZE 2
#endif
#ifndef OBJECTS
#define OBJECTS 5
#endif
#define THIEVES 2

byte head = 0, tail = 0; /* tri_ring.ends */
byte slots[SIZE];

/* Not in the program: what is true of it. */
byte had[OBJECTS + 1];
byte in_hands = 0, put = 0;

inline got(object) {
  assert(object != 0);
  assert(had[object] == 0);
  had[object] = 1;
  in_hands++
}

#define AT(index) slots[(index) % SIZE]

/* push, of object put + 1. */
inline push(ring_head) {
  atomic { /* thieves move the tail on alone: an old one only makes the ring look fuller */
    ring_head = head;
    no_room = (head - tail >= SIZE)
  }
#ifndef PUSH_OVER
  if
  :: no_room -> skip
  :: else -> no_room = (AT(ring_head) != 0)
  fi;
#endif
  if
  :: no_room -> skip
  :: else ->
    AT(ring_head) = put + 1;
    atomic { head++; put++ }
  fi
}

proctype owner() {
  byte at, object;
  bool no_room, won;
  do
  :: put < OBJECTS -> push(at)
  :: head != tail ->
#ifdef TAKE_UNASKED
    if
    :: head != tail -> at = head - 1; head = at; won = true
    :: else -> won = false
    fi;
#else
    atomic {
      won = (head != tail);
      if
      :: won -> head--; at = head
      :: else -> skip
      fi
    }
#endif
    if
    :: won ->
      object = AT(at);
      AT(at) = 0;
      d_step { got(object) }
    :: else -> skip
    fi
  :: put == OBJECTS -> break
  od
}

proctype thief() {
  byte at, object;
  bool won;
  do
  :: head != tail ->
    at = tail;
#ifdef EMPTY_EARLY
    object = AT(at);
    AT(at) = 0;
#endif
    atomic { /* the compare-and-swap */
      won = (tail == at && head != tail);
      if
      :: won -> tail++
      :: else -> skip
      fi
    }
    if
    :: won ->
#ifndef EMPTY_EARLY
      object = AT(at);
      AT(at) = 0;
#endif
      d_step { got(object) }
    :: else -> skip
    fi
  :: put == OBJECTS && head == tail -> break
  od
}

init {
  byte i;
  atomic {
    run owner();
    for (i : 1 .. THIEVES) { run thief() }
  }
  _nr_pr == 1;
  assert(in_hands == put);
  for (i : 0 .. SIZE - 1) { assert(slots[i] == 0) }
}
