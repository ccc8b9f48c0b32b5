/* structs.h - the C structs that a file's debugging information (DWARF) describes.
 *
 * Of each struct the fields in their order, with C declarations, offsets and alignments, and which of its words may
 * hold a pointer to data. Read with elfutils' libdw, separate debug files included. Nothing is ever freed: the tool
 * ends. */
#ifndef TRI_TOOLS_STRUCTS_H
#define TRI_TOOLS_STRUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct struct_field {
  const char *name;        /* "" without one */
  const char *declaration; /* "char *words[4]", "unsigned flag : 3" */
  uint64_t offset, size;   /* bytes; of a bit-field, those of the type it is declared with */
  uint64_t align;
  uint64_t bit,
      bits;         /* of a bit-field: where it begins, counted from the struct's start, and how many it has; bits 0 */
  bool is_flexible; /* an array without a size at the end */
} struct_field;

typedef struct struct_type {
  const char *name; /* "struct node"; "node" when only a typedef names it */
  const char *file;
  int line;
  uint64_t size, align;
  bool is_packed; /* fields lie where their types' alignment would not let them */
  struct_field *fields;
  size_t count;
  bool *pointers; /* for each whole word: whether it may hold a pointer; NULL when there are very many */
  size_t words;
} struct_type;

/* A typedef of a struct that has a tag. */
typedef struct struct_alias {
  const char *name, *of;
} struct_alias;

typedef struct struct_list {
  struct_type *types; /* by name */
  size_t count;
  struct_alias *aliases;
  size_t alias_count;
} struct_list;

/* Those of the file at path, each once. False, and a line on standard error, when it has none that could be read. */
bool structs_read(const char *path, struct_list *list);

/* Whether a name means the struct: "struct node", its tag alone, or a typedef of it. */
bool structs_is_called(const struct_list *list, const struct_type *type, const char *name);

#endif
