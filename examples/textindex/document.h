/* document.h - one version of one text, its words counted. Never changes once made. */
#ifndef TEXTINDEX_DOCUMENT_H
#define TEXTINDEX_DOCUMENT_H

#include "memory.h"
#include "words.h"

/* A word of the dictionary. Holds no pointers. */
typedef struct term {
  uint64_t hash;
  uint32_t length;
  char text[]; /* terminated */
} term;

/* A word's places in a document. */
typedef struct occurrence {
  const term *term;
  const uint32_t *positions; /* ascending word numbers; points into the document's positions */
  uint32_t count;
  uint16_t shard;
  memory_owner owner; /* of the term: the dictionary, once it has taken the term in */
} occurrence;
TRI_TYPE(occurrence, term, positions);
_Static_assert(sizeof(occurrence) == 3 * sizeof(void *), "of one size in both builds, which count what they ask for");

typedef struct document {
  const char *path; /* the corpus's */
  char *text;
  uint32_t length;
  uint32_t base_length; /* the text without the paragraph that a change appended */
  uint32_t words;
  uint32_t version;
  uint32_t occurrence_count;
  occurrence *occurrences; /* by shard, then by hash */
  uint32_t *positions;
} document;
TRI_TYPE(document, path, text, occurrences, positions);

struct snapshot;

/* Takes text over and counts its words. Words that the snapshot knows share its terms. Any thread. */
document *document_new(const char *path, char *text, uint32_t length, const struct snapshot *known);

/* A changed document: its lines begin elsewhere, and a paragraph with words of another document is appended. */
document *document_changed(const document *before, const document *other, uint64_t seed, const struct snapshot *known);

/* Where in the text the word with that number is. */
word document_word(const document *in, uint32_t number);

void document_give(void *done);

#endif
