/*
 * Looking at the screen, and the way of keys to the guest.
 *
 * The adapter says cheaply whether anything may have changed. Only then is the
 * picture drawn and compared row by row with the one before. The time between
 * two looks doubles as long as nothing changes, up to a quarter of a second,
 * or half the period of a cursor that blinks: then that part is drawn anew.
 *
 * Text consoles say themselves when they change; then those that a viewer looks at are drawn, sixty times a second at most.
 *
 * A PS/2 keyboard holds few scan codes, so keys that arrive together are handed
 * on some milliseconds apart.
 */
#include "ui/display.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/bus.h"
#include "hw/core/input.h"
#include "hw/core/loop.h"
#include "hw/display/vga.h"
#include "ui/consoles.h"
#include "ui/keymap.h"
#include "ui/layout.h"
#include "ui/text_page.h"

#define LOOK_MIN	(NS_PER_SEC / 30)
#define LOOK_MAX	(NS_PER_SEC / 4)
#define BLINK		(8 * NS_PER_SEC / 60)	/* of the cursor: eight frames, and eight without; of text: twice that */
#define TEXT_MIN	(NS_PER_SEC / 60)
#define WHEEL_ROWS	3
#define KEY_GAP		(4 * NS_PER_MS)
#define MAX_KEYS	512		/* waiting */

enum {
	KEY_1 = 0x02, KEY_9 = 0x0a, KEY_CTRL = 0x1d, KEY_SHIFT = 0x2a, KEY_SHIFT_R = 0x36, KEY_ALT = 0x38, KEY_CAPS = 0x3a,
	KEY_CTRL_R = KEY_EXT | 0x1d, KEY_ALTGR = KEY_EXT | 0x38,
};

struct display {
	struct machine *m;
	struct vga *vga;
	const struct layout *layout;	/* of the guest's keyboard; NULL: American */
	struct consoles *consoles;
	struct console_watcher watcher;
	struct text_page pages[MAX_CONSOLES];
	struct timer text;		/* draws consoles that have changed */
	uint64_t text_drawn;		/* when it last did */
	struct viewer *viewers;
	struct surface shown, drawn;	/* the last picture; scratch for the next */
	struct timer look;
	uint64_t pace;			/* between two looks */
	uint64_t since;			/* somebody looks: what blinks is seen at first */
	unsigned hidden;		/* VGA_CURSOR, VGA_TEXT: not in the last picture, because it blinks */
	/* Keys on their way: code, and whether it goes down. */
	struct { uint16_t code; bool down; } keys[MAX_KEYS];
	int first_key, n_keys;
	struct timer next_key;
	bool caps;			/* caps lock, as far as viewers' keys tell */
};

/* ---- the picture ---- */

static bool draw(struct display *d)
{
	if (d->vga)
		return vga_render_phase(d->vga, &d->drawn, d->hidden);
	if (!surface_resize(&d->drawn, 640, 480))
		return false;
	memset(d->drawn.px, 0, 640 * 480 * sizeof(*d->drawn.px));
	return true;
}

static void tell(struct viewer *v, const struct surface *s, int first, int n)
{
	v->rows(v->opaque, s, first, n);
}

static bool looks_at(const struct viewer *v, int page)
{
	return v->active && v->page == page;
}

static bool row_differs(const struct display *d, int y)
{
	size_t n = (size_t)d->drawn.w, at = n * (size_t)y;

	return memcmp(d->drawn.px + at, d->shown.px + at, n * sizeof(*d->drawn.px));
}

/* Viewers that know the last picture get what differs in the new one. */
static bool tell_changes(struct display *d)
{
	bool any = false;

	for (int y = 0, n; y < d->drawn.h; y += n + 1) {
		for (n = 0; y + n < d->drawn.h && row_differs(d, y + n);)
			n++;
		any |= n > 0;
		for (struct viewer *v = d->viewers; v && n; v = v->next)
			if (looks_at(v, 0) && v->fresh)
				tell(v, &d->drawn, y, n);
	}
	return any;
}

static bool same_size(const struct surface *a, const struct surface *b)
{
	return a->w == b->w && a->h == b->h;
}

static void all_is_new(struct display *d, int page)
{
	for (struct viewer *v = d->viewers; v; v = v->next)
		if (v->page == page)
			v->fresh = false;
}

/* True: something is new. */
static bool new_picture(struct display *d)
{
	struct surface old = d->shown;
	bool any = true;

	if (!draw(d))
		return false;
	if (same_size(&d->drawn, &d->shown))
		any = tell_changes(d);
	else
		all_is_new(d, 0);
	d->shown = d->drawn;
	d->drawn = old;
	return any;
}

static bool tell_newcomers(struct display *d, int page, const struct surface *s)
{
	bool any = false;

	for (struct viewer *v = d->viewers; v; v = v->next)
		if (looks_at(v, page) && !v->fresh && s->h) {
			tell(v, s, 0, s->h);
			v->fresh = any = true;
		}
	return any;
}

static void tell_done(struct display *d, int page)
{
	for (struct viewer *v = d->viewers; v; v = v->next)
		if (looks_at(v, page))
			v->done(v->opaque);
}

static bool somebody_looks_at(const struct display *d, int page)
{
	for (const struct viewer *v = d->viewers; v; v = v->next)
		if (looks_at(v, page))
			return true;
	return false;
}

static bool somebody_looks(const struct display *d)
{
	return somebody_looks_at(d, 0);
}

/* What blinks comes and goes on the host's time. */
static unsigned hidden_now(const struct display *d, unsigned blinking)
{
	uint64_t half = blinking ? (clock_now(d->look.clock) - d->since) / BLINK : 0;

	return blinking & ((half & 1 ? VGA_CURSOR : 0) | (half & 2 ? VGA_TEXT : 0));
}

static void refresh_screen(struct display *d)
{
	bool changed = d->vga ? vga_changed(d->vga) : !d->shown.h;
	unsigned blinking = d->vga && d->look.clock ? vga_blinking(d->vga) : 0, hidden = hidden_now(d, blinking);
	bool blinks = hidden != d->hidden, drawn, newcomers;

	d->hidden = hidden;
	drawn = (changed || blinks) && new_picture(d);
	newcomers = tell_newcomers(d, 0, &d->shown);
	changed = (changed && drawn) || newcomers;
	if (drawn || newcomers)
		tell_done(d, 0);
	d->pace = changed ? LOOK_MIN : min_u64(d->pace * 2, blinking ? BLINK : LOOK_MAX);
}

static void tell_leds(struct display *d)
{
	uint8_t leds = input_leds(d->m);

	for (struct viewer *v = d->viewers; v; v = v->next)
		if (v->leds && looks_at(v, 0) && leds != v->told_leds) {
			v->told_leds = leds;
			v->leds(v->opaque, leds);
		}
}

static void look(void *opaque)
{
	struct display *d = opaque;

	refresh_screen(d);
	tell_leds(d);
	if (somebody_looks(d))
		timer_mod(&d->look, clock_now(d->look.clock) + d->pace);
}

/* Somebody does something: the answer is to be seen soon. */
static void hurry(struct display *d)
{
	if (d->pace == LOOK_MIN || !somebody_looks(d))
		return;
	d->pace = LOOK_MIN;
	timer_mod(&d->look, clock_now(d->look.clock) + LOOK_MIN);
}

/* ---- text consoles ---- */

struct telling {
	struct display *d;
	int page;
	bool any;
};

static void tell_text_rows(void *opaque, int first, int n)
{
	struct telling *t = opaque;

	t->any = true;
	for (struct viewer *v = t->d->viewers; v; v = v->next)
		if (looks_at(v, t->page) && v->fresh)
			tell(v, &t->d->pages[t->page - 1].s, first, n);
}

static void refresh_text(struct display *d, int page)
{
	struct telling t = { d, page, false };
	struct text_page *p = &d->pages[page - 1];
	bool resized;

	if (!text_page_draw(p, d->consoles, page, &resized, tell_text_rows, &t))
		return;
	if (resized)
		all_is_new(d, page);
	if (tell_newcomers(d, page, &p->s) || t.any)
		tell_done(d, page);
}

static void draw_texts(void *opaque)
{
	struct display *d = opaque;

	d->text_drawn = clock_now(d->text.clock);
	for (int page = 1; page <= consoles_count(d->consoles); page++)
		if (somebody_looks_at(d, page))
			refresh_text(d, page);
}

void display_refresh(struct display *d)
{
	refresh_screen(d);
	if (d->consoles)
		draw_texts(d);
}

static void text_soon(struct display *d)
{
	uint64_t now = clock_now(d->text.clock);

	if (!timer_pending(&d->text))
		timer_mod(&d->text, max_u64(now, d->text_drawn + TEXT_MIN));
}

static void on_console(void *opaque, int n)
{
	struct display *d = opaque;

	if (somebody_looks_at(d, n))
		text_soon(d);
}

void display_set_consoles(struct display *d, struct consoles *c)
{
	d->consoles = c;
	if (!c)
		return;
	timer_init(&d->text, loop_host_clock(d->m->loop), draw_texts, d);
	d->watcher = (struct console_watcher){ .changed = on_console, .opaque = d };
	consoles_watch(c, &d->watcher);
}

/* ---- viewers ---- */

struct display *display_new(struct machine *m, struct vga *vga, struct err *e)
{
	struct display *d = calloc(1, sizeof(*d));

	if (!d) {
		err_set(e, "no memory for the display");
		return NULL;
	}
	d->m = m;
	d->vga = vga;
	d->pace = LOOK_MIN;
	return d;
}

struct consoles *display_consoles(const struct display *d)
{
	return d->consoles;
}

struct machine *display_machine(const struct display *d)
{
	return d->m;
}

void display_free(struct display *d)
{
	if (!d)
		return;
	timer_del(&d->look);
	timer_del(&d->next_key);
	if (d->consoles) {
		timer_del(&d->text);
		consoles_unwatch(d->consoles, &d->watcher);
	}
	for (int i = 0; i < MAX_CONSOLES; i++)
		text_page_fini(&d->pages[i]);
	surface_fini(&d->shown);
	surface_fini(&d->drawn);
	free(d);
}

static void next_key(void *opaque);

void display_add(struct display *d, struct viewer *v)
{
	struct clock *c = loop_host_clock(d->m->loop);

	if (!d->viewers && !d->look.clock) {
		timer_init(&d->look, c, look, d);
		timer_init(&d->next_key, c, next_key, d);
	}
	v->page = !d->vga && consoles_count(d->consoles);
	v->next = d->viewers;
	d->viewers = v;
}

void display_del(struct display *d, struct viewer *v)
{
	display_set_active(d, v, false);
	for (struct viewer **p = &d->viewers; *p; p = &(*p)->next)
		if (*p == v) {
			*p = v->next;
			break;
		}
}

/* What v looks at is another thing than before, or nothing. */
static void looks_elsewhere(struct display *d, struct viewer *v, bool before)
{
	bool now = somebody_looks(d);

	v->fresh = false;
	if (d->vga && before != now)
		vga_watch(d->vga, now);
	if (!before && now)
		d->since = clock_now(d->look.clock);
	if (!now) {
		timer_del(&d->look);
	} else if (looks_at(v, 0)) {
		d->pace = LOOK_MIN;
		timer_mod(&d->look, clock_now(d->look.clock));
	}
	if (v->active && v->page)
		text_soon(d);
}

void display_set_active(struct display *d, struct viewer *v, bool active)
{
	bool before = somebody_looks(d);

	if (!active)
		display_release_keys(d, v);
	v->active = active;
	looks_elsewhere(d, v, before);
}

/* ---- keys ---- */

static void next_key(void *opaque)
{
	struct display *d = opaque;

	if (!d->n_keys)
		return;
	input_key(d->m, d->keys[d->first_key].code, d->keys[d->first_key].down);
	d->first_key = (d->first_key + 1) % MAX_KEYS;
	d->n_keys--;
	timer_mod(&d->next_key, clock_now(d->next_key.clock) + KEY_GAP);
}

static void queue_key(struct display *d, int code, bool down)
{
	if (d->n_keys == MAX_KEYS)
		return;
	d->keys[(d->first_key + d->n_keys) % MAX_KEYS].code = (uint16_t)code;
	d->keys[(d->first_key + d->n_keys++) % MAX_KEYS].down = down;
	if (!timer_pending(&d->next_key))
		next_key(d);
}

static bool is_down(const struct viewer *v, int key)
{
	return v->down[key / 8] >> key % 8 & 1;
}

static void note_key(struct viewer *v, int key, bool down)
{
	v->down[key / 8] = (uint8_t)((v->down[key / 8] & ~(1u << key % 8)) | (unsigned)down << key % 8);
}

static const int modifier_keys[] = { KEY_CTRL, KEY_CTRL_R, KEY_ALT, KEY_ALTGR, KEY_SHIFT, KEY_SHIFT_R };

static bool is_modifier(int key)
{
	for (size_t i = 0; i < ARRAY_LEN(modifier_keys); i++)
		if (modifier_keys[i] == key)
			return true;
	return false;
}

/* The page that Ctrl, Alt and this key choose, be it there or not; -1: none. */
static int page_of_key(const struct display *d, const struct viewer *v, int key)
{
	bool ctrl = is_down(v, KEY_CTRL) || is_down(v, KEY_CTRL_R), alt = is_down(v, KEY_ALT) || is_down(v, KEY_ALTGR);


	return consoles_count(d->consoles) && ctrl && alt && key >= KEY_1 && key <= KEY_9 ? key - KEY_1 : -1;
}

void display_show(struct display *d, struct viewer *v, int page)
{
	bool held[ARRAY_LEN(modifier_keys)], before = somebody_looks(d);

	if (page < 0 || page > consoles_count(d->consoles) || page == v->page)
		return;
	/* Ctrl and Alt are still down for who goes on to choose, but neither page gets to know. */
	for (size_t i = 0; i < ARRAY_LEN(modifier_keys); i++)
		held[i] = is_down(v, modifier_keys[i]);
	display_release_keys(d, v);
	for (size_t i = 0; i < ARRAY_LEN(modifier_keys); i++)
		note_key(v, modifier_keys[i], held[i]);
	v->page = page;
	looks_elsewhere(d, v, before);
}

/* A key with AltGr is the character it gives. */
static unsigned held_for_console(const struct viewer *v)
{
	return (is_down(v, KEY_SHIFT) || is_down(v, KEY_SHIFT_R) ? HOLD_SHIFT : 0) |
	       (is_down(v, KEY_CTRL) || is_down(v, KEY_CTRL_R) ? HOLD_CTRL : 0) | (is_down(v, KEY_ALT) ? HOLD_ALT : 0);
}

static void key_to_console(struct display *d, struct viewer *v, int key, uint32_t symbol, bool down)
{
	if (is_modifier(key))
		note_key(v, key, down);
	else if (down && symbol)
		consoles_key(d->consoles, v->page, symbol, held_for_console(v));
}

static void key_to_guest(struct display *d, struct viewer *v, int key, bool down)
{
	/* Releases of what is not held come from keys pressed elsewhere. */
	if (!key || (!down && !is_down(v, key)))
		return;
	if (key == KEY_CAPS && down && !is_down(v, key))
		d->caps = !d->caps;
	note_key(v, key, down);
	queue_key(d, key, down);
	hurry(d);
}

void display_key(struct display *d, struct viewer *v, int key, uint32_t symbol, bool down)
{
	if (key < 0 || key >= 0x300)
		return;
	if (down && page_of_key(d, v, key) >= 0)
		display_show(d, v, page_of_key(d, v, key));
	else if (v->page)
		key_to_console(d, v, key, symbol, down);
	else
		key_to_guest(d, v, key, down);
}

/* The keys of a modifier; the first one is pressed where none is held. */
static const struct modifier { unsigned need; int keys[2]; } modifiers[] = {
	{ KEYMAP_SHIFT, { KEY_SHIFT, KEY_SHIFT_R } }, { KEYMAP_ALTGR, { KEY_ALTGR, 0 } },
};

static bool is_held(const struct viewer *v, const struct modifier *m)
{
	return is_down(v, m->keys[0]) || (m->keys[1] && is_down(v, m->keys[1]));
}

/* For one character hold a modifier that is not held, or let go of one that is; or the other way round. */
static void change_modifier(struct display *d, struct viewer *v, const struct modifier *m, bool back)
{
	bool held = is_held(v, m);

	if (!held)
		queue_key(d, m->keys[0], !back);
	for (int i = 0; i < 2 && held; i++)
		if (m->keys[i] && is_down(v, m->keys[i]))
			queue_key(d, m->keys[i], back);
}

/* Caps lock changes letters, those of the Latin alphabets at least. */
static bool is_letter(uint32_t symbol)
{
	uint32_t small = symbol | 0x20;

	return (small >= 'a' && small <= 'z') || (small >= 0xe0 && small <= 0xfe && small != 0xf7);
}

void display_symbol(struct display *d, struct viewer *v, uint32_t symbol, bool down)
{
	unsigned need = 0, change = 0;
	int key = layout_symbol(d->layout, symbol, &need);

	if (v->page || (down && page_of_key(d, v, key) >= 0)) {
		display_key(d, v, key, symbol, down);
		return;
	}
	if (!key)
		return;
	for (size_t i = 0; i < ARRAY_LEN(modifiers) && down && !(need & KEYMAP_ANY); i++) {
		bool is = is_held(v, &modifiers[i]), want = need & modifiers[i].need;
		if (modifiers[i].need == KEYMAP_SHIFT && is_letter(symbol) && d->caps)
			want = !want;
		change |= is != want ? 1u << i : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(modifiers); i++)
		if (change >> i & 1)
			change_modifier(d, v, &modifiers[i], false);
	display_key(d, v, key, symbol, down);
	for (size_t i = 0; i < ARRAY_LEN(modifiers); i++)
		if (change >> i & 1)
			change_modifier(d, v, &modifiers[i], true);
}

void display_set_layout(struct display *d, const struct layout *l)
{
	d->layout = l;
}

void display_release_keys(struct display *d, struct viewer *v)
{
	for (int key = 0; key < 0x300; key++)
		if (is_down(v, key))
			display_key(d, v, key, 0, false);
}

int display_place(int at, int size)
{
	int last = size > 1 ? size - 1 : 1;

	at = at < 0 ? 0 : at > last ? last : at;
	return (int)((int64_t)at * INPUT_ABS_MAX / last);
}

bool display_wants_place(const struct display *d)
{
	return input_has_abs(d->m);
}

void display_point(struct display *d, const struct viewer *v, const struct pointer *p)
{
	if (v->page) {
		consoles_scroll(d->consoles, v->page, p->dz * WHEEL_ROWS);
		return;
	}
	if (p->x >= 0 && input_has_abs(d->m))
		input_abs(d->m, p->x, p->y, p->dz, p->buttons);
	else
		input_rel(d->m, p->dx, p->dy, p->dz, p->buttons);
	hurry(d);
}
