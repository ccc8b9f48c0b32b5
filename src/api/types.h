/* api/types.h - allocation by layout, for the public functions that need it. */
#ifndef TRI_API_TYPES_H
#define TRI_API_TYPES_H

#include <tricolor.h>

#include "base/base.h"

/* size zeroed bytes of the layout (heap/layout.h), which may be TRI_LAYOUT_NOSCAN. The calling thread is attached. */
void *tri_alloc_layout(uint32_t layout, size_t size);

/* tri_alloc_site_array for who writes the first written objects at once: these may be unspecified. */
void *tri_alloc_site_growing(tri_site *site, size_t count, size_t written);

#endif
