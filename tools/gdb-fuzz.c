/*
 * Malformed packets to the debugger's port, a million of them: ./gdb-fuzz [--cases N] [--seed N]
 *
 * A session on a machine with two processors and some memory gets packets that are cut, spliced,
 * repeated and changed, with right sums and wrong ones. Every now and then a good question must
 * be answered, and a machine that runs must stop at Ctrl-C. Lines for the monitor are not
 * damaged, as they could come to mean anything. At the end the program tells how much memory it
 * holds; more than a few megabytes beyond the start is a failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/gdb.h"
#include "ui/vm.h"
#include "tools/port_fuzz.h"

#define RAM	(1u << 20)
#define NCPUS	2

/* ---- the session ---- */

static const struct dev_type *const no_types[] = { NULL };
static struct vm vm;
static unsigned long long replies, errors;
static char said[1 << 17];
static size_t n_said;

static void take(struct chr *c, const uint8_t *p, size_t n)
{
	(void)c;
	replies += n > 4;
	errors += n > 4 && p[1] == 'E';
	if (n > sizeof(said) - 1 - n_said)
		n_said = 0;
	if (n > sizeof(said) - 1)
		return;
	memcpy(said + n_said, p, n);
	n_said += n;
	said[n_said] = 0;
}

static const struct chr_ops ops = { .name = "fuzz", .write = take };
static struct chr stream = { .ops = &ops, .id = (char *)"fuzz", .open = true };

static bool make_memory(struct err *e)
{
	struct ram *r = phys_ram_new(vm.m->phys, "ram", RAM, e);
	struct phys_range range = { .size = RAM, .prio = 1, .rram = r, .wram = r, .name = "ram" };

	return r && phys_map(vm.m->phys, &range, e);
}

static bool start(struct err *e)
{
	static struct cpu *cpus[NCPUS];
	struct cpu_config cfg = { .model = "max", .ncpus = NCPUS };

	vm.m = machine_new(no_types, NULL, e);
	vm.loop = vm.m ? loop_new(vm.m, e) : NULL;
	if (!vm.loop || !make_memory(e))
		return false;
	cfg.phys = vm.m->phys;
	for (int i = 0; i < NCPUS; i++) {
		cfg.index = i;
		if (!(cpus[i] = cpu_new(&cfg, e)))
			return false;
	}
	machine_lock(vm.m);
	stream.next = vm.m->chrs;
	vm.m->chrs = &stream;
	return vm_init(&vm, cpus, NCPUS, e) && gdb_serve(&vm, "chardev:fuzz", e);
}

/* ---- packets ---- */

static const char *const whole[] = {
	"?", "g", "!", "D", "D;1", "c", "s", "C05", "S05;10", "vCont?", "vCont;c", "vCont;s:p1.1;c", "vCont;c:p1.2", "vAttach;1",
	"qSupported:multiprocess+;swbreak+;hwbreak+", "qC", "qfThreadInfo", "qsThreadInfo", "qAttached", "qAttached:1",
	"qqemu.sstepbits", "qqemu.sstep", "qqemu.PhyMemMode", "qqemu.Supported", "Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0",
	"Qqemu.sstep=7", "Qqemu.sstep=1", "Hg0", "Hc-1", "Hgp1.2", "Hc2", "Tp1.1", "T3", "qThreadExtraInfo,p1.2",
	"qXfer:features:read:target.xml:0,fff", "qXfer:threads:read::0,fff", "qXfer:memory-map:read::10,20", "QStartNoAckMode",
	"qRcmd,696e666f20737461747573", "qRcmd,696e666f20726567697374657273", "qRcmd,68656c70", "m", "M", "X", "p", "P", "G", "z", "Z",
};

static const char *number(void)
{
	static char buf[24];
	static const char *const odd[] = { "ffffffffffffffff", "8000000000000000", "0", "fffff", "100000", "10000000000000000", "-1" };

	if (!roll(6))
		return odd[roll(ARRAY_LEN(odd))];
	snprintf(buf, sizeof(buf), "%x", roll(roll(2) ? RAM : 64));
	return buf;
}

static void put_hex(struct text *t, uint32_t n)
{
	char digit[2] = "";

	for (uint32_t i = 0; i < n; i++) {
		*digit = "0123456789abcdef"[roll(16)];
		put(t, digit);
	}
}

static void put_numbers(struct text *t, const char *start, int n)
{
	put(t, start);
	for (int i = 0; i < n; i++) {
		put(t, i ? "," : "");
		put(t, number());
	}
}

static void make_packet(struct text *t)
{
	static const char *const breaks[] = { "Z0,", "Z1,", "Z2,", "Z3,", "Z4,", "z0,", "z1,", "z2,", "z4,", "Z5," };
	struct text *to = t;

	switch (roll(9)) {
	case 0:
		put_numbers(to, "m", 2);
		break;
	case 1:
		put_numbers(to, "M", 2);
		put(to, ":");
		put_hex(to, roll(64));
		break;
	case 2:
		put_numbers(to, "X", 2);
		put(to, ":}\003}]*ab");
		break;
	case 3:
		put_numbers(to, breaks[roll(ARRAY_LEN(breaks))], 2);
		break;
	case 4:
		put_numbers(to, "p", 1);
		break;
	case 5:
		put_numbers(to, "P", 1);
		put(to, "=");
		put_hex(to, roll(40));
		break;
	case 6:
		put(to, "qSearch:memory:");
		put(to, number());
		put(to, ";");
		put(to, number());
		put(to, ";ab");
		break;
	case 7:
		put(to, "G");
		put_hex(to, roll(3000));
		break;
	default:
		put(to, whole[roll(ARRAY_LEN(whole))]);
		break;
	}
}

/* No reset of a board that is not there, no end, and no line for the monitor that was damaged. */
static bool is_safe(const struct text *t, bool damaged)
{
	return t->n && *t->buf != 'R' && *t->buf != 'k' && (t->n < 5 || memcmp(t->buf, "vKill", 5)) &&
	       (!damaged || !memmem(t->buf, t->n, "Rcmd", 4));
}

static void feed(const char *p, size_t n)
{
	feed_port(&stream, p, n);
}

static void send(const struct text *t, bool right)
{
	uint8_t sum = right ? 0 : 1;
	char tail[4];

	for (size_t i = 0; i < t->n; i++)
		sum = (uint8_t)(sum + (uint8_t)t->buf[i]);
	snprintf(tail, sizeof(tail), "#%02x", sum);
	feed("$", 1);
	feed(t->buf, t->n);
	feed(tail, roll(50) ? 3 : roll(3));
}

static bool says(const char *packet, size_t n, const char *expected)
{
	n_said = 0;
	said[0] = 0;
	feed(packet, n);
	return memmem(said, n_said, expected, strlen(expected));
}

static bool answers(void)
{
	/* A packet that was cut off ends first. */
	feed("#00", 3);
	return says("$qC#b4", 6, "$QC");
}

static bool ctrl_c_works(void)
{
	feed("#00", 3);
	feed("$c#63", 5);
	return says("\003", 1, "$T");
}

static bool fuzz(unsigned long long cases)
{
	static struct text t;
	size_t before = 0;

	for (unsigned long long i = 0; i < cases; i++) {
		bool damaged = roll(2);

		t.n = 0;
		make_packet(&t);
		if (damaged)
			damage(&t, number);
		if (is_safe(&t, damaged))
			send(&t, roll(8));
		if (!roll(100))
			feed("\003+-+", 4);
		if ((i % 4 == 0 && !answers()) || (i % 16 == 1 && !ctrl_c_works())) {
			printf("case %llu: no answer behind %.*s, but %s\n", i, (int)t.n, t.buf, said);
			return false;
		}
		if (i == 1000)
			before = held();
	}
	printf("gdb-fuzz: %llu packets, %llu replies, %llu of them errors, %zu KiB held, %zu at packet 1000\n", cases,
	       replies, errors, held() / 1024, before / 1024);
	return held_is_bounded(before);
}

int main(int argc, char **argv)
{
	unsigned long long cases = 1000000;
	struct err e = { "" };

	if (!fuzz_options(argc, argv, &cases))
		return 2;
	if (!start(&e)) {
		err_report(&e);
		return 1;
	}
	return fuzz(cases) ? 0 : 1;
}
