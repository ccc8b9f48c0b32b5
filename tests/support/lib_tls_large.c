/* lib_tls_large.c - a library whose thread-local block is far too large for the static area: every thread that uses it
 * is given one of its own, found through its DTV. */
static _Thread_local char block[1 << 20] = {1};

char *tls_large_block(void);
char *tls_large_block(void) { return block; }
