/*
 * Commands that press keys and move the pointer: sendkey, send-key, input-send-event,
 * mouse_*, query-mice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/spell.h"
#include "hw/core/input.h"
#include "hw/core/loop.h"
#include "ui/commands.h"
#include "ui/keymap.h"
#include "ui/keyval.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

#define HOLD_MS 100

/* ---- keys pressed together for a moment ---- */

static void release_keys(void *opaque)
{
	struct vm *vm = opaque;

	while (vm->input.n_keys)
		input_key(vm->m, vm->input.keys[--vm->input.n_keys], false);
}

static void press_keys(struct vm *vm, const int *codes, int n, uint64_t ms)
{
	struct clock *clock = loop_host_clock(vm->loop);

	release_keys(vm);
	for (int i = 0; i < n; i++) {
		input_key(vm->m, codes[i], true);
		vm->input.keys[vm->input.n_keys++] = codes[i];
	}
	timer_del(&vm->input.release);
	timer_init(&vm->input.release, clock, release_keys, vm);
	timer_mod(&vm->input.release, clock_now(clock) + ms * NS_PER_MS);
}

static bool key_code(const char *name, int *code, struct err *e)
{
	struct spell near;
	char hint[80];
	uint64_t v;

	if (!strncmp(name, "0x", 2) && parse_num(name, &v) && v <= 0x1ff) {
		*code = (int)v;
		return true;
	}
	*code = keymap_name(name, &near);
	return *code || err_set(e, "no key '%s'%s", name, spell_hint(&near, hint, sizeof(hint)));
}

void mon_sendkey(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	int codes[ARRAY_LEN(mon->vm->input.keys)], n = 0;
	uint64_t ms = HOLD_MS;
	char *rest = a->word[0], *w;
	struct err e;

	if (a->n > 1 && (!parse_num(a->word[1], &ms) || ms > 60000)) {
		fputs("sendkey: expected milliseconds up to 60000\n", out);
		return;
	}
	while ((w = strsep(&rest, "-"))) {
		if (n == (int)ARRAY_LEN(codes)) {
			fputs("sendkey: too many keys\n", out);
			return;
		}
		if (!key_code(w, &codes[n++], &e)) {
			fprintf(out, "%s\n", e.msg);
			return;
		}
	}
	press_keys(mon->vm, codes, n, ms);
}

/* A KeyValue: by name, or a number as in set 1 with 0x80 for the extended ones. */
static bool key_value(struct cmd *c, const struct value *v, int *code)
{
	int64_t n = val_get_int(v, "data", 0);

	if (strcmp(val_get_str(v, "type", ""), "number"))
		return key_code(val_get_str(v, "data", ""), code, &c->err);
	*code = (int)(n & 0x80 ? KEY_EXT | (n & 0x7f) : n);
	return (n > 0 && n <= 0xff) || err_set(&c->err, "there is no key number %lld", (long long)n);
}

struct value *cmd_send_key(struct cmd *c, const struct value *args)
{
	const struct value *keys = val_get(args, "keys");
	int codes[ARRAY_LEN(c->vm->input.keys)];
	int64_t ms = val_get_int(args, "hold-time", HOLD_MS);

	if (keys->n > ARRAY_LEN(codes))
		return cmd_fail(c, CMD_GENERIC, "Parameter 'keys': more than %zu", ARRAY_LEN(codes));
	if (ms < 0 || ms > 60000)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'hold-time': expected milliseconds up to 60000");
	for (size_t i = 0; i < keys->n; i++)
		if (!key_value(c, keys->item[i], &codes[i]))
			return NULL;
	press_keys(c->vm, codes, (int)keys->n, (uint64_t)ms);
	return val_dict();
}

/* ---- single events ---- */

static const struct { const char *name; unsigned bit; int wheel; } buttons[] = {
	{ "left", BTN_LEFT, 0 }, { "middle", BTN_MIDDLE, 0 }, { "right", BTN_RIGHT, 0 }, { "side", BTN_SIDE, 0 },
	{ "extra", BTN_EXTRA, 0 }, { "wheel-up", 0, 1 }, { "wheel-down", 0, -1 },
};

static void send_button(struct vm *vm, const char *name, bool down)
{
	struct vm_input *in = &vm->input;

	for (size_t i = 0; i < ARRAY_LEN(buttons); i++) {
		int dz = down ? buttons[i].wheel : 0;

		if (strcmp(buttons[i].name, name))
			continue;
		in->buttons = down ? in->buttons | buttons[i].bit : in->buttons & ~buttons[i].bit;
		if (input_has_abs(vm->m))
			input_abs(vm->m, in->x, in->y, dz, in->buttons);
		else
			input_rel(vm->m, 0, 0, dz, in->buttons);
	}
}

static void send_move(struct vm *vm, bool absolute, bool is_x, int64_t v)
{
	struct vm_input *in = &vm->input;

	if (absolute) {
		v = v < 0 ? 0 : v > INPUT_ABS_MAX ? INPUT_ABS_MAX : v;
		*(is_x ? &in->x : &in->y) = (int)v;
		input_abs(vm->m, in->x, in->y, 0, in->buttons);
	} else {
		v = v < -4096 ? -4096 : v > 4096 ? 4096 : v;
		input_rel(vm->m, is_x ? (int)v : 0, is_x ? 0 : (int)v, 0, in->buttons);
	}
}

static bool send_event(struct cmd *c, const struct value *ev, bool dry)
{
	const char *type = val_get_str(ev, "type", "");
	const struct value *data = val_get(ev, "data");
	bool down = val_get_bool(data, "down", false);
	int code = 0;

	if (!strcmp(type, "key") && !key_value(c, val_get(data, "key"), &code))
		return false;
	if (dry)
		return true;
	if (code)
		input_key(c->vm->m, code, down);
	else if (!strcmp(type, "btn"))
		send_button(c->vm, val_get_str(data, "button", ""), down);
	else
		send_move(c->vm, !strcmp(type, "abs"), !strcmp(val_get_str(data, "axis", ""), "x"),
			  val_get_int(data, "value", 0));
	return true;
}

struct value *cmd_input_send_event(struct cmd *c, const struct value *args)
{
	const struct value *list = val_get(args, "events");

	for (int dry = 1; dry >= 0; dry--)	/* all or nothing */
		for (size_t i = 0; i < list->n; i++)
			if (!send_event(c, list->item[i], dry))
				return NULL;
	return val_dict();
}

/* ---- mice ---- */

static int clamp(int64_t v)
{
	return v < -4096 ? -4096 : v > 4096 ? 4096 : (int)v;
}

static bool numbers(struct monitor *mon, const struct mon_args *a, int64_t *v, int n, FILE *out)
{
	uint64_t x;

	for (int i = 0; i < n && i < a->n; i++) {
		if (!mon_expr(mon, a->word[i], &x, out))
			return false;
		v[i] = (int64_t)x;
	}
	return true;
}

void mon_mouse_move(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	int64_t v[3] = { 0 };

	if (numbers(mon, a, v, 3, out))
		input_rel(mon->vm->m, clamp(v[0]), clamp(v[1]), clamp(v[2]), mon->vm->input.buttons);
}

void mon_mouse_button(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	int64_t v = 0;

	if (!numbers(mon, a, &v, 1, out))
		return;
	/* 1 left, 2 right, 4 middle */
	mon->vm->input.buttons = (v & 1 ? BTN_LEFT : 0) | (v & 2 ? BTN_RIGHT : 0) | (v & 4 ? BTN_MIDDLE : 0);
	input_rel(mon->vm->m, 0, 0, 0, mon->vm->input.buttons);
}

void mon_mouse_set(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	int64_t v = 0;
	struct err e;

	if (numbers(mon, a, &v, 1, out) && !input_choose_mouse(mon->vm->m, clamp(v), &e))
		fprintf(out, "mouse_set: %s\n", e.msg);
}

static void one_mouse(void *list, const struct input_sink *s, bool current)
{
	struct value *v = val_dict();

	val_add_str(v, "name", s->name ? s->name : "mouse");
	val_add_int(v, "index", s->index);
	val_add_bool(v, "current", current);
	val_add_bool(v, "absolute", s->abs != NULL);
	val_append(list, v);
}

struct value *cmd_query_mice(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	input_each_mouse(c->vm->m, one_mouse, list);
	return list;
}

void show_mice(const struct value *v, FILE *out)
{
	if (!v->n)
		fputs("No mouse devices connected\n", out);
	for (size_t i = 0; i < v->n; i++) {
		const struct value *m = v->item[i];
		fprintf(out, "%c Mouse #%lld: %s%s\n", val_get_bool(m, "current", false) ? '*' : ' ',
			(long long)val_get_int(m, "index", 0), val_get_str(m, "name", ""),
			val_get_bool(m, "absolute", false) ? " (absolute)" : "");
	}
}
