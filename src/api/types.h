/* api/types.h - allocation by layout, for the public functions that need it. */
#ifndef TRI_API_TYPES_H
#define TRI_API_TYPES_H

#include "base/base.h"

/* size zeroed bytes of the layout (heap/layout.h), which may be TRI_LAYOUT_NOSCAN. The calling thread is attached. */
void *tri_alloc_layout(uint32_t layout, size_t size);

#endif
