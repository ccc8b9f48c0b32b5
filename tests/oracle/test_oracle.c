/* test_oracle.c - random programs run on the heap and, beside it, on a model that knows the whole graph of objects.
 *
 * The model keeps every address disguised, so the collector sees only the roots and links that the program of random
 * operations made: roots in static data, in thread-local storage and in a registered block, pointers to the start and
 * into the middle. After each collection every object that the model can reach must be intact, and what it cannot reach
 * must be gone, but for a tenth that stale words may hold. Each run is a child process; one that fails is cut down to
 * the few operations that still fail, and those are printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <tricolor.h>

#include "child.h"
#include "random.h"

enum {
  OPERATIONS = 2500,
  THREADS = 2,
  ROOTS_EACH = 12,
  ROOTS = 3 * ROOTS_EACH,
  SLOTS = 6,
  CUTTING_RUNS = 200,
};

/* ---- operations ---- */

typedef enum op_kind {
  OP_ALLOC,
  OP_LINK,
  OP_CLEAR,
  OP_CLEAR_ROOT,
  OP_COPY_ROOT,
  OP_REALLOC,
  OP_FREE,
  OP_STRING,
  OP_BURST,
  OP_ASK,
  OP_COLLECT,
  OP_KINDS
} op_kind;

static const char *const op_names[OP_KINDS] = {"alloc", "link",   "clear", "clear root", "copy root", "realloc",
                                               "free",  "string", "burst", "ask",        "collect"};
static const int op_weights[OP_KINDS] = {30, 25, 5, 8, 5, 6, 4, 4, 3, 6, 2};

typedef struct op {
  op_kind kind;
  uint64_t a, b, c;
} op;

static op programs[THREADS][OPERATIONS];
static size_t program_sizes[THREADS];

static op_kind pick_kind(test_random *random) {
  int total = 0, kind = 0;
  for (int i = 0; i < OP_KINDS; i++) total += op_weights[i];
  int at = (int)random_below(random, (size_t)total);
  while (at >= op_weights[kind]) at -= op_weights[kind++];
  return (op_kind)kind;
}

static void write_programs(uint64_t seed, int threads) {
  for (int thread = 0; thread < THREADS; thread++) {
    test_random random = {seed * THREADS + (uint64_t)thread};
    program_sizes[thread] = thread < threads ? OPERATIONS : 0;
    for (size_t i = 0; i < program_sizes[thread]; i++)
      programs[thread][i] = (op){pick_kind(&random), random_next(&random), random_next(&random), random_next(&random)};
  }
}

/* ---- the objects ---- */

typedef struct pair {
  struct pair *left, *right;
  long keys[2];
} pair;
TRI_TYPE(pair, left, right);

typedef struct tail {
  char text[40];
  void *next;
} tail;
TRI_TYPE(tail, next);

typedef struct wide {
  long head[70];
  void *pointers[3];
  long more[20];
  void *last;
} wide;
TRI_TYPE(wide, pointers, last);

typedef struct big {
  void *first;
  char bytes[3000];
  void *last;
} big;
TRI_TYPE(big, first, last);

typedef struct leaf {
  long numbers[5];
} leaf;
TRI_TYPE(leaf);

typedef enum object_kind {
  PLAIN,
  NOSCAN,
  UNINIT,
  ALIGNED,
  NOSCAN_ALIGNED,
  PAIR,
  PAIRS,
  TAIL,
  WIDE,
  BIG,
  LEAF,
  OBJECT_KINDS
} object_kind;

typedef struct object {
  uintptr_t hidden; /* ~address */
  size_t size;      /* as asked for */
  object_kind kind;
  bool freed;      /* by tri_free */
  bool gone;       /* seen to be collected */
  bool tiny;       /* may share its block: its fate says nothing */
  int refs[SLOTS]; /* objects, -1: none */
  size_t into[SLOTS];
  uint32_t reached; /* the last round that reached it */
  uint32_t dropped; /* collections when it was first seen to be unreachable, + 1 */
} object;

typedef struct machine {
  int thread;
  size_t at; /* operation under way */
  object objects[3 * OPERATIONS];
  int count;
  int roots[ROOTS];
  size_t roots_into[ROOTS];
  void **registered;
  uint32_t round, collections;
  int queue[3 * OPERATIONS];
} machine;

static machine machines[THREADS];
static void *static_roots[THREADS][ROOTS_EACH];
static _Thread_local void *thread_roots[ROOTS_EACH];

_Noreturn static void differ(const machine *m, const char *what, long first, long second) {
  child_fail("oracle: thread %d, operation %zu (%s): %s (%ld, %ld)", m->thread, m->at,
             op_names[programs[m->thread][m->at].kind], what, first, second);
}

static char *address_of(const object *o) { return (char *)~o->hidden; }

static void **root_place(machine *m, int root) {
  int i = root % ROOTS_EACH;
  switch (root / ROOTS_EACH) {
  case 0: return &static_roots[m->thread][i];
  case 1: return &thread_roots[i];
  default: return &m->registered[i];
  }
}

static bool has_slots(object_kind kind) {
  return kind != NOSCAN && kind != UNINIT && kind != NOSCAN_ALIGNED && kind != LEAF;
}

static int slot_count(const object *o) {
  switch (o->kind) {
  case PLAIN:
  case ALIGNED: return (int)(o->size / 8 < SLOTS ? o->size / 8 : SLOTS);
  case PAIR: return 2;
  case PAIRS: return o->size / sizeof(pair) >= 3 ? 6 : (int)(o->size / sizeof(pair)) * 2;
  case TAIL: return 1;
  case WIDE: return 4;
  case BIG: return 2;
  default: return 0;
  }
}

static size_t slot_offset(const object *o, int slot) {
  size_t words = o->size / 8, elements = o->size / sizeof(pair), s = (size_t)slot;
  switch (o->kind) {
  case PLAIN:
  case ALIGNED: return 8 * (words <= SLOTS || s < 4 ? s : s == 4 ? words / 2 + 1 : words - 1);
  case PAIR: return 8 * s;
  case PAIRS: return (elements <= 2 ? s / 2 : s / 2 * (elements - 1) / 2) * sizeof(pair) + s % 2 * 8;
  case TAIL: return offsetof(tail, next);
  case WIDE: return s < 3 ? offsetof(wide, pointers) + 8 * s : offsetof(wide, last);
  case BIG: return s ? offsetof(big, last) : 0;
  default: return 0;
  }
}

static bool is_slot(const object *o, size_t offset) {
  for (int slot = 0; slot < slot_count(o); slot++)
    if (slot_offset(o, slot) == offset) return true;
  return false;
}

/* No word of it looks like an address. */
static uint64_t pattern(int id, size_t word) {
  return (random_mix((uint64_t)id << 32 ^ word) >> 8) | UINT64_C(0xa5) << 56;
}

/* Calls for every word and the bytes after the last one: fills, or compares when check. False: differs. */
static bool pattern_walk(char *memory, const object *o, int id, size_t size, bool check) {
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = pattern(id, at / 8);
    size_t length = size - at < 8 ? size - at : 8;
    if (length == 8 && is_slot(o, at)) continue;
    if (!check)
      memcpy(memory + at, &word, length);
    else if (memcmp(memory + at, &word, length) != 0)
      return false;
  }
  return true;
}

static bool is_zero(const char *memory, size_t from, size_t to) {
  for (; from < to; from++)
    if (memory[from]) return false;
  return true;
}

/* ---- the model ---- */

static void reach(machine *m) {
  int head = 0, end = 0;
  m->round++;
  for (int root = 0; root < ROOTS; root++) {
    int id = m->roots[root];
    if (id < 0 || m->objects[id].reached == m->round) continue;
    m->objects[id].reached = m->round;
    m->queue[end++] = id;
  }
  while (head < end) {
    const object *o = &m->objects[m->queue[head++]];
    for (int slot = 0; slot < slot_count(o); slot++) {
      int id = o->refs[slot];
      if (id < 0 || m->objects[id].reached == m->round) continue;
      m->objects[id].reached = m->round;
      m->queue[end++] = id;
    }
  }
  m->queue[end] = -1;
}

static void verify_object(const machine *m, int id) {
  const object *o = &m->objects[id];
  char *memory = address_of(o);
  if (!pattern_walk(memory, o, id, o->size, true))
    differ(m, "a reachable object lost its contents: id, kind", id, o->kind);
  for (int slot = 0; slot < slot_count(o); slot++) {
    char *want = o->refs[slot] < 0 ? NULL : address_of(&m->objects[o->refs[slot]]) + o->into[slot];
    if (*(char **)(void *)(memory + slot_offset(o, slot)) != want) differ(m, "a link changed: id, slot", id, slot);
  }
  if (!o->tiny && tri_base_of(memory) != memory)
    differ(m, "a reachable object is not one of the heap: id, kind", id, o->kind);
}

static void verify(machine *m) {
  reach(m);
  for (int i = 0; m->queue[i] >= 0; i++) verify_object(m, m->queue[i]);
}

/* Whether the memory of an unreachable object was collected; it may belong to a reachable one by now. */
static bool is_collected(const machine *m, const object *o) {
  char *base = tri_base_of(address_of(o));
  if (!base) return true;
  for (int i = 0; m->queue[i] >= 0; i++)
    if (address_of(&m->objects[m->queue[i]]) == base) return true;
  return false;
}

/* After a collection: what was dropped two collections ago should be gone. */
static void watch_dropped(machine *m) {
  m->collections++;
  for (int id = 0; id < m->count; id++) {
    object *o = &m->objects[id];
    if (o->freed || o->gone || o->tiny || o->reached == m->round) continue;
    if (!o->dropped) o->dropped = m->collections;
    if (m->collections > o->dropped) o->gone = is_collected(m, o);
  }
}

static void count_dropped(const machine *m) {
  int dropped = 0, gone = 0;
  for (int id = 0; id < m->count; id++) {
    const object *o = &m->objects[id];
    if (!o->dropped || o->dropped == m->collections) continue;
    dropped++;
    gone += o->gone;
  }
  if (dropped >= 100 && gone * 10 < dropped * 9)
    child_fail("oracle: thread %d: of %d dropped objects only %d were collected", m->thread, dropped, gone);
}

static void set_root(machine *m, int root, int id, size_t into) {
  m->roots[root] = id;
  m->roots_into[root] = into;
  *root_place(m, root) = id < 0 ? NULL : address_of(&m->objects[id]) + into;
}

static void set_link(machine *m, int from, int slot, int to, size_t into) {
  object *o = &m->objects[from];
  o->refs[slot] = to;
  o->into[slot] = into;
  *(char **)(void *)(address_of(o) + slot_offset(o, slot)) = to < 0 ? NULL : address_of(&m->objects[to]) + into;
}

/* A reachable object, by some steps from a root. */
static int walk(const machine *m, uint64_t choice) {
  int id = m->roots[choice % ROOTS];
  for (uint64_t steps = choice >> 8 & 7; id >= 0 && steps; steps--) {
    int slots = slot_count(&m->objects[id]);
    int next = slots ? m->objects[id].refs[(choice >> (16 + steps * 4)) % (uint64_t)slots] : -1;
    if (next < 0) return id;
    id = next;
  }
  return id;
}

/* ---- the machine's operations ---- */

static size_t pick_size(uint64_t choice) {
  uint64_t more = choice >> 8;
  switch (choice & 15) {
  case 0: return more % 2 ? 0 : 32768 + more % 3;
  case 1: return more % 300000;
  case 2:
  case 3: return more % 34000;
  case 4:
  case 5:
  case 6: return more % 2100;
  default: return more % 200;
  }
}

static void *allocate(object *o, uint64_t choice) {
  size_t alignment = (size_t)16 << choice % 10;
  switch (o->kind) {
  case PLAIN: return choice % 4 ? tri_alloc(o->size) : tri_alloc_array(o->size, 1);
  case NOSCAN: return tri_alloc_noscan(o->size);
  case UNINIT: return tri_alloc_uninit(o->size);
  case ALIGNED: return tri_alloc_aligned(alignment, o->size);
  case NOSCAN_ALIGNED: return tri_alloc_noscan_aligned(alignment, o->size);
  case PAIR: o->size = sizeof(pair); return tri_new(pair);
  case PAIRS:
    o->size = (1 + choice % (choice % 64 ? 40 : 4000)) * sizeof(pair);
    return tri_make(pair, o->size / sizeof(pair));
  case TAIL: o->size = sizeof(tail); return tri_new(tail);
  case WIDE: o->size = sizeof(wide); return tri_new(wide);
  case BIG: o->size = sizeof(big); return tri_new(big);
  default: o->size = sizeof(leaf); return tri_new(leaf);
  }
}

static int object_add(machine *m, object_kind kind, size_t size) {
  m->objects[m->count] = (object){.kind = kind, .size = size};
  for (int slot = 0; slot < SLOTS; slot++) m->objects[m->count].refs[slot] = -1;
  return m->count++;
}

static void do_alloc(machine *m, const op *o) {
  int id = object_add(m, (object_kind)(o->a % OBJECT_KINDS), pick_size(o->b));
  object *new = &m->objects[id];
  char *memory = allocate(new, o->c >> 8);
  if (!memory) differ(m, "no memory", (long)new->size, new->kind);
  new->hidden = ~(uintptr_t)memory;
  new->tiny = new->size < 16 && (new->kind == NOSCAN || new->kind == UNINIT);
  if (new->kind != UNINIT && !is_zero(memory, 0, new->size))
    differ(m, "a new object is not zero: size, kind", (long)new->size, new->kind);
  if (!new->tiny && tri_size_of(memory) < new->size) differ(m, "too small: size, kind", (long)new->size, new->kind);
  pattern_walk(memory, new, id, new->size, false);
  set_root(m, (int)(o->c % ROOTS), id, 0);
  tri_keep_alive(memory);
}

static void do_string(machine *m, const op *o) {
  char text[300];
  size_t length = o->a % (sizeof text - 1);
  int id = object_add(m, NOSCAN, length);
  object *new = &m->objects[id];
  pattern_walk(text, new, id, length, false);
  for (size_t i = 0; i < length; i++) text[i] = text[i] ? text[i] : 1;
  text[length] = 0;
  char *memory = o->b & 1 ? tri_strdup(text) : tri_strndup(text, length + o->b % 2);
  if (!memory || strcmp(memory, text) != 0) differ(m, "not a copy of the string: length", (long)length, 0);
  pattern_walk(memory, new, id, length, false); /* as all others from here on */
  new->hidden = ~(uintptr_t)memory;
  new->tiny = length + 1 < 16;
  set_root(m, (int)(o->c % ROOTS), id, 0);
  tri_keep_alive(memory);
}

static void do_link(machine *m, const op *o) {
  int from = walk(m, o->a), to = walk(m, o->b);
  if (from < 0 || to < 0) return;
  int slots = slot_count(&m->objects[from]);
  size_t size = m->objects[to].size;
  if (slots) set_link(m, from, (int)(o->c % (uint64_t)slots), to, o->c >> 8 & 1 && size ? (o->c >> 16) % size : 0);
}

static void do_clear(machine *m, const op *o) {
  int from = walk(m, o->a);
  int slots = from < 0 ? 0 : slot_count(&m->objects[from]);
  if (slots) set_link(m, from, (int)(o->c % (uint64_t)slots), -1, 0);
}

/* The roots are static data, where the end of a single object of a type keeps nothing. */
static bool is_kept_by_end(const object *o) {
  bool single =
      (o->kind >= PAIR && o->kind != PAIRS && o->kind != LEAF) || (o->kind == PAIRS && o->size == sizeof(pair));
  return !single && !o->tiny && o->size;
}

/* A root may also point just past the end. */
static void do_copy_root(machine *m, const op *o) {
  int id = walk(m, o->a);
  if (id < 0) return;
  const object *to = &m->objects[id];
  size_t into = to->tiny || !to->size ? 0 : o->c % to->size;
  set_root(m, (int)(o->b % ROOTS), id, o->c % 4 == 0 && is_kept_by_end(to) ? to->size : into);
}

/* Calls for every root and every link of a reachable object that leads to id: gives them the new address, or clears
 * them. */
static void redirect(machine *m, int id, bool clear) {
  size_t size = m->objects[id].size;
  reach(m);
  for (int root = 0; root < ROOTS; root++)
    if (m->roots[root] == id) set_root(m, root, clear ? -1 : id, m->roots_into[root] < size ? m->roots_into[root] : 0);
  for (int i = 0; m->queue[i] >= 0; i++) {
    const object *o = &m->objects[m->queue[i]];
    for (int slot = 0; slot < slot_count(o); slot++)
      if (o->refs[slot] == id)
        set_link(m, m->queue[i], slot, clear ? -1 : id, o->into[slot] < size ? o->into[slot] : 0);
  }
}

/* The address is held undisguised until the call: the other thread may collect as soon as no link is left. volatile, or
 * the compiler might hold it disguised. */
static void do_free(machine *m, const op *o) {
  int id = walk(m, o->a);
  if (id < 0) return;
  char *volatile held = address_of(&m->objects[id]);
  verify_object(m, id);
  redirect(m, id, true);
  m->objects[id].freed = true;
  tri_free(held);
}

static size_t new_size(const object *o, uint64_t choice) {
  if (o->kind == PAIRS) return (1 + choice % 60) * sizeof(pair);
  return choice & 1 ? pick_size(choice >> 1) : o->size + (choice >> 1) % 64;
}

/* Its links are checked before, its other contents after; then it begins anew, at the size it has now. */
static void do_realloc(machine *m, const op *o) {
  int id = walk(m, o->a);
  if (id < 0) return;
  object *old = &m->objects[id];
  if (old->kind >= PAIR && old->kind != PAIRS) return;
  verify_object(m, id);
  size_t size = new_size(old, o->b), kept = size < old->size ? size : old->size;
  for (int slot = 0; slot < slot_count(old); slot++) set_link(m, id, slot, -1, 0);
  char *memory = tri_realloc(address_of(old), size);
  if (!memory) differ(m, "no memory to grow: from, to", (long)old->size, (long)size);
  if (!pattern_walk(memory, old, id, kept - kept % 8, true))
    differ(m, "realloc lost contents: from, to", (long)old->size, (long)size);
  if (!old->tiny && !is_zero(memory, kept, size))
    differ(m, "what realloc added is not zero: from, to", (long)old->size, (long)size);
  old->hidden = ~(uintptr_t)memory;
  old->size = size;
  old->tiny = size < 16 && !has_slots(old->kind);
  memset(memory, 0, size);
  pattern_walk(memory, old, id, size, false);
  redirect(m, id, false);
  tri_keep_alive(memory);
}

/* Garbage, so that what was collected is soon used again. */
static void do_burst(machine *m, const op *o) {
  for (uint64_t i = 0; i < o->a % 200; i++) {
    size_t size = (o->b >> i % 32) % 400;
    char *memory = i & 1 ? tri_alloc(size) : tri_alloc_noscan(size);
    if (!memory || !is_zero(memory, 0, size)) differ(m, "a new object is not zero: size", (long)size, 0);
    memset(memory, 0xee, size);
  }
}

static void do_ask(machine *m, const op *o) {
  int id = walk(m, o->a);
  if (id < 0 || m->objects[id].tiny || !m->objects[id].size) return;
  char *memory = address_of(&m->objects[id]);
  if (tri_base_of(memory + o->b % m->objects[id].size) != memory)
    differ(m, "an inner pointer's base is wrong: id", id, 0);
}

static void do_collect(machine *m) {
  tri_gc();
  verify(m);
  watch_dropped(m);
}

static void step(machine *m, const op *o) {
  switch (o->kind) {
  case OP_ALLOC: do_alloc(m, o); break;
  case OP_LINK: do_link(m, o); break;
  case OP_CLEAR: do_clear(m, o); break;
  case OP_CLEAR_ROOT: set_root(m, (int)(o->a % ROOTS), -1, 0); break;
  case OP_COPY_ROOT: do_copy_root(m, o); break;
  case OP_REALLOC: do_realloc(m, o); break;
  case OP_FREE: do_free(m, o); break;
  case OP_STRING: do_string(m, o); break;
  case OP_BURST: do_burst(m, o); break;
  case OP_ASK: do_ask(m, o); break;
  default: do_collect(m);
  }
}

static void *run_machine(void *argument) {
  machine *m = argument;
  m->registered = calloc(ROOTS_EACH, sizeof *m->registered);
  for (int root = 0; root < ROOTS; root++) m->roots[root] = -1;
  if (tri_add_root(m->registered, ROOTS_EACH * sizeof *m->registered) != TRI_OK) child_fail("oracle: no root");
  for (m->at = 0; m->at < program_sizes[m->thread]; m->at++) step(m, &programs[m->thread][m->at]);
  m->at = m->at ? m->at - 1 : 0;
  for (int i = 0; i < 3; i++) do_collect(m);
  count_dropped(m);
  return NULL;
}

static void run_programs(void *argument) {
  (void)argument;
  pthread_t others[THREADS];
  for (int i = 0; i < THREADS; i++) machines[i].thread = i;
  for (int i = 1; i < THREADS && program_sizes[i]; i++)
    CHILD_CHECK(pthread_create(&others[i], NULL, run_machine, &machines[i]) == 0);
  run_machine(&machines[0]);
  for (int i = 1; i < THREADS && program_sizes[i]; i++) CHILD_CHECK(pthread_join(others[i], NULL) == 0);
}

/* ---- runs, and cutting down the ones that fail ---- */

static bool run_fails(const char *const *environment, child_result *result) {
  *result = child_run(run_programs, NULL, environment);
  return result->status != 0;
}

/* Tries without [from, from + count) of a thread's program; keeps it so when it still fails. */
static bool try_without(int thread, size_t from, size_t count, const char *const *environment) {
  static op kept[OPERATIONS];
  op *program = programs[thread];
  size_t size = program_sizes[thread];
  child_result result;
  memcpy(kept, program, size * sizeof *kept);
  memmove(&program[from], &program[from + count], (size - from - count) * sizeof *program);
  program_sizes[thread] = size - count;
  if (run_fails(environment, &result)) return true;
  memcpy(program, kept, size * sizeof *kept);
  program_sizes[thread] = size;
  return false;
}

/* Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002, with a limit. */
static void cut_down(const char *const *environment) {
  int runs = CUTTING_RUNS;
  for (size_t length = OPERATIONS / 2; length; length /= 2)
    for (int thread = 0; thread < THREADS; thread++)
      for (size_t from = 0; from + length <= program_sizes[thread] && runs > 0; runs--)
        if (!try_without(thread, from, length, environment)) from += length;
}

static void print_failure(const char *const *environment) {
  child_result result;
  cut_down(environment);
  (void)run_fails(environment, &result);
  for (int thread = 0; thread < THREADS; thread++)
    for (size_t i = 0; i < program_sizes[thread]; i++) {
      const op *o = &programs[thread][i];
      printf("thread %d, operation %zu: %s %#llx %#llx %#llx\n", thread, i, op_names[o->kind], (unsigned long long)o->a,
             (unsigned long long)o->b, (unsigned long long)o->c);
    }
  printf("cut down, it ends with status %d and says:\n%s\n", result.status, result.text);
}

static uint64_t first_seed;

static void run_seeds(int count, int threads, const char *debug) {
  const char *environment[] = {debug, "TRICOLOR_GC_THREADS=2", NULL};
  for (int i = 0; i < count; i++) {
    child_result result;
    write_programs(first_seed + (uint64_t)i, threads);
    if (!run_fails(environment, &result)) continue;
    printf("seed %llu, %d threads, %s: status %d:\n%s\n", (unsigned long long)first_seed + (unsigned)i, threads, debug,
           result.status, result.text);
    print_failure(environment);
    fail_msg("the heap and the model differ");
  }
}

static void test_one_thread(void **state) {
  (void)state;
  run_seeds(4, 1, "TRICOLOR_DEBUG=");
}

static void test_one_thread_checked(void **state) {
  (void)state;
  run_seeds(2, 1, "TRICOLOR_DEBUG=check=1,poison=1");
}

static void test_collecting_every_50(void **state) {
  (void)state;
  run_seeds(2, 1, "TRICOLOR_DEBUG=check=1,poison=1,gcevery=50");
}

static void test_one_work_buffer(void **state) {
  (void)state;
  run_seeds(2, 1, "TRICOLOR_DEBUG=check=1,workbufs=1");
}

static void test_two_threads(void **state) {
  (void)state;
  run_seeds(4, 2, "TRICOLOR_DEBUG=");
}

static void test_two_threads_checked(void **state) {
  (void)state;
  run_seeds(2, 2, "TRICOLOR_DEBUG=check=1,poison=1");
}

static void test_two_threads_collecting_every_50(void **state) {
  (void)state;
  run_seeds(1, 2, "TRICOLOR_DEBUG=check=1,poison=1,gcevery=50");
}

static void test_two_threads_one_work_buffer(void **state) {
  (void)state;
  run_seeds(1, 2, "TRICOLOR_DEBUG=check=1,workbufs=1");
}

/* The fault loses an object of the first collection: by then there should be a graph. */
static void link_before_collecting(void) {
  for (int i = 0; i < OPERATIONS / 4; i++)
    if (programs[0][i].kind == OP_COLLECT) programs[0][i].kind = OP_LINK;
}

/* A collector that does not scan one object must be found out, or this test could not fail. */
static void test_a_broken_collector_is_found(void **state) {
  (void)state;
  static const char *const environment[] = {"TRICOLOR_DEBUG=poison=1,inject=child", NULL};
  int found = 0;
  for (uint64_t seed = 0; seed < 8; seed++) {
    child_result result;
    write_programs(seed, 1);
    link_before_collecting();
    found += run_fails(environment, &result);
  }
  assert_true(found > 0);
}

/* What is printed of a failure must still fail, and be short enough to be read; and a seed gives the same program. */
static void test_a_failure_is_cut_down(void **state) {
  (void)state;
  static const char *const environment[] = {"TRICOLOR_DEBUG=poison=1,inject=child", NULL};
  static op again[OPERATIONS];
  child_result result;
  for (uint64_t seed = 0;; seed++) {
    assert_true(seed < 8);
    write_programs(seed, 1);
    memcpy(again, programs[0], sizeof again);
    write_programs(seed, 1);
    assert_memory_equal(again, programs[0], sizeof again);
    link_before_collecting();
    if (run_fails(environment, &result)) break;
  }
  cut_down(environment);
  assert_true(run_fails(environment, &result));
  assert_in_range(program_sizes[0], 1, OPERATIONS / 20);
}

int main(void) {
  first_seed = random_seed(1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_thread),
      cmocka_unit_test(test_one_thread_checked),
      cmocka_unit_test(test_collecting_every_50),
      cmocka_unit_test(test_one_work_buffer),
      cmocka_unit_test(test_two_threads),
      cmocka_unit_test(test_two_threads_checked),
      cmocka_unit_test(test_two_threads_collecting_every_50),
      cmocka_unit_test(test_two_threads_one_work_buffer),
      cmocka_unit_test(test_a_broken_collector_is_found),
      cmocka_unit_test(test_a_failure_is_cut_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
