/* report.c - writes the progress line, the table and the JSON file. */
#include "report.h"

#include "crew.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define MB (1024.0 * 1024.0)
#define GB (1024.0 * MB)

progress progress_now = {.phase = "start"};

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

static struct {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int descriptor;
  bool ending;
} printer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void print_line(bool terminal) {
  memory_figures m;
  memory_read(&m);
  char line[200];
  int length = snprintf(line, sizeof line, "%-5s %4u  docs %6u  queries %7lu  alloc %5.2f GB  rss %4.0f MB",
                        atomic_load_explicit(&progress_now.phase, memory_order_relaxed),
                        atomic_load_explicit(&progress_now.round, memory_order_relaxed),
                        atomic_load_explicit(&progress_now.documents, memory_order_relaxed),
                        atomic_load_explicit(&progress_now.queries, memory_order_relaxed),
                        (double)(memory_collected ? m.allocated : crew_bytes()) / GB, (double)m.rss / MB);
  if (memory_collected) {
    snprintf(line + length, sizeof line - (size_t)length, "  heap %4.0f MB  gc %3u  stop %.2f ms", (double)m.heap / MB,
             m.collections, (double)m.stop_longest / 1e6);
  }
  dprintf(printer.descriptor, terminal ? "\r%s\033[K" : "%s\n", line);
}

static void *print_lines(void *unused) {
  (void)unused;
  bool terminal = isatty(printer.descriptor) != 0;
  long wait_ms = terminal ? 250 : 5000;
  pthread_mutex_lock(&printer.lock);
  while (!printer.ending) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    long ns = until.tv_nsec + wait_ms % 1000 * 1000000;
    until.tv_sec += wait_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    if (pthread_cond_timedwait(&printer.wake, &printer.lock, &until) != 0) print_line(terminal);
  }
  pthread_mutex_unlock(&printer.lock);
  if (terminal) dprintf(printer.descriptor, "\r\033[K");
  return NULL;
}

void progress_start(int descriptor) {
  printer.descriptor = descriptor;
  int error = pthread_create(&printer.thread, NULL, print_lines, NULL);
  if (error == 0) return;
  fprintf(stderr, "textindex: pthread_create: %s\n", strerror(error));
  exit(3);
}

void progress_stop(void) {
  pthread_mutex_lock(&printer.lock);
  printer.ending = true;
  pthread_cond_signal(&printer.wake);
  pthread_mutex_unlock(&printer.lock);
  pthread_join(printer.thread, NULL);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

uint64_t summary_growth(const summary *s) { return s->memory.rss_peak - s->memory.rss_start; }

uint64_t summary_limit(const summary *s) { return memory_collected ? s->memory.marked * 22 / 10 + (8u << 20) : 0; }

bool summary_within(const summary *s) { return !memory_collected || summary_growth(s) <= summary_limit(s); }

/* 1234567 as 1,234,567. */
typedef struct grouped {
  char text[32];
} grouped;

static grouped group(uint64_t value) {
  grouped out;
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%" PRIu64, value), to = 0;
  for (int i = 0; i < length; i++) {
    if (i != 0 && (length - i) % 3 == 0) out.text[to++] = ',';
    out.text[to++] = digits[i];
  }
  out.text[to] = '\0';
  return out;
}

__attribute__((format(printf, 3, 4))) static void row(FILE *to, const char *label, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(to, "  %-22s", label);
  vfprintf(to, format, arguments);
  fputc('\n', to);
  va_end(arguments);
}

static void print_work(const summary *s, FILE *to) {
  row(to, "corpus", "%s texts, %.1f MB%s; %s different words", group(s->documents).text, (double)s->corpus_bytes / MB,
      s->made ? " made from the repository" : "", group(s->words).text);
  row(to, "work", "%u rounds loading, %u serving; %s documents reindexed", s->load_rounds, s->service_rounds,
      group(s->reindexed).text);
  row(to, "queries", "%s: median %.2f ms, 99 %% within %.2f ms, longest %.2f ms", group(s->queries).text,
      s->query_median / 1e3, s->query_p99 / 1e3, s->query_longest / 1e3);
  row(to, "time", "%.1f s, of it loading %.1f s", s->seconds, s->load_seconds);
  row(to, "asked for", "%.2f GB in %s objects", (double)s->use.bytes / GB, group(s->use.objects).text);
}

static void print_collector(const summary *s, FILE *to) {
  const memory_figures *m = &s->memory;
  row(to, "TotalAlloc", "%.2f GB in %s objects", (double)m->allocated / GB, group(m->mallocs).text);
  row(to, "HeapAlloc", "%.1f MB at the end", (double)m->heap / MB);
  row(to, "HeapSys", "%.1f MB   (Sys %.1f MB)", (double)m->heap_sys / MB, (double)m->sys / MB);
  row(to, "NumGC", "%u", m->collections);
  row(to, "PauseTotal", "%.2f ms", (double)m->pause_total / 1e6);
  row(to, "longest stop", "%.3f ms of %s", (double)m->stop_longest / 1e6, group(m->stop_count).text);
  row(to, "GCCPUFraction", "%.3f   (marking %.1f s)", m->cpu_fraction, (double)m->mark_cpu / 1e9);
  row(to, "largest marked heap", "%.1f MB", (double)m->marked / MB);
}

void summary_print(const summary *s, FILE *to) {
  fprintf(to, "textindex on %s, %u threads, seed %" PRIu64 "\n", memory_manager, s->threads, s->seed);
  print_work(s, to);
  if (memory_collected) print_collector(s, to);
  if (memory_collected) {
    row(to, "peak RSS growth", "%.1f MB; at most %.1f MB (2.2 x largest marked + 8 MB): %s",
        (double)summary_growth(s) / MB, (double)summary_limit(s) / MB, summary_within(s) ? "kept" : "BROKEN");
  } else {
    row(to, "peak RSS growth", "%.1f MB", (double)summary_growth(s) / MB);
  }
  row(to, "answers", "digest %016" PRIx64, s->digest);
}

bool summary_write_json(const summary *s, const char *path) {
  FILE *to = fopen(path, "w");
  if (to == NULL) return false;
  const memory_figures *m = &s->memory;
  fprintf(to, "{\n  \"manager\": \"%s\",\n  \"digest\": \"%016" PRIx64 "\",\n", memory_manager, s->digest);
  const struct {
    const char *name;
    uint64_t value;
  } numbers[] = {
      {"threads", s->threads},
      {"seed", s->seed},
      {"documents", s->documents},
      {"words", s->words},
      {"corpus_bytes", s->corpus_bytes},
      {"load_rounds", s->load_rounds},
      {"service_rounds", s->service_rounds},
      {"reindexed", s->reindexed},
      {"queries", s->queries},
      {"query_median_us", s->query_median},
      {"query_p99_us", s->query_p99},
      {"query_longest_us", s->query_longest},
      {"asked_bytes", s->use.bytes},
      {"asked_objects", s->use.objects},
      {"peak_rss_growth_bytes", summary_growth(s)},
      {"peak_rss_bytes", m->rss_peak},
      {"limit_bytes", summary_limit(s)},
      {"total_alloc_bytes", m->allocated},
      {"heap_alloc_bytes", m->heap},
      {"heap_sys_bytes", m->heap_sys},
      {"sys_bytes", m->sys},
      {"num_gc", m->collections},
      {"pause_total_ns", m->pause_total},
      {"stop_longest_ns", m->stop_longest},
      {"stop_count", m->stop_count},
      {"mark_cpu_ns", m->mark_cpu},
      {"largest_marked_bytes", m->marked},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    fprintf(to, "  \"%s\": %" PRIu64 ",\n", numbers[i].name, numbers[i].value);
  }
  fprintf(to,
          "  \"load_seconds\": %.3f,\n  \"seconds\": %.3f,\n  \"gc_cpu_fraction\": %.6f,\n  \"within_limit\": %s\n}\n",
          s->load_seconds, s->seconds, m->cpu_fraction, summary_within(s) ? "true" : "false");
  return fclose(to) == 0;
}
