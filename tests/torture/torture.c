/* torture.c - the only pointer to an object moves from place to place as fast as it can, while collections run: a
 * collector that overlooks one place, or looks at two of them in the wrong order, loses the object, and that is seen.
 *
 * Actors (actor.h) each have some two dozen graphs (cargo.h) whose one pointer rests somewhere (place.h) or is on a
 * trip through registers, stacks, the kernel, threads, libraries, forks (trips.h). No thread knows an address
 * otherwise. What each does follows from the seed and its number; how they meet does not, so a seed repeats a fault
 * only as often as the scheduler does.
 *
 * Ends with status 0 and a line that sums up, or with abort and lines that say what was lost where (report.h). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <tricolor.h>
#include <unistd.h>

#include "actor.h"
#include "exchange.h"
#include "noise.h"
#include "report.h"
#include "trips.h"

enum { PROGRESS_SECONDS = 5, STUCK_SECONDS = 300, MEBI = 1 << 20 };

static double seconds_to_run = 10;
static long memory_limit = 300; /* MiB the process may have at most; 0: whatever */
static long ballast_mib = 16;   /* MiB, of nodes of 64 bytes */
static actor *actors;

/* ---- options ---- */

static _Noreturn void explain(const char *program) {
  fprintf(stderr,
          "usage: %s [option...]\n"
          "  --seconds S, --minutes M   how long (10 s)\n"
          "  --threads N                actors, 1 to %d (4)\n"
          "  --seed S                   default: from the clock\n"
          "  --only NAME,...            these actions alone; --actions lists them\n"
          "  --gear G, --debug LIST     as TRICOLOR_GEAR, TRICOLOR_DEBUG\n"
          "  --ballast M                MiB of old nodes besides (%ld)\n"
          "  --memory M                 most MiB the process may use, 0: any (%ld)\n",
          program, MAX_ACTORS, ballast_mib, memory_limit);
  exit(2);
}

static double number(const char *program, const char *text, double low, double high) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= low && value <= high)) {
    fprintf(stderr, "torture: \"%s\" is not a number from %g to %g\n", text, low, high);
    explain(program);
  }
  return value;
}

static _Noreturn void list_actions(void) {
  for (unsigned i = 0; actor_action_name(i); i++) puts(actor_action_name(i));
  exit(0);
}

static void read_options(int count, char **arguments) {
  static const struct option options[] = {
      {"seconds", 1, NULL, 's'}, {"minutes", 1, NULL, 'm'}, {"threads", 1, NULL, 't'}, {"seed", 1, NULL, 'r'},
      {"only", 1, NULL, 'o'},    {"actions", 0, NULL, 'a'}, {"gear", 1, NULL, 'g'},    {"debug", 1, NULL, 'd'},
      {"memory", 1, NULL, 'M'},  {"ballast", 1, NULL, 'b'}, {NULL, 0, NULL, 0}};
  const char *program = arguments[0];
  for (int option; (option = getopt_long(count, arguments, "", options, NULL)) >= 0;) switch (option) {
    case 's': seconds_to_run = number(program, optarg, 0.1, 1e6); break;
    case 'm': seconds_to_run = 60 * number(program, optarg, 0.01, 1e5); break;
    case 't': torture.threads = (unsigned)number(program, optarg, 1, MAX_ACTORS); break;
    case 'r': torture.seed = strtoull(optarg, NULL, 0); break;
    case 'o': torture.only = optarg; break;
    case 'a': list_actions();
    case 'g': setenv("TRICOLOR_GEAR", optarg, 1); break;
    case 'd': setenv("TRICOLOR_DEBUG", optarg, 1); break;
    case 'b': ballast_mib = (long)number(program, optarg, 0, 1e6); break;
    case 'M': memory_limit = (long)number(program, optarg, 0, 1e6); break;
    default: explain(program);
    }
  torture.ballast = 1 + (size_t)ballast_mib * MEBI / 64 / torture.threads;
  if (optind < count || !actor_choose_actions()) explain(program);
}

/* ---- while it runs ---- */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static tri_memstats *memstats(void) {
  static tri_memstats stats;
  tri_read_memstats(&stats);
  return &stats;
}

static uint64_t total(size_t offset) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < torture.threads; i++)
    sum += atomic_load_explicit((_Atomic(uint64_t) *)(void *)((char *)&actors[i] + offset), memory_order_relaxed);
  return sum;
}

#define TOTAL(figure) total(offsetof(actor, figure))

static long peak_memory(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

static void show_progress(double since) {
  fprintf(stderr, "\rtorture: %4.0f s, %llu million steps, %u collections, %llu thousand graphs checked, peak %ld MiB ",
          now() - since, (unsigned long long)TOTAL(steps) / 1000000, memstats()->NumGC,
          (unsigned long long)TOTAL(checked) / 1000, peak_memory());
}

/* A thread that has not ended a step for so long hangs: report_text then says what it was at. */
static void look_for_stuck(double since) {
  static struct {
    uint64_t steps;
    double at;
  } seen[MAX_ACTORS];
  for (unsigned i = 0; i < torture.threads; i++) {
    uint64_t steps = atomic_load_explicit(&actors[i].steps, memory_order_relaxed);
    if (steps != seen[i].steps || seen[i].at < since) {
      seen[i].steps = steps;
      seen[i].at = now();
    } else if (now() - seen[i].at > STUCK_SECONDS) {
      report_text("thread %u hangs at step %llu, %s", i, (unsigned long long)steps, actors[i].doing);
    }
  }
}

static void await_end(double since) {
  double shown = since;
  while (now() - since < seconds_to_run) {
    nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
    look_for_stuck(since);
    if (!isatty(STDERR_FILENO) || now() - shown < PROGRESS_SECONDS) continue;
    shown = now();
    show_progress(since);
  }
}

/* ---- the end ---- */

static void sum_up(double since) {
  tri_stopstats stops;
  if (isatty(STDERR_FILENO)) fputs("\n", stderr);
  printf("moves by place:");
  for (unsigned i = 0; i < PLACE_COUNT; i++) printf(" %s=%llu", place_names[i], (unsigned long long)TOTAL(rests[i]));
  printf("\nactions:");
  for (unsigned i = 0; actor_action_name(i); i++)
    printf(" %s=%llu", actor_action_name(i), (unsigned long long)TOTAL(actions[i]));
  tri_read_stopstats(&stops);
  printf("\npassed: seed=%#llx threads=%u seconds=%.0f steps=%llu collections=%u forced=%u checked=%llu peak_mib=%ld "
         "longest_stop_ms=%.1f\n",
         (unsigned long long)torture.seed, torture.threads, now() - since, (unsigned long long)TOTAL(steps),
         memstats()->NumGC, memstats()->NumForcedGC, (unsigned long long)TOTAL(checked), peak_memory(),
         (double)stops.longest_ns / 1e6);
}

static void join_all(void) {
  atomic_store_explicit(&torture_is_over, true, memory_order_relaxed); /* a wish; the joins order the rest */
  for (unsigned i = 0; i < torture.threads; i++) {
    int error = pthread_join(actors[i].thread, NULL);
    if (error) report_text("pthread_join: error %d", error);
  }
}

static void run(void) {
  noise disturber;
  double since = now();
  actors = calloc(torture.threads, sizeof *actors);
  if (!actors) report_call("calloc", torture.threads);
  for (unsigned i = 0; i < torture.threads; i++) actor_start(&actors[i], i);
  noise_start(&disturber, actors);
  await_end(since);
  noise_end(&disturber);
  join_all();
  exchange_check_all();
  if (memory_limit && peak_memory() > memory_limit)
    report_text("the process used %ld MiB, more than %ld", peak_memory(), memory_limit);
  sum_up(since);
}

int main(int count, char **arguments) {
  torture = (torture_settings){.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32, .threads = 4};
  torture.library_folder = TEST_LIB_DIR;
  read_options(count, arguments);
  setenv("TRICOLOR_GC_PERCENT", "25", 0); /* so that garbage makes collections, too */
  printf("torture: seed %#llx (--seed repeats it), %u threads, %.0f s\n", (unsigned long long)torture.seed,
         torture.threads, seconds_to_run);
  fflush(stdout);
  report_catch_signals();
  trip_catch_signals();
  tri_err error = tri_init(NULL);
  if (error) report_text("tri_init: %s", tri_err_name(error));
  place_open_library(torture.library_folder);
  run();
  return 0;
}
