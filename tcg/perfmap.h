/* Map of translated blocks for Linux perf: /tmp/perf-PID.map. Not light. */
#ifndef TCG_PERFMAP_H
#define TCG_PERFMAP_H

#include "tcg/cache.h"

struct perfmap;
struct perfmap *perfmap_new(struct err *e);
void perfmap_free(struct perfmap *p);		/* NULL is fine, here and below */
/* The stubs of x, which end there (an executable address); once, in front of all blocks. */
void perfmap_stubs(struct perfmap *p, const struct x64 *x, const uint8_t *end);
/* Block tb, just made from b. */
void perfmap_add(struct perfmap *p, const struct tb *tb, const struct x64_block *b);
void perfmap_reset(struct perfmap *p);		/* all blocks are gone */

#endif
