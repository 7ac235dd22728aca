/*
 * A QMP session: greeting, negotiation, messages in, answers and events out.
 *
 * Not modelled: out-of-band execution (not offered); single quotes around strings.
 * Source: QEMU Machine Protocol Specification (QEMU's docs/interop), sections 2 and 3.
 */
#include "ui/qmp.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "hw/core/chr.h"
#include "hw/core/loop.h"
#include "ui/command.h"
#include "ui/json.h"
#include "ui/qmp_frame.h"
#include "ui/trace.h"
#include "ui/vm.h"

/* The version of QEMU's protocol that is spoken: what clients decide by. */
enum { SPEAKS_MAJOR = 7, SPEAKS_MINOR = 2, SPEAKS_MICRO = 0 };

struct qmp {
	struct vm *vm;
	struct chr *chr;
	bool pretty, negotiated;
	struct frame in;
	struct qmp *next;		/* in vm->qmps */
};

struct value *qmp_version(void)
{
	struct value *v = val_dict(), *number = val_add(v, "qemu", val_dict());

	val_add_int(number, "micro", SPEAKS_MICRO);
	val_add_int(number, "minor", SPEAKS_MINOR);
	val_add_int(number, "major", SPEAKS_MAJOR);
	val_add_str(v, "package", "rhea-" CONFIG_VERSION);
	return v;
}

struct chr *qmp_stream(struct qmp *q)
{
	return q->chr;
}

/* ---- out ---- */

/* Takes v over. */
static void send(struct qmp *q, struct value *v)
{
	char *text = json_text(v, q->pretty);

	val_free(v);
	if (!text)
		return;
	chr_puts(q->chr, text);
	chr_puts(q->chr, "\r\n");
	free(text);
}

static void greet(struct qmp *q)
{
	struct value *v = val_dict(), *about = val_add(v, "QMP", val_dict());

	val_add(about, "version", qmp_version());
	val_add(about, "capabilities", val_list());
	send(q, v);
}

/* id may be NULL. */
static void answer(struct qmp *q, struct value *result, const struct value *id)
{
	struct value *v = val_dict();

	val_add(v, "return", result);
	if (id)
		val_add(v, "id", val_copy(id));
	send(q, v);
}

static void refuse(struct qmp *q, enum cmd_class class, const char *desc, const struct value *id)
{
	struct value *v = val_dict(), *error = val_add(v, "error", val_dict());

	val_add_str(error, "class", cmd_class_name(class));
	val_add_str(error, "desc", desc);
	if (id)
		val_add(v, "id", val_copy(id));
	send(q, v);
}

static struct value *timestamp(void)
{
	struct value *v = val_dict();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	val_add_int(v, "seconds", now.tv_sec);
	val_add_int(v, "microseconds", now.tv_nsec / 1000);
	return v;
}

static void tell(struct vm *vm, const char *name, struct value *data)
{
	struct value *v = val_dict();

	val_add(v, "timestamp", timestamp());
	val_add_str(v, "event", name);
	if (data)
		val_add(v, "data", data);
	for (struct qmp *q = vm->qmps; q; q = q->next)
		if (q->negotiated)
			send(q, val_copy(v));
	val_free(v);
}

/* What a guest can make happen at any rate is told once a second, and last as it is then; of each device by itself. */
static const char *const slow_events[] = { "RTC_CHANGE", "BALLOON_CHANGE", "VSERPORT_CHANGE" };

static void tell_slow(void *opaque)
{
	struct slow_event *s = opaque;
	struct value *data = s->waiting;

	if (!data)
		return;
	s->waiting = NULL;
	tell(s->vm, s->name, data);
	timer_mod(&s->timer, clock_now(s->timer.clock) + NS_PER_SEC);
}

static const char *slow_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(slow_events); i++)
		if (!strcmp(slow_events[i], name))
			return slow_events[i];
	return NULL;
}

static struct slow_event *find_slow(struct vm *vm, const char *name, const char *id)
{
	struct slow_event *s = vm->slow;

	while (s && (s->name != name || strcmp(s->id, id)))
		s = s->next;
	if (s || !(s = calloc(1, sizeof(*s))))
		return s;
	*s = (struct slow_event){ .vm = vm, .name = name, .id = strdup(id), .next = vm->slow };
	timer_init(&s->timer, loop_host_clock(vm->loop), tell_slow, s);
	vm->slow = s;
	return s;
}

void qmp_event(struct vm *vm, const char *name, struct value *data)
{
	const char *slow = vm->loop ? slow_name(name) : NULL;
	struct slow_event *s = slow ? find_slow(vm, slow, val_get_str(data, "id", "")) : NULL;

	if (!s) {
		tell(vm, name, data);
		return;
	}
	val_free(s->waiting);
	s->waiting = data;
	if (!timer_pending(&s->timer))
		tell_slow(s);
}

void qmp_forget_events(struct vm *vm)
{
	while (vm->slow) {
		struct slow_event *s = vm->slow;
		vm->slow = s->next;
		timer_del(&s->timer);
		val_free(s->waiting);
		free(s->id);
		free(s);
	}
}

/* ---- in ---- */

static bool check_envelope(const struct value *msg, struct err *e)
{
	bool has_execute = false;

	if (msg->kind != VAL_DICT)
		return err_set(e, "QMP input must be a JSON object");
	for (size_t i = 0; i < msg->n; i++) {
		const char *key = msg->key[i];

		if (!strcmp(key, "execute")) {
			if (msg->item[i]->kind != VAL_STR)
				return err_set(e, "QMP input member 'execute' must be a string");
			has_execute = true;
		} else if (!strcmp(key, "arguments")) {
			if (msg->item[i]->kind != VAL_DICT)
				return err_set(e, "QMP input member 'arguments' must be an object");
		} else if (strcmp(key, "id")) {
			return err_set(e, "QMP input member '%.100s' is unexpected", key);
		}
	}
	return has_execute || err_set(e, "QMP input lacks member 'execute'");
}

#define NEGOTIATE "qmp_capabilities"

static void trace_arguments(struct machine *m, const char *name, const struct value *args)
{
	char *text = args ? json_text(args, false) : NULL;

	trace_command(m, "qmp", name, text ? text : "{}");
	free(text);
}

static struct value *execute(struct qmp *q, struct cmd *c, const struct value *msg)
{
	const char *name = val_get_str(msg, "execute", "");
	const struct command *row = command_find_qmp(name);

	if (!row)
		return cmd_fail(c, CMD_NOT_FOUND, "The command %.100s has not been found", name);
	if (q->negotiated && !strcmp(name, NEGOTIATE))
		return cmd_fail(c, CMD_NOT_FOUND, "Capabilities negotiation is already complete, command ignored");
	if (!q->negotiated && strcmp(name, NEGOTIATE))
		return cmd_fail(c, CMD_NOT_FOUND, "Expecting capabilities negotiation with '" NEGOTIATE "'");
	if (trace_on(q->vm->m))
		trace_arguments(q->vm->m, name, val_get(msg, "arguments"));
	return command_run(c, row, val_get(msg, "arguments"));
}

static void take_message(struct qmp *q, const struct value *msg)
{
	struct cmd c = { .vm = q->vm, .qmp = q };
	const struct value *id = val_get(msg, "id");
	struct value *result;

	if (!check_envelope(msg, &c.err)) {
		refuse(q, CMD_GENERIC, c.err.msg, id);
		return;
	}
	result = execute(q, &c, msg);
	if (result)
		answer(q, result, id);
	else
		refuse(q, c.class, c.err.msg, id);
}

static void take_text(struct qmp *q, const char *text, size_t n)
{
	struct err e;
	struct value *msg = json_parse(text, n, &e);

	if (msg)
		take_message(q, msg);
	else
		refuse(q, CMD_GENERIC, e.msg, NULL);
	val_free(msg);
}

static void take_byte(struct qmp *q, uint8_t v)
{
	struct err e;

	switch (frame_byte(&q->in, v)) {
	case FRAME_MESSAGE:
		take_text(q, q->in.buf, q->in.n);
		break;
	case FRAME_BAD:
		err_set(&e, "JSON parse error, %s", q->in.why);
		refuse(q, CMD_GENERIC, e.msg, NULL);
		break;
	case FRAME_MORE:
		break;
	}
}

struct value *cmd_qmp_capabilities(struct cmd *c, const struct value *args)
{
	const struct value *enable = val_get(args, "enable");

	if (!c->qmp)
		return cmd_fail(c, CMD_GENERIC, "there is nothing to negotiate here");
	if (enable && enable->n)
		return cmd_fail(c, CMD_GENERIC, "Capability %s not available", enable->item[0]->s);
	c->qmp->negotiated = true;
	return val_dict();
}

/* ---- the stream ---- */

static int room(void *opaque)
{
	(void)opaque;
	return 4096;
}

static void input(void *opaque, const uint8_t *p, int n)
{
	struct qmp *q = opaque;

	while (n-- > 0 && !loop_quitting(q->vm->loop))
		take_byte(q, *p++);
}

static void event(void *opaque, enum chr_event ev)
{
	struct qmp *q = opaque;

	if (ev != CHR_OPENED && ev != CHR_CLOSED)
		return;
	frame_fini(&q->in);
	q->negotiated = false;
	if (ev == CHR_OPENED)
		greet(q);
}

static const struct chr_front front = { room, input, event, .answers = true };

struct qmp *qmp_new(struct vm *vm, struct chr *c, bool pretty, struct err *e)
{
	struct qmp *q;

	if (!json_built_in()) {
		err_set(e, "there is no QMP: this program was built without jansson");
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (!q || !(q->chr = chr_attach(c, &front, q))) {
		err_set(e, "the stream '%s' is in use", c->id);
		free(q);
		return NULL;
	}
	q->vm = vm;
	q->pretty = pretty;
	q->next = vm->qmps;
	vm->qmps = q;
	if (q->chr->open)
		greet(q);
	chr_accept_input(q->chr);
	return q;
}

void qmp_free(struct qmp *q)
{
	struct qmp **p;

	if (!q)
		return;
	for (p = &q->vm->qmps; *p != q; p = &(*p)->next)
		;
	*p = q->next;
	chr_detach(q->chr);
	frame_fini(&q->in);
	free(q);
}
