/* test_api_threads_signals.c - test_threads_signals.c on the shared library. */
#define SHARED_LIBRARY
#include "test_threads_signals.c"
