/*
 * See user.h: the vCPU's side, and what both sides share.
 *
 * Cleared by user_state_canonical(), as no two sides need agree on it: the x87's last
 * instruction and operand, MXCSR_MASK, XSAVE components in their initial state, the
 * contents of empty x87 registers, unused parts of the image.
 */
#include "tests/insn/user.h"

#include <string.h>

#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "tcg/run.h"

/* Physical addresses; linear ones of the system pages are in the upper half. */
enum {
	GDT = 0x1000, LDT = 0x1800, IDT = 0x2000, TSS = 0x3000, HANDLERS = 0x4000, STACK_TOP = 0x8000,
	PML4 = 0x10000, PDPT = 0x11000, PDPT_HIGH = 0x12000, TABLES = 0x13000,
	LAST_TABLES = 0x19000,
	DATA_PA = 0x20000, CODE_PA = 0x30000, EPI_PA = 0x40000, RAM_SIZE = 0x50000,
};
#define UPPER 0xffffffff80000000ull
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_PS = 0x80 };
#define PTE_NX BIT(63)
enum { END_PORT = 0xf4 };

/* Selectors as in Linux; the LDT's only in 16-bit code. */
enum { KERNEL_CS32 = 0x08, KERNEL_CS = 0x10, KERNEL_DS = 0x18, SEL_CS32 = 0x23, SEL_DS = 0x2b, SEL_CS64 = 0x33,
       SEL_TSS = 0x40, SEL_LDT = 0x50, SEL_CS16 = 0x07, SEL_DS16 = 0x0f };
enum { ATTR_CODE = 0x9b, ATTR_DATA = 0x93, ATTR_USER = 0x60 };

/* ---- states ---- */

void user_state_init(struct user_state *s)
{
	memset(s, 0, sizeof(*s));
	s->flags = 0x202;
	st16(s->xsave + X_FCW, 0x37f);
	st32(s->xsave + X_MXCSR, 0x1f80);
	st32(s->xsave + X_MXCSR + 4, 0xffff);
	st64(s->xsave + X_BV, 7);
}

void user_state_summary(struct user_state *s)
{
	uint16_t fsw = ld16(s->xsave + X_FSW) & 0x7f7f;
	bool error = fsw & ~ld16(s->xsave + X_FCW) & 0x3f;

	st16(s->xsave + X_FSW, error ? fsw | 0x8080 : fsw);
}

static void clear_initial(uint8_t *x)
{
	uint64_t bv = ld64(x + X_BV);

	if (!(bv & 1)) {
		memset(x, 0, 24);
		memset(x + X_ST, 0, 128);
		st16(x + X_FCW, 0x37f);
	}
	if (!(bv & 2))
		memset(x + X_XMM, 0, 256);
	if (!(bv & 4))
		memset(x + X_YMM, 0, 256);
}

void user_state_canonical(struct user_state *s, int bits)
{
	uint8_t *x = s->xsave;

	clear_initial(x);
	memset(x + 5, 0, 19);
	memset(x + 28, 0, 4);
	for (unsigned i = 0; i < 8; i++) {
		bool full = x[X_FTW] >> ((i + (x[3] >> 3)) & 7) & 1;

		memset(x + X_ST + 16 * i + (full ? 10 : 0), 0, full ? 6 : 16);
	}
	memset(x + 416, 0, 160);
	if (bits == 64)
		return;
	for (int i = 0; i < 8; i++)
		s->regs[i] = (uint32_t)s->regs[i];
	memset(s->regs + 8, 0, 64);
	memset(x + X_XMM + 128, 0, 128);
	memset(x + X_YMM + 128, 0, 128);
}

unsigned user_put_end(uint8_t *p, int bits, uint32_t at)
{
	if (bits == 16) {			/* jmp far, 32-bit offset */
		p[0] = 0x66;
		p[1] = 0xea;
		st32(p + 2, USER_EPI);
		st16(p + 6, SEL_CS64);
		return 8;
	}
	p[0] = 0xe9;
	st32(p + 1, (bits == 64 ? USER_EPI : USER_EPI32) - (at + 5));
	return 5;
}

void user_fill_ro(uint8_t *page)
{
	uint64_t v = 0x9e3779b97f4a7c15ull;

	for (int i = 0; i < 4096; i += 8) {
		v = v * 6364136223846793005ull + 1442695040888963407ull;
		st64(page + i, v ^ v >> 29);
	}
}

/* ---- the board ---- */

static void port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	struct user *u = opaque;

	(void)size;
	(void)v;
	if (port == END_PORT)
		cpu_request(u->c, REQ_EXIT);
}

static void shutdown(void *opaque, struct cpu *c)
{
	((struct user *)opaque)->shut_down = true;
	cpu_request(c, REQ_EXIT);
}

static int intack(void *opaque, struct cpu *c)
{
	((struct user *)opaque)->irqs++;
	cpu_clear_request(c, REQ_INTR);
	return USER_IRQ;
}

/* ---- tables ---- */

static void put(struct user *u, uint64_t pa, int size, uint64_t v)
{
	st_n(u->ram->host + pa, size, v);
}

/* Map n pages at va, which no other call has a 2 MiB piece in common with. */
static void map(struct user *u, unsigned k, uint32_t va, uint64_t pa, unsigned n, uint64_t rights)
{
	uint64_t pd = TABLES + 0x2000 * k, pt = pd + 0x1000;

	put(u, PDPT + 8 * (va >> 30), 8, pd | 7);
	put(u, pd + 8 * (va >> 21 & 511), 8, pt | 7);
	for (unsigned i = 0; i < n; i++)
		put(u, pt + 8 * ((va >> 12 & 511) + i), 8, (pa + 4096 * i) | rights);
}

static void make_page_tables(struct user *u)
{
	put(u, PML4, 8, PDPT | 7);
	for (unsigned i = 256; i < 512; i++)
		put(u, PML4 + 8 * i, 8, PDPT_HIGH | 7);
	for (unsigned i = 0; i < 512; i++)
		put(u, PDPT_HIGH + 8 * i, 8, PTE_PS | PTE_P | PTE_W);
	map(u, 0, USER_DATA, DATA_PA, USER_DATA_PAGES, PTE_P | PTE_W | PTE_U | PTE_NX);
	put(u, TABLES + 0x1000 + 8 * ((USER_DATA + USER_RO) >> 12 & 511), 8, (DATA_PA + USER_RO) | PTE_P | PTE_U | PTE_NX);
	put(u, TABLES + 0x1000 + 8 * ((USER_DATA + USER_HOLE) >> 12 & 511), 8, 0);
	map(u, 1, USER_CODE, CODE_PA, USER_CODE_BYTES / 4096, PTE_P | PTE_U);
	map(u, 2, USER_EPI, EPI_PA, 1, PTE_P | PTE_U);
	/* The page below the hole of addresses: to Linux the kernel's. */
	put(u, PML4 + 8 * 255, 8, LAST_TABLES | 7);
	put(u, LAST_TABLES + 8 * 511, 8, (LAST_TABLES + 0x1000) | 7);
	put(u, LAST_TABLES + 0x1000 + 8 * 511, 8, (LAST_TABLES + 0x2000) | 7);
	put(u, LAST_TABLES + 0x2000 + 8 * 511, 8, PTE_P | PTE_W);
}

/* 64 KiB in the LDT. */
static void put_small(struct user *u, unsigned i, uint32_t base, uint32_t attr)
{
	put(u, LDT + 8 * i, 8, 0xffff | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40 | (uint64_t)(base >> 24) << 56);
}

static void put_descriptor(struct user *u, unsigned sel, uint32_t attr)
{
	put(u, GDT + (sel & ~7u), 8, 0x000f00000000ffffull | (uint64_t)attr << 40);
}

static void make_descriptors(struct user *u)
{
	uint64_t tss = UPPER + TSS;

	put_descriptor(u, KERNEL_CS32, ATTR_CODE | SEG_G | SEG_DB);
	put_descriptor(u, KERNEL_CS, ATTR_CODE | SEG_G | SEG_L);
	put_descriptor(u, KERNEL_DS, ATTR_DATA | SEG_G | SEG_DB);
	put_descriptor(u, SEL_CS32, ATTR_CODE | ATTR_USER | SEG_G | SEG_DB);
	put_descriptor(u, SEL_DS, ATTR_DATA | ATTR_USER | SEG_G | SEG_DB);
	put_descriptor(u, SEL_CS64, ATTR_CODE | ATTR_USER | SEG_G | SEG_L);
	put_small(u, 0, USER_CODE, ATTR_CODE | ATTR_USER);
	put_small(u, 1, USER_DATA, ATTR_DATA | ATTR_USER);
	put(u, GDT + SEL_TSS, 8, 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
	put(u, GDT + SEL_TSS + 8, 8, tss >> 32);
	put(u, TSS + 4, 8, UPPER + STACK_TOP);
	put(u, TSS + 0x66, 2, 0x68);
}

/* A program may raise #BP, #OF and the system call's vector by INT. */
static void make_idt(struct user *u)
{
	static const uint8_t end[] = { 0xe6, END_PORT, 0xf4 };	/* out; hlt */
	static const uint8_t iretq[] = { 0x48, 0xcf };

	for (unsigned v = 0; v < 256; v++) {
		uint64_t to = UPPER + HANDLERS + v * 16;
		uint64_t dpl = v == EXC_BP || v == EXC_OF || v == 0x80 ? 0x6000 : 0;

		put(u, IDT + 16 * v, 4, (to & 0xffff) | KERNEL_CS << 16);
		put(u, IDT + 16 * v + 4, 4, (to & 0xffff0000) | 0x8e00 | dpl);
		put(u, IDT + 16 * v + 8, 8, to >> 32);
		memcpy(u->ram->host + HANDLERS + v * 16, end, sizeof(end));
	}
	memcpy(u->ram->host + HANDLERS + USER_IRQ * 16, iretq, sizeof(iretq));
}

/* In 64-bit code Linux has null selectors in DS and ES. */
static void set_segments(struct user *u)
{
	struct cpu *c = u->c;
	uint32_t code = ATTR_CODE | ATTR_USER, data = ATTR_DATA | ATTR_USER;

	for (int s = ES; s <= GS; s++)
		seg_set(c, s, 0, 0, 0, 0);
	seg_set(c, LDTR, u->bits == 16 ? SEL_LDT : 0, UPPER + LDT, 15, u->bits == 16 ? 0x82 : 0);
	seg_set(c, TR, SEL_TSS, UPPER + TSS, 0x67, 0x8b);
	if (u->bits == 16) {
		seg_set(c, CS, SEL_CS16, USER_CODE, 0xffff, (uint16_t)code);
		for (int s = ES; s <= DS; s += s == ES ? 2 : 1)
			seg_set(c, s, SEL_DS16, USER_DATA, 0xffff, (uint16_t)data);
		return;
	}
	seg_set(c, SS, SEL_DS, 0, ~0u, (uint16_t)(data | SEG_G | SEG_DB));
	if (u->bits == 64) {
		seg_set(c, CS, SEL_CS64, 0, ~0u, (uint16_t)(code | SEG_G | SEG_L));
		return;
	}
	seg_set(c, CS, SEL_CS32, 0, ~0u, (uint16_t)(code | SEG_G | SEG_DB));
	seg_set(c, DS, SEL_DS, 0, ~0u, (uint16_t)(data | SEG_G | SEG_DB));
	seg_set(c, ES, SEL_DS, 0, ~0u, (uint16_t)(data | SEG_G | SEG_DB));
}

/* ---- life ---- */

extern const uint8_t user_epilogue[], user_epilogue_end[], user_epilogue32[], user_epilogue32_end[];

static bool make_board(struct user *u, unsigned ncpus, struct err *e)
{
	struct phys_range r = { .pa = 0, .size = RAM_SIZE, .name = "ram" };
	struct cpu_config cfg = { .model = "max,-la57", .phys = u->phys, .tsc_khz = 1000000,
				  .ncpus = ncpus, .board = { .opaque = u, .port_out = port_out, .intack = intack,
							     .shutdown = shutdown } };

	u->ram = phys_ram_new(u->phys, "ram", RAM_SIZE, e);
	if (!u->ram)
		return false;
	r.rram = r.wram = u->ram;
	if (!phys_map(u->phys, &r, e))
		return false;
	u->c = cpu_new(&cfg, e);
	return u->c != NULL;
}

bool user_open(struct user *u, int bits, const struct accel_ops *ops, struct err *e)
{
	return user_open_of(u, bits, 1, ops, e);
}

bool user_open_of(struct user *u, int bits, unsigned ncpus, const struct accel_ops *ops, struct err *e)
{
	struct cpu *c;

	memset(u, 0, sizeof(*u));
	u->bits = bits;
	u->phys = phys_new();
	if (!make_board(u, ncpus, e))
		return false;
	make_page_tables(u);
	make_descriptors(u);
	make_idt(u);
	user_fill_ro(u->ram->host + DATA_PA + USER_RO);
	memset(user_code(u), 0xcc, USER_CODE_BYTES);
	memcpy(u->ram->host + EPI_PA, user_epilogue, (size_t)(user_epilogue_end - user_epilogue));
	memcpy(u->ram->host + EPI_PA + (USER_EPI32 - USER_EPI), user_epilogue32,
	       (size_t)(user_epilogue32_end - user_epilogue32));
	c = u->c;
	c->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	c->cr3 = PML4;
	c->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
	c->xcr0 = 7;
	c->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	c->gdtr = (struct dtr){ UPPER + GDT, 0x7f };
	c->idtr = (struct dtr){ UPPER + IDT, 0xfff };
	c->wait_sipi = false;
	set_segments(u);
	memcpy(u->segs, c->segs, sizeof(u->segs));
	cpu_update_mode(c);
	c->ops = ops;
	if (!ops->create(c, e))
		return false;
	tcg_set_hot(c, 0);		/* no timer's signals while the host runs odd code */
	return true;
}

void user_close(struct user *u)
{
	if (u->c && u->c->ops)
		u->c->ops->destroy(u->c);
	cpu_free(u->c);
	phys_free(u->phys);
}

uint8_t *user_mem(const struct user *u)
{
	return u->ram->host + DATA_PA;
}

uint8_t *user_code(const struct user *u)
{
	return u->ram->host + CODE_PA;
}

/* ---- running ---- */

static void load(struct user *u, const struct user_state *in)
{
	struct cpu *c = u->c;

	memcpy(c->segs, u->segs, sizeof(c->segs));
	c->segs[FS].base = in->fs_base;
	c->segs[GS].base = in->gs_base;
	memcpy(c->regs, in->regs, sizeof(c->regs));
	memcpy(c->xsave, in->xsave, USER_XSAVE);
	c->halted = c->shadow = c->shadow_db = u->shut_down = false;
	c->exc_vector = c->exc_delivering = -1;
	c->dr[6] = 0xffff0ff0;
	c->dr6_pending = 0;
	cpu_set_eflags(c, (uint32_t)in->flags);
	cpu_update_mode(c);
	c->rip = in->rip;
}

static bool has_error(int v)
{
	return v == EXC_DF || (v >= EXC_TS && v <= EXC_PF) || v == EXC_AC;
}

/* What delivery pushed, lowest address first: error code, RIP, CS, RFLAGS, RSP, SS. */
static void read_frame(struct user *u, struct user_state *out)
{
	const uint8_t *p = u->ram->host + STACK_TOP - 40;

	out->rip = ld64(p);
	out->flags = ld64(p + 16);
	out->regs[RSP] = ld64(p + 24);
	out->error = has_error(out->vector) ? ld64(p - 8) : 0;
	if (out->vector == EXC_PF)
		out->cr2 = u->c->cr2;
}

void user_exec(struct user *u, const struct user_state *in, struct user_state *out)
{
	struct cpu *c = u->c;
	uint64_t v;

	load(u, in);
	c->ops->run(c);
	v = (c->rip - (UPPER + HANDLERS)) / 16;
	memcpy(out->regs, c->regs, sizeof(out->regs));
	memcpy(out->xsave, c->xsave, USER_XSAVE);
	out->fs_base = c->segs[FS].base;
	out->gs_base = c->segs[GS].base;
	out->ds = c->segs[DS].sel;
	out->es = c->segs[ES].sel;
	out->fs = c->segs[FS].sel;
	out->gs = c->segs[GS].sel;
	out->error = out->cr2 = 0;
	out->vector = u->shut_down || v > 255 ? USER_LOST : (int)v;
	if (out->vector != USER_LOST)
		read_frame(u, out);
	if (out->vector == EXC_PF && out->rip == USER_EPI) {
		out->vector = USER_END;
		out->error = out->cr2 = 0;
		out->flags &= ~(uint64_t)FL_RF;
	}
	user_state_canonical(out, u->bits);
}
