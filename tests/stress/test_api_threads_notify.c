/* test_api_threads_notify.c - test_threads_notify.c on the shared library. */
#include "test_threads_notify.c"
