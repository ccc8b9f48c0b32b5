/* trees.h - for tests of forks: trees whose nodes tell whether they are whole, and waiting for a child. */
#ifndef TEST_TREES_H
#define TEST_TREES_H

#include <errno.h>
#include <sys/wait.h>
#include <tricolor.h>

#include "child.h"

typedef struct tree {
  struct tree *left, *right;
  uint64_t check;
} tree;
TRI_TYPE(tree, left, right);

static inline tree *tree_new(int depth) {
  tree *new = depth % 2 ? tri_new(tree) : tri_alloc(sizeof *new);
  CHILD_CHECK(new);
  new->check = ~(uint64_t)depth;
  if (depth == 0) return new;
  new->left = tree_new(depth - 1);
  new->right = tree_new(depth - 1);
  return new;
}

static inline void tree_check(const tree *root, int depth) {
  CHILD_CHECK(root->check == ~(uint64_t)depth);
  if (depth == 0) return;
  tree_check(root->left, depth - 1);
  tree_check(root->right, depth - 1);
}

/* Under the caller's name: a child that fails has said why. */
static inline void await_child(pid_t child) {
  int status;
  CHILD_CHECK(child > 0);
  while (waitpid(child, &status, 0) == -1) CHILD_CHECK(errno == EINTR);
  if (status != 0) child_fail("a child ended with status %x", (unsigned)status);
}

#endif
