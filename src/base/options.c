/* options.c - see options.h. */
#include "base/options.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/fmt.h"

typedef enum option_kind {
  OPTION_NUMBER,
  OPTION_PERCENT,
  OPTION_SIZE,
  OPTION_SIGNAL,
  OPTION_SWITCH,
  OPTION_FAULT,
  OPTION_GEAR
} option_kind;

typedef struct option_entry {
  const char *variable;
  const char *name; /* within a list variable; "" when the variable is the option */
  option_kind kind;
  size_t offset;
  int64_t initial, low, high;
  const char *text;
} option_entry;

#define SETTING(field) offsetof(tri_settings, field)

/* The later of two lines for one setting wins: a TRICOLOR_ name over Go's. */
static const option_entry options[] = {
    {"GOGC", "", OPTION_PERCENT, SETTING(gc_percent), 100, 0, INT_MAX, "As TRICOLOR_GC_PERCENT, which wins."},
    {"TRICOLOR_GC_PERCENT", "", OPTION_PERCENT, SETTING(gc_percent), 100, 0, INT_MAX,
     "Growth of the heap over what is live that starts a collection, in percent; off: collect only when asked."},
    {"TRICOLOR_GC_THREADS", "", OPTION_NUMBER, SETTING(gc_threads), 0, 0, TRI_MOST_GC_THREADS,
     "Threads that mark during a collection; 0: one per processor."},
    {"TRICOLOR_GEAR", "", OPTION_GEAR, SETTING(gear), TRI_GEAR_AUTO, 0, 0,
     "How collections run. page: beside the program, by watching which pages it writes (Linux 6.7). none: the program "
     "is "
     "stopped for the whole mark. auto: page where the system can do it."},
    {"TRICOLOR_YOUNG", "", OPTION_SWITCH, SETTING(young), 1, 0, 1,
     "Whether collections beside the program may look at young objects only, and take old ones to live, as long as "
     "that "
     "frees enough."},
    {"TRICOLOR_HEAP_RESERVE", "", OPTION_SIZE, SETTING(heap_reserve), 0, 0, INT64_MAX,
     "Address space to reserve for the heap, and so its largest size, rounded up to whole 4MiB; less where the system "
     "refuses it. 0: 1TiB, or what leaves the program half of its limit (ulimit -v)."},
    {"TRICOLOR_SIGNAL", "", OPTION_SIGNAL, SETTING(signal), SIGURG, 1, 64,
     "The signal that stops threads; change it when the program needs SIGURG for itself."},
    {"TRICOLOR_HUGE_PAGES", "", OPTION_SWITCH, SETTING(huge_pages), 0, 0, 1,
     "Whether what the heap has beyond its first 256MiB is to be huge pages, if the system has them. A thread that "
     "touches "
     "one for the first time cannot be stopped until it is cleared, which may take milliseconds."},
    {"TRICOLOR_TRACE", "gc", OPTION_SWITCH, SETTING(trace_gc), 0, 0, 1,
     "One line on standard error for each collection, in the form of Go's gctrace."},
    {"TRICOLOR_TRACE", "rounds", OPTION_SWITCH, SETTING(trace_rounds), 0, 0, 1,
     "One line more for each collection that ran beside the program: its stops, how often and how much of what the "
     "program had written was scanned again, and how often a stop that was to be the last was given up."},
    {"TRICOLOR_DEBUG", "check", OPTION_SWITCH, SETTING(check), 0, 0, 1,
     "After each mark, marks again by other means and aborts if a reachable object was missed."},
    {"TRICOLOR_DEBUG", "poison", OPTION_SWITCH, SETTING(poison), 0, 0, 1,
     "Overwrites objects with 0xdb when they are swept or freed."},
    {"TRICOLOR_DEBUG", "gcevery", OPTION_NUMBER, SETTING(collect_every), 0, 0, INT_MAX,
     "Collects every so many allocations of a thread."},
    {"TRICOLOR_DEBUG", "period", OPTION_NUMBER, SETTING(period), 120000, 1, INT_MAX,
     "Milliseconds after a collection when there is another one, however little the heap has grown since."},
    {"TRICOLOR_DEBUG", "workbufs", OPTION_NUMBER, SETTING(work_buffers), 0, 0, INT_MAX,
     "Lets marking have no more than so many work buffers, to exercise what happens without."},
    {"TRICOLOR_DEBUG", "inject", OPTION_FAULT, SETTING(inject), TRI_FAULT_NONE, 0, 0,
     "Breaks the collector on purpose, to show that this is found. root: stacks are not looked at. register: nor are "
     "the registers of threads that the signal stopped. child: an object that another one points to is left white. And "
     "in collections beside the program: new: an object made meanwhile is left white. dirty: now and then a page that "
     "was written is passed over. stack: stacks are taken as they were in an earlier stop."},
};
enum { OPTION_COUNT = sizeof options / sizeof options[0] };

extern char **environ;

static int64_t *setting_of(tri_settings *settings, const option_entry *option) {
  return (int64_t *)(void *)((char *)settings + option->offset);
}

/* ---- values ---- */

static bool parse_number(const char *text, int64_t *value, const char **end) {
  *value = 0;
  *end = text;
  while (**end >= '0' && **end <= '9') {
    if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, **end - '0', value)) return false;
    ++*end;
  }
  return *end != text;
}

/* Go's suffixes: B, KiB, MiB, GiB, TiB; none means bytes. */
static bool parse_size(const char *text, int64_t *value) {
  static const char *const suffixes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  const char *end;
  if (!parse_number(text, value, &end)) return false;
  if (!*end) return true;
  for (int i = 0; i < 5; i++)
    if (strcmp(end, suffixes[i]) == 0) return !__builtin_mul_overflow(*value, INT64_C(1) << (10 * i), value);
  return false;
}

static bool parse_switch(const char *text, int64_t *value) {
  *value = !*text || strcmp(text, "1") == 0 || strcmp(text, "on") == 0;
  return *value || strcmp(text, "0") == 0 || strcmp(text, "off") == 0;
}

/* Those that cannot be caught, that a faulting instruction raises, that abort raises, and the C library's own two. */
static bool may_stop(int64_t number) {
  static const int taken[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, 32, 33};
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (number == taken[i]) return false;
  return true;
}

static const char *const faults[] = {
    [TRI_FAULT_ROOT] = "root",         [TRI_FAULT_CHILD] = "child", [TRI_FAULT_DIRTY] = "dirty",
    [TRI_FAULT_REGISTER] = "register", [TRI_FAULT_NEW] = "new",     [TRI_FAULT_STACK] = "stack",
};

static bool parse_fault(const char *text, int64_t *value) {
  for (*value = TRI_FAULT_ROOT; *value <= TRI_FAULT_STACK; ++*value)
    if (strcmp(text, faults[*value]) == 0) return true;
  return false;
}

static const char *const gears[] = {[TRI_GEAR_AUTO] = "auto", [TRI_GEAR_PAGE] = "page", [TRI_GEAR_NONE] = "none"};

static bool parse_gear(const char *text, int64_t *value) {
  for (*value = 0; *value <= TRI_GEAR_NONE; ++*value)
    if (strcmp(text, gears[*value]) == 0) return true;
  return false;
}

static bool parse_bounded(const option_entry *option, const char *text, int64_t *value) {
  const char *end;
  return parse_number(text, value, &end) && !*end && *value >= option->low && *value <= option->high;
}

static bool parse_value(const option_entry *option, const char *text, int64_t *value) {
  switch (option->kind) {
  case OPTION_SWITCH: return parse_switch(text, value);
  case OPTION_FAULT: return parse_fault(text, value);
  case OPTION_GEAR: return parse_gear(text, value);
  case OPTION_SIZE: return parse_size(text, value);
  case OPTION_SIGNAL: return parse_bounded(option, text, value) && may_stop(*value);
  case OPTION_PERCENT:
    if (strcmp(text, "off") == 0 || strcmp(text, "-1") == 0) {
      *value = -1;
      return true;
    }
    break;
  case OPTION_NUMBER: break;
  }
  return parse_bounded(option, text, value);
}

enum { EXPECTATION_MAX = 128 };

/* What a value should have been. */
static void describe_expected(const option_entry *option, char what[EXPECTATION_MAX]) {
  const char *kind = "a number", *but = "";
  switch (option->kind) {
  case OPTION_SIZE: (void)tri_format(what, EXPECTATION_MAX, "a size such as 512MiB"); return;
  case OPTION_SWITCH: (void)tri_format(what, EXPECTATION_MAX, "1 or 0"); return;
  case OPTION_FAULT: (void)tri_format(what, EXPECTATION_MAX, "root, child, dirty, register, new or stack"); return;
  case OPTION_GEAR: (void)tri_format(what, EXPECTATION_MAX, "auto, page or none"); return;
  case OPTION_NUMBER: break;
  case OPTION_PERCENT:
    kind = "a percentage";
    but = ", or off";
    break;
  case OPTION_SIGNAL: but = " other than KILL, STOP, SEGV, BUS, ILL, FPE, TRAP, ABRT, 32 and 33"; break;
  }
  (void)tri_format(what, EXPECTATION_MAX, "%s from %lld to %lld%s", kind, (long long)option->low,
                   (long long)option->high, but);
}

static bool set(tri_settings *settings, const option_entry *option, const char *source, const char *text) {
  int64_t value;
  if (parse_value(option, text, &value)) {
    *setting_of(settings, option) = value;
    return true;
  }
  char what[EXPECTATION_MAX];
  describe_expected(option, what);
  tri_print("tricolor: %s: %s%s\"%s\" is not %s\n", source, option->name, *option->name ? "=" : "", text, what);
  return false;
}

/* ---- lists ---- */

static const option_entry *find_in_list(const char *name) {
  for (int i = 0; i < OPTION_COUNT; i++)
    if (*options[i].name && strcmp(options[i].name, name) == 0) return &options[i];
  return NULL;
}

static bool parse_item(tri_settings *settings, const char *source, char *item) {
  char *value = strchr(item, '=');
  if (value) *value++ = 0;
  const option_entry *option = find_in_list(item);
  if (option) return set(settings, option, source, value ? value : "");
  tri_print("tricolor: %s: unknown option \"%s\"\n", source, item);
  return false;
}

bool tri_settings_parse_list(tri_settings *settings, const char *source, const char *text) {
  bool good = true;
  char item[128];
  while (*text) {
    size_t length = strcspn(text, ",");
    if (length >= sizeof item) {
      tri_print("tricolor: %s: option too long: \"%s\"\n", source, text);
      return false;
    }
    memcpy(item, text, length);
    item[length] = 0;
    if (length) good &= parse_item(settings, source, item);
    text += length + (text[length] == ',');
  }
  return good;
}

/* ---- the environment ---- */

static bool is_known_variable(const char *assignment, size_t length) {
  for (int i = 0; i < OPTION_COUNT; i++)
    if (strlen(options[i].variable) == length && strncmp(options[i].variable, assignment, length) == 0) return true;
  return false;
}

/* A misspelt TRICOLOR_ variable would otherwise be silently without effect. A set-user-id program looks at none: what
 * its user has set must not decide whether it starts. */
static bool report_unknown(void) {
  bool good = true;
  if (getauxval(AT_SECURE)) return true;
  for (char **variable = environ; variable && *variable; variable++) {
    size_t length = strcspn(*variable, "=");
    if (strncmp(*variable, "TRICOLOR_", 9) != 0 || is_known_variable(*variable, length)) continue;
    tri_print("tricolor: unknown environment variable %s\n", *variable);
    good = false;
  }
  return good;
}

bool tri_settings_read(tri_settings *settings) {
  bool good = report_unknown();
  for (int i = 0; i < OPTION_COUNT; i++) *setting_of(settings, &options[i]) = options[i].initial;
  const char *last_list = "";
  for (int i = 0; i < OPTION_COUNT; i++) {
    const char *text = secure_getenv(options[i].variable);
    if (!text || (options[i].kind == OPTION_PERCENT && !*text)) continue; /* Go takes an empty GOGC for none */
    if (!*options[i].name) {
      good &= set(settings, &options[i], options[i].variable, text);
    } else if (strcmp(last_list, options[i].variable) != 0) {
      last_list = options[i].variable;
      good &= tri_settings_parse_list(settings, last_list, text);
    }
  }
  return good;
}

void tri_settings_describe(void (*visit)(void *argument, const char *variable, const char *name, const char *initial,
                                         const char *text),
                           void *argument) {
  for (int i = 0; i < OPTION_COUNT; i++) {
    char initial[24];
    if (options[i].kind == OPTION_GEAR)
      (void)tri_format(initial, sizeof initial, "%s", gears[options[i].initial]);
    else
      (void)tri_format(initial, sizeof initial, "%lld", (long long)options[i].initial);
    visit(argument, options[i].variable, options[i].name, initial, options[i].text);
  }
}
