/* test_fmt.c - formatted output against printf as the oracle, and fatal errors in child processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fmt.h"

enum { ROOM = 256 };

/* The same text and length as printf. */
#define SAME(...)                                                                                                      \
  do {                                                                                                                 \
    char ours[ROOM], theirs[ROOM];                                                                                     \
    size_t our_length = tri_format(ours, sizeof ours, __VA_ARGS__);                                                    \
    int their_length = snprintf(theirs, sizeof theirs, __VA_ARGS__);                                                   \
    assert_string_equal(ours, theirs);                                                                                 \
    assert_int_equal(our_length, their_length);                                                                        \
  } while (0)

static uint64_t random_state = 88172645463325252U;

static uint64_t random_next(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void test_integers(void **state) {
  (void)state;
  static const int ints[] = {0, 1, -1, 9, 10, 99, 100, -100, INT_MAX, INT_MIN};
  for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
    int value = ints[i];
    SAME("%d|%i|%u|%x", value, value, (unsigned)value, (unsigned)value);
    SAME("%5d|%-5d|%05d|%1d", value, value, value, value);
    SAME("%12x|%-12x|%012x", (unsigned)value, (unsigned)value, (unsigned)value);
  }
  SAME("%ld %lld %lu %llu %lx %llx", LONG_MIN, LLONG_MIN, ULONG_MAX, ULLONG_MAX, ULONG_MAX, ULLONG_MAX);
  SAME("%zu %zx %zd", SIZE_MAX, SIZE_MAX, (ssize_t)-7);
}

static void test_short_integers_are_narrowed(void **state) {
  (void)state;
  short narrow = -2;
  signed char narrower = -3;
  SAME("%hd %hu %hx", narrow, (unsigned short)narrow, (unsigned short)narrow);
  SAME("%hhd %hhu %hhx", narrower, (unsigned char)narrower, (unsigned char)narrower);
}

static void test_random_integers(void **state) {
  (void)state;
  for (int i = 0; i < 20000; i++) {
    uint64_t value = random_next() >> (random_next() & 63);
    SAME("%lu %ld %lx", value, (long)value, value);
    SAME("%24lu|%-24ld|%024ld|%019lx", value, (long)value, -(long)(value >> 1), value);
  }
}

static void test_text(void **state) {
  (void)state;
  SAME("%%");
  SAME("plain");
  SAME("%s|%s|%s", "", "a", "text");
  SAME("%8s|%-8s|%2s", "text", "text", "text");
  SAME("%.2s|%.0s|%.9s|%6.3s|%-6.3s", "text", "text", "text", "text", "text");
  SAME("%c%c|%3c|%-3c|", 'a', 'b', 'c', 'd');
  const char unterminated[3] = {'a', 'b', 'c'};
  SAME("%.3s", unterminated);
}

static void test_null_string(void **state) {
  (void)state;
  char out[ROOM];
  const char *volatile none = NULL;
  tri_format(out, sizeof out, "[%s]", none);
  assert_string_equal(out, "[(null)]");
}

static void test_pointers(void **state) {
  (void)state;
  char out[ROOM];
  SAME("%p %20p|%-20p|", (void *)0x1234abcd, (void *)&out, (void *)state);
  tri_format(out, sizeof out, "%p", NULL);
  assert_string_equal(out, "0x0");
}

static void test_doubles(void **state) {
  (void)state;
  static const double values[] = {0.0,
                                  0.5,
                                  1.5,
                                  2.5,
                                  0.05,
                                  0.25,
                                  0.125,
                                  0.375,
                                  0.9995,
                                  0.99949999,
                                  1.0,
                                  9.9999,
                                  99.995,
                                  1e-9,
                                  1e-20,
                                  DBL_MIN,
                                  4.9e-324,
                                  1e15,
                                  1e18,
                                  1.8e19,
                                  0x1p53,
                                  0x1p52,
                                  1.0 / 3,
                                  2.0 / 3,
                                  123456.789,
                                  0.1,
                                  0x1p-11,
                                  0x1p-65,
                                  4503599627370495.5};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    double value = values[i];
    SAME("%f %f", value, -value);
    SAME("%.0f %.1f %.2f %.3f %.6f %.9f", value, value, value, value, value, value);
    SAME("%30.3f|%-30.3f|%030.3f", value, -value, -value);
  }
}

/* Values of every size, and values with few binary digits, which are the ones that lie exactly between two results. */
static void test_random_doubles(void **state) {
  (void)state;
  for (int i = 0; i < 50000; i++) {
    double value = ldexp((double)(random_next() >> 11), -(int)(random_next() % 110));
    double tie = ldexp((double)(random_next() & 1023), -(int)(random_next() % 12));
    SAME("%.0f %.1f %.2f %.3f %.4f", value, value, value, value, value);
    SAME("%.5f %.6f %.7f %.8f %.9f", value, value, value, value, value);
    SAME("%.0f %.1f %.2f %.3f %.6f", tie, tie, tie, tie, tie);
  }
}

static void test_precision_is_at_most_nine(void **state) {
  (void)state;
  char out[ROOM];
  tri_format(out, sizeof out, "%.30f", 1.5);
  assert_string_equal(out, "1.500000000");
}

static void test_doubles_out_of_range(void **state) {
  (void)state;
  char out[ROOM];
  SAME("%f %f %8f|%-8f|", (double)INFINITY, -(double)INFINITY, (double)INFINITY, (double)NAN);
  tri_format(out, sizeof out, "%.1f %.0f", 0x1p64, -1e300);
  assert_string_equal(out, "inf -inf");
}

/* What is not understood is printed as it stands, and the next conversion still gets its own argument. */
static void test_unknown_conversions(void **state) {
  (void)state;
  static const struct {
    const char *format, *expected;
  } cases[] = {
      {"%q %d", "%q 7"}, {"%+d", "%+d"}, {"%#x", "%#x"}, {"%*d", "%*d"}, {"%Lf", "%Lf"}, {"100%", "100%"}, {"%-", "%-"},
      {"%5", "%5"},      {"%.", "%."},   {"%l", "%l"},   {"%e", "%e"},   {"%n", "%n"},   {"%d%", "7%"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char out[ROOM];
    const char *volatile format = cases[i].format;
    size_t length = tri_format(out, sizeof out, format, 7);
    assert_string_equal(out, cases[i].expected);
    assert_int_equal(length, strlen(cases[i].expected));
  }
}

static void test_cut_short(void **state) {
  (void)state;
  const char *whole = "number 12345 and text";
  for (size_t size = 1; size <= strlen(whole) + 2; size++) {
    char out[ROOM];
    memset(out, '#', sizeof out);
    assert_int_equal(tri_format(out, size, "number %d and %s", 12345, "text"), strlen(whole));
    size_t kept = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
    assert_memory_equal(out, whole, kept);
    assert_int_equal(out[kept], 0);
    assert_int_equal(out[kept + 1], '#');
  }
  assert_int_equal(tri_format(NULL, 0, "%s", whole), strlen(whole));
}

static void test_absurd_width_is_cut(void **state) {
  (void)state;
  char out[ROOM];
  const char *volatile format = "%99999999999d|";
  assert_int_equal(tri_format(out, sizeof out, format, 1), 4097);
}

/* Runs body in a child and returns what it wrote to standard error; *status is how it ended. */
static size_t child_error_output(void (*body)(void), char *out, size_t size, int *status) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  size_t length = 0;
  ssize_t got;
  while ((got = read(ends[0], out + length, size - 1 - length)) > 0) length += (size_t)got;
  close(ends[0]);
  out[length] = 0;
  assert_int_equal(waitpid(child, status, 0), child);
  return length;
}

static void print_some(void) {
  errno = 77;
  tri_print("some %d\n", 5);
  if (errno != 77) tri_print("errno was not kept\n");
}

static void print_nowhere(void) {
  int saved = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = 77;
  tri_print("text");
  int after = errno;
  dup2(saved, STDERR_FILENO);
  tri_print("%d", after);
}

static void print_much(void) { tri_print("%4000d", 1); }

static void test_print(void **state) {
  (void)state;
  char out[8192];
  int status;
  child_error_output(print_some, out, sizeof out, &status);
  assert_string_equal(out, "some 5\n");
  child_error_output(print_nowhere, out, sizeof out, &status);
  assert_string_equal(out, "77");
  assert_int_equal(child_error_output(print_much, out, sizeof out, &status), 1024);
}

static void die(void) { tri_fatal("tri_free(%p): not ours, %s", (void *)0x10, "says the test"); }
static void die_with_newline(void) { tri_fatal("over\n"); }
static void die_long(void) { tri_fatal("%4000d", 1); }
static void die_by_assertion(void) { tri_assert_failed("a == b", "file.c", 12); }

static void check_death(void (*body)(void), const char *expected) {
  char out[8192];
  int status;
  child_error_output(body, out, sizeof out, &status);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGABRT);
  assert_string_equal(out, expected);
}

static void test_fatal(void **state) {
  (void)state;
  check_death(die, "tricolor: tri_free(0x10): not ours, says the test\n");
  check_death(die_with_newline, "tricolor: over\n");
  check_death(die_by_assertion, "tricolor: assertion failed: a == b (file.c:12)\n");
}

static void test_fatal_text_is_cut_to_one_line(void **state) {
  (void)state;
  char out[8192];
  int status;
  size_t length = child_error_output(die_long, out, sizeof out, &status);
  assert_int_equal(WTERMSIG(status), SIGABRT);
  assert_int_equal(length, 1024);
  assert_int_equal(out[length - 1], '\n');
  assert_memory_equal(out, "tricolor: ", 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_integers),
      cmocka_unit_test(test_short_integers_are_narrowed),
      cmocka_unit_test(test_random_integers),
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_null_string),
      cmocka_unit_test(test_pointers),
      cmocka_unit_test(test_doubles),
      cmocka_unit_test(test_random_doubles),
      cmocka_unit_test(test_precision_is_at_most_nine),
      cmocka_unit_test(test_doubles_out_of_range),
      cmocka_unit_test(test_unknown_conversions),
      cmocka_unit_test(test_cut_short),
      cmocka_unit_test(test_absurd_width_is_cut),
      cmocka_unit_test(test_print),
      cmocka_unit_test(test_fatal),
      cmocka_unit_test(test_fatal_text_is_cut_to_one_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
