/* test_api_threads_fork.c - test_threads_fork.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_fork.c"
