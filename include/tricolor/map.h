/* tricolor/map.h - hash maps for this heap. (Go: map)
 *
 *     TRI_MAP(counts, const char *, int, tri_hash_string, tri_equal_string);   // at file scope
 *
 *     counts words = {0};                                  // empty, no memory yet
 *     ++*counts_put(&words, "word");                       // the value, zero at first; NULL when memory is out
 *     int *found = counts_get(&words, "word");             // NULL: not there
 *     for (counts_iterator i = counts_each(&words); counts_next(&i);) printf("%s %d\n", *i.key, *i.value);
 *
 * TRI_MAP(name, K, V, hash, equal) defines, for key and value types that can be assigned:
 *
 *   name                                      the map; an empty one is {0}. length: how many entries it has. Do not
 *                                             copy it and go on with both
 *   V *name_get(const name *m, K key)         the key's value, or NULL. O(1)
 *   bool name_has(const name *m, K key)
 *   V *name_put(name *m, K key)               the key's value, new and zero when it was not there; NULL with errno
 *                                             ENOMEM. Amortised O(1): a growing map is copied
 *   bool name_set(name *m, K key, V value)    false with errno ENOMEM
 *   bool name_delete(name *m, K key)          whether it was there
 *   void name_clear(name *m)                  keeps the memory for what comes
 *   bool name_reserve(name *m, size_t more)   room for so many more; false with errno ENOMEM
 *   name_iterator name_each(const name *m)    before the first entry;
 *   bool name_next(name_iterator *i)          moves on: i->key and i->value point to the next entry. false: no more
 *
 * A pointer to a value is good until the next put or clear. While iterating the map may be changed, with Go's promises:
 * every entry comes at most once; one that is deleted before its turn does not come, one that is new may. The order is
 * not defined, and another in each map.
 *
 * hash(key, seed) gives 64 bits, all of them good; equal(a, b) whether two keys are the same. Either may be a macro.
 * Below are those for integers, pointers, strings and texts. Each map has a seed that nobody can foresee, so that
 * chosen keys do not collide. The map does not copy what a key points to.
 *
 * Keys and values are read conservatively. When neither holds a pointer, say TRI_TYPE(name_group) after TRI_MAP, which
 * spares the collector all of it.
 *
 * A map is used by one thread at a time, or read by many; a call that meets another's change aborts with a line that
 * says so, where it notices (as in Go). Not for signal handlers. How it works: docs/design/structures.md.
 */
#ifndef TRICOLOR_MAP_H
#define TRICOLOR_MAP_H

#include <string.h>
#include <tricolor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Hashes ------------------------------------------------------------------------------------------------------ */

/* The halves of a product of 128 bits, one upon the other. */
static inline uint64_t tri_hash_fold_(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)a * b;
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Of integers and pointers, as keys of up to 64 bits: spread by the golden ratio (2^64 / 1.618...), then mixed by what
 * nobody knows. */
static inline uint64_t tri_hash_number_(uint64_t number, uint64_t seed) {
  return tri_hash_fold_(tri_hash_fold_(number ^ seed, UINT64_C(0x9e3779b97f4a7c15)), seed | 1);
}
#define tri_hash_int(key, seed) tri_hash_number_((uint64_t)(key), (seed))
#define tri_hash_pointer(key, seed) tri_hash_number_((uint64_t)(uintptr_t)(key), (seed))
#define tri_equal_int(a, b) ((a) == (b))
#define tri_equal_pointer(a, b) ((a) == (b))

static inline uint64_t tri_word_at_(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Up to 8 bytes, each at least once. */
static inline uint64_t tri_short_word_(const unsigned char *bytes, size_t size) {
  uint32_t low, high;
  if (size < 4) return size ? (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1] : 0;
  memcpy(&low, bytes, sizeof low);
  memcpy(&high, bytes + size - sizeof high, sizeof high);
  return (uint64_t)high << 32 | low;
}

/* Of size bytes: folded products of two words each, both with what nobody knows in them, so that nobody can choose a
 * factor of 0. The last two words overlap others when size is no multiple of 16. */
static inline uint64_t tri_hash_bytes(const void *data, size_t size, uint64_t seed) {
  const unsigned char *bytes = (const unsigned char *)data;
  uint64_t hash = seed + size * UINT64_C(0x9e3779b97f4a7c15), first, second = 0;
  size_t left = size;
  for (; left > 16; left -= 16, bytes += 16)
    hash = tri_hash_fold_(tri_word_at_(bytes) ^ seed, tri_word_at_(bytes + 8) ^ hash);
  if (left > 8) {
    first = tri_word_at_(bytes);
    second = tri_word_at_(bytes + left - 8);
  } else {
    first = tri_short_word_(bytes, left);
  }
  return tri_hash_number_(tri_hash_fold_(first ^ seed, second ^ hash), hash);
}

/* Strings that end with 0. */
static inline uint64_t tri_hash_string(const char *key, uint64_t seed) {
  return tri_hash_bytes(key, strlen(key), seed);
}
static inline bool tri_equal_string(const char *a, const char *b) { return a == b || strcmp(a, b) == 0; }

/* Strings that carry their length, twice as fast as keys. (Go: string) */
typedef struct tri_text {
  const char *bytes;
  size_t length;
} tri_text;

static inline tri_text tri_text_of(const char *s) {
  tri_text text;
  text.bytes = s;
  text.length = strlen(s);
  return text;
}

/* By words of 8 bytes, the last of which overlaps the one before. */
static inline bool tri_same_bytes_(const char *a, const char *b, size_t size) {
  const unsigned char *one = (const unsigned char *)a, *other = (const unsigned char *)b;
  size_t at = 0;
  if (size < 8) return tri_short_word_(one, size) == tri_short_word_(other, size);
  for (; size - at > 8; at += 8)
    if (tri_word_at_(one + at) != tri_word_at_(other + at)) return false;
  return tri_word_at_(one + size - 8) == tri_word_at_(other + size - 8);
}
static inline uint64_t tri_hash_text(tri_text key, uint64_t seed) {
  return tri_hash_bytes(key.bytes, key.length, seed);
}
static inline bool tri_equal_text(tri_text a, tri_text b) {
  return a.length == b.length && (a.bytes == b.bytes || tri_same_bytes_(a.bytes, b.bytes, a.length));
}

/* ---- What the macro is made of ----------------------------------------------------------------------------------- */

/* A seed for a map. */
TRI_API uint64_t tri_map_seed(void);
/* Says that a map was used while another thread, or a hash function, changed it, and aborts. */
TRI_API void tri_map_misused(const char *name) __attribute__((noreturn, cold));

/* Entries lie in groups of eight behind a word of control bytes: 0, empty; 1, deleted; or 0x80 and seven bits of the
 * hash. So zeroed memory is a map without entries. */
enum { TRI_MAP_GROUP_ = 8, TRI_MAP_FILL_ = 7 };
#define TRI_MAP_LOW_ UINT64_C(0x0101010101010101)
#define TRI_MAP_HIGH_ UINT64_C(0x8080808080808080)

/* A bit for each byte that is zero; perhaps for a 1 above one, too. */
static inline uint64_t tri_map_zeros_(uint64_t bytes) { return (bytes - TRI_MAP_LOW_) & ~bytes & TRI_MAP_HIGH_; }
static inline uint64_t tri_map_tag_(uint64_t hash) { return hash >> 57 | 0x80; }
static inline unsigned tri_map_first_(uint64_t bits) { return (unsigned)__builtin_ctzll(bits) / 8; }

#define TRI_MAP_DO_ __attribute__((unused)) static inline
#define TRI_MAP_LONG_ __attribute__((unused, noinline)) static
#define TRI_MAP_BUSY_(m) __atomic_load_n(&(m)->busy_, __ATOMIC_RELAXED)
#define TRI_MAP_SET_BUSY_(m, is) __atomic_store_n(&(m)->busy_, (is), __ATOMIC_RELAXED)

/* clang-format off */
#define TRI_MAP(name, K, V, hash, equal)                                                                               \
  typedef struct name##_entry { K key; V value; } name##_entry;                                                        \
  typedef struct name##_group { uint64_t control; name##_entry entries[TRI_MAP_GROUP_]; } name##_group;                \
  typedef struct name {                                                                                                \
    size_t length;                                                                                                     \
    name##_group *groups_;                                                                                             \
    size_t mask_; /* groups, a power of two, less one */                                                               \
    size_t room_; /* empty places that may still be filled */                                                          \
    uint64_t seed_;                                                                                                    \
    bool busy_;                                                                                                        \
  } name;                                                                                                              \
  typedef struct name##_iterator {                                                                                     \
    K const *key;                                                                                                      \
    V *value;                                                                                                          \
    const name *map_;                                                                                                  \
    name##_group *groups_;                                                                                             \
    size_t mask_, at_;                                                                                                 \
  } name##_iterator;                                                                                                   \
  /* The entry of a key; NULL. */                                                                                      \
  TRI_MAP_DO_ name##_entry *name##_find_(const name *m, K key, uint64_t hashed) {                                      \
    size_t at = hashed & m->mask_, step = 0;                                                                           \
    uint64_t tags = tri_map_tag_(hashed) * TRI_MAP_LOW_;                                                               \
    for (;;) {                                                                                                         \
      name##_group *group = &m->groups_[at];                                                                           \
      uint64_t control = group->control, bits = tri_map_zeros_(control ^ tags);                                        \
      for (; bits; bits &= bits - 1) {                                                                                 \
        name##_entry *entry = &group->entries[tri_map_first_(bits)];                                                   \
        if (__builtin_expect(equal(entry->key, key), 1)) return entry;                                                 \
      }                                                                                                                \
      if (__builtin_expect(tri_map_zeros_(control) != 0, 1)) return NULL;                                              \
      at = (at + ++step) & m->mask_;                                                                                   \
    }                                                                                                                  \
  }                                                                                                                    \
  /* A free place for a key that is not there: fills its control byte. */                                              \
  TRI_MAP_DO_ name##_entry *name##_claim_(name *m, uint64_t hashed) {                                                  \
    size_t at = hashed & m->mask_, step = 0;                                                                           \
    uint64_t bits;                                                                                                     \
    unsigned place;                                                                                                    \
    name##_group *group;                                                                                               \
    while (!(bits = ~m->groups_[at].control & TRI_MAP_HIGH_)) at = (at + ++step) & m->mask_;                           \
    group = &m->groups_[at];                                                                                           \
    place = tri_map_first_(bits);                                                                                      \
    m->room_ -= !(group->control >> place * 8 & 1);                                                                    \
    group->control = (group->control & ~(UINT64_C(0xff) << place * 8)) | tri_map_tag_(hashed) << place * 8;            \
    m->length++;                                                                                                       \
    return &group->entries[place];                                                                                     \
  }                                                                                                                    \
  /* New groups, a power of two, for what there is; old ones stay for who iterates. */                                 \
  TRI_MAP_LONG_ bool name##_rebuild_(name *m, size_t groups) {                                                         \
    static tri_site site = TRI_SITE_(name##_group);                                                                    \
    name old = *m;                                                                                                     \
    name##_group *made = (name##_group *)tri_alloc_site_array(&site, groups);                                          \
    if (!made) return false;                                                                                           \
    m->seed_ = old.groups_ ? old.seed_ : tri_map_seed();                                                               \
    m->groups_ = made;                                                                                                 \
    m->mask_ = groups - 1;                                                                                             \
    m->room_ = groups * TRI_MAP_FILL_;                                                                                 \
    m->length = 0;                                                                                                     \
    for (size_t at = 0; old.groups_ && at <= old.mask_; at++) {                                                        \
      uint64_t bits = old.groups_[at].control & TRI_MAP_HIGH_;                                                         \
      for (; bits; bits &= bits - 1) {                                                                                 \
        const name##_entry *entry = &old.groups_[at].entries[tri_map_first_(bits)];                                    \
        *name##_claim_(m, hash(entry->key, m->seed_)) = *entry;                                                        \
      }                                                                                                                \
    }                                                                                                                  \
    return true;                                                                                                       \
  }                                                                                                                    \
  TRI_MAP_LONG_ bool name##_grow_(name *m, size_t more) {                                                              \
    size_t needed, groups = 1;                                                                                         \
    bool grown;                                                                                                        \
    if (__builtin_add_overflow(m->length, more, &needed)) needed = SIZE_MAX;                                           \
    while (groups * TRI_MAP_FILL_ < needed && groups < SIZE_MAX / 64) groups *= 2;                                     \
    /* One that was full of entries, not of deleted ones, doubles. */                                                  \
    if (m->groups_ && more == 1 && m->length > m->mask_ * 4) groups = (m->mask_ + 1) * 2;                              \
    if (m->groups_ && groups <= m->mask_) groups = m->mask_ + 1;                                                       \
    TRI_MAP_SET_BUSY_(m, true);                                                                                        \
    grown = name##_rebuild_(m, groups);                                                                                \
    TRI_MAP_SET_BUSY_(m, false);                                                                                       \
    return grown;                                                                                                      \
  }                                                                                                                    \
  TRI_MAP_DO_ V *name##_get(const name *m, K key) {                                                                    \
    name##_entry *entry;                                                                                               \
    if (m->length == 0) return NULL;                                                                                   \
    if (__builtin_expect(TRI_MAP_BUSY_(m), 0)) tri_map_misused(#name);                                                 \
    entry = name##_find_(m, key, hash(key, m->seed_));                                                                 \
    return entry ? &entry->value : NULL;                                                                               \
  }                                                                                                                    \
  TRI_MAP_DO_ bool name##_has(const name *m, K key) { return name##_get(m, key) != NULL; }                             \
  TRI_MAP_DO_ V *name##_put(name *m, K key) {                                                                          \
    name##_entry *entry;                                                                                               \
    uint64_t hashed;                                                                                                   \
    if (__builtin_expect(TRI_MAP_BUSY_(m), 0)) tri_map_misused(#name);                                                 \
    if (!m->groups_ && !name##_grow_(m, 1)) return NULL;                                                               \
    TRI_MAP_SET_BUSY_(m, true);                                                                                        \
    hashed = hash(key, m->seed_);                                                                                      \
    entry = name##_find_(m, key, hashed);                                                                              \
    TRI_MAP_SET_BUSY_(m, false);                                                                                       \
    if (entry) return &entry->value;                                                                                   \
    if (__builtin_expect(m->room_ == 0, 0) && !name##_grow_(m, 1)) return NULL;                                        \
    entry = name##_claim_(m, hashed);                                                                                  \
    entry->key = key;                                                                                                  \
    return &entry->value;                                                                                              \
  }                                                                                                                    \
  TRI_MAP_DO_ bool name##_set(name *m, K key, V value) {                                                               \
    V *place = name##_put(m, key);                                                                                     \
    if (place) *place = value;                                                                                         \
    return place != NULL;                                                                                              \
  }                                                                                                                    \
  /* No search went on from a group that has an empty place: there another may become empty. */                        \
  TRI_MAP_DO_ bool name##_delete(name *m, K key) {                                                                     \
    name##_entry *entry;                                                                                               \
    name##_group *group;                                                                                               \
    size_t place;                                                                                                      \
    bool is_passed;                                                                                                    \
    if (__builtin_expect(TRI_MAP_BUSY_(m), 0)) tri_map_misused(#name);                                                 \
    if (m->length == 0) return false;                                                                                  \
    TRI_MAP_SET_BUSY_(m, true);                                                                                        \
    entry = name##_find_(m, key, hash(key, m->seed_));                                                                 \
    if (entry) {                                                                                                       \
      group = &m->groups_[(size_t)((char *)entry - (char *)m->groups_) / sizeof(name##_group)];                        \
      place = (size_t)(entry - group->entries);                                                                        \
      is_passed = tri_map_zeros_(group->control) == 0;                                                                 \
      memset((void *)entry, 0, sizeof *entry);                                                                         \
      group->control &= ~(UINT64_C(0xff) << place * 8);                                                                \
      group->control |= (uint64_t)is_passed << place * 8;                                                              \
      m->room_ += !is_passed;                                                                                          \
      m->length--;                                                                                                     \
    }                                                                                                                  \
    TRI_MAP_SET_BUSY_(m, false);                                                                                       \
    return entry != NULL;                                                                                              \
  }                                                                                                                    \
  TRI_MAP_DO_ void name##_clear(name *m) {                                                                             \
    if (__builtin_expect(TRI_MAP_BUSY_(m), 0)) tri_map_misused(#name);                                                 \
    if (!m->groups_) return;                                                                                           \
    TRI_MAP_SET_BUSY_(m, true);                                                                                        \
    memset((void *)m->groups_, 0, (m->mask_ + 1) * sizeof *m->groups_);                                                \
    m->length = 0;                                                                                                     \
    m->room_ = (m->mask_ + 1) * TRI_MAP_FILL_;                                                                         \
    TRI_MAP_SET_BUSY_(m, false);                                                                                       \
  }                                                                                                                    \
  TRI_MAP_DO_ bool name##_reserve(name *m, size_t more) {                                                              \
    if (__builtin_expect(TRI_MAP_BUSY_(m), 0)) tri_map_misused(#name);                                                 \
    return more <= m->room_ || name##_grow_(m, more);                                                                  \
  }                                                                                                                    \
  TRI_MAP_DO_ name##_iterator name##_each(const name *m) {                                                             \
    name##_iterator i;                                                                                                 \
    memset((void *)&i, 0, sizeof i);                                                                                   \
    i.map_ = m;                                                                                                        \
    i.groups_ = m->groups_;                                                                                            \
    i.mask_ = m->mask_;                                                                                                \
    return i;                                                                                                          \
  }                                                                                                                    \
  /* Goes on in the groups that the map had at first; what it has in others by now is looked up there. */              \
  TRI_MAP_DO_ bool name##_next(name##_iterator *i) {                                                                   \
    if (!i->groups_) return false;                                                                                     \
    if (__builtin_expect(TRI_MAP_BUSY_(i->map_), 0)) tri_map_misused(#name);                                           \
    for (; i->at_ < (i->mask_ + 1) * TRI_MAP_GROUP_; i->at_++) {                                                       \
      name##_group *group = &i->groups_[i->at_ / TRI_MAP_GROUP_];                                                      \
      name##_entry *entry = &group->entries[i->at_ % TRI_MAP_GROUP_];                                                  \
      if (!(group->control >> i->at_ % TRI_MAP_GROUP_ * 8 & 0x80)) continue;                                           \
      if (i->groups_ != i->map_->groups_) {                                                                            \
        entry = name##_find_(i->map_, entry->key, hash(entry->key, i->map_->seed_));                                   \
        if (!entry) continue;                                                                                          \
      }                                                                                                                \
      i->key = &entry->key;                                                                                            \
      i->value = &entry->value;                                                                                        \
      i->at_++;                                                                                                        \
      return true;                                                                                                     \
    }                                                                                                                  \
    return false;                                                                                                      \
  }                                                                                                                    \
  struct name
/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif
