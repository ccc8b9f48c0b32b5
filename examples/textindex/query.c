/* query.c - finds, ranks and writes.
 *
 * Every step makes a fresh list: the matches of the rarest word, then those that also have the next one, then those
 * where the words stand side by side. Scores are whole numbers, ties go by document number: the same answer everywhere.
 */
#include "query.h"

#include "random.h"

#include <stdio.h>
#include <time.h>

/* A document that matches so far. */
typedef struct match {
  uint32_t document;
  uint32_t score;
} match;

typedef struct matches {
  match *items;
  uint32_t count;
} matches;

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

static char *copy_word(const char *text, uint32_t length) {
  char *copy = memory_text(length + 1);
  memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

/* Up to three words of a document, in the order of a draw. */
static void ask_all(query *q, const document *from, uint64_t *state) {
  q->count = 2 + random_below(state, 2);
  for (uint32_t i = 0; i < q->count; i++) {
    const term *t = from->occurrences[random_below(state, from->occurrence_count)].term;
    q->words[i] = copy_word(t->text, t->length);
  }
}

/* Neighbouring words of a document. */
static void ask_phrase(query *q, const document *from, uint64_t *state) {
  uint32_t most = from->words < QUERY_WORDS ? from->words : QUERY_WORDS;
  q->count = most < 2 ? most : 2 + random_below(state, most - 1);
  word w = document_word(from, random_below(state, from->words - q->count + 1));
  for (uint32_t i = 0; i < q->count; i++) {
    q->words[i] = copy_word(w.text, w.length);
    const char *at = w.start + w.length;
    word_next(&at, from->text + from->length, &w);
  }
}

/* The first letters of a word; a word too short for that is asked for itself. */
static void ask_prefix(query *q, const document *from, uint64_t *state) {
  const term *t = from->occurrences[random_below(state, from->occurrence_count)].term;
  uint32_t length = PREFIX_KEY + random_below(state, 3);
  if (t->length < PREFIX_KEY) q->kind = QUERY_ALL;
  q->count = 1;
  q->words[0] = copy_word(t->text, length < t->length ? length : t->length);
}

query *query_new(const snapshot *of, uint64_t seed) {
  uint64_t state = mix64(seed);
  query *q = memory_new(query);
  if (of->document_count == 0) return q;
  const document *from = of->documents[random_below(&state, of->document_count)];
  uint32_t draw = random_below(&state, 8);
  q->kind = draw < 4 ? QUERY_ALL : draw < 6 ? QUERY_PHRASE : QUERY_PREFIX;
  if (from->words == 0) return q;
  if (q->kind == QUERY_ALL)
    ask_all(q, from, &state);
  else if (q->kind == QUERY_PHRASE)
    ask_phrase(q, from, &state);
  else
    ask_prefix(q, from, &state);
  return q;
}

void query_give(query *done) {
  for (uint32_t i = 0; i < done->count; i++) memory_give(done->words[i]);
  memory_give(done);
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

/* 4 times the logarithm of x to base 2, rounded down; x is not 0. */
static uint32_t log2x4(uint64_t x) {
  uint32_t whole = 63u - (uint32_t)__builtin_clzll(x);
  uint32_t quarter = whole >= 2 ? (uint32_t)(x >> (whole - 2)) & 3 : 0;
  return 4 * whole + quarter;
}

/* Rare words count more, and so do words that come often in a short document. */
static uint32_t score_of(const snapshot *in, const postings *list, const posting *p) {
  uint32_t rarity = 4 + log2x4(1 + in->document_count / list->count);
  uint32_t often = 16 * (p->count < 16 ? p->count : 16);
  return rarity * often / (4 + log2x4(in->documents[p->document]->words));
}

static matches matches_new(uint32_t capacity) { return (matches){.items = memory_text(capacity * sizeof(match))}; }

static matches match_word(const snapshot *in, const postings *list) {
  matches found = matches_new(list->count);
  for (; found.count < list->count; found.count++) {
    const posting *p = &list->items[found.count];
    found.items[found.count] = (match){p->document, score_of(in, list, p)};
  }
  return found;
}

/* The first posting at or after `from` with that document or a later one: steps that double, then halves. */
static uint32_t gallop(const postings *list, uint32_t from, uint32_t number) {
  uint32_t step = 1, low = from;
  while (low + step < list->count && list->items[low + step].document < number) low += step, step *= 2;
  uint32_t high = low + step < list->count ? low + step : list->count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (list->items[middle].document < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Those of before that also have the word. */
static matches match_also(const snapshot *in, matches before, const postings *list) {
  matches found = matches_new(before.count);
  uint32_t at = 0;
  for (uint32_t i = 0; i < before.count; i++) {
    at = gallop(list, at, before.items[i].document);
    if (at == list->count) break;
    const posting *p = &list->items[at];
    if (p->document != before.items[i].document) continue;
    found.items[found.count++] = (match){p->document, before.items[i].score + score_of(in, list, p)};
  }
  memory_give(before.items);
  return found;
}

static bool has_position(const occurrence *in, uint32_t position) {
  uint32_t low = 0, high = in->count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (in->positions[middle] < position)
      low = middle + 1;
    else
      high = middle;
  }
  return low < in->count && in->positions[low] == position;
}

/* How often the words stand side by side in a document, counted to 16, and where first. */
static uint32_t phrase_count(const postings *const *lists, uint32_t count, uint32_t number, uint32_t *first) {
  const occurrence *places[QUERY_WORDS];
  for (uint32_t i = 0; i < count; i++) places[i] = postings_find(lists[i], number)->in;
  uint32_t found = 0;
  for (uint32_t i = 0; i < places[0]->count && found < 16; i++) {
    uint32_t position = places[0]->positions[i], next = 1;
    while (next < count && has_position(places[next], position + next)) next++;
    if (next == count && found++ == 0) *first = position;
  }
  return found;
}

/* Those of before that have the words side by side. */
static matches match_phrase(matches before, const postings *const *lists, uint32_t count) {
  matches found = matches_new(before.count);
  for (uint32_t i = 0; i < before.count; i++) {
    uint32_t first, times = phrase_count(lists, count, before.items[i].document, &first);
    if (times == 0) continue;
    found.items[found.count] = before.items[i];
    found.items[found.count++].score += 8 * times;
  }
  memory_give(before.items);
  return found;
}

/* Documents with all the words; for a phrase, side by side. */
static matches find_words(const query *asked, const snapshot *in, const postings **lists) {
  for (uint32_t i = 0; i < asked->count; i++) {
    uint32_t length = (uint32_t)strlen(asked->words[i]);
    const entry *found = snapshot_find(in, word_hash(asked->words[i], length), asked->words[i], length);
    if (found == NULL) return (matches){0};
    lists[i] = found->list;
  }
  uint32_t rarest = 0;
  for (uint32_t i = 1; i < asked->count; i++) {
    if (lists[i]->count < lists[rarest]->count) rarest = i;
  }
  matches found = match_word(in, lists[rarest]);
  for (uint32_t i = 0; i < asked->count; i++) {
    if (i != rarest) found = match_also(in, found, lists[i]);
  }
  if (asked->kind == QUERY_PHRASE && asked->count > 1) found = match_phrase(found, lists, asked->count);
  return found;
}

/* Documents with any word that begins so: scores are added up by document. */
static matches find_prefix(const query *asked, const snapshot *in) {
  uint32_t length = (uint32_t)strlen(asked->words[0]);
  const shard *s = in->shards[hash_shard(word_hash(asked->words[0], length))];
  uint32_t *scores = memory_zeroed(in->document_count * sizeof *scores);
  uint32_t hits = 0;
  for (uint32_t i = 0; s != NULL && i < s->capacity; i++) {
    const entry *e = &s->entries[i];
    if (e->term == NULL || e->list == NULL || e->term->length < length) continue;
    if (memcmp(e->term->text, asked->words[0], length) != 0) continue;
    for (uint32_t j = 0; j < e->list->count; j++) {
      const posting *p = &e->list->items[j];
      hits += scores[p->document] == 0;
      scores[p->document] += 1 + score_of(in, e->list, p);
    }
  }
  matches found = matches_new(hits);
  for (uint32_t i = 0; i < in->document_count; i++) {
    if (scores[i] != 0) found.items[found.count++] = (match){i, scores[i]};
  }
  memory_give(scores);
  return found;
}

/* ---- Answering --------------------------------------------------------------------------------------------------- */

static void answer_add(answer *to, const char *bytes, size_t length) {
  if (to->length + length > to->capacity) {
    uint32_t capacity = 2 * to->capacity + (uint32_t)length + 256;
    to->bytes = memory_grow(to->bytes, to->length, capacity);
    to->capacity = capacity;
  }
  memcpy(to->bytes + to->length, bytes, length);
  to->length += (uint32_t)length;
}

static void answer_add_string(answer *to, const char *string) { answer_add(to, string, strlen(string)); }

void answer_give(answer *done) {
  memory_give(done->bytes);
  memory_give(done);
}

static bool better(const match *a, const match *b) {
  return a->score != b->score ? a->score > b->score : a->document < b->document;
}

/* The best matches, best first. */
static uint32_t best_of(const matches *found, match *top) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < found->count; i++) {
    const match *m = &found->items[i];
    if (count == QUERY_TOP && !better(m, &top[count - 1])) continue;
    uint32_t at = count < QUERY_TOP ? count++ : count - 1;
    for (; at > 0 && better(m, &top[at - 1]); at--) top[at] = top[at - 1];
    top[at] = *m;
  }
  return count;
}

/* The number of the word that the excerpt is to show. */
static uint32_t first_place(const query *asked, const document *d, uint32_t number, const postings *const *lists) {
  uint32_t place = 0;
  if (asked->kind == QUERY_ALL) return postings_find(lists[0], number)->in->positions[0];
  if (asked->kind == QUERY_PHRASE) {
    (void)phrase_count(lists, asked->count, number, &place);
    return place;
  }
  const char *at = d->text;
  size_t length = strlen(asked->words[0]);
  for (word w; word_next(&at, d->text + d->length, &w); place++) {
    if (w.length >= length && memcmp(w.text, asked->words[0], length) == 0) break;
  }
  return place;
}

/* The text around a word, from the beginning of a word on, white space made single blanks. A fresh string. */
static char *excerpt(const document *d, const char *around) {
  enum { BEFORE = 24, WIDTH = 72 };
  const char *at = around - d->text > BEFORE ? around - BEFORE : d->text;
  const char *end = d->text + d->length;
  char *out = memory_text(WIDTH + 1);
  uint32_t length = 0;
  if (at != d->text) {
    while (at < around && (unsigned char)*at > ' ') at++;
  }
  for (; at < end && length < WIDTH; at++) {
    unsigned char c = (unsigned char)*at;
    if (c > ' ' && c != 127)
      out[length++] = (char)c;
    else if (length != 0 && out[length - 1] != ' ')
      out[length++] = ' ';
  }
  while (length != 0 && (unsigned char)out[length - 1] >= 128) length--; /* perhaps half a character */
  out[length] = '\0';
  return out;
}

static void add_hit(answer *to, uint32_t rank, const match *m, const document *d, const char *shown) {
  char head[48];
  int length = snprintf(head, sizeof head, "%4u. %5u  ", rank, m->score);
  answer_add(to, head, (size_t)length);
  answer_add_string(to, d->path);
  answer_add_string(to, "\n              ");
  answer_add_string(to, shown);
  answer_add_string(to, "\n");
}

static void add_question(answer *to, const query *asked, uint32_t found) {
  static const char *const before[] = {"", "\"", ""}, *const after[] = {"", "\"", "*"};
  answer_add_string(to, before[asked->kind]);
  for (uint32_t i = 0; i < asked->count; i++) {
    if (i != 0) answer_add_string(to, asked->kind == QUERY_ALL ? " and " : " ");
    answer_add_string(to, asked->words[i]);
  }
  answer_add_string(to, after[asked->kind]);
  char count[48];
  snprintf(count, sizeof count, ": %u document%s\n", found, found == 1 ? "" : "s");
  answer_add_string(to, count);
}

answer *query_answer(const query *asked, const snapshot *in) {
  const postings *lists[QUERY_WORDS] = {NULL};
  matches found = {0};
  if (asked->count != 0) found = asked->kind == QUERY_PREFIX ? find_prefix(asked, in) : find_words(asked, in, lists);
  answer *out = memory_new(answer);
  add_question(out, asked, found.count);
  match top[QUERY_TOP];
  uint32_t count = best_of(&found, top);
  for (uint32_t i = 0; i < count; i++) {
    const document *d = in->documents[top[i].document];
    char *shown = excerpt(d, document_word(d, first_place(asked, d, top[i].document, lists)).start);
    add_hit(out, i + 1, &top[i], d, shown);
    memory_give(shown);
  }
  memory_give(found.items);
  return out;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t answer_digest(const answer *of, uint64_t seed) {
  return mix64(hash_bytes(mix64(seed), of->bytes, of->length));
}

static void batch_job(void *context, uint32_t job) {
  const batch *b = context;
  for (uint32_t i = job * BATCH_JOB; i < (job + 1) * BATCH_JOB && i < b->count; i++) {
    uint64_t begun = now_ns();
    query *q = query_new(b->of, b->seed + i);
    answer *out = query_answer(q, b->of);
    b->digests[i] = answer_digest(out, b->seed + i);
    answer_give(out);
    query_give(q);
    b->times[i] = now_ns() - begun;
  }
}

batch *batch_post(snapshot *of, uint64_t seed, uint32_t count) {
  batch *b = memory_new(batch);
  snapshot_hold(of);
  b->of = of;
  b->seed = seed;
  b->count = count;
  b->digests = memory_zeroed(count * sizeof *b->digests);
  b->times = memory_zeroed(count * sizeof *b->times);
  crew_post(&b->group, batch_job, b, (count + BATCH_JOB - 1) / BATCH_JOB);
  return b;
}

void batch_wait(batch *b) { crew_wait(&b->group); }

void batch_give(batch *done) {
  snapshot_drop(done->of);
  memory_give(done->digests);
  memory_give(done->times);
  memory_give(done);
}
