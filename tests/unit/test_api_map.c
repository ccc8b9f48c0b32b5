/* test_api_map.c - maps as a program sees them: held against a plain model, while they grow, shrink and are gone
 * through; what the collector keeps; how evenly hashes fall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor/map.h>

#include "child.h"
#include "random.h"
#include "steps.h"

TRI_MAP(numbers, uint64_t, uint64_t, tri_hash_int, tri_equal_int);
TRI_TYPE(numbers_group);
TRI_MAP(words, const char *, int, tri_hash_string, tri_equal_string);
TRI_MAP(objects, void *, uint64_t *, tri_hash_pointer, tri_equal_pointer);

/* All in one group, and with the same tag. */
#define bad_hash(key, seed) ((void)(key), (void)(seed), (uint64_t)42)
TRI_MAP(crowd, int, int, bad_hash, tri_equal_int);

typedef struct point {
  int x, y;
} point;
static uint64_t hash_point(point p, uint64_t seed) { return tri_hash_bytes(&p, sizeof p, seed); }
static bool equal_point(point a, point b) { return a.x == b.x && a.y == b.y; }
TRI_MAP(points, point, double, hash_point, equal_point);

static void test_words_are_counted(void **state) {
  (void)state;
  static const char *const text[] = {"a", "rose", "is", "a", "rose", "is", "a", "rose"};
  words counts = {0};
  assert_null(words_get(&counts, "a"));
  assert_false(words_delete(&counts, "a"));
  for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) ++*words_put(&counts, text[i]);
  assert_int_equal(counts.length, 3);
  assert_true(*words_get(&counts, "a") == 3 && *words_get(&counts, "rose") == 3 && *words_get(&counts, "is") == 2);
  assert_false(words_has(&counts, "A"));
  points where = {0};
  for (int i = 0; i < 1000; i++) assert_true(points_set(&where, (point){i % 31, i / 31}, i));
  for (int i = 0; i < 1000; i++) assert_true(*points_get(&where, (point){i % 31, i / 31}) == i);
}

TRI_MAP(texts, tri_text, size_t, tri_hash_text, tri_equal_text);

/* At every length, and for every byte that differs. */
static void test_texts(void **state) {
  (void)state;
  texts map = {0};
  char bytes[64];
  memset(bytes, 'a', sizeof bytes);
  for (size_t length = 0; length < sizeof bytes; length++) {
    char *copy = tri_strndup(bytes, length);
    assert_true(texts_set(&map, (tri_text){copy, length}, length));
  }
  for (size_t length = 0; length < sizeof bytes; length++) {
    tri_text key = {bytes, length};
    assert_int_equal(*texts_get(&map, key), length);
    for (size_t at = 0; at < length; at++) {
      bytes[at] = 'b';
      assert_false(texts_has(&map, key) || tri_equal_text(key, (tri_text){tri_strndup("aaaa", 4), 4}));
      bytes[at] = 'a';
    }
  }
  assert_true(tri_equal_text(tri_text_of("word"), (tri_text){"words", 4}));
}

/* ---- against a plain model ---- */

enum { KEYS = 3000, STEPS = 300000 };

static void check_all(const numbers *map, const uint64_t *model) {
  size_t length = 0, seen = 0;
  for (uint64_t key = 0; key < KEYS; key++) {
    const uint64_t *found = numbers_get(map, key);
    assert_int_equal(found ? *found : 0, model[key]);
    length += model[key] != 0;
  }
  assert_int_equal(map->length, length);
  for (numbers_iterator i = numbers_each(map); numbers_next(&i); seen++) assert_int_equal(*i.value, model[*i.key]);
  assert_int_equal(seen, length);
}

/* Keys come and go; how many there are goes up and down. */
static void test_it_does_what_a_table_does(void **state) {
  (void)state;
  test_random random = {3};
  numbers map = {0};
  uint64_t model[KEYS] = {0};
  for (uint64_t step = 1; step <= STEPS; step++) {
    uint64_t key = random_below(&random, KEYS);
    if (random_below(&random, 100) < 20 + step / 10000 % 4 * 20) {
      assert_true(numbers_set(&map, key, step));
      model[key] = step;
    } else {
      assert_int_equal(numbers_delete(&map, key), model[key] != 0);
      model[key] = 0;
    }
    if (step % 20000 == 0) check_all(&map, model);
    if (step == STEPS / 2) {
      numbers_clear(&map);
      memset(model, 0, sizeof model);
      check_all(&map, model);
    }
  }
}

static void test_a_bad_hash_is_only_slow(void **state) {
  (void)state;
  crowd map = {0};
  for (int i = 0; i < 500; i++) assert_true(crowd_set(&map, i, -i));
  for (int i = 0; i < 500; i += 2) assert_true(crowd_delete(&map, i));
  for (int i = 500; i < 700; i++) assert_true(crowd_set(&map, i, -i));
  for (int i = 0; i < 700; i++) {
    const int *found = crowd_get(&map, i);
    assert_true(i < 500 && i % 2 == 0 ? !found : found && *found == -i);
  }
}

/* What is put and deleted again leaves no trace: the map need not grow. */
static void test_deleted_places_are_used_again(void **state) {
  (void)state;
  numbers map = {0};
  for (uint64_t i = 0; i < 100; i++) numbers_set(&map, i, i);
  size_t groups = map.mask_ + 1;
  for (uint64_t i = 100; i < 200000; i++) {
    assert_true(numbers_delete(&map, i - 100));
    assert_true(numbers_set(&map, i, i));
  }
  assert_true(map.length == 100 && map.mask_ + 1 <= groups * 2);
}

static void test_reserve(void **state) {
  (void)state;
  numbers map = {0};
  assert_true(numbers_reserve(&map, 1000));
  const numbers_group *groups = map.groups_;
  for (uint64_t i = 0; i < 1000; i++) numbers_set(&map, i, i);
  assert_ptr_equal(map.groups_, groups);
  numbers before = map;
  errno = 0;
  assert_false(numbers_reserve(&map, SIZE_MAX));
  assert_int_equal(errno, ENOMEM);
  assert_false(numbers_reserve(&map, SIZE_MAX / 64));
  assert_memory_equal(&map, &before, sizeof map);
  assert_int_equal(*numbers_get(&map, 999), 999);
}

/* ---- going through it while it changes ---- */

/* Half of what is seen is deleted, what was not seen yet is deleted or added: each at most once, and all that stays. */
static void test_changes_while_iterating(void **state) {
  (void)state;
  for (uint64_t many = 1; many < 4000; many = many * 3 / 2 + 1) {
    numbers map = {0};
    unsigned char seen[3 * 4000] = {0};
    uint64_t added = many, turn = 0;
    for (uint64_t i = 0; i < many; i++) numbers_set(&map, i, 0);
    for (numbers_iterator i = numbers_each(&map); numbers_next(&i); turn++) {
      uint64_t key = *i.key;
      assert_false(seen[key]);
      seen[key] = 1;
      if (key < many && added < 3 * many) numbers_set(&map, added++, 1);
      if (turn % 2) assert_true(numbers_delete(&map, key));
      uint64_t other = (key * 7 + 3) % many;
      if (turn % 5 == 0 && !seen[other] && numbers_delete(&map, other)) seen[other] = 2; /* it must not come */
    }
    for (uint64_t key = 0; key < many; key++) assert_true(seen[key]);
  }
}

static void test_clear_while_iterating(void **state) {
  (void)state;
  for (int grows = 0; grows < 2; grows++) {
    numbers map = {0};
    int turns = 0;
    for (uint64_t i = 0; i < 100; i++) numbers_set(&map, i, i);
    for (numbers_iterator i = numbers_each(&map); numbers_next(&i); turns++) {
      if (grows) numbers_reserve(&map, 10000);
      numbers_clear(&map);
    }
    assert_int_equal(turns, 1);
  }
  numbers none = {0};
  numbers_iterator i = numbers_each(&none);
  assert_false(numbers_next(&i) || numbers_next(&i));
}

/* ---- the collector ---- */

static void test_keys_and_values_are_kept(void **state) {
  (void)state;
  objects map = {0};
  for (uint64_t i = 0; i < 20000; i++) {
    uint64_t *key = tri_alloc_noscan(16), *value = tri_alloc_noscan(16);
    key[0] = value[0] = i;
    assert_true(objects_set(&map, key, value));
    if (i % 5000 == 0) collect();
  }
  collect();
  size_t seen = 0;
  for (objects_iterator i = objects_each(&map); objects_next(&i); seen++)
    assert_int_equal(*(uint64_t *)*i.key, **i.value);
  assert_int_equal(seen, 20000);
}

static __attribute__((noinline)) hidden put_hidden(objects *map) {
  static void *volatile home;
  hidden object = hidden_new(&home);
  assert_true(objects_set(map, home, NULL));
  home = NULL;
  return object;
}
static __attribute__((noinline)) void delete_hidden(objects *map, hidden object) {
  assert_true(objects_delete(map, hidden_reveal(object)));
}

/* Its old place keeps it no longer. */
static void test_deleted_keys_are_let_go(void **state) {
  (void)state;
  objects map = {0};
  hidden object = put_hidden(&map);
  collect();
  assert_true(hidden_lives(object));
  delete_hidden(&map, object);
  collect();
  assert_false(hidden_lives(object));
  assert_int_equal(map.length, 0);
}

/* ---- misuse ---- */

static uint64_t meddling_hash(int key, uint64_t seed);
TRI_MAP(meddled, int, int, meddling_hash, tri_equal_int);
static meddled victim;
static bool meddles;
static uint64_t meddling_hash(int key, uint64_t seed) {
  if (meddles) meddled_set(&victim, key + 1, 1);
  return tri_hash_int(key, seed);
}

static void meddle(void *unused) {
  (void)unused;
  meddled_set(&victim, 1, 1);
  meddles = true;
  meddled_set(&victim, 2, 1);
}

static void test_changes_during_changes_are_named(void **state) {
  (void)state;
  child_result result = child_run(meddle, NULL, NULL);
  assert_true(
      child_aborted(&result, (const char *const[]){"meddled: the map is used while it is being changed", NULL}));
}

/* ---- hashes ---- */

enum { BINS = 1024, PER_BIN = 64 };

/* Chi squared of counts that are to be even: about BINS, with a standard deviation of about sqrt(2 * BINS). */
static double unevenness(const uint32_t *counts, size_t bins) {
  double sum = 0;
  for (size_t i = 0; i < bins; i++) sum += ((double)counts[i] - PER_BIN) * ((double)counts[i] - PER_BIN) / PER_BIN;
  return sum;
}

static void check_even(uint64_t (*hash_of)(uint64_t number, uint64_t seed), uint64_t step) {
  for (uint64_t seed = 1; seed < 5; seed++) {
    uint32_t low[BINS] = {0}, high[BINS] = {0};
    uint64_t mixed = seed * 0x123456789abcdef1;
    for (uint64_t i = 0; i < BINS * PER_BIN; i++) {
      uint64_t hash = hash_of(i * step, mixed);
      low[hash % BINS]++;
      high[hash >> 54]++;
    }
    assert_true(unevenness(low, BINS) < BINS + 8 * 46 && unevenness(high, BINS) < BINS + 8 * 46);
  }
}

static uint64_t of_number(uint64_t number, uint64_t seed) { return tri_hash_int(number, seed); }
static uint64_t of_bytes(uint64_t number, uint64_t seed) { return tri_hash_bytes(&number, sizeof number, seed); }
static uint64_t of_text(uint64_t number, uint64_t seed) {
  char text[64];
  snprintf(text, sizeof text, "key %" PRIu64, number);
  return tri_hash_string(text, seed);
}
static uint64_t of_long_text(uint64_t number, uint64_t seed) {
  char text[128];
  snprintf(text, sizeof text, "/a/path/that/many/keys/begin/with/%" PRIu64 "/and/end/with", number);
  return tri_hash_string(text, seed);
}

static void test_hashes_fall_evenly(void **state) {
  (void)state;
  static const uint64_t steps[] = {1, 2, 8, 16, 48, 4096, 1000003, UINT64_C(1) << 32, UINT64_C(1) << 48};
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    check_even(of_bytes, steps[i]);
    check_even(of_number, steps[i]);
  }
  check_even(of_text, 1);
  check_even(of_long_text, 1);
}

/* Every byte counts, at every length, and so does the length. */
static void test_each_byte_is_hashed(void **state) {
  (void)state;
  unsigned char bytes[100] = {0};
  uint64_t hashes[sizeof bytes];
  for (size_t size = 0; size < sizeof bytes; size++) {
    hashes[size] = tri_hash_bytes(bytes, size, 7);
    for (size_t other = 0; other < size; other++) assert_true(hashes[other] != hashes[size]);
    for (size_t at = 0; at < size; at++) {
      bytes[at] = 1;
      assert_true(tri_hash_bytes(bytes, size, 7) != hashes[size]);
      bytes[at] = 0;
    }
    assert_true(tri_hash_bytes(bytes, size, 8) != hashes[size]);
  }
}

static void test_each_map_has_a_seed(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) assert_true(tri_map_seed() != tri_map_seed());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words_are_counted),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_it_does_what_a_table_does),
      cmocka_unit_test(test_a_bad_hash_is_only_slow),
      cmocka_unit_test(test_deleted_places_are_used_again),
      cmocka_unit_test(test_reserve),
      cmocka_unit_test(test_changes_while_iterating),
      cmocka_unit_test(test_clear_while_iterating),
      cmocka_unit_test(test_keys_and_values_are_kept),
      cmocka_unit_test(test_deleted_keys_are_let_go),
      cmocka_unit_test(test_changes_during_changes_are_named),
      cmocka_unit_test(test_hashes_fall_evenly),
      cmocka_unit_test(test_each_byte_is_hashed),
      cmocka_unit_test(test_each_map_has_a_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
