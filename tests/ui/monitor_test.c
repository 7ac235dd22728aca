/* ui/monitor*.c and ui/expr.c, on a machine without devices and one stopped vCPU. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/net.h"
#include "hw/core/dev.h"
#include "ui/monitor.h"
#include "ui/monitor_complete.h"
#include "ui/trace.h"
#include "ui/vm.h"

static const struct dev_type *const no_types[] = { NULL };
static struct vm vm;
static struct monitor *mon;
static char *text;

static const char *run(const char *line)
{
	size_t n;
	FILE *out;

	free(text);
	text = NULL;
	out = open_memstream(&text, &n);
	monitor_execute(mon, line, out);
	fclose(out);
	return text;
}

static void setup(void)
{
	struct err e;
	static struct cpu *cpu;

	vm.m = machine_new(no_types, NULL, &e);
	cpu = cpu_new(&(struct cpu_config){ .model = "max", .phys = vm.m->phys }, &e);
	cr_assert(cpu, "%s", e.msg);
	cpu->regs[RAX] = 0x1122334455667788;
	machine_lock(vm.m);
	cr_assert(vm_init(&vm, &cpu, 1, &e));
	mon = monitor_new_silent(&vm);
}

TestSuite(monitor, .init = setup);

Test(monitor, expressions)
{
	cr_assert_str_eq(run("print 1 + 2 * 3"), "0x7\n");
	cr_assert_str_eq(run("p (1+2)*3"), "0x9\n");
	cr_assert_str_eq(run("p/d -1"), "-1\n");
	cr_assert_str_eq(run("p/u 0x10 / 3"), "5\n");
	cr_assert_str_eq(run("p 0xff & 0x0f | 0x30"), "0x3f\n");
	cr_assert_str_eq(run("p/xb ~0"), "0xff\n");
}

Test(monitor, registers_by_name)
{
	cr_assert_str_eq(run("p $rax"), "0x1122334455667788\n");
	cr_assert_str_eq(run("p $eax"), "0x55667788\n");
	cr_assert_str_eq(run("p $ah"), "0x77\n");
	cr_assert_str_eq(run("p $cs"), "0xf000\n");
	cr_assert(strstr(run("p $raxx"), "no register"));
}

Test(monitor, malformed_expressions_say_so)
{
	static const char *const bad[] = { "p 1 +", "p (1", "p 1 2", "p 5/0", "p 12ab", "p $", "p *" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(!strstr(run(bad[i]), "0x") && *text, "%s", bad[i]);
}

Test(monitor, deep_nesting_is_refused)
{
	char line[1000] = "p ";

	memset(line + 2, '(', 990);
	cr_assert(strstr(run(line), "too deep"));
}

Test(monitor, unknown_command_names_the_nearest)
{
	cr_assert(strstr(run("sytem_reset"), "did you mean system_reset"));
	cr_assert(strstr(run("info registrs"), "did you mean registers"));
}

Test(monitor, missing_arguments_are_named)
{
	cr_assert_str_eq(run("memsave 1"), "memsave: expected val size filename [cpu-index]\n");
}

Test(monitor, help_lists_every_command)
{
	cr_assert(strstr(run("help"), "system_powerdown"));
	cr_assert(strstr(run("help info"), "info mtree"));
	cr_assert(strstr(run("help quit"), "end the program"));
}

Test(monitor, status)
{
	cr_assert_str_eq(run("info status"), "VM status: paused (prelaunch)\n");
}

Test(monitor, memory_is_shown_and_saved)
{
	struct err e;
	struct ram *r = phys_ram_new(vm.m->phys, "test", 4096, &e);
	struct phys_range range = { .pa = 0x10000, .size = 4096, .prio = 1, .rram = r, .wram = r, .name = "test" };

	cr_assert(r);
	cr_assert(phys_map(vm.m->phys, &range, &e));
	for (int i = 0; i < 16; i++)
		r->host[i] = (uint8_t)(0x90 + i);
	cr_assert_str_eq(run("xp/2xw 0x10000"), "0000000000010000: 0x93929190 0x97969594\n");
	cr_assert_str_eq(run("xp /4xb 65536"), "0000000000010000: 0x90 0x91 0x92 0x93\n");
	cr_assert(strstr(run("xp/1i 0x10000"), "nop"), "%s", text);
}

Test(monitor, formats_are_checked)
{
	cr_assert(strstr(run("xp/2z 0"), "expected a count"));
}

Test(monitor, absolute_paths_are_not_formats)
{
	cr_assert(strstr(run("logfile /no/such/folder"), "/no/such/folder"), "%s", text);
}

Test(monitor, unknown_keys_name_the_nearest)
{
	cr_assert(strstr(run("sendkey ctrl-alt-delet"), "did you mean delete"));
	cr_assert(strstr(run("sendkey a-"), "no key ''"));
}

static char *two_lines(struct net *n)
{
	(void)n;
	return strdup("TCP\nUDP\n");
}

Test(monitor, networks_are_listed)
{
	static const struct net_ops ops = { .name = "test", .connections = two_lines };
	struct net n = { .ops = &ops, .id = "lan", .n_waiting = 3 };

	cr_assert_str_eq(run("info network"), "");
	machine_add_backend(vm.m, "drive", "d", vm.m);
	machine_add_backend(vm.m, "netdev", "lan", &n);
	cr_assert_str_eq(run("info network"), "lan: test (no card), 3 frames wait\n");
	cr_assert_str_eq(run("info usernet"), "lan:\nTCP\nUDP\n");
}

/* Everything the end of the line may become, with blanks between. */
static const char *completions(const char *line)
{
	static char all[16384];
	struct completion *c = calloc(1, sizeof(*c));
	size_t n = 0;

	complete(mon, line, c);
	*all = 0;
	for (int i = 0; i < c->n; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? " " : "", c->word[i]);
	complete_free(c);
	free(c);
	return all;
}

Test(monitor, words_are_completed_by_what_stands_there)
{
	cr_assert_str_eq(completions("device_"), "device_add device_del");
	cr_assert_str_eq(completions("info vers"), "version");
	cr_assert_str_eq(completions("help quit"), "quit");
	cr_assert_str_eq(completions("sendkey ctrl-alt-delet"), "delete");
	cr_assert_str_eq(completions("log int,guest_e"), "guest_errors");
	cr_assert_str_eq(completions("set_password v"), "vnc");
	cr_assert_str_eq(completions("pmemsave 0 16 /de"), "/dev/");
	cr_assert_str_eq(completions("screendump -f png /de"), "/dev/");
	cr_assert_str_eq(completions("nothing "), "");
	cr_assert_str_eq(completions("quit "), "");
}

Test(monitor, ids_are_completed)
{
	static const struct net_ops ops = { .name = "test" };
	static struct net n = { .ops = &ops, .id = (char *)"lan" };

	machine_add_backend(vm.m, "netdev", "lan", &n);
	cr_assert_str_eq(completions("netdev_del l"), "lan");
	cr_assert_str_eq(completions("hostfwd_add l"), "lan");
}

Test(monitor, trace_points_are_commands_too_and_are_switched_by_pattern)
{
	char line[200] = "", path[] = "/tmp/monitor-trace-XXXXXX";
	struct err e;

	close(mkstemp(path));
	commands_trace(&vm);
	cr_assert(trace_open(vm.m, path, &e));
	cr_assert_str_eq(run("info trace-events monitor.con*"), "monitor.cont : state 0\n");
	cr_assert_str_eq(run("trace-event monitor.* on"), "");
	cr_assert_str_eq(run("info trace-events monitor.stop"), "monitor.stop : state 1\n");
	run("print 1 + 2");
	run("trace-event * off");
	cr_assert(strstr(run("trace-event monitor.stp on"), "did you mean monitor.stop?"), "%s", text);
	run("print 3");

	FILE *f = fopen(path, "r");
	static const char *const want[] = {
		" monitor.info trace-events monitor.stop\n", " monitor.print 1 + 2\n", " monitor.trace-event * off\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		cr_assert(fgets(line, sizeof(line), f));
		cr_assert_str_eq(strchr(line, ' '), want[i]);
	}
	cr_assert_not(fgets(line, sizeof(line), f));
	fclose(f);
	unlink(path);
}

Test(monitor, passwords_are_not_traced)
{
	char line[200] = "", path[] = "/tmp/monitor-trace-XXXXXX";
	struct err e;

	close(mkstemp(path));
	cr_assert(trace_open(vm.m, path, &e) && trace_set(vm.m, "monitor.*", true, &e));
	run("change vnc password hunter2");
	FILE *f = fopen(path, "r");
	cr_assert(fgets(line, sizeof(line), f) && strstr(line, "monitor.change") && !strstr(line, "hunter2"), "%s", line);
	fclose(f);
	unlink(path);
}
