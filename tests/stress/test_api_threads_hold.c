/* test_api_threads_hold.c - test_threads_hold.c on the shared library. */
#include "test_threads_hold.c"
