/* See tests/cpu/harness.h. */
#include "tests/cpu/harness.h"

#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/seg.h"

/* ---- board ---- */

static void shutdown_count(void *opaque, struct cpu *c)
{
	(void)c;
	((struct bench *)opaque)->shutdowns++;
}

static void ferr_count(void *opaque, struct cpu *c)
{
	(void)c;
	((struct bench *)opaque)->ferrs++;
}

static void smm_count(void *opaque, struct cpu *c, bool in)
{
	(void)c;
	((struct bench *)opaque)->smm += in ? 1 : 0x100;
}

static int intack(void *opaque, struct cpu *c)
{
	struct bench *b = opaque;
	int v = b->intr;

	(void)c;
	b->intr = -1;
	return v;
}

static void __attribute__((noreturn)) unwind(struct cpu *c)
{
	struct bench *b = c->board.opaque;

	longjmp(b->env, 1);
}

int take_exc(struct cpu *c)
{
	int v = c->exc_vector;

	c->exc_vector = -1;
	return EXC(v, c->exc_has_error ? c->exc_error : 0);
}

void bench_init(struct bench *b)
{
	struct err e = { "" };

	memset(b, 0, sizeof(*b));
	b->intr = -1;
	b->phys = phys_new();
	b->ram = phys_ram_new(b->phys, "ram", RAM_SIZE, &e);
	cr_assert(b->ram, "%s", e.msg);
	struct phys_range r = {
		.pa = 0, .size = RAM_SIZE, .rram = b->ram, .wram = b->ram, .name = "ram",
	};
	cr_assert(phys_map(b->phys, &r, &e), "%s", e.msg);
	struct cpu_config cfg = {
		.model = "max", .phys = b->phys, .tsc_khz = 1000000,
		.board = { .opaque = b,
			.shutdown = shutdown_count, .ferr = ferr_count, .smm = smm_count, .intack = intack },
	};
	b->c = cpu_new(&cfg, &e);
	cr_assert(b->c, "%s", e.msg);
	b->c->unwind = unwind;
}

void bench_fini(struct bench *b)
{
	cpu_free(b->c);
	phys_free(b->phys);
}

/* ---- memory and tables ---- */

uint64_t mem(struct bench *b, uint64_t pa, int size)
{
	return ld_n(b->ram->host + pa, size);
}

void mem_put(struct bench *b, uint64_t pa, int size, uint64_t v)
{
	st_n(b->ram->host + pa, size, v);
}

void gdt_put(struct bench *b, unsigned sel, uint32_t base, uint32_t limit, uint32_t attr)
{
	uint64_t va = AT_GDT + (sel & ~7u);

	if (attr & SEG_G)
		limit >>= 12;
	mem_put(b, va, 4, (limit & 0xffff) | base << 16);
	mem_put(b, va + 4, 4, (base >> 16 & 0xff) | attr << 8 | (limit & 0xf0000) | (base & 0xff000000));
}

void gate_put(struct bench *b, uint64_t va, uint16_t sel, uint64_t off, uint32_t attr, int params)
{
	mem_put(b, va, 4, (off & 0xffff) | (uint32_t)sel << 16);
	mem_put(b, va + 4, 4, (off & 0xffff0000) | attr << 8 | (unsigned)params);
	if (b->c->efer & EFER_LMA)
		mem_put(b, va + 8, 8, off >> 32);
}

void idt_put(struct bench *b, int vector, uint16_t sel, uint64_t off, uint32_t attr)
{
	gate_put(b, AT_IDT + (unsigned)vector * (b->c->efer & EFER_LMA ? 16u : 8u), sel, off, attr, 0);
}

/* ---- modes ---- */

#define FLAT 0xffffffffu
#define C32 (SEG_G | SEG_DB | 0x9a)	/* not accessed */
#define D32 (SEG_G | SEG_DB | 0x92)

static void make_gdt(struct bench *b)
{
	gdt_put(b, S_CODE, 0, FLAT, C32);
	gdt_put(b, S_DATA, 0, FLAT, D32);
	gdt_put(b, S_CODE3, 0, FLAT, C32 | 0x60);
	gdt_put(b, S_DATA3, 0, FLAT, D32 | 0x60);
	gdt_put(b, S_TSS, AT_TSS, 0x1ff, 0x89);
	gdt_put(b, S_TSS2, AT_TSS2, 0x67, 0x89);
	gdt_put(b, S_CODE16, 0, 0xffff, 0x9a);
	gdt_put(b, S_DATA16, 0, 0xffff, 0x92);
	gdt_put(b, S_CONF, 0, FLAT, C32 | 4);
	gdt_put(b, S_CODE64, 0, FLAT, SEG_G | SEG_L | 0x9a);
	gdt_put(b, S_CODE64_3, 0, FLAT, SEG_G | SEG_L | 0xfa);
	gdt_put(b, S_DATA1, 0, FLAT, D32 | 0x20);
	gdt_put(b, S_CODE1, 0, FLAT, C32 | 0x20);
	gdt_put(b, S_TSS64, AT_TSS, 0x1ff, 0x89);
	mem_put(b, AT_GDT + S_TSS64 + 8, 8, 0);
	gdt_put(b, S_DOWN, 0, 0xfff, SEG_DB | 0x96);
	gdt_put(b, S_LDT, AT_LDT, 0xff, 0x82);
	b->c->gdtr = (struct dtr){ AT_GDT, GDT_LIMIT };
	b->c->idtr = (struct dtr){ AT_IDT, 0xfff };
}

static void load(struct cpu *c, int seg, uint16_t sel, uint32_t limit, uint32_t attr)
{
	seg_set(c, seg, sel, 0, limit, (uint16_t)attr);
}

static void set_ring(struct bench *b, int cpl, uint32_t cs_attr, uint16_t cs)
{
	struct cpu *c = b->c;
	uint32_t dpl = (uint32_t)cpl << 5;
	uint16_t ds = cpl == 3 ? S_DATA3 : cpl == 1 ? S_DATA1 : S_DATA;

	load(c, CS, cs, FLAT, cs_attr | 1 | dpl);
	for (int s = ES; s <= GS; s++)
		if (s != CS)
			load(c, s, ds, FLAT, D32 | 1 | dpl);
	c->rip = AT_CODE;
	c->regs[RSP] = cpl == 3 ? AT_STACK3 : AT_STACK;
	cpu_update_mode(c);
}

void bench_real(struct bench *b)
{
	struct cpu *c;

	bench_init(b);
	c = b->c;
	for (int s = ES; s <= GS; s++)
		seg_set(c, s, 0, 0, 0xffff, 0x93);
	c->rip = AT_CODE;
	c->regs[RSP] = AT_STACK;
	for (unsigned v = 0; v < 256; v++)
		mem_put(b, v * 4, 4, 0x700000 | v);
	c->idtr = (struct dtr){ 0, 0x3ff };
	cpu_update_mode(c);
}

static void make_tss32(struct bench *b)
{
	mem_put(b, AT_TSS + 4, 4, AT_STACK);
	mem_put(b, AT_TSS + 8, 4, S_DATA);
	mem_put(b, AT_TSS + 12, 4, AT_STACK - 0x200);
	mem_put(b, AT_TSS + 16, 4, S_DATA1);
	mem_put(b, AT_TSS + 0x66, 2, 0x88);	/* I/O bitmap; redirection bitmap at 0x68 */
}

void bench_protected(struct bench *b, int cpl)
{
	bench_init(b);
	make_gdt(b);
	make_tss32(b);
	b->c->cr0 |= CR0_PE;
	seg_set(b->c, TR, S_TSS, AT_TSS, 0x1ff, 0x8b);
	seg_set(b->c, LDTR, 0, 0, 0, 0);
	gdt_put(b, S_TSS, AT_TSS, 0x1ff, 0x8b);
	for (int v = 0; v < 32; v++)
		idt_put(b, v, S_CODE, 0x7000 + (unsigned)v, 0x8e);
	set_ring(b, cpl, C32, cpl == 3 ? S_CODE3 : cpl == 1 ? S_CODE1 : S_CODE);
}

void bench_vm86(struct bench *b, int iopl)
{
	struct cpu *c;

	bench_protected(b, 0);
	c = b->c;
	cpu_set_eflags(c, FL_VM | FL_IF | (uint32_t)iopl << 12);
	for (int s = ES; s <= GS; s++)
		seg_set(c, s, 0x300 + s, (0x300u + (unsigned)s) << 4, 0xffff, 0xf3);
	seg_set(c, CS, 0x100, 0x1000, 0xffff, 0xf3);
	seg_set(c, SS, 0x200, 0x2000, 0xffff, 0xf3);
	c->rip = 0x10;
	c->regs[RSP] = 0x1000;
	cpu_update_mode(c);
}

void bench_long(struct bench *b, int cpl)
{
	struct cpu *c;

	bench_init(b);
	c = b->c;
	make_gdt(b);
	mem_put(b, AT_PML4, 8, (AT_PML4 + 0x1000) | 7);
	mem_put(b, AT_PML4 + 0x1000, 8, (AT_PML4 + 0x2000) | 7);
	for (unsigned i = 0; i < 2; i++)
		mem_put(b, AT_PML4 + 0x2000 + i * 8, 8, (i << 21) | 0x87);
	c->cr3 = AT_PML4;
	c->cr4 |= CR4_PAE;
	c->efer |= EFER_LME | EFER_LMA | EFER_SCE;
	c->cr0 |= CR0_PE | CR0_PG;
	mmu_flush(c, false);
	gdt_put(b, S_TSS64, AT_TSS, 0x1ff, 0x8b);
	seg_set(c, TR, S_TSS64, AT_TSS, 0x1ff, 0x8b);
	seg_set(c, LDTR, 0, 0, 0, 0);
	mem_put(b, AT_TSS + 4, 8, AT_STACK);
	mem_put(b, AT_TSS + 0x24, 8, AT_STACK - 0x400);		/* IST1 */
	for (int v = 0; v < 32; v++)
		idt_put(b, v, S_CODE64, 0x7000 + (unsigned)v, 0x8e);
	set_ring(b, cpl, SEG_G | SEG_L | 0x9a, cpl == 3 ? S_CODE64_3 : S_CODE64);
}
