/* tools.h - the subcommands of the program "tricolor". Each takes its arguments, its own name first, and returns an
 * exit status: 0, 1 when it was asked to find something and did, 2 when it could not do what it was asked. */
#ifndef TRI_TOOLS_H
#define TRI_TOOLS_H

int tool_layout(int argc, char **argv);
int tool_types(int argc, char **argv);

/* Says what is wrong with the command line, and how it is to be; returns 2. */
int tool_usage(const char *usage, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
