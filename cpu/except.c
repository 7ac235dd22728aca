/*
 * Exceptions and interrupts: classification into double and triple
 * faults, software interrupts, requests between instructions. How a handler is
 * entered is in cpu/except_gate.c, IRET in cpu/except_iret.c.
 *
 * Not modelled: protected-mode virtual interrupts for hardware interrupts,
 * RF in the image of an interrupt between the iterations of a string
 * instruction while no breakpoint is armed.
 * Source: SDM vol. 3A chapter 6 (tables 6-1, 6-5), 17.3, 20.2, 20.3; vol. 2 INT n.
 */
#include "cpu/except.h"

#include "base/log.h"
#include "cpu/desc.h"
#include "cpu/lbr.h"
#include "cpu/pmu.h"
#include "cpu/seg.h"
#include "cpu/start.h"
#include "cpu/svm.h"

#define DR6_BS	0x4000u
#define DR7_GD	0x2000u

/* ---- classification (SDM vol. 3A, tables 6-4 and 6-5) ---- */

enum exc_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE };

static enum exc_class exc_class(int vector)
{
	switch (vector) {
	case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP:
		return CONTRIBUTORY;
	case EXC_PF:
		return PAGE_FAULT;
	case EXC_DF:
		return DOUBLE;
	default:
		return BENIGN;
	}
}

/* The vector that results if `second` comes up while `first` is being delivered; -1: shutdown. */
static int exc_combine(int first, int second)
{
	enum exc_class a = exc_class(first), b = exc_class(second);

	if (b == BENIGN || a == BENIGN)
		return second;
	if (a == DOUBLE)
		return -1;
	if (a == CONTRIBUTORY && b == PAGE_FAULT)
		return second;
	return EXC_DF;
}

/* Faults push an image with RF set: the handler's IRET then restarts past an instruction breakpoint. */
static bool exc_is_fault(int vector)
{
	return vector != EXC_DB && vector != EXC_BP && vector != EXC_OF && vector != EXC_DF && vector != EXC_MC;
}

/* ---- logging ---- */

static uint64_t log_event(uint64_t pc, uint64_t vector, uint64_t error, uint64_t kind)
{
	static const char *const kinds[] = { "exception", "interrupt", "software", "nmi", "software" };
	const struct cpu *c = (const struct cpu *)(uintptr_t)pc;

	log_to(LOG_INT, "%s %02x error %04x cr2 %llx at %04x:%llx sp %04x:%llx flags %08x cpl %d\n",
	       kinds[kind], (unsigned)vector, (unsigned)error, (unsigned long long)c->cr2, c->segs[CS].sel,
	       (unsigned long long)c->rip, c->segs[SS].sel, (unsigned long long)c->regs[RSP],
	       cpu_get_eflags(c), cpu_cpl(c));
	return 0;
}

static uint64_t log_shutdown(uint64_t pc, uint64_t vector, uint64_t b, uint64_t x)
{
	const struct cpu *c = (const struct cpu *)(uintptr_t)pc;

	(void)b;
	(void)x;
	log_guest("triple fault: exception %02x while a double fault is delivered, at %04x:%llx, idt %llx+%x, cr3 %llx\n",
		  (unsigned)vector, c->segs[CS].sel, (unsigned long long)c->rip,
		  (unsigned long long)c->idtr.base, c->idtr.limit, (unsigned long long)c->cr3);
	return 0;
}

/* ---- delivery ---- */

/* For EXITINTINFO, should the delivery end in a #VMEXIT. */
static void note_event(struct cpu *c, const struct event *e, enum event_kind kind)
{
	static const uint8_t types[] = {
		[EVENT_EXCEPTION] = SVM_EVENT_EXCEPTION, [EVENT_INTERRUPT] = SVM_EVENT_INTR,
		[EVENT_NMI] = SVM_EVENT_NMI, [EVENT_SOFT_INT] = SVM_EVENT_SOFT,
		[EVENT_SOFT_TRAP] = SVM_EVENT_EXCEPTION,
	};
	bool one_byte = kind == EVENT_SOFT_INT && e->vector == EXC_BP && e->ret - c->rip == 1;

	svm_note_event(c, e->vector, one_byte ? SVM_EVENT_EXCEPTION : types[kind], e->has_error, e->error);
}

static void deliver(struct cpu *c, struct event *e, enum event_kind kind)
{
	uint64_t from = c->rip;

	if (log_on(LOG_INT))
		cpu_heavy(c, log_event, (uintptr_t)c, (unsigned)e->vector, e->error, kind);
	if (c->mode & MODE_SVM)
		note_event(c, e, kind);
	c->exc_delivering = kind == EVENT_EXCEPTION ? e->vector : -1;
	if (!e->soft)
		c->dbg.alone = true;		/* nothing to begin again */
	if (in_long(c))
		deliver_long(c, e);
	else if (c->mode & MODE_PE)
		deliver_legacy(c, e);
	else
		deliver_real(c, e, (uint16_t)e->flags);
	c->exc_delivering = -1;
	c->svm.event = 0;
	c->halted = false;
	c->shadow = c->shadow_db = false;
	if (c->lbr.control)
		lbr_event(c, from, kind == EVENT_EXCEPTION && e->vector == EXC_DB);
}

void cpu_deliver(struct cpu *c, int vector, enum event_kind kind, bool has_error, uint32_t error)
{
	cpu_deliver_at(c, vector, kind, has_error, error, c->rip);
}

void cpu_deliver_at(struct cpu *c, int vector, enum event_kind kind, bool has_error, uint32_t error,
		    uint64_t ret)
{
	struct event e = {
		.vector = vector, .has_error = has_error, .error = error, .ret = ret,
		.flags = cpu_get_eflags(c),
		.soft = kind == EVENT_SOFT_INT || kind == EVENT_SOFT_TRAP,
	};

	e.ext = !e.soft;
	if (kind == EVENT_EXCEPTION) {
		if (exc_is_fault(vector))
			e.flags |= FL_RF;
		if (vector == EXC_DB)
			c->dr[7] &= ~(uint64_t)DR7_GD;
	} else if (kind == EVENT_NMI) {
		c->nmi_blocked = true;
	}
	deliver(c, &e, kind);
}

static uint64_t board_shutdown(uint64_t pc, uint64_t a, uint64_t b, uint64_t x)
{
	struct cpu *c = (struct cpu *)(uintptr_t)pc;

	(void)a;
	(void)b;
	(void)x;
	if (c->board.shutdown)
		c->board.shutdown(c->board.opaque, c);
	return 0;
}

void cpu_shut_down(struct cpu *c)
{
	c->exc_delivering = -1;
	c->halted = true;
	c->eflags &= ~FL_IF;
	cpu_heavy(c, board_shutdown, (uintptr_t)c, 0, 0, 0);
}

static void triple_fault(struct cpu *c, int vector)
{
	if (svm_intercepts(c, SVM_SHUTDOWN)) {
		svm_vmexit(c, SVM_SHUTDOWN, 0, 0, 0);
		return;
	}
	cpu_heavy(c, log_shutdown, (uintptr_t)c, (unsigned)vector, 0, 0);
	cpu_shut_down(c);
}

void cpu_deliver_pending(struct cpu *c)
{
	int vector = c->exc_vector, first = c->exc_delivering;

	if (vector < 0)
		return;
	c->exc_vector = -1;
	if (vector >= EXC_VMEXIT) {
		svm_pending(c, vector);
		return;
	}
	if (c->mode & MODE_SVM && svm_exception(c, vector, c->exc_has_error, c->exc_error))
		return;
	if (vector == EXC_PF)
		c->cr2 = c->exc_cr2;
	if (first >= 0) {
		int both = exc_combine(first, vector);

		if (both < 0) {
			triple_fault(c, vector);
			return;
		}
		if (both != vector) {
			c->exc_has_error = true;
			c->exc_error = 0;
			if (c->mode & MODE_SVM && svm_exception(c, both, true, 0))
				return;
		}
		vector = both;
	}
	cpu_deliver(c, vector, EVENT_EXCEPTION, c->exc_has_error, c->exc_error);
}

/*
 * With nothing in dr6_pending it was TF; with something, TF as it is now decides about
 * BS, and with BTF whether STEP_NOW is among it.
 */
void cpu_single_step_trap(struct cpu *c)
{
	uint32_t met = c->dr6_pending;

	if (c->shadow_db)
		return;
	c->dr6_pending = 0;
	if (met == NO_STEP)
		return;
	if (!met || (c->eflags & FL_TF && (met & STEP_NOW || !(c->lbr.control & DEBUGCTL_BTF))))
		c->dr[6] |= DR6_BS;
	c->dr[6] |= met & 15;
	c->exc_vector = EXC_DB;
	c->exc_has_error = false;
	c->exc_error = 0;
	cpu_deliver_pending(c);
}

/* ---- software interrupts ---- */

/*
 * INT n in virtual-8086 mode with CR4.VME: does the redirection bitmap, the 32
 * bytes below the I/O bitmap of the TSS, send it to the 8086 handler?
 */
static bool vme_redirects(struct cpu *c, int vector)
{
	const struct seg *tr = &c->segs[TR];
	uint32_t off;

	if (!(tr->attr & SEG_P) || SEG_TYPE(tr->attr) != SYS_TSS_BUSY || tr->limit < 0x67)
		cpu_raise_err(c, EXC_GP, 0);
	off = (uint32_t)sys_ld(c, (uint32_t)(tr->base + 0x66), 2);
	if (off < 32 || off - 32 + (uint32_t)vector / 8 > tr->limit)
		cpu_raise_err(c, EXC_GP, 0);
	return !(sys_ld(c, (uint32_t)(tr->base + off - 32 + (uint32_t)vector / 8), 1) >> (vector & 7) & 1);
}

/* SDM vol. 3B 20.3.3, methods 5 and 6: straight through the table at linear address 0. */
static void deliver_vme(struct cpu *c, struct event *e)
{
	uint64_t from = c->rip;
	uint32_t fl = e->flags;

	if (cpu_iopl(c) < 3) {
		fl = (fl & ~FL_IF) | FL_IOPL;
		if (fl & FL_VIF)
			fl |= FL_IF;
	}
	deliver_real(c, e, (uint16_t)fl);
	if (c->lbr.control)
		lbr_event(c, from, false);
}

void cpu_soft_int(struct cpu *c, int vector, int insn_len, enum event_kind kind)
{
	bool is64 = cpu_is64(c), is_int_n = kind == EVENT_SOFT_INT && insn_len > 1;
	uint64_t next = c->rip + (unsigned)insn_len;
	struct event e = {
		.vector = vector, .flags = cpu_get_eflags(c),
		.soft = kind != EVENT_EXCEPTION, .ext = kind == EVENT_EXCEPTION,
		.ret = is64 ? next : (uint32_t)next,
	};

	if (kind == EVENT_EXCEPTION && vector == EXC_DB) {	/* INT1 takes what MOV SS has kept back */
		c->dr[7] &= ~(uint64_t)DR7_GD;
		c->dr[6] |= c->dr6_pending & 15;
		c->dr6_pending = 0;
	}
	if (!is_int_n && svm_intercepts(c, SVM_EXCEPTION + (unsigned)vector))
		svm_exit(c, SVM_EXCEPTION + (unsigned)vector, 0, 0, e.ret);
	if (in_vm86(c) && is_int_n) {
		if (c->cr4 & CR4_VME && vme_redirects(c, vector)) {
			deliver_vme(c, &e);
			return;
		}
		if (cpu_iopl(c) < 3)
			cpu_raise_err(c, EXC_GP, 0);
	}
	deliver(c, &e, kind);
	if (e.flags & FL_TF && !(c->eflags & FL_TF))
		c->dr6_pending |= NO_STEP;
}

/* ---- requests ---- */

static uint64_t board_intack(uint64_t pc, uint64_t a, uint64_t b, uint64_t x)
{
	struct cpu *c = (struct cpu *)(uintptr_t)pc;

	(void)a;
	(void)b;
	(void)x;
	return (uint64_t)(int64_t)c->board.intack(c->board.opaque, c);
}

static int intack(struct cpu *c)
{
	return (int)(int64_t)cpu_call_out(c, board_intack, (uintptr_t)c, 0, 0, 0);
}

/*
 * The vector of a pending interrupt, or -1. REQ_INTR is dropped only when
 * nothing is pending, and then the board is asked once more: it may have raised
 * its line between the answer and the drop.
 */
static int take_intr(struct cpu *c)
{
	int vector = intack(c);

	if (vector >= 0)
		return vector;
	cpu_clear_request(c, REQ_INTR);
	vector = intack(c);
	if (vector >= 0)
		atomic_fetch_or(&c->request, REQ_INTR);
	return vector;
}

/*
 * One NMI less; false if there is none: its sender counts first and requests
 * then, so it may have been taken with one before. The request goes first, so
 * that one that arrives meanwhile raises it again.
 */
static bool take_nmi(struct cpu *c)
{
	cpu_clear_request(c, REQ_NMI);
	if (!atomic_load(&c->nmis))
		return false;
	if (atomic_fetch_sub(&c->nmis, 1) > 1)
		atomic_fetch_or(&c->request, REQ_NMI);
	return true;
}

static void start_up(struct cpu *c)
{
	c->wait_sipi = false;
	c->first = true;
	c->halted = false;
	c->rip = 0;
	seg_set(c, CS, (uint16_t)(c->sipi_vector << 8), (uint64_t)c->sipi_vector << 12, 0xffff, ATTR_DATA);
}

/* An event of a guest that its VMM intercepts stays pending: it is the host's. */
static bool exits(struct cpu *c, unsigned code)
{
	if (!svm_intercepts(c, code))
		return false;
	svm_vmexit(c, code, 0, 0, 0);
	return true;
}

/* VM_CR.R_INIT makes INIT a security exception (APM vol. 2, 15.28). */
static bool redirect_init(struct cpu *c)
{
	cpu_clear_request(c, REQ_INIT);
	c->exc_vector = EXC_SX;
	c->exc_has_error = true;
	c->exc_error = 1;
	cpu_deliver_pending(c);
	return true;
}

bool cpu_handle_requests(struct cpu *c)
{
	uint32_t r = atomic_load(&c->request);

	if (r & REQ_FLUSH) {
		cpu_clear_request(c, REQ_FLUSH);
		mmu_flush_all(c);
	}
	if (r & REQ_KICK) {
		cpu_clear_request(c, REQ_KICK);
		if (c->halted && !c->wait_sipi && atomic_exchange(&c->pv_kicked, false))
			return true;
	}
	if (r & REQ_PMU) {
		pmu_request(c);
		r = atomic_load(&c->request);
	}
	if (!c->gif && !c->wait_sipi)
		return false;
	if (c->dbg.step && !c->dbg.step_irq)
		return false;
	if (r & REQ_SMI && !c->in_smm && !c->wait_sipi) {
		if (exits(c, SVM_SMI))
			return true;
		cpu_clear_request(c, REQ_SMI);
		smm_enter(c);
		return true;
	}
	if (r & REQ_INIT && !c->in_smm) {
		if (exits(c, SVM_INIT))
			return true;
		if (c->svm.vm_cr & VM_CR_R_INIT && !c->wait_sipi)
			return redirect_init(c);
		cpu_clear_request(c, REQ_INIT);
		cpu_init_signal(c);
		return true;
	}
	if (r & REQ_SIPI) {
		cpu_clear_request(c, REQ_SIPI);
		if (c->wait_sipi) {
			start_up(c);
			return true;
		}
		cpu_end_start_ipi(c);
	}
	if (c->wait_sipi)
		return false;
	if (r & REQ_NMI && !c->nmi_blocked && !c->shadow) {
		if (exits(c, SVM_NMI))
			return true;
		if (take_nmi(c)) {
			cpu_deliver(c, EXC_NMI, EVENT_NMI, false, 0);
			return true;
		}
	}
	if (r & REQ_INTR && svm_intr_open(c) && !c->shadow) {
		if (exits(c, SVM_INTR))
			return true;
		int vector = take_intr(c);

		if (vector >= 0) {
			cpu_deliver(c, vector, EVENT_INTERRUPT, false, 0);
			return true;
		}
	}
	return r & REQ_VINTR && svm_take_vintr(c);
}

bool cpu_has_work(const struct cpu *c)
{
	uint32_t r = atomic_load(&c->request);

	if (c->wait_sipi)
		return r & (REQ_SIPI | REQ_INIT);
	if (!c->gif)
		return false;
	if (r & REQ_INIT && !c->in_smm)
		return true;
	if (r & REQ_SMI && !c->in_smm)
		return true;
	if (r & REQ_KICK)
		return true;
	if (r & REQ_NMI && !c->nmi_blocked)
		return true;
	return (r & REQ_INTR && svm_intr_open(c)) || (r & REQ_VINTR && c->eflags & FL_IF);
}
