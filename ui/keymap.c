/*
 * Keys by their many names. Other layouts than the American one are in layout.c.
 */
#include "ui/keymap.h"

#include <stddef.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/input.h"

enum { KEY_LESS = 0x56 };		/* makes characters, but not on an American keyboard */

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

const char *keymap_nth(unsigned n)
{
	return n < ARRAY_LEN(names) ? names[n].name : NULL;
}

int keymap_usage(unsigned usage)
{
	return usage < ARRAY_LEN(code_of_usage) ? code_of_usage[usage] : 0;
}

uint32_t keymap_key_symbol(int code, bool shifted)
{
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++)
		if (symbols[i].code == code)
			return shifted && symbols[i].shifted ? symbols[i].shifted : symbols[i].plain;
	return 0;
}

static bool is_character(uint32_t symbol)
{
	return symbol > ' ' && symbol < 0x7f;
}

bool keymap_is_character(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++)
		if (symbols[i].code == code)
			return is_character(symbols[i].plain) || code == KEY_LESS;
	return false;
}

int keymap_symbol(uint32_t symbol, unsigned *need)
{

	for (size_t i = 0; symbol && i < ARRAY_LEN(symbols); i++) {
		bool plain = symbols[i].plain == symbol;

		if (!plain && symbols[i].shifted != symbol)
			continue;
		*need = !is_character(symbol) ? KEYMAP_ANY : plain ? 0 : KEYMAP_SHIFT;
		return symbols[i].code;
	}
	return 0;
}
