/* service.c - rounds of queries and changes.
 *
 * A round's queries use the snapshot of its beginning and may go on while the next snapshot is built and taken into
 * use; they are waited for one round later. So answers do not depend on timing, and two snapshots are always alive.
 */
#include "service.h"

#include "random.h"
#include "report.h"

enum {
  LOAD_TEXTS = 256,    /* texts per round of loading */
  LOAD_QUERIES = 64,   /* queries per round of loading */
  ROUND_QUERIES = 600, /* queries per round of service */
  CHANGE_SHARE = 128,  /* one document of so many changes in a round */
  CHANGE_LEAST = 4
};

/* What the jobs that prepare an update share. */
typedef struct preparation {
  const service *of;
  change *changes;
  uint64_t seed;
} preparation;
TRI_TYPE(preparation, of, changes);

service *service_new(const corpus *from, uint64_t seed) {
  service *s = memory_new(service);
  s->from = from;
  s->seed = seed;
  s->now = snapshot_empty();
  return s;
}

static void add_use(memory_use *to, memory_use more) {
  to->bytes += more.bytes;
  to->objects += more.objects;
}

static void load_job(void *context, uint32_t number) {
  const preparation *p = context;
  change *c = &p->changes[number];
  uint32_t length;
  char *text = corpus_read(p->of->from, c->document, &length);
  c->now = document_new(p->of->from->paths[c->document], text, length, p->of->now);
}

static void change_job(void *context, uint32_t number) {
  const preparation *p = context;
  change *c = &p->changes[number];
  const snapshot *in = p->of->now;
  uint64_t state = mix64(p->seed + number);
  const document *other = in->documents[random_below(&state, in->document_count)];
  c->now = document_changed(in->documents[c->document], other, state, in);
}

static void keep_times(service *s, const batch *b) {
  if (s->queries + b->count > s->query_capacity) {
    uint64_t capacity = 2 * s->query_capacity + 4096;
    s->query_times = memory_grow(s->query_times, s->queries * sizeof(uint32_t), capacity * sizeof(uint32_t));
    s->query_capacity = capacity;
  }
  for (uint32_t i = 0; i < b->count; i++) s->query_times[s->queries + i] = (uint32_t)(b->times[i] / 1000);
}

static void finish_batch(service *s, batch *b) {
  if (b == NULL) return;
  batch_wait(b);
  keep_times(s, b);
  for (uint32_t i = 0; i < b->count; i++) s->digest += b->digests[i];
  s->queries += b->count;
  add_use(&s->use, b->group.use);
  batch_give(b);
  atomic_store_explicit(&progress_now.queries, s->queries, memory_order_relaxed);
}

/* Answers queries from the present snapshot, builds the next from the changes meanwhile, and takes it into use. */
static void run_round(service *s, crew_function *prepare, change *changes, uint32_t count, uint32_t queries) {
  uint64_t seed = mix64(s->seed ^ mix64(s->rounds));
  batch *asked = batch_post(s->now, seed, queries);
  preparation p = {s, changes, mix64(seed)};
  crew_group group = {0};
  crew_post(&group, prepare, &p, count);
  crew_wait(&group);
  add_use(&s->use, group.use);
  snapshot *next = snapshot_update(s->now, changes, count, &s->use);
  snapshot_drop(s->now);
  s->now = next;
  memory_give(changes);
  finish_batch(s, s->asked);
  s->asked = asked;
  s->rounds++;
  atomic_store_explicit(&progress_now.round, s->rounds, memory_order_relaxed);
  atomic_store_explicit(&progress_now.documents, s->now->document_count, memory_order_relaxed);
}

bool service_load(service *s) {
  uint32_t first = s->now->document_count;
  if (first == s->from->count) return false;
  uint32_t count = s->from->count - first < LOAD_TEXTS ? s->from->count - first : LOAD_TEXTS;
  change *changes = memory_array(change, count);
  for (uint32_t i = 0; i < count; i++) changes[i].document = first + i;
  run_round(s, load_job, changes, count, LOAD_QUERIES);
  return true;
}

/* Draws one document from each of count equal parts of the index, so that all differ and are in order. */
static change *draw_changes(const service *s, uint32_t count) {
  uint64_t state = mix64(s->seed + s->rounds);
  change *changes = memory_array(change, count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t first = (uint32_t)((uint64_t)s->now->document_count * i / count);
    uint32_t end = (uint32_t)((uint64_t)s->now->document_count * (i + 1) / count);
    changes[i].document = first + random_below(&state, end - first);
  }
  return changes;
}

void service_round(service *s) {
  uint32_t documents = s->now->document_count, count = documents / CHANGE_SHARE;
  if (count < CHANGE_LEAST) count = documents < CHANGE_LEAST ? documents : CHANGE_LEAST;
  s->reindexed += count;
  run_round(s, change_job, draw_changes(s, count), count, ROUND_QUERIES);
}

memory_use service_use(const service *s) {
  memory_use all = memory_used;
  add_use(&all, s->use);
  return all;
}

static int by_time(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

void service_finish(service *s) {
  finish_batch(s, s->asked);
  s->asked = NULL;
  if (s->queries != 0) qsort(s->query_times, s->queries, sizeof *s->query_times, by_time);
}

void service_give(service *done) {
  snapshot_end(done->now);
  memory_give(done->query_times);
  memory_give(done);
}
