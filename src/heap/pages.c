/* pages.c - see pages.h.
 *
 * Whatever changes a chunk's bits ends with publish, which sums the chunk up for the trees and for the index of chunks
 * that have memory to return. The tables are one piece of memory: the trees, the index, the tags, the chunks; a part is
 * first touched when tri_pages_grow makes the chunks it is about. */
#include "heap/pages.h"

typedef struct tri_pages_chunk {
  tri_chunk_bits allocated, released, zero;
} tri_pages_chunk;

typedef struct tri_pages_tag {
  uint8_t kind; /* tri_pages_kind; TRI_PAGES_KINDS: unassigned */
  bool huge;
} tri_pages_tag;

enum { TREES = 2 * TRI_PAGES_KINDS, HUGE_WORDS = TRI_PAGES_PER_HUGE / 64 };

_Static_assert(sizeof(tri_pages_chunk) % TRI_CACHE_LINE == 0, "chunks keep the alignment of the table");
_Static_assert(TRI_PAGES_PER_CHUNK % TRI_PAGES_PER_HUGE == 0, "a block lies in one chunk");

/* ---- the tables ---- */

static size_t index_size(size_t max_chunks) {
  return tri_align_up((max_chunks + 63) / 64 * sizeof(uint64_t), TRI_TABLE_PAGE);
}

static size_t tags_size(size_t max_chunks) { return tri_align_up(max_chunks * sizeof(tri_pages_tag), TRI_TABLE_PAGE); }

size_t tri_pages_table_size(size_t max_chunks) {
  return TREES * tri_page_tree_size(max_chunks) + 2 * index_size(max_chunks) + tags_size(max_chunks) +
         max_chunks * sizeof(tri_pages_chunk);
}

void tri_pages_init(tri_pages *pages, void *table, size_t max_chunks) {
  char *at = table;
  TRI_ASSERT((uintptr_t)table % TRI_CACHE_LINE == 0);
  *pages = (tri_pages){.max_chunks = max_chunks};
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) {
    tri_page_tree_init(&pages->own[kind], at, max_chunks);
    at += tri_page_tree_size(max_chunks);
    tri_page_tree_init(&pages->open[kind], at, max_chunks);
    at += tri_page_tree_size(max_chunks);
  }
  for (int any = 0; any < 2; any++) {
    pages->returnable[any] = (uint64_t *)(void *)at;
    at += index_size(max_chunks);
  }
  pages->tags = (tri_pages_tag *)(void *)at;
  pages->chunks = (tri_pages_chunk *)(void *)(at + tags_size(max_chunks));
}

static size_t tree_slices(const tri_page_tree *tree, size_t chunk_count, tri_pages_slice *slices) {
  for (size_t level = 0; level < TRI_TREE_LEVELS; level++)
    slices[level] = (tri_pages_slice){tree->level[level], tri_page_tree_level_bytes(level, chunk_count)};
  return TRI_TREE_LEVELS;
}

void tri_pages_slices(const tri_pages *pages, size_t chunk_count, tri_pages_slice slices[TRI_PAGES_SLICES]) {
  size_t n = 0;
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) {
    n += tree_slices(&pages->own[kind], chunk_count, slices + n);
    n += tree_slices(&pages->open[kind], chunk_count, slices + n);
  }
  for (int any = 0; any < 2; any++)
    slices[n++] = (tri_pages_slice){pages->returnable[any], (chunk_count + 63) / 64 * sizeof(uint64_t)};
  slices[n++] = (tri_pages_slice){pages->tags, chunk_count * sizeof(tri_pages_tag)};
  slices[n++] = (tri_pages_slice){pages->chunks, chunk_count * sizeof(tri_pages_chunk)};
  TRI_ASSERT(n == TRI_PAGES_SLICES);
}

/* ---- runs, chunk by chunk ---- */

typedef struct chunk_piece {
  size_t chunk, first, end; /* pages [first, end) of the chunk, not empty */
} chunk_piece;

/* The next piece of [*page, end), which it takes off; false when nothing is left. */
static bool next_piece(size_t *page, size_t end, chunk_piece *out) {
  if (*page >= end) return false;
  out->chunk = *page / TRI_PAGES_PER_CHUNK;
  out->first = *page % TRI_PAGES_PER_CHUNK;
  out->end = tri_min(out->first + (end - *page), TRI_PAGES_PER_CHUNK);
  *page += out->end - out->first;
  return true;
}

/* ---- publishing what changed ---- */

/* Pages worth returning: free, not released, and with whole_blocks not part of a block of 2 MiB that is in use. */
static tri_chunk_bits returnable_pages(const tri_pages_chunk *chunk, bool whole_blocks) {
  tri_chunk_bits pages;
  for (size_t block = 0; block < TRI_CHUNK_WORDS; block += HUGE_WORDS) {
    uint64_t used = 0;
    for (size_t w = block; w < block + HUGE_WORDS; w++) used |= chunk->allocated.word[w];
    for (size_t w = block; w < block + HUGE_WORDS; w++)
      pages.word[w] = whole_blocks && used != 0 ? 0 : ~chunk->allocated.word[w] & ~chunk->released.word[w];
  }
  return pages;
}

static bool chunk_is_returnable(const tri_pages *pages, size_t c, bool any) {
  tri_chunk_bits bits = returnable_pages(&pages->chunks[c], !any && pages->tags[c].huge);
  return !tri_chunk_bits_none(&bits, 0, TRI_PAGES_PER_CHUNK);
}

static void index_set(uint64_t *index, size_t c, bool value) {
  uint64_t bit = (uint64_t)1 << c % 64, word = value ? index[c / 64] | bit : index[c / 64] & ~bit;
  if (word != index[c / 64]) index[c / 64] = word;
}

/* What the trees hold of a chunk: its summary where it belongs, 0 elsewhere. A kind's open tree is asked when its own
 * chunks have no room, hence for runs that include an unassigned chunk: of an own chunk only the ends can be part of
 * these. Leaving the rest out spares the open tree most updates. */
static tri_page_sum own_leaf(tri_pages_tag tag, int kind, tri_page_sum sum) { return tag.kind == kind ? sum : 0; }
static tri_page_sum open_leaf(tri_pages_tag tag, int kind, tri_page_sum sum) {
  if (tag.kind == TRI_PAGES_KINDS) return sum;
  if (tag.kind != kind) return 0;
  size_t start = tri_page_sum_start(sum), end = tri_page_sum_end(sum);
  return tri_page_sum_pack(start, tri_max(start, end), end);
}

/* The bits or the kinds of the chunks [first, end) have changed. */
static void publish(tri_pages *pages, size_t first, size_t end) {
  bool own[TRI_PAGES_KINDS] = {false}, open[TRI_PAGES_KINDS] = {false};
  for (size_t c = first; c < end; c++) {
    tri_pages_tag *tag = &pages->tags[c];
    tri_page_sum sum = tri_chunk_bits_sum(&pages->chunks[c].allocated);
    if (tri_page_sum_max(sum) == TRI_PAGES_PER_CHUNK) tag->kind = TRI_PAGES_KINDS;
    for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) {
      own[kind] |= tri_page_tree_set(&pages->own[kind], c, own_leaf(*tag, kind, sum));
      open[kind] |= tri_page_tree_set(&pages->open[kind], c, open_leaf(*tag, kind, sum));
    }
    bool some = chunk_is_returnable(pages, c, true);
    index_set(pages->returnable[true], c, some);
    index_set(pages->returnable[false], c, some && (!tag->huge || chunk_is_returnable(pages, c, false)));
  }
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) {
    if (own[kind]) tri_page_tree_update(&pages->own[kind], first, end);
    if (open[kind]) tri_page_tree_update(&pages->open[kind], first, end);
  }
}

static void publish_run(tri_pages *pages, size_t page, size_t count) {
  publish(pages, page / TRI_PAGES_PER_CHUNK, (page + count - 1) / TRI_PAGES_PER_CHUNK + 1);
}

void tri_pages_grow(tri_pages *pages, size_t count, bool huge) {
  size_t first = pages->chunk_count;
  TRI_ASSERT(count <= pages->max_chunks - first);
  if (count == 0) return;
  for (size_t c = first; c < first + count; c++) {
    tri_chunk_bits_set(&pages->chunks[c].released, 0, TRI_PAGES_PER_CHUNK);
    tri_chunk_bits_set(&pages->chunks[c].zero, 0, TRI_PAGES_PER_CHUNK);
    pages->tags[c] = (tri_pages_tag){.kind = TRI_PAGES_KINDS, .huge = huge};
  }
  pages->chunk_count += count;
  pages->free_released += count * TRI_PAGES_PER_CHUNK;
  publish(pages, first, first + count);
}

/* ---- allocating ---- */

/* The lowest run of count free pages for the kind. */
static size_t find(tri_pages *pages, tri_pages_kind kind, size_t count) {
  tri_page_hit hit = tri_page_tree_find(&pages->own[kind], count);
  if (hit.page == TRI_PAGES_NONE) hit = tri_page_tree_find(&pages->open[kind], count);
  if (!hit.in_chunk) return hit.page;
  size_t at = tri_chunk_bits_find(&pages->chunks[hit.page / TRI_PAGES_PER_CHUNK].allocated, count);
  TRI_ASSERT(at < TRI_PAGES_PER_CHUNK);
  return hit.page + at;
}

static void assign(tri_pages *pages, size_t c, tri_pages_kind kind) {
  tri_pages_tag *tag = &pages->tags[c];
  if (tag->kind == TRI_PAGES_KINDS) tag->kind = (uint8_t)kind;
  TRI_ASSERT(tag->kind == kind);
}

/* The system will provide [first, end) of a chunk, and in a huge chunk the blocks around. Returns how many pages it
 * had. */
static size_t provide(tri_pages *pages, size_t c, size_t first, size_t end) {
  tri_chunk_bits *released = &pages->chunks[c].released;
  if (pages->tags[c].huge) {
    first = tri_align_down(first, TRI_PAGES_PER_HUGE);
    end = tri_align_up(end, TRI_PAGES_PER_HUGE);
  }
  size_t count = tri_chunk_bits_count(released, first, end);
  if (count == 0) return 0;
  tri_chunk_bits_clear(released, first, end);
  pages->free_released -= count;
  return count;
}

static void take_piece(tri_pages *pages, const chunk_piece *piece, tri_pages_run *run) {
  tri_pages_chunk *chunk = &pages->chunks[piece->chunk];
  TRI_ASSERT(tri_chunk_bits_none(&chunk->allocated, piece->first, piece->end));
  run->unreleased += provide(pages, piece->chunk, piece->first, piece->end);
  run->zero = run->zero && tri_chunk_bits_all(&chunk->zero, piece->first, piece->end);
  tri_chunk_bits_clear(&chunk->zero, piece->first, piece->end);
  tri_chunk_bits_set(&chunk->allocated, piece->first, piece->end);
}

tri_pages_run tri_pages_alloc(tri_pages *pages, tri_pages_kind kind, size_t count) {
  TRI_ASSERT(count > 0);
  tri_pages_run run = {.page = find(pages, kind, count)};
  if (run.page == TRI_PAGES_NONE) return run;
  run.count = count;
  run.zero = true;
  chunk_piece piece;
  for (size_t page = run.page; next_piece(&page, run.page + count, &piece);) {
    assign(pages, piece.chunk, kind);
    take_piece(pages, &piece, &run);
  }
  pages->allocated += count;
  publish_run(pages, run.page, count);
  return run;
}

size_t tri_pages_chunks_wanted(const tri_pages *pages, tri_pages_kind kind, size_t count) {
  size_t tail = tri_page_tree_tail(&pages->open[kind], pages->chunk_count);
  return count <= tail ? 0 : (count - tail - 1) / TRI_PAGES_PER_CHUNK + 1;
}

/* ---- freeing ---- */

void tri_pages_free(tri_pages *pages, size_t page, size_t count) {
  chunk_piece piece;
  TRI_ASSERT(count > 0 && page + count <= pages->chunk_count * TRI_PAGES_PER_CHUNK);
  for (size_t at = page; next_piece(&at, page + count, &piece);) {
    tri_chunk_bits *allocated = &pages->chunks[piece.chunk].allocated;
    TRI_ASSERT(tri_pages_kind_of(pages, at - 1) == tri_pages_kind_of(pages, page));
    TRI_ASSERT(tri_chunk_bits_all(allocated, piece.first, piece.end));
    tri_chunk_bits_clear(allocated, piece.first, piece.end);
  }
  pages->allocated -= count;
  publish_run(pages, page, count);
}

/* ---- returning memory ---- */

/* The highest chunk that has pages to return; SIZE_MAX when none has. */
static size_t last_returnable(const tri_pages *pages, bool any) {
  const uint64_t *index = pages->returnable[any];
  for (size_t w = (pages->chunk_count + 63) / 64; w-- > 0;)
    if (index[w] != 0) return w * 64 + 63 - (size_t)__builtin_clzll(index[w]);
  return SIZE_MAX;
}

tri_pages_run tri_pages_take_unreleased(tri_pages *pages, size_t max_pages, bool any) {
  size_t c = last_returnable(pages, any), first = 0;
  TRI_ASSERT(max_pages > 0);
  if (c == SIZE_MAX) return (tri_pages_run){.page = TRI_PAGES_NONE};
  tri_pages_chunk *chunk = &pages->chunks[c];
  bool whole_blocks = !any && pages->tags[c].huge;
  tri_chunk_bits candidates = returnable_pages(chunk, whole_blocks);
  size_t count = tri_chunk_bits_last_run(&candidates, &first), end = first + count;
  if (count > max_pages) {
    size_t cut = end - max_pages;
    first = tri_max(first, whole_blocks ? tri_align_down(cut, TRI_PAGES_PER_HUGE) : cut);
    count = end - first;
  }
  tri_pages_run run = {.page = c * TRI_PAGES_PER_CHUNK + first, .count = count, .unreleased = count};
  run.zero = tri_chunk_bits_all(&chunk->zero, first, end);
  tri_chunk_bits_clear(&chunk->zero, first, end);
  tri_chunk_bits_set(&chunk->allocated, first, end);
  pages->allocated += count;
  pages->taken += count;
  publish(pages, c, c + 1);
  return run;
}

void tri_pages_released(tri_pages *pages, tri_pages_run run, bool done) {
  size_t c = run.page / TRI_PAGES_PER_CHUNK, first = run.page % TRI_PAGES_PER_CHUNK, end = first + run.count;
  tri_pages_chunk *chunk = &pages->chunks[c];
  TRI_ASSERT(run.count > 0 && run.count <= pages->taken && end <= TRI_PAGES_PER_CHUNK);
  TRI_ASSERT(tri_chunk_bits_all(&chunk->allocated, first, end));
  tri_chunk_bits_clear(&chunk->allocated, first, end);
  if (done) tri_chunk_bits_set(&chunk->released, first, end);
  if (done || run.zero) tri_chunk_bits_set(&chunk->zero, first, end);
  if (done) pages->free_released += run.count;
  pages->allocated -= run.count;
  pages->taken -= run.count;
  publish(pages, c, c + 1);
}

/* ---- per-thread cache ---- */

size_t tri_page_cache_fill(tri_pages *pages, tri_pages_kind kind, tri_page_cache *cache) {
  TRI_ASSERT(cache->free == 0);
  size_t page = find(pages, kind, 1);
  if (page == TRI_PAGES_NONE) return 0;
  size_t c = page / TRI_PAGES_PER_CHUNK, w = page % TRI_PAGES_PER_CHUNK / 64;
  tri_pages_chunk *chunk = &pages->chunks[c];
  assign(pages, c, kind);
  cache->base = tri_align_down(page, 64);
  cache->free = ~chunk->allocated.word[w];
  cache->zero = chunk->zero.word[w];
  chunk->allocated.word[w] = UINT64_MAX;
  chunk->zero.word[w] = 0;
  pages->allocated += tri_popcount(cache->free);
  size_t unreleased = provide(pages, c, w * 64, w * 64 + 64);
  publish(pages, c, c + 1);
  return unreleased;
}

tri_pages_run tri_page_cache_alloc(tri_page_cache *cache, size_t count) {
  TRI_ASSERT(count >= 1 && count <= 16);
  uint64_t starts = tri_word_runs(cache->free, count);
  if (starts == 0) return (tri_pages_run){.page = TRI_PAGES_NONE};
  size_t first = (size_t)__builtin_ctzll(starts);
  uint64_t mask = (((uint64_t)1 << count) - 1) << first;
  tri_pages_run run = {.page = cache->base + first, .count = count, .zero = (cache->zero & mask) == mask};
  cache->free &= ~mask;
  cache->zero &= ~mask;
  return run;
}

void tri_page_cache_flush(tri_pages *pages, tri_page_cache *cache) {
  if (cache->free == 0) return;
  size_t c = cache->base / TRI_PAGES_PER_CHUNK, w = cache->base % TRI_PAGES_PER_CHUNK / 64;
  tri_pages_chunk *chunk = &pages->chunks[c];
  TRI_ASSERT(c < pages->chunk_count && (cache->free & ~chunk->allocated.word[w]) == 0);
  chunk->allocated.word[w] &= ~cache->free;
  chunk->zero.word[w] |= cache->zero;
  pages->allocated -= tri_popcount(cache->free);
  publish(pages, c, c + 1);
  *cache = (tri_page_cache){0};
}

/* ---- mending ---- */

static void mend_chunk(tri_pages *pages, size_t c, bool (*is_used)(size_t page)) {
  tri_pages_chunk *chunk = &pages->chunks[c];
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t used = 0;
    for (size_t i = 0; i < 64; i++) used |= (uint64_t)is_used(c * TRI_PAGES_PER_CHUNK + w * 64 + i) << i;
    chunk->allocated.word[w] = used;
    chunk->zero.word[w] &= ~used;
    chunk->released.word[w] &= chunk->zero.word[w];
  }
  pages->allocated += tri_chunk_bits_count(&chunk->allocated, 0, TRI_PAGES_PER_CHUNK);
  pages->free_released += tri_chunk_bits_count(&chunk->released, 0, TRI_PAGES_PER_CHUNK);
}

void tri_pages_mend(tri_pages *pages, bool (*is_used)(size_t page)) {
  pages->allocated = pages->free_released = pages->taken = 0;
  if (!pages->chunk_count) return;
  for (size_t c = 0; c < pages->chunk_count; c++) mend_chunk(pages, c, is_used);
  publish(pages, 0, pages->chunk_count);
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) { /* also where no leaf has changed just now */
    tri_page_tree_mend(&pages->own[kind], pages->chunk_count);
    tri_page_tree_mend(&pages->open[kind], pages->chunk_count);
  }
}

/* ---- figures ---- */

size_t tri_pages_chunk_count(const tri_pages *pages) { return pages->chunk_count; }

tri_pages_kind tri_pages_kind_of(const tri_pages *pages, size_t page) {
  TRI_ASSERT(page / TRI_PAGES_PER_CHUNK < pages->chunk_count);
  return (tri_pages_kind)pages->tags[page / TRI_PAGES_PER_CHUNK].kind;
}

bool tri_pages_is_allocated(const tri_pages *pages, size_t page) {
  TRI_ASSERT(page / TRI_PAGES_PER_CHUNK < pages->chunk_count);
  return tri_chunk_bits_get(&pages->chunks[page / TRI_PAGES_PER_CHUNK].allocated, page % TRI_PAGES_PER_CHUNK);
}

size_t tri_pages_allocated(const tri_pages *pages) { return pages->allocated; }
size_t tri_pages_free_released(const tri_pages *pages) { return pages->free_released; }

/* ---- checking ---- */

typedef struct page_tally {
  size_t allocated, released, unassigned_allocated;
} page_tally;

/* What holds between the three bits of a page, and between the bits and the kind. */
static void check_bits(const tri_pages *pages, size_t c, page_tally *tally) {
  const tri_pages_chunk *chunk = &pages->chunks[c];
  for (size_t w = 0; w < TRI_CHUNK_WORDS; w++) {
    uint64_t allocated = chunk->allocated.word[w], released = chunk->released.word[w], zero = chunk->zero.word[w];
    if ((zero & allocated) != 0) tri_fatal("tri_pages_check: chunk %zu word %zu: allocated pages are known zero", c, w);
    if ((released & ~zero) != 0) tri_fatal("tri_pages_check: chunk %zu word %zu: released pages are not zero", c, w);
  }
  size_t allocated = tri_chunk_bits_count(&chunk->allocated, 0, TRI_PAGES_PER_CHUNK);
  uint8_t kind = pages->tags[c].kind;
  if (kind > TRI_PAGES_KINDS) tri_fatal("tri_pages_check: chunk %zu has the unknown kind %u", c, (unsigned)kind);
  if (kind < TRI_PAGES_KINDS && allocated == 0) tri_fatal("tri_pages_check: chunk %zu is free yet assigned", c);
  tally->allocated += allocated;
  tally->released += tri_chunk_bits_count(&chunk->released, 0, TRI_PAGES_PER_CHUNK);
  if (kind == TRI_PAGES_KINDS) tally->unassigned_allocated += allocated;
}

static void check_published(const tri_pages *pages, size_t c) {
  tri_page_sum sum = tri_chunk_bits_sum(&pages->chunks[c].allocated);
  tri_pages_tag tag = pages->tags[c];
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++)
    if (pages->own[kind].level[TRI_TREE_LEAF][c] != own_leaf(tag, kind, sum) ||
        pages->open[kind].level[TRI_TREE_LEAF][c] != open_leaf(tag, kind, sum))
      tri_fatal("tri_pages_check: chunk %zu is summed up wrongly for kind %d", c, kind);
  for (int any = 0; any < 2; any++)
    if ((pages->returnable[any][c / 64] >> c % 64 & 1) != chunk_is_returnable(pages, c, any))
      tri_fatal("tri_pages_check: chunk %zu is indexed wrongly for returning memory", c);
}

void tri_pages_check(const tri_pages *pages) {
  page_tally tally = {0};
  for (size_t c = 0; c < pages->chunk_count; c++) {
    check_bits(pages, c, &tally);
    check_published(pages, c);
  }
  for (int kind = 0; kind < TRI_PAGES_KINDS; kind++) {
    tri_page_tree_check(&pages->own[kind], pages->chunk_count);
    tri_page_tree_check(&pages->open[kind], pages->chunk_count);
  }
  if (tally.allocated != pages->allocated)
    tri_fatal("tri_pages_check: %zu pages are allocated, counted %zu", tally.allocated, pages->allocated);
  if (tally.released != pages->free_released)
    tri_fatal("tri_pages_check: %zu free pages are released, counted %zu", tally.released, pages->free_released);
  if (tally.unassigned_allocated > pages->taken)
    tri_fatal("tri_pages_check: %zu pages of unassigned chunks are allocated", tally.unassigned_allocated);
}
