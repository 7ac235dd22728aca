/*
 * A debugger writes what the processor draws conclusions from: segments and
 * control registers.
 *
 * What MOV or WRMSR would refuse is refused. A selector in protected mode brings
 * its descriptor along, without a check of privilege: a debugger sets one register
 * after the other.
 *
 * Not modelled: entering and leaving virtual-8086 mode, task switches.
 * Source: SDM vol. 3A 2.5, 3.4, 3.5; 9.8.5 (paging on under EFER.LME).
 */
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/gdbregs_priv.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/seg.h"
#include "cpu/system.h"
#include "cpu/xstate.h"

/* ---- segments ---- */

/* May the register hold it? */
static bool fits(const struct cpu *c, int seg, const struct desc *d)
{
	int type = desc_type(d);
	uint32_t both = SEG_L | SEG_DB;

	if (!desc_p(d) || desc_s(d) != (seg < LDTR))
		return false;
	switch (seg) {
	case LDTR:	return type == SYS_LDT;
	case TR:	return (type & ~(SYS_TSS ^ SYS_TSS16) & ~TYPE_BUSY) == SYS_TSS16;
	case CS:	return type & TYPE_CODE && !(c->efer & EFER_LMA && (desc_attr(d) & both) == both);
	case SS:	return attr_is_wdata(desc_attr(d));
	default:	return !(type & TYPE_CODE) || type & TYPE_R;
	}
}

/* A descriptor as the tables have it, and the upper half of its base; nobody is told. */
static bool find_descriptor(struct cpu *c, int seg, uint16_t sel, struct desc *d, uint64_t *base)
{
	bool ldt = sel & 4, wide = seg >= LDTR && c->efer & EFER_LMA;
	uint64_t table = ldt ? c->segs[LDTR].base : c->gdtr.base;
	uint32_t limit = ldt ? c->segs[LDTR].limit : c->gdtr.limit, word[4] = { 0 };

	if ((ldt && seg >= LDTR) || (sel | (wide ? 15u : 7u)) > limit)
		return false;
	for (unsigned i = 0; i < (wide ? 4 : 2); i++) {
		uint64_t pa;

		if (!mmu_probe(c, table + (sel & ~7u) + 4 * i, &pa))
			return false;
		word[i] = (uint32_t)phys_read(c->phys, pa, 4);
	}
	*d = (struct desc){ .lo = word[0], .hi = word[1] };
	*base = (uint64_t)word[2] << 32 | desc_base(d);
	return true;
}

static bool set_null(struct cpu *c, int seg, uint16_t sel)
{
	if (seg == CS || seg == TR || (seg == SS && (!cpu_is64(c) || cpu_cpl(c))))
		return false;
	seg_set(c, seg, sel, c->segs[seg].base, 0, 0);
	return true;
}

static bool set_protected(struct cpu *c, int seg, uint16_t sel)
{
	struct desc d;
	uint64_t base;
	uint32_t set = seg < LDTR ? TYPE_ACCESSED : seg == TR ? TYPE_BUSY : 0;

	if (sel_null(sel))
		return set_null(c, seg, sel);
	if (!find_descriptor(c, seg, sel, &d, &base) || !fits(c, seg, &d) || !mmu_canonical_reg(c, base))
		return false;
	seg_set(c, seg, sel, base, desc_limit(&d), (uint16_t)(desc_attr(&d) | set));
	return true;
}

bool gdb_set_segment(struct cpu *c, int seg, uint64_t v)
{
	const struct seg *s = &c->segs[seg];
	uint16_t sel = (uint16_t)v;

	if (v > 0xffff)
		return false;
	if (c->mode & MODE_PE && !(c->mode & MODE_VM && seg < LDTR))
		return set_protected(c, seg, sel);
	seg_set(c, seg, sel, seg < LDTR ? (uint64_t)sel << 4 : s->base, s->limit, s->attr);
	return true;
}

bool gdb_set_hidden(struct cpu *c, const struct cpu_reg *reg, uint64_t v)
{
	uint64_t most = reg->bytes == 2 ? 0xffff : UINT32_MAX;

	if (strstr(reg->name, "_attr"))
		most = 0xf0ff;
	if (v & ~most)
		return false;
	if (!strcmp(reg->name, "cs_attr") && c->efer & EFER_LMA && v & SEG_L && v & SEG_DB)
		return false;
	st_n((uint8_t *)c + reg->where, reg->bytes, v);
	return true;
}

/* ---- control registers ---- */

#define CR0_ALL	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

static bool set_cr0(struct cpu *c, uint64_t v)
{
	bool on = v & ~c->cr0 & CR0_PG, off = c->cr0 & ~v & CR0_PG, lme = c->efer & EFER_LME;

	if (v & ~CR0_ALL || (v & CR0_PG && !(v & CR0_PE)) || (v & CR0_NW && !(v & CR0_CD)))
		return false;
	if ((off && (cpu_is64(c) || c->cr4 & CR4_PCIDE)) || (c->eflags & FL_VM && !(v & CR0_PE)))
		return false;
	if (on && lme && (!(c->cr4 & CR4_PAE) || c->segs[CS].attr & SEG_L || c->eflags & FL_VM))
		return false;
	if (off)
		c->efer &= ~EFER_LMA;
	if (on && lme)
		c->efer |= EFER_LMA;
	c->cr0 = v | CR0_ET;
	return true;
}

static bool set_cr4(struct cpu *c, uint64_t v)
{
	uint64_t changed = v ^ c->cr4;
	bool lma = c->efer & EFER_LMA;

	if (v & ~cpu_cr4_allowed(c) || (lma && changed & (CR4_PAE | CR4_LA57)))
		return false;
	if (v & changed & CR4_PCIDE && (!lma || c->cr3 & 0xfff))
		return false;
	c->cr4 = v;
	return true;
}

static bool set_cr3(struct cpu *c, uint64_t v)
{
	if (c->efer & EFER_LMA && v >> c->phys_bits)
		return false;
	c->cr3 = v;
	return true;
}

static bool set_efer(struct cpu *c, uint64_t v)
{
	uint64_t changed = v ^ c->efer;

	if (v & ~msr_efer_allowed(c) || changed & EFER_LMA || (changed & EFER_LME && c->cr0 & CR0_PG))
		return false;
	c->efer = v;
	return true;
}

static bool set_xcr0(struct cpu *c, uint64_t v)
{
	if (!(v & 1) || v & ~xsave_features(c) || (v & 6) == 4)
		return false;
	c->xcr0 = v;
	return true;
}

static bool set_cr2(struct cpu *c, uint64_t v)
{
	c->cr2 = v;
	return true;
}

bool gdb_set_control(struct cpu *c, const struct cpu_reg *reg, uint64_t v)
{
	static const struct {
		const char *name;
		bool (*set)(struct cpu *c, uint64_t v);
	} rules[] = {
		{ "cr0", set_cr0 }, { "cr2", set_cr2 }, { "cr3", set_cr3 }, { "cr4", set_cr4 }, { "efer", set_efer },
		{ "xcr0", set_xcr0 },
	};
	uint64_t cr0 = c->cr0, cr3 = c->cr3, cr4 = c->cr4, efer = c->efer;
	bool ok = false;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (!strcmp(reg->name, rules[i].name))
			ok = rules[i].set(c, v);
	if (!ok || !(c->cr0 & CR0_PG) || !(c->cr4 & CR4_PAE) || c->efer & EFER_LMA || mmu_load_pdptes(c))
		return ok;
	c->cr0 = cr0;
	c->cr3 = cr3;
	c->cr4 = cr4;
	c->efer = efer;
	return false;
}
