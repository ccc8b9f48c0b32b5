/* table.c - hash tables: filled, asked for what is there and for what is not, emptied.
 *
 *     bench-table-PEER [KEYS ENTRIES ROUNDS]      (int, 1,000,000 and 1)
 *
 * KEYS is "int", 64-bit numbers all over the range, or "string", 16 to 24 characters. ENTRIES keys are put into an
 * empty table that grows, with numbers as values; each is looked up, in another order; as many are that are not there;
 * and half of them are deleted. All of it ROUNDS times, each with a new table. The others' tables are uthash's (Troy D.
 * Hanson), on the peer's allocator. insert_ns, hit_ns, miss_ns and delete_ns are the times of one call. */
#include "bench.h"

#if defined(BENCH_TRICOLOR)

#include <tricolor/map.h>

TRI_MAP(ints, uint64_t, uint64_t, tri_hash_int, tri_equal_int);
TRI_TYPE(ints_group);
TRI_MAP(strings, tri_text, uint64_t, tri_hash_text, tri_equal_text);

#define TABLE(name, K)                                                                                                 \
  typedef name name##_table;                                                                                           \
  static inline void name##_add(name##_table *table, K key, uint64_t value) { *name##_put(table, key) = value; }       \
  static inline const uint64_t *name##_find(const name##_table *table, K key) { return name##_get(table, key); }       \
  static inline bool name##_remove(name##_table *table, K key) { return name##_delete(table, key); }                   \
  static void name##_drop(name##_table *table) { *table = (name##_table){0}; }
TABLE(ints, uint64_t)
TABLE(strings, tri_text)

typedef tri_text key_text; /* as Go's strings */
static inline tri_text text_key(const char *bytes, size_t length) { return (tri_text){bytes, length}; }

#else

#if defined(BENCH_BDWGC)
#define uthash_malloc(size) GC_MALLOC(size)
#define uthash_free(p, size) ((void)(p))
#define table_free(p) ((void)(p))
#else
#define table_free(p) free(p)
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <uthash.h>

typedef struct ints_entry {
  uint64_t key, value;
  UT_hash_handle hh;
} ints_entry;
typedef struct ints_table {
  ints_entry *head;
} ints_table;

typedef struct strings_entry {
  const char *key;
  uint64_t value;
  UT_hash_handle hh;
} strings_entry;
typedef struct strings_table {
  strings_entry *head;
} strings_table;

static inline void ints_add(ints_table *table, uint64_t key, uint64_t value) {
  ints_entry *found;
  HASH_FIND(hh, table->head, &key, sizeof key, found);
  if (!found) {
    found = bench_scan(sizeof *found);
    found->key = key;
    HASH_ADD(hh, table->head, key, sizeof key, found);
  }
  found->value = value;
}
static inline const uint64_t *ints_find(const ints_table *table, uint64_t key) {
  ints_entry *found;
  HASH_FIND(hh, table->head, &key, sizeof key, found);
  return found ? &found->value : NULL;
}
static inline bool ints_remove(ints_table *table, uint64_t key) {
  ints_entry *found;
  HASH_FIND(hh, table->head, &key, sizeof key, found);
  if (!found) return false;
  HASH_DEL(table->head, found);
  table_free(found);
  return true;
}
static void ints_drop(ints_table *table) {
  ints_entry *entry, *next;
  HASH_ITER(hh, table->head, entry, next) {
    HASH_DEL(table->head, entry);
    table_free(entry);
  }
}

typedef const char *key_text;
static inline const char *text_key(const char *bytes, size_t length) {
  (void)length;
  return bytes;
}

static inline void strings_add(strings_table *table, const char *key, uint64_t value) {
  strings_entry *found;
  HASH_FIND_STR(table->head, key, found);
  if (!found) {
    found = bench_scan(sizeof *found);
    found->key = key;
    HASH_ADD_KEYPTR(hh, table->head, found->key, strlen(key), found);
  }
  found->value = value;
}
static inline const uint64_t *strings_find(const strings_table *table, const char *key) {
  strings_entry *found;
  HASH_FIND_STR(table->head, key, found);
  return found ? &found->value : NULL;
}
static inline bool strings_remove(strings_table *table, const char *key) {
  strings_entry *found;
  HASH_FIND_STR(table->head, key, found);
  if (!found) return false;
  HASH_DEL(table->head, found);
  table_free(found);
  return true;
}
static void strings_drop(strings_table *table) {
  strings_entry *entry, *next;
  HASH_ITER(hh, table->head, entry, next) {
    HASH_DEL(table->head, entry);
    table_free(entry);
  }
}
#pragma GCC diagnostic pop

#endif

static size_t entries, rounds;
static uint64_t times[4], check;

/* Numbers all over the range, none twice: a permutation of 0 to 2^64 - 1. */
static uint64_t mixed(uint64_t i) {
  i = (i ^ i >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  i = (i ^ i >> 27) * UINT64_C(0x94d049bb133111eb);
  return i ^ i >> 31;
}

static key_text word(uint64_t i) {
  char text[32];
  int length = snprintf(text, sizeof text, "key-%.*s%012" PRIx64, (int)(i % 9), "abcdefgh", mixed(i) >> 16);
  char *copy = bench_noscan((size_t)length + 1);
  memcpy(copy, text, (size_t)length + 1);
  return text_key(copy, (size_t)length);
}

static uint64_t *numbers;
static key_text *words;

/* The first half is there, in one order and in another; the second is not. */
static void make_keys(bool of_words) {
  if (of_words)
    words = bench_scan(2 * entries * sizeof *words);
  else
    numbers = bench_noscan(2 * entries * sizeof *numbers);
  for (size_t i = 0; i < 2 * entries; i++) {
    if (of_words)
      words[i] = word(i);
    else
      numbers[i] = mixed(i);
  }
}

/* Steps over all of them: by a number that has no factor in common with theirs. */
static size_t common(size_t a, size_t b) { return b ? common(b, a % b) : a; }
static size_t stride(void) {
  size_t step = entries * 5 / 8 | 1;
  while (common(entries, step) != 1) step += 2;
  return step;
}

#define RUN(name, keys)                                                                                                \
  static void run_##name(size_t step) {                                                                                \
    name##_table table = {0};                                                                                          \
    uint64_t t0 = bench_now_ns();                                                                                      \
    for (size_t i = 0; i < entries; i++) name##_add(&table, keys[i], i);                                               \
    uint64_t t1 = bench_now_ns();                                                                                      \
    for (size_t i = 0, at = 0; i < entries; i++) {                                                                     \
      check += *name##_find(&table, keys[at]);                                                                         \
      at += step;                                                                                                      \
      if (at >= entries) at -= entries;                                                                                \
    }                                                                                                                  \
    uint64_t t2 = bench_now_ns();                                                                                      \
    for (size_t i = entries; i < 2 * entries; i++) check += name##_find(&table, keys[i]) != NULL;                      \
    uint64_t t3 = bench_now_ns();                                                                                      \
    for (size_t i = 0, at = 0; i < entries / 2; i++) {                                                                 \
      check += name##_remove(&table, keys[at]);                                                                        \
      at += step;                                                                                                      \
      if (at >= entries) at -= entries;                                                                                \
    }                                                                                                                  \
    uint64_t t4 = bench_now_ns();                                                                                      \
    times[0] += t1 - t0, times[1] += t2 - t1, times[2] += t3 - t2, times[3] += t4 - t3;                                \
    name##_drop(&table);                                                                                               \
  }
RUN(ints, numbers)
RUN(strings, words)

int main(int argc, char **argv) {
  bool of_words = argc > 1 && strcmp(argv[1], "string") == 0;
  entries = (size_t)bench_arg(argc, argv, 2, 1000000);
  rounds = (size_t)bench_arg(argc, argv, 3, 1);
  bench_start();
  make_keys(of_words);
  size_t step = stride();
  for (size_t i = 0; i < rounds; i++) (of_words ? run_strings : run_ints)(step);
  double calls = (double)entries * (double)rounds;
  bench_report("table", "insert_ns=%.2f hit_ns=%.2f miss_ns=%.2f delete_ns=%.2f check=%" PRIu64,
               (double)times[0] / calls, (double)times[1] / calls, (double)times[2] / calls,
               2 * (double)times[3] / calls, check);
  return 0;
}
