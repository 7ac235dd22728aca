/* ui/qmp*.c, ui/json.c: sessions over a stream that the test holds the other end of. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/command.h"
#include "ui/json.h"
#include "ui/qmp.h"
#include "ui/qmp_frame.h"
#include "ui/schema.h"
#include "ui/trace.h"
#include "ui/vm.h"

/* ---- a stream into memory ---- */

static char out[1 << 20];
static size_t n_out;

static void keep(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c;
	if (n_out + n < sizeof(out)) {
		memcpy(out + n_out, p, n);
		n_out += n;
		out[n_out] = 0;
	}
}

static const struct chr_ops keep_ops = { .name = "test", .write = keep };
static const struct dev_type *const no_types[] = { NULL };
static struct vm vm;
static struct chr stream = { .ops = &keep_ops, .id = (char *)"test", .open = true };
static struct qmp *qmp;

static const char *feed(const char *text)
{
	n_out = 0;
	out[0] = 0;
	chr_input(&stream, (const uint8_t *)text, (int)strlen(text));
	return out;
}

static void setup(void)
{
	struct err e;
	static struct cpu *cpu;

	if (!json_built_in())
		cr_skip_test("built without jansson");
	vm.m = machine_new(no_types, NULL, &e);
	vm.loop = loop_new(vm.m, &e);
	cpu = cpu_new(&(struct cpu_config){ .model = "max", .phys = vm.m->phys }, &e);
	cr_assert(cpu, "%s", e.msg);
	machine_lock(vm.m);
	cr_assert(vm_init(&vm, &cpu, 1, &e));
	qmp = qmp_new(&vm, &stream, false, &e);
	cr_assert(qmp, "%s", e.msg);
}

static void negotiate(void)
{
	cr_assert_str_eq(feed("{\"execute\":\"qmp_capabilities\"}\n"), "{\"return\": {}}\r\n");
}

#define ERROR(class, desc) "{\"error\": {\"class\": \"" class "\", \"desc\": \"" desc "\"}}\r\n"

TestSuite(qmp, .init = setup);

Test(qmp, greets_with_version_and_capabilities)
{
	cr_assert(strstr(out, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": "), "%s", out);
	cr_assert(strstr(out, "\"capabilities\": []}}\r\n"), "%s", out);
}

Test(qmp, wants_negotiation_first_and_once)
{
	cr_assert_str_eq(feed("{\"execute\":\"query-status\"}"), ERROR("CommandNotFound",
			 "Expecting capabilities negotiation with 'qmp_capabilities'"));
	negotiate();
	cr_assert_str_eq(feed("{\"execute\":\"qmp_capabilities\"}"), ERROR("CommandNotFound",
			 "Capabilities negotiation is already complete, command ignored"));
}

Test(qmp, capabilities_that_are_not_there_are_refused)
{
	cr_assert_str_eq(feed("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}"),
			 ERROR("GenericError", "Capability oob not available"));
	negotiate();
}

Test(qmp, ids_come_back_whatever_they_are)
{
	negotiate();
	cr_assert_str_eq(feed("{\"execute\":\"stop\",\"id\":[1,{\"a\":null}]}"),
			 "{\"return\": {}, \"id\": [1, {\"a\": null}]}\r\n");
	cr_assert(strstr(feed("{\"id\":7,\"execute\":\"no\"}"), "\"id\": 7}"), "%s", out);
}

Test(qmp, several_messages_in_a_piece_and_one_in_several)
{
	negotiate();
	cr_assert_str_eq(feed("{\"execute\":\"stop\",\"id\":1}{\"execute\":\"stop\",\"id\":2}{\"exec"),
			 "{\"return\": {}, \"id\": 1}\r\n{\"return\": {}, \"id\": 2}\r\n");
	cr_assert_str_eq(feed("ute\":\n\"stop\",\"id\":3}"), "{\"return\": {}, \"id\": 3}\r\n");
}

Test(qmp, mistakes_are_told_and_the_session_goes_on)
{
	static const struct { const char *in, *answer; } bad[] = {
		{ "[]\n", ERROR("GenericError", "QMP input must be a JSON object") },
		{ "7 ", ERROR("GenericError", "QMP input must be a JSON object") },
		{ "{}", ERROR("GenericError", "QMP input lacks member 'execute'") },
		{ "{\"execute\":1}", ERROR("GenericError", "QMP input member 'execute' must be a string") },
		{ "{\"exec-oob\":\"stop\"}", ERROR("GenericError", "QMP input member 'exec-oob' is unexpected") },
		{ "{\"execute\":\"stop\",\"arguments\":[]}",
		  ERROR("GenericError", "QMP input member 'arguments' must be an object") },
		{ "{\"execute\":\"query-nothing\"}",
		  ERROR("CommandNotFound", "The command query-nothing has not been found") },
		{ "{\"execute\":\"stop\",\"arguments\":{\"now\":true}}",
		  ERROR("GenericError", "Parameter 'now' is unexpected") },
		{ "{\"execute\":\"memsave\",\"arguments\":{\"val\":0}}",
		  ERROR("GenericError", "Parameter 'size' is missing") },
		{ "{\"execute\":\"memsave\",\"arguments\":{\"val\":\"0\",\"size\":1,\"filename\":\"x\"}}",
		  ERROR("GenericError", "Invalid parameter type for 'val', expected: integer") },
		{ "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":0,\"size\":-1,\"filename\":\"/dev/null\"}}",
		  ERROR("GenericError", "size: expected a number of bytes, not -1") },
		{ "{\"execute\":\"memsave\",\"arguments\":{\"val\":0,\"size\":1,\"filename\":\"x\",\"cpu-index\":1}}",
		  ERROR("GenericError", "Invalid parameter 'cpu-index': processors are 0 to 0") },
		{ "}\n", ERROR("GenericError", "JSON parse error, a closing bracket without an opening one") },
		{ "{\"a\x01\"}\n", ERROR("GenericError", "JSON parse error, a control character") },
		{ "{\"unfinished\n", ERROR("GenericError", "JSON parse error, a control character") },
	};

	negotiate();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_expect_str_eq(feed(bad[i].in), bad[i].answer, "%s: %s", bad[i].in, out);
		cr_expect_str_eq(feed("{\"execute\":\"stop\"}\n"), "{\"return\": {}}\r\n", "after %s: %s",
				 bad[i].in, out);
	}
}

Test(qmp, byte_ff_begins_afresh)
{
	negotiate();
	cr_assert_str_eq(feed("{\"execute\": [[["), "");
	cr_assert_str_eq(feed("\xff{\"execute\":\"stop\"}"), "{\"return\": {}}\r\n");
}

Test(qmp, nesting_and_length_are_bounded)
{
	static char deep[2000], lots[1 << 16];
	struct frame f = { 0 };
	size_t fed = 0;

	negotiate();
	memset(deep, '[', sizeof(deep) - 2);
	deep[sizeof(deep) - 2] = '\n';
	cr_assert_str_eq(feed(deep), ERROR("GenericError", "JSON parse error, brackets are nested too deep"));
	memset(lots, 'x', sizeof(lots));
	frame_byte(&f, '"');
	for (; fed < 4 * FRAME_MAX && !f.skipping; fed++)
		frame_byte(&f, (uint8_t)lots[fed % sizeof(lots)]);
	cr_assert(f.skipping && f.cap <= FRAME_MAX && fed <= FRAME_MAX);
	frame_fini(&f);
}

Test(qmp, events_reach_those_that_negotiated)
{
	struct value *v;

	n_out = 0;
	out[0] = 0;
	qmp_event(&vm, "STOP", NULL);
	cr_assert_str_eq(out, "");
	negotiate();
	n_out = 0;
	v = val_dict();
	val_add_bool(v, "guest", true);
	machine_event(vm.m, "RESET", v);
	cr_assert(!strncmp(out, "{\"timestamp\": {\"seconds\": ", 26), "%s", out);
	cr_assert(strstr(out, "}, \"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n"), "%s", out);
}

static struct value *change(int offset)
{
	struct value *v = val_dict();

	val_add_int(v, "offset", offset);
	return v;
}

Test(qmp, what_a_guest_can_repeat_is_told_once_a_second)
{
	negotiate();
	n_out = 0;
	for (int i = 1; i <= 1000; i++)
		machine_event(vm.m, "RTC_CHANGE", change(i));
	cr_assert(strstr(out, "\"offset\": 1}"), "%s", out);
	cr_assert_lt(n_out, 200);
	n_out = 0;
	vm.slow->timer.fn(vm.slow);
	cr_assert(strstr(out, "\"offset\": 1000}"), "%s", out);
	cr_assert_null(vm.slow->next);
}

Test(qmp, a_new_client_negotiates_anew)
{
	negotiate();
	chr_event(&stream, CHR_CLOSED);
	n_out = 0;
	chr_event(&stream, CHR_OPENED);
	cr_assert(strstr(out, "{\"QMP\""), "%s", out);
	cr_assert(strstr(feed("{\"execute\":\"stop\"}"), "Expecting capabilities"), "%s", out);
}

/* ---- the list ---- */

static bool known(const char *type)
{
	static const char *const builtin[] = { "str", "int", "size", "number", "bool", "null", "any" };
	char inner[SCHEMA_WORD];

	if (*type == '[') {
		snprintf(inner, sizeof(inner), "%.*s", (int)strlen(type) - 2, type + 1);
		return known(inner);
	}
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (!strcmp(builtin[i], type))
			return true;
	return schema_find(type);
}

static void check_members(const char *what, const char *members)
{
	struct member m;

	while (schema_next(&members, &m))
		cr_expect(*m.name && known(m.type), "%s: '%s' is of no type '%s'", what, m.name, m.type);
}

Test(command, rows_name_types_that_exist)
{
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];
		if (c->args)
			check_members(c->qmp, c->args);
		cr_expect(!c->returns || known(c->returns), "%s returns %s", c->qmp, c->returns);
	}
	for (unsigned i = 0; i < n_command_events; i++)
		check_members(command_events[i].name, command_events[i].members);
	for (unsigned i = 0; i < n_schema_types; i++) {
		const struct schema_type *t = &schema_types[i];
		if (t->kind == SCHEMA_STRUCT || t->kind == SCHEMA_UNION)
			check_members(t->name, t->body);
		if (t->kind == SCHEMA_UNION)
			check_members(t->name, t->variants);
	}
}

Test(command, names_are_unique)
{
	struct spell near;

	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];
		cr_expect(!c->qmp || command_find_qmp(c->qmp) == c, "%s", c->qmp);
		cr_expect(!c->human || command_find_human(c->human, c->subject, &near) == c, "%s", c->human);
		cr_expect(!c->alias || command_find_human(c->alias, c->subject, &near) == c, "%s", c->alias);
	}
	for (unsigned i = 0; i < n_schema_types; i++)
		cr_expect(schema_find(schema_types[i].name) == &schema_types[i], "%s", schema_types[i].name);
}

Test(json, text_and_back)
{
	static const char text[] = "{\"a\": [1, -2, 3.5, true, false, null, \"x\\ny\"], \"b\": {}}";
	struct err e;
	struct value *v;
	char *again;

	if (!json_built_in())
		cr_skip_test("built without jansson");
	v = json_parse(text, strlen(text), &e);
	cr_assert(v, "%s", e.msg);
	again = json_text(v, false);
	cr_assert_str_eq(again, text);
	val_free(v);
	free(again);
	v = val_str("caf\xe9");
	again = json_text(v, false);
	cr_assert_str_eq(again, "\"caf?\"");
}

Test(qmp, trace_points_are_told_and_switched)
{
	negotiate();
	commands_trace(&vm);
	cr_assert_str_eq(feed("{\"execute\":\"trace-event-get-state\",\"arguments\":{\"name\":\"qmp.sto*\"}}"),
			 "{\"return\": [{\"name\": \"qmp.stop\", \"state\": \"disabled\", \"vcpu\": false}]}\r\n");
	cr_assert_str_eq(feed("{\"execute\":\"trace-event-set-state\",\"arguments\":{\"name\":\"qmp.stop\",\"enable\":true}}"),
			 "{\"return\": {}}\r\n");
	cr_assert(trace_enabled(vm.m, "qmp.stop"));
	cr_assert(strstr(feed("{\"execute\":\"trace-event-get-state\",\"arguments\":{\"name\":\"qmp.stop\"}}"), "\"enabled\""));
	cr_assert(strstr(feed("{\"execute\":\"trace-event-set-state\",\"arguments\":{\"name\":\"qmp.stpo\",\"enable\":true}}"),
			 "no trace point 'qmp.stpo'; did you mean qmp.stop?"), "%s", out);
}

Test(qmp, names_of_files_may_have_commas)
{
	const char *a;

	negotiate();
	a = feed("{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"f\",\"backend\":{\"type\":\"file\","
		 "\"data\":{\"out\":\"/nonexistent,append=on/x\"}}}}");
	cr_assert(strstr(a, "/nonexistent,append=on/x: No such"), "%s", a);
}

/* A reset would end the test, too: there is no board. */
Test(qmp, cont_lets_a_crashed_guest_go_on)
{
	negotiate();
	vm.status = VM_PANICKED;
	feed("{\"execute\":\"cont\"}");
	cr_assert(strstr(out, "\"RESUME\"") && !strstr(out, "\"RESET\""), "%s", out);
	cr_assert_eq(vm.status, VM_RUNNING);
}

Test(qmp, set_action_changes_what_is_named)
{
	negotiate();
	feed("{\"execute\":\"set-action\",\"arguments\":{\"panic\":\"exit-failure\",\"reboot\":\"shutdown\"}}");
	cr_assert_str_eq(out, "{\"return\": {}}\r\n");
	cr_assert(vm.panic == VM_PANIC_EXIT_FAILURE && vm.no_reboot && !vm.no_shutdown && !vm.watchdog);
	feed("{\"execute\":\"set-action\",\"arguments\":{\"panic\":\"scream\"}}");
	cr_assert(strstr(out, "\"error\""), "%s", out);
}
