/* cargo.c - see cargo.h. */
#include "cargo.h"

#include <stddef.h>
#include <string.h>
#include <tricolor.h>

#include "report.h"

typedef struct node {
  uint64_t tag;
  struct node *children[2];
  uint64_t mark; /* between the pointers, of no meaning to the collector */
  unsigned char *text;
  uint64_t length;
} node;
TRI_TYPE(node, children, text);

enum { MAX_NODES = 15, TEXT_STRIDE = 509, LARGE = 40 * 1024 };

typedef enum node_kind { TYPED, TYPED_ARRAY, CONSERVATIVE, LARGE_OBJECT, ALIGNED } node_kind;

/* What follows from the number and a node's place in the tree. */
typedef struct node_plan {
  uint64_t tag;
  node_kind kind;
  size_t size, offset; /* of the object, of the node in it */
  size_t length;       /* of the text */
} node_plan;

static unsigned node_count(uint64_t id) { return 1 + (unsigned)(random_mix(id) % MAX_NODES); }

static uint64_t node_tag(uint64_t id, unsigned index) {
  return random_mix(id + (index + 1) * UINT64_C(0x9e3779b97f4a7c15)) | UINT64_C(1) << 63;
}

static node_kind plan_kind(uint64_t tag) {
  unsigned chance = tag & 255;
  return chance < 1     ? LARGE_OBJECT
         : chance < 16  ? ALIGNED
         : chance < 40  ? TYPED_ARRAY
         : chance < 140 ? TYPED
                        : CONSERVATIVE;
}

static node_plan plan_node(uint64_t id, unsigned index) {
  uint64_t tag = node_tag(id, index);
  node_plan plan = {.tag = tag, .kind = plan_kind(tag), .size = sizeof(node), .length = 1 + (tag >> 8) % 150};
  size_t more = (tag >> 16) % 40 * sizeof(uint64_t), where = (tag >> 24) % 1000;
  if (plan.kind == TYPED_ARRAY) {
    plan.size *= 2 + (tag >> 32) % 5;
    plan.offset = where % (plan.size / sizeof(node)) * sizeof(node);
  } else if (plan.kind != TYPED) {
    plan.size += more + (plan.kind == LARGE_OBJECT ? LARGE : 0);
    plan.offset = where % ((plan.size - sizeof(node)) / sizeof(uint64_t) + 1) * sizeof(uint64_t);
  }
  if ((tag >> 40) % 512 == 0) plan.length += LARGE;
  return plan;
}

/* ---- making ---- */

static void *make_object(const node_plan *plan) {
  void *object = NULL;
  switch (plan->kind) {
  case TYPED: object = tri_new(node); break;
  case TYPED_ARRAY: object = tri_make(node, plan->size / sizeof(node)); break;
  case ALIGNED: object = tri_alloc_aligned(256, plan->size); break;
  case CONSERVATIVE:
  case LARGE_OBJECT: object = tri_alloc(plan->size); break;
  }
  if (!object) report_call("tri_alloc", (long)plan->size);
  return object;
}

/* Of conservative objects, the words at either end say whose they are, unless the node is there. */
static void frame_object(unsigned char *object, const node_plan *plan, bool check, cargo_fault *fault) {
  uint64_t *first = (uint64_t *)(void *)object, *last = (uint64_t *)(void *)(object + plan->size) - 1;
  if (plan->kind == TYPED || plan->kind == TYPED_ARRAY) return;
  uint64_t *ends[] = {plan->offset ? first : NULL, plan->offset + sizeof(node) < plan->size ? last : NULL};
  for (int i = 0; i < 2; i++)
    if (ends[i] && !check)
      *ends[i] = plan->tag ^ 1;
    else if (ends[i] && *ends[i] != (plan->tag ^ 1))
      *fault = (cargo_fault){"an end of its object is overwritten", 0, ends[i], *ends[i], plan->tag ^ 1};
}

static unsigned char *make_text(const node_plan *plan) {
  unsigned char *text = plan->tag >> 50 & 1 ? tri_alloc_uninit(plan->length) : tri_alloc_noscan(plan->length);
  if (!text) report_call("tri_alloc_noscan", (long)plan->length);
  memset(text, (int)(plan->tag & 0xff), plan->length);
  return text;
}

/* Without text and children. */
static node *make_bare_node(const node_plan *plan) {
  unsigned char *object = make_object(plan);
  node *made = (node *)(void *)(object + plan->offset);
  frame_object(object, plan, false, NULL);
  *made = (node){.tag = plan->tag, .mark = ~plan->tag, .length = plan->length};
  return made;
}

static node *make_tree(uint64_t id, unsigned index) {
  node_plan plan = plan_node(id, index);
  node *made = make_bare_node(&plan);
  made->text = make_text(&plan);
  for (unsigned child = 0; child < 2; child++)
    if (2 * index + 1 + child < node_count(id)) made->children[child] = make_tree(id, 2 * index + 1 + child);
  return made;
}

void cargo_make(uint64_t id, void *volatile *home) { *home = make_tree(id, 0); }

/* ---- checking ---- */

static cargo_fault check_text(const node *checked, const node_plan *plan) {
  unsigned char wanted = plan->tag & 0xff;
  if (!tri_base_of(checked->text)) return (cargo_fault){"its text is free", 0, checked->text, 0, 0};
  for (size_t i = 0; i < plan->length; i += i + TEXT_STRIDE < plan->length ? TEXT_STRIDE : 1)
    if (checked->text[i] != wanted)
      return (cargo_fault){"its text is overwritten", 0, checked->text + i, checked->text[i], wanted};
  return (cargo_fault){NULL, 0, NULL, 0, 0};
}

static cargo_fault check_node(const node *checked, const node_plan *plan, bool last) {
  unsigned char *object = (unsigned char *)(uintptr_t)checked - plan->offset;
  cargo_fault fault = {NULL, 0, NULL, 0, 0};
  if (!checked) return (cargo_fault){"it is not there", 0, NULL, 0, plan->tag};
  void *base = tri_base_of(checked);
  if (base != object)
    return (cargo_fault){base ? "it is in another object" : "its object is free", 0, checked, (uintptr_t)base,
                         (uintptr_t)object};
  if (checked->tag != plan->tag) return (cargo_fault){"its tag is overwritten", 0, checked, checked->tag, plan->tag};
  if (checked->mark != ~plan->tag)
    return (cargo_fault){"its mark is overwritten", 0, checked, checked->mark, ~plan->tag};
  if (checked->length != plan->length)
    return (cargo_fault){"its length is overwritten", 0, checked, checked->length, plan->length};
  if (last && (checked->children[0] || checked->children[1]))
    return (cargo_fault){"a leaf has a child", 0, checked, (uintptr_t)checked->children[0], 0};
  frame_object(object, plan, true, &fault);
  return fault.what ? fault : check_text(checked, plan);
}

static cargo_fault check_tree(uint64_t id, unsigned index, const node *checked) {
  node_plan plan = plan_node(id, index);
  cargo_fault fault = check_node(checked, &plan, 2 * index + 1 >= node_count(id));
  fault.node = index;
  for (unsigned child = 0; child < 2 && !fault.what; child++)
    if (2 * index + 1 + child < node_count(id)) fault = check_tree(id, 2 * index + 1 + child, checked->children[child]);
  return fault;
}

cargo_fault cargo_check(uint64_t id, const void *cargo) { return check_tree(id, 0, cargo); }

/* ---- renewing ---- */

/* The way from the first node down: the word that points to the node of this index. */
static node **find_link(unsigned index, node **first) {
  unsigned path[4], depth = 0;
  for (; index; index = (index - 1) / 2) path[depth++] = (index - 1) % 2;
  while (depth) first = &(*first)->children[path[--depth]];
  return first;
}

void cargo_renew(uint64_t id, void *volatile *home, test_random *random) {
  unsigned index = (unsigned)random_below(random, node_count(id));
  node_plan plan = plan_node(id, index);
  node *first = *home, **link = find_link(index, &first), *old = *link;
  node *made = make_bare_node(&plan);
  memcpy(made->children, old->children, sizeof made->children);
  if (random_below(random, 4) == 0)
    made->text = make_text(&plan);
  else
    made->text = old->text;
  *link = made;
  if (index == 0) *home = made;
  memset(old->children, 0, sizeof old->children);
  old->text = NULL;
  if (random_below(random, 2)) tri_free((unsigned char *)old - plan.offset);
}

static void free_tree(uint64_t id, unsigned index, node *freed) {
  node_plan plan = plan_node(id, index);
  for (unsigned child = 0; child < 2; child++)
    if (2 * index + 1 + child < node_count(id)) free_tree(id, 2 * index + 1 + child, freed->children[child]);
  if (plan.length >= 16) tri_free(freed->text);
  tri_free((unsigned char *)freed - plan.offset);
}

void cargo_free(uint64_t id, void *volatile *home) {
  free_tree(id, 0, *home);
  *home = NULL;
}
