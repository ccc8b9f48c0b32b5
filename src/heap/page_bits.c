/* page_bits.c - see page_bits.h. */
#include "heap/page_bits.h"

TRI_INLINE size_t zeros_below(uint64_t word) { return (size_t)__builtin_ctzll(word); }
TRI_INLINE size_t zeros_above(uint64_t word) { return (size_t)__builtin_clzll(word); }

/* The longest run of set bits in word, or max when that is more. */
static size_t longest_run(uint64_t word, size_t max) {
  uint64_t starts = tri_word_runs(word, max + 1);
  for (; starts != 0; starts &= starts >> 1) max++;
  return max;
}

tri_page_sum tri_chunk_bits_sum(const tri_chunk_bits *allocated) {
  size_t start = SIZE_MAX, max = 0, run = 0;
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t word = allocated->word[w];
    if (word == 0) {
      run += 64;
      continue;
    }
    run += zeros_below(word);
    if (start == SIZE_MAX) start = run;
    max = longest_run(~word, tri_max(max, run));
    run = zeros_above(word);
  }
  if (start == SIZE_MAX) start = run;
  return tri_page_sum_pack(start, tri_max(max, run), run);
}

size_t tri_chunk_bits_find(const tri_chunk_bits *allocated, size_t count) {
  size_t run = 0;
  TRI_ASSERT(count >= 1 && count <= TRI_PAGES_PER_CHUNK);
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t word = allocated->word[w];
    size_t below = word != 0 ? zeros_below(word) : 64;
    if (run + below >= count) return w * 64 - run;
    uint64_t inside = count < 64 ? tri_word_runs(~word, count) : 0;
    if (inside != 0) return w * 64 + zeros_below(inside);
    run = word != 0 ? zeros_above(word) : run + 64;
  }
  return TRI_PAGES_PER_CHUNK;
}

size_t tri_chunk_bits_last_run(const tri_chunk_bits *bits, size_t *first) {
  size_t w = TRI_CHUNK_WORDS;
  while (w > 0 && bits->word[w - 1] == 0) w--;
  if (w == 0) return 0;
  size_t end = w * 64 - zeros_above(bits->word[w - 1]), at = end;
  while (at > 0) {
    uint64_t clear_below = ~bits->word[(at - 1) / 64] << (63 - (at - 1) % 64);
    if (clear_below != 0) {
      at -= zeros_above(clear_below);
      break;
    }
    at = (at - 1) / 64 * 64;
  }
  *first = at;
  return end - at;
}
