/* corpus.h - the texts to index: files of the machine, or texts made from the repository's own files. */
#ifndef TEXTINDEX_CORPUS_H
#define TEXTINDEX_CORPUS_H

#include "memory.h"

enum { FILE_LIMIT = 256 * 1024, CORPUS_LEAST = 50 << 20 };

typedef struct corpus {
  char **paths;    /* or names, for texts that are made */
  uint32_t *sizes; /* bytes to read; at most FILE_LIMIT each */
  uint32_t count;
  uint64_t bytes;
  struct material *material; /* what texts are made from; NULL for files */
  uint64_t seed;
} corpus;
TRI_TYPE(corpus, paths, sizes, material);

/* Text files below the folders, in an order drawn from the seed, up to max_bytes of them. */
corpus *corpus_find(char *const *folders, uint32_t folder_count, uint64_t max_bytes, uint64_t seed);

/* Texts of max_bytes in all, made from the sources and documents of the repository that the program lies in or was
 * started in. NULL when there is no such repository; no texts when it is empty. */
corpus *corpus_make(uint64_t max_bytes, uint64_t seed);

/* The text with that number, fresh, and its length: 0 when the file can no longer be read. Any thread. */
char *corpus_read(const corpus *from, uint32_t number, uint32_t *length);

void corpus_give(corpus *done);

#endif
