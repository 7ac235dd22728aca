/*
 * Plugins' µops (tcg/plug.h) to host code: counters and streams stand in memory of the
 * vCPU's own, whose address is in env->plug. The guest's flags stay where they are, but in front
 * of a block, where room in a stream is looked for.
 */
#include "tcg/plug.h"
#include "tcg/x64/lower.h"

/* r15 = the vCPU's memory. */
static void memory(struct lower *l)
{
	load(&l->c, 8, H_TMP, hop_gs(ENV_OFF(plug)));
}

void lower_plug_add(struct lower *l, const struct uop *u)
{
	struct hop counter = hop_mem(H_TMP, (int32_t)(uint32_t)u->imm);
	int32_t n = (int32_t)(u->imm >> 32);

	memory(l);
	if (l->flags == FLAGS_HOST && u->fl) {
		load(&l->c, 8, H_M, counter);
		ins(&l->c, 0x8d, 8, H_M, hop_mem(H_M, n));
		store(&l->c, 8, counter, H_M);
		return;
	}
	l->flags = FLAGS_MEM;
	alu_ri(&l->c, ALU_ADD, 8, counter, n);
}

/* r14 = linear address of the probe that comes. */
void lower_plug_va(struct lower *l, const struct uop *u)
{
	bool is64 = (l->ir->mode & MODE_CODE) == MODE_CODE64, flat = l->ir->mode & MODE_FLAT && u->pad != FS && u->pad != GS;
	int32_t base = CPU_OFF(segs) + u->pad * (int32_t)sizeof(struct seg) + (int32_t)offsetof(struct seg, base);

	lower_address(l, u, H_M);
	if (!(u->c & PROBE_NOSEG) && (is64 ? u->pad == FS || u->pad == GS : !flat)) {
		load(&l->c, 8, H_TMP, hop_gs(base));
		ins(&l->c, 0x8d, 8, H_M, hop_sib(H_M, H_TMP, 0, 0));
	}
	if (!is64)
		mov_rr(&l->c, 4, H_M, H_M);
	store(&l->c, 8, hop_gs(ENV_OFF(plug_va) + 8 * u->aux), H_M);
}

void lower_plug_log(struct lower *l, const struct uop *u)
{
	const struct plug_entry *e = (const struct plug_entry *)(uintptr_t)u->imm;
	struct hop next = hop_mem(H_TMP, (int32_t)(e->stream + offsetof(struct plug_stream, next)));
	const int32_t n = sizeof(struct rhea_trace);
	uint64_t rest;

	_Static_assert(sizeof(struct rhea_trace) == 16 && offsetof(struct rhea_trace, tag) == 8, "two words");
	rest = e->t.tag | (uint64_t)e->t.size << 32 | (uint64_t)e->t.how << 48;
	memory(l);
	load(&l->c, 8, H_M, next);
	ins(&l->c, 0x8d, 8, H_M, hop_mem(H_M, n));
	store(&l->c, 8, next, H_M);
	if (e->slot >= 0)
		load(&l->c, 8, H_TMP, hop_gs(ENV_OFF(plug_va) + 8 * e->slot));
	else
		mov_ri(&l->c, H_TMP, e->t.va);
	store(&l->c, 8, hop_mem(H_M, -n), H_TMP);
	mov_ri(&l->c, H_TMP, rest);
	store(&l->c, 8, hop_mem(H_M, 8 - n), H_TMP);
}

static void cold_room(struct lower *l, struct cold *k)
{
	cold_land(l, k);
	mov_ri(&l->c, H_TMP, k->imm);
	store(&l->c, 8, hop_gs(CPU_OFF(tmp)), H_TMP);
	call_to(&l->c, l->x->stubs.thunk[HELPER_plug_drain]);
	jmp_to(&l->c, k->back + l->c.rx);
}

void lower_plug_room(struct lower *l, const struct uop *u)
{
	int32_t at = (int32_t)(uint32_t)u->imm;
	struct cold *k;

	flags_clobber(l, u);
	memory(l);
	load(&l->c, 8, H_M, hop_mem(H_TMP, at + (int32_t)offsetof(struct plug_stream, next)));
	alu_rm(&l->c, ALU_CMP, 8, H_M, hop_mem(H_TMP, at + (int32_t)offsetof(struct plug_stream, limit)));
	k = cold_new(l, cold_room);
	k->imm = (uint64_t)u->imm;
	k->at[0] = jcc_rel32(&l->c, CC_NC);
	k->back = l->c.p;
}
