/*
 * System-management mode: the state save area, entry and RSM.
 *
 * Two layouts at SMBASE + 0xfe00, as firmware expects them: that of 64-bit
 * processors (revision 0x20064) and that of 32-bit ones (revision 0x20000).
 *
 * Not modelled: restart of I/O instructions, SMI while in SMM (it stays
 * pending), SMRR, the dual-monitor treatment.
 * Source: APM vol. 2 10.2 (table 10-1, 64-bit); SDM vol. 3C 31.4, table 31-1
 * (32-bit; positions of hidden registers as firmware of P6 processors has them).
 */
#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/phys.h"
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "cpu/system.h"
#include "cpu/tlb.h"

#define SAVE_AREA	0x8000u		/* offsets below count from SMBASE + this */
#define REVISION	0x7efc
#define REV_64		0x20064u
#define REV_32		0x20000u	/* bit 17: SMBASE can be moved */
#define SMBASE_64	0x7f00
#define SMBASE_32	0x7ef8
#define HALT_64		0x7ec9		/* auto-HALT restart, a byte */
#define HALT_32		0x7f02
#define NMI_64		0x7eca		/* NMIs were blocked */

/* Where a value that is plainly stored and taken back stands. */
struct slot {
	uint16_t off;
	uint8_t size;
	uint16_t field;		/* offset in struct cpu */
	uint8_t width;		/* of that field */
};
#define SLOT(off, size, f) { off, size, offsetof(struct cpu, f), sizeof(((struct cpu *)0)->f) }

static const struct slot slots64[] = {
	SLOT(0x7e64, 2, gdtr.limit), SLOT(0x7e68, 8, gdtr.base),
	SLOT(0x7e84, 2, idtr.limit), SLOT(0x7e88, 8, idtr.base),
	SLOT(0x7f60, 8, dr[7]), SLOT(0x7f68, 8, dr[6]), SLOT(0x7f78, 8, rip),
	SLOT(0x7f80, 8, regs[R15]), SLOT(0x7f88, 8, regs[R14]), SLOT(0x7f90, 8, regs[R13]),
	SLOT(0x7f98, 8, regs[R12]), SLOT(0x7fa0, 8, regs[R11]), SLOT(0x7fa8, 8, regs[R10]),
	SLOT(0x7fb0, 8, regs[R9]), SLOT(0x7fb8, 8, regs[R8]), SLOT(0x7fc0, 8, regs[RDI]),
	SLOT(0x7fc8, 8, regs[RSI]), SLOT(0x7fd0, 8, regs[RBP]), SLOT(0x7fd8, 8, regs[RSP]),
	SLOT(0x7fe0, 8, regs[RBX]), SLOT(0x7fe8, 8, regs[RDX]), SLOT(0x7ff0, 8, regs[RCX]),
	SLOT(0x7ff8, 8, regs[RAX]),
};
static const struct slot slots32[] = {
	SLOT(0x7f54, 2, idtr.limit), SLOT(0x7f58, 4, idtr.base),
	SLOT(0x7f70, 2, gdtr.limit), SLOT(0x7f74, 4, gdtr.base),
	SLOT(0x7fc8, 4, dr[7]), SLOT(0x7fcc, 4, dr[6]), SLOT(0x7ff0, 4, rip),
	SLOT(0x7fd0, 4, regs[RAX]), SLOT(0x7fd4, 4, regs[RCX]), SLOT(0x7fd8, 4, regs[RDX]),
	SLOT(0x7fdc, 4, regs[RBX]), SLOT(0x7fe0, 4, regs[RSP]), SLOT(0x7fe4, 4, regs[RBP]),
	SLOT(0x7fe8, 4, regs[RSI]), SLOT(0x7fec, 4, regs[RDI]),
};
/* Control registers, flags and EFER: taken back with care. */
struct control {
	uint16_t cr0, cr3, cr4, eflags, efer;
	uint8_t size;
};
static const struct control control64 = { 0x7f58, 0x7f50, 0x7f48, 0x7f70, 0x7ed0, 8 };
static const struct control control32 = { 0x7ffc, 0x7ff8, 0x7f14, 0x7ff4, 0, 4 };

/* Segment registers: selector (2 bytes), attributes (2 or 4), limit (4), base. */
struct seg_slot {
	uint8_t seg;
	uint16_t sel, attr, limit, base;
};
static const struct seg_slot segs64[] = {
	{ ES, 0x7e00, 0x7e02, 0x7e04, 0x7e08 },	{ CS, 0x7e10, 0x7e12, 0x7e14, 0x7e18 },
	{ SS, 0x7e20, 0x7e22, 0x7e24, 0x7e28 },	{ DS, 0x7e30, 0x7e32, 0x7e34, 0x7e38 },
	{ FS, 0x7e40, 0x7e42, 0x7e44, 0x7e48 },	{ GS, 0x7e50, 0x7e52, 0x7e54, 0x7e58 },
	{ LDTR, 0x7e70, 0x7e72, 0x7e74, 0x7e78 }, { TR, 0x7e90, 0x7e92, 0x7e94, 0x7e98 },
};
static const struct seg_slot segs32[] = {
	{ ES, 0x7fa8, 0x7f84, 0x7f88, 0x7f8c },	{ CS, 0x7fac, 0x7f90, 0x7f94, 0x7f98 },
	{ SS, 0x7fb0, 0x7f9c, 0x7fa0, 0x7fa4 },	{ DS, 0x7fb4, 0x7f2c, 0x7f30, 0x7f34 },
	{ FS, 0x7fb8, 0x7f38, 0x7f3c, 0x7f40 },	{ GS, 0x7fbc, 0x7f44, 0x7f48, 0x7f4c },
	{ LDTR, 0x7fc0, 0x7f78, 0x7f7c, 0x7f80 }, { TR, 0x7fc4, 0x7f5c, 0x7f60, 0x7f64 },
};
_Static_assert(ARRAY_LEN(segs64) == NSEG && ARRAY_LEN(segs32) == NSEG, "every segment register is saved");

static bool is_64bit(const struct cpu *c)
{
	return cpu_has(c, CPUID_LM);
}

static uint64_t area_ld(struct cpu *c, unsigned off, int size)
{
	return phys_ld(c, (uint32_t)(c->smbase + SAVE_AREA + off), size);
}

static void area_st(struct cpu *c, unsigned off, int size, uint64_t v)
{
	phys_st(c, (uint32_t)(c->smbase + SAVE_AREA + off), size, v);
}

/* ---- saving ---- */

static void save_slots(struct cpu *c, const struct slot *s, unsigned n)
{
	for (; n--; s++)
		area_st(c, s->off, s->size, ld_n((const char *)c + s->field, s->width));
}

static void save_segs(struct cpu *c, const struct seg_slot *s, bool is64)
{
	for (unsigned i = 0; i < NSEG; i++, s++) {
		const struct seg *r = &c->segs[s->seg];

		area_st(c, s->sel, is64 ? 2 : 4, r->sel);
		area_st(c, s->attr, is64 ? 2 : 4, is64 ? r->attr : (uint32_t)r->attr << 8);
		area_st(c, s->limit, 4, r->limit);
		area_st(c, s->base, is64 ? 8 : 4, r->base);
	}
}

static void save_control(struct cpu *c, const struct control *k)
{
	area_st(c, k->cr0, k->size, c->cr0);
	area_st(c, k->cr3, k->size, c->cr3);
	area_st(c, k->cr4, k->size, c->cr4);
	area_st(c, k->eflags, k->size, cpu_get_eflags(c));
	if (k->efer)
		area_st(c, k->efer, 8, c->efer);
}

static void save(struct cpu *c, bool nmi_blocked)
{
	bool is64 = is_64bit(c);

	if (is64) {
		save_slots(c, slots64, ARRAY_LEN(slots64));
		area_st(c, NMI_64, 1, nmi_blocked);
	} else {
		save_slots(c, slots32, ARRAY_LEN(slots32));
	}
	save_segs(c, is64 ? segs64 : segs32, is64);
	save_control(c, is64 ? &control64 : &control32);
	area_st(c, is64 ? SMBASE_64 : SMBASE_32, 4, c->smbase);
	area_st(c, is64 ? HALT_64 : HALT_32, is64 ? 1 : 2, c->halted);
	area_st(c, REVISION, 4, is64 ? REV_64 : REV_32);
}

/* ---- entry ---- */

static uint64_t board_smm(uint64_t pc, uint64_t in, uint64_t b, uint64_t x)
{
	struct cpu *c = (struct cpu *)(uintptr_t)pc;

	(void)b;
	(void)x;
	if (c->board.smm)
		c->board.smm(c->board.opaque, c, in);
	return 0;
}

static void set_smm(struct cpu *c, bool in)
{
	c->in_smm = in;
	cpu_heavy(c, board_smm, (uintptr_t)c, in, 0, 0);
}

void smm_enter(struct cpu *c)
{
	bool nmi_blocked = c->nmi_blocked;

	set_smm(c, true);
	save(c, nmi_blocked);
	c->smm_nmi_blocked = nmi_blocked;
	c->nmi_blocked = true;
	c->halted = c->shadow = c->shadow_db = false;
	c->cr0 &= ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
	c->cr4 = 0;
	c->efer = 0;
	c->dr[7] = 0x400;
	put_eflags(c, 2);
	c->rip = 0x8000;
	for (int i = ES; i <= GS; i++)
		seg_make(&c->segs[i], 0, 0, 0xffffffff, ATTR_DATA | SEG_G);
	seg_make(&c->segs[CS], (uint16_t)(c->smbase >> 4), c->smbase, 0xffffffff, ATTR_DATA | SEG_G);
	svm_smm(c, true);
	mmu_update_watch(c);
	mmu_flush(c, false);
	cpu_update_mode(c);
}

/* ---- RSM ---- */

static void load_slots(struct cpu *c, const struct slot *s, unsigned n)
{
	for (; n--; s++)
		st_n((char *)c + s->field, s->width, area_ld(c, s->off, s->size));
}

static void load_segs(struct cpu *c, const struct seg_slot *s, bool is64)
{
	for (unsigned i = 0; i < NSEG; i++, s++) {
		uint32_t attr = (uint32_t)area_ld(c, s->attr, is64 ? 2 : 4) >> (is64 ? 0 : 8) & 0xf0ff;

		seg_make(&c->segs[s->seg], (uint16_t)area_ld(c, s->sel, 2), area_ld(c, s->base, is64 ? 8 : 4),
			 (uint32_t)area_ld(c, s->limit, 4), attr);
	}
}

/* Combinations that no processor can be in: shutdown (SDM vol. 3C 31.3.3, APM vol. 2 10.3.6). */
static bool control_ok(const struct cpu *c)
{
	bool lme = c->efer & EFER_LME, pg = c->cr0 & CR0_PG;

	if (pg && !(c->cr0 & CR0_PE))
		return false;
	if (c->cr0 & CR0_NW && !(c->cr0 & CR0_CD))
		return false;
	return !(lme && pg && !(c->cr4 & CR4_PAE));
}

/* Bits that are not here are dropped. */
#define CR0_KNOWN	0xe005003fu
#define CR4_KNOWN	(0xfffu | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS)
#define EFER_KNOWN	(EFER_SCE | EFER_LME | EFER_NXE | EFER_SVME | BIT(14) | BIT(21))

static void load_control(struct cpu *c, const struct control *k)
{
	c->cr0 = (area_ld(c, k->cr0, k->size) & CR0_KNOWN) | CR0_ET;
	c->cr3 = area_ld(c, k->cr3, k->size) & (BIT(c->phys_bits) - 1);
	c->cr4 = area_ld(c, k->cr4, k->size) & CR4_KNOWN;
	c->efer = k->efer ? area_ld(c, k->efer, 8) & EFER_KNOWN : 0;
	if (c->efer & EFER_LME && c->cr0 & CR0_PG)
		c->efer |= EFER_LMA;
	put_eflags(c, (uint32_t)area_ld(c, k->eflags, 4));
}

void smm_rsm(struct cpu *c)
{
	bool is64 = is_64bit(c), halted, ok;
	uint32_t smbase;

	if (!c->in_smm)
		cpu_raise(c, EXC_UD);
	if (is64)
		load_slots(c, slots64, ARRAY_LEN(slots64));
	else
		load_slots(c, slots32, ARRAY_LEN(slots32));
	c->dr[6] = cpu_dr_value(6, c->dr[6]);
	c->dr[7] = cpu_dr_value(7, c->dr[7]);
	load_segs(c, is64 ? segs64 : segs32, is64);
	load_control(c, is64 ? &control64 : &control32);
	halted = area_ld(c, is64 ? HALT_64 : HALT_32, 1) & 1;
	smbase = (uint32_t)area_ld(c, is64 ? SMBASE_64 : SMBASE_32, 4);
	c->nmi_blocked = c->smm_nmi_blocked;
	c->smbase = smbase;
	ok = control_ok(c);
	set_smm(c, false);
	svm_smm(c, false);
	if (ok && (c->cr0 & CR0_PG) && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA))
		ok = mmu_load_pdptes(c);
	mmu_update_watch(c);
	mmu_flush(c, false);
	cpu_update_mode(c);
	c->halted = halted;
	if (!ok)
		cpu_shut_down(c);
}
