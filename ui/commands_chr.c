/* Commands about byte streams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

/* ---- what there is ---- */

struct value *cmd_query_chardev(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	for (struct chr *s = c->vm->m->chrs; s; s = s->next) {
		struct value *v = val_dict();

		val_add_str(v, "label", s->id);
		val_add(v, "filename", val_strf("%s%s", strcmp(s->ops->name, "pty") ? "" : "pty:",
						s->ops->describe ? s->ops->describe(s) : s->ops->name));
		val_add_bool(v, "frontend-open", s->front != NULL || s->ops->attach != NULL);
		val_append(list, v);
	}
	return list;
}

void show_chardev(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s: filename=%s\n", val_get_str(v->item[i], "label", ""),
			val_get_str(v->item[i], "filename", ""));
}

struct value *cmd_query_chardev_backends(struct cmd *c, const struct value *args)
{
	static const char *const names[] = { "stdio", "pty", "null", "vc", "file", "pipe", "socket", "ringbuf" };
	struct value *list = val_list();

	(void)c, (void)args;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct value *v = val_dict();
		val_add_str(v, "name", names[i]);
		val_append(list, v);
	}
	return list;
}

/* ---- adding ---- */

static void put(FILE *f, const char *key, const char *value)
{
	fprintf(f, ",%s=", key);
	for (; *value; value++)
		fputs(*value == ',' ? ",," : (char[]){ *value, 0 }, f);
}

static void put_bool(FILE *f, const struct value *data, const char *key)
{
	if (val_get(data, key))
		put(f, key, val_get_bool(data, key, false) ? "on" : "off");
}

/* A SocketAddressLegacy: {"type": "unix", "data": {"path": ..}}. */
static bool put_address(struct cmd *c, FILE *f, const struct value *addr)
{
	const char *type = val_get_str(addr, "type", "");
	const struct value *data = val_get(addr, "data");

	if (!strcmp(type, "unix")) {
		put(f, "path", val_get_str(data, "path", ""));
	} else if (!strcmp(type, "inet")) {
		put(f, "host", val_get_str(data, "host", ""));
		put(f, "port", val_get_str(data, "port", ""));
	} else {
		return err_set(&c->err, "Parameter 'addr.type': only inet and unix are there");
	}
	return true;
}

/* The backend as -chardev has it, to be freed; NULL with err filled. */
static char *backend_text(struct cmd *c, const struct value *backend)
{
	const char *type = val_get_str(backend, "type", "");
	const struct value *data = val_get(backend, "data");
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	bool ok = f;

	if (!f)
		return NULL;
	fputs(type, f);
	if (!strcmp(type, "socket")) {
		ok = put_address(c, f, val_get(data, "addr"));
		put(f, "server", val_get_bool(data, "server", true) ? "on" : "off");
		put(f, "wait", "off");		/* nothing may wait while the machine runs */
		put_bool(f, data, "nodelay");
		put_bool(f, data, "telnet");
	} else if (!strcmp(type, "file") || !strcmp(type, "pipe")) {
		put(f, "path", val_get_str(data, !strcmp(type, "file") ? "out" : "device", ""));
		put_bool(f, data, "append");
	} else if (!strcmp(type, "ringbuf")) {
		fprintf(f, ",size=%lld", (long long)val_get_int(data, "size", 65536));
	}
	put(f, "logfile", val_get_str(data, "logfile", ""));
	put_bool(f, data, "logappend");
	fclose(f);
	if (ok)
		return text;
	free(text);
	return NULL;
}

struct value *cmd_chardev_add(struct cmd *c, const struct value *args)
{
	const struct value *backend = val_get(args, "backend");
	const char *id = val_get_str(args, "id", "");
	struct value *v = NULL;
	struct chr *s;
	char *text;

	if (chr_find(c->vm->m, id))
		return cmd_fail(c, CMD_GENERIC, "Chardev with id '%s' already exists", id);
	text = backend_text(c, backend);
	s = text ? chr_new(c->vm->m, id, text, &c->err) : NULL;
	free(text);
	if (!s)
		return NULL;
	v = val_dict();
	if (!strcmp(val_get_str(backend, "type", ""), "pty"))
		val_add_str(v, "pty", s->ops->describe(s));
	return v;
}

/* For people: the words of -chardev. */
void mon_chardev_add(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;
	char text[MON_LINE + 16];

	snprintf(text, sizeof(text), "%s,wait=off", a->rest);	/* nothing may wait while the machine runs */
	if (!chr_new(mon->vm->m, NULL, text, &e))
		fprintf(out, "chardev-add: %s\n", e.msg);
}

static bool is_used(const struct vm *vm, const struct chr *s)
{
	if (s->front || s->ops->attach)
		return true;
	for (const struct dev *d = vm->m->devs; d; d = d->next)
		for (const struct prop *p = d->type->props; p && p->name; p++)
			if (p->type == PROP_CHR && *(struct chr *const *)((const char *)d + p->off) == s)
				return true;
	return false;
}

struct value *cmd_chardev_remove(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", "");
	struct chr *s = chr_find(c->vm->m, id);

	if (!s)
		return cmd_fail(c, CMD_GENERIC, "Chardev '%.200s' not found", id);
	if (is_used(c->vm, s))
		return cmd_fail(c, CMD_GENERIC, "Chardev '%s' is busy", id);
	chr_free(s);
	return val_dict();
}

struct value *cmd_chardev_send_break(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", "");
	struct chr *s = chr_find(c->vm->m, id);

	if (!s)
		return cmd_fail(c, CMD_GENERIC, "Chardev '%.200s' not found", id);
	chr_event(s, CHR_BREAK);
	return val_dict();
}

/* ---- ring buffers ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct value *base64(const uint8_t *p, size_t n)
{
	char *text = malloc(n / 3 * 4 + 5), *to = text;
	struct value *v;

	if (!text)
		return val_str("");
	for (size_t i = 0; i < n; i += 3) {
		uint32_t w = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		*to++ = digits[w >> 18];
		*to++ = digits[w >> 12 & 63];
		*to++ = i + 1 < n ? digits[w >> 6 & 63] : '=';
		*to++ = i + 2 < n ? digits[w & 63] : '=';
	}
	*to = 0;
	v = val_str(text);
	free(text);
	return v;
}

#define RING_MOST (1 << 20)

struct value *cmd_ringbuf_read(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "device", "");
	int64_t size = val_get_int(args, "size", 0);
	struct chr *s = chr_find(c->vm->m, id);
	struct value *v = NULL;
	uint8_t *buf;
	int n;

	if (!s)
		return cmd_fail(c, CMD_GENERIC, "Device '%.200s' not found", id);
	if (size <= 0 || size > RING_MOST)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'size': expected 1 to %d", RING_MOST);
	buf = calloc(1, (size_t)size + 1);
	n = buf ? chr_ring_read(s, buf, (int)size) : -1;
	if (n < 0)
		cmd_fail(c, CMD_GENERIC, "%s is not a ringbuf device", id);
	else
		v = strcmp(val_get_str(args, "format", "utf8"), "base64") ? val_str((char *)buf) : base64(buf, (size_t)n);
	free(buf);
	return v;
}

/* To be freed; NULL: it is none. */
static uint8_t *unbase64(const char *text, size_t *n)
{
	size_t len = strcspn(text, "=");
	uint8_t *bytes = malloc(len + 1);
	uint32_t w = 0;

	*n = 0;
	for (size_t i = 0; bytes && i < len; i++) {
		const char *at = strchr(digits, text[i]);

		if (!at) {
			free(bytes);
			return NULL;
		}
		w = w << 6 | (uint32_t)(at - digits);
		if (i % 4)
			bytes[(*n)++] = (uint8_t)(w >> (6 - i % 4 * 2));
	}
	return bytes;
}

/* As if a device had written it. */
struct value *cmd_ringbuf_write(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "device", ""), *data = val_get_str(args, "data", "");
	struct chr *s = chr_find(c->vm->m, id);
	bool plain = strcmp(val_get_str(args, "format", "utf8"), "base64");
	uint8_t *bytes = NULL;
	size_t n = strlen(data);

	if (!s)
		return cmd_fail(c, CMD_GENERIC, "Device '%.200s' not found", id);
	if (chr_ring_read(s, NULL, 0) < 0)
		return cmd_fail(c, CMD_GENERIC, "%s is not a ringbuf device", id);
	if (!plain && !(bytes = unbase64(data, &n)))
		return cmd_fail(c, CMD_GENERIC, "Parameter 'data' is no base64");
	chr_write(s, plain ? (const void *)data : bytes, n);
	free(bytes);
	return val_dict();
}

void show_text(const struct value *v, FILE *out)
{
	fprintf(out, "%s\n", v->s);
}
