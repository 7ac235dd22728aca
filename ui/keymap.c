/*
 * Keys by their many names.
 *
 * Not modelled: keyboard layouts other than the American one (-k).
 */
#include "ui/keymap.h"

#include <stddef.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/input.h"

static const struct { const char *name; int code; } names[] = {
#define KEY(name, code, usage, symbol, shifted) { name, code },
#define ALIAS(name, code) { name, code },
#define SYMBOL(symbol, code)
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
};

static const uint16_t code_of_usage[256] = {
#define KEY(name, code, usage, symbol, shifted) [usage] = code,
#define ALIAS(name, code)
#define SYMBOL(symbol, code)
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
};

static const struct { uint32_t plain, shifted; int code; } symbols[] = {
#define KEY(name, code, usage, symbol, shifted) { symbol, shifted, code },
#define ALIAS(name, code)
#define SYMBOL(symbol, code) { symbol, 0, code },
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
};

int keymap_name(const char *name, struct spell *near)
{
	spell_init(near, name);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(name, names[i].name))
			return names[i].code;
		spell_try(near, names[i].name);
	}
	return 0;
}

int keymap_usage(unsigned usage)
{
	return usage < ARRAY_LEN(code_of_usage) ? code_of_usage[usage] : 0;
}

int keymap_symbol(uint32_t symbol, enum keymap_shift *shift)
{
	bool character = symbol > ' ' && symbol < 0x7f;

	for (size_t i = 0; symbol && i < ARRAY_LEN(symbols); i++) {
		bool plain = symbols[i].plain == symbol;

		if (!plain && symbols[i].shifted != symbol)
			continue;
		*shift = !character ? KEYMAP_ANY : plain ? KEYMAP_PLAIN : KEYMAP_SHIFTED;
		return symbols[i].code;
	}
	return 0;
}
