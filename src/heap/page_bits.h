/* page_bits.h - one bit for each page of a chunk, and what a chunk or a group of chunks is summed up as.
 *
 * A summary is the free pages at the start, in the longest run and at the end, 21 bits each, of a stretch of pages. The
 * largest stretch summed up (page_tree.h) has 2^18 pages, so that no field ever saturates. Plain values: the caller
 * locks. The idea is runtime/mpallocbits.go's; used by page_tree.c and pages.c. */
#ifndef TRI_PAGE_BITS_H
#define TRI_PAGE_BITS_H

#include "base/base.h"

enum { TRI_CHUNK_WORDS = TRI_PAGES_PER_CHUNK / 64 };

typedef struct tri_chunk_bits {
  uint64_t word[TRI_CHUNK_WORDS];
} tri_chunk_bits;

/* ---- summaries ---- */

typedef uint64_t tri_page_sum;

enum { TRI_PAGE_SUM_BITS = 21, TRI_PAGE_SUM_MASK = (1 << TRI_PAGE_SUM_BITS) - 1 };

TRI_INLINE tri_page_sum tri_page_sum_pack(size_t start, size_t max, size_t end) {
  TRI_ASSERT(start <= max && end <= max && max <= TRI_PAGE_SUM_MASK);
  return (uint64_t)start | (uint64_t)max << TRI_PAGE_SUM_BITS | (uint64_t)end << 2 * TRI_PAGE_SUM_BITS;
}
TRI_INLINE size_t tri_page_sum_start(tri_page_sum sum) { return sum & TRI_PAGE_SUM_MASK; }
TRI_INLINE size_t tri_page_sum_max(tri_page_sum sum) { return sum >> TRI_PAGE_SUM_BITS & TRI_PAGE_SUM_MASK; }
TRI_INLINE size_t tri_page_sum_end(tri_page_sum sum) { return sum >> 2 * TRI_PAGE_SUM_BITS; }

/* ---- words ---- */

/* Bit i of the result: the count bits of word from i upwards are all set. The shifts double, so it takes log count
 * steps. */
TRI_INLINE uint64_t tri_word_runs(uint64_t word, size_t count) {
  for (size_t have = 1; have < count && word != 0;) {
    size_t step = tri_min(have, count - have);
    word &= word >> step;
    have += step;
  }
  return word;
}

/* The bits of the word with this index that lie in [first, end), which must reach into it. */
TRI_INLINE uint64_t tri_word_mask(size_t word, size_t first, size_t end) {
  uint64_t mask = UINT64_MAX;
  if (word == first / 64) mask &= UINT64_MAX << first % 64;
  if (word == (end - 1) / 64) mask &= UINT64_MAX >> (63 - (end - 1) % 64);
  return mask;
}

/* ---- ranges: [first, end) is not empty and lies in the chunk ---- */

TRI_INLINE bool tri_chunk_bits_get(const tri_chunk_bits *bits, size_t index) {
  return (bits->word[index / 64] >> index % 64 & 1) != 0;
}

TRI_INLINE void tri_chunk_bits_set(tri_chunk_bits *bits, size_t first, size_t end) {
  for (size_t w = first / 64; w <= (end - 1) / 64; w++) bits->word[w] |= tri_word_mask(w, first, end);
}

TRI_INLINE void tri_chunk_bits_clear(tri_chunk_bits *bits, size_t first, size_t end) {
  for (size_t w = first / 64; w <= (end - 1) / 64; w++) bits->word[w] &= ~tri_word_mask(w, first, end);
}

TRI_INLINE bool tri_chunk_bits_all(const tri_chunk_bits *bits, size_t first, size_t end) {
  for (size_t w = first / 64; w <= (end - 1) / 64; w++)
    if ((~bits->word[w] & tri_word_mask(w, first, end)) != 0) return false;
  return true;
}

TRI_INLINE bool tri_chunk_bits_none(const tri_chunk_bits *bits, size_t first, size_t end) {
  for (size_t w = first / 64; w <= (end - 1) / 64; w++)
    if ((bits->word[w] & tri_word_mask(w, first, end)) != 0) return false;
  return true;
}

TRI_INLINE size_t tri_chunk_bits_count(const tri_chunk_bits *bits, size_t first, size_t end) {
  size_t count = 0;
  for (size_t w = first / 64; w <= (end - 1) / 64; w++) {
    uint64_t word = bits->word[w] & tri_word_mask(w, first, end);
    if (word != 0) count += tri_popcount(word); /* counting takes a dozen steps on the baseline x86-64 */
  }
  return count;
}

/* ---- whole chunks (page_bits.c) ---- */

/* The summary of a chunk whose allocated pages are given. */
tri_page_sum tri_chunk_bits_sum(const tri_chunk_bits *allocated);

/* The first of count (1 to 512) clear bits in a row; TRI_PAGES_PER_CHUNK when there are none. */
size_t tri_chunk_bits_find(const tri_chunk_bits *allocated, size_t count);

/* The highest run of set bits, as large as it goes: its length, with *first where it begins; 0 when no bit is set. */
size_t tri_chunk_bits_last_run(const tri_chunk_bits *bits, size_t *first);

#endif
