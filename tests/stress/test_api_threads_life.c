/* test_api_threads_life.c - test_threads_life.c on the shared library. */
#include "test_threads_life.c"
