/* test_options.c - the option table: every value it takes, in lists and from the environment. Malformed ones are in
 * test_bad_input.c, where the messages are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/options.h"

static const char *const variables[] = {
    "GOGC",           "TRICOLOR_GC_PERCENT",   "TRICOLOR_GC_THREADS", "TRICOLOR_GEAR",
    "TRICOLOR_YOUNG", "TRICOLOR_HEAP_RESERVE", "TRICOLOR_SIGNAL",     "TRICOLOR_HUGE_PAGES",
    "TRICOLOR_TRACE", "TRICOLOR_DEBUG"};
enum { VARIABLES = sizeof variables / sizeof *variables };

static int clear_environment(void **state) {
  (void)state;
  for (int i = 0; i < VARIABLES; i++) unsetenv(variables[i]);
  unsetenv("TRICOLOR_MISSPELT");
  return 0;
}

static tri_settings read_good(void) {
  tri_settings settings;
  memset(&settings, 0xab, sizeof settings);
  assert_true(tri_settings_read(&settings));
  return settings;
}

static tri_settings read_with(const char *variable, const char *value) {
  setenv(variable, value, 1);
  tri_settings settings = read_good();
  unsetenv(variable);
  return settings;
}

static void assert_bad(const char *variable, const char *value) {
  tri_settings settings, usual = read_good();
  setenv(variable, value, 1);
  assert_false(tri_settings_read(&settings));
  assert_memory_equal(&settings, &usual, sizeof settings); /* its default stays */
  unsetenv(variable);
}

static void test_defaults(void **state) {
  (void)state;
  tri_settings settings = read_good();
  tri_settings want = {.gc_percent = 100, .signal = SIGURG, .young = 1, .period = 120 * 1000};
  assert_memory_equal(&settings, &want, sizeof want);
}

static void test_percent(void **state) {
  (void)state;
  assert_int_equal(read_with("GOGC", "50").gc_percent, 50);
  assert_int_equal(read_with("GOGC", "off").gc_percent, -1);
  assert_int_equal(read_with("TRICOLOR_GC_PERCENT", "0").gc_percent, 0);
  assert_int_equal(read_with("TRICOLOR_GC_PERCENT", "-1").gc_percent, -1);
  assert_int_equal(read_with("TRICOLOR_GC_PERCENT", "2147483647").gc_percent, INT_MAX);
  setenv("TRICOLOR_GC_PERCENT", "70", 1);
  assert_int_equal(read_with("GOGC", "50").gc_percent, 70);
  assert_bad("GOGC", "2147483648");
  assert_bad("GOGC", "-2");
  unsetenv("TRICOLOR_GC_PERCENT");
  assert_int_equal(read_with("GOGC", "").gc_percent, 100); /* as in Go */
  setenv("GOGC", "50", 1);
  assert_int_equal(read_with("TRICOLOR_GC_PERCENT", "").gc_percent, 50);
  unsetenv("GOGC");
  assert_bad("GOGC", "5%");
  assert_bad("GOGC", " 5");
}

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t want;
  } cases[] = {{"0", 0},
               {"4096", 4096},
               {"17B", 17},
               {"3KiB", 3 << 10},
               {"64MiB", 64 << 20},
               {"2GiB", 2ll << 30},
               {"1TiB", 1ll << 40},
               {"8388607TiB", 8388607ll << 40}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(read_with("TRICOLOR_HEAP_RESERVE", cases[i].text).heap_reserve, cases[i].want);
  assert_bad("TRICOLOR_HEAP_RESERVE", "8388608TiB");
  assert_bad("TRICOLOR_HEAP_RESERVE", "1K");
  assert_bad("TRICOLOR_HEAP_RESERVE", "1 MiB");
  assert_bad("TRICOLOR_HEAP_RESERVE", "MiB");
  assert_bad("TRICOLOR_HEAP_RESERVE", "-1");
  assert_bad("TRICOLOR_HEAP_RESERVE", "9223372036854775808");
}

static void test_numbers(void **state) {
  (void)state;
  assert_int_equal(read_with("TRICOLOR_GC_THREADS", "64").gc_threads, 64);
  assert_int_equal(read_with("TRICOLOR_SIGNAL", "10").signal, 10);
  assert_int_equal(read_with("TRICOLOR_HUGE_PAGES", "1").huge_pages, 1);
  assert_int_equal(read_with("TRICOLOR_HUGE_PAGES", "on").huge_pages, 1);
  assert_bad("TRICOLOR_GC_THREADS", "65");
  assert_bad("TRICOLOR_SIGNAL", "0");
  assert_bad("TRICOLOR_SIGNAL", "65");
}

static void test_gears(void **state) {
  (void)state;
  assert_int_equal(read_with("TRICOLOR_GEAR", "auto").gear, TRI_GEAR_AUTO);
  assert_int_equal(read_with("TRICOLOR_GEAR", "page").gear, TRI_GEAR_PAGE);
  assert_int_equal(read_with("TRICOLOR_GEAR", "none").gear, TRI_GEAR_NONE);
  assert_bad("TRICOLOR_GEAR", "pages");
  assert_bad("TRICOLOR_GEAR", "");
}

/* Threads cannot be stopped by those that cannot be caught, mean a fault, or are the C library's. */
static void test_signals(void **state) {
  (void)state;
  static const int taken[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, 32, 33};
  for (int number = 1; number <= 64; number++) {
    bool is_taken = false;
    char value[16];
    snprintf(value, sizeof value, "%d", number);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) is_taken |= taken[i] == number;
    if (is_taken)
      assert_bad("TRICOLOR_SIGNAL", value);
    else
      assert_int_equal(read_with("TRICOLOR_SIGNAL", value).signal, number);
  }
}

/* ---- set-user-ID programs ---- */

static bool is_secure;

/* In place of the C library's, which the library would ask. */
unsigned long getauxval(unsigned long type) {
  unsigned long (*real)(unsigned long) = (unsigned long (*)(unsigned long))(uintptr_t)dlsym(RTLD_NEXT, "getauxval");
  return type == AT_SECURE && is_secure ? 1 : real(type);
}

/* Whoever starts one must not be able to keep it from starting. */
static void test_unknown_variables_of_secure_programs(void **state) {
  (void)state;
  setenv("TRICOLOR_MISSPELT", "1", 1);
  is_secure = true;
  (void)read_good();
  is_secure = false;
  tri_settings settings;
  assert_false(tri_settings_read(&settings));
}

static void test_lists(void **state) {
  (void)state;
  tri_settings settings = read_with("TRICOLOR_DEBUG", "check=1,poison=1,gcevery=50,workbufs=2,inject=child,period=70");
  assert_int_equal(settings.check, 1);
  assert_int_equal(settings.poison, 1);
  assert_int_equal(settings.collect_every, 50);
  assert_int_equal(settings.period, 70);
  assert_int_equal(settings.work_buffers, 2);
  assert_int_equal(settings.inject, TRI_FAULT_CHILD);
  static const char *const faults[] = {"inject=root",     "inject=child", "inject=dirty",
                                       "inject=register", "inject=new",   "inject=stack"};
  for (int i = 0; i < 6; i++) assert_int_equal(read_with("TRICOLOR_DEBUG", faults[i]).inject, TRI_FAULT_ROOT + i);
  assert_int_equal(read_with("TRICOLOR_DEBUG", "check").check, 1);
  assert_int_equal(read_with("TRICOLOR_DEBUG", "check=on").check, 1);
  assert_int_equal(read_with("TRICOLOR_DEBUG", "check=1,check=0").check, 0);
  assert_int_equal(read_with("TRICOLOR_DEBUG", ",,check=1,").check, 1);
  assert_int_equal(read_with("TRICOLOR_TRACE", "gc").trace_gc, 1);
  assert_int_equal(read_with("TRICOLOR_TRACE", "gc=0").trace_gc, 0);
  assert_int_equal(read_with("TRICOLOR_TRACE", "rounds").trace_rounds, 1);
  assert_int_equal(read_with("TRICOLOR_TRACE", "").trace_gc, 0);
}

static void test_bad_lists(void **state) {
  (void)state;
  char longest[400];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  assert_bad("TRICOLOR_DEBUG", "chekc=1");
  assert_bad("TRICOLOR_DEBUG", "check=2");
  assert_bad("TRICOLOR_DEBUG", "gcevery");
  assert_bad("TRICOLOR_DEBUG", "period=0");
  assert_bad("TRICOLOR_DEBUG", "inject");
  assert_bad("TRICOLOR_DEBUG", "inject=none");
  assert_bad("TRICOLOR_DEBUG", "=1");
  assert_bad("TRICOLOR_DEBUG", longest);
  assert_bad("TRICOLOR_MISSPELT", "1");
  assert_bad("TRICOLOR_", "1");
}

/* What is good in a list holds, though something else in it is not. */
static void test_the_rest_of_a_bad_list(void **state) {
  (void)state;
  tri_settings settings = {0};
  assert_false(tri_settings_parse_list(&settings, "test", "check=1,nothing=1,poison=1"));
  assert_int_equal(settings.check, 1);
  assert_int_equal(settings.poison, 1);
}

/* Every option of the table, tried with the value it begins with. */
static int described;

static void visit(void *argument, const char *variable, const char *name, const char *initial, const char *text) {
  (void)argument;
  bool known = false;
  for (int i = 0; i < VARIABLES; i++) known |= strcmp(variables[i], variable) == 0;
  assert_true(known);
  assert_true(strlen(text) > 10);
  char value[100];
  snprintf(value, sizeof value, "%s%s%s", name, *name ? "=" : "", initial);
  if (strcmp(name, "inject") != 0) (void)read_with(variable, value);
  described++;
}

static void test_descriptions(void **state) {
  (void)state;
  tri_settings_describe(visit, NULL);
  assert_true(described >= 12);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_defaults, clear_environment),
      cmocka_unit_test_setup(test_percent, clear_environment),
      cmocka_unit_test_setup(test_sizes, clear_environment),
      cmocka_unit_test_setup(test_numbers, clear_environment),
      cmocka_unit_test_setup(test_gears, clear_environment),
      cmocka_unit_test_setup(test_signals, clear_environment),
      cmocka_unit_test_setup(test_unknown_variables_of_secure_programs, clear_environment),
      cmocka_unit_test_setup(test_lists, clear_environment),
      cmocka_unit_test_setup(test_bad_lists, clear_environment),
      cmocka_unit_test_setup(test_the_rest_of_a_bad_list, clear_environment),
      cmocka_unit_test_setup(test_descriptions, clear_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
