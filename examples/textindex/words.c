/* words.c - splits text into words. */
#include "words.h"

#include "random.h"

/* The lower-case letter or digit that c stands for, 0 when c separates words. */
static inline unsigned char fold(unsigned char c) {
  if (c >= 'A' && c <= 'Z') return (unsigned char)(c - 'A' + 'a');
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 128) return c;
  return 0;
}

uint64_t word_hash(const char *text, uint32_t length) {
  uint32_t key = length < PREFIX_KEY ? length : PREFIX_KEY;
  uint64_t head = hash_bytes(0xcbf29ce484222325u, text, key);
  uint64_t whole = hash_bytes(head, text + key, length - key);
  uint64_t shard = mix64(head) >> (64 - SHARD_BITS);
  return shard << (64 - SHARD_BITS) | mix64(whole) >> SHARD_BITS;
}

bool word_next(const char **at, const char *end, word *out) {
  const char *p = *at;
  while (p < end) {
    while (p < end && fold((unsigned char)*p) == 0) p++;
    const char *start = p;
    uint32_t length = 0;
    for (unsigned char c; p < end && (c = fold((unsigned char)*p)) != 0; p++) {
      if (length < WORD_MAX) out->text[length] = (char)c;
      length++;
    }
    if (length < WORD_MIN || length > WORD_MAX || (out->text[0] >= '0' && out->text[0] <= '9')) continue;
    out->start = start;
    out->length = length;
    out->hash = word_hash(out->text, length);
    *at = p;
    return true;
  }
  *at = p;
  return false;
}
