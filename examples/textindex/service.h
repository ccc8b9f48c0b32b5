/* service.h - the index at work: documents are loaded and reindexed while queries are answered. */
#ifndef TEXTINDEX_SERVICE_H
#define TEXTINDEX_SERVICE_H

#include "corpus.h"
#include "query.h"

typedef struct service {
  const corpus *from;
  snapshot *now;
  batch *asked; /* still being answered */
  uint64_t seed;
  uint32_t rounds;
  uint64_t reindexed;
  uint64_t queries;
  uint64_t digest;
  memory_use use;        /* of the crew's finished work */
  uint32_t *query_times; /* microseconds */
  uint64_t query_capacity;
} service;
TRI_TYPE(service, from, now, asked, query_times);

service *service_new(const corpus *from, uint64_t seed);

/* Indexes the next texts of the corpus; queries are answered from what is there so far. False when all are in. */
bool service_load(service *s);

/* One round: a batch of queries is answered from the present snapshot while some documents change and the next one is
 * made. */
void service_round(service *s);

/* What has been asked for up to now: the same in every run with the same options. */
memory_use service_use(const service *s);

/* Waits for the last queries; query_times are in ascending order from here on. */
void service_finish(service *s);
void service_give(service *done);

#endif
