/* corpus.c - which texts are indexed.
 *
 * Files come in an order drawn from the seed, so that a limit takes some of everything and not the first folder alone.
 * Where a machine has too few, texts are made from the repository's own files by walking through them word by word and
 * now and then going on behind another occurrence of the same word. A made text depends on the seed and its number
 * alone.
 */
#include "corpus.h"

#include "files.h"
#include "random.h"
#include "words.h"

#include <stdio.h>
#include <unistd.h>

/* The repository's text in pieces: a word and what follows it up to the next word. */
typedef struct material {
  char *text;
  uint32_t *starts; /* of piece i; one more for the end */
  uint32_t *same;   /* the next piece with the same word, round in a circle */
  uint32_t count;
} material;
TRI_TYPE(material, text, starts, same);

enum { MADE_LEAST = 2 * 1024, MADE_SPREAD = 24 * 1024, MATERIAL_MOST = 8 << 20 };

/* A file found, and where the seed puts it. */
typedef struct candidate {
  uint64_t rank;
  uint32_t file;
} candidate;

static int by_rank(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return (x->file > y->file) - (x->file < y->file);
}

static uint64_t path_rank(const char *path, uint64_t seed) {
  return mix64(hash_bytes(mix64(seed), path, strlen(path)));
}

static corpus *corpus_new(uint32_t capacity, uint64_t seed) {
  corpus *made = memory_new(corpus);
  made->paths = memory_array(char *, capacity);
  made->sizes = memory_zeroed(capacity * sizeof *made->sizes);
  made->seed = seed;
  return made;
}

static void corpus_add(corpus *to, char *path, uint32_t size) {
  to->paths[to->count] = path;
  to->sizes[to->count++] = size;
  to->bytes += size;
}

static uint32_t read_size(uint64_t size) { return size < FILE_LIMIT ? (uint32_t)size : FILE_LIMIT; }

corpus *corpus_find(char *const *folders, uint32_t folder_count, uint64_t max_bytes, uint64_t seed) {
  file_list files = {0};
  for (uint32_t i = 0; i < folder_count; i++) files_find(&files, folders[i]);
  candidate *order = memory_text(files.count * sizeof *order);
  for (uint32_t i = 0; i < files.count; i++) order[i] = (candidate){path_rank(files.paths[i], seed), i};
  qsort(order, files.count, sizeof *order, by_rank);
  corpus *found = corpus_new(files.count, seed);
  for (uint32_t i = 0; i < files.count && found->bytes < max_bytes; i++) {
    char **path = &files.paths[order[i].file];
    if (!file_is_text(*path)) continue;
    corpus_add(found, *path, read_size(files.sizes[order[i].file]));
    *path = NULL;
  }
  memory_give(order);
  files_give(&files);
  return found;
}

static bool is_repository(const char *folder) {
  char *mark = file_join(folder, "include/tricolor.h");
  bool found = access(mark, R_OK) == 0;
  memory_give(mark);
  return found;
}

/* Looks for the repository from path upwards; path is shortened to it. */
static bool find_upwards(char *path) {
  while (path[0] != '\0') {
    if (is_repository(path)) return true;
    char *slash = strrchr(path, '/');
    if (slash == NULL) break;
    *slash = '\0';
  }
  return false;
}

static bool find_repository(char *path, size_t size) {
  ssize_t length = readlink("/proc/self/exe", path, size - 1);
  path[length > 0 ? length : 0] = '\0';
  if (find_upwards(path)) return true;
  return getcwd(path, size) != NULL && find_upwards(path);
}

static int by_path(const void *a, const void *b, void *context) {
  char *const *paths = context;
  return strcmp(paths[*(const uint32_t *)a], paths[*(const uint32_t *)b]);
}

/* The numbers of the files by path. */
static uint32_t *order_by_path(const file_list *files) {
  uint32_t *order = memory_text(files->count * sizeof *order);
  for (uint32_t i = 0; i < files->count; i++) order[i] = i;
  if (files->count != 0) qsort_r(order, files->count, sizeof *order, by_path, files->paths);
  return order;
}

static bool is_source(const char *path) {
  static const char *const ends[] = {".c", ".h", ".md", ".py", ".sh", ".S", ".txt"};
  size_t length = strlen(path);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t end = strlen(ends[i]);
    if (length > end && strcmp(path + length - end, ends[i]) == 0) return true;
  }
  return false;
}

/* All sources and documents of the repository, one behind the other. */
static char *read_repository(const char *root, uint32_t *length) {
  static const char *const parts[] = {"include", "src", "docs", "examples", "tests", "bench", "tools"};
  file_list files = {0};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    char *folder = file_join(root, parts[i]);
    files_find(&files, folder);
    memory_give(folder);
  }
  uint32_t *order = order_by_path(&files);
  char *text = memory_text(MATERIAL_MOST);
  *length = 0;
  for (uint32_t i = 0; i < files.count; i++) {
    const char *path = files.paths[order[i]];
    if (!is_source(path)) continue;
    uint32_t size;
    char *piece = file_read(path, FILE_LIMIT, &size);
    if (size > MATERIAL_MOST - *length) size = MATERIAL_MOST - *length;
    memcpy(text + *length, piece, size);
    *length += size;
    memory_give(piece);
  }
  memory_give(order);
  files_give(&files);
  return text;
}

/* Cuts the text at its words and links equal ones. Words with equal hashes are taken for equal. */
static material *material_new(char *text, uint32_t length) {
  material *made = memory_new(material);
  made->text = text;
  made->starts = memory_text((length / WORD_MIN + 2) * sizeof *made->starts);
  made->same = memory_text((length / WORD_MIN + 2) * sizeof *made->same);
  enum { SLOTS = 1 << 16 };
  uint32_t *first = memory_zeroed(SLOTS * sizeof *first); /* the first piece whose word falls here, plus 1 */
  uint32_t *last = memory_zeroed(SLOTS * sizeof *last);
  const char *at = text;
  for (word w; word_next(&at, text + length, &w); made->count++) {
    uint32_t slot = (uint32_t)(w.hash % SLOTS), piece = made->count;
    made->starts[piece] = (uint32_t)(w.start - text);
    if (first[slot] == 0)
      first[slot] = piece + 1;
    else
      made->same[last[slot]] = piece;
    last[slot] = piece;
    made->same[piece] = first[slot] - 1;
  }
  made->starts[made->count] = length;
  memory_give(first);
  memory_give(last);
  return made;
}

corpus *corpus_make(uint64_t max_bytes, uint64_t seed) {
  char root[4096];
  if (!find_repository(root, sizeof root)) return NULL;
  uint32_t length;
  char *text = read_repository(root, &length);
  corpus *made = corpus_new((uint32_t)(max_bytes / MADE_LEAST) + 1, seed);
  made->material = material_new(text, length);
  while (made->material->count != 0 && made->bytes < max_bytes) {
    uint64_t state = mix64(seed ^ mix64(made->count));
    char name[32];
    int size = snprintf(name, sizeof name, "made/%05u.txt", made->count) + 1;
    char *path = memcpy(memory_text((size_t)size), name, (size_t)size);
    corpus_add(made, path, MADE_LEAST + random_below(&state, MADE_SPREAD));
  }
  return made;
}

static void make_text(const material *from, uint64_t state, char *text, uint32_t length) {
  uint32_t piece = random_below(&state, from->count);
  for (uint32_t at = 0; at < length;) {
    uint32_t size = from->starts[piece + 1] - from->starts[piece];
    if (size > length - at) size = length - at;
    memcpy(text + at, from->text + from->starts[piece], size);
    at += size;
    for (uint32_t jumps = random_below(&state, 4) == 0 ? 1 + random_below(&state, 8) : 0; jumps > 0; jumps--) {
      piece = from->same[piece];
    }
    piece = piece + 1 == from->count ? 0 : piece + 1;
  }
}

char *corpus_read(const corpus *from, uint32_t number, uint32_t *length) {
  if (from->material == NULL) return file_read(from->paths[number], from->sizes[number], length);
  *length = from->sizes[number];
  char *text = memory_text(*length);
  make_text(from->material, mix64(from->seed + number), text, *length);
  return text;
}

void corpus_give(corpus *done) {
  for (uint32_t i = 0; i < done->count; i++) memory_give(done->paths[i]);
  memory_give(done->paths);
  memory_give(done->sizes);
  if (done->material != NULL) {
    memory_give(done->material->text);
    memory_give(done->material->starts);
    memory_give(done->material->same);
    memory_give(done->material);
  }
  memory_give(done);
}
