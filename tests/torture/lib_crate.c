/* lib_crate.c - a library that has words in which pointers may lie: in data, in bss, and one block for each thread. */
enum { ACTORS = 256, WORDS = 16, THREAD_WORDS = 1024 };

static void *volatile data[ACTORS + 1][WORDS] = {[ACTORS] = {(void *)1}}; /* not zero: not in bss */
static void *volatile bss[ACTORS][WORDS];
static _Thread_local void *volatile thread_words[THREAD_WORDS];

void *volatile *crate_data(unsigned actor);
void *volatile *crate_bss(unsigned actor);
void *volatile *crate_thread_words(void);

void *volatile *crate_data(unsigned actor) { return data[actor]; }
void *volatile *crate_bss(unsigned actor) { return bss[actor]; }
void *volatile *crate_thread_words(void) { return thread_words; }
