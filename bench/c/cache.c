/* cache.c - latency of a service that answers from a cache of so many bytes.
 *
 *     bench-cache-PEER [MIB OPERATIONS]      (1,024 MiB and 10,000,000)
 *
 * A chained hash table of entries: a key of 21 characters and a value of 100 to 4,096 bytes, of 64 sizes in equal
 * parts, each 6 % over the next smaller. An operation writes a request that names a key, looks the key up, and answers:
 * a response that holds a copy of the value. Request and response are garbage when the next operation has its own. 90 %
 * of the keys are in the cache, and an eighth of the entries gets half of these hits; for another key an entry is made,
 * which takes the place of the oldest, and malloc peers free that one.
 *
 * In the end every key that should be in the cache is looked up again. */
#include "latency.h"

enum {
  SIZES = 64,
  SIZE_LEAST = 100,
  SIZE_MOST = 4096,
  KEY_HEAD = 5, /* "user:" */
  KEY_BYTES = KEY_HEAD + 16,
  REQUEST_HEAD = 4, /* "GET " */
  REQUEST_TAIL = 31,
  REQUEST_BYTES = REQUEST_HEAD + KEY_BYTES + REQUEST_TAIL,
  RESPONSE_HEAD = 16,
  PATTERN_EXTRA = 256,
  HIT_PERCENT = 90
};

typedef struct entry {
  struct entry *next; /* in its bucket */
  char *key;          /* KEY_BYTES of them, no terminator */
  char *value;
  uint64_t hash, id;
  uint32_t size; /* of the value */
} entry;
BENCH_TYPE(entry, next, key, value);

typedef struct cache {
  entry **buckets;
  size_t mask;
  entry **ring; /* in order of age; the oldest is at id % count of the next one's id */
  size_t count;
  uint64_t next_id, seed;
  char *request, *response; /* the newest */
  uint64_t sum;             /* of what was answered */
} cache;

static cache service;
static char pattern[SIZE_MOST + PATTERN_EXTRA];
static const char request_tail[] = " HTTP/1.1\r\nHost: cache.test\r\n\r\n";
_Static_assert(sizeof(request_tail) == REQUEST_TAIL + 1, "as long as it says");
static uint32_t value_sizes[SIZES];

/* Returns the mean of the sizes. */
static size_t sizes_make(void) {
  size_t sum = 0;
  uint32_t size = SIZE_LEAST;
  for (int i = 0; i < SIZES; i++, size += size * 6 / 100) sum += value_sizes[i] = size < SIZE_MOST ? size : SIZE_MOST;
  return sum / SIZES;
}

/* The key of an id, as the program's users would have named it: a scattered number in hexadecimal digits. */
static inline void key_write(char *to, uint64_t id) {
  uint64_t number = (id + 1) * UINT64_C(0x9E3779B97F4A7C15);
  memcpy(to, "user:", KEY_HEAD);
  for (int i = 0; i < 16; i++) to[KEY_HEAD + i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
}

/* FNV-1a. */
static inline uint64_t key_hash(const char *key) {
  uint64_t hash = UINT64_C(14695981039346656037);
  for (int i = 0; i < KEY_BYTES; i++) hash = (hash ^ (unsigned char)key[i]) * UINT64_C(1099511628211);
  return hash;
}

static inline entry **bucket_of(uint64_t hash) { return &service.buckets[(hash ^ hash >> 32) & service.mask]; }

static inline entry *cache_find(const char *key, uint64_t hash) {
  entry *e = *bucket_of(hash);
  while (e != NULL && (e->hash != hash || memcmp(e->key, key, KEY_BYTES) != 0)) e = e->next;
  return e;
}

static inline void entry_evict(entry *old) {
  entry **at = bucket_of(old->hash);
  while (*at != old) at = &(*at)->next;
  *at = old->next;
  bench_drop(old->key);
  bench_drop(old->value);
  bench_drop(old);
}

/* An entry of the next id, in the place of the oldest. */
static entry *cache_add(const char *key, uint64_t hash) {
  entry *e = bench_new(entry);
  e->id = service.next_id++;
  e->hash = hash;
  e->size = value_sizes[hash % SIZES];
  e->key = bench_noscan(KEY_BYTES);
  memcpy(e->key, key, KEY_BYTES);
  e->value = bench_noscan(e->size);
  memcpy(e->value, pattern + e->id % PATTERN_EXTRA, e->size);
  entry **place = &service.ring[e->id % service.count];
  if (*place != NULL) entry_evict(*place);
  *place = e;
  e->next = *bucket_of(hash);
  *bucket_of(hash) = e;
  return e;
}

/* Which key is asked for: one that is there, where half of the draws take an eighth of them; or the next new one. */
static inline uint64_t id_draw(void) {
  if (bench_random_below(&service.seed, 100) >= HIT_PERCENT) return service.next_id;
  uint64_t draw = bench_random(&service.seed) >> 32;
  uint64_t skewed = (draw * draw >> 32) * draw >> 32;
  uint64_t rank = skewed * service.count >> 32;
  /* Scattered over the ring, so that favour and age are not the same. */
  uint64_t place = rank * UINT64_C(2654435761) % service.count;
  uint64_t newest = service.next_id - 1;
  return newest - (newest + service.count - place) % service.count;
}

static inline void serve(void) {
  char *request = bench_noscan(REQUEST_BYTES);
  memcpy(request, "GET ", REQUEST_HEAD);
  key_write(request + REQUEST_HEAD, id_draw());
  memcpy(request + REQUEST_HEAD + KEY_BYTES, request_tail, REQUEST_TAIL);
  if (BENCH_FREES) bench_drop(service.request);
  service.request = request;

  const char *key = request + REQUEST_HEAD;
  uint64_t hash = key_hash(key);
  entry *e = cache_find(key, hash);
  if (e == NULL) e = cache_add(key, hash);

  char *response = bench_noscan(RESPONSE_HEAD + e->size);
  memcpy(response, "HTTP/1.1 200 OK\n", RESPONSE_HEAD);
  memcpy(response + RESPONSE_HEAD, e->value, e->size);
  if (BENCH_FREES) bench_drop(service.response);
  service.response = response;
  service.sum = service.sum * 31 + (unsigned char)response[RESPONSE_HEAD] +
                (unsigned char)response[RESPONSE_HEAD + e->size - 1] + (e->id & 255);
}

static void cache_make(size_t live_bytes) {
  size_t mean = sizes_make();
  for (size_t i = 0; i < sizeof(pattern); i++) pattern[i] = (char)(i * 7 + 1);
  service.count = live_bytes / (mean + KEY_BYTES + sizeof(entry));
  service.mask = 1;
  while (service.mask < service.count) service.mask = service.mask * 2 + 1;
  service.buckets = bench_scan((service.mask + 1) * sizeof(entry *));
  memset(service.buckets, 0, (service.mask + 1) * sizeof(entry *));
  service.ring = bench_scan(service.count * sizeof(entry *));
  memset(service.ring, 0, service.count * sizeof(entry *));
  service.seed = 88172645463325252;
  for (size_t i = 0; i < service.count; i++) {
    char key[KEY_BYTES];
    key_write(key, service.next_id);
    (void)cache_add(key, key_hash(key));
  }
}

/* How many of the newest entries are not found by their key, or are not as they were written. */
static uint64_t cache_lost(void) {
  uint64_t lost = 0;
  for (uint64_t id = service.next_id - service.count; id < service.next_id; id++) {
    char key[KEY_BYTES];
    key_write(key, id);
    const entry *e = cache_find(key, key_hash(key));
    lost += e == NULL || e->id != id || memcmp(e->value, pattern + id % PATTERN_EXTRA, e->size) != 0;
  }
  return lost;
}

int main(int argc, char **argv) {
  size_t live_bytes = (size_t)bench_arg(argc, argv, 1, 1024) << 20;
  size_t operations = (size_t)bench_arg(argc, argv, 2, 10000000);
  bench_start();
  cache_make(live_bytes);
  bench_latency *latency = bench_latency_make();
  uint64_t start = bench_now_ns();
  bench_latency_begin(latency, start);
  for (size_t i = 0; i < operations; i++) {
    serve();
    bench_latency_end(latency);
  }
  double wall_ms = bench_ms_since(start);
  bench_measured();

  uint64_t lost = cache_lost();
  if (lost > 0) {
    fprintf(stderr, "cache: %" PRIu64 " of %zu entries are lost or overwritten\n", lost, service.count);
    return 1;
  }
  bench_report("cache", "wall_ms=%.3f entries=%zu hits=%.4f %s check=%" PRIu64, wall_ms, service.count,
               1 - (double)(service.next_id - service.count) / (double)operations, bench_latency_text(latency),
               service.sum * 31 + service.next_id);
  return 0;
}
