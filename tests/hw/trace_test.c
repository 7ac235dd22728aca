/* hw/core/trace.c: every kind of point fires with the right name and text, and rules decide which. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/drive.h"
#include "hw/backend/net.h"
#include "hw/char/uart.h"
#include "hw/core/sg.h"
#include "tests/bench.h"

static struct bench b;
static char path[] = "/tmp/trace-test-XXXXXX", disk[] = "/tmp/trace-disk-XXXXXX", text[65536];

static void setup(void)
{
	close(mkstemp(path));
	close(mkstemp(disk));
	cr_assert_eq(truncate(disk, 65536), 0);
	bench_open(&b, &uart_type, NULL);
	cr_assert(trace_open(b.m, path, &b.err));
}

static void teardown(void)
{
	net_free_all(b.m);
	bench_close(&b);
	unlink(path);
	unlink(disk);
}
TestSuite(trace, .init = setup, .fini = teardown);

static void on(const char *pattern)
{
	cr_assert(trace_set(b.m, pattern, true, &b.err), "%s", b.err.msg);
}

/* What was written so far, without the times. */
static const char *lines(void)
{
	FILE *f = fopen(path, "r");
	char line[512];
	size_t n = 0;

	text[0] = 0;
	while (fgets(line, sizeof(line), f))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", strchr(line, ' ') + 1);
	fclose(f);
	return text;
}

Test(trace, nothing_fires_unless_asked)
{
	out(0x3f9, 0x0f);
	cr_assert_not(trace_on(b.m));
	cr_assert_str_eq(lines(), "");
}

Test(trace, register_rows_fire_with_device_register_and_value)
{
	on("isa-serial0.*");
	out(0x3ff, 0x5a);
	in(0x3ff);
	cr_assert_str_eq(lines(), "isa-serial0.scr.write 0x5a\nisa-serial0.scr.read 0x5a\n");
}

Test(trace, lines_begin_with_the_guests_time)
{
	FILE *f;

	on("isa-serial0.scr.write");
	bench_run(&b, 1500 * NS_PER_MS);
	out(0x3ff, 1);
	f = fopen(path, "r");
	cr_assert(fgets(text, sizeof(text), f));
	fclose(f);
	cr_assert_str_eq(text, "1.500000000 isa-serial0.scr.write 0x01\n");
}

Test(trace, a_line_fires_when_its_level_changes)
{
	on("isa-serial0.irq");
	out(0x3f9, 2);			/* the transmitter is empty */
	in(0x3ff);
	in(0x3fa);
	cr_assert_str_eq(lines(), "isa-serial0.irq 1 line 4\nisa-serial0.irq 0 line 4\n");
	cr_assert_not(b.isa[4].level);
}

Test(trace, pins_and_outputs_fire_and_still_arrive)
{
	struct irq own = dev_own_irq(b.dev, bench_line(&b, 3));

	b.m->gsi[20] = bench_line(&b, 4);
	on("isa-serial0.irq");
	irq_set(dev_gsi(b.dev, 20), 1);
	irq_set(dev_gsi(b.dev, 20), 1);
	irq_pulse(own);
	cr_assert_str_eq(lines(), "isa-serial0.irq 1 pin 20\nisa-serial0.irq 1 output 0\nisa-serial0.irq 0 output 0\n");
	cr_assert(b.line[4].level);
	cr_assert_eq(b.line[3].rises, 1);
}

static uint32_t low(void *opaque, uint16_t off, int size)
{
	(void)opaque, (void)size;
	return 0x1234u + off;
}
static void ignore(void *opaque, uint16_t off, int size, uint32_t v)
{
	(void)opaque, (void)off, (void)size, (void)v;
}
static const struct port_ops ops = { low, ignore, 2, 1 };

static uint64_t mem_low(void *opaque, uint64_t off, int size)
{
	(void)opaque, (void)size;
	return off;
}
static void mem_ignore(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque, (void)off, (void)size, (void)v;
}
static const struct mmio_ops mem_ops = { mem_low, mem_ignore, 4 };

Test(trace, ranges_without_a_table_fire_by_name)
{
	struct mmio *mem = mmio_map(b.m, 0x80000000, 0x1000, 1, &mem_ops, NULL, "box-memory", &b.err);

	port_map(b.m, 0x600, 8, &ops, NULL, "box");
	on("box*");
	bench_in(&b, 0x602, 2);
	out(0x600, 7);
	(void)rd(0x80000010);
	wr(0x80000020, 0xabc);
	cr_assert_str_eq(lines(), "box.read +0x2 0x1236\nbox.write +0x0 0x07\n"
			 "box-memory.read +0x10 0x00000010\nbox-memory.write +0x20 0x00000abc\n");
	mmio_unmap(b.m, mem);
}

Test(trace, bus_masters_fire)
{
	struct ram *ram = phys_ram_new(b.m->phys, "ram", 0x10000, &b.err);
	struct phys_range r = { .pa = 0, .size = 0x10000, .rram = ram, .wram = ram, .name = "ram" };
	struct sg s = { 0 };
	char buf[16] = "";

	cr_assert(ram && phys_map(b.m->phys, &r, &b.err), "%s", b.err.msg);
	on("dma.*");
	on("msi");
	dma_write(b.m, 0x1000, buf, 16);
	dma_read(b.m, 0x2000, buf, 8);
	sg_begin(&s, b.m, true);
	cr_assert(sg_add(&s, 0x3000, 512));
	sg_fini(&s);
	machine_msi(b.m, 0xfee00000, 0x31);
	cr_assert_str_eq(lines(), "dma.write 0x1000 length 16\ndma.read 0x2000 length 8\n"
			 "dma.write 0x3000 length 512\nmsi 0xfee00000 0x00000031\n");
}

Test(trace, drives_fire_with_sector_and_count)
{
	struct drive *d = bench_drive(&b, "hd0", disk, false);
	uint8_t buf[1024] = { 0 };

	on("hd0.*");
	cr_assert(drive_transfer(d, DRIVE_WRITE, 5, buf, 2, &b.err));
	cr_assert(drive_transfer(d, DRIVE_READ, 7, buf, 1, &b.err));
	cr_assert(drive_transfer(d, DRIVE_FLUSH, 0, NULL, 0, &b.err));
	cr_assert_str_eq(lines(), "hd0.write sector 5 count 2\nhd0.read sector 7 count 1\nhd0.flush all\n");
}

static bool take(void *opaque, const uint8_t *frame, size_t n)
{
	(void)opaque, (void)frame, (void)n;
	return true;
}
static const struct net_front front = { take };
static void nowhere(struct net *n, const uint8_t *frame, size_t len)
{
	(void)n, (void)frame, (void)len;
}
static const struct net_ops net_ops = { "test", nowhere, NULL };

Test(trace, networks_fire_with_count_and_length)
{
	struct net net = { .ops = &net_ops, .m = b.m, .tail = &net.waiting, .id = (char *)"net0" };
	uint8_t frame[90] = { 0 };

	cr_assert(net_attach(&net, &front, &b, &b.err));
	on("net0.*");
	net_send(&net, frame, 60);
	net_send(&net, frame, 90);
	net_deliver(&net, frame, 64);
	cr_assert_str_eq(lines(), "net0.out frame 1 length 60\nnet0.out frame 2 length 90\nnet0.in frame 1 length 64\n");
	net_detach(&net, &b);
}

Test(trace, the_last_rule_that_matches_decides)
{
	on("isa-serial0.*");
	on("-isa-serial0.*.read");
	on("isa-serial0.lsr.*");
	cr_assert(trace_enabled(b.m, "isa-serial0.scr.write"));
	cr_assert_not(trace_enabled(b.m, "isa-serial0.scr.read"));
	cr_assert(trace_enabled(b.m, "isa-serial0.lsr.read"));
	cr_assert(trace_set(b.m, "*", false, &b.err));
	cr_assert_not(trace_enabled(b.m, "isa-serial0.lsr.read"));
	cr_assert_not(trace_on(b.m));
}

Test(trace, switching_back_and_forth_keeps_few_rules)
{
	for (int i = 0; i < 1000; i++)
		cr_assert(trace_set(b.m, "isa-serial0.scr.read", i & 1, &b.err));
	cr_assert_eq(b.m->trace.n, 1u);
}

Test(trace, a_list_of_patterns_comes_from_a_file)
{
	FILE *f = fopen(disk, "w");

	fputs("# what matters\n\nisa-serial0.*\n -isa-serial0.scr.*\n", f);
	fclose(f);
	cr_assert(trace_set_from(b.m, disk, &b.err));
	cr_assert(trace_enabled(b.m, "isa-serial0.ier.write"));
	cr_assert_not(trace_enabled(b.m, "isa-serial0.scr.read"));
	cr_assert_not(trace_set_from(b.m, "/nowhere/list", &b.err));
	cr_assert(strstr(b.err.msg, "/nowhere/list"));
}

Test(trace, unknown_names_give_near_ones)
{
	cr_assert(trace_exists(b.m, "isa-serial0.*", &b.err));
	cr_assert(trace_exists(b.m, "-isa-serial0.ier.write", &b.err));
	cr_assert_not(trace_exists(b.m, "isa-serial0.ie.write", &b.err));
	cr_assert(strstr(b.err.msg, "did you mean isa-serial0.ier.write?"), "%s", b.err.msg);
	cr_assert_not(trace_exists(b.m, "nothing*", &b.err));
}

Test(trace, the_list_has_every_name_once_and_in_order)
{
	struct trace_names l;
	bool irq = false;

	bench_drive(&b, "hd0", disk, false);
	trace_list(b.m, NULL, &l);
	for (size_t i = 0; i < l.n; i++) {
		cr_assert(!i || strcmp(l.name[i - 1], l.name[i]) < 0);
		cr_assert(strncmp(l.name[i], "serial.", 7), "a range with a table has no points of its own");
		irq |= !strcmp(l.name[i], "isa-serial0.irq");
	}
	cr_assert(irq);
	trace_names_free(&l);
	trace_list(b.m, "hd0.*", &l);
	cr_assert_eq(l.n, 5u);
	cr_assert_str_eq(l.name[0], "hd0.discard");
	trace_names_free(&l);
}
