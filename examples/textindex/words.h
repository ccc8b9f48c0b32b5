/* words.h - what a word is: a letter, then letters and digits, 2 to 40 bytes, in lower case. Bytes above 127 are
 * letters. */
#ifndef TEXTINDEX_WORDS_H
#define TEXTINDEX_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORD_MIN = 2, WORD_MAX = 40, PREFIX_KEY = 3, SHARD_BITS = 10, SHARDS = 1 << SHARD_BITS };

typedef struct word {
  uint64_t hash; /* its top SHARD_BITS are those of the first PREFIX_KEY letters alone */
  const char *start;
  uint32_t length;
  char text[WORD_MAX]; /* in lower case, not terminated */
} word;

/* The first word at *at or after it; *at moves behind it. False when there is none before end. */
bool word_next(const char **at, const char *end, word *out);

/* The hash of length letters in lower case; words with the same first PREFIX_KEY letters share a shard. */
uint64_t word_hash(const char *text, uint32_t length);

static inline uint32_t hash_shard(uint64_t hash) { return (uint32_t)(hash >> (64 - SHARD_BITS)); }

#endif
