/* roots.h - everything the collector looks into besides the heap: what the roots are, as a list of ranges.
 *
 * Gathered while the world is stopped: data and bss of every loaded object, stacks, thread-local storage, registers,
 * registered ranges, and single words (parcels, tiny blocks). The library's own data is left out. Ranges are cut into
 * pieces so that markers can share them. Lock: TRI_RANK_ROOTS guards the registered ranges. */
#ifndef TRI_ROOTS_H
#define TRI_ROOTS_H

#include "gc/thread.h"

typedef enum tri_root_kind {
  TRI_ROOT_DATA,
  TRI_ROOT_STACK,
  TRI_ROOT_TLS,
  TRI_ROOT_REGISTERED,
  TRI_ROOT_WORD
} tri_root_kind;

typedef struct tri_root {
  uintptr_t low, high; /* word-aligned; for TRI_ROOT_WORD low is the word itself */
  tri_root_kind kind;
} tri_root;

/* Not a stack, where a compiler keeps what it likes; what is registered may be one. */
TRI_INLINE bool tri_root_is_data(const tri_root *root) { return root->kind == TRI_ROOT_DATA; }

typedef struct tri_root_list {
  const tri_root *roots;
  size_t count;
  size_t data_bytes, stack_bytes; /* all static data noted, stacks gathered: for the pacer */
} tri_root_list;

/* The program's own ranges: false when memory is out; false when there is none that starts so. */
bool tri_roots_register(uintptr_t start, size_t size);
bool tri_roots_unregister(uintptr_t start);

/* What the loader shows, at the beginning of a visit: forget, then data and TLS of each module. Each returns false when
 * memory for the list is out. */
void tri_roots_forget_modules(void);
bool tri_roots_note_data(tri_os_range range);
bool tri_roots_note_tls(size_t module_id, size_t size);
/* The static data noted, in the order of the visit. */
const tri_os_range *tri_roots_data(size_t *count);

/* Gathering into the list, under the visit: empty it first. all_data, and threads with what else is looked at in a
 * stop: thread-local storage, parcels, registered ranges. data adds a part of what was noted. */
void tri_roots_clear(void);
bool tri_roots_add_data(tri_os_range range);
bool tri_roots_add_all_data(void);
bool tri_roots_add_frames(uintptr_t low, uintptr_t high);

/* frames adds what it likes of a thread's own stack, from where it is at work to its beginning; the others are added as
 * tri_roots_add_frames does. */
typedef bool tri_roots_frames(uintptr_t low, uintptr_t high);
bool tri_roots_add_threads(tri_roots_frames *frames);
tri_root_list tri_roots_list(void);

const char *tri_root_kind_name(tri_root_kind kind);

/* In a fork's child that makes no collections: registering goes on, for nothing. */
void tri_roots_after_fork_child(void);

#endif
