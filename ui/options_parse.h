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

struct kv;
/* What an option says of an image, of failures, of limits (options_drive.c). */
void opt_drive_image(struct kv *k, struct drive_options *v);
/* Does a -blockdev of this driver stand for a file? */
bool opt_is_file_driver(const char *name);
void opt_drive_policy(struct kv *k, struct drive_options *v);
void opt_drive_limits(struct kv *k, struct drive_limits *l);
/* Do they make sense together? */
bool opt_drive_check(const struct drive_options *v, const char *option, const char *arg, struct err *e);

/* A -chardev with the number of the file where it names a set of -add-fd; the caller's (options_fd.c). */
char *options_named_fds(const struct options *o, const char *text, struct err *e);

/* Before the first and after the last option. */
void options_defaults(struct options *o);
bool options_complete(struct options *o, struct err *e);

/* "kvm:tcg": accelerators, first choice first. */
bool options_add_accels(struct options *o, const char *list, struct err *e);

struct kv;
/* The keys of the network's kind, which is set; complains about others (kv_done()). */
bool options_net_kind(struct kv *k, struct net_options *o, struct err *e);
/* Nodes of -blockdev that are drives. */
bool options_place_nodes(struct options *o, struct err *e);
/* Does every half of -net have its other half? */
bool options_complete_nets(struct options *o, struct err *e);
/* Devices that -virtfs asks for. */
bool options_complete_shares(struct options *o, struct err *e);

/* A disk at the next free place. */
bool options_add_disk(struct options *o, const char *file, struct err *e);
bool options_add_floppy(struct options *o, const char *file, struct err *e);
/* A file without an option; all of them to their places, and defaults that suit them. */
bool options_add_file(struct options *o, const char *path, struct err *e);
bool options_place_files(struct options *o, struct err *e);
/* Is there a desktop to open a window on? */
bool options_desktop(void);

enum opt_result opt_help_text(FILE *out);

#endif
