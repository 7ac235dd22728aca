/* Map of translated blocks for Linux perf: /tmp/perf-PID.map. Not light. */
#ifndef TCG_PERFMAP_H
#define TCG_PERFMAP_H

#include "tcg/cache.h"

struct perfmap;
struct perfmap *perfmap_new(struct err *e);
void perfmap_free(struct perfmap *p);		/* NULL is fine, here and below */
void perfmap_add(struct perfmap *p, const struct tb *tb);
void perfmap_reset(struct perfmap *p);		/* all blocks are gone */

#endif
