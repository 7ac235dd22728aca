/* Linking: pointing a block's exits at other blocks while code may be running. */
#include "tcg/x64/x64.h"

static void point(const struct x64 *x, uint32_t rel32, const uint8_t *rx_target)
{
	fix32(&x->thunk_code, x->base + rel32, rx_target);
}

/* A jump (0xe9) or call (0xe8) to rx_target. */
static void put(const struct x64 *x, uint32_t at, uint8_t op, const uint8_t *rx_target)
{
	x->base[at] = op;
	point(x, at + 1, rx_target);
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
