/* hw/core/keys.def: no name, code, usage or keysym stands for two keys. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/input.h"
#include "ui/keymap.h"

struct row { const char *name; int code; unsigned usage; uint32_t plain, shifted; };

static const struct row rows[] = {
#define KEY(name, code, usage, symbol, shifted) { name, code, usage, symbol, shifted },
#define ALIAS(name, code) { name, code, 0, 0, 0 },
#define SYMBOL(symbol, code) { "", code, 0, symbol, 0 },
#include "hw/core/keys.def"
#undef KEY
#undef ALIAS
#undef SYMBOL
};

static bool shares_symbol(const struct row *a, const struct row *b)
{
	return (a->plain && (a->plain == b->plain || a->plain == b->shifted)) ||
	       (a->shifted && (a->shifted == b->plain || a->shifted == b->shifted));
}

Test(keymap, no_row_repeats_another)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < i; j++) {
			const struct row *a = &rows[i], *b = &rows[j];

			cr_expect(!*a->name || strcmp(a->name, b->name), "%s twice", a->name);
			cr_expect(!a->usage || a->usage != b->usage, "%s, %s: one usage", a->name, b->name);
			cr_expect(!a->usage || !b->usage || a->code != b->code, "%s, %s: one code", a->name, b->name);
			cr_expect_not(shares_symbol(a, b), "rows %zu and %zu share a keysym", i, j);
		}
}

Test(keymap, every_ascii_character_has_a_key)
{
	unsigned need;

	for (uint32_t ch = ' '; ch < 0x7f; ch++)
		cr_expect(keymap_symbol(ch, &need), "%c", ch);
	cr_expect_eq(keymap_symbol('A', &need), 0x1e);
	cr_expect_eq(need, KEYMAP_SHIFT);
	cr_expect_eq(keymap_symbol('a', &need), 0x1e);
	cr_expect_eq(need, 0);
	cr_expect_eq(keymap_usage(4), 0x1e);
	cr_expect_eq(keymap_usage(0xe4), KEY_EXT | 0x1d);
	cr_expect_eq(keymap_usage(1000), 0);
}
