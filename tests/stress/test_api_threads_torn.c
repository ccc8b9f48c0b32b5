/* test_api_threads_torn.c - test_threads_torn.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_torn.c"
