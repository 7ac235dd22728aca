/*
 * Flag liveness: which arithmetic flags somebody reads before they are written
 * again. One walk backward over the block; what lies behind a direct exit is
 * asked for by address, anything else counts as reading all of them. A region is walked
 * until its labels, which at first count as reading none, have all that the code behind them reads.
 *
 * Source: SDM vol. 1 appendix A; the rows of uop.def and insn.def.
 */
#include "cpu/decode.h"
#include "tcg/pass.h"

struct walk {
	struct ir *ir;
	uint16_t (*live_at)(void *opaque, uint64_t rip);
	void *opaque;
	bool again;		/* not the first one: what lies outside is known */
};

static uint16_t live_at_label(const struct ir *ir, int64_t rip)
{
	const struct uop *u = ir->uops;

	while (u->op != UOP_label || u->imm != rip)
		u++;
	return u->fl;
}

static uint16_t target_flags(const struct walk *w, const struct uop *u)
{
	if (uop_jumps(u) && u->aux == U_INSIDE)
		return live_at_label(w->ir, u->imm);
	return w->again ? u->flx : w->live_at(w->opaque, (uint64_t)u->imm);
}

/* Flags live before an exit, given those live behind it. */
static uint16_t exit_flags(const struct walk *w, struct uop *u, uint16_t live)
{
	switch (u->op) {
	case UOP_jmp:
		u->flx = target_flags(w, u);
		u->fl = 0;
		return u->flx;
	case UOP_jcc:
	case UOP_jrz:
	case UOP_jrnz:
		u->flx = target_flags(w, u);
		return live | u->flx;
	case UOP_poll:		/* comes back behind itself */
		u->flx = live;
		return live;
	default:
		u->flx = FL_ARITH;
		u->fl = 0;
		return FL_ARITH;
	}
}

/* False: what was counted on at some label was too little. */
static bool walk(struct walk *w)
{
	struct ir *ir = w->ir;
	uint16_t live = FL_ARITH;
	bool done = true;

	for (unsigned i = ir->n_uops; i-- > 0;) {
		struct uop *u = &ir->uops[i];

		if (u->op == UOP_label)
			done &= u->fl == live;
		u->fl = live;
		if (uop_info[u->op].kind == K_EXIT)
			live = exit_flags(w, u, live);
		else
			u->flx = 0;
		live &= ~uop_flags_written(u, ir->insns);
		live |= uop_flags_read(u, ir->insns);
	}
	w->again = true;
	return done;
}

void opt_flags(struct ir *ir, uint16_t (*live_at)(void *opaque, uint64_t rip), void *opaque)
{
	struct walk w = { .ir = ir, .live_at = live_at, .opaque = opaque };

	for (unsigned i = 0; ir->mode & MODE_REGION && i < ir->n_uops; i++)
		if (ir->uops[i].op == UOP_label)
			ir->uops[i].fl = 0;
	while (!walk(&w))
		continue;
}

void opt_flags_none(struct ir *ir)
{
	for (unsigned i = 0; i < ir->n_uops; i++)
		ir->uops[i].fl = ir->uops[i].flx = FL_ARITH;
}

/* ---- guest code not translated yet ---- */

/* How far to look; most code writes all flags within two or three instructions. */
#define LOOK_AHEAD 8

/*
 * Rows of shifts list the flags that a count of 0 leaves alone as read. Nobody
 * reads those here; they are written for certain if the count is a constant.
 */
static bool count_is_nonzero(const struct insn *in)
{
	return in->opd[in->nopd - 1].kind == OPD_IMM && in->imm & (in->opd[0].size == 8 ? 63 : 31);
}

/* The instruction there, and which flags it certainly writes; NULL: there is none. */
static const struct insn_row *look_at(const struct insn_env *env, const uint8_t *bytes, unsigned room, unsigned *len,
				      uint16_t *written)
{
	const struct insn_row *row = env->memo && room >= INSN_WIDE ? decode_skim(bytes, env, len) : NULL;
	struct insn in;
	bool all;

	if (row && !insn_is_shift(row)) {
		all = true;
	} else {
		if (insn_decode(bytes, room, env, &in) != INSN_OK)
			return NULL;
		row = insn_row(&in);
		*len = in.len;
		all = !insn_is_shift(row) || count_is_nonzero(&in);
	}
	*written = all ? row->fl_written | row->fl_undef : 0;
	return row;
}

uint16_t flags_needed(const struct insn_env *env, const uint8_t *bytes, unsigned n, unsigned room)
{
	uint16_t needed = 0, open = FL_ARITH, written;
	unsigned len;

	for (int i = 0; i < LOOK_AHEAD && open; i++) {
		const struct insn_row *row = look_at(env, bytes, room, &len, &written);

		if (!row || len > n)
			break;
		needed |= insn_flags_read(row) & open;
		open &= ~needed & ~written;
		if (row->attr & A_END)
			break;
		bytes += len;
		n -= len;
		room -= len;
	}
	return needed | open;
}
