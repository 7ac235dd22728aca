/*
 * The run loop: find or translate a block, run it, and deal with why it came back.
 *
 * Not modelled: a conditional jump to the next instruction as a branch taken (last-branch
 * records, steps from branch to branch).
 *
 * Between blocks of generated code control stays in the cache; it comes here
 * for what has no translation, pending requests, exceptions, single steps and
 * sleep. Raising an exception (cpu->unwind) lands in the loop again, from
 * wherever it happens; or, if nothing but delivery is to be done, in generated code again.
 */
#include "tcg/run.h"

#include <asm/prctl.h>
#include <sched.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "cpu/alone.h"
#include "cpu/cpuid.h"
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/fpu.h"
#include "cpu/insn.h"
#include "cpu/lbr.h"
#include "cpu/mmu.h"
#include "cpu/start.h"
#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/hostfault.h"
#include "tcg/interp.h"
#include "tcg/logs.h"
#include "tcg/perfmap.h"
#include "tcg/plug.h"
#include "tcg/sample.h"

/* ---- callbacks of struct cpu ---- */

static void mapping_changed(struct cpu *c, uint64_t va, bool keep_global)
{
	if (va == ~0ull) {
		tcg_itlb_flush(c, keep_global);
	} else {
		tcg_of(c)->itlb[ITLB_SLOT(va)].va = 1;
		x64_env(c)->itlb[ITLB_SLOT(va)] = 0;
	}
}

static uint64_t heavy(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
		      uint64_t a, uint64_t b, uint64_t x, uint64_t y)
{
	struct tcg *t = tcg_of(c);
	uint64_t r;

	t->cache->x.stubs.vec_save();
	r = fn(a, b, x, y);
	t->cache->x.stubs.vec_load();
	return r;
}

static uint64_t call_out(struct cpu *c, uint64_t (*fn)(uint64_t, uint64_t, uint64_t, uint64_t),
			 uint64_t a, uint64_t b, uint64_t x, uint64_t y)
{
	const struct x64_stubs *s = &tcg_of(c)->cache->x.stubs;
	uint64_t r;

	s->vec_aside();
	r = fn(a, b, x, y);
	s->vec_back();
	return r;
}

/*
 * What was raised in generated code, or C that it called: can it be delivered there, and the guest's vector state stay
 * where it is? Not if anything else hangs on the instruction, or a pending x87 error may come first.
 */
static bool delivers_live(struct cpu *c)
{
	const struct tcg *t = tcg_of(c);
	uint16_t fsw;

	if (!c->vec_live || c->exc_vector < 0 || c->exc_vector >= EXC_VMEXIT || c->mode & MODE_SVM || c->dr6_pending)
		return false;
	if (t->single || t->single_next || t->alone || t->alone_next || t->plug || c->dbg.again)
		return false;
	asm volatile("fnstsw %0" : "=a"(fsw));
	return !(fsw & FSW_ES);
}

static void __attribute__((noreturn)) unwind(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct x64_env *env = x64_env(c);
	struct x64_side side;
	const struct tb *tb;
	bool live;

	tcg_end_read(t);
	tcg_unlock_all(t);
	if (env->vec_aside)
		t->cache->x.stubs.vec_back();
	live = delivers_live(c);
	if (c->vec_live && !live)
		t->cache->x.stubs.vec_save();
	if (env->fault_pc) {
		tb = tcg_tb_at(t, env->fault_pc, &side);
		if (tb)
			tcg_stop_at(c, tb, &side);
		env->fault_pc = 0;
	}
	if (live)
		t->cache->x.stubs.deliver();
	__builtin_longjmp(t->jmp, 1);
}

/* A page that is written bit by bit is one write: does w grow by these bytes? */
static bool merge(struct code_write *w, uint64_t ram, uint64_t n)
{
	uint64_t end = max_u64(w->ram + w->n, ram + n), start = min_u64(w->ram, ram);

	if (PAGE_OF(start) != PAGE_OF(end - 1))
		return false;
	*w = (struct code_write){ start, end - start };
	return true;
}

static void note(struct code_cache *k, uint64_t ram, uint64_t n)
{
	if (k->n_writes > ARRAY_LEN(k->writes))
		return;
	for (unsigned i = k->n_writes; i > 0; i--)
		if (merge(&k->writes[i - 1], ram, n))
			return;
	if (k->n_writes < ARRAY_LEN(k->writes))
		k->writes[k->n_writes] = (struct code_write){ ram, n };
	k->n_writes++;
}

void tcg_note_write(struct code_cache *k, uint64_t ram, uint64_t n)
{
	pthread_mutex_lock(&k->writes_lock);
	note(k, ram, n);
	for (unsigned i = 0; i < k->n_users; i++)
		cpu_request(k->user[i]->cpu, REQ_CALL);
	pthread_mutex_unlock(&k->writes_lock);
}

/* Behind this nothing runs that was made before; whoever finds nothing noted waits for the one who took it. */
static void take_device_writes(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct code_cache *k = t->cache;
	struct code_write w[ARRAY_LEN(k->writes)];
	unsigned n;

	cpu_clear_request(c, REQ_CALL);
	tcg_lock(t);
	pthread_mutex_lock(&k->writes_lock);
	n = k->n_writes;
	memcpy(w, k->writes, min_u64(n, ARRAY_LEN(w)) * sizeof(w[0]));
	if (n <= ARRAY_LEN(w))
		k->n_writes = 0;
	pthread_mutex_unlock(&k->writes_lock);
	for (unsigned i = 0; i < n && n <= ARRAY_LEN(w); i++)
		tcg_smc(t, w[i].ram, w[i].n);
	tcg_unlock(t);
	if (n > ARRAY_LEN(w))
		tcg_flush(t);
}

/* ---- one round ---- */

/* The host raised #DE, #MF or #XM inside a block: so does the guest. */
static void host_fault(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	struct x64_env *env = x64_env(c);
	struct x64_side side;
	const struct tb *tb = tcg_tb_at(t, env->fault_pc, &side);

	env->fault_pc = 0;
	tcg_stop_at(c, tb, &side);
	if (side.flags_host)
		c->cc = cc_from_eflags((uint32_t)env->fault_flags);
	switch (env->fault_trap) {
	case EXC_MF:
		if (!(c->cr0 & CR0_NE) && c->mode & MODE_SVM && svm_ferr(c))
			return;
		if (!(c->cr0 & CR0_NE) && c->board.ferr) {
			c->board.ferr(c->board.opaque, c);
			return;
		}
		cpu_raise(c, EXC_MF);
	case EXC_XM:
		cpu_raise(c, c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
	default:
		cpu_raise(c, EXC_DE);
	}
}

static void run_interpreted(struct cpu *c, struct tb *tb)
{
	struct tcg *t = tcg_of(c);

	t->current = (uint32_t)(tb - t->cache->tbs);
	t->stop = false;
	interp_run(c, t->cache->irs[t->current], &t->stop);
	t->current = NO_TB;
}

static void run_block(struct cpu *c, struct tb *tb)
{
	struct tcg *t = tcg_of(c);
	struct x64_exit x;

	log_exec(c, tb);
	if (t->interp) {
		run_interpreted(c, tb);
		return;
	}
	x = t->cache->x.stubs.enter(tb_entry(t->cache, tb), t->cache->x.stubs.return_miss[tb->jc < 0 ? 0 : tb->jc]);
	t->stats.exits[x.reason]++;
	if (x.reason == X64_HOST_FAULT)
		host_fault(c);
	else if (x.reason == X64_NOSHARE)
		t->noshare_next = true;
}

/* Has the block's one instruction, which is done, branched? */
static bool has_branched(const struct cpu *c, const struct tb *tb)
{
	uint64_t next = tb->rip + tb->len;

	if ((tb->mode & MODE_CODE) != MODE_CODE64)
		next = (uint32_t)next;
	return tb->flow == FLOW_AWAY || (tb->flow == FLOW_IF && c->rip != next);
}

/* Under DEBUGCTL: note a branch; true if TF, set before the instruction, traps behind it. */
static bool debugctl_traps(struct cpu *c, const struct tb *tb)
{
	bool branch = has_branched(c, tb), steps = c->lbr.control & DEBUGCTL_BTF;

	if (branch)
		lbr_branch(c, tb->rip);
	if (branch && steps && c->dr6_pending && c->eflags & FL_TF)
		c->dr6_pending |= STEP_NOW;
	return branch || !steps;
}

/* The instruction that must not be interfered with is done, or has faulted. */
static void end_alone(struct cpu *c)
{
	if (tcg_of(c)->alone)
		cpu_alone_end(c);
	tcg_of(c)->alone = false;
}

/* No store is under way now: others may count on that. */
static void next_round(struct tcg *t)
{
	tcg_catch_up(t);
	atomic_fetch_add(&t->rounds, 1);
	atomic_store_explicit(&t->seat->storing, NOWHERE, memory_order_relaxed);
	tcg_serialize(t->cpu);
}

/*
 * Too many pages are being written while they are translated, or too many blocks were dropped at once: wait until others
 * are as far, too. Who is alone does not make way for itself; all others are outside then.
 */
static void let_settle(struct cpu *c)
{
	if (!tcg_of(c)->alone && cpu_must_step_aside(c))
		cpu_step_aside(c);
	sched_yield();
	next_round(tcg_of(c));
}

/* The block for c->rip in that mode, found or made. Raises. */
static struct tb *get(struct cpu *c, uint32_t mode, bool single)
{
	struct tcg *t = tcg_of(c);
	struct tb *tb = tcg_find(c, mode);

	while (!tb && !(tb = tcg_translate(c, mode, single))) {
		if (t->must_flush)
			tcg_flush(t);
		else
			let_settle(c);
	}
	return tb;
}

static void begin_alone(struct cpu *c)
{
	cpu_alone_begin(c);
	tcg_of(c)->alone = true;
	tcg_of(c)->alone_next = false;
	tcg_catch_up(tcg_of(c));
}

/* One instruction, and what hangs on it: breakpoints, shadow, TF, a store into its own block. */
static void run_single(struct cpu *c, uint32_t mode)
{
	struct tcg *t = tcg_of(c);
	bool shadow = c->shadow, trap = c->eflags & FL_TF;
	struct tb *tb;

	t->single_next = false;
	if (mode & MODE_DEBUG && !(c->shadow_db && cpuid_is_intel(c)))
		cpu_check_breakpoint(c, cpu_is64(c) ? c->rip : (uint32_t)(c->rip + c->segs[CS].base));
	c->rf_found = c->eflags & FL_RF;
	c->eflags &= ~FL_RF;
	c->shadow_db = false;
	c->dbg.alone = true;
	if (t->alone_next)
		begin_alone(c);
	mode |= MODE_DEBUG | (t->plug ? plug_mode(c) : 0);
	tb = get(c, mode, true);
	t->stats.singles++;
	t->met_before = c->dr6_pending;
	t->single = true;
	run_block(c, tb);
	t->single = false;
	end_alone(c);
	if (c->lbr.control && !debugctl_traps(c, tb))
		trap = false;
	if (shadow)
		c->shadow = false;
	if (trap || c->dr6_pending)
		cpu_single_step_trap(c);
}

/* The exit that was taken last goes there, if it is the same way that led to the run loop. */
static void link_last_exit(struct tcg *t, const struct tb *tb)
{
	const struct code_cache *k = t->cache;
	const struct tb *o;
	uint32_t exit;

	if (!t->last_exit)
		return;
	tcg_lock(t);
	exit = t->last_exit;		/* its memory may be used again by now: see recycle() */
	t->last_exit = 0;
	o = &k->tbs[k->links[exit].from];
	if (exit && link_rip(k, &k->links[exit]) == tb->rip && o->cs_base == tb->cs_base && o->cs_limit == tb->cs_limit &&
	    (o->mode & ~MODE_TCG) == (tb->mode & ~MODE_TCG))
		tcg_link(t, exit, (uint32_t)(tb - k->tbs));
	tcg_unlock(t);
}

static void run_many(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	uint32_t mode = c->mode | (t->noshare_next ? MODE_NOSHARE : 0);
	struct tb *tb = get(c, mode, false);

	t->noshare_next = false;
	c->dbg.alone = false;
	if (!t->hot && sample_may_heat(tb)) {
		sample_taken(c);
		tb = tcg_find(c, mode);
		if (!tb)		/* another vCPU has dropped it meanwhile */
			return;
	}
	link_last_exit(t, tb);
	run_block(c, tb);
}

/*
 * A pending event that cannot be taken would fail every poll. It is put aside until
 * IF or GIF is set or the NMI is over: by the orfl µop, or seen by tcg_cb_find and the run loop.
 */
static void hold_requests(struct cpu *c)
{
	uint32_t hold = atomic_load(&c->request) & tcg_closed(c);

	x64_env(c)->held |= hold;
	cpu_clear_request(c, hold);
}

/* Leaving run(): nothing stays put aside. */
static void unhold_all(struct cpu *c)
{
	atomic_fetch_or(&c->request, x64_env(c)->held);
	x64_env(c)->held = 0;
}

/* True: leave run() with *why. */
static bool requests(struct cpu *c, enum accel_exit *why)
{
	uint32_t r = atomic_load(&c->request);

	if (r & REQ_EXIT) {
		cpu_clear_request(c, REQ_EXIT);
		unhold_all(c);
		*why = ACCEL_REQUEST;
		return true;
	}
	if (r & REQ_CALL) {
		take_device_writes(c);
		if (cpu_must_step_aside(c))
			cpu_step_aside(c);
		tcg_catch_up(tcg_of(c));
	}
	if (r & REQ_STARTED)
		cpu_await_started(c);
	if (r & REQ_SAMPLE) {
		cpu_clear_request(c, REQ_SAMPLE);
		sample_next(c);
		sample_taken(c);
		tcg_trim(tcg_of(c), false);
	}
	if (r & ~(REQ_CALL | REQ_STARTED | REQ_SAMPLE) && cpu_handle_requests(c))
		c->halted = false;
	else if (r & tcg_closed(c) && !tcg_of(c)->interp)
		hold_requests(c);
	return false;
}

/* ---- a debugger's wishes ---- */

/* Between instructions: is there a reason to stop by now? */
static bool debug_stops(struct cpu *c)
{
	struct cpu_debug *d = &c->dbg;

	if (d->stepped && !d->why)
		d->why = DEBUG_STEP;
	if (!d->why)
		return false;
	d->step = d->stepped = false;
	unhold_all(c);
	return true;
}

/*
 * In front of an instruction: a breakpoint is here? Steps go over it. What cannot be
 * fetched faults first, so that the debugger finds the page there when it stops.
 */
static bool debug_breaks(struct cpu *c)
{
	struct cpu_debug *d = &c->dbg;
	bool seen = d->seen && d->seen_pc == debug_pc(c);
	uint64_t pa;
	uint32_t pf;

	d->seen = false;
	if (d->step) {
		d->stepped = true;
		return false;
	}
	if (!d->breaks.n || !debug_at_break(d, debug_pc(c)) ||
	    !mmu_fetch_page(c, PAGE_OF(debug_pc(c)), &pa, NULL, &pf))
		return false;
	if (seen) {
		tcg_of(c)->single_next = true;
		return false;
	}
	d->why = DEBUG_BREAK;
	return true;
}

/* Plugins have seen an instruction begin that nothing may come in between. */
static bool begun_already(const struct tcg *t)
{
	return t->plug && t->plug->again && !t->plug->open;
}

static void sleep_now(struct cpu *c)
{
	tcg_trim(tcg_of(c), true);
	if (tcg_of(c)->plug)
		plug_wait(c);
	else
		cpu_wait(c);
	sample_awake(c);
}

/* The first instruction after a start-up IPI: its sender waits for it. */
static void run_first(struct cpu *c)
{
	run_single(c, c->mode);
	c->first = false;
	cpu_end_start_ipi(c);
}

static enum accel_exit run_inside(struct cpu *c)
{
	struct tcg *t = tcg_of(c);
	enum accel_exit why;

	tcg_take_breaks(t);
	if (__builtin_setjmp(t->jmp)) {
		end_alone(c);
		if (t->single)
			c->dr6_pending = t->met_before;
		t->single = false;
		t->current = NO_TB;
		if (c->dbg.again)
			t->single_next = true;
		c->dbg.again = false;
		if (t->plug)
			plug_unwound(c, t->single_next);
		fpu_error_first(c);
	}
	for (;;) {
		next_round(t);
		if (c->exc_vector >= 0)
			cpu_deliver_pending(c);
		if (c->dr6_pending)
			cpu_single_step_trap(c);
		if (debug_stops(c))
			return ACCEL_DEBUG;
		tcg_unhold(c);
		if (atomic_load(&c->request) && !begun_already(t) && requests(c, &why))
			return why;
		if (c->halted || c->wait_sipi) {
			if (!cpu_has_work(c))
				sleep_now(c);
			else if (c->halted && !(atomic_load(&c->request) & (REQ_INIT | REQ_SIPI)))
				c->halted = false;
			continue;
		}
		if (debug_breaks(c))
			continue;
		if (c->first)
			run_first(c);
		else if (t->single_next || c->dbg.step || c->shadow || c->mode & (MODE_TF | MODE_DEBUG))
			run_single(c, c->mode);
		else
			run_many(c);
	}
}

static enum accel_exit run(struct cpu *c)
{
	enum accel_exit why;

	cpu_inside(c);
	why = run_inside(c);
	cpu_outside(c);
	return why;
}

/* ---- accel_ops ---- */

static bool create(struct cpu *c, bool interp, struct err *e)
{
	struct tcg *t;

	memset(c->accel_mem, 0, offsetof(struct x64_env, jc_tag));
	memset(x64_env(c)->jc_mode, 0xff, sizeof(x64_env(c)->jc_mode));		/* JC_NO_MODE */
	tcg_jc_flush(c);
	x64_env(c)->self = c;
	t = tcg_new(c, interp, e);
	if (!t)
		return false;
	c->accel = t;
	c->seen = NULL;
	tcg_itlb_flush(c, false);
	mmu_flush(c, false);
	c->unwind = unwind;
	c->code_written = tcg_code_written;
	c->mapping_changed = mapping_changed;
	c->heavy = heavy;
	c->call_out = call_out;
	if (c->plugins && !(t->plug = plug_cpu_new(c, e)))
		return false;
	if (!interp) {
		hostfault_init(c);
		if (syscall(SYS_arch_prctl, ARCH_SET_GS, (char *)c + GS_AT))
			return err_errno(e, "setting the gs base");
		sample_start(c);
	}
	if (t->plug)
		plug_event(c, RHEA_VCPU_INIT);
	return true;
}

static bool create_tcg(struct cpu *c, struct err *e) { return create(c, false, e); }
static bool create_interp(struct cpu *c, struct err *e) { return create(c, true, e); }

static void destroy(struct cpu *c)
{
	struct plug_cpu *plug = tcg_of(c)->plug;

	sample_stop(c);
	if (plug)
		plug_event(c, RHEA_VCPU_EXIT);
	tcg_free(tcg_of(c));
	plug_cpu_free(plug);
	c->accel = NULL;
	c->code_written = NULL;
	c->mapping_changed = NULL;
	c->heavy = NULL;
	c->call_out = NULL;
}

/* Generated code looks at cpu->request by itself. */
static void kick(struct cpu *c) { (void)c; }
static void nothing(struct cpu *c) { (void)c; }

/* Code depends on whether RDTSC may be the host's: another answer, and all of it goes before it runs again. */
static void put(struct cpu *c)
{
	struct code_cache *k = tcg_of(c) ? tcg_of(c)->cache : NULL;
	uint64_t feat[2];

	if (!k)
		return;
	cpuid_insn_features(c, feat);
	if (!memcmp(feat, k->feat, sizeof(feat)))
		return;
	memcpy(k->feat, feat, sizeof(feat));
	pthread_mutex_lock(&k->writes_lock);
	k->n_writes = ARRAY_LEN(k->writes) + 1;
	for (unsigned i = 0; i < k->n_users; i++)
		cpu_request(k->user[i]->cpu, REQ_CALL);
	pthread_mutex_unlock(&k->writes_lock);
}

const struct accel_ops tcg_accel = {
	.name = "tcg", .create = create_tcg, .destroy = destroy, .run = run,
	.kick = kick, .get = nothing, .put = put,
};

const struct accel_ops tcg_interp_accel = {
	.name = "tcg,interp=on", .create = create_interp, .destroy = destroy, .run = run,
	.kick = kick, .get = nothing, .put = put,
};

/* ---- what people may ask ---- */

/* vCPUs may leave meanwhile. */
static struct tcg_stats all_stats(struct code_cache *k)
{
	struct tcg_stats sum = { 0 };

	pthread_mutex_lock(&k->writes_lock);
	for (unsigned u = 0; u < k->n_users; u++) {
		const uint64_t *from = (const uint64_t *)(const void *)&k->user[u]->stats;

		for (unsigned i = 0; i < sizeof(sum) / 8; i++)
			((uint64_t *)(void *)&sum)[i] += from[i];
	}
	pthread_mutex_unlock(&k->writes_lock);
	return sum;
}

int tcg_stats_text(struct cpu *c, char *buf, int n)
{
	struct tcg *t = tcg_of(c);
	const struct tcg_stats all = all_stats(t->cache), *s = &all;
	double sec = tcg_seconds(t, s->translate_ticks);

	return snprintf(buf, (size_t)n,
		"blocks            %u of %u, %llu translated, %llu of them regions, %llu dropped, %llu flushes\n"
		"guest code        %llu instructions, %llu bytes\n"
		"host code         %llu bytes, %.2f for each guest byte\n"
		"translation       %.3f s, %.2f million guest instructions a second\n"
		"returned to loop  %llu look-up, %llu unlinked, %llu request, %llu host fault, %llu single\n"
		"light look-ups    %llu find, %llu link, %llu guard\n"
		"slow accesses     %llu read, %llu write, %llu by pieces, %llu to code pages\n"
		"shared proofs     %llu refills, %llu fallbacks; %llu wrong guesses of flags\n"
		"other addresses   %llu blocks moved\n"
		"made for nothing  %llu as another processor was first, %llu overwritten\n",
		tcg_count_tbs(t->cache), MAX_TBS, (unsigned long long)s->translations, (unsigned long long)s->regions,
		(unsigned long long)s->killed,
		(unsigned long long)s->flushes, (unsigned long long)s->guest_insns,
		(unsigned long long)s->guest_bytes, (unsigned long long)s->host_bytes,
		s->guest_bytes ? (double)s->host_bytes / (double)s->guest_bytes : 0.0, sec,
		sec > 0 ? (double)s->guest_insns / sec / 1e6 : 0.0,
		(unsigned long long)s->exits[X64_LOOKUP], (unsigned long long)s->exits[X64_LINK],
		(unsigned long long)s->exits[X64_REQUEST], (unsigned long long)s->exits[X64_HOST_FAULT],
		(unsigned long long)s->singles, (unsigned long long)s->finds, (unsigned long long)s->resolves,
		(unsigned long long)s->guards, (unsigned long long)s->slow_reads,
		(unsigned long long)s->slow_writes, (unsigned long long)s->mmio,
		(unsigned long long)s->smc_stores, (unsigned long long)s->groups,
		(unsigned long long)s->noshare, (unsigned long long)s->mispeeks, (unsigned long long)s->moves,
		(unsigned long long)s->twins,
		(unsigned long long)s->spoilt);
}

bool tcg_perfmap(struct cpu *c, struct err *e)
{
	struct code_cache *k = tcg_of(c)->cache;

	if (k->perf)
		return true;
	k->perf = perfmap_new(e);
	if (!k->perf)
		return false;
	k->x.want_parts = true;
	if (!k->interp)
		perfmap_stubs(k->perf, &k->x, k->blocks_start + k->rx);
	return true;
}
