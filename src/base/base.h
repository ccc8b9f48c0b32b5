/* base.h - what every file may use: attributes, sizes, assertions, fatal errors, and arithmetic on words.
 *
 * TRI_ASSERT states what a comment would claim; it is compiled in debug and sanitizer builds (TRI_ASSERTIONS).
 * tri_fatal reports misuse of the API or damage: one line on standard error, then abort. It allocates nothing, takes
 * no lock and is async-signal-safe. Names that more than one file sees begin tri_, are hidden, and read noun then verb;
 * what is static needs no prefix. */
#ifndef TRI_BASE_H
#define TRI_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define tri_likely(x) __builtin_expect(!!(x), 1)
#define tri_unlikely(x) __builtin_expect(!!(x), 0)
#define TRI_NOINLINE __attribute__((noinline))
#define TRI_INLINE static inline __attribute__((always_inline))
#define TRI_COLD __attribute__((cold, noinline))
#define TRI_PRINTF(text, first) __attribute__((format(printf, text, first)))

#define TRI_KIB ((size_t)1024)
#define TRI_MIB ((size_t)1024 * 1024)
#define TRI_GIB ((size_t)1024 * 1024 * 1024)

enum {
  TRI_CACHE_LINE = 64,
  TRI_GRANULE_SHIFT = 4, /* one bit of the side bitmaps stands for 16 bytes */
  TRI_GRANULE = 1 << TRI_GRANULE_SHIFT,
  TRI_ODD_SIZE = 24,    /* the one size of slots that is no multiple of that (heap/arena.h); */
  TRI_ODD_GRANULES = 3, /* two of them */
  TRI_PAGE_SHIFT = 13,  /* a heap page is 8 KiB, as in Go; the system's page is the os layer's business */
  TRI_PAGE_SIZE = 1 << TRI_PAGE_SHIFT,
  TRI_CHUNK_SHIFT = 22, /* memory is committed and kept apart by kind in chunks of 4 MiB */
  TRI_CHUNK_SIZE = 1 << TRI_CHUNK_SHIFT,
  TRI_PAGES_PER_CHUNK = TRI_CHUNK_SIZE / TRI_PAGE_SIZE,
  TRI_WORDS_PER_PAGE = TRI_PAGE_SIZE / TRI_GRANULE / 64, /* 64-bit words of one side bitmap per page */
};

/* Mutable variables of the library itself. They are kept in a section of their own, which root scanning leaves out:
 * the library's data must never keep the program's objects alive. */
#define TRI_OWN_DATA __attribute__((section("tri_own_data")))

_Noreturn void tri_fatal(const char *format, ...) TRI_PRINTF(1, 2);
_Noreturn void tri_assert_failed(const char *condition, const char *file, int line);

#ifdef TRI_ASSERTIONS
#define TRI_ASSERT(condition) (tri_likely(condition) ? (void)0 : tri_assert_failed(#condition, __FILE__, __LINE__))
#else
#define TRI_ASSERT(condition) ((void)sizeof(!(condition)))
#endif

TRI_INLINE size_t tri_align_up(size_t value, size_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }
TRI_INLINE size_t tri_align_down(size_t value, size_t alignment) { return value & ~(alignment - 1); }
TRI_INLINE size_t tri_min(size_t a, size_t b) { return a < b ? a : b; }
TRI_INLINE size_t tri_max(size_t a, size_t b) { return a > b ? a : b; }

/* Bits set in a word; the compiler's builtin is a call where the processor is not known to have the instruction. */
TRI_INLINE uint32_t tri_popcount(uint64_t word) {
#if defined(__POPCNT__) || !defined(__x86_64__)
  return (uint32_t)__builtin_popcountll(word);
#else
  word -= word >> 1 & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return (uint32_t)(word * 0x0101010101010101u >> 56);
#endif
}

#endif
