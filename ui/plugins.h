/* -plugin FILE[,ARG...]: loading shared objects and installing what they hold (tcg/rhea-plugin.h). */
#ifndef UI_PLUGINS_H
#define UI_PLUGINS_H

#include <stdio.h>

#include "base/error.h"
#include "tcg/plug.h"

/*
 * Load and install the plugin an option's argument names; ",," in it is a comma. A name without a slash
 * that is no file here is looked for where plugins are installed, with or without ".so".
 */
bool plugins_load(struct plugins *p, const char *spec, struct err *e);
/* The installed plugins, a line each. */
void plugins_list(FILE *out);
/* What a plugin says about its arguments. */
bool plugins_help(const char *spec, FILE *out, struct err *e);

#endif
