/* api/link.c - ties the layers together before main: the heap learns how to start, the collector who hears of
 * collections. Also brings the interposed functions into a static link. */
#include "api/link.h"

#include "api/interpose.h"
#include "gc/start.h"
#include "heap/heap.h"
#include "prof/memstats.h"

const char tri_api_link;
__attribute__((used)) static const char *const interposed = &tri_interpose_anchor;

static void observe(const tri_cycle_report *report) {
  if (tri_start_settings()->trace_gc) tri_trace_collection(report);
}

/* Before other constructors: they may allocate. */
__attribute__((constructor(101))) static void link_layers(void) {
  tri_the_hooks.attach = tri_start_attach;
  tri_start_observer = observe;
}
