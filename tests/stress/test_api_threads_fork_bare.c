/* test_api_threads_fork_bare.c - test_threads_fork_bare.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_fork_bare.c"
