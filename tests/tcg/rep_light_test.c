/*
 * Repeated string instructions where they stop: page faults in the middle, page
 * crossings, MMIO, wrapping offsets, segment limits, translated code, pending
 * requests, ports. Plain results are compared with the host's in tests/insn.
 */
#include <criterion/criterion.h>
#include <setjmp.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/seg.h"
#include "tcg/helper.h"
#include "tcg/rep.h"

enum { RAM_SIZE = 0x200000, TABLES = 0x1000, MMIO_AT = 0x40000000, N_MAPPED = 256 };

static struct {
	struct cpu *c;
	struct ram *ram;
	jmp_buf env;
	unsigned mmio_reads, mmio_writes, code_bytes;
	uint64_t code_pa;
} b;

static void __attribute__((noreturn)) unwind(struct cpu *c)
{
	(void)c;
	longjmp(b.env, 1);
}

static uint64_t mmio_read(void *opaque, uint64_t off, int size)
{
	(void)opaque;
	b.mmio_reads++;
	return off * 0x0101 & size_mask(size);
}

static void mmio_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque;
	(void)off;
	(void)size;
	(void)v;
	b.mmio_writes++;
}

static const struct mmio_ops mmio = { mmio_read, mmio_write, 8 };

static void code_written(struct cpu *c, uint64_t pa, int n)
{
	(void)c;
	b.code_pa = pa;
	b.code_bytes += n;
}

static void put_pte(uint64_t table, int i, uint64_t v)
{
	st64(b.ram->host + table + 8 * i, v);
}

/* Pages 0 .. 255 and, as page 256, MMIO; nothing behind. */
static void make_tables(void)
{
	memset(b.ram->host + TABLES, 0, 0x4000);
	put_pte(TABLES, 0, (TABLES + 0x1000) | 7);
	put_pte(TABLES + 0x1000, 0, (TABLES + 0x2000) | 7);
	put_pte(TABLES + 0x2000, 0, (TABLES + 0x3000) | 7);
	for (int i = 0; i < N_MAPPED; i++)
		put_pte(TABLES + 0x3000, i, (uint64_t)i << 12 | 7);
	put_pte(TABLES + 0x3000, N_MAPPED, MMIO_AT | 7);
}

static void setup_real(void)
{
	struct err e = { "" };
	struct phys *p = phys_new();

	b.ram = phys_ram_new(p, "ram", RAM_SIZE, &e);
	cr_assert(b.ram);
	struct phys_range r = { .pa = 0, .size = RAM_SIZE, .rram = b.ram, .wram = b.ram, .name = "ram" };
	struct phys_range m = { .pa = MMIO_AT, .size = 0x1000, .ops = &mmio, .name = "mmio" };
	cr_assert(phys_map(p, &r, &e) && phys_map(p, &m, &e));
	b.c = cpu_new(&(struct cpu_config){ .model = "max", .phys = p }, &e);
	cr_assert(b.c, "%s", e.msg);
	b.c->unwind = unwind;
	b.c->code_written = code_written;
	for (int i = 0; i < RAM_SIZE; i++)
		b.ram->host[i] = i * 7 + (i >> 8);
}

static void setup(void)
{
	setup_real();
	make_tables();
	b.c->cr4 |= CR4_PAE;
	b.c->efer |= EFER_LME | EFER_LMA;
	b.c->cr0 |= CR0_PE | CR0_PG;
	for (int s = ES; s <= GS; s++)
		seg_set(b.c, s, 8, 0, ~0u, SEG_G | (s == CS ? SEG_L | 0x9b : SEG_DB | 0x93));
	cpu_update_mode(b.c);
	b.c->cr3 = TABLES;
	mmu_flush(b.c, false);
}

static void regs(uint64_t si, uint64_t di, uint64_t cx)
{
	b.c->regs[RSI] = si;
	b.c->regs[RDI] = di;
	b.c->regs[RCX] = cx;
}

static int64_t rep(int size, int adsize, bool down)
{
	return rep_pack((struct rep){ .size = size, .adsize = adsize, .seg = DS, .down = down });
}

/* The exception it raises, or -1; *done: finished. */
static int run(helper_fn *fn, int64_t imm, uint64_t *done)
{
	if (setjmp(b.env)) {
		int v = b.c->exc_vector;

		b.c->exc_vector = -1;
		return v;
	}
	*done = fn(b.c, 0, 0, imm);
	return -1;
}

#define END (N_MAPPED << 12)		/* of plain memory */

Test(rep_light, movs_stops_at_the_faulting_element, .init = setup)
{
	uint64_t done = 0;

	regs(0x20000, 0x102000 - 24, 8);	/* the third quadword of the target is not mapped */
	memset(b.ram->host + 0x100000, 0, 0x1000);
	put_pte(TABLES + 0x3000, 257, 0x30000 | 7);
	put_pte(TABLES + 0x3000, 258, 0);
	cr_expect_eq(run(h_rep_movs, rep(8, 8, false), &done), EXC_PF);
	cr_expect_eq(b.c->regs[RCX], 5);
	cr_expect_eq(b.c->regs[RSI], 0x20018);
	cr_expect_eq(b.c->regs[RDI], 0x102000);
	cr_expect_eq(b.c->exc_cr2, 0x102000);
	cr_expect_arr_eq(b.ram->host + 0x31000 - 24, b.ram->host + 0x20000, 24);
}

Test(rep_light, movs_down_crosses_pages, .init = setup)
{
	uint8_t want[0x1800];
	uint64_t done = 0;

	memcpy(want, b.ram->host + 0x20000, sizeof(want));
	regs(0x20000 + sizeof(want) - 2, 0x40123 + sizeof(want) - 2, sizeof(want) / 2);
	cr_expect_eq(run(h_rep_movs, rep(2, 8, true), &done), -1);
	cr_expect(done);
	cr_expect_eq(b.c->regs[RCX], 0);
	cr_expect_eq(b.c->regs[RSI], 0x20000 - 2);
	cr_expect_eq(b.c->regs[RDI], 0x40123 - 2);
	cr_expect_arr_eq(b.ram->host + 0x40123, want, sizeof(want));
}

/* One at a time, as the manual has it. */
static void movs_by_hand(uint8_t *ram, uint64_t si, uint64_t di, uint64_t n, int size)
{
	for (; n--; si += size, di += size)
		st_n(ram + di, size, ld_n(ram + si, size));
}

Test(rep_light, movs_does_the_same_whatever_the_table_knows, .init = setup)
{
	static uint8_t want[RAM_SIZE];
	uint64_t done, seed = 1;

	for (int i = 0; i < 400; i++) {
		int size = 1 << i % 4;
		uint64_t r = seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint64_t si = 0x10000 + (r >> 20) % 0x4000, n = (r >> 40) % (0x3000u / size);
		uint64_t di = i % 3 ? 0x20000 + (r >> 34) % 0x4000 : si + (r >> 34) % 40;

		if (i % 5 == 0)
			mmu_flush(b.c, false);
		memcpy(want, b.ram->host, RAM_SIZE);
		movs_by_hand(want, si, di, n, size);
		regs(si, di, n);
		cr_assert_eq(run(h_rep_movs, rep(size, 8, false), &done), -1);
		cr_assert_eq(done, 1);
		memcpy(want + TABLES, b.ram->host + TABLES, 0x4000);	/* accessed and dirty bits */
		cr_assert_eq(memcmp(want, b.ram->host, RAM_SIZE), 0, "%d: %d bytes from %lx to %lx", i, size, si, di);
		cr_assert_eq(b.c->regs[RSI], si + n * size);
		cr_assert_eq(b.c->regs[RDI], di + n * size);
		cr_assert_eq(b.c->regs[RCX], 0);
	}
}

/* Pages 0x42 and 0x45 have changed places, so of 0x40 .. 0x44 the host has only some side by side. */
Test(rep_light, runs_end_where_the_host_has_another_page, .init = setup)
{
	static uint8_t want[0x6000];
	uint64_t done;

	put_pte(TABLES + 0x3000, 0x42, 0x45007);
	put_pte(TABLES + 0x3000, 0x45, 0x42007);
	mmu_flush(b.c, false);
	for (int i = 0; i < 6; i++) {		/* from the second time on the tables know all pages */
		uint64_t at = 0x40000 + 0xffb * (unsigned)(i % 3), n = 0x2400 / 8;

		b.c->regs[RAX] = 0x0123456789abcdef + (unsigned)i;
		memcpy(want, b.ram->host + 0x10000, 8 * n);
		regs(0x10000, at, n);
		cr_assert_eq(run(h_rep_movs, rep(8, 8, false), &done), -1);
		cr_assert_eq(done, 1);
		for (unsigned k = 0; k < 8 * n; k++) {
			uint64_t va = at + k, page = va >> 12;

			cr_assert_eq(b.ram->host[page == 0x42 ? va + 0x3000 : va], want[k], "%d: %x", i, k);
		}
		regs(0, at, n);
		cr_assert_eq(run(h_rep_stos, rep(8, 8, false), &done), -1);
		for (unsigned k = 0; k < 8 * n; k++) {
			uint64_t va = at + k, page = va >> 12;

			cr_assert_eq(b.ram->host[page == 0x42 ? va + 0x3000 : va], (uint8_t)(b.c->regs[RAX] >> 8 * (k % 8)), "%d: %x", i, k);
		}
	}
}

Test(rep_light, overlapping_movs_repeats_the_pattern, .init = setup)
{
	uint64_t done = 0;

	memcpy(b.ram->host + 0x20ffd, "abc", 3);
	regs(0x20ffd, 0x21000, 3000);
	run(h_rep_movs, rep(1, 8, false), &done);
	cr_expect(done);
	for (int i = 0; i < 3000; i++)
		cr_assert_eq(b.ram->host[0x21000 + i], "abc"[i % 3]);
}

Test(rep_light, mmio_is_accessed_element_by_element, .init = setup)
{
	uint64_t done = 0;

	regs(END, 0x20000, 16);
	run(h_rep_movs, rep(4, 8, false), &done);
	cr_expect(done);
	cr_expect_eq(b.mmio_reads, 16);
	cr_expect_eq(ld32(b.ram->host + 0x20000 + 4), 4 * 0x0101);
	regs(0, END - 8, 8);
	run(h_rep_stos, rep(4, 8, false), &done);
	cr_expect(done);
	cr_expect_eq(b.mmio_writes, 6);
}

/* ---- a device that is memory in all but name ---- */

static struct {
	uint8_t byte[0x1000];
	unsigned reads, writes;
	char order[64];			/* of reads and writes */
} like;

static void note_like(char c)
{
	if (like.reads + like.writes < sizeof(like.order))
		like.order[like.reads + like.writes - 1] = c;
}

static uint64_t like_read(void *opaque, uint64_t off, int size)
{
	(void)opaque;
	like.reads++;
	note_like('r');
	return ld_n(like.byte + off, size);
}

static void like_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	(void)opaque;
	like.writes++;
	note_like('w');
	st_n(like.byte + off, size, v);
}

static void setup_like(void)
{
	static const struct mmio_ops ops = { like_read, like_write, 8, .dma = true };
	struct phys_range r = { .pa = MMIO_AT, .size = 0x1000, .prio = 1, .ops = &ops, .name = "like" };
	struct err e;

	setup();
	cr_assert(phys_map(b.c->phys, &r, &e));
	cpu_clear_request(b.c, REQ_FLUSH);
	mmu_flush_all(b.c);
}

Test(rep_light, a_device_like_memory_is_filled_in_large_pieces, .init = setup_like)
{
	uint64_t done = 0;

	b.c->regs[RAX] = 0x1122334455667788;
	regs(0, END + 6, 101);
	run(h_rep_stos, rep(2, 8, false), &done);
	cr_expect(done);
	cr_expect_eq(b.c->regs[RDI], END + 6 + 202);
	cr_expect_eq(b.c->regs[RCX], 0);
	for (int i = 0; i < 0x1000; i++)
		cr_assert_eq(like.byte[i], i < 6 || i >= 208 ? 0 : i & 1 ? 0x77 : 0x88, "%d", i);
	cr_expect_leq(like.writes, 40);
}

Test(rep_light, a_device_like_memory_is_copied_to_and_from_in_large_pieces, .init = setup_like)
{
	uint64_t done = 0;

	regs(0x20000, END + 1, 0x400);
	run(h_rep_movs, rep(1, 8, false), &done);
	cr_expect(done);
	cr_expect_arr_eq(like.byte + 1, b.ram->host + 0x20000, 0x400);
	cr_expect_eq(like.byte[0x401], 0);
	cr_expect_leq(like.writes, 0x88);
	regs(END, 0x30004, 0x100);
	run(h_rep_movs, rep(4, 8, false), &done);
	cr_expect(done);
	cr_expect_arr_eq(b.ram->host + 0x30004, like.byte, 0x400);
	cr_expect_leq(like.reads, 0x80);
	cr_expect_eq(b.c->regs[RSI], END + 0x400);
}

/* As a VGA's latches need it. */
Test(rep_light, inside_a_device_like_memory_each_element_is_read_and_written, .init = setup_like)
{
	uint64_t done = 0;

	like.byte[0] = 0x5a;
	regs(END, END + 1, 8);
	run(h_rep_movs, rep(1, 8, false), &done);
	cr_expect(done);
	cr_expect_eq(like.byte[8], 0x5a);
	cr_expect_str_eq(like.order, "rwrwrwrwrwrwrwrw");
}

Test(rep_light, the_end_of_a_device_like_memory_faults_at_its_element, .init = setup_like)
{
	uint64_t done = 0;

	regs(0x20000, END + 0xff0, 8);
	cr_expect_eq(run(h_rep_movs, rep(4, 8, false), &done), EXC_PF);
	cr_expect_eq(b.c->regs[RCX], 4);
	cr_expect_eq(b.c->regs[RDI], END + 0x1000);
	cr_expect_eq(b.c->exc_cr2, END + 0x1000);
	cr_expect_arr_eq(like.byte + 0xff0, b.ram->host + 0x20000, 16);
}

Test(rep_light, scas_and_cmps_find_the_place, .init = setup)
{
	uint64_t done = 0;

	memset(b.ram->host + 0x20ff0, 'x', 0x100);
	memset(b.ram->host + 0x30ff0, 'x', 0x100);
	b.ram->host[0x21005] = 'y';
	regs(0x20ff0, 0x30ff0, 0x100);
	run(h_rep_cmps, rep(1, 8, false), &done);
	cr_expect_eq(b.c->regs[RSI], 0x21006);
	cr_expect_eq(b.c->regs[RCX], 0x100 - 0x16);
	cr_expect_eq(cc_to_eflags(b.c->cc) & (FL_ZF | FL_CF), 0);	/* 'y' > 'x' */
	regs(0, 0x20ff0, ~0ull);
	b.c->regs[RAX] = 'y';
	run(h_rep_scas, rep_pack((struct rep){ .size = 1, .adsize = 8, .until_equal = true }), &done);
	cr_expect_eq(b.c->regs[RDI], 0x21006);
	cr_expect(cc_to_eflags(b.c->cc) & FL_ZF);
}

/* Steps of eight bytes, and what is left over: each length with the end at each place, and without one. */
Test(rep_light, scas_of_bytes_ends_at_the_first_that_ends_it, .init = setup)
{
	uint8_t *p = b.ram->host + 0x20ffd;
	uint64_t done = 0;

	for (int until = 0; until < 2; until++)
		for (unsigned n = 1; n < 40; n++)
			for (unsigned at = 0; at <= n; at++) {
				memset(p, until ? 0x81 : 0x80, 64);
				p[at] = until ? 0x80 : 0x7f;
				p[at + 3] = p[at];
				regs(0, 0x20ffd, n);
				b.c->regs[RAX] = 0x80;
				run(h_rep_scas, rep_pack((struct rep){ .size = 1, .adsize = 8, .until_equal = (unsigned)until }), &done);
				cr_assert_eq(b.c->regs[RDI], 0x20ffd + (at < n ? at + 1 : n), "%u of %u", at, n);
				cr_assert_eq(b.c->regs[RCX], at < n ? n - at - 1 : 0);
				cr_assert_eq((cc_to_eflags(b.c->cc) & FL_ZF) != 0, (at < n) == until);
			}
}

Test(rep_light, count_of_zero_changes_nothing, .init = setup)
{
	uint64_t done = 0;

	b.c->cc = cc_from_eflags(FL_CF | FL_OF);
	regs(~0ull, ~0ull, 0xdead00000000);
	cr_expect_eq(run(h_rep_cmps, rep(8, 4, false), &done), -1);
	cr_expect(done);
	cr_expect_eq(b.c->cc, cc_from_eflags(FL_CF | FL_OF));
	cr_expect_eq(b.c->regs[RSI], ~0ull);
}

Test(rep_light, pending_request_interrupts_between_runs, .init = setup)
{
	uint64_t done = 1;

	regs(0, 0x20000, 0x3000);
	b.c->request = REQ_INTR;
	run(h_rep_stos, rep(1, 8, false), &done);
	cr_expect_eq(done, 0);
	cr_expect_eq(b.c->regs[RCX], 0x2000);
	cr_expect_eq(b.c->regs[RDI], 0x21000);
}

Test(rep_light, writing_to_code_is_told_and_leaves, .init = setup)
{
	uint64_t done = 1;

	phys_set_code(b.c->phys, b.ram, 0x20000);
	regs(0, 0x20010, 3);
	run(h_rep_stos, rep(8, 8, false), &done);
	cr_expect_eq(done, 0);
	cr_expect_eq(b.c->regs[RCX], 0);
	cr_expect_eq(b.code_pa, 0x20010);
	cr_expect_eq(b.code_bytes, 24);
}

Test(rep_light, offsets_wrap_at_64k_in_real_mode, .init = setup_real)
{
	uint64_t done = 0;

	seg_set(b.c, ES, 0x2000, 0x20000, 0xffff, 0x93);
	regs(0, 0xabcdfffe, 0x770004);
	b.c->regs[RAX] = 0x55;
	cr_expect_eq(run(h_rep_stos, rep(1, 2, false), &done), -1);
	cr_expect(done);
	cr_expect_eq(b.c->regs[RDI], 0xabcd0002);
	cr_expect_eq(b.c->regs[RCX], 0x770000);
	cr_expect_eq(b.ram->host[0x2ffff], 0x55);
	cr_expect_eq(b.ram->host[0x20001], 0x55);
	cr_expect_neq(b.ram->host[0x30000], 0x55);
}

Test(rep_light, segment_limit_faults_at_the_element, .init = setup_real)
{
	uint64_t done = 0;

	regs(0, 0xfff9, 8);
	cr_expect_eq(run(h_rep_stos, rep(4, 2, false), &done), EXC_GP);
	cr_expect_eq(b.c->regs[RCX], 7);
	cr_expect_eq(b.c->regs[RDI] & 0xffff, 0xfffd);
}

/* ---- ports ---- */

/* A port that gives bytes in turn and adds up what it gets; runs of it end at `most`, where a request comes. */
static struct {
	uint8_t next;
	unsigned n, runs, most;
	uint64_t sum;
} port;

static uint32_t port_in(void *opaque, uint16_t at, int size)
{
	uint32_t v = 0;

	(void)opaque;
	cr_assert_eq(at, 0x310);
	port.n++;
	for (int i = 0; i < size; i++)
		v |= (uint32_t)port.next++ << 8 * i;
	return v;
}

static void port_out(void *opaque, uint16_t at, int size, uint32_t v)
{
	(void)opaque, (void)size;
	cr_assert_eq(at, 0x310);
	port.n++;
	port.sum = port.sum * 31 + v;
}

static unsigned end_of_run(struct cpu *c, unsigned n)
{
	port.runs++;
	if (!port.most || n < port.most)
		return n;
	cpu_request(c, REQ_INTR);
	return port.most;
}

static unsigned port_in_run(void *opaque, struct cpu *c, uint16_t at, int size, void *buf, unsigned n)
{
	n = end_of_run(c, n);
	for (unsigned i = 0; i < n; i++)
		st_n((uint8_t *)buf + i * (unsigned)size, size, port_in(opaque, at, size));
	return n;
}

static unsigned port_out_run(void *opaque, struct cpu *c, uint16_t at, int size, const void *buf, unsigned n)
{
	n = end_of_run(c, n);
	for (unsigned i = 0; i < n; i++)
		port_out(opaque, at, size, (uint32_t)ld_n((const uint8_t *)buf + i * (unsigned)size, size));
	return n;
}

static void setup_port(void)
{
	setup();
	b.c->board = (struct cpu_board){
		.port_in = port_in, .port_out = port_out, .port_in_run = port_in_run, .port_out_run = port_out_run,
	};
	b.c->regs[RDX] = 0x310;
}

Test(rep_light, ins_reads_no_more_than_it_stores, .init = setup_port)
{
	uint64_t again = 0;

	put_pte(TABLES + 0x3000, 0x22, 0);
	regs(0, 0x20010, 4000);
	cr_expect_eq(run(h_ins, rep(4, 8, false), &again), EXC_PF);
	cr_expect_eq(b.c->regs[RDI], 0x22000);
	cr_expect_eq(b.c->regs[RCX], 4000 - 0x1ff0 / 4);
	cr_expect_eq(port.n, 0x1ff0 / 4);
	cr_expect_eq(port.runs, 2, "a page each");
	for (unsigned i = 0; i < 0x1ff0; i++)
		cr_assert_eq(b.ram->host[0x20010 + i], (uint8_t)i);
	regs(0, 0x21ffe, 1);			/* half of it is not there */
	cr_expect_eq(run(h_ins, rep(4, 8, false), &again), EXC_PF);
	cr_expect_eq(port.n, 0x1ff0 / 4);
}

Test(rep_light, outs_through_pages_is_the_same_as_one_by_one, .init = setup_port)
{
	uint64_t again = 1, sum = 0;

	for (unsigned i = 0; i < 3000; i++)
		sum = sum * 31 + ld16(b.ram->host + 0x20ff1 + 2 * i);
	regs(0x20ff1, 0, 3000);			/* one element crosses */
	cr_expect_eq(run(h_outs, rep(2, 8, false), &again), -1);
	cr_expect_eq(again, 0);
	cr_expect_eq(port.n, 3000);
	cr_expect_eq(port.sum, sum);
	cr_expect_eq(b.c->regs[RSI], 0x20ff1 + 6000);
	cr_expect_eq(b.c->regs[RCX], 0);
	sum = port.sum = 0;
	for (unsigned i = 0; i < 5; i++)
		sum = sum * 31 + ld16(b.ram->host + 0x21002 - 2 * i);
	regs(0x21002, 0, 5);
	cr_expect_eq(run(h_outs, rep(2, 8, true), &again), -1);
	cr_expect_eq(port.sum, sum, "downwards");
}

Test(rep_light, a_request_of_the_device_ends_a_run, .init = setup_port)
{
	uint64_t again = 0;

	port.most = 7;
	regs(0x20000, 0, 100);
	cr_expect_eq(run(h_outs, rep(1, 8, false), &again), -1);
	cr_expect_eq(again, 1);
	cr_expect_eq(b.c->regs[RSI], 0x20007);
	cr_expect_eq(b.c->regs[RCX], 93);
	regs(0, 0x20000, 100);
	cpu_clear_request(b.c, REQ_INTR);
	cr_expect_eq(run(h_ins, rep(1, 8, false), &again), -1);
	cr_expect_eq(again, 1);
	cr_expect_eq(b.c->regs[RCX], 93);
}

Test(rep_light, stepping_sees_each_element_of_ins, .init = setup_port)
{
	uint64_t again = 0;

	b.c->mode |= MODE_TF;
	regs(0, 0x20000, 3);
	cr_expect_eq(run(h_ins, rep(1, 8, false), &again), -1);
	cr_expect_eq(again, 1);
	cr_expect_eq(b.c->regs[RCX], 2);
	b.c->mode &= ~MODE_TF;
	regs(0, END, 3);
	cr_expect_eq(run(h_ins, rep(1, 8, false), &again), -1);
	cr_expect_eq(again, 0);
	cr_expect_eq(b.mmio_writes, 3);
	cr_expect_eq(port.runs, 0);
}
