/*
 * "first,key=value,key2=value2": the arguments of command-line options. A JSON object
 * is the same, members of members being "key.key2".
 *
 * The consumer asks for each key it knows with a kv_ function of the right
 * type; kv_done() then complains about keys nobody asked for and about values
 * that were malformed, and names what would have been right. So what an option
 * takes is written once, where it is taken.
 */
#ifndef UI_KEYVAL_H
#define UI_KEYVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define KV_MAX 32
struct kv {
	const char *option;		/* for messages: "-drive" */
	char *text;			/* keys and values point into it */
	int n;
	struct { const char *key, *value; bool taken; } pair[KV_MAX];
	const char *asked[KV_MAX * 4];	/* keys the consumer knows */
	int n_asked;
	struct err *e;
	bool failed;
};

/*
 * Split text; ",," is a comma. A first word without '=' is the value of
 * `implied` (NULL: it is a flag). A later word without '=' is a flag, "on" (or,
 * as "noKEY", the key "KEY" with "off"). After a failure every kv_ function
 * returns its default and kv_done() false. The values live until kv_free().
 */
void kv_parse(struct kv *k, const char *option, const char *text, const char *implied, struct err *e);
bool kv_done(struct kv *k);
/* Frees the text and with it the values. A consumer that keeps values does not call it.  */
void kv_free(struct kv *k);

/* The value of a key, or the default if it is not there. The last one given counts. */
const char *kv_str(struct kv *k, const char *key, const char *def);
/* Every value of a key that may be given more than once, in order; how many. */
int kv_all(struct kv *k, const char *key, const char **out, int max);
bool kv_bool(struct kv *k, const char *key, bool def);
uint64_t kv_num(struct kv *k, const char *key, uint64_t def, uint64_t min, uint64_t max);
/* K, M, G, T behind the number; `unit` is what a bare number counts. */
uint64_t kv_size(struct kv *k, const char *key, uint64_t def, uint64_t unit);
/* One of the words of a NULL-terminated list: its index. */
int kv_word(struct kv *k, const char *key, int def, const char *const words[]);
/* Keys that are accepted and have no effect here; NULL-terminated. */
void kv_ignore(struct kv *k, const char *const keys[]);

/* "512M", "0x1000", "1.5G". False: malformed or too large. */
bool parse_size(const char *s, uint64_t unit, uint64_t *out);
/* A whole number, decimal, 0x or octal. */
bool parse_num(const char *s, uint64_t *out);

#endif
