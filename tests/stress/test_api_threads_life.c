/* test_api_threads_life.c - test_threads_life.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_life.c"
