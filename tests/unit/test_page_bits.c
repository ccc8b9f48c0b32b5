/* test_page_bits.c - the bitmap of a chunk's pages against looking at it bit by bit. TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap/page_bits.h"
#include "random.h"

enum { PER_CHUNK = TRI_PAGES_PER_CHUNK };

static test_random dice;

static tri_chunk_bits random_bits(void) {
  tri_chunk_bits bits;
  size_t style = random_below(&dice, 4);
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t a = random_next(&dice), b = random_next(&dice), c = random_next(&dice);
    bits.word[w] = style == 0 ? a : style == 1 ? a & b & c : style == 2 ? a | b | c : 0;
  }
  if (style == 3) /* a few runs */
    for (size_t i = random_below(&dice, 6); i > 0; i--) {
      size_t first = random_below(&dice, PER_CHUNK), end = first + 1 + random_below(&dice, PER_CHUNK - first);
      tri_chunk_bits_set(&bits, first, end);
    }
  return bits;
}

static size_t naive_find(const tri_chunk_bits *bits, size_t count) {
  size_t run = 0;
  for (size_t i = 0; i < PER_CHUNK; i++) {
    run = tri_chunk_bits_get(bits, i) ? 0 : run + 1;
    if (run == count) return i + 1 - count;
  }
  return PER_CHUNK;
}

static tri_page_sum naive_sum(const tri_chunk_bits *bits) {
  size_t start = 0, max = 0, run = 0;
  while (start < PER_CHUNK && !tri_chunk_bits_get(bits, start)) start++;
  for (size_t i = 0; i < PER_CHUNK; i++) {
    run = tri_chunk_bits_get(bits, i) ? 0 : run + 1;
    max = tri_max(max, run);
  }
  return tri_page_sum_pack(start, max, run);
}

static size_t naive_last_run(const tri_chunk_bits *bits, size_t *first) {
  size_t end = PER_CHUNK;
  while (end > 0 && !tri_chunk_bits_get(bits, end - 1)) end--;
  *first = end;
  while (*first > 0 && tri_chunk_bits_get(bits, *first - 1)) --*first;
  return end - *first;
}

static void check_ranges(tri_chunk_bits bits, size_t first, size_t end) {
  tri_chunk_bits set = bits, clear = bits;
  size_t count = 0;
  tri_chunk_bits_set(&set, first, end);
  tri_chunk_bits_clear(&clear, first, end);
  for (size_t i = 0; i < PER_CHUNK; i++) {
    bool inside = i >= first && i < end, was = tri_chunk_bits_get(&bits, i);
    assert_int_equal(tri_chunk_bits_get(&set, i), inside || was);
    assert_int_equal(tri_chunk_bits_get(&clear, i), !inside && was);
    count += inside && was;
  }
  assert_int_equal(tri_chunk_bits_count(&bits, first, end), count);
  assert_int_equal(tri_chunk_bits_all(&bits, first, end), count == end - first);
  assert_int_equal(tri_chunk_bits_none(&bits, first, end), count == 0);
}

static void test_bits_against_bit_by_bit(void **state) {
  (void)state;
  dice.state = random_seed(1);
  for (int round = 0; round < 3000; round++) {
    tri_chunk_bits bits = random_bits();
    assert_int_equal(tri_chunk_bits_sum(&bits), naive_sum(&bits));
    size_t small = 1 + random_below(&dice, 70), any = 1 + random_below(&dice, PER_CHUNK);
    assert_int_equal(tri_chunk_bits_find(&bits, small), naive_find(&bits, small));
    assert_int_equal(tri_chunk_bits_find(&bits, any), naive_find(&bits, any));
    size_t first = 0, naive_first = 0, length = tri_chunk_bits_last_run(&bits, &first);
    assert_int_equal(length, naive_last_run(&bits, &naive_first));
    if (length > 0) assert_int_equal(first, naive_first);
    size_t from = random_below(&dice, PER_CHUNK);
    check_ranges(bits, from, from + 1 + random_below(&dice, PER_CHUNK - from));
  }
}

static void test_bits_full_and_empty(void **state) {
  (void)state;
  tri_chunk_bits bits = {{0}};
  size_t first = 7;
  assert_int_equal(tri_chunk_bits_sum(&bits), tri_page_sum_pack(PER_CHUNK, PER_CHUNK, PER_CHUNK));
  assert_int_equal(tri_chunk_bits_find(&bits, PER_CHUNK), 0);
  assert_int_equal(tri_chunk_bits_last_run(&bits, &first), 0);
  tri_chunk_bits_set(&bits, 0, PER_CHUNK);
  assert_int_equal(tri_chunk_bits_sum(&bits), 0);
  assert_int_equal(tri_chunk_bits_find(&bits, 1), PER_CHUNK);
  assert_int_equal(tri_chunk_bits_last_run(&bits, &first), PER_CHUNK);
  assert_int_equal(first, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bits_against_bit_by_bit),
      cmocka_unit_test(test_bits_full_and_empty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
