/*
 * System instructions to µops. Almost all are one call of a helper; what user
 * and kernel code execute often (swapgs, rdtsc, reading CR0..4, stac) is µops.
 *
 * Privilege, protected-mode and FPU-enable checks that a row's attributes ask
 * for stand in front already (front_block). What may change the mode word or a
 * mapping ends the block, so that the next one is looked up anew.
 *
 * Not modelled: MONITOR's address.
 * Source: SDM vol. 2; vol. 3A chapters 2 (system registers), 5.8 (fast calls).
 */
#include "tcg/front.h"
#include "tcg/rep.h"
#include "tcg/helper.h"

#define ENV(field) ((int64_t)offsetof(struct cpu, field))
#define NONE OP_NONE

static int mode_cpl(const struct front *f)
{
	return f->ir->mode >> MODE_CPL_SHIFT & 3;
}

static enum mmu_idx mode_mmu(const struct front *f)
{
	return (enum mmu_idx)(f->ir->mode >> MODE_MMU_SHIFT & 3);
}

/* A helper without operands or result. */
static void call0(struct front *f, enum helper h, int64_t imm)
{
	emit_call(f, h, NONE, NONE, NONE, imm);
}

/* The same for one that may change the mode or a mapping. */
static void call_end(struct front *f, enum helper h, int64_t imm)
{
	call0(f, h, imm);
	emit_exit_next(f);
}

/* The same for one that sets cpu->rip. */
static void call_jump(struct front *f, enum helper h, int64_t imm)
{
	call0(f, h, imm);
	emit(f, UOP_exit, 8, NONE, NONE, NONE);
	f->done = true;
}

/* A helper that gets the memory operand as offset and segment. */
static void call_mem(struct front *f, enum helper h, const struct insn *in, int64_t imm)
{
	emit_ea(f, in, OP_T0);
	emit_call(f, h, NONE, OP_T0, NONE, in->seg | imm);
}

/* T0 = operand k, zero-extended. */
static void load_t0(struct front *f, const struct insn *in, int k)
{
	int n = in->opd[k].size;
	int a = use(f, in, k, PROBE_R);

	emit(f, UOP_zext, 8, OP_T0, a, NONE)->c = (uint8_t)n;
}

static void ldenv(struct front *f, int size, int d, int64_t off)
{
	emit(f, UOP_ldenv, size, d, NONE, NONE)->imm = off;
}

static void stenv(struct front *f, int size, int a, int64_t off)
{
	emit(f, UOP_stenv, size, NONE, a, NONE)->imm = off;
}

/* Leave the cache behind this instruction if a request is pending. */
static void poll(struct front *f)
{
	emit(f, UOP_poll, 8, NONE, NONE, NONE)->imm = (int64_t)f->next;
}

/* ---- descriptor tables and selectors ---- */

/* Those that load a table serialize: leaving the cache is a poll. */
static void load_table(struct front *f, enum helper h, const struct insn *in)
{
	call_mem(f, h, in, in->opsize << 8);
	call_end(f, HELPER_serialize, 0);
}

void front_lgdt(struct front *f, const struct insn *in) { load_table(f, HELPER_lgdt, in); }
void front_lidt(struct front *f, const struct insn *in) { load_table(f, HELPER_lidt, in); }
void front_sgdt(struct front *f, const struct insn *in) { call_mem(f, HELPER_sgdt, in, in->opsize << 8); }
void front_sidt(struct front *f, const struct insn *in) { call_mem(f, HELPER_sidt, in, in->opsize << 8); }

/* SLDT, STR, SMSW: 16 bits to memory, the whole register otherwise. */
static void store_word(struct front *f, const struct insn *in, enum helper h)
{
	if (in->opd[0].kind == OPD_REG) {
		emit_call(f, h, in->opd[0].reg, NONE, NONE, 0)->size = in->opd[0].size;
		return;
	}
	emit_call(f, h, OP_T0, NONE, NONE, 0);
	emit_probe(f, in, PROBE_W, 2);
	emit(f, UOP_mov, 2, OP_M, OP_T0, NONE);
}

void front_sldt(struct front *f, const struct insn *in) { store_word(f, in, HELPER_sldt); }
void front_str(struct front *f, const struct insn *in) { store_word(f, in, HELPER_str); }
void front_smsw(struct front *f, const struct insn *in) { store_word(f, in, HELPER_smsw); }

void front_lldt(struct front *f, const struct insn *in)
{
	load_t0(f, in, 0);
	emit_call(f, HELPER_lldt, NONE, OP_T0, NONE, 0);
	call_end(f, HELPER_serialize, 0);
}

void front_ltr(struct front *f, const struct insn *in)
{
	load_t0(f, in, 0);
	emit_call(f, HELPER_ltr, NONE, OP_T0, NONE, 0);
	call_end(f, HELPER_serialize, 0);
}

static void load_rights(struct front *f, const struct insn *in, enum helper h)
{
	int d = in->opd[0].reg;

	load_t0(f, in, 1);
	emit_call(f, h, d, OP_T0, d, in->opsize);
}

void front_lar(struct front *f, const struct insn *in) { load_rights(f, in, HELPER_lar); }
void front_lsl(struct front *f, const struct insn *in) { load_rights(f, in, HELPER_lsl); }

static void verify(struct front *f, const struct insn *in, bool write)
{
	load_t0(f, in, 0);
	emit_call(f, HELPER_verify, NONE, OP_T0, NONE, write);
}

void front_verr(struct front *f, const struct insn *in) { verify(f, in, false); }
void front_verw(struct front *f, const struct insn *in) { verify(f, in, true); }

/* ---- control and debug registers ---- */

void front_lmsw(struct front *f, const struct insn *in)
{
	load_t0(f, in, 0);
	emit_call(f, HELPER_lmsw, NONE, OP_T0, NONE, 0);
	emit_exit_next(f);
}

void front_clts(struct front *f, const struct insn *in)
{
	(void)in;
	call_end(f, HELPER_clts, 0);
}

/* LOCK MOV CR0 names CR8 (APM vol. 3, MOV CRn). */
static int cr_number(const struct insn *in, int k)
{
	int n = in->opd[k].reg;

	return n == 0 && in->pfx & PFX_LOCK ? 8 : n;
}

void front_mov_cr_read(struct front *f, const struct insn *in)
{
	int d = in->opd[0].reg, size = in->opd[0].size;

	switch (cr_number(in, 1)) {
	case 0: ldenv(f, size, d, ENV(cr0)); break;
	case 2: ldenv(f, size, d, ENV(cr2)); break;
	case 3: ldenv(f, size, d, ENV(cr3)); break;
	case 4: ldenv(f, size, d, ENV(cr4)); break;
	case 8: emit_call(f, HELPER_read_cr, d, NONE, NONE, 8)->size = (uint8_t)size; break;
	default: emit_raise(f, EXC_UD);
	}
}

void front_mov_cr_write(struct front *f, const struct insn *in)
{
	int n = cr_number(in, 0), size = in->opd[1].size;

	if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) {
		emit_raise(f, EXC_UD);
		return;
	}
	emit(f, UOP_zext, 8, OP_T0, in->opd[1].reg, NONE)->c = (uint8_t)size;
	if (n == 2) {
		stenv(f, 8, OP_T0, ENV(cr2));
		return;
	}
	emit_call(f, HELPER_write_cr, NONE, OP_T0, NONE, n);
	if (n == 8)
		poll(f);	/* a lower priority may let an interrupt in */
	else
		emit_exit_next(f);
}

void front_mov_dr_read(struct front *f, const struct insn *in)
{
	emit_call(f, HELPER_read_dr, in->opd[0].reg, NONE, NONE, in->opd[1].reg)->size = in->opd[0].size;
}

void front_mov_dr_write(struct front *f, const struct insn *in)
{
	emit(f, UOP_zext, 8, OP_T0, in->opd[1].reg, NONE)->c = in->opd[1].size;
	emit_call(f, HELPER_write_dr, NONE, OP_T0, NONE, in->opd[0].reg);
	emit_exit_next(f);
}

/* ---- model-specific and extended registers, counters ---- */

void front_rdmsr(struct front *f, const struct insn *in) { (void)in; call0(f, HELPER_rdmsr, 0); }
void front_wrmsr(struct front *f, const struct insn *in) { (void)in; call_end(f, HELPER_wrmsr, 0); }
void front_rdpmc(struct front *f, const struct insn *in) { (void)in; call0(f, HELPER_rdpmc, 0); }
void front_xgetbv(struct front *f, const struct insn *in) { (void)in; call0(f, HELPER_xgetbv, 0); }
void front_xsetbv(struct front *f, const struct insn *in) { (void)in; call_end(f, HELPER_xsetbv, 0); }
void front_rdpkru(struct front *f, const struct insn *in) { (void)in; call0(f, HELPER_rdpkru, 0); }
void front_wrpkru(struct front *f, const struct insn *in) { (void)in; call0(f, HELPER_wrpkru, 0); }

/* It serializes, too. */
void front_cpuid(struct front *f, const struct insn *in)
{
	(void)in;
	if (f->alone)
		call0(f, HELPER_cpuid, 0);
	else
		call_end(f, HELPER_cpuid, 0);
}


/* A guest of VMRUN has another hypervisor, which intercepts VMMCALL. */
void front_hypercall(struct front *f, const struct insn *in)
{
	(void)in;
	if (f->ir->mode & MODE_SVM)
		emit_raise(f, EXC_UD);
	else
		call_end(f, HELPER_hypercall, 0);
}

void front_rdtsc(struct front *f, const struct insn *in)
{
	(void)in;
	if (mode_cpl(f) == 0 && f->env.feat[F_HOST_TSC >> 6] >> (F_HOST_TSC & 63) & 1)
		emit(f, UOP_rdtsc, 8, NONE, NONE, NONE);
	else
		call0(f, HELPER_rdtsc, 0);
}

/* All earlier instructions are done before it reads (SDM vol. 2B): time cannot seem to go back between vCPUs. */
void front_rdtscp(struct front *f, const struct insn *in)
{
	emit(f, UOP_fence, 0, NONE, NONE, NONE)->imm = 5;
	front_rdtsc(f, in);
	ldenv(f, 4, RCX, ENV(tsc_aux));
}

void front_rdpid(struct front *f, const struct insn *in)
{
	ldenv(f, 4, in->opd[0].reg, ENV(tsc_aux));
}

void front_swapgs(struct front *f, const struct insn *in)
{
	(void)in;
	ldenv(f, 8, OP_T0, ENV(kernel_gs_base));
	ldenv(f, 8, OP_T1, ENV(segs[GS].base));
	stenv(f, 8, OP_T0, ENV(segs[GS].base));
	stenv(f, 8, OP_T1, ENV(kernel_gs_base));
}

static void rdbase(struct front *f, const struct insn *in, int seg)
{
	emit_call(f, HELPER_rdbase, in->opd[0].reg, NONE, NONE, seg)->size = in->opd[0].size;
}

static void wrbase(struct front *f, const struct insn *in, int seg)
{
	load_t0(f, in, 0);
	emit_call(f, HELPER_wrbase, NONE, OP_T0, NONE, seg);
}

void front_rdfsbase(struct front *f, const struct insn *in) { rdbase(f, in, FS); }
void front_rdgsbase(struct front *f, const struct insn *in) { rdbase(f, in, GS); }
void front_wrfsbase(struct front *f, const struct insn *in) { wrbase(f, in, FS); }
void front_wrgsbase(struct front *f, const struct insn *in) { wrbase(f, in, GS); }

/* Go on behind the instruction in the mode with that index of data accesses, by an exit that is linked as any other. */
static void enter_mmu(struct front *f, enum mmu_idx to)
{
	ldenv(f, 4, OP_T0, ENV(mode));
	emit_add(f, 4, OP_T0, OP_T0, ((int)to - (int)mode_mmu(f)) * (1 << MODE_MMU_SHIFT));
	stenv(f, 4, OP_T0, ENV(mode));
	emit_jmp(f, f->next);
	f->ir->uops[f->ir->n_uops - 1].c = 2;
}

/* CLAC, STAC. Under MODE_SMAP the mode follows AC: MMU_KERNEL while it is clear. */
static void set_ac(struct front *f, bool on)
{
	enum mmu_idx to = on ? MMU_KERNEL_NOSMAP : MMU_KERNEL;

	if (mode_cpl(f) != 0) {
		emit_raise(f, EXC_UD);
		return;
	}
	emit(f, on ? UOP_orfl : UOP_andfl, 4, NONE, NONE, NONE)->imm = on ? (int32_t)FL_AC : (int32_t)~FL_AC;
	if (f->ir->mode & MODE_SMAP && mode_mmu(f) != to)
		enter_mmu(f, to);
}

void front_clac(struct front *f, const struct insn *in) { (void)in; set_ac(f, false); }
void front_stac(struct front *f, const struct insn *in) { (void)in; set_ac(f, true); }

/* ---- translations, caches, sleep ---- */

void front_invlpg(struct front *f, const struct insn *in)
{
	call_mem(f, HELPER_invlpg, in, 0);
	emit_exit_next(f);
}

void front_invpcid(struct front *f, const struct insn *in)
{
	emit_ea(f, in, OP_T0);
	emit_call(f, HELPER_invpcid, NONE, OP_T0, in->opd[0].reg, in->seg);
	emit_exit_next(f);
}

/* Nobody can tell it from nothing if there are no other vCPUs; Linux executes it 117,000 times while it boots. */
void front_serialize(struct front *f, const struct insn *in)
{
	(void)in;
	if (!f->alone)
		call_end(f, HELPER_serialize, 0);
}

void front_invd(struct front *f, const struct insn *in) { front_serialize(f, in); }
void front_wbinvd(struct front *f, const struct insn *in) { front_serialize(f, in); }
void front_hlt(struct front *f, const struct insn *in) { (void)in; call_end(f, HELPER_hlt, 0); }

void front_monitor(struct front *f, const struct insn *in)
{
	if (mode_cpl(f) != 0) {
		emit_raise(f, EXC_UD);
		return;
	}
	emit(f, UOP_zext, 8, OP_T0, RAX, NONE)->c = in->adsize;
	emit_call(f, HELPER_monitor, NONE, OP_T0, NONE, in->seg_override == NO_REG ? DS : in->seg_override);
}

void front_mwait(struct front *f, const struct insn *in)
{
	(void)in;
	if (mode_cpl(f) != 0)
		emit_raise(f, EXC_UD);
	else
		call_end(f, HELPER_mwait, 0);
}

/* ---- fast system calls ---- */

void front_syscall(struct front *f, const struct insn *in) { (void)in; call_jump(f, HELPER_syscall, (int64_t)f->next); }
void front_sysret(struct front *f, const struct insn *in) { call_jump(f, HELPER_sysret, in->opsize); }
void front_sysenter(struct front *f, const struct insn *in) { (void)in; call_jump(f, HELPER_sysenter, 0); }
void front_sysexit(struct front *f, const struct insn *in) { call_jump(f, HELPER_sysexit, in->opsize); }
void front_rsm(struct front *f, const struct insn *in) { (void)in; call_jump(f, HELPER_rsm, 0); }
void front_ud(struct front *f, const struct insn *in) { (void)in; emit_raise(f, EXC_UD); }

/* ---- ports ---- */

/* T0 = port number of operand k, DX or an immediate byte. */
static int port(struct front *f, const struct insn *in, int k)
{
	if (in->opd[k].kind == OPD_IMM)
		emit_imm(f, UOP_mov, 8, OP_T0, OP_IMM, in->imm & 0xff)->b = NONE;
	else
		emit(f, UOP_zext, 8, OP_T0, RDX, NONE)->c = 2;
	return OP_T0;
}

void front_in(struct front *f, const struct insn *in)
{
	int n = in->opd[0].size;
	int p = port(f, in, 1);

	emit_call(f, HELPER_in, RAX, p, NONE, n)->size = (uint8_t)n;
}

/* A port may change the memory map or raise an interrupt: both arrive as requests. */
void front_out(struct front *f, const struct insn *in)
{
	int p = port(f, in, 0);

	emit_call(f, HELPER_out, NONE, p, RAX, in->opd[1].size);
	poll(f);
}

/* The helper does as many elements as it can; the rest is done by executing the instruction again. */
static void port_string(struct front *f, const struct insn *in, enum helper h, int n)
{
	bool rep = in->pfx & (PFX_REP | PFX_REPNE);

	struct rep r = {
		.size = (unsigned)n, .adsize = in->adsize, .seg = (unsigned)in->seg, .down = !!(f->ir->mode & MODE_DF), .once = !rep,
	};

	emit_call(f, h, OP_T0, NONE, NONE, rep_pack(r));
	if (!rep) {
		poll(f);
		return;
	}
	emit(f, UOP_jrz, 8, NONE, OP_T0, NONE)->imm = (int64_t)f->next;
	emit(f, UOP_exit, 8, NONE, NONE, NONE);
	f->done = true;
}

void front_ins(struct front *f, const struct insn *in)
{
	struct insn es = *in;

	es.seg = ES;
	port_string(f, &es, HELPER_ins, in->opd[0].size);
}

void front_outs(struct front *f, const struct insn *in)
{
	struct insn ds = *in;

	ds.seg = in->seg_override == NO_REG ? DS : in->seg_override;
	port_string(f, &ds, HELPER_outs, in->opd[1].size);
}

/* ---- random numbers ---- */

static void random_number(struct front *f, const struct insn *in)
{
	emit_call(f, HELPER_random, in->opd[0].reg, NONE, NONE, in->opsize)->size = in->opsize;
}

void front_rdrand(struct front *f, const struct insn *in) { random_number(f, in); }
void front_rdseed(struct front *f, const struct insn *in) { random_number(f, in); }
