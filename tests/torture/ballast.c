/* ballast.c - see ballast.h. */
#include "ballast.h"

#include <stdlib.h>
#include <tricolor.h>

#include "report.h"

enum { CHAINS = 16, NODE_MAGIC = 0x0ba1 };

typedef struct link_node {
  uint64_t number, magic;
  struct link_node *next;
  void *volatile word;
  uint64_t more[4];
} link_node;
TRI_TYPE(link_node, next, word);

typedef struct heads {
  link_node *first[CHAINS];
} heads;
TRI_TYPE(heads, first);

void *ballast_make(ballast *b, size_t count) {
  heads *made = tri_new(heads);
  b->count = count;
  b->addresses = calloc(count, sizeof *b->addresses);
  if (!made || !b->addresses) report_call("tri_new or calloc", (long)count);
  for (size_t i = 0; i < count; i++) {
    link_node *node = tri_new(link_node);
    if (!node) report_call("tri_new", sizeof *node);
    *node = (link_node){.number = i, .magic = NODE_MAGIC, .next = made->first[i % CHAINS]};
    made->first[i % CHAINS] = node;
    b->addresses[i] = &node->word;
  }
  return made;
}

void ballast_check(const ballast *b, const void *from) {
  const heads *h = from;
  size_t found = 0;
  for (size_t i = 0; i < CHAINS; i++)
    for (const link_node *node = h->first[i]; node; node = node->next, found++)
      if (node->magic != NODE_MAGIC || node->number >= b->count || b->addresses[node->number] != &node->word)
        report_text("LOST: the ballast's node at %p of chain %zu is overwritten", (const void *)node, i);
  if (found != b->count) report_text("LOST: %zu nodes of ballast are left of %zu", found, b->count);
}

void ballast_drop(ballast *b) {
  free(b->addresses);
  b->addresses = NULL;
}
