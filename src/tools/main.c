/* main.c - the program "tricolor": tools for those who write programs with the library. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tricolor.h>

#include "tools/tools.h"

static const char usage[] =
    "usage: tricolor COMMAND ...\n"
    "  types FILE [STRUCT]    pointer maps for TRI_TYPE, or a check of those in a program\n"
    "  layout FILE [STRUCT]   how structs lie in memory, what that wastes, and the better order\n"
    "  --version\n"
    "tricolor COMMAND --help says more.\n";

int tool_usage(const char *how, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("tricolor: ", stderr);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n%s", how);
  va_end(arguments);
  return 2;
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  if (strcmp(command, "layout") == 0) return tool_layout(argc - 1, argv + 1);
  if (strcmp(command, "types") == 0) return tool_types(argc - 1, argv + 1);
  if (strcmp(command, "--version") == 0) return printf("tricolor %s\n", tri_version()) < 0;
  if (strcmp(command, "--help") == 0) return fputs(usage, stdout) < 0;
  return *command ? tool_usage(usage, "no command \"%s\"", command) : tool_usage(usage, "which command?");
}
