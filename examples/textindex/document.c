/* document.c - counts a text's words: a hash table while reading, then one sorted array with the places of each
 * word. */
#include "document.h"

#include "index.h"
#include "random.h"

#include <stdio.h>

/* The words met so far, and each place's word. */
typedef struct counter {
  uint32_t *slots; /* number of a word plus 1, by hash; 0 is free */
  uint32_t slot_count;
  occurrence *words; /* without positions */
  uint32_t word_count, word_capacity;
  uint32_t *places; /* the number of the word at each place */
  uint32_t place_count, place_capacity;
} counter;

static term *term_new(const word *from) {
  term *made = memory_text(sizeof(term) + from->length + 1);
  made->hash = from->hash;
  made->length = from->length;
  memcpy(made->text, from->text, from->length);
  made->text[from->length] = '\0';
  return made;
}

static void add_slot(counter *c, uint64_t hash, uint32_t number) {
  uint32_t at = (uint32_t)hash & (c->slot_count - 1);
  while (c->slots[at] != 0) at = (at + 1) & (c->slot_count - 1);
  c->slots[at] = number + 1;
}

static void grow_words(counter *c) {
  occurrence *words = memory_array(occurrence, 2 * c->word_capacity);
  memcpy(words, c->words, c->word_count * sizeof *words);
  memory_give(c->words);
  memory_give(c->slots);
  c->words = words;
  c->word_capacity *= 2;
  c->slot_count *= 2;
  c->slots = memory_zeroed(c->slot_count * sizeof *c->slots);
  for (uint32_t i = 0; i < c->word_count; i++) add_slot(c, words[i].term->hash, i);
}

static counter counter_start(void) {
  counter c = {.slot_count = 512, .word_capacity = 256, .place_capacity = 1024};
  c.slots = memory_zeroed(c.slot_count * sizeof *c.slots);
  c.words = memory_array(occurrence, c.word_capacity);
  c.places = memory_text(c.place_capacity * sizeof *c.places);
  return c;
}

/* The number of a word, new or met before. */
static uint32_t number_of(counter *c, const word *w, const struct snapshot *known) {
  uint32_t at = (uint32_t)w->hash & (c->slot_count - 1);
  for (; c->slots[at] != 0; at = (at + 1) & (c->slot_count - 1)) {
    const term *seen = c->words[c->slots[at] - 1].term;
    if (term_is(seen, w->hash, w->text, w->length)) return c->slots[at] - 1;
  }
  if (c->word_count == c->word_capacity) grow_words(c);
  const entry *found = snapshot_find(known, w->hash, w->text, w->length);
  occurrence *met = &c->words[c->word_count];
  met->term = found != NULL ? found->term : term_new(w);
  met->shard = (uint16_t)hash_shard(w->hash);
  memory_own(&met->owner, found == NULL);
  add_slot(c, w->hash, c->word_count);
  return c->word_count++;
}

static void count_word(counter *c, const word *w, const struct snapshot *known) {
  uint32_t number = number_of(c, w, known);
  c->words[number].count++;
  if (c->place_count == c->place_capacity) {
    size_t size = c->place_capacity * sizeof *c->places;
    c->places = memory_grow(c->places, size, 2 * size);
    c->place_capacity *= 2;
  }
  c->places[c->place_count++] = number;
}

/* A word's hash and number, to be sorted. */
typedef struct sort_key {
  uint64_t hash;
  uint32_t number;
} sort_key;

static int by_hash(const void *a, const void *b) {
  const sort_key *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

/* Puts the words in order and hands each its part of the positions. */
static void document_fill(document *d, const counter *c) {
  d->words = c->place_count;
  d->occurrence_count = c->word_count;
  d->occurrences = memory_array(occurrence, c->word_count);
  d->positions = memory_text(c->place_count * sizeof *d->positions);
  sort_key *keys = memory_text(c->word_count * sizeof *keys);
  for (uint32_t i = 0; i < c->word_count; i++) keys[i] = (sort_key){c->words[i].term->hash, i};
  qsort(keys, c->word_count, sizeof *keys, by_hash);
  uint32_t *next = memory_text(c->word_count * sizeof *next); /* where a word's next place goes */
  uint32_t start = 0;
  for (uint32_t i = 0; i < c->word_count; i++) {
    uint32_t number = keys[i].number;
    d->occurrences[i] = c->words[number];
    d->occurrences[i].positions = d->positions + start;
    next[number] = start;
    start += c->words[number].count;
  }
  for (uint32_t i = 0; i < c->place_count; i++) d->positions[next[c->places[i]]++] = i;
  memory_give(next);
  memory_give(keys);
}

document *document_new(const char *path, char *text, uint32_t length, const struct snapshot *known) {
  document *d = memory_new(document);
  d->path = path;
  d->text = text;
  d->length = d->base_length = length;
  counter c = counter_start();
  const char *at = text;
  for (word w; word_next(&at, text + length, &w);) count_word(&c, &w, known);
  if (c.word_count != 0) document_fill(d, &c);
  memory_give(c.slots);
  memory_give(c.words);
  memory_give(c.places);
  return d;
}

enum { CHANGE_WORDS = 40, CHANGE_MOST = 64 + CHANGE_WORDS * (WORD_MAX + 1) };

/* Writes a paragraph of words from a document behind text; gives its length. */
static uint32_t append_paragraph(char *text, const document *from, uint32_t version, uint64_t state) {
  uint32_t length = (uint32_t)sprintf(text, "\n\nRevision %u:", version);
  for (int i = 0; i < CHANGE_WORDS && from->occurrence_count != 0; i++) {
    const term *t = from->occurrences[random_below(&state, from->occurrence_count)].term;
    text[length++] = ' ';
    memcpy(text + length, t->text, t->length);
    length += t->length;
  }
  text[length++] = '\n';
  return length;
}

/* The start of a line in the text without the appended paragraph. */
static uint32_t line_start(const document *in, uint64_t *state) {
  if (in->base_length == 0) return 0;
  uint32_t at = random_below(state, in->base_length);
  const char *line = memchr(in->text + at, '\n', in->base_length - at);
  return line == NULL ? 0 : (uint32_t)(line + 1 - in->text);
}

document *document_changed(const document *before, const document *other, uint64_t seed, const struct snapshot *known) {
  uint64_t state = seed;
  uint32_t base = before->base_length, turn = line_start(before, &state);
  char *text = memory_text(base + CHANGE_MOST);
  memcpy(text, before->text + turn, base - turn);
  memcpy(text + base - turn, before->text, turn);
  uint32_t added = append_paragraph(text + base, other, before->version + 1, state);
  document *made = document_new(before->path, text, base + added, known);
  made->base_length = base;
  made->version = before->version + 1;
  return made;
}

word document_word(const document *in, uint32_t number) {
  word found = {0};
  const char *at = in->text;
  for (uint32_t i = 0; i <= number && word_next(&at, in->text + in->length, &found); i++) continue;
  return found;
}

void document_give(void *done) {
  document *d = done;
  for (uint32_t i = 0; i < d->occurrence_count; i++) {
    if (memory_owned(&d->occurrences[i].owner)) memory_give((void *)(uintptr_t)d->occurrences[i].term);
  }
  memory_give(d->text);
  memory_give(d->occurrences);
  memory_give(d->positions);
  memory_give(d);
}
