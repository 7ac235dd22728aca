/*
 * SVM with nested paging, seen by a small VMM: the host runs one VMRUN and ends; what
 * the VMCB says then is looked at. The guest shares the host's tables.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/mmu.h"
#include "cpu/regs.h"
#include "cpu/svm.h"
#include "cpu/system.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum {
	VMCB = 0x70000, IOPM = 0x72000, MSRPM = 0x76000, NPT = 0x78000, NPT_PT = NPT + 0x3000,
	GUEST_CODE = M_CODE + 0x1000, GUEST_DATA = M_DATA, MSR_EFER = 0xc0000080u,
};
/* Offsets in the VMCB. */
enum {
	CONTROLS = 0x000, TLB_CONTROL = 0x05c, ASID = 0x058, INT_CTL = 0x060, INT_STATE = 0x068, EXIT_CODE = 0x070,
	INFO1 = 0x078, INFO2 = 0x080, INT_INFO = 0x088, NP_ENABLE = 0x090, EVENTINJ = 0x0a8, N_CR3 = 0x0b0,
	NEXT_RIP = 0x0c8, N_BYTES = 0x0d0, SEGS = 0x400, EFER = 0x4d0, CR4 = 0x548, CR3 = 0x550, CR0 = 0x558,
	DR7 = 0x560, DR6 = 0x568, RFLAGS = 0x570, RIP = 0x578, RSP_ = 0x5d8, RAX_ = 0x5f8, G_PAT = 0x668,
	VIRT_EXT = 0x0b8, DBGCTL = 0x670, BR_FROM = 0x678, BR_TO = 0x680,
};
#define EV_VALID 0x80000000u

#define VMRUN_TEXT	".byte 0x0f, 0x01, 0xd8"
#define VMMCALL_TEXT	".byte 0x0f, 0x01, 0xd9"
#define STGI_TEXT	".byte 0x0f, 0x01, 0xdc"
#define CLGI_TEXT	".byte 0x0f, 0x01, 0xdd"
GUEST(host, "mov eax, 0x70000; " VMRUN_TEXT "; out 0xf4, al")
GUEST(host_stgi, "mov eax, 0x70000; " VMRUN_TEXT "; " STGI_TEXT "; nop; out 0xf4, al")
GUEST(vmmcall, VMMCALL_TEXT)

static uint64_t vm_ld(const struct machine *m, unsigned off, int n)
{
	return ld_n(machine_mem(m, VMCB + off), n);
}

static void vm_st(struct machine *m, unsigned off, int n, uint64_t v)
{
	st_n(machine_mem(m, VMCB + off), n, v);
}

static void intercept(struct machine *m, unsigned code)
{
	vm_st(m, code / 32 * 4, 4, vm_ld(m, code / 32 * 4, 4) | 1u << code % 32);
}

static void save_seg(struct machine *m, unsigned n, const struct seg *s)
{
	vm_st(m, SEGS + 16 * n, 2, s->sel);
	vm_st(m, SEGS + 16 * n + 2, 2, (s->attr & 0xff) | (s->attr >> 4 & 0xf00));
	vm_st(m, SEGS + 16 * n + 4, 4, s->limit);
	vm_st(m, SEGS + 16 * n + 8, 8, s->base);
}

/* A guest like the host, at GUEST_CODE; VMRUN and VMMCALL exit. */
static void prepare(struct machine *m)
{
	struct cpu *c = m->c;

	cr_assert(msr_set(c, MSR_EFER, c->efer | EFER_SVME));
	memset(machine_mem(m, VMCB), 0, 4096);
	memset(machine_mem(m, IOPM), 0, 0x6000);
	for (unsigned s = ES; s <= GS; s++)
		save_seg(m, s, &c->segs[s]);
	vm_st(m, 0x464, 4, c->gdtr.limit);
	vm_st(m, 0x468, 8, c->gdtr.base);
	vm_st(m, 0x484, 4, c->idtr.limit);
	vm_st(m, 0x488, 8, c->idtr.base);
	vm_st(m, EFER, 8, c->efer);
	vm_st(m, CR0, 8, c->cr0);
	vm_st(m, CR3, 8, c->cr3);
	vm_st(m, CR4, 8, c->cr4);
	vm_st(m, DR6, 8, 0xffff0ff0);
	vm_st(m, DR7, 8, 0x400);
	vm_st(m, RFLAGS, 8, 2);
	vm_st(m, RIP, 8, GUEST_CODE);
	vm_st(m, RSP_, 8, M_DATA + 0xff0);
	vm_st(m, G_PAT, 8, 0x0007040600070406ull);
	vm_st(m, ASID, 4, 1);
	vm_st(m, 0x040, 8, IOPM);
	vm_st(m, 0x048, 8, MSRPM);
	vm_st(m, N_CR3, 8, NPT);
	intercept(m, SVM_VMRUN);
	intercept(m, SVM_VMMCALL);
	GUEST_PUT(m, M_CODE, host);
}

/* Nested tables that map the first 2 MiB as they are. */
static void prepare_npt(struct machine *m)
{
	prepare(m);
	vm_st(m, NP_ENABLE, 8, 1);
	st64(machine_mem(m, NPT), (NPT + 0x1000) | 7);
	st64(machine_mem(m, NPT + 0x1000), (NPT + 0x2000) | 7);
	st64(machine_mem(m, NPT + 0x2000), NPT_PT | 7);
	for (unsigned i = 0; i < 512; i++)
		st64(machine_mem(m, NPT_PT + 8 * i), i * 4096u | 7);
}

static uint64_t run(struct machine *m)
{
	cr_assert_eq(machine_run(m, M_CODE), -1, "vector %d", machine_vector(m));
	return vm_ld(m, EXIT_CODE, 8);
}

/* ---- intercepts of instructions ---- */

static const struct {
	const char *name;
	uint8_t bytes[8];
	uint8_t len;
	uint16_t code;
	uint64_t info1;
} insns[] = {
	{ "mov rcx, cr0", { 0x0f, 0x20, 0xc1 }, 3, 0x00, BIT(63) | RCX },
	{ "mov rdi, cr3", { 0x0f, 0x20, 0xdf }, 3, 0x03, BIT(63) | RDI },
	{ "mov r8, cr8",  { 0x45, 0x0f, 0x20, 0xc0 }, 4, 0x08, BIT(63) | R8 },
	{ "mov cr4, rdx", { 0x0f, 0x22, 0xe2 }, 3, 0x14, BIT(63) | RDX },
	{ "smsw eax",     { 0x0f, 0x01, 0xe0 }, 3, 0x00, 0 },
	{ "clts",         { 0x0f, 0x06 }, 2, 0x10, 0 },
	{ "lmsw ax",      { 0x0f, 0x01, 0xf0 }, 3, 0x10, 0 },
	{ "lmsw ax",      { 0x0f, 0x01, 0xf0 }, 3, 0x65, 0 },
	{ "mov rbx, dr7", { 0x0f, 0x21, 0xfb }, 3, 0x27, RBX },
	{ "mov dr6, rsi", { 0x0f, 0x23, 0xf6 }, 3, 0x36, RSI },
	{ "sidt [rbx]",   { 0x0f, 0x01, 0x0b }, 3, 0x66, 0 },
	{ "sgdt [rbx]",   { 0x0f, 0x01, 0x03 }, 3, 0x67, 0 },
	{ "sldt eax",     { 0x0f, 0x00, 0xc0 }, 3, 0x68, 0 },
	{ "str eax",      { 0x0f, 0x00, 0xc8 }, 3, 0x69, 0 },
	{ "lidt [rbx]",   { 0x0f, 0x01, 0x1b }, 3, 0x6a, 0 },
	{ "lgdt [rbx]",   { 0x0f, 0x01, 0x13 }, 3, 0x6b, 0 },
	{ "lldt ax",      { 0x0f, 0x00, 0xd0 }, 3, 0x6c, 0 },
	{ "ltr ax",       { 0x0f, 0x00, 0xd8 }, 3, 0x6d, 0 },
	{ "rdtsc",        { 0x0f, 0x31 }, 2, 0x6e, 0 },
	{ "rdpmc",        { 0x0f, 0x33 }, 2, 0x6f, 0 },
	{ "pushf",        { 0x9c }, 1, 0x70, 0 },
	{ "popf",         { 0x9d }, 1, 0x71, 0 },
	{ "cpuid",        { 0x0f, 0xa2 }, 2, 0x72, 0 },
	{ "rsm",          { 0x0f, 0xaa }, 2, 0x73, 0 },
	{ "iretq",        { 0x48, 0xcf }, 2, 0x74, 0 },
	{ "int 0x21",     { 0xcd, 0x21 }, 2, 0x75, 0x21 },
	{ "invd",         { 0x0f, 0x08 }, 2, 0x76, 0 },
	{ "pause",        { 0xf3, 0x90 }, 2, 0x77, 0 },
	{ "hlt",          { 0xf4 }, 1, 0x78, 0 },
	{ "invlpg [rbx+5]", { 0x0f, 0x01, 0x7b, 0x05 }, 4, 0x79, GUEST_DATA + 5 },
	{ "invlpga",      { 0x0f, 0x01, 0xdf }, 3, 0x7a, 0 },
	{ "vmload",       { 0x0f, 0x01, 0xda }, 3, 0x82, 0 },
	{ "vmsave",       { 0x0f, 0x01, 0xdb }, 3, 0x83, 0 },
	{ "stgi",         { 0x0f, 0x01, 0xdc }, 3, 0x84, 0 },
	{ "clgi",         { 0x0f, 0x01, 0xdd }, 3, 0x85, 0 },
	{ "rdtscp",       { 0x0f, 0x01, 0xf9 }, 3, 0x87, 0 },
	{ "int1",         { 0xf1 }, 1, 0x88, 0 },
	{ "wbinvd",       { 0x0f, 0x09 }, 2, 0x89, 0 },
	{ "xsetbv",       { 0x0f, 0x01, 0xd1 }, 3, 0x8d, 0 },
	{ "int3",         { 0xcc }, 1, 0x43, 0 },
};

/* Set, the instruction does not execute; clear, nobody asks. */
TEST_BOTH(svm, instructions_are_intercepted)
{
	for (unsigned i = 0; i < ARRAY_LEN(insns); i++) {
		machine_reset(m);
		prepare(m);
		machine_put(m, GUEST_CODE, insns[i].bytes, insns[i].len);
		intercept(m, insns[i].code);
		m->c->regs[RBX] = GUEST_DATA;
		cr_expect_eq(run(m), insns[i].code, "%s: exit %llx", insns[i].name,
			     (unsigned long long)vm_ld(m, EXIT_CODE, 8));
		cr_expect_eq(vm_ld(m, INFO1, 8), insns[i].info1, "%s: %llx", insns[i].name,
			     (unsigned long long)vm_ld(m, INFO1, 8));
		cr_expect_eq(vm_ld(m, RIP, 8), GUEST_CODE, "%s", insns[i].name);
		cr_expect_eq(vm_ld(m, NEXT_RIP, 8), GUEST_CODE + insns[i].len, "%s", insns[i].name);
	}
}

GUEST(invpcid, "mov ecx, 2; invpcid rcx, [rbx + 8]")

TEST_BOTH(svm, intercepted_invpcid_says_address_and_type)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, invpcid);
	intercept(m, SVM_INVPCID);
	m->c->regs[RBX] = GUEST_DATA;
	cr_assert_eq(run(m), SVM_INVPCID);
	cr_expect_eq(vm_ld(m, INFO1, 8), GUEST_DATA + 8);
	cr_expect_eq(vm_ld(m, INFO2, 8), 2);
}

GUEST(faulting, "mov eax, [rbx]")

TEST_BOTH(svm, bytes_and_next_rip_come_with_their_features)
{
	for (int have = 1; have >= 0; have--) {
		machine_reset(m);
		prepare(m);
		GUEST_PUT(m, GUEST_CODE, faulting);
		intercept(m, SVM_EXCEPTION + EXC_PF);
		m->c->feat[CPUID_DECODEASSISTS >> 5] |= 1u << (CPUID_DECODEASSISTS & 31);
		if (!have)
			m->c->feat[CPUID_DECODEASSISTS >> 5] &= ~(1u << (CPUID_DECODEASSISTS & 31));
		m->c->regs[RBX] = 0x400000;
		cr_expect_eq(run(m), SVM_EXCEPTION + EXC_PF);
		cr_expect_eq(vm_ld(m, N_BYTES, 1), have ? 15 : 0);
	}
	machine_reset(m);
	prepare(m);
	MACHINE_PUT(m, GUEST_CODE, 0x0f, 0xa2);
	intercept(m, 0x72);
	m->c->feat[CPUID_NRIP >> 5] &= ~(1u << (CPUID_NRIP & 31));
	cr_expect_eq(run(m), 0x72);
	cr_expect_eq(vm_ld(m, NEXT_RIP, 8), 0);
}

GUEST(harmless, "mov rax, cr0; mov rcx, dr7; clts; sidt [rbx]; sldt eax; rdtsc; pushf; popf; xor eax, eax; cpuid;"
      "pause; wbinvd; in al, 0x80; mov ecx, 0xc0000080; rdmsr; " VMMCALL_TEXT)

TEST_BOTH(svm, without_intercepts_instructions_execute)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, harmless);
	m->c->regs[RBX] = GUEST_DATA;
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + GUEST_SIZE(harmless) - 3);
}

GUEST(io, "mov dx, 0x123; out dx, ax")
GUEST(io_string, "mov dx, 0x80; mov ecx, 2; rep outsb")
GUEST(io_allowed, "out 0x80, al; " VMMCALL_TEXT)

TEST_BOTH(svm, ports_are_intercepted_by_their_bits)
{
	prepare(m);
	intercept(m, SVM_IOIO);
	GUEST_PUT(m, GUEST_CODE, io);
	*machine_mem(m, IOPM + 0x124 / 8) = 1 << (0x124 & 7);		/* the second byte of the word */
	cr_assert_eq(run(m), SVM_IOIO);
	cr_assert_eq(vm_ld(m, INFO1, 8), 0x123u << 16 | 1 << 9 | 1 << 5, "%llx", (unsigned long long)vm_ld(m, INFO1, 8));
	cr_assert_eq(vm_ld(m, INFO2, 8), GUEST_CODE + GUEST_SIZE(io));
	GUEST_PUT(m, GUEST_CODE, io_allowed);
	vm_st(m, RIP, 8, GUEST_CODE);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_assert_eq(m->n_outs, 1);
	GUEST_PUT(m, GUEST_CODE, io_string);
	vm_st(m, RIP, 8, GUEST_CODE);
	*machine_mem(m, IOPM + 0x10) = 1;
	cr_assert_eq(run(m), SVM_IOIO);
	cr_assert_eq(vm_ld(m, INFO1, 8), 0x80u << 16 | DS << 10 | 1 << 9 | 1 << 4 | 1 << 3 | 1 << 2);
	cr_assert_eq(m->n_outs, 1);
}

GUEST(msrs, "mov ecx, 0x277; rdmsr; wrmsr; " VMMCALL_TEXT)
GUEST(msr_unknown, "mov ecx, 0x12345; rdmsr")

TEST_BOTH(svm, msrs_are_intercepted_by_their_bits)
{
	prepare(m);
	intercept(m, SVM_MSR);
	GUEST_PUT(m, GUEST_CODE, msrs);
	*machine_mem(m, MSRPM + 0x277 / 4) = 2 << 2 * (0x277 & 3);	/* writes only */
	cr_assert_eq(run(m), SVM_MSR);
	cr_assert_eq(vm_ld(m, INFO1, 8), 1);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + 7);
	GUEST_PUT(m, GUEST_CODE, msr_unknown);
	vm_st(m, RIP, 8, GUEST_CODE);
	cr_assert_eq(run(m), SVM_MSR);
	cr_assert_eq(vm_ld(m, INFO1, 8), 0);
}

GUEST(pauses, "pause; pause; pause; " VMMCALL_TEXT)

TEST_BOTH(svm, pause_filter_lets_some_through)
{
	prepare(m);
	intercept(m, SVM_PAUSE);
	vm_st(m, 0x3e, 2, 2);
	GUEST_PUT(m, GUEST_CODE, pauses);
	cr_assert_eq(run(m), SVM_PAUSE);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + 4);
}

/* ---- state ---- */

GUEST(changes, "mov eax, 0x55; mov rsp, 0x1234; stc; " VMMCALL_TEXT)

TEST_BOTH(svm, exit_restores_the_host)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, changes);
	m->c->pat = 0x0007040600070406ull;
	run(m);
	cr_assert_eq(m->c->regs[RAX] & 0xffff, 0);
	cr_assert_eq(m->c->regs[RSP], M_STACK);
	cr_assert_not(m->c->gif);
	cr_assert_not(m->c->svm.guest);
	cr_assert_not(m->c->mode & MODE_SVM);
	cr_assert_eq(vm_ld(m, RAX_, 8), 0x55);
	cr_assert_eq(vm_ld(m, RSP_, 8), 0x1234);
	cr_assert_eq(vm_ld(m, RFLAGS, 8) & FL_CF, FL_CF);
}

static const struct {
	const char *what;
	unsigned off, size;
	uint64_t v;
} bad[] = {
	{ "ASID 0", ASID, 4, 0 },
	{ "VMRUN not intercepted", 0x10, 4, 0 },
	{ "EFER.SVME clear", EFER, 8, EFER_LME | EFER_LMA | EFER_NXE },
	{ "EFER reserved", EFER, 8, EFER_SVME | BIT(40) },
	{ "CR0 upper half", CR0, 8, 0x180000011ull },
	{ "CR0.NW without CD", CR0, 8, 0xa0000011 },
	{ "CR3 beyond the address width", CR3, 8, BIT(52) },
	{ "CR4 reserved", CR4, 8, CR4_PAE | BIT(31) },
	{ "long mode without PAE", CR4, 8, 0 },
	{ "DR6 upper half", DR6, 8, BIT(32) },
	{ "DR7 upper half", DR7, 8, BIT(32) },
	{ "CS.L and CS.D", SEGS + 0x12, 2, 0x69b },
	{ "IOPM beyond memory", 0x40, 8, BIT(52) },
	{ "event of type 1", EVENTINJ, 8, EV_VALID | 1 << 8 },
	{ "exception 32", EVENTINJ, 8, EV_VALID | 3 << 8 | 32 },
};

TEST_BOTH(svm, vmrun_refuses_inconsistent_state)
{
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		machine_reset(m);
		prepare(m);
		GUEST_PUT(m, GUEST_CODE, vmmcall);
		vm_st(m, bad[i].off, (int)bad[i].size, bad[i].v);
		cr_expect_eq(run(m), SVM_INVALID, "%s", bad[i].what);
	}
}

Test(svm, vmrun_refuses_nested_paging_if_the_host_does_not_page)
{
	struct machine m;

	machine_init(&m, 32, 0, &tcg_accel);
	cpu_write_cr(m.c, 0, m.c->cr0 & ~(uint64_t)CR0_PG);
	prepare_npt(&m);
	GUEST_PUT(&m, GUEST_CODE, vmmcall);
	cr_expect_eq(run(&m), SVM_INVALID);
	vm_st(&m, NP_ENABLE, 8, 0);
	cr_expect_eq(run(&m), SVM_VMMCALL);
	machine_fini(&m);
}

TEST_BOTH(svm, without_svme_there_is_no_vmrun)
{
	GUEST_PUT(m, M_CODE, host);
	cr_assert_eq(machine_run(m, M_CODE), EXC_UD);
}

TEST_BOTH(svm, saved_registers_bring_a_guest_back)
{
	prepare(m);
	vm_st(m, 0x050, 8, 0x1000);
	MACHINE_PUT(m, GUEST_CODE, MACHINE_END, 0x0f, 0x01, 0xd9);
	machine_run(m, M_CODE);			/* ends inside the guest */
	cr_assert(m->c->svm.guest);
	cpu_regs_loaded(m->c);
	cr_assert(m->c->mode & MODE_SVM);
	m->c->ops->run(m->c);
	cr_assert_eq(vm_ld(m, EXIT_CODE, 8), SVM_VMMCALL);
}

/* ---- events ---- */

GUEST(undefined, "ud2")
GUEST(reads, "mov al, [rbx]; " VMMCALL_TEXT)
GUEST(writes, "mov [rbx], al; " VMMCALL_TEXT)

TEST_BOTH(svm, exceptions_are_intercepted)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, undefined);
	intercept(m, SVM_EXCEPTION + EXC_UD);
	cr_assert_eq(run(m), SVM_EXCEPTION + EXC_UD);
	GUEST_PUT(m, GUEST_CODE, reads);
	vm_st(m, RIP, 8, GUEST_CODE);
	intercept(m, SVM_EXCEPTION + EXC_PF);
	machine_map(m, M_DATA + 0x1000, 0);
	m->c->regs[RBX] = M_DATA + 0x1234;
	m->c->cr2 = 0;
	cr_assert_eq(run(m), SVM_EXCEPTION + EXC_PF);
	cr_assert_eq(vm_ld(m, INFO1, 8), 0);
	cr_assert_eq(vm_ld(m, INFO2, 8), M_DATA + 0x1234);
	cr_assert_eq(vm_ld(m, 0x640, 8), 0, "CR2 does not change");
	cr_assert_geq(vm_ld(m, N_BYTES, 1), 2);
	cr_assert(!memcmp(machine_mem(m, VMCB + 0xd1), "\x8a\x03", 2));
}

TEST_BOTH(svm, triple_fault_is_a_shutdown_exit)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, undefined);
	vm_st(m, 0x484, 4, 0);
	intercept(m, SVM_SHUTDOWN);
	cr_assert_eq(run(m), SVM_SHUTDOWN);
	cr_assert_not(m->shut_down);
}

/* The handler is the guest's own; it finds the return address on its stack. */
static void guest_handler(struct machine *m, int vector)
{
	GUEST_PUT(m, M_HANDLERS + 16 * (unsigned)vector, vmmcall);
}

TEST_BOTH(svm, events_are_injected)
{
	static const struct {
		uint64_t event;
		int vector;
		uint64_t next;
	} e[] = {
		{ EV_VALID | 0 << 8 | 0x21, 0x21, 0 },
		{ EV_VALID | 2 << 8 | 2, 2, 0 },
		{ EV_VALID | 3 << 8 | 1 << 11 | EXC_GP | 0x18ull << 32, EXC_GP, 0 },
		{ EV_VALID | 4 << 8 | 0x30, 0x30, GUEST_CODE + 2 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(e); i++) {
		machine_reset(m);
		prepare(m);
		guest_handler(m, e[i].vector);
		vm_st(m, EVENTINJ, 8, e[i].event);
		vm_st(m, NEXT_RIP, 8, e[i].next);
		cr_expect_eq(run(m), SVM_VMMCALL);
		cr_expect_eq(vm_ld(m, RIP, 8), M_HANDLERS + 16u * (unsigned)e[i].vector);
		cr_expect_eq(vm_ld(m, EVENTINJ, 8), 0);
		cr_expect_eq(vm_ld(m, INT_INFO, 8), 0);
		const uint8_t *sp = machine_mem(m, vm_ld(m, RSP_, 8));
		if (e[i].vector == EXC_GP)
			cr_expect_eq(ld64(sp), 0x18);
		cr_expect_eq(ld64(sp + (e[i].vector == EXC_GP ? 8 : 0)), e[i].next ? e[i].next : GUEST_CODE);
	}
}

TEST_BOTH(svm, exit_during_delivery_names_the_event)
{
	prepare(m);
	vm_st(m, 0x484, 4, 0);
	vm_st(m, EVENTINJ, 8, EV_VALID | 4 << 8 | 0x30);
	intercept(m, SVM_EXCEPTION + EXC_GP);
	cr_assert_eq(run(m), SVM_EXCEPTION + EXC_GP);
	cr_assert_eq(vm_ld(m, INFO1, 8), 0x30 * 8 + 2);
	cr_assert_eq(vm_ld(m, INT_INFO, 8), EV_VALID | 4 << 8 | 0x30);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE);
}

GUEST(spin, "1: pause; jmp 1b")

TEST_BOTH(svm, interrupts_exit_whatever_the_guests_if)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, spin);
	intercept(m, SVM_INTR);
	vm_st(m, INT_CTL, 8, V_MASKING);
	cpu_set_eflags(m->c, 2 | FL_IF);
	m->c->gif = false;			/* or the host would take it */
	m->irq = 0x40;
	cpu_request(m->c, REQ_INTR);
	cr_assert_eq(run(m), SVM_INTR);
	cr_assert_eq(m->irq, 0x40, "not acknowledged");
}

GUEST(opens, "nop; sti; nop; nop; jmp .")

TEST_BOTH(svm, virtual_interrupt_waits_for_if_and_priority)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, opens);
	guest_handler(m, 0x50);
	vm_st(m, INT_CTL, 8, V_MASKING | V_IRQ | 5 << 16 | 4 | 0x50ull << 32);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_assert_eq(vm_ld(m, RIP, 8), M_HANDLERS + 0x500);
	cr_assert_eq(ld64(machine_mem(m, vm_ld(m, RSP_, 8))), GUEST_CODE + 3, "behind the shadow of STI");
	cr_assert_eq(vm_ld(m, INT_CTL, 8) & V_IRQ, 0);
}

GUEST(lowers_tpr, "sti; nop; nop; xor eax, eax; mov cr8, rax; nop; nop; jmp .")

TEST_BOTH(svm, virtual_interrupt_waits_for_the_virtual_tpr)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, lowers_tpr);
	intercept(m, SVM_VINTR);
	vm_st(m, INT_CTL, 8, V_MASKING | V_IRQ | 5 << 16 | 5 | 0x50ull << 32);
	cr_assert_eq(run(m), SVM_VINTR);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + 9);
	cr_assert_eq(vm_ld(m, INT_CTL, 8) & (V_IRQ | V_TPR), V_IRQ);
}

GUEST(sets_tpr, "mov eax, 5; mov cr8, rax; " VMMCALL_TEXT)

TEST_BOTH(svm, cr8_without_masking_sets_the_virtual_tpr_as_well)
{
	prepare(m);
	GUEST_PUT(m, GUEST_CODE, sets_tpr);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_assert_eq(vm_ld(m, INT_CTL, 8) & V_TPR, 5);
}

TEST_BOTH(svm, interrupt_shadow_comes_from_the_vmcb)
{
	prepare(m);
	MACHINE_PUT(m, GUEST_CODE, 0x90, 0x90, 0xeb, 0xfe);
	intercept(m, SVM_VINTR);
	vm_st(m, INT_CTL, 8, V_IRQ | V_IGN_TPR);
	vm_st(m, RFLAGS, 8, 2 | FL_IF);
	vm_st(m, INT_STATE, 8, 1);
	cr_assert_eq(run(m), SVM_VINTR);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + 1);
}

/* ---- GIF ---- */

GUEST(gif, CLGI_TEXT "; sti; nop; nop; mov al, 1; out 0x80, al; " STGI_TEXT "; nop; nop; mov al, 2; out 0x80, al; out 0xf4, al")

TEST_BOTH(svm, gif_holds_interrupts_back)
{
	prepare(m);
	GUEST_PUT(m, M_CODE, gif);
	m->irq = 0x40;
	cpu_request(m->c, REQ_INTR);
	cr_assert_eq(machine_run(m, M_CODE), 0x40);
	cr_assert_eq(m->n_outs, 1);
	cr_assert_eq(m->outs[0], 1);
}

TEST_BOTH(svm, intercepted_nmi_is_the_hosts)
{
	prepare(m);
	GUEST_PUT(m, M_CODE, host_stgi);
	GUEST_PUT(m, GUEST_CODE, spin);
	intercept(m, SVM_NMI);
	m->c->gif = false;
	atomic_store(&m->c->nmis, 1);
	cpu_request(m->c, REQ_NMI);
	cr_assert_eq(machine_run(m, M_CODE), EXC_NMI);
	cr_assert_eq(vm_ld(m, EXIT_CODE, 8), SVM_NMI);
}

/* ---- nested paging ---- */

static void npt_set(struct machine *m, uint64_t gpa, uint64_t entry)
{
	st64(machine_mem(m, NPT_PT + gpa / 512), entry);
}

TEST_BOTH(svm, nested_tables_move_memory)
{
	prepare_npt(m);
	GUEST_PUT(m, GUEST_CODE, reads);
	npt_set(m, M_DATA + 0x1000, (M_DATA + 0x2000) | 7);
	*machine_mem(m, M_DATA + 0x2010) = 0x99;
	m->c->regs[RBX] = M_DATA + 0x1010;
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_assert_eq(vm_ld(m, RAX_, 1), 0x99);
	cr_assert_eq(ld64(machine_mem(m, NPT_PT + (M_DATA + 0x1000) / 512)) & 0x60, 0x20, "accessed, not dirty");
}

TEST_BOTH(svm, nested_faults_say_what_and_where)
{
	static const struct {
		const char *what;
		bool write;
		uint64_t entry, info;
	} f[] = {
		{ "not present, read", false, 0, BIT(32) | 4 },
		{ "not present, write", true, 0, BIT(32) | 6 },
		{ "read-only", true, (M_DATA + 0x1000) | 5, BIT(32) | 7 },
		{ "supervisor", false, (M_DATA + 0x1000) | 3, BIT(32) | 5 },
		{ "reserved", false, (M_DATA + 0x1000) | 7 | BIT(51), BIT(32) | 0xd },
	};

	for (unsigned i = 0; i < ARRAY_LEN(f); i++) {
		machine_reset(m);
		prepare_npt(m);
		machine_put(m, GUEST_CODE, f[i].write ? guest_writes : guest_reads, GUEST_SIZE(reads));
		npt_set(m, M_DATA + 0x1000, f[i].entry);
		vm_st(m, TLB_CONTROL, 1, 3);
		m->c->regs[RBX] = M_DATA + 0x1234;
		cr_expect_eq(run(m), SVM_NPF, "%s", f[i].what);
		cr_expect_eq(vm_ld(m, INFO1, 8), f[i].info, "%s: %llx", f[i].what, (unsigned long long)vm_ld(m, INFO1, 8));
		cr_expect_eq(vm_ld(m, INFO2, 8), M_DATA + 0x1234, "%s", f[i].what);
		cr_expect_eq(vm_ld(m, N_BYTES, 1), 15, "%s", f[i].what);
	}
}

TEST_BOTH(svm, nested_faults_of_fetches_and_tables)
{
	prepare_npt(m);
	GUEST_PUT(m, GUEST_CODE, vmmcall);
	npt_set(m, GUEST_CODE, GUEST_CODE | 7 | PTE_NX);
	cr_assert_eq(run(m), SVM_NPF);
	cr_assert_eq(vm_ld(m, INFO1, 8), BIT(32) | 0x15);
	cr_assert_eq(vm_ld(m, N_BYTES, 1), 0);
	npt_set(m, GUEST_CODE, GUEST_CODE | 7);
	npt_set(m, M_TABLES + 0x2000, (M_TABLES + 0x2000) | 5);
	vm_st(m, TLB_CONTROL, 1, 3);
	cr_assert_eq(run(m), SVM_NPF);
	cr_assert_eq(vm_ld(m, INFO1, 8), BIT(33) | 7, "a walk writes");
	cr_assert_eq(vm_ld(m, INFO2, 8), M_TABLES + 0x2000);
}

GUEST(read_only_later, "mov al, [rbx]; mov [rbx], al; " VMMCALL_TEXT)

/* The read leaves a translation behind that must not let the write through, CR0.WP or not. */
TEST_BOTH(svm, a_read_lets_no_write_through)
{
	prepare_npt(m);
	GUEST_PUT(m, GUEST_CODE, read_only_later);
	vm_st(m, CR0, 8, m->c->cr0 & ~(uint64_t)CR0_WP);
	npt_set(m, M_DATA + 0x1000, (M_DATA + 0x1000) | 5);
	m->c->regs[RBX] = M_DATA + 0x1000;
	cr_assert_eq(run(m), SVM_NPF);
	cr_assert_eq(vm_ld(m, RIP, 8), GUEST_CODE + 2);
	cr_assert_eq(vm_ld(m, INFO1, 8), BIT(32) | 7);
}

/* The same linear page: the host's is M_DATA, guest 1 has M_DATA + 0x2000 there, guest 2 M_DATA + 0x3000. */
TEST_BOTH(svm, address_spaces_do_not_mix)
{
	prepare_npt(m);
	GUEST_PUT(m, GUEST_CODE, reads);
	for (unsigned i = 0; i < 8; i++) {
		*machine_mem(m, M_DATA + i * 0x1000) = (uint8_t)(0x10 + i);
		m->c->regs[RBX] = M_DATA;
		vm_st(m, RIP, 8, GUEST_CODE);
		vm_st(m, ASID, 4, i + 1);
		npt_set(m, M_DATA, (M_DATA + i * 0x1000) | 7);
		m->c->gif = true;
		cr_assert_eq(run(m), SVM_VMMCALL);
		cr_assert_eq(vm_ld(m, RAX_, 1), 0x10 + i);
		cr_assert_eq(mmu_ld(m->c, M_DATA, 1, MMU_KERNEL_NOSMAP), 0x10);
	}
}

/* ---- branch records ---- */

GUEST(jumps, "jmp 1f; nop; 1: " VMMCALL_TEXT)
/* At 5 a branch before VMRUN, at 8 its target. */
GUEST(host_jumps, "mov eax, 0x70000; jmp 1f; nop; 1: " VMRUN_TEXT "; out 0xf4, al")

static void prepare_jumps(struct machine *m, uint64_t host_debugctl)
{
	prepare(m);
	GUEST_PUT(m, M_CODE, host_jumps);
	GUEST_PUT(m, GUEST_CODE, jumps);
	cr_assert(msr_set(m->c, 0x1d9, host_debugctl));
}

TEST_BOTH(svm, branch_records_are_shared_if_the_vmcb_does_not_have_them)
{
	prepare_jumps(m, 1);
	vm_st(m, DBGCTL, 8, 0);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_expect_eq(m->c->lbr.control, 1);
	cr_expect_eq(m->c->lbr.last[LBR_FROM], GUEST_CODE);
	cr_expect_eq(m->c->lbr.last[LBR_TO], GUEST_CODE + 3);
	cr_expect_eq(vm_ld(m, BR_FROM, 8), 0);
}

TEST_BOTH(svm, branch_records_of_the_guest_are_its_own)
{
	prepare_jumps(m, 1);
	vm_st(m, VIRT_EXT, 8, 1);
	vm_st(m, DBGCTL, 8, 1);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_expect_eq(vm_ld(m, DBGCTL, 8), 1);
	cr_expect_eq(vm_ld(m, BR_FROM, 8), GUEST_CODE);
	cr_expect_eq(vm_ld(m, BR_TO, 8), GUEST_CODE + 3);
	cr_expect_eq(m->c->lbr.control, 1);
	cr_expect_eq(m->c->lbr.last[LBR_FROM], M_CODE + 5);
	cr_expect_eq(m->c->lbr.last[LBR_TO], M_CODE + 8);
}

TEST_BOTH(svm, a_guest_without_branch_records_keeps_those_of_its_vmcb)
{
	prepare_jumps(m, 1);
	vm_st(m, VIRT_EXT, 8, 1);
	vm_st(m, BR_FROM, 8, 0x1234);
	cr_assert_eq(run(m), SVM_VMMCALL);
	cr_expect_eq(vm_ld(m, BR_FROM, 8), 0x1234);
	cr_expect_eq(m->c->lbr.control, 1);
}
