/*
 * virtio-input: a keyboard, a mouse, or a tablet that tells absolute positions. Queue 0
 * holds buffers for events of 8 bytes (type, code, value, as Linux has them), queue 1
 * brings what the driver sets: LEDs. What a device has, the driver learns by asking the
 * configuration, select and subselect, for name, identity, and bits of each event type.
 *
 * Events wait in a queue for the driver's buffers. Keys that find no room in it wait
 * where they come from; moves add up.
 *
 * Source: Virtio 1.2, 5.8; event codes: Linux, Documentation/input/event-codes.rst and
 * include/uapi/linux/input-event-codes.h.
 */
#include "hw/virtio/virtio_input.h"

#include <string.h>

#include "hw/core/input.h"

enum { EVENTS, STATUS, NQUEUES };
#define QUEUE_SIZE	64u
#define EVENT_LEN	8u

/* 5.8.4: offsets in the configuration, and what may be selected */
enum { C_SELECT = 0, C_SUBSEL = 1, C_SIZE = 2, C_DATA = 8, C_DATA_MAX = 128, C_LEN = C_DATA + C_DATA_MAX };
enum { ID_NAME = 0x01, ID_SERIAL = 0x02, ID_DEVIDS = 0x03, EV_BITS = 0x11, ABS_INFO = 0x12 };

enum { EV_SYN = 0x00, EV_KEY = 0x01, EV_REL = 0x02, EV_ABS = 0x03, EV_LED = 0x11, EV_REP = 0x14 };
enum { REL_X = 0, REL_Y = 1, REL_WHEEL = 8, ABS_X = 0, ABS_Y = 1, N_LEDS = 3 };
#define BTN_FIRST	0x110u		/* left, right, middle, side, extra, as BTN_ of input.h counts them */
#define N_BUTTONS	5u
#define BUS_VIRTUAL	6u
#define VENDOR		0x0627u
#define N_KEYS		128u
#define MAX_REPORT	(N_BUTTONS + 4u)	/* buttons, two axes, the wheel, the end */
#define WAITING		128u

enum kind { KEYBOARD, MOUSE, TABLET };

struct event {
	uint16_t type, code;
	uint32_t value;
};

struct virtio_input {
	struct virtio v;
	struct input_sink sink;
	char *serial;			/* property */
	struct event waiting[WAITING];
	uint32_t first, n;
	uint8_t leds;
	uint8_t down[N_KEYS / 8];	/* keys */
	uint8_t moved;			/* what follows has not been told yet */
	uint32_t buttons, told_buttons;
	int32_t x, y, wheel;		/* x, y: of a mouse since the last report */
};

static struct virtio_input *input(struct virtio *v)
{
	return (struct virtio_input *)v;
}

static enum kind kind_of(const struct virtio_input *d)
{
	const struct dev_type *t = d->v.pci.dev.type;

	return t == &virtio_keyboard_type || t == &virtio_keyboard_bus_type ? KEYBOARD
		: t == &virtio_mouse_type || t == &virtio_mouse_bus_type ? MOUSE : TABLET;
}

/* ---- keys ---- */

/* Linux's codes of set 1's extended ones; all others are the same. */
static const struct { uint16_t key; uint8_t code; } extended[] = {
	{ KEY_EXT | 0x1c, 96 }, { KEY_EXT | 0x1d, 97 }, { KEY_EXT | 0x35, 98 }, { KEY_PRINT, 99 },
	{ KEY_EXT | 0x38, 100 }, { KEY_EXT | 0x47, 102 }, { KEY_EXT | 0x48, 103 }, { KEY_EXT | 0x49, 104 },
	{ KEY_EXT | 0x4b, 105 }, { KEY_EXT | 0x4d, 106 }, { KEY_EXT | 0x4f, 107 }, { KEY_EXT | 0x50, 108 },
	{ KEY_EXT | 0x51, 109 }, { KEY_EXT | 0x52, 110 }, { KEY_EXT | 0x53, 111 }, { KEY_PAUSE, 119 },
	{ KEY_EXT | 0x5b, 125 }, { KEY_EXT | 0x5c, 126 }, { KEY_EXT | 0x5d, 127 },
};
#define LAST_PLAIN	0x58

/* 0: nobody knows it. */
static unsigned code_of(int key)
{
	if (key > 0 && key <= LAST_PLAIN)
		return (unsigned)key;
	for (size_t i = 0; i < ARRAY_LEN(extended); i++)
		if (extended[i].key == key)
			return extended[i].code;
	return 0;
}

/* ---- what the device is ---- */

static void set_bit(uint8_t *bits, unsigned n)
{
	bits[n / 8] |= (uint8_t)(1u << n % 8);
}

static void key_bits(enum kind kind, uint8_t *bits)
{
	if (kind != KEYBOARD) {
		for (unsigned i = 0; i < N_BUTTONS; i++)
			set_bit(bits, BTN_FIRST + i);
		return;
	}
	for (unsigned i = 1; i <= LAST_PLAIN; i++)
		set_bit(bits, i);
	for (size_t i = 0; i < ARRAY_LEN(extended); i++)
		set_bit(bits, extended[i].code);
}

static void event_bits(enum kind kind, unsigned type, uint8_t *bits)
{
	if (type == EV_KEY) {
		key_bits(kind, bits);
	} else if (type == EV_REL && kind == MOUSE) {
		set_bit(bits, REL_X);
		set_bit(bits, REL_Y);
		set_bit(bits, REL_WHEEL);
	} else if (type == EV_REL && kind == TABLET) {
		set_bit(bits, REL_WHEEL);
	} else if (type == EV_ABS && kind == TABLET) {
		set_bit(bits, ABS_X);
		set_bit(bits, ABS_Y);
	} else if (type == EV_LED && kind == KEYBOARD) {
		for (unsigned i = 0; i < N_LEDS; i++)
			set_bit(bits, i);
	}
}

static unsigned used_bytes(const uint8_t *p)
{
	unsigned n = C_DATA_MAX;

	while (n && !p[n - 1])
		n--;
	return n;
}

static unsigned put_text(uint8_t *p, const char *s)
{
	size_t n = s ? strnlen(s, C_DATA_MAX) : 0;

	if (n)
		memcpy(p, s, n);
	return (unsigned)n;
}

/* What is selected, into the configuration; returns its size. */
static unsigned answer(const struct virtio_input *d, unsigned select, unsigned subsel, uint8_t *p)
{
	static const char *const names[] = { "Rhea Virtio Keyboard", "Rhea Virtio Mouse", "Rhea Virtio Tablet" };
	enum kind kind = kind_of(d);

	switch (select) {
	case ID_NAME:
		return subsel ? 0 : put_text(p, names[kind]);
	case ID_SERIAL:
		return subsel ? 0 : put_text(p, d->serial);
	case ID_DEVIDS:
		st16(p, BUS_VIRTUAL);
		st16(p + 2, VENDOR);
		st16(p + 4, (uint16_t)(kind + 1));
		st16(p + 6, 1);
		return subsel ? 0 : 8;
	case EV_BITS:
		event_bits(kind, subsel, p);
		return subsel == EV_REP && kind == KEYBOARD ? 1 : used_bytes(p);
	case ABS_INFO:
		st32(p + 4, INPUT_ABS_MAX);
		return kind == TABLET && subsel <= ABS_Y ? 20 : 0;
	default:
		return 0;
	}
}

static void config_written(struct virtio *v, unsigned off, unsigned n)
{
	uint8_t *c = v->config;

	(void)off, (void)n;
	memset(c + C_SIZE, 0, C_LEN - C_SIZE);
	c[C_SIZE] = (uint8_t)answer(input(v), c[C_SELECT], c[C_SUBSEL], c + C_DATA);
	memset(c + C_DATA + c[C_SIZE], 0, C_DATA_MAX - c[C_SIZE]);
}

/* ---- events on their way ---- */

static unsigned room(const struct virtio_input *d)
{
	return WAITING - d->n;
}

static void put(struct virtio_input *d, uint16_t type, uint16_t code, uint32_t value)
{
	d->waiting[(d->first + d->n++) % WAITING] = (struct event){ type, code, value };
}

static bool send_one(struct virtio_input *d)
{
	const struct event *ev = &d->waiting[d->first];
	struct virtio *v = &d->v;
	uint8_t e[EVENT_LEN];

	if (!virtq_pop(v, EVENTS, &v->buf))
		return false;
	st16(e, ev->type);
	st16(e + 2, ev->code);
	st32(e + 4, ev->value);
	if (!vbuf_write(v, &v->buf, 0, e, EVENT_LEN))
		return false;
	virtq_push(v, EVENTS, &v->buf, EVENT_LEN);
	d->first = (d->first + 1) % WAITING;
	d->n--;
	return true;
}

/* Buttons and moves since the last report, if there is room for them. */
static void report(struct virtio_input *d)
{
	uint32_t changed = d->buttons ^ d->told_buttons;
	bool tablet = kind_of(d) == TABLET;
	uint16_t type = tablet ? EV_ABS : EV_REL;

	if (!d->moved || room(d) < MAX_REPORT)
		return;
	for (unsigned i = 0; i < N_BUTTONS; i++)
		if (changed >> i & 1)
			put(d, EV_KEY, (uint16_t)(BTN_FIRST + i), d->buttons >> i & 1);
	if (tablet || d->x)
		put(d, type, REL_X, (uint32_t)d->x);
	if (tablet || d->y)
		put(d, type, REL_Y, (uint32_t)d->y);
	if (d->wheel)
		put(d, EV_REL, REL_WHEEL, (uint32_t)d->wheel);
	put(d, EV_SYN, 0, 0);
	d->told_buttons = d->buttons;
	d->wheel = 0;
	if (!tablet)
		d->x = d->y = 0;
	d->moved = 0;
}

static void send(struct virtio_input *d)
{
	struct virtio *v = &d->v;
	uint16_t was = v->q[EVENTS].used_idx;

	do {
		report(d);
		while (d->n && send_one(d))
			;
	} while (d->n ? virtq_ask(v, EVENTS, true) : d->moved);
	if (v->q[EVENTS].used_idx != was)
		virtq_interrupt(v, EVENTS);
}

/* ---- from displays ---- */

static bool listening(void *opaque)
{
	const struct virtio *v = opaque;

	return virtio_running(v) && v->q[EVENTS].enabled;
}

static bool key_room(void *opaque)
{
	return room(opaque) >= 2;
}

static void on_key(void *opaque, int key, bool down)
{
	struct virtio_input *d = opaque;
	unsigned code = code_of(key);
	uint8_t *byte = &d->down[code / 8], bit = (uint8_t)(1u << code % 8);

	/* What a display repeats is no news: the guest repeats by itself. */
	if (!code || room(d) < 2 || !!(*byte & bit) == down)
		return;
	*byte ^= bit;
	put(d, EV_KEY, (uint16_t)code, down);
	put(d, EV_SYN, 0, 0);
	send(d);
}

static uint8_t leds(void *opaque)
{
	return ((struct virtio_input *)opaque)->leds;
}

static int32_t clamp(int64_t v, int32_t lo, int32_t hi)
{
	return v < lo ? lo : v > hi ? hi : (int32_t)v;
}

static void on_pointer(struct virtio_input *d, int dz, unsigned buttons)
{
	d->wheel = clamp((int64_t)d->wheel + dz, -256, 256);
	d->buttons = buttons & ((1u << N_BUTTONS) - 1);
	d->moved = 1;
	send(d);
}

static void on_rel(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
	struct virtio_input *d = opaque;

	d->x = clamp((int64_t)d->x + dx, -65536, 65536);
	d->y = clamp((int64_t)d->y + dy, -65536, 65536);
	on_pointer(d, dz, buttons);
}

static void on_abs(void *opaque, int x, int y, int dz, unsigned buttons)
{
	struct virtio_input *d = opaque;

	d->x = clamp(x, 0, INPUT_ABS_MAX);
	d->y = clamp(y, 0, INPUT_ABS_MAX);
	on_pointer(d, dz, buttons);
}

/* ---- queues ---- */

static bool take_status(struct virtio *v, unsigned q)
{
	struct virtio_input *d = input(v);
	uint8_t e[EVENT_LEN];

	if (!vbuf_read(v, &v->buf, 0, e, EVENT_LEN))
		return false;
	unsigned code = ld16(e + 2);
	if (ld16(e) == EV_LED && code < N_LEDS)
		d->leds = (uint8_t)((d->leds & ~(1u << code)) | (unsigned)(ld32(e + 4) != 0) << code);
	virtq_push(v, q, &v->buf, 0);
	return true;
}

static void input_run(struct virtio *v, unsigned q)
{
	if (q == STATUS) {
		virtio_serve(v, q, take_status);
		return;
	}
	virtq_ask(v, EVENTS, false);
	send(input(v));
	input_go_on(v->pci.dev.m);
}

/* ---- life ---- */

static void class_reset(struct virtio *v)
{
	struct virtio_input *d = input(v);

	d->first = d->n = 0;
	d->leds = d->moved = 0;
	d->buttons = d->told_buttons = 0;
	d->x = d->y = d->wheel = 0;
	memset(d->down, 0, sizeof(d->down));
	memset(v->config, 0, C_LEN);
}

#define CLASS(pci) { \
	.id = 18, .pci_class = pci, .n_queues = NQUEUES, .queue_size = QUEUE_SIZE, .config_len = C_LEN, \
	.run = input_run, .reset = class_reset, .config_written = config_written, \
}
static const struct virtio_class classes[] = { CLASS(0x090000), CLASS(0x090200), CLASS(0x098000) };

static bool input_init(void *dev, struct err *e)
{
	static const struct input_sink sinks[] = {
		[KEYBOARD] = { .name = "virtio keyboard", .key = on_key, .key_room = key_room, .leds = leds },
		[MOUSE] = { .name = "virtio mouse", .rel = on_rel },
		[TABLET] = { .name = "virtio tablet", .abs = on_abs },
	};
	struct virtio_input *d = dev;

	if (!virtio_init(&d->v, &classes[kind_of(d)], 0, e))
		return false;
	d->sink = sinks[kind_of(d)];
	d->sink.listening = listening;
	d->sink.opaque = d;
	input_add(d->v.pci.dev.m, &d->sink);
	return true;
}

static void input_fini(void *dev)
{
	struct virtio_input *d = dev;

	input_del(d->v.pci.dev.m, &d->sink);
	virtio_fini(&d->v);
}

static void input_reset(void *dev)
{
	virtio_reset(dev);
}

static bool input_loaded(void *dev, struct err *e)
{
	struct virtio_input *d = dev;

	if (d->first >= WAITING || d->n > WAITING)
		return err_set(e, "an impossible queue of events");
	config_written(&d->v, 0, 1);
	return virtio_loaded(&d->v, e);
}

static const struct prop input_props[] = {
	PROP_TEXT(virtio_input, serial, "serial", NULL, "its serial number"), { 0 }
};
static const struct state input_state[] = {
	STATE(virtio_input, waiting), STATE(virtio_input, first), STATE(virtio_input, n), STATE(virtio_input, leds),
	STATE(virtio_input, down), STATE(virtio_input, moved), STATE(virtio_input, buttons),
	STATE(virtio_input, told_buttons), STATE(virtio_input, x), STATE(virtio_input, y), STATE(virtio_input, wheel),
	{ 0 }
};

#define COMMON(text) \
	.help = text, .size = sizeof(struct virtio_input), .version = 1, .props = input_props, .state = input_state, \
	.init = input_init, .fini = input_fini, .reset = input_reset, .loaded = input_loaded
#define ON_PCI(word, text) { \
	.name = word "-pci", .alias = word, .bus = "pci", .bus_props = virtio_props, .bus_state = virtio_state, COMMON(text), \
}
#define ON_MMIO(word, text) { \
	.name = word "-device", .bus = "virtio-bus", .bus_props = virtio_bus_props, .bus_state = virtio_bus_state, \
	COMMON(text), \
}
const struct dev_type virtio_keyboard_type = ON_PCI("virtio-keyboard", "a keyboard");
const struct dev_type virtio_mouse_type = ON_PCI("virtio-mouse", "a mouse");
const struct dev_type virtio_tablet_type = ON_PCI("virtio-tablet", "a pointer at absolute positions");
const struct dev_type virtio_keyboard_bus_type = ON_MMIO("virtio-keyboard", "a keyboard");
const struct dev_type virtio_mouse_bus_type = ON_MMIO("virtio-mouse", "a mouse");
const struct dev_type virtio_tablet_bus_type = ON_MMIO("virtio-tablet", "a pointer at absolute positions");
