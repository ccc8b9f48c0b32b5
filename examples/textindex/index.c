/* index.c - builds one snapshot from another.
 *
 * An update is cut by shards. For each shard the changed documents' words are gathered into edits, one per word: what
 * it was and which postings come in. Each edited word gets a fresh list of postings; the shard gets a fresh table,
 * copied from the old one with the new lists put in. Shards without edits are shared. Jobs read the old snapshot and
 * write only parts of the new one that are theirs, so they need no locks.
 */
#include "index.h"

#include "crew.h"

/* A posting that comes in, in a list by document. */
typedef struct addition {
  struct addition *next;
  posting item;
} addition;
TRI_TYPE(addition, next, item);

/* What happens to one word. */
typedef struct edit {
  const term *term;
  const postings *before; /* NULL for a new word */
  addition *first, *last;
  uint32_t added;
} edit;
TRI_TYPE(edit, term, before, first, last);

typedef struct edits {
  edit *items;
  uint32_t count;
  uint32_t *slots; /* number of an edit plus 1, by hash; 0 is free */
  uint32_t slot_count;
} edits;

/* Everything the merge jobs of an update share. */
typedef struct update {
  const snapshot *base;
  snapshot *made;
  const change *changes;
  uint32_t change_count;
  uint8_t *changed; /* by document number */
} update;
TRI_TYPE(update, base, made, changes, changed);

typedef struct range {
  occurrence *first, *end;
} range;

/* The words of a document that belong to a shard. */
static range document_range(const document *d, uint32_t number) {
  uint32_t low = 0, high = d->occurrence_count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (d->occurrences[middle].shard < number)
      low = middle + 1;
    else
      high = middle;
  }
  range found = {d->occurrences + low, d->occurrences + low};
  const occurrence *end = d->occurrences + d->occurrence_count;
  while (found.end < end && found.end->shard == number) found.end++;
  return found;
}

static const document *document_before(const update *u, const change *c) {
  return c->document < u->base->document_count ? u->base->documents[c->document] : NULL;
}

static uint32_t power_above(uint32_t least) {
  uint32_t power = 8;
  while (power < least) power *= 2;
  return power;
}

/* Room for every word of the shard that the changes may touch. */
static edits edits_start(const update *u, uint32_t number) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < u->change_count; i++) {
    const document *before = document_before(u, &u->changes[i]);
    range now = document_range(u->changes[i].now, number);
    most += (uint32_t)(now.end - now.first);
    if (before == NULL) continue;
    range old = document_range(before, number);
    most += (uint32_t)(old.end - old.first);
  }
  edits e = {.slot_count = power_above(2 * most)};
  if (most == 0) return e;
  e.items = memory_array(edit, most);
  e.slots = memory_zeroed(e.slot_count * sizeof *e.slots);
  return e;
}

/* The edit of a word, new or begun before. */
static edit *edit_of(edits *e, const term *t, const snapshot *base) {
  uint32_t at = (uint32_t)t->hash & (e->slot_count - 1);
  for (; e->slots[at] != 0; at = (at + 1) & (e->slot_count - 1)) {
    edit *seen = &e->items[e->slots[at] - 1];
    if (seen->term == t || term_is(seen->term, t->hash, t->text, t->length)) return seen;
  }
  const entry *found = snapshot_find(base, t->hash, t->text, t->length);
  edit *begun = &e->items[e->count++];
  begun->term = found != NULL ? found->term : t;
  begun->before = found != NULL ? found->list : NULL;
  e->slots[at] = e->count;
  return begun;
}

static void edit_add(edit *to, occurrence *in, uint32_t number) {
  addition *added = memory_new(addition);
  added->item = (posting){in, number, in->count};
  if (to->last != NULL)
    to->last->next = added;
  else
    to->first = added;
  to->last = added;
  to->added++;
  /* A term that the dictionary did not have is the dictionary's from now on. */
  if (to->term == in->term) memory_own(&in->owner, false);
}

static edits edits_gather(const update *u, uint32_t number) {
  edits e = edits_start(u, number);
  if (e.items == NULL) return e;
  for (uint32_t i = 0; i < u->change_count; i++) {
    const change *c = &u->changes[i];
    const document *before = document_before(u, c);
    range now = document_range(c->now, number);
    for (occurrence *o = now.first; o < now.end; o++) edit_add(edit_of(&e, o->term, u->base), o, c->document);
    if (before == NULL) continue;
    range old = document_range(before, number);
    for (const occurrence *o = old.first; o < old.end; o++) (void)edit_of(&e, o->term, u->base);
  }
  return e;
}

/* Merges what stays of the old list with what comes in; both are in the order of document numbers. */
static const postings *postings_merge(const edit *e, const uint8_t *changed) {
  uint32_t before = e->before != NULL ? e->before->count : 0, kept = 0;
  for (uint32_t i = 0; i < before; i++) kept += !changed[e->before->items[i].document];
  if (kept + e->added == 0) return NULL;
  postings *made = memory_new(postings);
  made->items = memory_array(posting, kept + e->added);
  made->count = kept + e->added;
  const addition *in = e->first;
  posting *out = made->items;
  for (uint32_t i = 0; i < before; i++) {
    const posting *old = &e->before->items[i];
    if (changed[old->document]) continue;
    for (; in != NULL && in->item.document < old->document; in = in->next) *out++ = in->item;
    *out++ = *old;
  }
  for (; in != NULL; in = in->next) *out++ = in->item;
  return made;
}

static void postings_give(void *done) {
  postings *list = done;
  memory_give(list->items);
  memory_give(list);
}

static void shard_give(void *done) {
  shard *s = done;
  memory_give(s->entries);
  memory_give(s);
}

/* Retired and given-back objects are const to everybody else. */
static void *disown(const void *object) { return (void *)(uintptr_t)object; }

/* The entry of a word, or the free one where it belongs. */
static entry *shard_slot(const shard *s, uint64_t hash, const char *text, uint32_t length) {
  uint32_t at = (uint32_t)hash & (s->capacity - 1);
  while (s->entries[at].term != NULL && !term_is(s->entries[at].term, hash, text, length)) {
    at = (at + 1) & (s->capacity - 1);
  }
  return &s->entries[at];
}

/* A larger table with the entries of the old one that some document still has. */
static void shard_rehash(shard *s, const shard *old, memory_retired *retired) {
  for (uint32_t i = 0; i < old->capacity; i++) {
    const entry *e = &old->entries[i];
    if (e->term == NULL) continue;
    if (e->list == NULL) {
      memory_retire(retired, memory_give, disown(e->term));
      continue;
    }
    *shard_slot(s, e->term->hash, e->term->text, e->term->length) = *e;
    s->used++;
  }
}

/* A copy of a shard with room for so many more words, at most three quarters full. */
static shard *shard_copy(const shard *old, uint32_t more, memory_retired *retired) {
  shard *s = memory_new(shard);
  if (old != NULL && (old->used + more) * 4 <= old->capacity * 3) {
    s->capacity = old->capacity;
    s->used = old->used;
    s->entries = memory_array(entry, s->capacity);
    memcpy(s->entries, old->entries, s->capacity * sizeof *s->entries);
  } else {
    uint32_t used = old != NULL ? old->used : 0;
    s->capacity = power_above((used + more) * 2);
    s->entries = memory_array(entry, s->capacity);
    if (old != NULL) shard_rehash(s, old, retired);
  }
  return s;
}

static void edits_give(edits *e) {
  for (uint32_t i = 0; i < e->count && !memory_collected; i++) {
    for (addition *a = e->items[i].first, *next; a != NULL; a = next) {
      next = a->next;
      memory_give(a);
    }
  }
  memory_give(e->items);
  memory_give(e->slots);
}

static void put_edit(shard *s, const edit *e, const uint8_t *changed, memory_retired *retired) {
  entry *slot = shard_slot(s, e->term->hash, e->term->text, e->term->length);
  if (slot->term == NULL)
    s->used++;
  else if (slot->term != e->term)
    memory_retire(retired, memory_give, disown(slot->term));
  *slot = (entry){e->term, postings_merge(e, changed)};
  if (e->before != NULL) memory_retire(retired, postings_give, disown(e->before));
}

static void merge_shard(const update *u, uint32_t number, memory_retired *retired) {
  const shard *old = u->base->shards[number];
  edits e = edits_gather(u, number);
  u->made->shards[number] = old;
  if (e.count != 0) {
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < e.count; i++) fresh += e.items[i].before == NULL;
    shard *s = shard_copy(old, fresh, retired);
    for (uint32_t i = 0; i < e.count; i++) put_edit(s, &e.items[i], u->changed, retired);
    if (old != NULL) memory_retire(retired, shard_give, disown(old));
    u->made->shards[number] = s;
  }
  edits_give(&e);
}

static void merge_job(void *context, uint32_t number) {
  const update *u = context;
  memory_retired *retired = memory_life_list(u->base->life, number);
  for (uint32_t i = 0; i < MERGE_SHARDS; i++) merge_shard(u, number * MERGE_SHARDS + i, retired);
}

snapshot *snapshot_empty(void) {
  snapshot *s = memory_new(snapshot);
  s->life = memory_life_new(MERGE_JOBS + 1);
  s->documents = memory_array(const document *, 1);
  return s;
}

/* The new snapshot's documents; those that are replaced retire. */
static void put_documents(update *u, snapshot *base) {
  uint32_t count = base->document_count;
  for (uint32_t i = 0; i < u->change_count; i++) {
    if (u->changes[i].document >= count) count = u->changes[i].document + 1;
  }
  u->made->document_count = count;
  u->made->documents = memory_array(const document *, count);
  u->changed = memory_zeroed(count);
  memcpy(u->made->documents, base->documents, base->document_count * sizeof *base->documents);
  for (uint32_t i = 0; i < u->change_count; i++) {
    const change *c = &u->changes[i];
    const document *before = document_before(u, c);
    if (before != NULL) memory_retire(memory_life_list(base->life, MERGE_JOBS), document_give, disown(before));
    u->made->documents[c->document] = c->now;
    u->changed[c->document] = 1;
  }
}

snapshot *snapshot_update(snapshot *base, const change *changes, uint32_t count, memory_use *use) {
  update *u = memory_new(update);
  u->base = base;
  u->made = memory_new(snapshot);
  u->made->life = memory_life_new(MERGE_JOBS + 1);
  u->made->version = base->version + 1;
  u->changes = changes;
  u->change_count = count;
  put_documents(u, base);
  crew_group group = {0};
  crew_post(&group, merge_job, u, MERGE_JOBS);
  crew_wait(&group);
  use->bytes += group.use.bytes;
  use->objects += group.use.objects;
  snapshot *made = u->made;
  if (!memory_collected) {
    snapshot_hold(made); /* base holds its successor, so that snapshots end in their order */
    base->next = made;
  }
  memory_give(u->changed);
  memory_give(u);
  return made;
}

const entry *snapshot_find(const snapshot *in, uint64_t hash, const char *text, uint32_t length) {
  const shard *s = in->shards[hash_shard(hash)];
  if (s == NULL) return NULL;
  const entry *found = shard_slot(s, hash, text, length);
  return found->term != NULL && found->list != NULL ? found : NULL;
}

const posting *postings_find(const postings *in, uint32_t number) {
  uint32_t low = 0, high = in->count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (in->items[middle].document < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low < in->count && in->items[low].document == number ? &in->items[low] : NULL;
}

void snapshot_drop(snapshot *s) {
  while (s != NULL && memory_drop(s->life)) {
    snapshot *next = s->next;
    memory_life_end(s->life);
    memory_give(s->documents);
    memory_give(s);
    s = next;
  }
}

void snapshot_end(snapshot *s) {
  if (memory_collected) return;
  for (uint32_t i = 0; i < SHARDS; i++) {
    const shard *part = s->shards[i];
    for (uint32_t j = 0; part != NULL && j < part->capacity; j++) {
      const entry *e = &part->entries[j];
      if (e->list != NULL) postings_give(disown(e->list));
      memory_give(disown(e->term));
    }
    if (part != NULL) shard_give(disown(part));
  }
  for (uint32_t i = 0; i < s->document_count; i++) document_give(disown(s->documents[i]));
  snapshot_drop(s);
}
