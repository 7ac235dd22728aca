/*
 * Structured values: what commands take and give, and what events carry. The
 * same shapes as JSON has.
 *
 * A value is a tree with one owner. Functions that put a value into another take
 * it over. Without memory the program ends.
 */
#ifndef BASE_VALUE_H
#define BASE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind { VAL_NULL, VAL_BOOL, VAL_INT, VAL_NUM, VAL_STR, VAL_LIST, VAL_DICT };

struct value {
	enum value_kind kind;
	bool b;
	int64_t i;
	double d;
	char *s;
	/* list, dict */
	size_t n, cap;
	struct value **item;
	char **key;
};

struct value *val_null(void);
struct value *val_bool(bool b);
struct value *val_int(int64_t i);
struct value *val_num(double d);
struct value *val_str(const char *s);
struct value *val_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct value *val_list(void);
struct value *val_dict(void);
struct value *val_copy(const struct value *v);		/* of NULL: NULL */
void val_free(struct value *v);				/* NULL is fine */

void val_append(struct value *list, struct value *v);
/* The key must not be there yet. Returns v. */
struct value *val_add(struct value *dict, const char *key, struct value *v);
void val_add_bool(struct value *dict, const char *key, bool b);
void val_add_int(struct value *dict, const char *key, int64_t i);
void val_add_str(struct value *dict, const char *key, const char *s);
/* Add, or take the place of what is there. */
void val_set(struct value *dict, const char *key, struct value *v);

/* NULL: not there, or dict is NULL or no dictionary. */
const struct value *val_get(const struct value *dict, const char *key);
/* The member if it is of that kind, else the default. */
const char *val_get_str(const struct value *dict, const char *key, const char *def);
int64_t val_get_int(const struct value *dict, const char *key, int64_t def);
bool val_get_bool(const struct value *dict, const char *key, bool def);

#endif
