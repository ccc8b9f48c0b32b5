/* test_api_threads_blocking.c - test_threads_blocking.c on the shared library. */
#include "test_threads_blocking.c"
