/* test_api_threads_hold.c - test_threads_hold.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_hold.c"
