/*
 * Plugins: hooks into the µops of a block. The first of all passes; those behind it see calls,
 * and µops that touch neither flags nor guest registers.
 *
 * Of an instruction come in this order:
 *	additions that earlier ones have left, if it may raise in C or calls a plugin
 *	what stands in front of it
 *	its µops; before a probe, where it will access; around helpers, that accesses be noted
 *	its accesses and counters: in front of its first exit, or at its end
 * A return that takes its target from memory does that with two µops, so that there is room
 * between them.
 */
#include <string.h>

#include "base/log.h"
#include "tcg/cache.h"
#include "tcg/plug.h"

#define MAX_PENDING 16

struct weave {
	struct rhea_block *b;
	struct uop *out;
	unsigned n;
	bool full;
	bool again;
	struct plug_add pending[MAX_PENDING];	/* additions of instructions that are complete */
	unsigned n_pending;
	/* The instruction under way. */
	uint16_t insn;
	const struct plug_mem *mem;	/* its memory hooks, or NULL */
	unsigned mem_kinds[3];		/* what those of each kind want */
	unsigned n_probes;
	struct uop probe[PLUG_SLOTS];	/* its accesses */
	bool armed, told, complete;
};

static struct uop *put(struct weave *w, const struct uop *u)
{
	if (w->n == IR_MAX_UOPS) {
		w->full = true;
		w->n--;
	}
	w->out[w->n] = *u;
	return &w->out[w->n++];
}

static struct uop *put_op(struct weave *w, enum uop_op op, int64_t imm)
{
	struct uop u = { .op = op, .d = OP_NONE, .a = OP_NONE, .b = OP_NONE, .insn = w->insn, .imm = imm };

	return put(w, &u);
}

static struct uop *put_call(struct weave *w, enum helper h, const void *record)
{
	struct uop *u = put_op(w, UOP_call, (int64_t)(uintptr_t)record);

	u->size = 8;
	u->aux = h;
	return u;
}

static void put_add(struct weave *w, uint32_t counter, int32_t n)
{
	put_op(w, UOP_plug_add, (int64_t)((uint64_t)(uint32_t)n << 32 | counter));
}

static uint64_t rip_of(const struct weave *w)
{
	return w->b->ir->rip + w->b->ir->off[w->insn];
}

/* ---- additions that wait ---- */

static void flush(struct weave *w, unsigned insn)
{
	uint16_t was = w->insn;

	w->insn = (uint16_t)insn;
	for (unsigned i = 0; i < w->n_pending; i++)
		put_add(w, w->pending[i].counter, w->pending[i].n);
	w->n_pending = 0;
	w->insn = was;
}

static void later(struct weave *w, uint32_t counter, int32_t n)
{
	int64_t sum;

	for (unsigned i = 0; i < w->n_pending; i++) {
		sum = (int64_t)w->pending[i].n + n;
		if (w->pending[i].counter == counter && sum == (int32_t)sum) {
			w->pending[i].n = (int32_t)sum;
			return;
		}
	}
	if (w->n_pending == MAX_PENDING)
		flush(w, w->insn);
	w->pending[w->n_pending++] = (struct plug_add){ counter, n };
}

/* The instruction may stop: note what waits in front of it. */
static void remember(struct weave *w)
{
	struct rhea_block *b = w->b;
	struct plug_add *add;

	if (!w->n_pending)
		return;
	add = plug_alloc(b->t, w->n_pending * sizeof(*add));
	for (unsigned i = 0; i < w->n_pending; i++)
		add[i] = w->pending[i];
	b->left[b->n_left++] = (struct plug_left_at){ b->ir->off[w->insn], (uint16_t)w->n_pending, add };
}

/* What was noted, for tcg_stop_at(). */
static const struct plug_left *keep_left(const struct rhea_block *b)
{
	struct plug_left *l;

	if (!b->n_left)
		return NULL;
	l = plug_alloc(b->t, sizeof(*l) + b->n_left * sizeof(l->at[0]));
	l->n = b->n_left;
	for (unsigned i = 0; i < l->n; i++)
		l->at[i] = b->left[i];
	return l;
}

/* ---- the kinds of µops ---- */

static bool raises(const struct uop *u)
{
	return u->op == UOP_call && !(helper_info[u->aux].attr & H_NORAISE);
}

/* Strings that may have to be begun again: those of ports return 1 then, others 0. */
static bool is_string(const struct uop *u, bool *is_port)
{
	switch (u->aux) {
	case HELPER_ins: case HELPER_outs:
		*is_port = true;
		return u[1].op == UOP_jrz;
	case HELPER_rep_movs: case HELPER_rep_stos: case HELPER_rep_lods: case HELPER_rep_cmps: case HELPER_rep_scas:
		*is_port = false;
		return true;
	default:
		return false;
	}
}

/* Does the µop end its instruction as it should? */
static bool ends(const struct uop *u)
{
	return uop_info[u->op].kind == K_EXIT && u->op != UOP_raise;
}

/* May it leave in the middle of its instruction, with nobody to make up for what waits? Or does control join? */
static bool leaves(const struct uop *u)
{
	return u->op == UOP_label || u->op == UOP_raise || raises(u);
}

/* Does it fault so that tcg_stop_at() is called? */
static bool stops(const struct uop *u)
{
	unsigned kind = uop_info[u->op].kind;

	return kind == K_MEM || kind == K_HOST || u->op == UOP_div1 || u->op == UOP_idiv1;
}

/* ---- in front of an instruction ---- */

static void put_entry(struct weave *w, const struct plug_memhook *m, struct rhea_trace t, int slot)
{
	struct plug_entry *e = plug_alloc(w->b->t, sizeof(*e));

	t.tag = m->arg;
	*e = (struct plug_entry){ t, m->at, slot };
	put_op(w, UOP_plug_log, (int64_t)(uintptr_t)e);
}

static void put_callback(struct weave *w, const struct plug_hook *h)
{
	struct plug_call *k = plug_alloc(w->b->t, sizeof(*k));

	*k = (struct plug_call){ h->fn, h->m.data };
	put_call(w, h->flags & RHEA_REGS ? HELPER_plug_regs : HELPER_plug_call, k);
}

static void put_front(struct weave *w, unsigned first)
{
	const struct ir *ir = w->b->ir;
	unsigned len = ir->insns[w->insn].len;

	for (unsigned i = first; i; i = w->b->hook[i].next) {
		const struct plug_hook *h = &w->b->hook[i];
		struct rhea_trace t = { .va = ir->cs_base + rip_of(w), .size = (uint16_t)(len ? len : 1) };

		if (h->where != HOOK_BLOCK && h->where != HOOK_BEFORE)
			continue;
		if (h->m.kind == PLUG_CALL)
			put_callback(w, h);
		else if (h->m.kind == PLUG_ADD)
			put_add(w, h->m.at, (int32_t)h->m.arg);
		else
			put_entry(w, &h->m, t, -1);
	}
}

static bool calls_in_front(const struct weave *w, unsigned first)
{
	for (unsigned i = first; i; i = w->b->hook[i].next)
		if (w->b->hook[i].where == HOOK_BEFORE && w->b->hook[i].m.kind == PLUG_CALL)
			return true;
	return false;
}

/* Streams of the block get room at its start. */
static void put_rooms(struct weave *w)
{
	uint32_t done[PLUG_MAX_STREAMS];
	unsigned n = 0, k;

	for (unsigned i = 1; i <= w->b->n_hooks; i++) {
		const struct plug_memhook *m = &w->b->hook[i].m;

		if (m->kind != PLUG_TRACE)
			continue;
		for (k = 0; k < n && done[k] != m->at; k++)
			;
		if (k < n || n == PLUG_MAX_STREAMS)
			continue;
		done[n++] = m->at;
		put_op(w, UOP_plug_room, m->at);
	}
}

/* ---- accesses ---- */

/* The memory hooks of the instruction, as a record. */
static void take_memory(struct weave *w, unsigned first)
{
	struct plug_mem *m;
	unsigned n = 0;

	w->mem = NULL;
	memset(w->mem_kinds, 0, sizeof(w->mem_kinds));
	for (unsigned i = first; i; i = w->b->hook[i].next)
		n += w->b->hook[i].where == HOOK_MEM;
	if (!n)
		return;
	m = plug_alloc(w->b->t, sizeof(*m) + n * sizeof(m->hook[0]));
	m->rip = rip_of(w);
	m->n = 0;
	for (unsigned i = first; i; i = w->b->hook[i].next)
		if (w->b->hook[i].where == HOOK_MEM) {
			m->hook[m->n] = w->b->hook[i].m;
			w->mem_kinds[m->hook[m->n++].kind] |= w->b->hook[i].m.how;
		}
	w->mem = m;
}

/*
 * What a probe is for, as the manual has it. For reading and writing is also one that only
 * checks (ENTER's new top of the stack), and one of x87 stores, whose operand stays if they fault.
 */
static unsigned kind_of(const struct uop *u)
{
	unsigned how = u->c & PROBE_KIND;

	if (how != PROBE_RW)
		return how;
	return u[1].op == UOP_x87 ? PROBE_W : u[1].op == UOP_mov && u[1].d != OP_M ? 0 : how;
}

static void put_probe(struct weave *w, const struct uop *u)
{
	unsigned how = kind_of(u);

	if (w->mem && how && w->n_probes < PLUG_SLOTS) {
		w->probe[w->n_probes] = *u;
		w->probe[w->n_probes].c = (uint8_t)((u->c & ~PROBE_KIND) | how);
		if ((w->mem_kinds[PLUG_CALL] | w->mem_kinds[PLUG_TRACE]) & how) {
			struct uop va = *u;

			va.op = UOP_plug_va;
			va.pad = u->d;
			va.d = OP_NONE;
			va.aux = (uint16_t)w->n_probes;
			put(w, &va);
		}
		w->n_probes++;
	}
	put(w, u);
}

/* One that the block's own code has made. */
static void tell_probe(struct weave *w, unsigned slot)
{
	const struct uop *u = &w->probe[slot];
	unsigned how = u->c & PROBE_KIND;
	struct rhea_trace t = { .size = u->size, .how = (uint16_t)how };
	struct plug_access *a;

	for (unsigned i = 0; i < w->mem->n; i++) {
		const struct plug_memhook *m = &w->mem->hook[i];

		if (m->how & how && m->kind == PLUG_ADD)
			later(w, m->at, (int32_t)m->arg);
		else if (m->how & how && m->kind == PLUG_TRACE)
			put_entry(w, m, t, (int)slot);
	}
	if (!(w->mem_kinds[PLUG_CALL] & how))
		return;
	a = plug_alloc(w->b->t, sizeof(*a));
	*a = (struct plug_access){ w->mem, u->size, how, slot };
	put_call(w, HELPER_plug_mem, a);
}

static void tell(struct weave *w)
{
	if (w->told)
		return;
	w->told = true;
	for (unsigned i = 0; i < w->n_probes; i++)
		tell_probe(w, i);
	if (w->armed)
		put_call(w, HELPER_plug_done, w->mem);
}

/* ---- an instruction ---- */

/* It can fault no more: its accesses and counters. */
static void complete(struct weave *w, unsigned first)
{
	if (w->complete)
		return;
	w->complete = true;
	tell(w);
	for (unsigned i = first; i; i = w->b->hook[i].next)
		if (w->b->hook[i].where == HOOK_AFTER)
			later(w, w->b->hook[i].m.at, (int32_t)w->b->hook[i].m.arg);
}

static void put_helper(struct weave *w, const struct uop *u, unsigned first)
{
	bool watch = w->mem && raises(u), is_port;
	struct uop *v;

	if (watch)
		put_call(w, HELPER_plug_arm, (const char *)w->mem + !w->armed);
	put(w, u);
	if (watch) {
		v = put_op(w, UOP_stenv, CPU_OFF(seen));
		v->a = OP_IMM;
		v->size = 8;
		w->armed = true;
	}
	if (!first || !is_string(u, &is_port))
		return;
	tell(w);			/* before it is begun again */
	v = put_op(w, UOP_call, is_port);
	v->size = 8;
	v->aux = HELPER_plug_again;
	v->a = OP_T0;
}

/* jmpind M: into T0 first. The probe is the last µop in out. */
static void put_return(struct weave *w, const struct uop *u, unsigned first)
{
	struct uop get = { .op = u->size == 8 ? UOP_mov : UOP_zext, .size = 8, .d = OP_T0, .a = OP_M, .b = OP_NONE,
			   .c = u->size == 8 ? 0 : u->size, .insn = u->insn };
	struct uop go = *u;

	put(w, &get);
	complete(w, first);
	flush(w, w->insn);
	go.a = OP_T0;
	put(w, &go);
}

static void put_uop(struct weave *w, const struct uop *u, unsigned first)
{
	if (u->op == UOP_jmpind && u->a == OP_M && first) {
		put_return(w, u, first);
		return;
	}
	if (ends(u)) {
		complete(w, first);
		flush(w, w->insn);
	}
	if (u->op == UOP_probe)
		put_probe(w, u);
	else if (u->op == UOP_call)
		put_helper(w, u, first);
	else
		put(w, u);
}

static void put_insn(struct weave *w, const struct uop *u, const struct uop *end)
{
	unsigned first = w->b->first[w->insn];
	bool leave = false, stop = false, begun = w->again && !w->insn, raised;

	w->n_probes = 0;
	w->armed = w->told = w->complete = false;
	take_memory(w, first);
	for (const struct uop *v = u; v < end; v++) {
		leave |= leaves(v);
		stop |= stops(v);
	}
	/* Interpreted blocks have no side table to tell where they stop. */
	if (w->insn && (leave || calls_in_front(w, first) || w->b->t->interp))
		flush(w, w->insn - 1u);
	if (stop)
		remember(w);
	for (; u < end && u->op == UOP_label; u++)
		put(w, u);
	if (!begun && !w->insn)
		put_front(w, w->b->first[PLUG_BLOCK]);
	if (!begun)
		put_front(w, first);
	raised = u < end && end[-1].op == UOP_raise;
	for (; u < end; u++)
		put_uop(w, u, first);
	if (!raised)
		complete(w, first);
}

bool plug_weave(struct ir *ir, struct rhea_block *b)
{
	struct weave w = { .b = b, .out = b->out, .again = ir->mode & MODE_AGAIN };
	const struct uop *u = ir->uops, *end = u + ir->n_uops, *next;

	b->n_left = 0;
	b->t->plug->left_next = NULL;
	if (!b->n_hooks)
		return true;
	put_rooms(&w);
	for (unsigned i = 0; i < ir->n_insns; i++, u = next) {
		for (next = u; next < end && next->insn == i; next++)
			;
		w.insn = (uint16_t)i;
		put_insn(&w, u, next);
	}
	if (w.full)
		return false;
	b->t->plug->left_next = keep_left(b);
	ir->n_uops = w.n;
	for (unsigned i = 0; i < w.n; i++)
		ir->uops[i] = w.out[i];
	return true;
}
