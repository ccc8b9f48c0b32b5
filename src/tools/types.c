/* types.c - "tricolor types": pointer maps, as C to be compiled (TRI_TYPE_RANGES), from what the compiler knows of the
 * types; and a check of those written by hand, which a linked program has in its data.
 *
 * A map in the program is a tri_type (tricolor.h) called tri_type_map_N, by a symbol that stripping takes away. What it
 * points to is found by address; in a position-independent program the addresses are in its relocations. */
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricolor.h>
#include <unistd.h>

#include "tools/structs.h"
#include "tools/tools.h"

enum { WORD = 8, RANGES_MAX = 1 << 16 };

static const char usage[] = "usage: tricolor types [--check] FILE [STRUCT]\n"
                            "  FILE     a program, a library or an object file, compiled with -g\n"
                            "  STRUCT   only this one: its tag or the name of its typedef\n"
                            "  --check  compares the TRI_TYPEs in FILE, which is linked, with what its types are: exit "
                            "status 1 when a pointer\n"
                            "           is left out\n";

/* ---- writing ---- */

static const struct_field *field_at(const struct_type *type, uint64_t offset) {
  const struct_field *found = NULL;
  for (size_t i = 0; i < type->count; i++)
    if (type->fields[i].offset <= offset) found = &type->fields[i];
  return found;
}

/* Runs of words, with the fields they begin in beside them. */
static void write_ranges(const struct_type *type) {
  for (size_t word = 0; word < type->words; word++) {
    if (!type->pointers[word] || (word && type->pointers[word - 1])) continue;
    size_t end = word;
    while (end < type->words && type->pointers[end]) end++;
    const struct_field *field = field_at(type, word * WORD);
    printf(", {%zu, %zu} /* %s */", word * WORD, (end - word) * WORD, field ? field->name : "");
  }
}

static bool ends_in_pointers(const struct_type *type) {
  const struct_field *last = type->count ? &type->fields[type->count - 1] : NULL;
  return last && last->is_flexible && strchr(last->declaration, '*');
}

static void write_type(const struct_type *type) {
  const char *file = type->file ? strrchr(type->file, '/') : NULL;
  bool any = false;
  printf("/* %s", type->name);
  if (type->file) printf(", %s:%d", file ? file + 1 : type->file, type->line);
  if (!type->pointers || ends_in_pointers(type) || type->is_packed) {
    const char *why = !type->pointers   ? "is very large"
                      : type->is_packed ? "is packed: its pointers may not lie on words"
                                        : "ends in an array of pointers without a size";
    printf(": %s; tri_alloc reads it conservatively */\n", why);
    return;
  }
  for (size_t word = 0; word < type->words; word++) any = any || type->pointers[word];
  printf(" */\n_Static_assert(sizeof(%s) == %" PRIu64 ", \"the map is of another %s\");\n", type->name, type->size,
         type->name);
  printf(any ? "TRI_TYPE_RANGES(%s" : "TRI_TYPE(%s", type->name);
  if (any) write_ranges(type);
  printf(");\n");
}

/* ---- the maps in a linked program ---- */

typedef struct image {
  const char *path;
  Elf *elf;
} image;

/* What the file has for an address: at least size bytes; NULL. */
static const unsigned char *bytes_at(const image *from, uint64_t address, uint64_t size) {
  for (Elf_Scn *section = NULL; (section = elf_nextscn(from->elf, section));) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_ALLOC) || header.sh_type == SHT_NOBITS) continue;
    if (address < header.sh_addr || address - header.sh_addr >= header.sh_size) continue;
    uint64_t offset = address - header.sh_addr;
    Elf_Data *data = elf_rawdata(section, NULL);
    if (!data || !data->d_buf || offset >= data->d_size || data->d_size - offset < size) return NULL;
    return (const unsigned char *)data->d_buf + offset;
  }
  return NULL;
}

/* The addend of the relocation there; false: there is none. */
static bool relocated(const image *from, uint64_t address, uint64_t *value) {
  for (Elf_Scn *section = NULL; (section = elf_nextscn(from->elf, section));) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || header.sh_type != SHT_RELA || header.sh_entsize == 0) continue;
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Rela entry;
    for (int i = 0; data && (uint64_t)i < header.sh_size / header.sh_entsize; i++) {
      if (!gelf_getrela(data, i, &entry) || entry.r_offset != address) continue;
      *value = (uint64_t)entry.r_addend;
      return true;
    }
  }
  return false;
}

static bool word_at(const image *from, uint64_t address, uint64_t *word) {
  const unsigned char *bytes = bytes_at(from, address, sizeof *word);
  if (relocated(from, address, word)) return true;
  if (bytes) memcpy(word, bytes, sizeof *word);
  return bytes != NULL;
}

static const char *string_at(const image *from, uint64_t address) {
  for (uint64_t size = 1; size < 4096; size++) {
    const char *bytes = (const char *)bytes_at(from, address, size);
    if (!bytes) return NULL;
    if (!bytes[size - 1]) return bytes;
  }
  return NULL;
}

typedef struct map {
  const char *name;
  uint64_t size, fields, count;
} map;

static bool read_map(const image *from, uint64_t address, map *found) {
  uint64_t name;
  return word_at(from, address + offsetof(tri_type, name), &name) && (found->name = string_at(from, name)) &&
         word_at(from, address + offsetof(tri_type, size), &found->size) &&
         word_at(from, address + offsetof(tri_type, fields), &found->fields) &&
         word_at(from, address + offsetof(tri_type, field_count), &found->count) && found->count <= RANGES_MAX;
}

/* ---- checking ---- */

/* The struct that the map's name means; several may have the name, of different files. */
static const struct_type *struct_for(const struct_list *list, const map *written) {
  for (size_t i = 0; i < list->count; i++)
    if (list->types[i].size == written->size && structs_is_called(list, &list->types[i], written->name))
      return &list->types[i];
  return NULL;
}

static bool covers(const image *from, const map *written, uint64_t word, bool *readable) {
  for (uint64_t i = 0; i < written->count; i++) {
    uint64_t offset, size, at = written->fields + i * sizeof(tri_field);
    if (!word_at(from, at, &offset) || !word_at(from, at + sizeof offset, &size)) {
      *readable = false;
      return true;
    }
    if (offset <= word * WORD && (word + 1) * WORD <= offset + size) return true;
  }
  return false;
}

/* How many pointers the map leaves out. */
static size_t check_map(const image *from, const map *written, const struct_type *type) {
  size_t missing = 0, more = 0;
  bool readable = true;
  for (uint64_t word = 0; word < type->words && readable; word++) {
    bool covered = covers(from, written, word, &readable);
    if (covered && !type->pointers[word]) more++;
    if (covered || !type->pointers[word]) continue;
    const struct_field *field = field_at(type, word * WORD);
    printf("%s: %s, at byte %" PRIu64 ", holds a pointer and is not named: what only it points to is lost\n",
           written->name, field ? field->declaration : "a field", word * WORD);
    missing++;
  }
  if (!readable) printf("%s: the map cannot be read\n", written->name);
  if (readable && !missing)
    printf("%s: right%s\n", written->name, more ? "; words without pointers are read, too" : "");
  return missing + !readable;
}

typedef struct tally {
  size_t maps, wrong, unknown;
} tally;

static void check_symbol(const image *from, const struct_list *list, const char *name, const GElf_Sym *symbol,
                         const char *only, tally *seen) {
  static const char start[] = "tri_type_map_";
  map written;
  if (strncmp(name, start, sizeof start - 1) != 0 || GELF_ST_TYPE(symbol->st_info) != STT_OBJECT ||
      name[strspn(name + sizeof start - 1, "0123456789") + sizeof start - 1])
    return;
  if (!read_map(from, symbol->st_value, &written)) {
    printf("%s: cannot be read\n", name);
    seen->wrong++;
    return;
  }
  if (only && strcmp(only, written.name) != 0) return;
  const struct_type *type = struct_for(list, &written);
  seen->maps++;
  if (!type || !type->pointers) {
    printf("%s: no struct of this name and %" PRIu64 " bytes is described\n", written.name, written.size);
    seen->unknown++;
    return;
  }
  seen->wrong += check_map(from, &written, type) != 0;
}

static void check_symbols(const image *from, const struct_list *list, const char *only, tally *seen) {
  for (Elf_Scn *section = NULL; (section = elf_nextscn(from->elf, section));) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB || !header.sh_entsize) continue;
    Elf_Data *data = elf_getdata(section, NULL);
    for (int i = 0; data && (uint64_t)i < header.sh_size / header.sh_entsize; i++) {
      GElf_Sym symbol;
      const char *name = gelf_getsym(data, i, &symbol) ? elf_strptr(from->elf, header.sh_link, symbol.st_name) : NULL;
      if (name) check_symbol(from, list, name, &symbol, only, seen);
    }
  }
}

static int check_file(const char *path, const struct_list *list, const char *only) {
  tally seen = {0};
  int file = open(path, O_RDONLY | O_CLOEXEC);
  elf_version(EV_CURRENT);
  image from = {path, file < 0 ? NULL : elf_begin(file, ELF_C_READ, NULL)};
  GElf_Ehdr header;
  if (!from.elf || !gelf_getehdr(from.elf, &header)) {
    fprintf(stderr, "tricolor: %s: cannot be read: %s\n", path, elf_errmsg(-1));
    return 2;
  }
  if (header.e_type == ET_REL) {
    fprintf(stderr, "tricolor: %s: --check reads linked programs and libraries, and this is an object file\n", path);
    return 2;
  }
  check_symbols(&from, list, only, &seen);
  if (!seen.maps && !seen.wrong) {
    fprintf(stderr, "tricolor: %s: no TRI_TYPE%s%s is in it, or its symbols are stripped\n", path, only ? " of " : "",
            only ? only : "");
    return 2;
  }
  printf("%zu maps, %zu of them wrong%s\n", seen.maps, seen.wrong, seen.unknown ? "; not all could be compared" : "");
  return seen.wrong ? 1 : 0;
}

/* ---- the command ---- */

int tool_types(int argc, char **argv) {
  static const struct option options[] = {{"check", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
  struct_list list;
  bool checks = false, found = false;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'h') return fputs(usage, stdout) < 0;
    if (option != 'c') return tool_usage(usage, "types: see above");
    checks = true;
  }
  if (optind == argc) return tool_usage(usage, "types: which file?");
  if (argc - optind > 2) return tool_usage(usage, "types: \"%s\" is one argument too many", argv[optind + 2]);
  const char *path = argv[optind], *only = argv[optind + 1];
  if (!structs_read(path, &list)) return 2;
  if (checks) return check_file(path, &list, only);
  for (size_t i = 0; i < list.count; i++) {
    if (only && !structs_is_called(&list, &list.types[i], only)) continue;
    write_type(&list.types[i]);
    found = true;
  }
  if (found) return 0;
  fprintf(stderr, "tricolor: %s: no struct \"%s\"\n", path, only);
  return 2;
}
