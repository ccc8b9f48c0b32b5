/* iso_codes.c - a library that knows nothing of tricolor, on tricolor: cJSON through its own allocator hook.
 *
 * cJSON_InitHooks is given tri_alloc, and a free that does nothing. All JSON files of iso-codes are then read, parsed
 * and looked into, over and over, each pass replacing the documents of the one before: some gigabytes in all, in a heap
 * that stays as small as the documents are. Nothing is freed: cJSON_Delete is never called, and what cJSON itself gives
 * back through its hook is left to the collector as well.
 *
 * Checked, and the exit status is 1 when it is not so: every pass finds the same values; the entries of each list are
 * as many as a plain search of the text finds; the names looked up are right; what cJSON prints parses to the same
 * again; the heap does not grow after the first quarter of the passes; peak RSS stays within 2.2 times the largest
 * marked heap + 12 MB: a chunk of 4 MB of either kind that is not full, and what is not heap.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tricolor.h>
#include <unistd.h>

#define MB (1024.0 * 1024.0)

/* A sanitizer keeps memory of its own beside the program's: resident memory says nothing then. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { FILES_MOST = 64 };

/* A list in one of the files, the member its entries are known by, and a name that must be found. */
typedef struct standard {
  const char *file, *list, *key, *sample, *name;
} standard;

static const standard standards[] = {
    {"iso_3166-1.json", "3166-1", "alpha_2", "DE", "Germany"},
    {"iso_3166-2.json", "3166-2", "code", "DE-BY", "Bayern"},
    {"iso_3166-3.json", "3166-3", "alpha_4", "DDDE", "German Democratic Republic"},
    {"iso_4217.json", "4217", "alpha_3", "EUR", "Euro"},
    {"iso_639-2.json", "639-2", "alpha_3", "fra", "French"},
    {"iso_639-3.json", "639-3", "alpha_3", "fra", "French"},
    {"iso_639-5.json", "639-5", "alpha_3", "gem", "Germanic languages"},
    {"iso_15924.json", "15924", "alpha_4", "Latn", "Latin"},
};

/* One file: its parsed document, replaced in each pass, and what the first pass found. In static memory: a root. */
typedef struct source {
  const char *path;
  const standard *holds; /* NULL for a file without a list, such as a schema */
  cJSON *document;
  uint64_t values;
  uint64_t entries;
} source;

static source sources[FILES_MOST];
static size_t source_count;
static uint64_t text_bytes;
static int failures;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "iso_codes: ");
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  failures++;
}

static void free_nothing(void *ptr) { (void)ptr; }

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

/* A file's text, fresh and terminated; NULL when it cannot be read. */
static char *read_text(const char *path, size_t *length) {
  struct stat info;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return NULL;
  char *text = fstat(file, &info) == 0 ? tri_alloc_uninit((size_t)info.st_size + 1) : NULL;
  *length = 0;
  for (ssize_t got = 1; text != NULL && got > 0 && *length < (size_t)info.st_size; *length += (size_t)got) {
    got = read(file, text + *length, (size_t)info.st_size - *length);
    if (got < 0) text = NULL, got = 0;
  }
  close(file);
  if (text != NULL) text[*length] = '\0';
  return text;
}

/* All values in a document, itself included. cJSON limits the nesting to 1000. */
static uint64_t count_values(const cJSON *document) {
  uint64_t count = 1;
  for (const cJSON *child = document->child; child != NULL; child = child->next) count += count_values(child);
  return count;
}

static uint64_t count_text(const char *text, const char *key) {
  char pattern[64];
  uint64_t count = 0;
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  for (const char *at = text; (at = strstr(at, pattern)) != NULL; at++) count++;
  return count;
}

/* The entries that have the key; *found is the one that has the sample for it. */
static uint64_t search(const cJSON *list, const standard *s, const cJSON **found) {
  uint64_t count = 0;
  const cJSON *entry;
  *found = NULL;
  cJSON_ArrayForEach(entry, list) {
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, s->key));
    if (value == NULL) continue;
    count++;
    if (strcmp(value, s->sample) == 0) *found = entry;
  }
  return count;
}

static uint64_t look_up(const cJSON *document, const standard *s) {
  const cJSON *found, *list = cJSON_GetObjectItemCaseSensitive(document, s->list);
  uint64_t count = search(list, s, &found);
  const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(found, "name"));
  if (name == NULL || strcmp(name, s->name) != 0) {
    fail("%s: %s is %s, not %s", s->file, s->sample, name == NULL ? "missing" : name, s->name);
  }
  return count;
}

/* What cJSON prints must parse to an equal document: its printer grows buffers through the hooks too. */
static void check_printing(const source *s) {
  char *printed = cJSON_PrintUnformatted(s->document);
  cJSON *again = printed == NULL ? NULL : cJSON_Parse(printed);
  if (again == NULL || !cJSON_Compare(s->document, again, true)) fail("%s: does not survive printing", s->path);
}

static void check_first(source *s, const char *text) {
  s->values = count_values(s->document);
  if (s->holds != NULL) {
    s->entries = look_up(s->document, s->holds);
    uint64_t expected = count_text(text, s->holds->key);
    if (s->entries != expected) {
      fail("%s: %" PRIu64 " entries, but the text has %" PRIu64, s->path, s->entries, expected);
    }
  }
  check_printing(s);
}

static void check_again(const source *s) {
  uint64_t values = count_values(s->document);
  if (values != s->values) fail("%s: %" PRIu64 " values, %" PRIu64 " before", s->path, values, s->values);
  uint64_t entries = s->holds == NULL ? 0 : look_up(s->document, s->holds);
  if (entries != s->entries) fail("%s: %" PRIu64 " entries, %" PRIu64 " before", s->path, entries, s->entries);
}

/* Reads and parses a file anew; the document it had is dropped. */
static void renew(source *s, bool first) {
  size_t length;
  char *text = read_text(s->path, &length);
  if (text == NULL) {
    fail("%s: %s", s->path, strerror(errno));
    return;
  }
  if (first) text_bytes += length;
  s->document = cJSON_ParseWithLength(text, length);
  if (s->document == NULL)
    fail("%s: does not parse", s->path);
  else if (first)
    check_first(s, text);
  else
    check_again(s);
}

static void pass(bool first) {
  for (size_t i = 0; i < source_count && failures == 0; i++) renew(&sources[i], first);
}

static const standard *standard_of(const char *path) {
  for (size_t i = 0; i < sizeof standards / sizeof *standards; i++) {
    if (strcmp(base_name(path), standards[i].file) == 0) return &standards[i];
  }
  return NULL;
}

/* glob's memory is malloc's, and the paths stay there: they are not the collector's. */
static void find_files(const char *folder) {
  static glob_t found;
  char pattern[4096];
  snprintf(pattern, sizeof pattern, "%s/*.json", folder);
  if (glob(pattern, 0, NULL, &found) != 0) {
    fprintf(stderr, "iso_codes: no JSON files in %s (package iso-codes; --dir names another folder)\n", folder);
    exit(3);
  }
  for (size_t i = 0; i < found.gl_pathc && source_count < FILES_MOST; i++) {
    sources[source_count++] = (source){.path = found.gl_pathv[i], .holds = standard_of(found.gl_pathv[i])};
  }
}

/* A size in /proc/self/status, in bytes. */
static uint64_t resident(const char *name) {
  char line[256];
  uint64_t kilobytes = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) kilobytes = strtoull(line + strlen(name), NULL, 10);
  }
  if (status != NULL) fclose(status);
  return kilobytes * 1024;
}

static void print_table(void) {
  printf("  %-24s %10s %10s   %s\n", "file", "values", "entries", "looked up");
  for (size_t i = 0; i < source_count; i++) {
    const source *s = &sources[i];
    printf("  %-24s %10" PRIu64, base_name(s->path), s->values);
    if (s->holds != NULL) printf(" %10" PRIu64 "   %s: %s", s->entries, s->holds->sample, s->holds->name);
    printf("\n");
  }
}

/* Compares the figures with their bars and prints both. */
static void check_memory(uint64_t passes, uint64_t heap_then, uint64_t rss_start) {
  tri_memstats m;
  tri_stopstats stops;
  tri_read_memstats(&m);
  tri_read_stopstats(&stops);
  uint64_t growth = resident("VmHWM:") - rss_start, limit = stops.largest_marked_bytes * 22 / 10 + (12u << 20);
  uint64_t heap_limit = heap_then + heap_then / 4 + (8u << 20);
  printf("\n  %-24s %" PRIu64 " over %.1f MB of JSON\n", "passes", passes, (double)text_bytes / MB);
  printf("  %-24s %.2f GB in %" PRIu64 " objects\n", "TotalAlloc", (double)m.TotalAlloc / MB / 1024, m.Mallocs);
  printf("  %-24s %" PRIu32 ", longest stop %.3f ms\n", "NumGC", m.NumGC, (double)stops.longest_ns / 1e6);
  printf("  %-24s %.1f MB\n", "largest marked heap", (double)stops.largest_marked_bytes / MB);
  printf("  %-24s %.1f MB; %.1f MB after a quarter, at most %.1f MB: %s\n", "HeapSys", (double)m.HeapSys / MB,
         (double)heap_then / MB, (double)heap_limit / MB, m.HeapSys <= heap_limit ? "kept" : "BROKEN");
  printf("  %-24s %.1f MB; at most %.1f MB: %s\n", "peak RSS growth", (double)growth / MB, (double)limit / MB,
         SANITIZED         ? "not judged under a sanitizer"
         : growth <= limit ? "kept"
                           : "BROKEN");
  if (m.HeapSys > heap_limit || (growth > limit && !SANITIZED)) failures++;
}

/* Passes until that many bytes have been allocated. */
static void run(uint64_t bytes, uint64_t rss_start) {
  uint64_t passes = 0, heap_then = 0;
  tri_memstats m;
  do {
    pass(passes++ == 0);
    tri_read_memstats(&m);
    if (m.TotalAlloc <= bytes / 4 || heap_then == 0) heap_then = m.HeapSys;
  } while (failures == 0 && m.TotalAlloc < bytes);
  print_table();
  check_memory(passes, heap_then, rss_start);
}

static void usage(FILE *to) {
  fprintf(to, "usage: cjson-example [--dir DIR] [--alloc-gb N]\n"
              "  --dir DIR       folder with iso-codes' JSON files (default /usr/share/iso-codes/json)\n"
              "  --alloc-gb N    go on until N GB have been allocated in all (default 3)\n");
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                          {"alloc-gb", required_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  uint64_t rss_start = resident("VmRSS:");
  const char *folder = "/usr/share/iso-codes/json";
  double gigabytes = 3;
  for (int which; (which = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    switch (which) {
    case 'd': folder = optarg; break;
    case 'a': gigabytes = strtod(optarg, NULL); break;
    case 'h': usage(stdout); return 0;
    default: usage(stderr); return 2;
    }
  }
  if (optind < argc || !(gigabytes > 0 && gigabytes < 1e6)) {
    usage(stderr);
    return 2;
  }
  cJSON_Hooks hooks = {.malloc_fn = tri_alloc, .free_fn = free_nothing};
  cJSON_InitHooks(&hooks);
  find_files(folder);
  printf("cJSON %s on tricolor: nothing is freed\n\n", cJSON_Version());
  run((uint64_t)(gigabytes * (1u << 30)), rss_start);
  printf("\n%s\n", failures == 0 ? "all as expected" : "FAILED");
  return failures == 0 ? 0 : 1;
}
