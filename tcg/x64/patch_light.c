/* Linking: pointing a block's exits at other blocks while code may be running. */
#include "tcg/x64/x64.h"

static void point(const struct x64 *x, uint32_t rel32, const uint8_t *rx_target)
{
	fix32(&x->thunk_code, x->base + rel32, rx_target);
}

void x64_set_link(const struct x64 *x, const struct x64_link *l, const uint8_t *target, uint16_t needs)
{
	const uint8_t *rx_base = x->base + x->thunk_code.rx;

	if (!target) {
		point(x, l->hot, rx_base + (l->save ? l->save : l->thunk));
		if (l->save)
			point(x, l->cold, rx_base + l->thunk);
	} else if (l->save && needs & l->flx) {
		point(x, l->cold, target);
		point(x, l->hot, rx_base + l->save);
	} else {
		point(x, l->hot, target);
	}
}
