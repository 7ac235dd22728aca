/*
 * Linking: pointing a block's exits at other blocks while code may be running, on other threads, too; guards of
 * blocks that were made without (see cache.h); and code that moves to another RIP (see move_light.c).
 */
#include "tcg/x64/x64.h"

static void point(const struct x64 *x, uint32_t rel32, const uint8_t *rx_target)
{
	fix32(&x->thunk_code, x->base + rel32, rx_target);
}

/* A jump (0xe9) or call (0xe8) to rx_target; where other threads may run it, in one store (see lower_exit.c). */
static void put(const struct x64 *x, uint32_t at, uint8_t op, const uint8_t *rx_target)
{
	uint8_t *p = x->base + at, bytes[8];
	unsigned in = (uintptr_t)p & 7;

	if (in + 5 > 8) {
		*p = op;
		point(x, at + 1, rx_target);
		return;
	}
	st64(bytes, ld64(p - in));
	bytes[in] = op;
	st32(bytes + in + 1, (uint32_t)(rx_target - (p + 5 + x->thunk_code.rx)));
	__atomic_store_n((uint64_t *)(void *)(p - in), ld64(bytes), __ATOMIC_RELEASE);
}

static void unlink(const struct x64 *x, const struct x64_link *l)
{
	if (!l->thunk) {
		put(x, l->hot - 1, 0xe8, x->stubs.link);
		return;
	}
	point(x, l->hot, x->base + x->thunk_code.rx + l->thunk - l->save);
	put(x, l->thunk, 0xe8, x->stubs.link);
}

void x64_set_link(const struct x64 *x, const struct x64_link *l, const uint8_t *target, uint16_t needs)
{
	if (!target) {
		unlink(x, l);
	} else if (l->save && needs & l->flx) {
		put(x, l->thunk, 0xe9, target);
		point(x, l->hot, x->base + x->thunk_code.rx + l->thunk - l->save);
	} else if (!l->thunk) {
		put(x, l->hot - 1, 0xe9, target);
	} else {
		point(x, l->hot, target);
	}
}

uint8_t *x64_make_guard(const struct x64 *x, uint8_t *p, uint32_t slot, uint32_t id, uint32_t tb, const uint8_t *entry)
{
	struct code c = { .p = p, .rx = x->thunk_code.rx };

	e8(&c, 0x65); e8(&c, 0x81); e8(&c, 0x3c); e8(&c, 0x25);	/* cmp dword gs:[itlb + 4 * slot], id */
	e32(&c, (uint32_t)(ENV_OFF(itlb) - GS_AT) + 4 * slot);
	e32(&c, id);
	e8(&c, 0x0f); e8(&c, 0x84);				/* jz entry */
	e32(&c, 0);
	fix32(&c, c.p - 4, entry);
	e8(&c, 0x41); e8(&c, 0xbf);				/* mov r15d, tb */
	e32(&c, tb);
	e8(&c, 0xe9);						/* jmp guard */
	e32(&c, 0);
	fix32(&c, c.p - 4, x->stubs.guard);
	return c.p;
}

void x64_move_guard(uint8_t *p, uint32_t slot)
{
	st32(p + 4, (uint32_t)(ENV_OFF(itlb) - GS_AT) + 4 * slot);
}

void x64_move(uint8_t *code, uint8_t *cold, const uint8_t *m, uint64_t by)
{
	uint64_t v = 0;

	for (unsigned n = *m++; n; n--, m += 2) {
		unsigned w = ld16(m);
		uint8_t *at = (w & X64_MOVE_COLD ? cold : code) + (w & X64_MOVE_PLACE);

		if (w & X64_MOVE_ENTRY) {
			st32(at, ld32(at) + (uint32_t)TLB_OFF(v) - (uint32_t)TLB_OFF(v - by));
		} else {
			v = ld64(at) + by;
			st64(at, v);
		}
	}
}
