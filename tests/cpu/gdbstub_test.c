/*
 * The debugger's stub: packets in, replies out. The machine behind it is a table
 * of what it was told; two vCPUs share the memory.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/gdbregs.h"
#include "cpu/gdbstub.h"
#include "cpu/regs.h"
#include "cpu/seg.h"
#include "tests/cpu/harness.h"

static struct session {
	struct bench b[2];
	struct gdbstub *g;
	char out[70000];
	size_t n_out;
	bool running, quit, time, runs[2];
	int resets, released;
	char line[100];
} s;

static struct cpu *cpu(void *o, int i) { (void)o; return s.b[i].c; }
static bool running(void *o) { (void)o; return s.running; }
static void reset(void *o) { (void)o; s.resets++; }
static void quit(void *o) { (void)o; s.quit = true; }
static void released(void *o) { (void)o; s.released++; }

static void write_out(void *o, const void *p, size_t n)
{
	(void)o;
	cr_assert(s.n_out + n < sizeof(s.out));
	memcpy(s.out + s.n_out, p, n);
	s.n_out += n;
	s.out[s.n_out] = 0;
}

static void stop(void *o)
{
	(void)o;
	s.running = false;
	gdbstub_stopped(s.g, GDB_SIGINT);
}

static void resume(void *o, const bool *runs, bool time)
{
	(void)o;
	s.running = true;
	s.time = time;
	memcpy(s.runs, runs, sizeof(s.runs));
}

static void monitor(void *o, const char *line, FILE *out)
{
	(void)o;
	snprintf(s.line, sizeof(s.line), "%s", line);
	fputs("hi", out);
}

static void begin(void)
{
	static const struct gdb_host host = {
		.ncpus = 2, .cpu = cpu, .write = write_out, .running = running, .stop = stop, .resume = resume,
		.monitor = monitor, .reset = reset, .quit = quit, .released = released,
	};

	bench_long(&s.b[0], 0);
	bench_long(&s.b[1], 0);
	s.running = true;
	s.g = gdbstub_new(&host);
	gdbstub_opened(s.g);
	cr_assert_not(s.running, "connecting stops the machine");
}

static void end(void)
{
	gdbstub_free(s.g);
	bench_fini(&s.b[0]);
	bench_fini(&s.b[1]);
}
TestSuite(gdbstub, .init = begin, .fini = end);

static void raw(const char *text)
{
	s.n_out = 0;
	s.out[0] = 0;
	gdbstub_input(s.g, (const uint8_t *)text, strlen(text));
}

/* One packet, whose reply's contents come back; its sum and the + in front are checked. */
static const char *ask_bytes(const char *packet, size_t n)
{
	static char reply[40000];
	uint8_t sum = 0;
	char tail[4];
	size_t k;

	s.n_out = 0;
	s.out[0] = 0;
	gdbstub_input(s.g, (const uint8_t *)"$", 1);
	gdbstub_input(s.g, (const uint8_t *)packet, n);
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + (uint8_t)packet[i]);
	snprintf(tail, sizeof(tail), "#%02x", sum);
	gdbstub_input(s.g, (const uint8_t *)tail, 3);
	cr_assert_eq(s.out[0], '+', "%s: %s", packet, s.out);
	if (s.n_out == 1)
		return "(none)";
	cr_assert_eq(s.out[1], '$');
	k = (size_t)((char *)memchr(s.out, '#', s.n_out) - s.out) - 2;	/* # is escaped inside */
	memcpy(reply, s.out + 2, k);
	reply[k] = 0;
	sum = 0;
	for (size_t i = 0; i < k; i++)
		sum = (uint8_t)(sum + (uint8_t)reply[i]);
	snprintf(tail, sizeof(tail), "#%02x", sum);
	cr_assert_eq(memcmp(s.out + 2 + k, tail, 3), 0, "sum of %s", s.out);
	return reply;
}

static const char *ask(const char *packet)
{
	return ask_bytes(packet, strlen(packet));
}
#define EXPECT(packet, reply) cr_expect_str_eq(ask(packet), reply, "%s: %s", packet, s.out)

Test(gdbstub, says_what_it_can)
{
	const char *r = ask("qSupported:multiprocess+;swbreak+");

	cr_expect(strstr(r, "PacketSize=4000;"));
	cr_expect(strstr(r, "qXfer:features:read+"));
	cr_expect(strstr(r, "vContSupported+"));
	EXPECT("vCont?", "vCont;c;C;s;S");
	EXPECT("vMustReplyEmpty", "");
	EXPECT("qTStatus", "");
	EXPECT("!", "OK");
}

Test(gdbstub, threads_are_processors)
{
	EXPECT("qfThreadInfo", "m01,02");
	EXPECT("qsThreadInfo", "l");
	ask("qSupported:multiprocess+");
	EXPECT("qfThreadInfo", "mp01.01,p01.02");
	EXPECT("qC", "QCp01.01");
	EXPECT("Hgp1.2", "OK");
	EXPECT("qC", "QCp01.02");
	EXPECT("Tp1.2", "OK");
	EXPECT("Tp1.3", "E22");
	EXPECT("Tp2.1", "E22");
	EXPECT("Hc-1", "OK");
	EXPECT("Hgp1.9", "E22");
	EXPECT("qAttached:1", "1");
	EXPECT("qThreadExtraInfo,p1.1", "4350552330205b72756e6e696e675d");	/* CPU#0 [running] */
	EXPECT("?", "T05thread:p01.01;");
}

Test(gdbstub, registers_have_the_order_of_the_description)
{
	char *xml = gdb_target_xml(s.b[0].c, GDB_X86_64), *at = xml;
	int n = 0;

	while ((at = strstr(at, "<reg name=")))
		n++, at++;
	cr_expect_eq(n, gdb_regs(s.b[0].c, GDB_X86_64));
	free(xml);
	s.b[0].c->regs[RBX] = 0x1122334455667788;
	s.b[0].c->rip = 0x123456;
	EXPECT("p1", "8877665544332211");
	EXPECT("p10", "5634120000000000");
	cr_expect_eq(strncmp(ask("g") + 16, "8877665544332211", 16), 0);
	EXPECT("Pf=efcdab8967452301", "OK");
	cr_expect_eq(s.b[0].c->regs[R15], 0x0123456789abcdef);
	EXPECT("P10=0", "E14");
	EXPECT("Pffff=00", "E14");
	EXPECT("p999", "E14");
}

Test(gdbstub, a_write_of_all_registers_comes_back)
{
	static char all[40000] = "G";

	s.b[0].c->regs[R8] = 77;
	st64(s.b[0].c->xsave + 160, 0x55);
	strcpy(all + 1, ask("g"));
	s.b[0].c->regs[R8] = 0;
	st64(s.b[0].c->xsave + 160, 0);
	EXPECT(all, "OK");
	cr_expect_eq(s.b[0].c->regs[R8], 77);
	cr_expect_eq(ld64(s.b[0].c->xsave + 160), 0x55);
}

/* Register numbers in the order of cpu/gdbregs.def: by name, as the description has it. */
static int number(const char *name)
{
	char *xml = gdb_target_xml(s.b[0].c, GDB_X86_64), what[40], *to, *at = xml;
	int n = 0;

	snprintf(what, sizeof(what), "<reg name=\"%s\"", name);
	to = strstr(xml, what);
	cr_assert(to);
	while ((at = strstr(at, "<reg name=")) && at < to)
		n++, at++;
	free(xml);
	return n;
}

static bool set_reg(const char *name, uint64_t v)
{
	uint8_t buf[GDB_REG_MAX] = { 0 };

	st64(buf, v);
	return gdb_reg_set(s.b[0].c, GDB_X86_64, number(name), buf);
}

Test(gdbstub, what_would_break_the_processor_is_refused)
{
	struct cpu *c = s.b[0].c;
	uint64_t cr0 = c->cr0;

	cr_expect_not(set_reg("cr0", 0), "paging off under long mode");
	cr_expect_eq(c->cr0, cr0);
	cr_expect(set_reg("cr0", cr0 ^ CR0_TS));
	cr_expect_not(set_reg("efer", 0));
	cr_expect_not(set_reg("cr3", 1ull << 60));
	cr_expect_not(set_reg("fs_base", 1ull << 60));
	cr_expect_not(set_reg("cs", S_DATA));
	cr_expect_not(set_reg("eflags", FL_VM));
	cr_expect(set_reg("mxcsr", 0xffffffff));
	cr_expect_eq(ld32(c->xsave + 24), 0xffff, "reserved bits would fault");
}

/* "int" of a register by name. */
static uint64_t get_reg(const char *name)
{
	uint8_t buf[GDB_REG_MAX] = { 0 };

	cr_assert(gdb_reg_get(s.b[0].c, GDB_X86_64, number(name), buf), "%s", name);
	return ld64(buf);
}

static uint64_t tpr;
static uint64_t get_cr8(void *o, struct cpu *c) { (void)o; (void)c; return tpr; }
static void set_cr8(void *o, struct cpu *c, uint64_t v) { (void)o; (void)c; tpr = v; }

Test(gdbstub, system_registers_are_read_and_written)
{
	struct cpu *c = s.b[0].c;

	c->board.get_cr8 = get_cr8;
	c->board.set_cr8 = set_cr8;
	tpr = 5;
	cr_expect_eq(get_reg("cr8"), 5);
	cr_expect(set_reg("cr8", 9) && tpr == 9);
	cr_expect_not(set_reg("cr8", 16));
	cr_expect(set_reg("dr0", 0x1234) && c->dr[0] == 0x1234);
	cr_expect(set_reg("dr7", 0x3) && c->dr[7] == 0x403 && c->mode & MODE_DEBUG);
	cr_expect_not(set_reg("dr7", 1ull << 32));
	cr_expect(set_reg("lstar", 0xffffffff81000000) && c->lstar == 0xffffffff81000000);
	cr_expect_not(set_reg("lstar", 1ull << 60), "not canonical");
	cr_expect_eq(get_reg("pat"), c->pat);
	cr_expect_not(set_reg("pat", 0x0202020202020202), "no such memory type");
	cr_expect_eq((uint32_t)get_reg("cs_attr"), c->segs[CS].attr);
	cr_expect(set_reg("gdtr_base", 0x7000) && c->gdtr.base == 0x7000);
}

Test(gdbstub, control_registers_obey_the_rules_of_a_move)
{
	struct cpu *c = s.b[0].c;
	uint64_t cr4 = c->cr4, xcr0 = c->xcr0;

	cr_expect(set_reg("cr4", cr4 | CR4_PGE | CR4_DE) && c->cr4 == (cr4 | CR4_PGE | CR4_DE));
	cr_expect_not(set_reg("cr4", cr4 & ~CR4_PAE), "long mode needs it");
	cr_expect_not(set_reg("cr4", 1ull << 40));
	cr_expect(set_reg("cr3", AT_PML4) && c->cr3 == AT_PML4);
	cr_expect_not(set_reg("cr0", c->cr0 & ~(CR0_PE | CR0_PG)));
	cr_expect_not(set_reg("cr0", (c->cr0 | CR0_NW) & ~CR0_CD));
	cr_expect(set_reg("efer", c->efer ^ EFER_SCE));
	cr_expect_not(set_reg("efer", c->efer ^ EFER_LMA));
	cr_expect_not(set_reg("xcr0", 4) || set_reg("xcr0", 1ull << 50));
	cr_expect(set_reg("xcr0", 3) && c->xcr0 == 3 && set_reg("xcr0", xcr0 | 1));
}

/* In 32-bit code without paging, protected mode and paging come and go. */
Test(gdbstub, modes_change_by_control_registers)
{
	struct cpu *c = s.b[0].c;

	c->efer = c->cr0 = c->cr4 = 0;
	seg_set(c, CS, 8, 0, 0xffffffff, 0xc09b);
	cpu_regs_loaded(c);
	cr_expect(set_reg("cr0", CR0_PE) && c->mode & MODE_PE);
	cr_expect(set_reg("cr0", 0) && !(c->mode & MODE_PE));
	cr_expect_not(set_reg("cr0", CR0_PG), "paging needs protected mode");
	cr_expect(set_reg("efer", EFER_LME));
	cr_expect_not(set_reg("cr0", CR0_PE | CR0_PG), "long mode needs PAE");
	cr_expect(set_reg("cr4", CR4_PAE) && set_reg("cr3", AT_PML4) && set_reg("cr0", CR0_PE | CR0_PG));
	cr_expect(c->efer & EFER_LMA);
	cr_expect(set_reg("cr0", CR0_PE) && !(c->efer & EFER_LMA));
	cr_expect(set_reg("efer", 0));
	mem_put(&s.b[0], 0x9000, 8, 0x1e7);	/* reserved bits in what would be a PDPTE */
	c->cr3 = 0x9000;
	cr_expect_not(set_reg("cr0", CR0_PE | CR0_PG));
	cr_expect_eq(c->cr0, CR0_PE | CR0_ET);
}

Test(gdbstub, selectors_bring_their_descriptors)
{
	struct cpu *c = s.b[0].c;
	static const uint64_t gdt[] = {
		0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff,
		0x0000890070000067, 0xffff8880, 0x0040f1000000ffff, 0x000082006000000f, 0, 0x00ef9b000000ffff,
	};

	for (size_t i = 0; i < sizeof(gdt) / sizeof(*gdt); i++)
		mem_put(&s.b[0], 0x5000 + 8 * i, 8, gdt[i]);
	cr_expect(set_reg("gdtr_base", 0x5000) && set_reg("gdtr_limit", sizeof(gdt) - 1));
	cr_expect(set_reg("cs", 0x18) && set_reg("cs", 8) && cpu_is64(c) && c->segs[CS].attr == 0xa09b);
	cr_expect_not(set_reg("cs", 0x10), "data");
	cr_expect_not(set_reg("cs", 0), "null");
	cr_expect_not(set_reg("cs", 0x50), "64 and 32 bits at once");
	cr_expect_not(set_reg("cs", 0x100), "beyond the table");
	cr_expect(set_reg("ss", 0x23) && cpu_cpl(c) == 3 && set_reg("ss", 0x10) && cpu_cpl(c) == 0);
	cr_expect_not(set_reg("ss", 8), "code");
	cr_expect_not(set_reg("ss", 0x38), "read-only");
	cr_expect(set_reg("tr", 0x28) && c->segs[TR].base == 0xffff888000007000 && c->segs[TR].attr == 0x8b);
	cr_expect_not(set_reg("tr", 0x10) || set_reg("tr", 0));
	cr_expect(set_reg("ldtr", 0x40) && c->segs[LDTR].base == 0x6000 && c->segs[LDTR].limit == 15);
	cr_expect(set_reg("ldtr", 0) && !(c->segs[LDTR].attr & SEG_P));
	cr_expect(set_reg("ds", 0x1b) && set_reg("ds", 0) && set_reg("fs", 0x10));
	c->efer = c->cr0 = 0;
	cpu_regs_loaded(c);
	cr_expect(set_reg("ds", 0x1234) && c->segs[DS].base == 0x12340, "real mode");
	cr_expect(set_reg("tr", 0x28) && c->segs[TR].base == 0xffff888000007000);
}

Test(gdbstub, hidden_parts_of_segments_are_written)
{
	struct cpu *c = s.b[0].c;

	cr_expect(set_reg("ds_limit", 5) && c->segs[DS].limit == 5);
	cr_expect(set_reg("idtr_limit", 0xfff) && c->idtr.limit == 0xfff);
	cr_expect_not(set_reg("gdtr_limit", 0x10000));
	cr_expect(set_reg("ds_attr", 0xc0f3) && c->segs[DS].attr == 0xc0f3);
	cr_expect_not(set_reg("ds_attr", 0x1f3));
	cr_expect_not(set_reg("cs_attr", 0xe09b), "64 and 32 bits at once");
}

/* Whatever the guest switches to, packets keep the length that the debugger expects. */
Test(gdbstub, the_description_stays_when_the_mode_changes)
{
	struct cpu *c = s.b[0].c;
	size_t n = strlen(ask("g"));

	cr_expect_eq(gdb_view_now(c), GDB_X86_64);
	c->efer = 0;
	c->cr0 = CR0_PE;
	cpu_regs_loaded(c);
	cr_expect_eq(strlen(ask("g")), n);
	cr_expect(strstr(ask("qXfer:features:read:target.xml:0,1000"), "<architecture>i386:x86-64<"));
	gdbstub_closed(s.g);
	gdbstub_opened(s.g);		/* who comes now sees 32-bit code */
	cr_expect(strlen(ask("g")) < n);
	cr_expect(strstr(ask("qXfer:features:read:target.xml:0,1000"), "<architecture>i386<"));
	cr_expect(strstr(ask("qXfer:features:read:target.xml:0,2000"), "name=\"eax\""));
	gdbstub_closed(s.g);
	c->cr0 = 0;
	gdbstub_opened(s.g);		/* in real mode it may still become anything */
	cr_expect_eq(strlen(ask("g")), n);
	gdbstub_closed(s.g);
	gdbstub_set_view(s.g, GDB_I8086);
	gdbstub_opened(s.g);
	cr_expect(strstr(ask("qXfer:features:read:target.xml:0,1000"), "<architecture>i8086<"));
}

Test(gdbstub, documents_about_threads_and_memory)
{
	cr_expect(strstr(ask("qXfer:threads:read::0,1000"), "<thread id=\"02\" core=\"1\" name=\"CPU}\x03""1\">"));
	cr_expect(strstr(ask("qXfer:memory-map:read::0,1000"), "length=\"0x8000000000000000\"/></memory-map>"));
	cr_expect_str_eq(ask("qXfer:threads:read::3,4"), "mml v");
	EXPECT("qXfer:threads:read::fffff,4", "E22");
}

Test(gdbstub, memory_is_searched)
{
	mem_put(&s.b[0], 0x5ffe, 4, 0x44332211);	/* across pages */
	cr_expect_str_eq(ask_bytes("qSearch:memory:5000;2000;\x22\x33", 27), "1,5fff");
	cr_expect_str_eq(ask_bytes("qSearch:memory:5000;fff;\x22\x33", 26), "0");
	EXPECT("qSearch:memory:5000;10;", "E14");
	EXPECT("qSearch:memory:5000;ffffffffffffffff;x", "E22");
	EXPECT("qSearch:memory:4000000000;100;x", "E14");
}

Test(gdbstub, memory_goes_through_the_page_tables)
{
	mem_put(&s.b[0], 0x5000, 8, 0x8877665544332211);
	EXPECT("m5000,8", "1122334455667788");
	EXPECT("m5001,2", "2233");
	EXPECT("M5000,2:abcd", "OK");
	cr_expect_eq(mem(&s.b[0], 0x5000, 4), 0x4433cdab);
	cr_expect_str_eq(ask_bytes("X5000,2:\0\x7f", 10), "OK");
	cr_expect_eq(mem(&s.b[0], 0x5000, 4), 0x44337f00);
	cr_expect_str_eq(ask_bytes("X5000,1:}\x03", 10), "OK");	/* } escapes 0x23 */
	cr_expect_eq(mem(&s.b[0], 0x5000, 1), 0x23);
	EXPECT("X5000,0:", "OK");
	EXPECT("m4000000000,4", "E14");
	EXPECT("M4000000000,1:00", "E14");
	EXPECT("Qqemu.PhyMemMode:1", "OK");
	EXPECT("qqemu.PhyMemMode", "1");
	EXPECT("m5001,1", "7f");
}

Test(gdbstub, reading_does_not_mark_page_tables)
{
	uint64_t pte = mem(&s.b[0], AT_PML4, 8);

	mem_put(&s.b[0], AT_PML4, 8, pte & ~0x60ull);
	ask("m5000,8");
	ask("M5000,1:00");
	cr_expect_eq(mem(&s.b[0], AT_PML4, 8), pte & ~0x60ull);
}

Test(gdbstub, breakpoints_reach_every_processor)
{
	EXPECT("Z0,1000,1", "OK");
	EXPECT("Z1,1000,1", "OK");
	EXPECT("Z2,2000,4", "OK");
	for (int i = 0; i < 2; i++) {
		cr_expect(debug_at_break(&s.b[i].c->dbg, 0x1000));
		cr_expect(debug_watches_page(&s.b[i].c->dbg, 0x2ff0));
	}
	EXPECT("z0,1000,1", "OK");
	cr_expect(debug_at_break(&s.b[0].c->dbg, 0x1000), "the other kind is there still");
	EXPECT("z1,1000,1", "OK");
	cr_expect_not(debug_at_break(&s.b[0].c->dbg, 0x1000));
	EXPECT("z1,1000,1", "E22");
	EXPECT("Z2,2000,0", "E22");
	EXPECT("Z2,ffffffffffffffff,2", "E22");
	EXPECT("Z7,0,1", "");
	EXPECT("Z0,1000", "E22");
	EXPECT("z2,2000,4", "OK");
	cr_expect_eq(s.b[1].c->dbg.n_watches, 0);
}

Test(gdbstub, any_number_of_breakpoints_and_watchpoints)
{
	enum { MANY = 20000 };
	char packet[40];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(packet, sizeof(packet), "Z0,%x,1", i * 7919 % MANY * 16);
		EXPECT(packet, "OK");
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(packet, sizeof(packet), "Z2,%x,4", 0x100000 + 8 * i);
		EXPECT(packet, "OK");
	}
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(s.b[i].c->dbg.breaks.n, MANY);
		cr_expect_eq(s.b[i].c->dbg.n_watches, 1000);
	}
	EXPECT("z0,20,1", "OK");
	cr_expect(debug_at_break(&s.b[1].c->dbg, 0x10) && !debug_at_break(&s.b[1].c->dbg, 0x20));
	cr_expect(debug_at_break(&s.b[1].c->dbg, 0x30) && !debug_at_break(&s.b[1].c->dbg, 0x31));
}

Test(gdbstub, vcont_says_who_runs_and_who_steps)
{
	ask("qSupported:multiprocess+");
	EXPECT("vCont;s:p1.2", "(none)");
	cr_expect(s.running && !s.runs[0] && s.runs[1] && s.b[1].c->dbg.step && !s.time);
	gdbstub_stopped(s.g, GDB_SIGTRAP);
	cr_expect_str_eq(s.out + 1, "$T05thread:p01.01;#06");
	s.running = false;
	EXPECT("vCont;s:p1.1;c", "(none)");
	cr_expect(s.runs[0] && s.runs[1] && s.b[0].c->dbg.step && !s.b[1].c->dbg.step && s.time);
	raw("\x03");
	cr_expect_not(s.running);
	cr_expect_str_eq(s.out, "$T02thread:p01.01;#03");
	cr_expect_not(s.b[0].c->dbg.step, "a step that was not taken is off");
	EXPECT("vCont;C05:p1.1", "(none)");
	s.running = false;
	EXPECT("vCont;x", "E22");
	EXPECT("vCont;c:p1.77", "E22");
	EXPECT("vCont;", "E22");
}

Test(gdbstub, stops_say_why)
{
	struct cpu *c = s.b[1].c;

	ask("qSupported:multiprocess+;swbreak+;hwbreak+");
	ask("Z0,6000,1");
	ask("vCont;c");
	c->dbg.why = DEBUG_BREAK;
	c->rip = 0x6000;
	gdbstub_stopped(s.g, GDB_SIGTRAP);
	cr_expect(strstr(s.out, "$T05thread:p01.02;swbreak:;#"), "%s", s.out);
	cr_expect(c->dbg.seen && c->dbg.seen_pc == 0x6000 && !c->dbg.why);
	ask("vCont;c");
	c->dbg.why = DEBUG_WATCH;
	c->dbg.met.kind = DEBUG_ACCESS;
	c->dbg.met_at = 0xffff888000001234;
	gdbstub_stopped(s.g, GDB_SIGTRAP);
	cr_expect(strstr(s.out, "thread:p01.02;awatch:ffff888000001234;#"), "%s", s.out);
}

Test(gdbstub, detaching_clears_and_goes_on)
{
	ask("Z0,6000,1");
	ask("Z2,6000,1");
	EXPECT("D", "OK");
	cr_expect(s.running && s.runs[0] && s.runs[1] && s.released);
	cr_expect_eq(s.b[0].c->dbg.breaks.n + s.b[0].c->dbg.n_watches, 0);
}

Test(gdbstub, a_lost_connection_leaves_no_breakpoints)
{
	ask("Z0,6000,1");
	ask("vCont;c");
	gdbstub_closed(s.g);
	cr_expect(s.running);
	cr_expect_eq(s.b[1].c->dbg.breaks.n, 0);
}

Test(gdbstub, monitor_commands_answer_in_hex)
{
	EXPECT("qRcmd,696e666f", "O6869");
	cr_expect_str_eq(s.line, "info");
	cr_expect(strstr(s.out, "$OK#9a"));
	EXPECT("qRcmd,6", "E01");
	EXPECT("qRcmd,zz", "E01");
}

Test(gdbstub, restart_and_kill)
{
	ask("R00");
	cr_expect_eq(s.resets, 1);
	EXPECT("vKill;1", "OK");
	cr_expect(s.quit);
}

Test(gdbstub, acknowledgements_can_be_left_out)
{
	ask("QStartNoAckMode");
	raw("$qC#b4");
	cr_expect_str_eq(s.out, "$QC01#f5");
	raw("$qC#00");
	cr_expect_str_eq(s.out, "");
}

/* ---- what no debugger sends ---- */

Test(gdbstub, a_bad_sum_is_refused_and_a_dash_repeats)
{
	raw("$qC#00");
	cr_expect_str_eq(s.out, "-");
	raw("$qC#zz");
	cr_expect_str_eq(s.out, "-");
	raw("$qC#b4");
	cr_expect_str_eq(s.out, "+$QC01#f5");
	raw("-");
	cr_expect_str_eq(s.out, "$QC01#f5");
}

Test(gdbstub, a_packet_cut_off_by_the_next_is_forgotten)
{
	raw("noise$m5000,$qC#b4");
	cr_expect_str_eq(s.out, "+$QC01#f5");
	raw("#$#00");
	cr_expect_str_eq(s.out, "+$#00");
}

Test(gdbstub, packets_that_are_too_long_are_refused)
{
	raw("$");
	for (int i = 0; i < 100000; i++)
		gdbstub_input(s.g, (const uint8_t *)"m", 1);
	raw("#00");
	cr_expect_str_eq(s.out, "-");
	EXPECT("qC", "QC01");
}

Test(gdbstub, odd_numbers_are_errors)
{
	static const char *const packets[] = {
		"m", "m5000", "m5000,", "m,1", "m5000,ffffffff", "m11111111111111111,1", "M5000,2:ab", "M5000,1:xy",
		"M5000,ffffffffffffffff:", "X5000,5:a", "Z2,5000,", "H", "Hx1", "T", "vCont;C", "qThreadExtraInfo,0",
		"qXfer:features:read:target.xml:fffff,10", "qXfer:features:read:target.xml:0", "Qqemu.PhyMemMode:2",
		"Qqemu.sstep=ff", "Gxx", "S", "P", "p",
	};

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		const char *r = ask(packets[i]);
		cr_expect(r[0] == 'E' && strlen(r) == 3, "%s: %s", packets[i], r);
	}
}

/* Every truncation of every packet, and random bytes: no crash, and it answers afterwards. */
Test(gdbstub, noise_does_no_harm)
{
	static const char *const packets[] = {
		"qSupported:multiprocess+;", "vCont;c:p1.1;s:p1.2", "Hgp1.1", "M5000,4:01020304", "X5000,4:abcd",
		"Z2,5000,8", "z2,5000,8", "P1=0011223344556677", "G00112233", "qXfer:features:read:target.xml:0,fff",
		"qRcmd,41", "D;1", "qThreadExtraInfo,p1.1", "c5000", "vAttach;1",
	};
	uint32_t seed = 1;
	char noise[64];

	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		for (size_t n = 1; n <= strlen(packets[i]); n++) {
			ask_bytes(packets[i], n);
			s.running = false;
		}
	for (int i = 0; i < 20000; i++) {
		size_t n = 0;

		for (; n < sizeof(noise); n++)
			noise[n] = "$#}*+-,;:=pmMXGPZzHTvqQcsD0123456789abcdef\x03"[(seed = seed * 1664525 + 1013904223) >> 16 & 0x1f];
		s.n_out = 0;
		gdbstub_input(s.g, (const uint8_t *)noise, n);
		s.running = false;
	}
	gdbstub_opened(s.g);
	s.n_out = 0;
	EXPECT("qC", "QC01");
}
