/*
 * Keyboard layouts, by libxkbcommon: a table of all keysyms that the keys of a layout
 * give with and without Shift and AltGr.
 *
 * Not modelled: compose sequences, second groups (a Cyrillic layout's Latin one).
 * Source: libxkbcommon's xkbcommon/xkbcommon.h; evdev key codes (linux/input-event-codes.h),
 * which are X's less 8 and, for the keys that make characters, scan codes of set 1.
 */
#include "ui/layout.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "ui/keymap.h"

#ifdef CONFIG_XKBCOMMON

#include <xkbcommon/xkbcommon.h>

#include "base/bits.h"

#define MAX_SYMBOLS	512
#define EVDEV		8		/* X's codes count from there */
#define LAST_PLAIN_KEY	0x58

struct layout {
	int n;
	struct { uint32_t symbol; int16_t code; uint8_t need; } row[MAX_SYMBOLS];
};

/* Where X calls it otherwise. */
static const struct { const char *name, *layout, *variant; } names[] = {
	{ "en-us", "us", "" }, { "en-gb", "gb", "" }, { "de-ch", "ch", "" }, { "fr-ch", "ch", "fr" },
	{ "fr-be", "be", "" }, { "nl-be", "be", "" }, { "fr-ca", "ca", "" }, { "pt-br", "br", "" },
	{ "da", "dk", "" }, { "sv", "se", "" }, { "ja", "jp", "" }, { "et", "ee", "" }, { "sl", "si", "" },
	{ "ar", "ara", "" }, { "bepo", "fr", "bepo" },
};

/* Keys of other keyboards than the American one: evdev code, ours. */
static const struct { int evdev, code; } more_keys[] = {
	{ 89, 0x73 }, { 92, 0x79 }, { 93, 0x70 }, { 94, 0x7b }, { 124, 0x7d },
};

/* Characters are compared by what they are: there are two ways to spell many. */
static uint32_t canonical(uint32_t symbol)
{
	uint32_t ch = xkb_keysym_to_utf32(symbol);

	return ch > ' ' && ch != 0x7f ? ch | BIT(31) : symbol;
}

static void add(struct layout *l, uint32_t symbol, int code, unsigned need)
{
	symbol = canonical(symbol);
	for (int i = 0; i < l->n; i++)
		if (l->row[i].symbol == symbol)
			return;			/* the first way, with the fewest modifiers, is the best */
	if (l->n == MAX_SYMBOLS)
		return;
	l->row[l->n].symbol = symbol;
	l->row[l->n].code = (int16_t)code;
	l->row[l->n++].need = (uint8_t)need;
}

/* The level's keysyms, if Shift and AltGr are all it takes. */
static void add_level(struct layout *l, struct xkb_keymap *map, xkb_keycode_t key, int code, unsigned level,
		      unsigned wanted)
{
	xkb_mod_mask_t shift = 1u << xkb_keymap_mod_get_index(map, XKB_MOD_NAME_SHIFT);
	xkb_mod_mask_t altgr = 1u << xkb_keymap_mod_get_index(map, "Mod5"), masks[8];
	xkb_mod_mask_t want = (wanted & KEYMAP_SHIFT ? shift : 0) | (wanted & KEYMAP_ALTGR ? altgr : 0);
	size_t n = xkb_keymap_key_get_mods_for_level(map, key, 0, level, masks, ARRAY_LEN(masks));
	const xkb_keysym_t *symbols;

	for (size_t i = 0; i < n; i++) {
		if (masks[i] != want)
			continue;
		if (xkb_keymap_key_get_syms_by_level(map, key, 0, level, &symbols) == 1)
			add(l, symbols[0], code, wanted);
	}
}

static void add_key(struct layout *l, struct xkb_keymap *map, int evdev, int code, unsigned need)
{
	xkb_keycode_t key = (xkb_keycode_t)evdev + EVDEV;
	unsigned n = xkb_keymap_num_levels_for_key(map, key, 0);

	for (unsigned level = 0; level < n; level++)
		add_level(l, map, key, code, level, need);
}

static void fill(struct layout *l, struct xkb_keymap *map)
{
	for (unsigned need = 0; need <= (KEYMAP_SHIFT | KEYMAP_ALTGR); need++) {
		for (int code = 2; code <= LAST_PLAIN_KEY; code++)
			if (keymap_is_character(code))
				add_key(l, map, code, code, need);
		for (size_t i = 0; i < ARRAY_LEN(more_keys); i++)
			add_key(l, map, more_keys[i].evdev, more_keys[i].code, need);
	}
}

/* Names that are X's as well. */
static const char *const plain_names[] = {
	"cz", "de", "es", "fi", "fr", "hr", "hu", "is", "it", "lt", "lv", "mk", "nl", "no", "pl", "pt", "ru", "th", "tr",
};

void layout_list(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		fprintf(out, "%s\n", names[i].name);
	for (size_t i = 0; i < ARRAY_LEN(plain_names); i++)
		fprintf(out, "%s\n", plain_names[i]);
	fputs("and X's other layouts (Debian package xkb-data)\n", out);
}

static struct xkb_keymap *compile(struct xkb_context *context, const char *name)
{
	struct xkb_rule_names rules = { .rules = "evdev", .model = "pc105", .layout = name, .variant = "" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i].name, name)) {
			rules.layout = names[i].layout;
			rules.variant = names[i].variant;
		}
	return xkb_keymap_new_from_names(context, &rules, XKB_KEYMAP_COMPILE_NO_FLAGS);
}

struct layout *layout_new(const char *name, struct err *e)
{
	struct xkb_context *context = xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES);
	struct xkb_keymap *map = NULL;
	struct layout *l = NULL;

	if (context) {
		xkb_context_set_log_level(context, XKB_LOG_LEVEL_CRITICAL);
		map = compile(context, name);
	}
	if (map)
		l = calloc(1, sizeof(*l));
	if (l)
		fill(l, map);
	else
		err_set(e, "no keyboard layout '%s' (Debian package xkb-data has them; de, fr, en-gb, ..)", name);
	xkb_keymap_unref(map);
	xkb_context_unref(context);
	return l;
}

static int find(const struct layout *l, uint32_t symbol, unsigned *need)
{
	symbol = canonical(symbol);
	for (int i = 0; l && i < l->n; i++)
		if (l->row[i].symbol == symbol) {
			*need = l->row[i].need;
			return l->row[i].code;
		}
	return 0;
}

#else

struct layout {
	int none;
};

struct layout *layout_new(const char *name, struct err *e)
{
	(void)name;
	err_set(e, "this program was built without keyboard layouts (Debian package libxkbcommon-dev, then "
		"configure again)");
	return NULL;
}

void layout_list(FILE *out)
{
	fputs("none: this program was built without keyboard layouts\n", out);
}

static int find(const struct layout *l, uint32_t symbol, unsigned *need)
{
	(void)l, (void)symbol, (void)need;
	return 0;
}

#endif

void layout_free(struct layout *l)
{
	free(l);
}

int layout_symbol(const struct layout *l, uint32_t symbol, unsigned *need)
{
	int code = find(l, symbol, need);

	return code ? code : keymap_symbol(symbol, need);
}
