/*
 * Types of commands' arguments and answers and of events, as words.
 *
 * A type is a word: str int size number bool null any, the name of a row of
 * schema.def, or [TYPE] for a list. Members of a dictionary are
 * "name:TYPE other:TYPE? third=-x:bool?": '?' says that it may be missing, "=-x"
 * which letter stands for it in the human monitor. A last word "*" lets any other
 * member in.
 */
#ifndef UI_SCHEMA_H
#define UI_SCHEMA_H

#include "base/error.h"
#include "base/value.h"

#define SCHEMA_WORD 64

struct member {
	char name[SCHEMA_WORD], type[SCHEMA_WORD];
	bool optional;
	char letter;			/* 0: none */
};

/* The first member at *p, which moves on. False: none is left, or "*" (*p points at it). */
bool schema_next(const char **p, struct member *m);

enum schema_kind { SCHEMA_ENUM, SCHEMA_STRUCT, SCHEMA_UNION, SCHEMA_ALTERNATE };

struct schema_type {
	enum schema_kind kind;
	const char *name;
	const char *body;	/* values of an enum or types of an alternate: words; else members */
	const char *tag;	/* union: the member that decides */
	const char *variants;	/* union: "value:Struct value:Struct" */
};
extern const struct schema_type schema_types[];
extern const unsigned n_schema_types;
/* NULL: built in, or unknown. */
const struct schema_type *schema_find(const char *name);

/* Is this value of the type, does it have these members? path names it in the message. */
bool schema_check(const struct value *v, const char *type, const char *path, struct err *e);
bool schema_check_members(const struct value *v, const char *members, const char *path, struct err *e);

#endif
