/* Linking: pointing a block's exits at other blocks while code may be running. */
#include "tcg/x64/x64.h"

void x64_set_link(const struct x64_link *l, intptr_t rx, const uint8_t *target, uint16_t needs)
{
	struct code c = { .rx = rx };

	if (!target) {
		fix32(&c, l->hot, l->cold ? l->save : l->thunk);
		if (l->cold)
			fix32(&c, l->cold, l->thunk);
	} else if (l->cold && needs & l->flx) {
		fix32(&c, l->cold, target);
		fix32(&c, l->hot, l->save);
	} else {
		fix32(&c, l->hot, target);
	}
}
