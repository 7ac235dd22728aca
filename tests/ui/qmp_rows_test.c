/*
 * Every command of QMP against a whole machine: ./rhea with a firmware of a few bytes.
 * What comes back is checked against what the command's row says.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/net.h"
#include "ui/command.h"
#include "ui/json.h"
#include "ui/schema.h"

#define PROGRAM	"./rhea"
#define BIOS	65536

struct client {
	pid_t pid;
	FILE *to, *from;
	char bios[40];
	struct value *events;		/* since the last command */
};
static struct client c;

/* A ROM that sleeps, with interrupts off. */
static void make_bios(void)
{
	static uint8_t rom[BIOS];
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	int fd;

	strcpy(c.bios, "/tmp/rhea-bios-XXXXXX");
	fd = mkstemp(c.bios);
	memset(rom, 0xf4, sizeof(rom));
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
}

static void start(const char *options)
{
	char line[600];
	int in[2], out[2];

	make_bios();
	cr_assert(!pipe(in) && !pipe(out));
	c.pid = fork();
	if (!c.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		snprintf(line, sizeof(line), "exec " PROGRAM " -display none -vga none -bios %s -qmp stdio %s", c.bios, options);
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c.to = fdopen(in[1], "w");
	c.from = fdopen(out[0], "r");
	c.events = val_list();
}

static struct value *read_message(void)
{
	static char *line;
	static size_t cap;
	struct err e;
	ssize_t n = getline(&line, &cap, c.from);
	struct value *v;

	cr_assert(n > 0, "the program has gone");
	v = json_parse(line, (size_t)n, &e);
	cr_assert(v, "%s: %s", e.msg, line);
	return v;
}

static void check_event(const struct value *v)
{
	const char *name = val_get_str(v, "event", "");
	struct value *none = val_dict();
	const struct value *data = val_get(v, "data");
	struct err e;

	for (unsigned i = 0; i < n_command_events; i++)
		if (!strcmp(command_events[i].name, name)) {
			cr_expect(schema_check_members(data ? data : none, command_events[i].members, name, &e),
				  "%s", e.msg);
			return;
		}
	cr_expect(false, "no row for event %s", name);
}

/* The answer (not an event) to a command with arguments as JSON, or NULL. */
static struct value *ask(const char *name, const char *arguments)
{
	struct value *v;

	val_free(c.events);
	c.events = val_list();
	fprintf(c.to, "{\"execute\":\"%s\"%s%s}\n", name, arguments ? ",\"arguments\":" : "",
		arguments ? arguments : "");
	fflush(c.to);
	for (;;) {
		v = read_message();
		if (!val_get(v, "event"))
			return v;
		check_event(v);
		val_append(c.events, v);
	}
}

static const struct value *event(const char *name)
{
	for (size_t i = 0; i < c.events->n; i++)
		if (!strcmp(val_get_str(c.events->item[i], "event", ""), name))
			return c.events->item[i];
	return NULL;
}

static void finish(void)
{
	int status;

	ask("quit", NULL);
	waitpid(c.pid, &status, 0);
	unlink(c.bios);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

static void connect(const char *options)
{
	if (!json_built_in())
		cr_skip_test("built without jansson");
	start(options);
	val_free(read_message());
	cr_assert(val_get(ask("qmp_capabilities", NULL), "return"));
}

/*
 * What is asked, in order. class NULL: it must succeed. Rows without an entry are
 * asked without arguments.
 */
struct question { const char *name, *arguments, *class; };
static const struct question questions[] = {
	{ "qmp_capabilities", NULL, "CommandNotFound" },	/* the second time */
	{ "quit", NULL, "later" },
	{ "system_wakeup", NULL, "GenericError" },
	{ "memsave", "{\"val\":4294967280,\"size\":16,\"filename\":\"/dev/null\"}", NULL },
	{ "pmemsave", "{\"val\":0,\"size\":70000,\"filename\":\"/dev/null\"}", NULL },
	{ "screendump", "{\"filename\":\"/dev/null\"}", "GenericError" },	/* -vga none */
	{ "send-key", "{\"keys\":[{\"type\":\"qcode\",\"data\":\"ctrl\"},{\"type\":\"number\",\"data\":30}]}", NULL },
	{ "input-send-event", "{\"events\":[{\"type\":\"key\",\"data\":{\"down\":true,\"key\":{\"type\":\"qcode\",\"data\":\"a\"}}},"
	  "{\"type\":\"btn\",\"data\":{\"down\":true,\"button\":\"left\"}},"
	  "{\"type\":\"rel\",\"data\":{\"axis\":\"x\",\"value\":5}},{\"type\":\"abs\",\"data\":{\"axis\":\"y\",\"value\":70000}}]}", NULL },
	{ "eject", "{\"device\":\"ide1-cd0\"}", NULL },
	{ "blockdev-change-medium", "{\"id\":\"ide1-cd0\",\"filename\":\"/dev/null/x\"}", "GenericError" },
	{ "blockdev-open-tray", "{\"id\":\"ide1-cd0\"}", NULL },
	{ "blockdev-remove-medium", "{\"id\":\"ide1-cd0\"}", NULL },
	{ "blockdev-close-tray", "{\"id\":\"nothing\"}", "DeviceNotFound" },
	{ "block_resize", "{\"device\":\"ide1-cd0\",\"size\":4096}", "GenericError" },	/* no disc */
	{ "block_set_io_throttle", "{\"id\":\"ide1-cd0\",\"bps\":1000,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}", NULL },
	{ "set_password", "{\"protocol\":\"vnc\",\"password\":\"x\"}", "GenericError" },
	{ "change-vnc-password", "{\"password\":\"x\"}", "GenericError" },
	{ "device_add", "{\"driver\":\"virtio-rng-pci\",\"id\":\"rng\"}", NULL },
	{ "device_del", "{\"id\":\"rng\"}", NULL },
	{ "chardev-add", "{\"id\":\"ring\",\"backend\":{\"type\":\"ringbuf\",\"data\":{\"size\":4096}}}", NULL },
	{ "chardev-send-break", "{\"id\":\"compat_monitor0\"}", NULL },
	{ "chardev-remove", "{\"id\":\"compat_monitor0\"}", "GenericError" },	/* busy */
	{ "ringbuf-read", "{\"device\":\"ring\",\"size\":100}", NULL },
	{ "netdev_add", "{\"type\":\"user\",\"id\":\"n\",\"restrict\":true}", NULL },
	{ "set_link", "{\"name\":\"nothing\",\"up\":false}", "DeviceNotFound" },
	{ "netdev_del", "{\"id\":\"n\"}", NULL },
	{ "object-add", "{\"qom-type\":\"secret\",\"id\":\"s\"}", "GenericError" },
	{ "object-del", "{\"id\":\"s\"}", "GenericError" },
	{ "query-cpu-model-expansion", "{\"type\":\"full\",\"model\":{\"name\":\"max\",\"props\":{\"avx\":false}}}", NULL },
	{ "device-list-properties", "{\"typename\":\"isa-serial\"}", NULL },
	{ "qom-list-properties", "{\"typename\":\"pci-device\"}", NULL },
	{ "qom-list", "{\"path\":\"/machine/unattached\"}", NULL },
	{ "qom-get", "{\"path\":\"/machine/unattached/isa-pit0\",\"property\":\"type\"}", NULL },
	{ "qom-set", "{\"path\":\"/machine/peripheral/x\",\"property\":\"y\",\"value\":1}", "DeviceNotFound" },
	{ "dump-guest-memory", "{\"paging\":true,\"protocol\":\"file:/dev/null\",\"detach\":true}", NULL },
	{ "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}", NULL },
	{ "getfd", "{\"fdname\":\"x\"}", "GenericError" },	/* none can come by a pipe */
	{ "closefd", "{\"fdname\":\"x\"}", "GenericError" },
	{ "query-balloon", NULL, "DeviceNotActive" },
	{ "balloon", "{\"value\":1}", "DeviceNotActive" },
	{ "trace-event-get-state", "{\"name\":\"*.irq\"}", NULL },
	{ "trace-event-set-state", "{\"name\":\"qmp.stop\",\"enable\":false}", NULL },
	{ "watchdog-set-action", "{\"action\":\"pause\"}", NULL },
	{ "human-monitor-command", "{\"command-line\":\"info status\"}", NULL },
};

static void check_answer(const struct command *row, const struct question *q, const struct value *v)
{
	const char *class = val_get_str(val_get(v, "error"), "class", NULL);
	char *text = json_text(v, false);
	struct err e = { "" };

	if (q && !strncmp(q->name, "netdev_", 7) && !net_user_built_in())
		cr_expect(class, "%s: %s", row->qmp, text);
	else if (q && q->class)
		cr_expect(class && !strcmp(class, q->class), "%s: %s", row->qmp, text);
	else if (!val_get(v, "return"))
		cr_expect(false, "%s: %s", row->qmp, text);
	else if (row->returns)
		cr_expect(schema_check(val_get(v, "return"), row->returns, row->qmp, &e), "%s: %s", e.msg, text);
	else
		cr_expect(!val_get(v, "return")->n, "%s returns something: %s", row->qmp, text);
	free(text);
}

Test(qmp_rows, every_command_answers_as_its_row_says, .timeout = 60)
{
	connect("-S -name test -smp 2 -drive media=cdrom,index=2");
	for (unsigned i = 0; i < n_commands; i++) {
		const struct question *q = NULL;

		if (!commands[i].qmp)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(questions); k++)
			if (!strcmp(questions[k].name, commands[i].qmp))
				q = &questions[k];
		if (q && q->class && !strcmp(q->class, "later"))
			continue;
		struct value *v = ask(commands[i].qmp, q ? q->arguments : NULL);
		check_answer(&commands[i], q, v);
		val_free(v);
	}
	finish();
}

Test(qmp_rows, run_control_is_told_by_events, .timeout = 60)
{
	connect("-S");
	ask("cont", NULL);
	cr_assert(event("RESUME"));
	ask("stop", NULL);
	cr_assert(event("STOP"));
	ask("system_reset", NULL);
	cr_assert_str_eq(val_get_str(val_get(event("RESET"), "data"), "reason", ""), "host-qmp-system-reset");
	ask("system_powerdown", NULL);
	cr_assert(event("POWERDOWN"));
	finish();
	cr_assert_str_eq(val_get_str(val_get(event("SHUTDOWN"), "data"), "reason", ""), "host-qmp-quit");
}
