/* options.c - writes tricolor(7), the manual page of the run-time options, from the table in src/base/options.c.
 *
 *     tricolor-options tricolor.7 */
#include <stdio.h>
#include <string.h>

#include "base/options.h"

static const char head[] =
    ".TH TRICOLOR 7 \"\" \"tricolor\" \"Miscellaneous\"\n"
    ".SH NAME\ntricolor \\- options of programs that use the tricolor memory manager\n"
    ".SH SYNOPSIS\n.B TRICOLOR_TRACE=gc TRICOLOR_GC_PERCENT=50\n.I program\n"
    ".SH DESCRIPTION\nPrograms linked with tricolor read these environment variables once, when their heap starts:\n"
    "at the first allocation, or in\n.BR tri_init ().\n"
    "A malformed value or an unknown TRICOLOR_ variable is named on standard error; the default then holds, and\n"
    ".BR tri_init ()\nreturns TRI_ERR_INVALID.\n"
    "Options to TRICOLOR_TRACE and TRICOLOR_DEBUG are lists, separated by commas: TRICOLOR_DEBUG=check=1,poison=1.\n"
    "Sizes may end in B, KiB, MiB, GiB or TiB. Set-user-ID programs read none of them.\n"
    ".SH OPTIONS\n";

static const char trace[] =
    ".SH THE TRACE\nTRICOLOR_TRACE=gc prints, when a collection has ended, a line like\n.PP\n.nf\n"
    "gc 3 @0.012s 4%: 0.020+1.531+0.004 ms clock, 0.019+0/2.914/0+0.003 ms cpu, 8->4->4 MB, 8 MB goal, "
    "0 MB stacks, 0 MB globals, 2 P\n.fi\n.PP\n"
    "which is the collection's number, the time since the heap started, the collector's share of all processor time "
    "so\n"
    "far; the time spent sweeping what was left and stopping threads, marking, and going on; the same in processor "
    "time\n"
    "(Go's assist/dedicated/idle for the mark); the heap when the collection began, when it ended, and what it found\n"
    "alive; the goal it began at; stacks and static data looked through; and the number of markers. It ends with\n"
    "(forced) after\n.BR tri_gc ().\n"
    ".SH SEE ALSO\n.I tricolor.h\ndocuments every function.\n";

static void print_option(void *argument, const char *variable, const char *name, const char *initial,
                         const char *text) {
  fprintf(argument, ".TP\n.B %s%s%s\n%s Default: %s.\n", variable, *name ? "=" : "", name, text, initial);
}

int main(int argc, char **argv) {
  FILE *page = argc == 2 ? fopen(argv[1], "w") : NULL;
  if (!page) {
    fprintf(stderr, "usage: tricolor-options FILE: cannot write %s\n", argc == 2 ? argv[1] : "without a FILE");
    return 1;
  }
  fputs(head, page);
  tri_settings_describe(print_option, page);
  fputs(trace, page);
  return fclose(page) == 0 ? 0 : 1;
}
