/*
 * AMD SVM: the processor's part of running virtual machines inside the guest.
 * Light, like everything that may run with guest vector state live.
 *
 * While a guest of VMRUN runs, cpu->svm.guest and MODE_SVM are set and the registers
 * of struct cpu are the guest's; cpu->svm.host keeps what #VMEXIT restores. A #VMEXIT
 * from inside an instruction unwinds to the run loop like an exception
 * (EXC_VMEXIT in cpu->exc_vector), so an access that faults halfway needs no care.
 *
 * Source: AMD APM vol. 2, chapter 15, appendices B and C.
 */
#ifndef CPU_SVM_H
#define CPU_SVM_H

#include "cpu/cpu.h"

/* Exit codes; those of instructions in cpu/svm.def. */
enum {
	SVM_CR_READ = 0x00, SVM_CR_WRITE = 0x10, SVM_DR_READ = 0x20, SVM_DR_WRITE = 0x30,
	SVM_EXCEPTION = 0x40, SVM_INTR = 0x60, SVM_NMI = 0x61, SVM_SMI = 0x62, SVM_INIT = 0x63,
	SVM_VINTR = 0x64, SVM_CR0_SEL_WRITE = 0x65, SVM_IDTR_READ = 0x66, SVM_TR_READ = 0x69,
	SVM_RDTSC = 0x6e, SVM_RDPMC = 0x6f, SVM_RSM = 0x73, SVM_PAUSE = 0x77, SVM_INVLPG = 0x79,
	SVM_INVLPGA = 0x7a, SVM_IOIO = 0x7b, SVM_MSR = 0x7c, SVM_TASK_SWITCH = 0x7d,
	SVM_FERR_FREEZE = 0x7e, SVM_SHUTDOWN = 0x7f, SVM_VMRUN = 0x80, SVM_VMMCALL = 0x81,
	SVM_VMLOAD = 0x82, SVM_VMSAVE = 0x83, SVM_STGI = 0x84, SVM_CLGI = 0x85, SVM_SKINIT = 0x86,
	SVM_RDTSCP = 0x87, SVM_MWAIT = 0x8b, SVM_MWAIT_ARMED = 0x8c, SVM_EFER_TRAP = 0x8f,
	SVM_CR_TRAP = 0x90, SVM_INVPCID = 0xa2, SVM_NPF = 0x400,
};
#define SVM_INVALID	(~0ull)

/* int_ctl. */
#define V_TPR		0xffull
#define V_IRQ		BIT(8)
#define V_PRIO(v)	((v) >> 16 & 15)
#define V_IGN_TPR	BIT(20)
#define V_MASKING	BIT(24)
#define V_VECTOR(v)	((int)((v) >> 32 & 0xff))

/* MSR VM_CR. */
#define VM_CR_R_INIT	BIT(1)
#define VM_CR_LOCK	BIT(3)
#define VM_CR_SVMDIS	BIT(4)

static inline bool svm_intercepts(const struct cpu *c, unsigned code)
{
	return c->mode & MODE_SVM && c->svm.intercept[code >> 5] >> (code & 31) & 1;
}

/*
 * May an external interrupt reach the processor, be it as an exit? Not asked here:
 * the shadow of STI and MOV SS.
 */
static inline bool svm_intr_open(const struct cpu *c)
{
	bool host = c->svm.guest && c->svm.int_ctl & V_MASKING;

	return c->gif && (host ? c->svm.host.eflags : c->eflags) & FL_IF;
}

/* ---- svm.c ---- */

/* #VMEXIT now. For the run loop; c->rip is right. next: nRIP or 0. */
void svm_vmexit(struct cpu *c, uint64_t code, uint64_t info1, uint64_t info2, uint64_t next);
/* The same from inside an instruction. */
void svm_exit(struct cpu *c, uint64_t code, uint64_t info1, uint64_t info2, uint64_t next)
	__attribute__((noreturn));
/* What is behind EXC_VMEXIT and EXC_INJECT. */
void svm_pending(struct cpu *c, int vector);
/* VMRUN with a VMCB at pa; next: address behind the instruction. */
void svm_vmrun(struct cpu *c, uint64_t pa, uint64_t next);
void svm_vmload(struct cpu *c, uint64_t pa);
void svm_vmsave(struct cpu *c, uint64_t pa);
/* State was loaded from outside; derive what is not part of it. */
void svm_loaded(struct cpu *c);
/* Reset, INIT: no guest runs any more. The caller sets the registers. */
void svm_reset(struct cpu *c);
/* SMM entered or left: a guest pauses. */
void svm_smm(struct cpu *c, bool in);

/* ---- svm_event.c ---- */

/* An exception about to be delivered: true if it became a #VMEXIT. */
bool svm_exception(struct cpu *c, int vector, bool has_error, uint32_t error);
/* An event is being delivered; `type` as in EXITINTINFO. */
enum { SVM_EVENT_INTR = 0, SVM_EVENT_NMI = 2, SVM_EVENT_EXCEPTION = 3, SVM_EVENT_SOFT = 4 };
void svm_note_event(struct cpu *c, int vector, int type, bool has_error, uint32_t error);
/* Deliver what EVENTINJ asks for. */
void svm_inject(struct cpu *c);
/* V_IRQ, V_TPR, V_INTR_PRIO changed: make REQ_VINTR follow. */
void svm_update_vintr(struct cpu *c);
/* REQ_VINTR is set: take the virtual interrupt if that is possible. True if so. */
bool svm_take_vintr(struct cpu *c);
/* An x87 error reaches FERR#. True if it became a #VMEXIT. */
bool svm_ferr(struct cpu *c);

/* ---- svm_insn.c: instructions of guests, and those of SVM itself ---- */

/* imm of the next ones: exit code | instruction length << 16 | more << 24. */
#define SVM_LEN(imm)	((imm) >> 16 & 15)
/* a: EXITINFO1 for the exit; may raise what comes before an intercept. */
void svm_insn(struct cpu *c, uint64_t info1, uint64_t imm);
/* INVPCID of a type with a descriptor at va: EXITINFO2 and EXITINFO1. */
void svm_invpcid(struct cpu *c, uint64_t va, uint64_t type, uint64_t imm);
/* CR0 = v is about to be written, by an instruction like svm_insn(). */
void svm_cr0_write(struct cpu *c, uint64_t v, uint64_t info1, uint64_t imm);
/* RDMSR (more = 0) or WRMSR (1) of ECX. */
void svm_msr(struct cpu *c, uint64_t imm);
/*
 * IN, OUT, INS, OUTS on a port; more is EXITINFO1 without the port, shifted right by 0;
 * raises what the permission check of the port raises first.
 */
void svm_io(struct cpu *c, uint16_t port, uint64_t imm);
/* The instructions, by exit code: VMRUN to CLGI, SKINIT, INVLPGA. next: address behind it. */
void svm_instruction(struct cpu *c, unsigned code, int adsize, uint64_t next);

#endif
