/* place.h - words in which a pointer may rest: of every kind of memory that the collector looks into.
 *
 * Every actor has words of its own in every place, numbered from 0; an empty word is NULL. */
#ifndef TORTURE_PLACE_H
#define TORTURE_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "ballast.h"
#include "random.h"

/* The place, its name, how many words each actor has there. */
#define PLACES(X)                                                                                                      \
  X(STACK, "stack", 32)                                                                                                \
  X(DATA, "data", 64)                                                                                                  \
  X(BSS, "bss", 1024)                                                                                                  \
  X(TLS, "tls", 32)                                                                                                    \
  X(TLS_DYNAMIC, "tls-dynamic", 1024)                                                                                  \
  X(LIBRARY_DATA, "library-data", 16)                                                                                  \
  X(TYPED, "typed", 128)                                                                                               \
  X(CONSERVATIVE, "conservative", 128)                                                                                 \
  X(WIDE, "typed-array", 2048)                                                                                         \
  X(LARGE, "large", 16384)                                                                                             \
  X(GROWING, "growing", 16)                                                                                            \
  X(BALLAST, "ballast", 1)                                                                                             \
  X(MALLOC, "malloc", 256)                                                                                             \
  X(MMAP, "mmap", 4096)

#define PLACE_NAME(name, text, words) PLACE_##name,
enum place { PLACES(PLACE_NAME) PLACE_COUNT };
#undef PLACE_NAME

extern const char *const place_names[PLACE_COUNT];

/* What an actor has in the heap; only its frame has the pointer. */
struct rack;

/* On the stack of the actor's thread. */
typedef struct place_frame {
  struct rack *volatile rack;
  void *volatile words[32];
} place_frame;

/* An actor's places. Nothing here is a root. */
typedef struct places {
  unsigned actor;
  place_frame *frame;
  ballast ballast;
  size_t growing;         /* words of the block that is reallocated */
  void *volatile *block;  /* from malloc, registered */
  void *volatile *mapped; /* from mmap, registered */
} places;

/* Opens the library whose data and thread-local variables are places. Once, before the first actor. */
void place_open_library(const char *folder);

/* Makes the places of the actor of this number; frame lies in the caller's frame, zeroed. */
void place_set_up(places *p, unsigned number, place_frame *frame);
/* Looks at what is there besides the words. */
void place_check(const places *p);
/* All words are empty. */
void place_tear_down(places *p);

/* Words of a place. That of the growing one changes; that of the ballast is the settings'. */
size_t place_size(const places *p, enum place place);
void *volatile *place_word(const places *p, enum place place, uint32_t index);

/* Gives the growing block another size, of at least so many words. */
void place_regrow(places *p, size_t at_least, test_random *random);
/* Moves the block from malloc, or from mmap, to a new address. */
void place_move_block(places *p);
void place_move_mapped(places *p);
/* Puts a copy, by memcpy, in the place of a container in the heap. */
void place_copy_container(places *p, test_random *random);

#endif
