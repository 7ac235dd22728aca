/*
 * One property of one device; used by dev.c. Devices only state their tables.
 */
#ifndef HW_CORE_PROP_H
#define HW_CORE_PROP_H

#include "hw/core/dev.h"

const struct prop *prop_find(const struct dev_type *t, const char *name);
bool prop_set(struct dev *d, const struct prop *p, const char *s, struct err *e);
void prop_default(struct dev *d, const struct prop *p);
/* What kind of value it takes, for people: "uint8", "bool", .. */
const char *prop_type_name(const struct prop *p);
void prop_free(struct dev *d, const struct prop *p);
/* "64", "16K", "1G" in bytes. */
bool prop_parse_size(const char *s, uint64_t *v);

#endif
