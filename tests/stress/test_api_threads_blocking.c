/* test_api_threads_blocking.c - test_threads_blocking.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_blocking.c"
