/* main.c - textindex: indexes a folder of text with several threads, answers queries, and reindexes what changes.
 *
 * The program never frees on tricolor; the same sources with -DTEXTINDEX_MALLOC do, and give the same answers.
 * Ends with 0, 1 when peak memory broke its bar, 2 for a wrong option, 3 when the system refused something.
 */
#include "report.h"
#include "service.h"

#include <getopt.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLDERS_MOST = 64, THREADS_MOST = 256 };

typedef struct settings {
  char *folders[FOLDERS_MOST];
  uint32_t folder_count;
  uint64_t max_bytes;
  uint32_t threads;
  double alloc_gb;
  uint64_t seed;
  uint32_t show;
  bool make;
  int progress;
  const char *json;
} settings;

static const char *const default_folders[] = {"/usr/share/doc",   "/usr/include",    "/usr/share/info",   "/usr/src",
                                              "/usr/lib/python3", "/usr/share/perl", "/usr/local/include"};

static void usage(FILE *to) {
  fprintf(to, "usage: textindex [option]...\n"
              "  --dir DIR        index the text files below DIR; may be repeated\n"
              "                   (default: documentation, headers and sources found on the machine)\n"
              "  --make           index texts made from the repository's own files; this is also what happens\n"
              "                   without --dir where less than 50 MB of text is found\n"
              "  --max-bytes N    index at most N bytes of text; K, M, G may follow (default 64M)\n"
              "  --threads N      threads that index and answer (default: processors, at least 2)\n"
              "  --alloc-gb N     go on until N GB have been allocated in all (default 10)\n"
              "  --seed N         draw another order of files, queries and changes (default 1)\n"
              "  --show N         print N queries with their best answers at the end (default 3)\n"
              "  --json FILE      write the final figures to FILE\n"
              "  --progress FD    write the progress line to that descriptor (default 2)\n");
}

_Noreturn static void refuse(const char *option, const char *value) {
  fprintf(stderr, "textindex: --%s %s: not a value for this option\n", option, value);
  exit(2);
}

static uint64_t read_number(const char *option, const char *value, uint64_t least, uint64_t most) {
  char *end;
  uint64_t number = strtoull(value, &end, 10);
  unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (end == value || *value == '-' || end[shift != 0] != '\0' || number > most >> shift) refuse(option, value);
  number <<= shift;
  if (number < least) refuse(option, value);
  return number;
}

static double read_gigabytes(const char *value) {
  char *end;
  double number = strtod(value, &end);
  if (end == value || *end != '\0' || !(number >= 0 && number <= 1e6)) refuse("alloc-gb", value);
  return number;
}

static void add_folder(settings *s, char *folder) {
  struct stat info;
  if (s->folder_count == FOLDERS_MOST) refuse("dir", folder);
  if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
    fprintf(stderr, "textindex: --dir %s: no such folder\n", folder);
    exit(2);
  }
  if (access(folder, R_OK | X_OK) != 0) {
    fprintf(stderr, "textindex: --dir %s: this folder may not be read\n", folder);
    exit(2);
  }
  s->folders[s->folder_count++] = folder;
}

static settings read_settings(int argc, char **argv) {
  static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                          {"max-bytes", required_argument, NULL, 'm'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"alloc-gb", required_argument, NULL, 'a'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"show", required_argument, NULL, 'n'},
                                          {"json", required_argument, NULL, 'j'},
                                          {"make", no_argument, NULL, 'k'},
                                          {"progress", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  settings s = {.max_bytes = 64u << 20, .alloc_gb = 10, .seed = 1, .show = 3, .progress = STDERR_FILENO};
  s.threads = processors < 2 ? 2 : processors > THREADS_MOST ? THREADS_MOST : (uint32_t)processors;
  for (int which; (which = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    switch (which) {
    case 'd': add_folder(&s, optarg); break;
    case 'm': s.max_bytes = read_number("max-bytes", optarg, 4096, (uint64_t)1 << 36); break;
    case 't': s.threads = (uint32_t)read_number("threads", optarg, 1, THREADS_MOST); break;
    case 'a': s.alloc_gb = read_gigabytes(optarg); break;
    case 's': s.seed = read_number("seed", optarg, 0, UINT64_MAX); break;
    case 'n': s.show = (uint32_t)read_number("show", optarg, 0, 1000); break;
    case 'j': s.json = optarg; break;
    case 'p': s.progress = (int)read_number("progress", optarg, 0, 1 << 20); break;
    case 'k': s.make = true; break;
    case 'h': usage(stdout); exit(0);
    default: usage(stderr); exit(2);
    }
  }
  if (optind < argc) {
    fprintf(stderr, "textindex: %s: not an option (a folder is named with --dir)\n", argv[optind]);
    exit(2);
  }
  if (s.make && s.folder_count != 0) {
    fprintf(stderr, "textindex: --make and --dir exclude each other\n");
    exit(2);
  }
  return s;
}

/* Files of the folders asked for, else of the machine; made texts where the machine has too few. */
static corpus *choose_corpus(const settings *s) {
  corpus *from = NULL;
  uint64_t least = s->max_bytes < CORPUS_LEAST ? s->max_bytes : CORPUS_LEAST;
  if (s->folder_count != 0) {
    from = corpus_find(s->folders, s->folder_count, s->max_bytes, s->seed);
  } else if (!s->make) {
    char *folders[sizeof default_folders / sizeof *default_folders];
    uint32_t count = sizeof default_folders / sizeof *default_folders;
    for (uint32_t i = 0; i < count; i++) folders[i] = (char *)(uintptr_t)default_folders[i];
    from = corpus_find(folders, count, s->max_bytes, s->seed);
    if (from->bytes < least) {
      corpus_give(from);
      from = NULL;
    }
  }
  if (from == NULL) from = corpus_make(s->max_bytes, s->seed);
  if (from == NULL || from->count == 0) {
    fprintf(stderr, "textindex: no text to index: name a folder with --dir, or start it inside the repository\n");
    exit(3);
  }
  return from;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The question and its best three documents: two lines each. */
static size_t shown_length(const answer *of) {
  uint32_t lines = 0, at = 0;
  while (at < of->length && lines < 7) lines += of->bytes[at++] == '\n';
  return at;
}

static void show_answers(const service *s, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    query *q = query_new(s->now, s->seed + i);
    answer *out = query_answer(q, s->now);
    printf("%.*s\n", (int)shown_length(out), out->bytes);
    answer_give(out);
    query_give(q);
  }
}

static uint32_t count_words(const snapshot *in) {
  uint32_t words = 0;
  for (uint32_t i = 0; i < SHARDS; i++) {
    const shard *part = in->shards[i];
    for (uint32_t j = 0; part != NULL && j < part->capacity; j++) words += part->entries[j].list != NULL;
  }
  return words;
}

static void run(const settings *set, const corpus *from, summary *sum) {
  double begun = seconds_now();
  service *s = service_new(from, set->seed);
  atomic_store_explicit(&progress_now.phase, "load", memory_order_relaxed);
  while (service_load(s)) continue;
  sum->load_rounds = s->rounds;
  sum->load_seconds = seconds_now() - begun;
  atomic_store_explicit(&progress_now.phase, "serve", memory_order_relaxed);
  while ((double)service_use(s).bytes < set->alloc_gb * (1u << 30)) service_round(s);
  service_finish(s);
  sum->seconds = seconds_now() - begun;
  sum->service_rounds = s->rounds - sum->load_rounds;
  sum->reindexed = s->reindexed;
  sum->queries = s->queries;
  sum->digest = s->digest;
  sum->use = service_use(s);
  sum->query_median = s->query_times[s->queries / 2];
  sum->query_p99 = s->query_times[s->queries - 1 - s->queries / 100];
  sum->query_longest = s->query_times[s->queries - 1];
  sum->documents = s->now->document_count;
  sum->words = count_words(s->now);
  memory_read(&sum->memory);
  progress_stop();
  show_answers(s, set->show);
  service_give(s);
}

int main(int argc, char **argv) {
  memory_start();
  settings set = read_settings(argc, argv);
  summary sum = {.threads = set.threads, .seed = set.seed};
  progress_start(set.progress);
  atomic_store_explicit(&progress_now.phase, "find", memory_order_relaxed);
  corpus *from = choose_corpus(&set);
  sum.corpus_bytes = from->bytes;
  sum.made = from->material != NULL;
  crew_start(set.threads);
  run(&set, from, &sum);
  crew_stop();
  corpus_give(from);
  summary_print(&sum, stdout);
  if (set.json != NULL && !summary_write_json(&sum, set.json)) {
    fprintf(stderr, "textindex: cannot write %s\n", set.json);
    return 3;
  }
  return summary_within(&sum) ? 0 : 1;
}
