/* lib_tls_small.c - a library whose thread-local block is small enough for the space that libraries loaded late may
 * find in every thread's static area. */
static _Thread_local char block[64] = {1};

char *tls_small_block(void);
char *tls_small_block(void) { return block; }
