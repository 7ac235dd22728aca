/* Keyboard layouts: which key makes a character, as X says. */
#include <criterion/criterion.h>
#include <string.h>

#include "config.h"
#include "hw/core/input.h"
#include "ui/keymap.h"
#include "ui/layout.h"

#ifdef CONFIG_XKBCOMMON

#define SYM_EURO	0x20ac
#define SYM_DEAD_ACUTE	0xfe51

static struct layout *open_layout(const char *name)
{
	struct err e;
	struct layout *l = layout_new(name, &e);

	if (!l)
		cr_skip_test("%s", e.msg);		/* xkb-data is not there */
	return l;
}

static void check(const struct layout *l, uint32_t symbol, int code, unsigned need)
{
	unsigned n = 99;

	cr_expect_eq(layout_symbol(l, symbol, &n), code, "%#x", symbol);
	cr_expect_eq(n, need, "%#x", symbol);
}

Test(layout, german_keys)
{
	struct layout *l = open_layout("de");

	check(l, 'z', 0x15, 0);
	check(l, 'Y', 0x2c, KEYMAP_SHIFT);
	check(l, '@', 0x10, KEYMAP_ALTGR);
	check(l, 0xe4, 0x28, 0);			/* a with dots */
	check(l, 0x010000e4, 0x28, 0);			/* the same as Unicode */
	check(l, 0xdf, 0x0c, 0);			/* sharp s */
	check(l, '{', 0x08, KEYMAP_ALTGR);
	check(l, '<', 0x56, 0);
	check(l, '|', 0x56, KEYMAP_ALTGR);
	check(l, SYM_EURO, 0x12, KEYMAP_ALTGR);
	check(l, SYM_DEAD_ACUTE, 0x0d, 0);
	check(l, 0xff0d, 0x1c, KEYMAP_ANY);		/* Return, which makes no character */
	layout_free(l);
}

Test(layout, names_of_other_programs)
{
	struct layout *l = open_layout("en-gb");

	check(l, '"', 0x03, KEYMAP_SHIFT);
	check(l, 0xa3, 0x04, KEYMAP_SHIFT);		/* pound */
	layout_free(l);
	l = open_layout("fr");
	check(l, 'a', 0x10, 0);
	check(l, '1', 0x02, KEYMAP_SHIFT);
	layout_free(l);
	l = open_layout("ja");
	check(l, '_', 0x73, KEYMAP_SHIFT);
	layout_free(l);
}

Test(layout, what_a_layout_cannot_give_is_typed_as_american)
{
	struct layout *l = open_layout("ru");

	check(l, 'q', 0x10, 0);
	check(l, 0x6ca, 0x10, 0);			/* Cyrillic short i */
	layout_free(l);
}

Test(layout, nonsense_is_refused)
{
	struct err e;

	cr_assert_null(layout_new("klingon", &e));
	cr_assert(strstr(e.msg, "no keyboard layout 'klingon'"), "%s", e.msg);
}

#endif

Test(layout, the_american_one_needs_nothing)
{
	unsigned need;

	cr_assert_eq(layout_symbol(NULL, 'A', &need), 0x1e);
	cr_assert_eq(need, KEYMAP_SHIFT);
}
