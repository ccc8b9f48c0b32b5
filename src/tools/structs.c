/* structs.c - see structs.h.
 *
 * Debugging information may be damaged, or made to mislead: nothing in it is trusted. Types that refer to themselves
 * end at DEPTH_MAX, sizes are looked at before memory is taken for them, and what cannot be read is left out. */
#include "tools/structs.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32, WORD = 8, BYTES_MAX = 1 << 20, FIELDS_MAX = 1 << 16, TEXT_MAX = 1 << 14 };

static void *must(void *memory) {
  if (memory) return memory;
  fputs("tricolor: no memory\n", stderr);
  exit(2);
}

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...) {
  char *made = NULL;
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&made, format, arguments);
  va_end(arguments);
  if (length < 0) must(NULL);
  if (length > TEXT_MAX) made[TEXT_MAX] = 0;
  return made;
}

/* ---- attributes ---- */

static bool number_of(Dwarf_Die *die, unsigned name, uint64_t *value) {
  Dwarf_Attribute attribute;
  Dwarf_Word word;
  if (!dwarf_attr_integrate(die, name, &attribute) || dwarf_formudata(&attribute, &word) != 0) return false;
  *value = word;
  return true;
}

/* The offset of a member; DWARF 2 gives it as an expression. */
static bool location_of(Dwarf_Die *die, uint64_t *offset) {
  Dwarf_Attribute attribute;
  Dwarf_Op *operations;
  size_t count;
  *offset = 0;
  if (number_of(die, DW_AT_data_member_location, offset)) return true;
  if (!dwarf_attr_integrate(die, DW_AT_data_member_location, &attribute)) return true;
  if (dwarf_getlocation(&attribute, &operations, &count) != 0 || count != 1) return false;
  *offset = operations[0].number;
  return operations[0].atom == DW_OP_plus_uconst;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *type) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(die, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, type);
}

/* Without its names and qualifiers. */
static bool bare_type(Dwarf_Die *die, Dwarf_Die *type) {
  Dwarf_Die named;
  return type_of(die, &named) && dwarf_peel_type(&named, type) == 0;
}

static bool is_aggregate(int tag) { return tag == DW_TAG_structure_type || tag == DW_TAG_union_type; }

static bool first_child(Dwarf_Die *die, Dwarf_Die *child) { return dwarf_child(die, child) == 0; }
static bool next_child(Dwarf_Die *child) { return dwarf_siblingof(child, child) == 0; }

/* ---- sizes ---- */

/* Items of an array, all its dimensions; 0: of no size. */
static uint64_t items_of(Dwarf_Die *array) {
  Dwarf_Die range;
  uint64_t items = 1, count;
  if (!first_child(array, &range)) return 0;
  do {
    if (dwarf_tag(&range) != DW_TAG_subrange_type) continue;
    bool known = number_of(&range, DW_AT_count, &count);
    if (!known && number_of(&range, DW_AT_upper_bound, &count)) known = ++count != 0;
    if (!known || __builtin_mul_overflow(items, count, &items)) return 0;
  } while (next_child(&range));
  return items;
}

static uint64_t size_of(Dwarf_Die *type) {
  Dwarf_Word size;
  return dwarf_aggregate_size(type, &size) == 0 ? size : 0;
}

static uint64_t align_of(Dwarf_Die *given, int depth) {
  Dwarf_Die type = *given, inner;
  uint64_t align = 1, own;
  if (number_of(given, DW_AT_alignment, &align) && align) return align;
  if (depth == DEPTH_MAX || dwarf_peel_type(given, &type) != 0) return 1;
  if (number_of(&type, DW_AT_alignment, &align) && align) return align;
  int tag = dwarf_tag(&type);
  if (tag == DW_TAG_array_type) return type_of(&type, &inner) ? align_of(&inner, depth + 1) : 1;
  if (is_aggregate(tag)) {
    Dwarf_Die member, of;
    align = 1;
    for (bool more = first_child(&type, &member); more; more = next_child(&member)) {
      uint64_t offset;
      if (dwarf_tag(&member) != DW_TAG_member || !type_of(&member, &of) || !location_of(&member, &offset)) continue;
      uint64_t asked;
      own = align_of(&of, depth + 1);
      if (number_of(&member, DW_AT_alignment, &asked) && asked > own) own = asked;
      if (offset % own) return 1; /* packed */
      align = own > align ? own : align;
    }
    return align;
  }
  own = size_of(&type);
  if (tag == DW_TAG_base_type && number_of(&type, DW_AT_encoding, &align) && align == DW_ATE_complex_float) own /= 2;
  return own && own <= 16 && !(own & (own - 1)) ? own : 1;
}

/* ---- pointers ---- */

static void mark_all(bool *words, size_t count, uint64_t offset, uint64_t size) {
  for (uint64_t word = (offset + WORD - 1) / WORD; word < count && (word + 1) * WORD <= offset + size; word++)
    words[word] = true;
}

/* Of a pointer to a function nothing is kept: code is not in the heap. */
static bool is_data_pointer(Dwarf_Die *pointer) {
  Dwarf_Die target;
  return !bare_type(pointer, &target) || dwarf_tag(&target) != DW_TAG_subroutine_type;
}

static bool has_pointers(Dwarf_Die *type, int depth);

static void mark_pointers(Dwarf_Die *given, bool *words, size_t count, uint64_t offset, int depth) {
  Dwarf_Die type, inner;
  if (depth == DEPTH_MAX || dwarf_peel_type(given, &type) != 0) return;
  uint64_t size = size_of(&type);
  switch (dwarf_tag(&type)) {
  case DW_TAG_pointer_type:
    if (is_data_pointer(&type)) mark_all(words, count, offset, WORD);
    break;
  case DW_TAG_array_type: {
    uint64_t items = items_of(&type);
    if (!type_of(&type, &inner) || !items || !(size = size_of(&type) / items)) break;
    for (uint64_t i = 0; i < items && offset + i * size < count * WORD; i++)
      mark_pointers(&inner, words, count, offset + i * size, depth + 1);
    break;
  }
  case DW_TAG_union_type: /* whichever of its members is there */
    if (has_pointers(&type, depth + 1)) mark_all(words, count, offset, size);
    break;
  case DW_TAG_structure_type:
    for (bool more = first_child(&type, &inner); more; more = next_child(&inner)) {
      Dwarf_Die of;
      uint64_t at;
      if (dwarf_tag(&inner) == DW_TAG_member && type_of(&inner, &of) && location_of(&inner, &at) && at <= BYTES_MAX)
        mark_pointers(&of, words, count, offset + at, depth + 1);
    }
    break;
  default: break;
  }
}

static bool has_pointers(Dwarf_Die *given, int depth) {
  Dwarf_Die type, inner, of;
  if (depth >= DEPTH_MAX || dwarf_peel_type(given, &type) != 0) return false;
  int tag = dwarf_tag(&type);
  if (tag == DW_TAG_pointer_type) return is_data_pointer(&type);
  if (tag == DW_TAG_array_type) return type_of(&type, &inner) && has_pointers(&inner, depth + 1);
  if (!is_aggregate(tag)) return false;
  for (bool more = first_child(&type, &inner); more; more = next_child(&inner))
    if (dwarf_tag(&inner) == DW_TAG_member && type_of(&inner, &of) && has_pointers(&of, depth + 1)) return true;
  return false;
}

/* ---- declarations ---- */

static char *declare(Dwarf_Die *type, const char *inner, int depth);

static char *declare_target(Dwarf_Die *die, const char *inner, int depth) {
  Dwarf_Die target;
  if (type_of(die, &target)) return declare(&target, inner, depth + 1);
  return text(*inner ? "void %s" : "void%s", inner);
}

static char *parameters_of(Dwarf_Die *function, int depth) {
  Dwarf_Die child, type;
  char *list = text("%s", "");
  if (!first_child(function, &child)) return text("void");
  do {
    int tag = dwarf_tag(&child);
    char *one = NULL;
    if (tag == DW_TAG_unspecified_parameters) one = text("...");
    if (tag == DW_TAG_formal_parameter && type_of(&child, &type)) one = declare(&type, "", depth + 1);
    if (one) list = *list ? text("%s, %s", list, one) : one;
  } while (next_child(&child) && strlen(list) < TEXT_MAX / 2);
  return list;
}

static char *dimensions_of(Dwarf_Die *array, const char *inner) {
  Dwarf_Die range;
  char *declared = text("%s", inner);
  if (!first_child(array, &range)) return text("%s[]", inner);
  do {
    uint64_t count = 0;
    if (dwarf_tag(&range) != DW_TAG_subrange_type) continue;
    bool known = number_of(&range, DW_AT_count, &count);
    if (!known && number_of(&range, DW_AT_upper_bound, &count)) known = ++count != 0;
    declared = known ? text("%s[%llu]", declared, (unsigned long long)count) : text("%s[]", declared);
  } while (next_child(&range) && strlen(declared) < TEXT_MAX / 2);
  return declared;
}

static const char *keyword_of(int tag) {
  switch (tag) {
  case DW_TAG_structure_type: return "struct ";
  case DW_TAG_union_type: return "union ";
  case DW_TAG_enumeration_type: return "enum ";
  default: return "";
  }
}

static char *declare_named(Dwarf_Die *type, const char *inner) {
  const char *name = dwarf_diename(type);
  return text("%s%s%s%s", keyword_of(dwarf_tag(type)), name ? name : "{ ... }", *inner ? " " : "", inner);
}

static char *declare_qualified(Dwarf_Die *type, const char *word, const char *inner, int depth) {
  Dwarf_Die target;
  int tag = type_of(type, &target) ? dwarf_tag(&target) : DW_TAG_base_type;
  if (tag == DW_TAG_array_type) return declare_target(type, inner, depth); /* its items are said to be so, too */
  if (tag == DW_TAG_pointer_type) return declare_target(type, text("%s%s%s", word, *inner ? " " : "", inner), depth);
  return text("%s %s", word, declare_target(type, inner, depth));
}

/* From the inside out, as C is read. */
static char *declare(Dwarf_Die *type, const char *inner, int depth) {
  Dwarf_Die target;
  if (depth == DEPTH_MAX) return text("... %s", inner);
  switch (dwarf_tag(type)) {
  case DW_TAG_pointer_type: {
    bool wraps = type_of(type, &target) &&
                 (dwarf_tag(&target) == DW_TAG_array_type || dwarf_tag(&target) == DW_TAG_subroutine_type);
    return declare_target(type, text(wraps ? "(*%s)" : "*%s", inner), depth);
  }
  case DW_TAG_const_type: return declare_qualified(type, "const", inner, depth);
  case DW_TAG_volatile_type: return declare_qualified(type, "volatile", inner, depth);
  case DW_TAG_restrict_type: return declare_qualified(type, "restrict", inner, depth);
  case DW_TAG_atomic_type: return text("_Atomic(%s) %s", declare_target(type, "", depth), inner);
  case DW_TAG_array_type: return declare_target(type, dimensions_of(type, inner), depth);
  case DW_TAG_subroutine_type: return declare_target(type, text("%s(%s)", inner, parameters_of(type, depth)), depth);
  default: return declare_named(type, inner);
  }
}

/* ---- structs ---- */

static void read_bits(Dwarf_Die *member, struct_field *field) {
  uint64_t from, storage = field->size;
  if (!number_of(member, DW_AT_bit_size, &field->bits) || !field->bits) return;
  if (number_of(member, DW_AT_data_bit_offset, &field->bit)) {
    field->offset = field->bit / 8;
  } else if (number_of(member, DW_AT_bit_offset, &from)) { /* of DWARF 3, from the other end of its storage */
    (void)number_of(member, DW_AT_byte_size, &storage);
    field->bit = field->offset * 8 + storage * 8 - from - field->bits;
  } else {
    field->bit = field->offset * 8;
  }
  field->declaration = text("%s : %llu", field->declaration, (unsigned long long)field->bits);
}

static bool read_field(Dwarf_Die *member, struct_field *field) {
  Dwarf_Die type, bare;
  uint64_t align;
  *field = (struct_field){.name = dwarf_diename(member)};
  if (!field->name) field->name = "";
  if (!type_of(member, &type) || !location_of(member, &field->offset)) return false;
  field->size = size_of(&type);
  field->align = align_of(&type, 0);
  if (number_of(member, DW_AT_alignment, &align) && align > field->align) field->align = align;
  field->declaration = declare(&type, field->name, 0);
  field->is_flexible = !field->size && dwarf_peel_type(&type, &bare) == 0 && dwarf_tag(&bare) == DW_TAG_array_type;
  read_bits(member, field);
  return true;
}

static bool read_fields(Dwarf_Die *die, struct_type *type) {
  Dwarf_Die member;
  size_t room = 0;
  for (bool more = first_child(die, &member); more && type->count < FIELDS_MAX; more = next_child(&member)) {
    if (dwarf_tag(&member) != DW_TAG_member) continue;
    if (type->count == room) {
      room = room ? room * 2 : 8;
      type->fields = must(realloc(type->fields, room * sizeof *type->fields));
    }
    struct_field *field = &type->fields[type->count];
    if (!read_field(&member, field) || field->offset > type->size) return false;
    type->is_packed |= !field->bits && field->offset % field->align;
    type->align = field->align > type->align ? field->align : type->align;
    type->count++;
  }
  return true;
}

static bool read_struct(Dwarf_Die *die, const char *name, struct_type *type) {
  *type = (struct_type){.name = name, .file = dwarf_decl_file(die), .align = 1};
  (void)dwarf_decl_line(die, &type->line);
  if (!number_of(die, DW_AT_byte_size, &type->size) || !type->size || !read_fields(die, type)) return false;
  uint64_t own;
  if (type->is_packed) type->align = 1;
  if (number_of(die, DW_AT_alignment, &own) && own > type->align) type->align = own;
  if (type->size % type->align) type->align = 1, type->is_packed = true;
  type->words = type->size / WORD;
  if (type->size > BYTES_MAX) return true;
  type->pointers = must(calloc(type->words + 1, sizeof *type->pointers));
  mark_pointers(die, type->pointers, type->words, 0, 0);
  return true;
}

/* ---- a file ---- */

typedef struct reader {
  struct_list *list;
  size_t room, alias_room;
  void *known; /* a tree, by name, size and place */
  const char *foreign;
} reader;

static int compare(const void *a, const void *b) {
  const struct_type *one = a, *other = b;
  int order = strcmp(one->name, other->name);
  if (!order) order = (one->size > other->size) - (one->size < other->size);
  if (!order) order = one->line - other->line;
  return order ? order : strcmp(one->file ? one->file : "", other->file ? other->file : "");
}

static void add(reader *into, Dwarf_Die *die, const char *name) {
  struct_type *type = must(malloc(sizeof *type));
  Dwarf_Attribute attribute;
  if (dwarf_attr(die, DW_AT_declaration, &attribute) || !read_struct(die, name, type)) return;
  if (*(struct_type **)must(tsearch(type, &into->known, compare)) != type) return;
  if (into->list->count == into->room) {
    into->room = into->room ? into->room * 2 : 64;
    into->list->types = must(realloc(into->list->types, into->room * sizeof *into->list->types));
  }
  into->list->types[into->list->count++] = *type;
}

static void add_alias(reader *into, const char *name, Dwarf_Die *target) {
  struct_list *list = into->list;
  if (list->alias_count == into->alias_room) {
    into->alias_room = into->alias_room ? into->alias_room * 2 : 64;
    list->aliases = must(realloc(list->aliases, into->alias_room * sizeof *list->aliases));
  }
  list->aliases[list->alias_count++] = (struct_alias){name, text("struct %s", dwarf_diename(target))};
}

static void read_children(reader *into, Dwarf_Die *parent, int depth) {
  Dwarf_Die child, target;
  if (depth == DEPTH_MAX) return;
  for (bool more = first_child(parent, &child); more; more = next_child(&child)) {
    const char *name = dwarf_diename(&child);
    switch (dwarf_tag(&child)) {
    case DW_TAG_structure_type:
      if (name) add(into, &child, text("struct %s", name));
      break;
    case DW_TAG_typedef:
      if (!name || !type_of(&child, &target) || dwarf_tag(&target) != DW_TAG_structure_type) break;
      if (dwarf_diename(&target))
        add_alias(into, name, &target);
      else
        add(into, &target, text("%s", name));
      break;
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block: read_children(into, &child, depth + 1); break;
    default: break;
    }
  }
}

/* NULL: C, or a unit that only others refer to. */
static const char *foreign_language(Dwarf_Die *unit) {
  switch (dwarf_srclang(unit)) {
  case -1:
  case DW_LANG_C89:
  case DW_LANG_C:
  case DW_LANG_C99:
  case DW_LANG_C11:
#ifdef DW_LANG_C17
  case DW_LANG_C17:
#endif
  case DW_LANG_Mips_Assembler: return NULL;
  case DW_LANG_C_plus_plus:
  case DW_LANG_C_plus_plus_03:
  case DW_LANG_C_plus_plus_11:
  case DW_LANG_C_plus_plus_14: return "C++";
  case DW_LANG_Rust: return "Rust";
  case DW_LANG_Go: return "Go";
  default: return "another language";
  }
}

static void read_module(reader *into, Dwfl_Module *module) {
  Dwarf_Addr bias;
  for (Dwarf_Die *unit = NULL; (unit = dwfl_module_nextcu(module, unit, &bias));) {
    const char *foreign = foreign_language(unit);
    if (foreign)
      into->foreign = foreign;
    else
      read_children(into, unit, 0);
  }
}

bool structs_is_called(const struct_list *list, const struct_type *type, const char *name) {
  const char *bare = strncmp(type->name, "struct ", 7) == 0 ? type->name + 7 : type->name;
  if (strcmp(type->name, name) == 0 || strcmp(bare, name) == 0) return true;
  for (size_t i = 0; i < list->alias_count; i++)
    if (strcmp(list->aliases[i].name, name) == 0 && strcmp(list->aliases[i].of, type->name) == 0) return true;
  return false;
}

static bool complain(const char *path, const char *what, const char *more) {
  fprintf(stderr, "tricolor: %s: %s%s\n", path, what, more);
  return false;
}

bool structs_read(const char *path, struct_list *list) {
  static char *debug_path;
  static const Dwfl_Callbacks callbacks = {.find_debuginfo = dwfl_standard_find_debuginfo,
                                           .section_address = dwfl_offline_section_address,
                                           .debuginfo_path = &debug_path};
  reader into = {.list = list};
  Dwarf_Addr bias;
  *list = (struct_list){0};
  Dwfl *session = dwfl_begin(&callbacks);
  Dwfl_Module *module = session ? dwfl_report_offline(session, "", path, -1) : NULL;
  if (!module) return complain(path, "cannot be read: ", dwfl_errmsg(-1));
  dwfl_report_end(session, NULL, NULL);
  if (!dwfl_module_getdwarf(module, &bias))
    return complain(path, "no debugging information: compile with -g, and do not strip", "");
  read_module(&into, module);
  if (list->count) {
    qsort(list->types, list->count, sizeof *list->types, compare);
    return true;
  }
  if (into.foreign) return complain(path, "its types are not C's, but of ", into.foreign);
  return complain(path, "no struct could be read in its debugging information", "");
}
