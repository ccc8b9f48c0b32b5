/* query.h - questions put to a snapshot, and their answers as text.
 *
 * Questions are drawn from a seed over the words of the snapshot's documents: all words, a phrase, or the beginning of
 * a word. A batch's digest is the sum over its answers, so that it does not depend on which thread answered when.
 */
#ifndef TEXTINDEX_QUERY_H
#define TEXTINDEX_QUERY_H

#include "crew.h"
#include "index.h"

enum { QUERY_WORDS = 3, QUERY_TOP = 10, BATCH_JOB = 8 };

typedef enum query_kind { QUERY_ALL, QUERY_PHRASE, QUERY_PREFIX } query_kind;

typedef struct query {
  query_kind kind;
  uint32_t count;
  char *words[QUERY_WORDS]; /* in lower case */
} query;
TRI_TYPE(query, words);

/* An answer's text; grows as it is written. */
typedef struct answer {
  char *bytes;
  uint32_t length, capacity;
} answer;
TRI_TYPE(answer, bytes);

typedef struct batch {
  snapshot *of;
  uint64_t seed;
  uint32_t count;
  uint64_t *digests; /* of each answer */
  uint64_t *times;   /* nanoseconds each took */
  crew_group group;
} batch;
TRI_TYPE(batch, of, digests, times);

query *query_new(const snapshot *of, uint64_t seed);
void query_give(query *done);

/* What was asked, how many documents match, and the best of them: score, path, and the text around the first match. */
answer *query_answer(const query *asked, const snapshot *in);
void answer_give(answer *done);

/* Posts count questions to the crew; the batch holds the snapshot. */
batch *batch_post(snapshot *of, uint64_t seed, uint32_t count);

/* Waits for all answers. */
void batch_wait(batch *b);
void batch_give(batch *done);

#endif
