/* place.c - see place.h. */
#include "place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tricolor.h>

#include "actor.h"
#include "report.h"

#define PLACE_TEXT(name, text, words) text,
const char *const place_names[PLACE_COUNT] = {PLACES(PLACE_TEXT)};
#define PLACE_WORDS(name, text, words) words,
static const size_t place_words[PLACE_COUNT] = {PLACES(PLACE_WORDS)};
#define PLACE_SIZE(name, text, words) PLACE_##name##_WORDS = words,
enum { PLACES(PLACE_SIZE) PER_SHELF = 4, SHELVES = 32, LOOSE_MAX = 512 };

/* Pointers between numbers, for the collector to tell apart. */
typedef struct shelf {
  uint64_t numbers[2];
  void *volatile words[PER_SHELF];
  uint64_t more;
} shelf;
TRI_TYPE(shelf, words);

typedef struct rack {
  shelf *typed[SHELVES];
  void *volatile *loose[SHELVES]; /* conservative, of random sizes; the pointers are the last words */
  size_t loose_sizes[SHELVES];
  shelf *wide;
  void *volatile *large;
  void *volatile *growing;
  void *ballast;
} rack;
TRI_TYPE(rack, typed, loose, wide, large, growing, ballast);

/* The library's words for one actor and, thread-local, the calling thread's. */
static void *volatile *(*library_words)(unsigned actor);
static void *volatile *(*library_thread_words)(void);

/* Not zero: a variable that is goes to bss. */
static void *volatile data_words[MAX_ACTORS][PLACE_DATA_WORDS] = {{(void *)1}};
static void *volatile bss_words[MAX_ACTORS][PLACE_BSS_WORDS];
static _Thread_local void *volatile tls_words[PLACE_TLS_WORDS];

_Static_assert(sizeof((place_frame *)0)->words == PLACE_STACK_WORDS * sizeof(void *), "all of the frame's words");
_Static_assert(PLACE_TYPED_WORDS == SHELVES * PER_SHELF && PLACE_CONSERVATIVE_WORDS == SHELVES * PER_SHELF, "shelves");

void place_open_library(const char *folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/torture_store.so", folder);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) report_text("dlopen(%s): %s", path, dlerror());
  *(void **)&library_words = dlsym(library, "crate_data");
  *(void **)&library_thread_words = dlsym(library, "crate_thread_words");
  if (!library_words || !library_thread_words) report_text("dlsym(%s): %s", path, dlerror());
  data_words[0][0] = NULL;
}

/* ---- containers in the heap ---- */

static void *volatile *make_loose(rack *r, unsigned i, size_t words) {
  void *made = tri_alloc(words * sizeof(void *));
  if (!made) report_call("tri_alloc", (long)words);
  r->loose_sizes[i] = words;
  return made;
}

static rack *make_rack(test_random *random) {
  rack *r = tri_new(rack);
  for (unsigned i = 0; i < SHELVES; i++) {
    r->typed[i] = tri_new(shelf);
    r->loose[i] = make_loose(r, i, PER_SHELF + random_below(random, LOOSE_MAX));
  }
  r->wide = tri_make(shelf, PLACE_WIDE_WORDS / PER_SHELF);
  r->large = tri_alloc_array(PLACE_LARGE_WORDS, sizeof(void *));
  r->growing = tri_alloc_array(PLACE_GROWING_WORDS, sizeof(void *));
  return r;
}

/* ---- blocks outside the heap: never out of the collector's sight while they hold a pointer ---- */

static void *registered(void *block, size_t size) {
  memset(block, 0, size);
  if (tri_add_root(block, size) != TRI_OK) report_call("tri_add_root", (long)size);
  return block;
}

static void unregistered(const volatile void *block) {
  if (tri_remove_root((const void *)(uintptr_t)block) != TRI_OK) report_call("tri_remove_root", 0);
}

enum { BLOCK_SIZE = PLACE_MALLOC_WORDS * sizeof(void *), MAPPED_SIZE = PLACE_MMAP_WORDS * sizeof(void *) };

static void *make_block(void) {
  void *block = malloc(BLOCK_SIZE);
  if (!block) report_call("malloc", BLOCK_SIZE);
  return registered(block, BLOCK_SIZE);
}

static void *make_mapped(void) {
  void *mapped = mmap(NULL, MAPPED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) report_call("mmap", MAPPED_SIZE);
  return registered(mapped, MAPPED_SIZE);
}

static void drop_block(void *volatile *block) {
  unregistered(block);
  memset((void *)(uintptr_t)block, 0, BLOCK_SIZE);
  free((void *)(uintptr_t)block);
}

static void drop_mapped(void *volatile *mapped) {
  unregistered(mapped);
  munmap((void *)(uintptr_t)mapped, MAPPED_SIZE);
}

void place_move_block(places *p) {
  void *made = make_block();
  memcpy(made, (void *)(uintptr_t)p->block, BLOCK_SIZE);
  drop_block(p->block);
  p->block = made;
}

void place_move_mapped(places *p) {
  void *made = make_mapped();
  memcpy(made, (void *)(uintptr_t)p->mapped, MAPPED_SIZE);
  drop_mapped(p->mapped);
  p->mapped = made;
}

/* ---- an actor's ---- */

void place_set_up(places *p, unsigned number, place_frame *frame) {
  test_random random = {.state = number};
  *p = (places){.actor = number, .frame = frame, .growing = PLACE_GROWING_WORDS};
  frame->rack = make_rack(&random);
  frame->rack->ballast = ballast_make(&p->ballast, torture.ballast);
  p->block = make_block();
  p->mapped = make_mapped();
}

void place_check(const places *p) { ballast_check(&p->ballast, p->frame->rack->ballast); }

void place_tear_down(places *p) {
  drop_block(p->block);
  drop_mapped(p->mapped);
  ballast_drop(&p->ballast);
  p->frame->rack = NULL;
}

size_t place_size(const places *p, enum place place) {
  if (place == PLACE_BALLAST) return p->ballast.count;
  return place == PLACE_GROWING ? p->growing : place_words[place];
}

void *volatile *place_word(const places *p, enum place place, uint32_t index) {
  rack *r = p->frame->rack;
  unsigned shelf_number = index / PER_SHELF, within = index % PER_SHELF;
  switch (place) {
  case PLACE_STACK: return &p->frame->words[index];
  case PLACE_DATA: return &data_words[p->actor][index];
  case PLACE_BSS: return &bss_words[p->actor][index];
  case PLACE_TLS: return &tls_words[index];
  case PLACE_TLS_DYNAMIC: return &library_thread_words()[index];
  case PLACE_LIBRARY_DATA: return &library_words(p->actor)[index];
  case PLACE_TYPED: return &r->typed[shelf_number]->words[within];
  case PLACE_CONSERVATIVE: return &r->loose[shelf_number][r->loose_sizes[shelf_number] - PER_SHELF + within];
  case PLACE_WIDE: return &r->wide[shelf_number].words[within];
  case PLACE_LARGE: return &r->large[index];
  case PLACE_GROWING: return &r->growing[index];
  case PLACE_BALLAST: return p->ballast.addresses[index];
  case PLACE_MALLOC: return &p->block[index];
  case PLACE_MMAP: return &p->mapped[index];
  case PLACE_COUNT: break;
  }
  return NULL;
}

void place_regrow(places *p, size_t at_least, test_random *random) {
  static const size_t steps[] = {8, 100, 2000, 12000};
  size_t words = at_least + random_below(random, steps[random_below(random, 4)]) + 1;
  void *made = tri_realloc((void *)(uintptr_t)p->frame->rack->growing, words * sizeof(void *));
  if (!made) report_call("tri_realloc", (long)words);
  p->frame->rack->growing = made;
  p->growing = words;
}

static void *copy_of(void *made, volatile void *old, size_t size) {
  memcpy(made, (void *)(uintptr_t)old, size);
  memset((void *)(uintptr_t)old, 0, size);
  return made;
}

/* Of the copy, its maker's frame has the only pointer until it is in the rack; the rack itself is copied, too. */
void place_copy_container(places *p, test_random *random) {
  rack *r = p->frame->rack;
  unsigned i = (unsigned)random_below(random, SHELVES);
  size_t words = r->loose_sizes[i];
  switch (random_below(random, 8)) {
  case 0:
    r->wide =
        copy_of(tri_make(shelf, PLACE_WIDE_WORDS / PER_SHELF), r->wide, PLACE_WIDE_WORDS / PER_SHELF * sizeof(shelf));
    return;
  case 1: p->frame->rack = copy_of(tri_new(rack), r, sizeof *r); return;
  case 2:
  case 3:
    r->loose[i] = copy_of((void *)(uintptr_t)make_loose(r, i, words), r->loose[i], words * sizeof(void *));
    return;
  default: r->typed[i] = copy_of(tri_new(shelf), r->typed[i], sizeof(shelf)); return;
  }
}
