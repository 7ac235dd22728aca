/*
 * Values as JSON text and back, by jansson. In a build without it there is no
 * JSON, and so no QMP.
 */
#ifndef UI_JSON_H
#define UI_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/value.h"

bool json_built_in(void);
/* Exactly one value. NULL with err filled if the text is anything else. */
struct value *json_parse(const char *text, size_t n, struct err *e);
/* To be freed. Text that is no UTF-8 is made some. NULL: no memory. */
char *json_text(const struct value *v, bool pretty);

#endif
