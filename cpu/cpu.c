/*
 * A vCPU's life: creation, reset, INIT, requests and sleeping.
 *
 * The time-stamp counter is not set back by a reset: all vCPUs of a machine
 * share one offset, so that they agree however late one of them is reset.
 *
 * Source: SDM vol. 3A, table 9-1 (state after power-up, reset, INIT).
 */
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu/accel.h"
#include "cpu/alone.h"
#include "cpu/cpu.h"
#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/dump.h"
#include "cpu/except.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/pmu.h"
#include "cpu/seg.h"
#include "cpu/start.h"
#include "cpu/svm.h"
#include "cpu/tlb.h"
#include "cpu/tsc.h"

#define PAT_RESET	0x0007040600070406ull

/* ---- life ---- */

static void set_clock(struct cpu *c, const struct cpu_config *cfg)
{
	const struct cpu *first = phys_cpu(c->phys, 0);

	if (first) {
		c->tsc_khz = first->tsc_khz;
		c->tsc_scale = first->tsc_scale;
		c->tsc_offset = c->tsc_own_offset = first->tsc_own_offset - first->tsc_written;
		return;
	}
	if (c->tsc_khz)
		tsc_set_khz(c, c->tsc_khz);
	else
		c->tsc_khz = cfg->tsc_khz ? cfg->tsc_khz : tsc_host_khz();
	c->tsc_offset = c->tsc_own_offset = c->tsc_from_clock ? 0 : -tsc_now(c);
}

struct cpu *cpu_new(const struct cpu_config *cfg, struct err *e)
{
	struct cpu *c;

	if (posix_memalign((void **)&c, 4096, sizeof(*c))) {
		err_set(e, "no memory for a processor");
		return NULL;
	}
	memset(c, 0, offsetof(struct cpu, accel_mem));		/* which is the accelerator's to clear */
	memset(c->tlb, 0, sizeof(*c) - offsetof(struct cpu, tlb));
	c->index = cfg->index;
	c->apic_id = cfg->apic_id;
	c->is_bsp = cfg->index == 0;
	c->ncpus = cfg->ncpus ? cfg->ncpus : 1;
	c->threads = cfg->threads ? cfg->threads : 1;
	c->cores = cfg->cores ? cfg->cores : c->ncpus;
	c->phys = cfg->phys;
	c->board = cfg->board;
	c->tsc_from_clock = cfg->tsc_from_clock && cfg->board.now_ns;
	c->exc_vector = c->exc_delivering = -1;
	if (!cpuid_configure(c, cfg->model, cfg->x2apic, e) || !mmu_init(c, e)) {
		free(c);
		return NULL;
	}
	if (!c->board.msr_write)	/* no local APIC to take a deadline */
		c->feat[FEAT_1_ECX] &= ~(1u << (CPUID_DEADLINE & 31));
	set_clock(c, cfg);
	tsc_update_insn(c);
	phys_add_cpu(c->phys, c);
	cpu_reset(c);
	return c;
}

void cpu_free(struct cpu *c)
{
	if (!c)
		return;
	phys_del_cpu(c->phys, c);
	mmu_fini(c);
	debug_fini(c);
	free(c);
}

/* ---- reset ---- */

static void reset_segments(struct cpu *c)
{
	static const uint8_t data[] = { ES, SS, DS, FS, GS };

	seg_set(c, CS, 0xf000, 0xffff0000u, 0xffff, SEG_P | SEG_S | 0xb);
	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		seg_set(c, data[i], 0, 0, 0xffff, SEG_P | SEG_S | 0x3);
	seg_set(c, LDTR, 0, 0, 0xffff, SEG_P | 0x2);
	seg_set(c, TR, 0, 0, 0xffff, SEG_P | 0xb);
	c->gdtr = c->idtr = (struct dtr){ 0, 0xffff };
}

/* What both RESET# and INIT# set. */
static void reset_common(struct cpu *c)
{
	svm_reset(c);
	memset(c->regs, 0, sizeof(c->regs));
	c->regs[RDX] = cpuid_signature(c);
	c->rip = 0xfff0;
	c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0u;
	c->dr[7] = 0x400;
	c->lbr.control = 0;
	c->exc_vector = c->exc_delivering = -1;
	c->dr6_pending = 0;
	atomic_store(&c->pv_kicked, false);
	c->shadow = c->shadow_db = c->nmi_blocked = c->in_smm = c->first = false;
	c->halted = c->wait_sipi = !c->is_bsp;
	c->eflags = 2;
	c->cc = cc_from_eflags(0);
	reset_segments(c);
	mmu_update_watch(c);
	mmu_flush(c, false);
	cpu_update_mode(c);
}

/* x87 and SSE as RESET# leaves them: all registers zero and valid. */
static void reset_fpu(struct cpu *c)
{
	memset(c->xsave, 0, sizeof(c->xsave));
	st16(c->xsave, 0x40);		/* control word */
	c->xsave[4] = 0xff;		/* abridged tags */
	st32(c->xsave + 24, 0x1f80);	/* MXCSR */
	st64(c->xsave + 512, 3);	/* XSTATE_BV */
	c->xcr0 = 1;
}

static void reset_msrs(struct cpu *c)
{
	c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
	c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
	c->tsc_aux = c->spec_ctrl = c->tsc_adjust = c->feature_control = 0;
	c->pkru = 0;
	c->pkrs = 0;
	c->pat = PAT_RESET;
	c->misc_enable = 0x1801 | (pmu_is_architectural(c) ? 0x80 : 0);	/* fast strings, counters; no BTS, no PEBS */
	c->smbase = 0x30000;
	c->mtrr_def = 0;
	memset(c->mtrr_fixed, 0, sizeof(c->mtrr_fixed));
	memset(c->mtrr_var, 0, sizeof(c->mtrr_var));
	c->mcg_status = 0;
	c->mcg_ctl = 0;
	memset(c->mc_bank, 0, sizeof(c->mc_bank));
	c->pv_clock = c->pv_wall = 0;
	c->pv_poll = 1;			/* the host may poll before it sleeps */
	c->bndcfgs = c->xss = 0;
	c->hwcr = BIT(24);		/* TSC counts at the P0 frequency */
	c->syscfg = c->nb_cfg = c->de_cfg = 0;
	c->svm.hsave = c->svm.vm_cr = 0;
	memset(&c->lbr, 0, sizeof(c->lbr));
	pmu_reset(c);
	memset(c->pdpte, 0, sizeof(c->pdpte));
}

/* What the registers were when the reset came. */
static void log_reset(const struct cpu *c)
{
	char text[4096];
	FILE *f;

	if (!log_on(LOG_CPU_RESET) || !(f = fmemopen(text, sizeof(text), "w")))
		return;
	cpu_dump(c, f, false);
	fclose(f);
	log_to(LOG_CPU_RESET, "reset of CPU %d, was:\n%s", c->index, text);
}

void cpu_reset(struct cpu *c)
{
	log_reset(c);
	c->cr0 = CR0_CD | CR0_NW | CR0_ET;
	reset_fpu(c);
	reset_msrs(c);
	reset_common(c);
	atomic_store(&c->nmis, 0);
	cpu_end_start_ipi(c);
	cpu_clear_request(c, REQ_NMI | REQ_SMI | REQ_INIT | REQ_SIPI | REQ_STARTED | REQ_KICK);
}

/* Requests stay: a start-up IPI may have followed before this vCPU came here. */
void cpu_init_signal(struct cpu *c)
{
	c->cr0 = (c->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	reset_common(c);
}

/* ---- requests ---- */

static void futex(_Atomic uint32_t *word, int op, uint32_t v)
{
	syscall(SYS_futex, word, op, v, NULL, NULL, 0);
}

void cpu_request(struct cpu *c, uint32_t bits)
{
	atomic_fetch_or(&c->request, bits);
	if (atomic_load(&c->sleeping))
		futex(&c->request, FUTEX_WAKE_PRIVATE, 1);
	else if (c->ops && c->ops->kick)
		c->ops->kick(c);
}

void cpu_nmi(struct cpu *c)
{
	bool blocked;
	uint8_t n;

	do {
		do {				/* the two at one time, or a second one could seem to be a third */
			blocked = __atomic_load_n(&c->nmi_blocked, __ATOMIC_ACQUIRE);
			n = atomic_load(&c->nmis);
		} while (blocked != __atomic_load_n(&c->nmi_blocked, __ATOMIC_ACQUIRE));
	} while (n < (blocked ? 1 : 2) && !atomic_compare_exchange_weak(&c->nmis, &n, (uint8_t)(n + 1)));
	cpu_request(c, REQ_NMI);
}

uint64_t cpu_ran_ns(const struct cpu *c)
{
	struct timespec t;

	if (!c->thread_clock || clock_gettime(c->thread_clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void tell_halted(struct cpu *c, bool on)
{
	if (c->board.halted)
		c->board.halted(c->board.opaque, c, on);
}

void cpu_wait(struct cpu *c)
{
	bool inside = atomic_load(&c->inside);

	cpu_outside(c);
	tell_halted(c, true);
	pmu_sleep(c);
	atomic_store(&c->sleeping, true);
	for (;;) {
		uint32_t seen = atomic_load(&c->request);
		if (seen & (REQ_EXIT | REQ_FLUSH | REQ_RESET | REQ_CALL | REQ_PMU) || cpu_has_work(c))
			break;
		futex(&c->request, FUTEX_WAIT_PRIVATE, seen);
	}
	atomic_store(&c->sleeping, false);
	pmu_wake(c);
	tell_halted(c, false);
	if (inside)
		cpu_inside(c);
}
