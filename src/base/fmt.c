/* fmt.c - formatted output that never allocates, takes no lock and is async-signal-safe; fmt.h has the contract.
 *
 * A tri_sink counts every character and keeps those that fit, so that a text cut short still reports its whole length.
 * A conversion is read into a tri_spec first; one that is not understood is copied to the output as it stands and takes
 * no argument. Called by traces, reports and tri_fatal, also from signal handlers. */
#include "base/fmt.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  PRINT_MAX = 1024,
  NUMBER_MAX = 40,     /* 20 digits, a point, PRECISION_MAX digits and room */
  PRECISION_MAX = 9,   /* 10 to this power fits 30 bits, which keeps the fraction exact */
  PRECISION_NONE = -1, /* no precision was written */
  WIDTH_MAX = 4096,    /* a wider field is a mistake; it is cut to this */
};

/* Where text goes: length counts all of it, the first size - 1 characters are stored. */
typedef struct tri_sink {
  char *out;
  size_t size, length;
} tri_sink;

/* One conversion: %[-][0][width][.precision][length]conversion. */
typedef struct tri_spec {
  bool left, zero;
  int width, precision;
  int longs; /* -2 hh, -1 h, 0 int, 1 l and z, 2 ll */
  char conversion;
} tri_spec;

static void sink_char(tri_sink *sink, char character) {
  if (sink->length + 1 < sink->size) sink->out[sink->length] = character;
  sink->length++;
}

static void sink_text(tri_sink *sink, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) sink_char(sink, text[i]);
}

static void sink_repeat(tri_sink *sink, char character, size_t count) {
  while (count-- > 0) sink_char(sink, character);
}

/* Writes text padded to the width. A prefix (sign, 0x) stays in front of zeros. */
static void sink_field(tri_sink *sink, const tri_spec *spec, const char *prefix, const char *text, size_t length) {
  size_t prefix_length = 0;
  while (prefix[prefix_length]) prefix_length++;
  size_t used = prefix_length + length;
  size_t padding = (size_t)spec->width > used ? (size_t)spec->width - used : 0;
  bool zeros = spec->zero && !spec->left;
  if (!spec->left && !zeros) sink_repeat(sink, ' ', padding);
  sink_text(sink, prefix, prefix_length);
  if (zeros) sink_repeat(sink, '0', padding);
  sink_text(sink, text, length);
  if (spec->left) sink_repeat(sink, ' ', padding);
}

/* Writes the digits of value so that they end at end; returns where they begin. */
static char *write_digits(char *end, uint64_t value, unsigned base) {
  do {
    *--end = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  return end;
}

static void put_unsigned(tri_sink *sink, const tri_spec *spec, const char *prefix, uint64_t value, unsigned base) {
  char buffer[NUMBER_MAX];
  char *end = buffer + sizeof buffer;
  char *digits = write_digits(end, value, base);
  sink_field(sink, spec, prefix, digits, (size_t)(end - digits));
}

static void put_signed(tri_sink *sink, const tri_spec *spec, int64_t value) {
  uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  put_unsigned(sink, spec, value < 0 ? "-" : "", magnitude, 10);
}

static void put_string(tri_sink *sink, const tri_spec *spec, const char *text) {
  if (!text) text = "(null)";
  size_t length = 0;
  while ((spec->precision < 0 || length < (size_t)spec->precision) && text[length]) length++;
  tri_spec plain = *spec;
  plain.zero = false;
  sink_field(sink, &plain, "", text, length);
}

/* Rounds value, at least 0 and below 2^64, to the nearest multiple of 1 / scale, ties to even, as printf does. The
 * fraction is held exactly, in units of 2^-96: only values below 2^-43 have digits beneath that, and to at most
 * PRECISION_MAX digits those round to 0 whatever they are. */
static void split(double value, uint64_t scale, uint64_t *whole, uint64_t *fraction) {
  __extension__ typedef unsigned __int128 wide;
  *whole = (uint64_t)value;
  double rest = (value - (double)*whole) * 0x1p64; /* exact: a value with a fraction is below 2^53 */
  uint64_t high = (uint64_t)rest;
  uint64_t low = (uint64_t)((rest - (double)high) * 0x1p32);
  wide product = (((wide)high << 32) + low) * scale;
  wide half = (wide)1 << 95, remainder = product & ((half << 1) - 1);
  *fraction = (uint64_t)(product >> 96);
  uint64_t last = scale == 1 ? *whole : *fraction;
  if (remainder > half || (remainder == half && (last & 1))) ++*fraction;
  if (*fraction == scale) {
    *fraction = 0;
    ++*whole;
  }
}

static void put_double(tri_sink *sink, tri_spec *spec, double value) {
  const char *sign = __builtin_signbit(value) ? "-" : "";
  double magnitude = __builtin_fabs(value);
  if (!(magnitude < 0x1p64)) {
    spec->zero = false;
    sink_field(sink, spec, sign, magnitude != magnitude ? "nan" : "inf", 3);
    return;
  }
  int precision = spec->precision == PRECISION_NONE ? 6 : spec->precision;
  if (precision > PRECISION_MAX) precision = PRECISION_MAX;
  uint64_t scale = 1, whole, fraction;
  for (int i = 0; i < precision; i++) scale *= 10;
  split(magnitude, scale, &whole, &fraction);
  char buffer[NUMBER_MAX];
  char *end = buffer + sizeof buffer;
  char *start = end;
  if (precision > 0) {
    start = write_digits(end, fraction, 10);
    while (end - start < precision) *--start = '0';
    *--start = '.';
  }
  start = write_digits(start, whole, 10);
  sink_field(sink, spec, sign, start, (size_t)(end - start));
}

static const char *parse_number(const char *at, int *number) {
  for (*number = 0; *at >= '0' && *at <= '9'; at++)
    *number = *number < WIDTH_MAX ? *number * 10 + (*at - '0') : *number;
  if (*number > WIDTH_MAX) *number = WIDTH_MAX;
  return at;
}

/* Reads a conversion after its %; returns the character behind it, or NULL when the format ends within it. */
static const char *parse_spec(const char *at, tri_spec *spec) {
  *spec = (tri_spec){.precision = PRECISION_NONE};
  for (; *at == '-' || *at == '0'; at++) *(*at == '-' ? &spec->left : &spec->zero) = true;
  at = parse_number(at, &spec->width);
  if (*at == '.') at = parse_number(at + 1, &spec->precision);
  for (; *at == 'h'; at++) spec->longs--;
  for (; *at == 'l'; at++) spec->longs++;
  if (*at == 'z') {
    spec->longs = 1;
    at++;
  }
  spec->conversion = *at;
  return *at ? at + 1 : NULL;
}

static int64_t signed_argument(const tri_spec *spec, va_list *arguments) {
  if (spec->longs > 1) return va_arg(*arguments, long long);
  if (spec->longs == 1) return va_arg(*arguments, long);
  int value = va_arg(*arguments, int);
  return spec->longs == 0 ? value : spec->longs == -1 ? (short)value : (signed char)value;
}

static uint64_t unsigned_argument(const tri_spec *spec, va_list *arguments) {
  if (spec->longs > 1) return va_arg(*arguments, unsigned long long);
  if (spec->longs == 1) return va_arg(*arguments, unsigned long);
  unsigned value = va_arg(*arguments, unsigned);
  return spec->longs == 0 ? value : spec->longs == -1 ? (unsigned short)value : (unsigned char)value;
}

/* Writes one conversion. False when it is not one we know: then nothing was written and no argument taken. */
static bool put(tri_sink *sink, tri_spec *spec, va_list *arguments) {
  char character;
  switch (spec->conversion) {
  case '%': sink_char(sink, '%'); return true;
  case 's': put_string(sink, spec, va_arg(*arguments, const char *)); return true;
  case 'c':
    character = (char)va_arg(*arguments, int);
    spec->zero = false;
    sink_field(sink, spec, "", &character, 1);
    return true;
  case 'd':
  case 'i': put_signed(sink, spec, signed_argument(spec, arguments)); return true;
  case 'u': put_unsigned(sink, spec, "", unsigned_argument(spec, arguments), 10); return true;
  case 'x': put_unsigned(sink, spec, "", unsigned_argument(spec, arguments), 16); return true;
  case 'p': put_unsigned(sink, spec, "0x", (uintptr_t)va_arg(*arguments, void *), 16); return true;
  case 'f': put_double(sink, spec, va_arg(*arguments, double)); return true;
  default: return false;
  }
}

size_t tri_vformat(char *out, size_t size, const char *format, va_list arguments) {
  tri_sink sink = {out, size, 0};
  va_list rest;
  va_copy(rest, arguments);
  while (*format) {
    const char *start = format++;
    tri_spec spec;
    if (*start != '%') {
      sink_char(&sink, *start);
      continue;
    }
    const char *next = parse_spec(format, &spec);
    if (next && put(&sink, &spec, &rest))
      format = next;
    else
      sink_char(&sink, '%');
  }
  va_end(rest);
  if (size > 0) out[tri_min(sink.length, size - 1)] = 0;
  return sink.length;
}

size_t tri_format(char *out, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  size_t length = tri_vformat(out, size, format, arguments);
  va_end(arguments);
  return length;
}

void tri_print(const char *format, ...) {
  int saved = errno;
  char text[PRINT_MAX + 1];
  va_list arguments;
  va_start(arguments, format);
  size_t length = tri_vformat(text, sizeof text, format, arguments);
  va_end(arguments);
  /* The bare system call: write() may be interposed, and is a cancellation point. */
  (void)syscall(SYS_write, STDERR_FILENO, text, tri_min(length, sizeof text - 1));
  errno = saved;
}
