/*
 * Malformed QMP messages, a million of them: ./qmp-fuzz [--cases N] [--seed N]
 *
 * A session on a machine without devices gets messages that are cut, spliced, repeated
 * and changed, then a good one, which must be answered. Commands with effects outside
 * of the program (files, streams, its end) are left out. At the end the program tells
 * how much memory it holds; more than a few megabytes beyond the start is a failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/command.h"
#include "ui/json.h"
#include "ui/qmp.h"
#include "ui/vm.h"
#include "tools/port_fuzz.h"

/* ---- the session ---- */

static const struct dev_type *const no_types[] = { NULL };
static struct vm vm;
static unsigned long long errors, results;
static char last[4096];
static size_t n_last;

static void take(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c;
	errors += n > 10 && !memcmp(p, "{\"error\": ", 10);
	results += n > 11 && !memcmp(p, "{\"return\": ", 11);
	n_last = n < sizeof(last) ? n : sizeof(last) - 1;
	if (n > 2) {
		memcpy(last, p, n_last);
		last[n_last] = 0;
	}
}

static const struct chr_ops ops = { .name = "fuzz", .write = take };
static struct chr stream = { .ops = &ops, .id = (char *)"fuzz", .open = true };

static bool start(struct err *e)
{
	struct cpu_config cfg = { .model = "max" };
	struct cpu *cpu;

	vm.m = machine_new(no_types, NULL, e);
	vm.loop = vm.m ? loop_new(vm.m, e) : NULL;
	if (!vm.loop)
		return false;
	cfg.phys = vm.m->phys;
	cpu = cpu_new(&cfg, e);
	machine_lock(vm.m);
	return cpu && vm_init(&vm, &cpu, 1, e) && qmp_new(&vm, &stream, false, e);
}

/* ---- messages ---- */

static const char *const words[] = {
	"{", "}", "[", "]", "\"", ":", ",", "\\", "\\u0000", "\\ud800", "null", "true", "false", "-1", "1e999",
	"18446744073709551616", "0.5", "\"execute\"", "\"arguments\"", "\"id\"", "\xff", "\x01", "\n", "\xc0\x80",
	"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\"device\"", "\"type\"", "\"data\"", "\"path\"", " ",
};

static const char *word(void)
{
	return words[roll(ARRAY_LEN(words))];
}

/* Commands that touch nothing outside, and end soon. */
static const char *const harmless[] = {
	"query-status", "query-commands", "query-events", "query-version", "query-cpus-fast", "query-block", "query-name",
	"query-uuid", "query-pci", "query-chardev", "qom-list", "qom-get", "qom-set", "qom-list-types", "device_add",
	"device_del", "device-list-properties", "query-mice", "send-key", "input-send-event", "eject", "netdev_del",
	"chardev-remove", "query-cpu-model-expansion", "query-command-line-options", "object-del", "block_resize",
	"block_set_io_throttle", "query-blockstats", "balloon", "set_password", "qmp_capabilities",
	"query-jobs", "query-block-jobs", "job-cancel", "job-dismiss", "block-commit", "block-stream", "transaction",
	"block-job-set-speed", "query-named-block-nodes",
};

static void make_value(struct text *t, int depth);

static void make_members(struct text *t, int depth)
{
	static const char *const keys[] = {
		"device", "id", "path", "property", "value", "typename", "driver", "keys", "events", "type", "data",
		"model", "name", "props", "size", "bps", "enable", "implements", "option", "job-id", "speed", "actions", "base-node", "x",
	};

	for (uint32_t i = 0, n = roll(5); i < n; i++) {
		put(t, i ? ",\"" : "\"");
		put(t, keys[roll(ARRAY_LEN(keys))]);
		put(t, "\":");
		make_value(t, depth - 1);
	}
}

static void make_value(struct text *t, int depth)
{
	static const char *const plain[] = {
		"1", "-7", "true", "null", "\"full\"", "\"/machine\"", "\"ctrl\"", "\"key\"", "\"\"", "2.5", "\"max\"",
		"9223372036854775807", "\"\\u00e9\"",
	};
	uint32_t kind = depth > 0 ? roll(4) : 0;

	if (kind < 2) {
		put(t, plain[roll(ARRAY_LEN(plain))]);
	} else if (kind == 2) {
		put(t, "{");
		make_members(t, depth);
		put(t, "}");
	} else {
		put(t, "[");
		make_value(t, depth - 1);
		put(t, "]");
	}
}

static void make_message(struct text *t)
{
	put(t, "{\"execute\":\"");
	put(t, harmless[roll(ARRAY_LEN(harmless))]);
	put(t, "\",\"arguments\":{");
	make_members(t, 4);
	put(t, roll(2) ? "}}" : "},\"id\":[1,{}]}");
}

/* Never a command with effects outside, whatever damage makes of a name. */
static bool is_safe(const struct text *t)
{
	static const char *const bad[] = { "memsave", "screendump", "dump-guest", "human-", "-add", "migrat", "quit", "blockdev-", "drive-" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (memmem(t->buf, t->n, bad[i], strlen(bad[i])))
			return false;
	return true;
}

static void feed(const char *p, size_t n)
{
	feed_port(&stream, p, n);
}

static bool answers(void)
{
	static const char good[] = "\xff{\"execute\":\"query-kvm\"}\n";

	last[0] = 0;
	feed(good, sizeof(good) - 1);
	return strstr(last, "{\"return\": {\"enabled\"") != NULL;
}

static bool fuzz(unsigned long long cases)
{
	static struct text t;
	size_t before = 0;

	for (unsigned long long i = 0; i < cases; i++) {
		t.n = 0;
		make_message(&t);
		damage(&t, word);
		if (!is_safe(&t))
			continue;
		feed(t.buf, t.n);
		if (i % 4 == 0 && !answers()) {
			printf("case %llu: no answer behind %.*s\n", i, (int)t.n, t.buf);
			return false;
		}
		if (i == 1000)
			before = held();
	}
	printf("qmp-fuzz: %llu messages, %llu errors and %llu results, %zu KiB held, %zu at message 1000\n", cases,
	       errors, results, held() / 1024, before / 1024);
	return held_is_bounded(before);
}

int main(int argc, char **argv)
{
	unsigned long long cases = 1000000;
	struct err e = { "" };

	if (!fuzz_options(argc, argv, &cases))
		return 2;
	if (!json_built_in()) {
		puts("qmp-fuzz: built without jansson: nothing to do");
		return 0;
	}
	if (!start(&e)) {
		err_report(&e);
		return 1;
	}
	feed("{\"execute\":\"qmp_capabilities\"}", 30);
	return fuzz(cases) ? 0 : 1;
}
