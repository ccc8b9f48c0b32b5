/* generation.c - see generation.h. */
#include "gc/generation.h"

static const uint32_t most_backoff = 15;

/* The first one tells nothing: the heap was empty. */
static size_t growth_to(const tri_generations *generations, size_t left) {
  return generations->left && left > generations->left ? left - generations->left : 0;
}

/* What a young one would have left is not known: where a full one leaves no more than before, perhaps half as much more
 * as was expected. */
void tri_generations_end_full(tri_generations *generations, size_t left, bool watched) {
  generations->growth = tri_max(growth_to(generations, left), generations->growth / 2);
  generations->full_left = generations->left = left;
  generations->can_be_young = watched;
  if (generations->full_due) generations->full_due--;
}

/* A full one would have cost about as much as what was left before, and freed more: a young one pays when it costs less
 * than half of that. */
void tri_generations_end_young(tri_generations *generations, size_t marked, size_t rescanned, size_t left) {
  bool paid = (marked + rescanned) / 2 < generations->left / 4;
  generations->backoff = paid ? generations->backoff / 2 : 2 * generations->backoff + 1;
  if (generations->backoff > most_backoff) generations->backoff = most_backoff;
  generations->full_due = paid ? 0 : generations->backoff;
  generations->growth = growth_to(generations, left);
  generations->left = left;
}

void tri_generations_forget(tri_generations *generations) { generations->can_be_young = false; }

/* What is old and dead takes room from the young: when no more than half of it would be left to them after another
 * young one, a full one is due. So the heap never grows beyond the goal of the last full one, and none is made young
 * that has to be followed by a full one at once. */
bool tri_generations_next_is_young(const tri_generations *generations, size_t goal) {
  if (!generations->can_be_young || generations->full_due) return false;
  size_t taken = generations->left + tri_min(generations->growth, SIZE_MAX - generations->left);
  return goal > taken && goal - taken > (goal - tri_min(goal, generations->full_left)) / 2;
}
