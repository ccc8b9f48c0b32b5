/* index.h - from a word to the documents it is in.
 *
 * A snapshot is the index at one moment, and never changes. Reindexing builds the next one, which shares with it
 * whatever stayed the same; queries go on with the snapshot they have. On tricolor an old snapshot, and whatever only
 * it referred to, is gone when the last query lets go of it, and nothing has to be done for that. With free, snapshots
 * count their holders and keep lists of what the next one replaced, to be given back when no older one is left either.
 */
#ifndef TEXTINDEX_INDEX_H
#define TEXTINDEX_INDEX_H

#include "document.h"
#include "memory.h"

/* A document that has the word. */
typedef struct posting {
  const occurrence *in; /* points into the document's occurrences */
  uint32_t document;
  uint32_t count;
} posting;
TRI_TYPE(posting, in);

/* The documents that have a word, by number. */
typedef struct postings {
  posting *items;
  uint32_t count;
} postings;
TRI_TYPE(postings, items);

typedef struct entry {
  const term *term;     /* NULL: free */
  const postings *list; /* NULL: no document has the word any more */
} entry;
TRI_TYPE(entry, term, list);

/* One part of the dictionary: a hash table. Shards hold all words that begin with the same PREFIX_KEY letters. */
typedef struct shard {
  entry *entries;
  uint32_t capacity; /* a power of two */
  uint32_t used;
} shard;
TRI_TYPE(shard, entries);

enum { MERGE_SHARDS = 16, MERGE_JOBS = SHARDS / MERGE_SHARDS };

typedef struct snapshot {
  const document **documents;
  uint32_t document_count;
  uint32_t version;
  const shard *shards[SHARDS];
  memory_life *life;     /* for giving back only: a list for each merge job, and one of documents */
  struct snapshot *next; /* likewise */
} snapshot;
TRI_TYPE(snapshot, documents, shards);

/* A document to be put under a number, which may be the next free one. */
typedef struct change {
  const document *now;
  uint32_t document;
} change;
TRI_TYPE(change, now);

snapshot *snapshot_empty(void);

/* base with the changes (by ascending number) made to it; base itself stays as it is. Uses the crew: to be called by
 * the main thread, who then drops base. What the crew asked for is added to *use. */
snapshot *snapshot_update(snapshot *base, const change *changes, uint32_t count, memory_use *use);

/* The word's entry, NULL when no document has it. */
const entry *snapshot_find(const snapshot *in, uint64_t hash, const char *text, uint32_t length);

/* The word's places in one document, NULL when it is not there. */
const posting *postings_find(const postings *in, uint32_t document);

static inline bool term_is(const term *t, uint64_t hash, const char *text, uint32_t length) {
  return t->hash == hash && t->length == length && memcmp(t->text, text, length) == 0;
}

static inline void snapshot_hold(snapshot *s) { memory_hold(s->life); }

/* Lets go of a snapshot. */
void snapshot_drop(snapshot *s);

/* Gives the last snapshot back with everything in it. */
void snapshot_end(snapshot *s);

#endif
