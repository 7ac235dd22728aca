/* The handlers options.def names; between options.c and options_parse.c only. */
#ifndef UI_OPTIONS_PARSE_H
#define UI_OPTIONS_PARSE_H

#include "ui/options.h"

/* One option's argument (NULL if its row has none) into *o. */
typedef enum opt_result opt_fn(struct options *o, const char *arg, FILE *out, struct err *e);

#define HEAD(text)
#define TEXT(field)	struct opt_no_function
#define FLAG(field)	struct opt_no_function
#define NOTHING		struct opt_no_function
#define CALL(fn)	opt_fn opt_##fn
#define OPT(name, alias, arg, how, help) how;
#include "ui/options.def"
#undef HEAD
#undef TEXT
#undef FLAG
#undef NOTHING
#undef CALL
#undef OPT

/* Before the first and after the last option. */
void options_defaults(struct options *o);
bool options_complete(struct options *o, struct err *e);

/* Does every half of -net have its other half? */
bool options_complete_nets(struct options *o, struct err *e);

enum opt_result opt_help_text(FILE *out);

#endif
