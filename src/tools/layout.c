/* layout.c - "tricolor layout": how structs lie in memory, what they waste there, and an order that wastes less.
 *
 * An order is judged by laying its fields out as the System V ABI has it: each at the next multiple of its alignment; a
 * bit-field at the next bit, unless it would cross a boundary of its type. Fields in falling order of alignment have no
 * holes between them, for a C type's size is a multiple of its alignment; bit-fields come last among their equals, side
 * by side, so that what they leave open is filled by what is smaller. An array without a size stays at the end. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap/size_class.h"
#include "tools/structs.h"
#include "tools/tools.h"

enum { CACHE_LINE = 64, WORD = 8 };

static const char usage[] =
    "usage: tricolor layout [--json] [--max-padding N] [--all] FILE [STRUCT]\n"
    "  FILE             a program, a library or an object file, compiled with -g\n"
    "  STRUCT           only this one: its tag or the name of its typedef\n"
    "  --all            structs without waste, too\n"
    "  --json           for other programs\n"
    "  --max-padding N  exit status 1 when a struct has more than N bytes of holes and padding\n";

/* ---- what is wasted ---- */

typedef struct waste {
  uint64_t hole_count, holes; /* bytes between fields; */
  uint64_t padding;           /* behind them; */
  uint64_t bits;              /* and bits beside bit-fields that no whole byte is made of */
} waste;

static uint64_t begin_bit(const struct_field *field) { return field->bits ? field->bit : field->offset * 8; }
static uint64_t end_bit(const struct_field *field) {
  return field->bits ? field->bit + field->bits : (field->offset + field->size) * 8;
}

/* Before a field that begins at bit begin, when what comes before it ends at bit end. */
static uint64_t hole_before(uint64_t begin, uint64_t end, uint64_t *bits) {
  uint64_t from = (end + 7) / 8 * 8;
  *bits = 0;
  if (begin <= end) return 0;
  if (begin < from) {
    *bits = begin - end;
    return 0;
  }
  *bits = from - end + begin % 8;
  return begin / 8 - from / 8;
}

static waste waste_of(const struct_type *type) {
  waste found = {0};
  uint64_t end = 0, bits;
  for (size_t i = 0; i < type->count; i++) {
    uint64_t hole = hole_before(begin_bit(&type->fields[i]), end, &bits), own = end_bit(&type->fields[i]);
    found.holes += hole;
    found.hole_count += hole != 0;
    found.bits += bits;
    end = own > end ? own : end;
  }
  found.padding = type->size * 8 > end ? hole_before(type->size * 8, end, &bits) : 0;
  return found;
}

/* ---- the better order ---- */

static int by_alignment(const void *a, const void *b) {
  const struct_field *one = a, *other = b;
  if (one->is_flexible != other->is_flexible) return one->is_flexible ? 1 : -1;
  if (one->align != other->align) return one->align < other->align ? 1 : -1;
  if (!one->bits != !other->bits) return one->bits ? 1 : -1;
  uint64_t first = begin_bit(one), second = begin_bit(other);
  return (first > second) - (first < second);
}

/* Where each field lies in the order they are in. The size of the whole. */
static uint64_t lay_out(struct_field *fields, size_t count, uint64_t align) {
  uint64_t end = 0;
  for (size_t i = 0; i < count; i++) {
    struct_field *field = &fields[i];
    uint64_t unit = (field->size ? field->size : 1) * 8;
    if (field->bits) {
      if (end / unit != (end + field->bits - 1) / unit) end = (end + unit - 1) / unit * unit;
      field->bit = end;
      field->offset = end / unit * (unit / 8);
      end += field->bits;
    } else {
      end = (end + field->align * 8 - 1) / (field->align * 8) * (field->align * 8);
      field->offset = end / 8;
      end += field->size * 8;
    }
  }
  uint64_t size = (end + 7) / 8;
  return (size + align - 1) / align * align;
}

/* NULL when no order is smaller, or the fields cannot be moved: they are packed, or the struct is. Bit-fields without a
 * name, which only keep others apart, are left out by the compiler already. */
static struct_type *better(const struct_type *type) {
  struct_type *made = malloc(sizeof *made);
  struct_field *fields = malloc((type->count + 1) * sizeof *fields);
  if (!made || !fields || type->is_packed) return NULL;
  for (size_t i = 0; i < type->count; i++) fields[i] = type->fields[i];
  qsort(fields, type->count, sizeof *fields, by_alignment);
  *made = *type;
  made->fields = fields;
  made->size = lay_out(fields, type->count, type->align);
  return made->size < type->size ? made : NULL;
}

/* ---- on the heap ---- */

/* Of one object from tri_new. */
static uint64_t slot_of(const struct_type *type) {
  if (type->size > TRI_SMALL_MAX) return (type->size + TRI_PAGE_SIZE - 1) / TRI_PAGE_SIZE * TRI_PAGE_SIZE;
  return tri_size_classes[tri_size_class_of_type(type->size, type->align)].size;
}

/* From the first word that may be a pointer to the end of the last. */
static bool span_of(const struct_type *type, uint64_t *from, uint64_t *to, uint64_t *count) {
  *from = *to = *count = 0;
  for (uint64_t word = 0; type->pointers && word < type->words; word++) {
    if (!type->pointers[word]) continue;
    if (!*count) *from = word * WORD;
    *to = (word + 1) * WORD;
    ++*count;
  }
  return *count != 0;
}

/* ---- for people ---- */

static int widest(const struct_type *type) {
  size_t most = 0;
  for (size_t i = 0; i < type->count; i++) {
    size_t length = strlen(type->fields[i].declaration);
    if (length > most && length <= 60) most = length;
  }
  return (int)most + 1;
}

static void print_hole(uint64_t hole, uint64_t bits) {
  if (hole) printf("  /* %" PRIu64 " byte%s of hole */\n", hole, hole == 1 ? "" : "s");
  if (bits) printf("  /* %" PRIu64 " bit%s of hole */\n", bits, bits == 1 ? "" : "s");
}

static void print_struct(const struct_type *type) {
  int width = widest(type);
  uint64_t end = 0, line = 0, bits;
  bool has_tag = strncmp(type->name, "struct ", 7) == 0;
  printf("%s {\n", has_tag ? type->name : "typedef struct");
  for (size_t i = 0; i < type->count; i++) {
    const struct_field *field = &type->fields[i];
    uint64_t hole = hole_before(begin_bit(field), end, &bits);
    print_hole(hole, bits);
    if (field->offset / CACHE_LINE > line) {
      line = field->offset / CACHE_LINE;
      printf("  /* ---- cache line %" PRIu64 ", from byte %" PRIu64 " ---- */\n", line, line * CACHE_LINE);
    }
    printf("  %s;%*s", field->declaration,
           width - (int)strlen(field->declaration) > 0 ? width - (int)strlen(field->declaration) : 1, "");
    if (field->bits)
      printf("/* %5" PRIu64 ".%-2" PRIu64 " %5" PRIu64 " bits */\n", field->bit / 8, field->bit % 8, field->bits);
    else
      printf("/* %5" PRIu64 " %8" PRIu64 " */\n", field->offset, field->size);
    end = end_bit(field) > end ? end_bit(field) : end;
  }
  print_hole(0, 0);
  uint64_t padding = type->size * 8 > end ? hole_before(type->size * 8, end, &bits) : 0;
  if (padding) printf("  /* %" PRIu64 " byte%s of padding */\n", padding, padding == 1 ? "" : "s");
  printf("}%s%s;\n", has_tag ? "" : " ", has_tag ? "" : type->name);
}

static void print_heap(const struct_type *type) {
  uint64_t from, to, count, slot = slot_of(type);
  printf("   on the heap %" PRIu64 " bytes, %" PRIu64 " of them unused; ", slot, slot - type->size);
  if (!type->pointers)
    printf("read conservatively");
  else if (!span_of(type, &from, &to, &count))
    printf("no pointers: TRI_TYPE without fields spares the collector all of it");
  else
    printf("pointers in %" PRIu64 " word%s of bytes %" PRIu64 " to %" PRIu64, count, count == 1 ? "" : "s", from,
           to - 1);
}

static void print_type(const struct_type *type) {
  waste lost = waste_of(type);
  struct_type *order = better(type);
  const char *file = type->file ? strrchr(type->file, '/') : NULL;
  printf("/* %s: %" PRIu64 " bytes, aligned to %" PRIu64 ", %" PRIu64 " cache line%s", type->name, type->size,
         type->align, (type->size + CACHE_LINE - 1) / CACHE_LINE, type->size > CACHE_LINE ? "s" : "");
  if (type->file) printf("; %s:%d", file ? file + 1 : type->file, type->line);
  printf("\n   %" PRIu64 " byte%s in %" PRIu64 " hole%s, %" PRIu64 " of padding%s\n", lost.holes,
         lost.holes == 1 ? "" : "s", lost.hole_count, lost.hole_count == 1 ? "" : "s", lost.padding,
         type->is_packed ? "; packed" : "");
  print_heap(type);
  printf(" */\n");
  print_struct(type);
  if (order) {
    uint64_t slot = slot_of(type), smaller = slot_of(order);
    printf("/* in another order %" PRIu64 " bytes, %" PRIu64 " fewer; on the heap %" PRIu64 ", %" PRIu64 " fewer: */\n",
           order->size, type->size - order->size, smaller, slot - smaller);
    print_struct(order);
  }
  printf("\n");
}

/* ---- for programs ---- */

static void print_string(const char *s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20 || c == 0x7f)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void print_fields_json(const struct_type *type) {
  for (size_t i = 0; i < type->count; i++) {
    const struct_field *field = &type->fields[i];
    printf("%s{\"name\": ", i ? ", " : "");
    print_string(field->name);
    printf(", \"declaration\": ");
    print_string(field->declaration);
    printf(", \"offset\": %" PRIu64 ", \"size\": %" PRIu64, field->offset, field->size);
    if (field->bits) printf(", \"bit\": %" PRIu64 ", \"bits\": %" PRIu64, field->bit, field->bits);
    printf("}");
  }
}

static void print_type_json(const struct_type *type, bool first) {
  waste lost = waste_of(type);
  struct_type *order = better(type);
  uint64_t from, to, count;
  printf("%s\n{\"name\": ", first ? "" : ",");
  print_string(type->name);
  printf(", \"file\": ");
  print_string(type->file ? type->file : "");
  printf(", \"line\": %d, \"size\": %" PRIu64 ", \"align\": %" PRIu64 ", \"holes\": %" PRIu64
         ", \"hole_bytes\": %" PRIu64 ", \"padding\": %" PRIu64 ", \"packed\": %s, \"heap_size\": %" PRIu64
         ",\n \"fields\": [",
         type->line, type->size, type->align, lost.hole_count, lost.holes, lost.padding,
         type->is_packed ? "true" : "false", slot_of(type));
  print_fields_json(type);
  printf("]");
  if (type->pointers) {
    (void)span_of(type, &from, &to, &count);
    printf(",\n \"pointer_words\": [");
    for (uint64_t word = 0, seen = 0; word < type->words; word++)
      if (type->pointers[word]) printf("%s%" PRIu64, seen++ ? ", " : "", word);
    printf("], \"pointer_span\": [%" PRIu64 ", %" PRIu64 "]", from, to);
  }
  if (order) {
    printf(",\n \"better\": {\"size\": %" PRIu64 ", \"saves\": %" PRIu64 ", \"heap_size\": %" PRIu64 ", \"fields\": [",
           order->size, type->size - order->size, slot_of(order));
    print_fields_json(order);
    printf("]}");
  }
  printf("}");
}

/* ---- the command ---- */

typedef struct request {
  bool is_json, all, has_limit;
  uint64_t limit;
  const char *file, *name;
} request;

/* 0, or the exit status. */
static int read_request(int argc, char **argv, request *asked) {
  static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                          {"max-padding", required_argument, NULL, 'm'},
                                          {"all", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
  char *end;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
    case 'j': asked->is_json = true; break;
    case 'a': asked->all = true; break;
    case 'm':
      asked->has_limit = true;
      asked->limit = strtoull(optarg, &end, 10);
      if (*end || !*optarg || *optarg == '-')
        return tool_usage(usage, "layout: --max-padding: \"%s\" is not a number of bytes", optarg);
      break;
    case 'h': fputs(usage, stdout); exit(0);
    default: return tool_usage(usage, "layout: see above");
    }
  if (optind == argc) return tool_usage(usage, "layout: which file?");
  if (argc - optind > 2) return tool_usage(usage, "layout: \"%s\" is one argument too many", argv[optind + 2]);
  asked->file = argv[optind];
  asked->name = optind + 1 < argc ? argv[optind + 1] : NULL;
  return 0;
}

int tool_layout(int argc, char **argv) {
  request asked = {0};
  struct_list list;
  size_t shown = 0, matching = 0, over = 0;
  int status = read_request(argc, argv, &asked);
  if (status) return status;
  if (!structs_read(asked.file, &list)) return 2;
  if (asked.is_json) printf("[");
  for (size_t i = 0; i < list.count; i++) {
    const struct_type *type = &list.types[i];
    if (asked.name && !structs_is_called(&list, type, asked.name)) continue;
    matching++;
    waste lost = waste_of(type);
    bool is_over = asked.has_limit && lost.holes + lost.padding > asked.limit;
    over += is_over;
    if (asked.has_limit ? !is_over : !asked.name && !asked.all && !asked.is_json && lost.holes + lost.padding == 0)
      continue;
    if (asked.is_json)
      print_type_json(type, shown == 0);
    else
      print_type(type);
    shown++;
  }
  if (asked.is_json) printf("\n]\n");
  if (!matching) {
    fprintf(stderr, "tricolor: %s: no struct \"%s\"\n", asked.file, asked.name);
    return 2;
  }
  if (!asked.is_json && !asked.name) printf("%zu structs, %zu of them shown\n", matching, shown);
  return over ? 1 : 0;
}
