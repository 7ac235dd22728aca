/*
 * RDMSR and WRMSR over the rows of cpu/msr.def. An MSR that is no row, or whose
 * feature this model lacks, is #GP.
 */
#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/lbr.h"
#include "cpu/mce.h"
#include "cpu/mmu.h"
#include "cpu/pmu.h"
#include "cpu/pv.h"
#include "cpu/svm.h"
#include "cpu/system.h"
#include "cpu/tsc.h"

/* The needs column, besides feature numbers. */
enum { ALWAYS = -1, AMD = -2, INTEL = -3, SPECULATION = -4, BARRIER = -5, TSC_AUX = -6, EXTENDED = -7, AMD_CORE = -8, ARCH_PERFMON = -9 };
enum { GP, DROP };

#define NONE	UINT32_MAX
#define ALL	(~0ull)
#define F(field) offsetof(struct cpu, field)

#define EFER_FFXSR	BIT(14)
#define EFER_AIBRSE	BIT(21)
#define HWCR_MCSTATUS	BIT(18)		/* machine-check status may be written */

struct msr_row {
	uint32_t first, count;
	const char *name;
	uint32_t where;
	uint64_t writable;
	int16_t needs;
	uint8_t other;
	bool (*read)(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v);
	bool (*write)(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v);
};

static uint64_t *stored(struct cpu *c, const struct msr_row *r, uint32_t msr)
{
	return r->where == NONE ? NULL : (uint64_t *)((char *)c + r->where) + (msr - r->first);
}

#define PLAIN NULL

static bool put(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	*stored(c, r, msr) = v;
	return true;
}

/* ---- reads ---- */

static bool rd_none(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)c, (void)r, (void)msr, (void)v;
	return false;
}

static bool rd_tsc(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r, (void)msr;
	*v = tsc_now(c);
	return true;
}

static uint64_t heavy_board_read(uint64_t cpu, uint64_t msr, uint64_t v, uint64_t unused)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)unused;
	return c->board.msr_read(c->board.opaque, c, (uint32_t)msr, (uint64_t *)v);
}

static bool rd_board(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r;
	if (c->board.msr_read)
		return cpu_call_out(c, heavy_board_read, (uint64_t)c, msr, (uint64_t)v, 0);
	*v = msr == 0x1b ? 0xfee00800 | (c->is_bsp ? 0x100 : 0) : 0;
	return true;
}

static bool rd_ucode(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r, (void)msr;
	*v = cpuid_is_intel(c) ? 1ull << 32 : 0x01000065;
	return true;
}

/* Eight variable ranges, fixed ranges, write-combining. */
static bool rd_mtrrcap(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)c, (void)r, (void)msr;
	*v = 0x508;
	return true;
}

static bool rd_arch_cap(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r, (void)msr;
	*v = c->feat[FEAT_ARCH_CAP] | (uint64_t)c->feat[FEAT_ARCH_CAP_HI] << 32;
	return true;
}

/* Ten banks and MCG_CTL. */
static bool rd_mcg_cap(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)c, (void)r, (void)msr;
	*v = MCE_BANKS | 0x100;
	return true;
}

static bool rd_perf_status(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r, (void)msr;
	*v = 1000 | (c->tsc_khz / 100000 & 0x1f) << 40;
	return true;
}

static bool rd_pmu(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t *v)
{
	(void)r;
	return pmu_msr_read(c, msr, v);
}

/* ---- writes ---- */

static bool wr_pmu(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	(void)r;
	return pmu_msr_write(c, msr, v);
}

static void move_tsc(struct cpu *c, uint64_t step)
{
	c->tsc_own_offset += step;
	c->tsc_offset += step;
	c->tsc_written += step;
	pv_write_clock(c);
}

static bool wr_pv_clock(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	put(c, r, msr, v);
	pv_write_clock(c);
	return true;
}

static bool wr_pv_wall(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	put(c, r, msr, v);
	pv_write_wall(c, v);
	return true;
}

static bool wr_tsc(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	uint64_t step = v - tsc_own(c);

	(void)r, (void)msr;
	c->tsc_adjust += step;
	move_tsc(c, step);
	return true;
}

static bool wr_tsc_adjust(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	(void)r, (void)msr;
	move_tsc(c, v - c->tsc_adjust);
	c->tsc_adjust = v;
	return true;
}

static uint64_t heavy_board_write(uint64_t cpu, uint64_t msr, uint64_t v, uint64_t unused)
{
	struct cpu *c = (struct cpu *)cpu;
	(void)unused;
	return c->board.msr_write(c->board.opaque, c, (uint32_t)msr, v);
}

static bool wr_board(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	(void)r;
	return !c->board.msr_write || cpu_call_out(c, heavy_board_write, (uint64_t)c, msr, v, 0);
}

/* Bit 0 locks it until reset. */
static bool wr_feature_control(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	return !(c->feature_control & 1) && put(c, r, msr, v);
}

static bool wr_canonical(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	return (!cpu_has(c, CPUID_LM) || mmu_canonical_reg(c, v)) && put(c, r, msr, v);
}

static bool wr_all_or_none(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	return (!v || !~v) && put(c, r, msr, v);
}

static bool wr_pkrs(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	put(c, r, msr, v);
	mmu_keys_changed(c);
	return true;
}

/* UC, WC, WT, WP, WB. */
static bool memory_type(uint64_t t)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6);
}

static bool wr_pat(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	for (int i = 0; i < 64; i += 8)
		if (!memory_type(v >> i & 0xff) && (v >> i & 0xff) != 7)
			return false;
	return put(c, r, msr, v);
}

static bool wr_mtrr_fixed(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	for (int i = 0; i < 64; i += 8)
		if (!memory_type(v >> i & 0xff))
			return false;
	return put(c, r, msr, v);
}

/* Even: base and type. Odd: mask and valid bit. */
static bool wr_mtrr_var(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	uint64_t address = ((1ull << c->phys_bits) - 1) & ~0xfffull;
	bool ok = msr & 1 ? !(v & ~(address | 0x800)) : !(v & ~(address | 0xff)) && memory_type(v & 0xff);

	return ok && put(c, r, msr, v);
}

static bool wr_mtrr_def(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	return memory_type(v & 0xff) && put(c, r, msr, v);
}

/* Banks of CTL (Intel: all or nothing), STATUS (zero unless AMD's test bit is set), ADDR and MISC. */
static bool wr_mc(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	bool intel = cpuid_is_intel(c), test = !intel && c->hwcr & HWCR_MCSTATUS;

	if ((msr & 3) == 0)
		return (!intel || !v || !~v) && put(c, r, msr, v);
	return (!v || test || msr & 2) && put(c, r, msr, v);
}

uint64_t msr_efer_allowed(const struct cpu *c)
{
	return (cpu_has(c, CPUID_SYSCALL) ? EFER_SCE : 0) | (cpu_has(c, CPUID_NX) ? EFER_NXE : 0) |
		       (cpu_has(c, CPUID_LM) ? EFER_LME | EFER_LMA : 0) |
		       (cpu_has(c, CPUID_FXSR_OPT) ? EFER_FFXSR : 0) |
		       (cpu_has(c, CPUID_AUTO_IBRS) ? EFER_AIBRSE : 0) |
		       (cpu_has(c, CPUID_SVM) && !(c->svm.vm_cr & VM_CR_SVMDIS) ? EFER_SVME : 0);
}

static bool wr_efer(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	uint64_t old = c->efer;

	if (v & ~msr_efer_allowed(c) || ((v ^ old) & EFER_LME && c->cr0 & CR0_PG))
		return false;
	put(c, r, msr, (v & ~EFER_LMA) | (old & EFER_LMA));
	if ((old ^ c->efer) & (EFER_NXE | EFER_SVME))
		mmu_flush(c, false);
	return true;
}

/* Once locked, LOCK and SVMDIS stay as they are. */
static bool wr_vm_cr(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	uint64_t fixed = c->svm.vm_cr & VM_CR_LOCK ? VM_CR_LOCK | VM_CR_SVMDIS : 0;

	if (v & ~c->svm.vm_cr & VM_CR_SVMDIS & ~fixed && c->efer & EFER_SVME)
		return false;
	return put(c, r, msr, (v & ~fixed) | (c->svm.vm_cr & fixed));
}

static bool wr_debugctl(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	(void)r, (void)msr;
	lbr_set_control(c, v);
	return true;
}

static bool wr_vm_hsave(struct cpu *c, const struct msr_row *r, uint32_t msr, uint64_t v)
{
	return !(v & 0xfff) && !(v >> c->phys_bits) && put(c, r, msr, v);
}

/* ---- the table ---- */

static const struct msr_row rows[] = {
#define MSR(first, count, name, where, writable, other, needs, read, write) \
	{ first, count, name, where, writable, needs, other, read, write },
#include "cpu/msr.def"
#undef MSR
};

static bool gate_open(const struct cpu *c, int needs)
{
	switch (needs) {
	case ALWAYS:
		return true;
	case AMD:
		return !cpuid_is_intel(c);
	case INTEL:
		return cpuid_is_intel(c);
	case AMD_CORE:
		return !cpuid_is_intel(c) && cpu_has(c, CPUID_PERFCTR_CORE);
	case ARCH_PERFMON:
		return pmu_is_architectural(c);
	case SPECULATION:
		return cpu_has(c, CPUID_SPEC_CTRL) || cpu_has(c, CPUID_IBRS) || cpu_has(c, CPUID_AMD_STIBP) ||
		       cpu_has(c, CPUID_AMD_SSBD);
	case BARRIER:
		return cpu_has(c, CPUID_SPEC_CTRL) || cpu_has(c, CPUID_IBPB) || cpu_has(c, CPUID_SBPB);
	case TSC_AUX:
		return cpu_has(c, CPUID_RDTSCP) || cpu_has(c, CPUID_RDPID);
	case EXTENDED:
		return cpu_has(c, CPUID_LM) || cpu_has(c, CPUID_NX) || cpu_has(c, CPUID_SYSCALL);
	default:
		return cpu_has(c, needs);
	}
}

static const struct msr_row *find(const struct cpu *c, uint32_t msr)
{
	unsigned lo = 0, hi = ARRAY_LEN(rows);

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (msr - rows[mid].first < rows[mid].count)
			return gate_open(c, rows[mid].needs) ? &rows[mid] : NULL;
		if (msr < rows[mid].first)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

bool msr_get(struct cpu *c, uint32_t msr, uint64_t *v)
{
	const struct msr_row *r = find(c, msr);

	if (!r)
		return false;
	if (r->read)
		return r->read(c, r, msr, v);
	const uint64_t *p = stored(c, r, msr);
	*v = p ? *p : 0;
	return true;
}

bool msr_set(struct cpu *c, uint32_t msr, uint64_t v)
{
	const struct msr_row *r = find(c, msr);

	if (!r || (r->other == GP && v & ~r->writable))
		return false;
	if (r->write)
		return r->write(c, r, msr, v);
	uint64_t *p = stored(c, r, msr);
	if (p)
		*p = (*p & ~r->writable) | (v & r->writable);
	return true;
}

static uint64_t heavy_log(uint64_t msr, uint64_t write, uint64_t v, uint64_t rip)
{
	if (write)
		log_guest("wrmsr %#llx = %#llx refused at %#llx", (unsigned long long)msr,
			  (unsigned long long)v, (unsigned long long)rip);
	else
		log_guest("rdmsr %#llx refused at %#llx", (unsigned long long)msr, (unsigned long long)rip);
	return 0;
}

static void __attribute__((noreturn)) refuse(struct cpu *c, uint32_t msr, bool write, uint64_t v)
{
	if (log_on(LOG_GUEST_ERRORS))
		cpu_heavy(c, heavy_log, msr, write, v, c->rip);
	cpu_raise_err(c, EXC_GP, 0);
}

uint64_t cpu_rdmsr(struct cpu *c, uint32_t msr)
{
	uint64_t v;

	if (cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, 0);
	if (!msr_get(c, msr, &v))
		refuse(c, msr, false, 0);
	return v;
}

void cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t v)
{
	bool counts;

	if (cpu_cpl(c))
		cpu_raise_err(c, EXC_GP, 0);
	counts = c->mode & MODE_COUNT;
	if (!msr_set(c, msr, v))
		refuse(c, msr, true, v);
	if (!counts && c->mode & MODE_COUNT)	/* the write that enables a counter is the first it counts */
		c->pmu.left[cpu_cpl(c) != 0]--;
}
