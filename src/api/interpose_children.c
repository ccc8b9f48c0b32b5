/* api/interpose_children.c - starting programs, in blocking regions (api/interpose_region.h); and _Fork.
 *
 * posix_spawn and all that is made of it block every signal until the child has called exec, which waits for what the
 * child opens first: a stop would wait as long. The child runs in our memory meanwhile, on a stack of its own, and
 * touches no heap. _Fork calls none of pthread_atfork's handlers (gc/fork.h). vfork cannot be stood in for, since it
 * returns twice: docs/limits.md. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/interpose.h"
#include "api/interpose_region.h"
#include "gc/fork.h"

const char tri_interpose_anchor_children = 0;

TRI_INTERPOSES(posix_spawn);
TRI_INTERPOSES(posix_spawnp);
TRI_INTERPOSES(system);
TRI_INTERPOSES(popen);
TRI_INTERPOSES(pclose);

TRI_UNSANITIZED_BEGIN

TRI_INTERPOSED int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                               const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment) {
  return TRI_BLOCKING_ONCE(TRI_REAL(posix_spawn)(child, path, actions, attributes, arguments, environment), path,
                           actions, arguments, environment);
}

TRI_INTERPOSED int posix_spawnp(pid_t *child, const char *file, const posix_spawn_file_actions_t *actions,
                                const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment) {
  return TRI_BLOCKING_ONCE(TRI_REAL(posix_spawnp)(child, file, actions, attributes, arguments, environment), file,
                           actions, arguments, environment);
}

TRI_INTERPOSED int system(const char *command) { return TRI_BLOCKING_ONCE(TRI_REAL(system)(command), command); }

TRI_INTERPOSED FILE *popen(const char *command, const char *mode) {
  return TRI_BLOCKING_ONCE(TRI_REAL(popen)(command, mode), command, mode);
}

TRI_INTERPOSED int pclose(FILE *stream) { return TRI_BLOCKING_ONCE(TRI_REAL(pclose)(stream), stream); }

#if __GLIBC_PREREQ(2, 34)
TRI_INTERPOSES(_Fork);

static int make_child(void) { return TRI_REAL(_Fork)(); }

TRI_INTERPOSED pid_t _Fork(void) { return tri_fork_bare(make_child); }
#endif

TRI_UNSANITIZED_END
