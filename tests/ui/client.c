/* A program's session with ./rhea (client.h). */
#include "tests/ui/client.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ui/command.h"
#include "ui/json.h"
#include "ui/schema.h"

#define PROGRAM	"./rhea"
#define BIOS	65536

static void make_bios(struct client *c, const uint8_t *code, size_t n)
{
	static uint8_t rom[BIOS];
	static const uint8_t jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
	int fd;

	strcpy(c->bios, "/tmp/rhea-bios-XXXXXX");
	fd = mkstemp(c->bios);
	memset(rom, 0xf4, sizeof(rom));
	if (code)
		memcpy(rom, code, n);
	memcpy(rom + 0xfff0, jump, sizeof(jump));
	cr_assert_eq(write(fd, rom, sizeof(rom)), sizeof(rom));
	close(fd);
}

static void start(struct client *c, const char *options)
{
	char line[1000];
	int in[2], out[2];

	cr_assert(!pipe(in) && !pipe(out));
	c->pid = fork();
	if (!c->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		snprintf(line, sizeof(line), "exec " PROGRAM " -display none -vga none -bios %s -qmp stdio %s", c->bios,
			 options);
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->to = fdopen(in[1], "w");
	c->from = fdopen(out[0], "r");
	c->events = val_list();
}

static struct value *read_message(struct client *c)
{
	static char *line;
	static size_t cap;
	struct err e;
	ssize_t n = getline(&line, &cap, c->from);
	struct value *v;

	cr_assert(n > 0, "the program has gone");
	v = json_parse(line, (size_t)n, &e);
	cr_assert(v, "%s: %s", e.msg, line);
	return v;
}

void client_start(struct client *c, const uint8_t *code, size_t n, const char *options)
{
	if (!json_built_in())
		cr_skip_test("built without jansson");
	make_bios(c, code, n);
	start(c, options);
	val_free(read_message(c));
	client_do(c, "qmp_capabilities", NULL);
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

struct value *client_ask(struct client *c, const char *name, const char *arguments)
{
	struct value *v;

	val_free(c->events);
	c->events = val_list();
	fprintf(c->to, "{\"execute\":\"%s\"%s%s}\n", name, arguments ? ",\"arguments\":" : "",
		arguments ? arguments : "");
	fflush(c->to);
	for (;;) {
		v = read_message(c);
		if (!val_get(v, "event"))
			return v;
		check_event(v);
		val_append(c->events, v);
	}
}

const struct value *client_do(struct client *c, const char *name, const char *arguments)
{
	struct value *v = client_ask(c, name, arguments);

	cr_assert(val_get(v, "return"), "%s: %s", name, json_text(v, false));
	return val_get(v, "return");
}

const struct value *client_event(const struct client *c, const char *name)
{
	for (size_t i = 0; i < c->events->n; i++)
		if (!strcmp(val_get_str(c->events->item[i], "event", ""), name))
			return c->events->item[i];
	return NULL;
}

void client_await(struct client *c, const char *query, const char *member, const char *word)
{
	const char *said = "";

	for (int i = 0; i < 2500; i++) {
		const struct value *v = client_do(c, query, NULL);

		said = val_get_str(v, member, "");
		if (!strcmp(said, word))
			return;
		usleep(20000);
	}
	cr_assert(false, "%s says %s for ever, not %s", query, said, word);
}

void client_finish(struct client *c)
{
	int status;

	client_ask(c, "quit", NULL);
	waitpid(c->pid, &status, 0);
	unlink(c->bios);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
