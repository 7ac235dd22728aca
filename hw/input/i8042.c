/*
 * Keyboard controller 8042 at ports 60h and 64h, the two PS/2 devices behind it,
 * and the fast A20 and reset bits of port 92h.
 *
 *   keyboard --\                              / IRQ 1
 *               >-- output buffer -- port 60h
 *   mouse -----/                              \ IRQ 12
 *
 * The controller holds one byte. Its own answers come first; a byte from a
 * device follows BYTE_NS after the last one was read, as on the serial cable,
 * so that software which reads port 60h twice sees the same byte twice.
 *
 * Not modelled: the keyboard lock and password, the test inputs' values, parity
 * and time-out errors, the diagnostic dump.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller"; 82371SB data sheet for port 92h.
 */
#include "hw/input/i8042.h"

#include "hw/core/input.h"
#include "hw/input/ps2.h"

enum {
	ST_OBF = 0x01, ST_SYS = 0x04, ST_CMD = 0x08, ST_UNLOCKED = 0x10, ST_AUX = 0x20,
	CCB_INT1 = 0x01, CCB_INT2 = 0x02, CCB_SYS = 0x04, CCB_NO_KBD = 0x10, CCB_NO_AUX = 0x20, CCB_XLATE = 0x40,
	OUT_RESET = 0x01, OUT_A20 = 0x02,		/* output port; bit 0 low resets */
	P92_RESET = 0x01, P92_A20 = 0x02,

	CMD_READ_CCB = 0x20, CMD_WRITE_CCB = 0x60, CMD_NO_AUX = 0xa7, CMD_AUX = 0xa8, CMD_TEST_AUX = 0xa9,
	CMD_SELF_TEST = 0xaa, CMD_TEST_KBD = 0xab, CMD_NO_KBD = 0xad, CMD_KBD = 0xae, CMD_READ_IN = 0xc0,
	CMD_READ_OUT = 0xd0, CMD_WRITE_OUT = 0xd1, CMD_FAKE_KBD = 0xd2, CMD_FAKE_AUX = 0xd3, CMD_TO_AUX = 0xd4,
	CMD_A20_OFF = 0xdd, CMD_A20_ON = 0xdf, CMD_READ_TEST = 0xe0, CMD_PULSE = 0xf0,
};

#define BYTE_NS (250 * NS_PER_US)

struct i8042 {
	struct dev dev;
	struct irq irq1, irq12;
	struct port_range *ports[3];
	struct input_sink keys, moves;
	struct timer timer;		/* of the cable */
	struct timer repeat;		/* of a held key */

	uint8_t status;			/* ST_OBF, ST_SYS, ST_CMD, ST_AUX */
	uint8_t data;			/* output buffer */
	uint8_t ccb;
	uint8_t out_port;
	uint8_t command;		/* waits for its data byte; 0: none */
	uint8_t port92;
	bool breaking;			/* translation has seen F0 */
	uint8_t ram[32];		/* controller RAM, commands 20h-3Fh and 60h-7Fh */
	struct fifo8 own;		/* answers of the controller itself */
	struct ps2_kbd kbd;
	struct ps2_mouse mouse;
};

/* ---- the output buffer ---- */

/* Set 2 to set 1; codes from 85h on pass unchanged. */
static const uint8_t set1_of[256] = {
#define KEY(set1, set2) [set2] = set1,
#include "hw/input/kbd.def"
#undef KEY
};

/* False: the byte is a prefix that translation swallows. */
static bool translate(struct i8042 *k, uint8_t *v)
{
	if (!(k->ccb & CCB_XLATE))
		return true;
	if (*v == 0xf0) {
		k->breaking = true;
		return false;
	}
	if (set1_of[*v])
		*v = set1_of[*v] | (k->breaking ? 0x80 : 0);
	k->breaking = false;
	return true;
}

static void fill(struct i8042 *k, uint8_t v, bool aux)
{
	k->data = v;
	k->status = (k->status & ~ST_AUX) | ST_OBF | (aux ? ST_AUX : 0);
}

static bool take_kbd(struct i8042 *k)
{
	while (!fifo8_empty(&k->kbd.out)) {
		uint8_t v = k->kbd.last = fifo8_pop(&k->kbd.out);

		input_go_on(k->dev.m);
		if (translate(k, &v))
			return fill(k, v, false), true;
	}
	return false;
}

static bool take_mouse(struct i8042 *k)
{
	if (fifo8_empty(&k->mouse.out))
		return false;
	k->mouse.last = fifo8_pop(&k->mouse.out);
	fill(k, k->mouse.last, true);
	ps2_mouse_poll(&k->mouse);
	return true;
}

static bool device_has_byte(const struct i8042 *k)
{
	return (!(k->ccb & CCB_NO_KBD) && !fifo8_empty(&k->kbd.out)) ||
	       (!(k->ccb & CCB_NO_AUX) && !fifo8_empty(&k->mouse.out));
}

/* The cable delivered its next byte. */
static void on_timer(void *opaque)
{
	struct i8042 *k = opaque;

	if (!(k->status & ST_OBF) && !(!(k->ccb & CCB_NO_KBD) && take_kbd(k)) && !(k->ccb & CCB_NO_AUX))
		take_mouse(k);
	dev_update(&k->dev);
}

static void i8042_update(void *dev)
{
	struct i8042 *k = dev;
	bool full;

	if (!(k->status & ST_OBF) && !fifo8_empty(&k->own))
		fill(k, fifo8_pop(&k->own), false);
	full = k->status & ST_OBF;
	if (!full && device_has_byte(k) && !timer_pending(&k->timer))
		timer_mod(&k->timer, clock_now(&k->dev.m->clock) + BYTE_NS);
	irq_set(k->irq1, full && !(k->status & ST_AUX) && k->ccb & CCB_INT1);
	irq_set(k->irq12, full && k->status & ST_AUX && k->ccb & CCB_INT2);
}

/* Waits until what is in the buffer has been read. */
static void answer(struct i8042 *k, uint8_t v)
{
	fifo8_push(&k->own, v, FIFO8_CAP);
}

/* ---- lines of the output port ---- */

static void set_a20(struct i8042 *k, bool on)
{
	k->out_port = (k->out_port & ~OUT_A20) | (on ? OUT_A20 : 0);
	k->port92 = (k->port92 & ~P92_A20) | (on ? P92_A20 : 0);
	machine_set_a20(k->dev.m, on);
}

static void write_out_port(struct i8042 *k, uint8_t v)
{
	k->out_port = v;
	set_a20(k, v & OUT_A20);
	if (!(v & OUT_RESET))
		machine_request(k->dev.m, MACHINE_RESET, 0);
}

static uint8_t read_out_port(const struct i8042 *k)
{
	bool full = k->status & ST_OBF, aux = k->status & ST_AUX;

	return (k->out_port & 0xcf) | (full && !aux ? 0x10 : 0) | (full && aux ? 0x20 : 0);
}

/* ---- port 64h ---- */

static void set_ccb(struct i8042 *k, uint8_t v)
{
	k->ccb = v;
	k->status = (k->status & ~ST_SYS) | (v & CCB_SYS);
}

static void command_ram(struct i8042 *k, uint8_t v)
{
	if (v >= CMD_WRITE_CCB)
		k->command = v;
	else
		answer(k, v == CMD_READ_CCB ? k->ccb : k->ram[v & 31]);
}

static void command_write(void *dev, uint32_t val, uint32_t old)
{
	struct i8042 *k = dev;
	uint8_t v = (uint8_t)val;

	(void)old;
	k->status |= ST_CMD;
	k->command = 0;
	if ((v >= 0x20 && v <= 0x3f) || (v >= 0x60 && v <= 0x7f)) {
		command_ram(k, v);
		return;
	}
	switch (v) {
	case CMD_NO_AUX: k->ccb |= CCB_NO_AUX; break;
	case CMD_AUX: k->ccb &= ~CCB_NO_AUX; break;
	case CMD_NO_KBD: k->ccb |= CCB_NO_KBD; break;
	case CMD_KBD: k->ccb &= ~CCB_NO_KBD; break;
	case CMD_TEST_AUX: case CMD_TEST_KBD: answer(k, 0x00); break;
	case CMD_SELF_TEST:
		k->status &= ~(ST_OBF | ST_AUX);
		fifo8_clear(&k->own);
		set_ccb(k, k->ccb | CCB_SYS);
		answer(k, 0x55);
		break;
	case CMD_READ_IN: answer(k, 0x80); break;	/* keyboard not locked */
	case CMD_READ_OUT: answer(k, read_out_port(k)); break;
	case CMD_WRITE_OUT: case CMD_FAKE_KBD: case CMD_FAKE_AUX: case CMD_TO_AUX:
		k->command = v;
		break;
	case CMD_A20_OFF: set_a20(k, false); break;
	case CMD_A20_ON: set_a20(k, true); break;
	case CMD_READ_TEST: answer(k, 0x00); break;
	default:
		if (v < CMD_PULSE)
			log_guest("i8042: unknown command %02x", v);
		else if (!(v & OUT_RESET))		/* pulse the bits that are 0 */
			machine_request(k->dev.m, MACHINE_RESET, 0);
	}
}

static uint32_t status_read(void *dev)
{
	return ((struct i8042 *)dev)->status | ST_UNLOCKED;
}

/* ---- port 60h ---- */

static void data_write(void *dev, uint32_t val, uint32_t old)
{
	struct i8042 *k = dev;
	uint8_t v = (uint8_t)val, command = k->command;

	(void)old;
	k->status &= ~ST_CMD;
	k->command = 0;
	switch (command) {
	case 0:
		k->ccb &= ~CCB_NO_KBD;		/* sending enables the interface */
		ps2_kbd_command(&k->kbd, v);
		break;
	case CMD_WRITE_CCB: set_ccb(k, v); break;
	case CMD_WRITE_OUT: write_out_port(k, v); break;
	case CMD_FAKE_KBD: fill(k, v, false); break;
	case CMD_FAKE_AUX: fill(k, v, true); break;
	case CMD_TO_AUX:
		k->ccb &= ~CCB_NO_AUX;
		ps2_mouse_command(&k->mouse, v);
		break;
	default:
		k->ram[command & 31] = v;
	}
}

static uint32_t data_read(void *dev)
{
	struct i8042 *k = dev;

	if (k->status & ST_OBF) {
		k->status &= ~(ST_OBF | ST_AUX);
		/* Both lines fall before the next byte can raise one. */
		irq_set(k->irq1, 0);
		irq_set(k->irq12, 0);
	}
	return k->data;
}

/* ---- port 92h ---- */

static void port92_write(void *dev, uint32_t v, uint32_t old)
{
	struct i8042 *k = dev;

	set_a20(k, v & P92_A20);
	if (v & ~old & P92_RESET)
		machine_request(k->dev.m, MACHINE_RESET, 0);
}

/* ---- input from a display ---- */

static bool key_room(void *opaque)
{
	return ps2_kbd_has_room(&((struct i8042 *)opaque)->kbd);
}

static void on_key(void *opaque, int key, bool down)
{
	struct i8042 *k = opaque;

	if (ps2_kbd_key(&k->kbd, key, down))
		timer_mod(&k->repeat, clock_now(&k->dev.m->clock) + ps2_kbd_delay(&k->kbd));
	i8042_update(k);
}

static void on_repeat(void *opaque)
{
	struct i8042 *k = opaque;

	if (ps2_kbd_repeat(&k->kbd))
		timer_mod(&k->repeat, clock_now(&k->dev.m->clock) + ps2_kbd_period(&k->kbd));
	i8042_update(k);
}

static void on_move(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
	struct i8042 *k = opaque;

	ps2_mouse_move(&k->mouse, dx, dy, dz, buttons);
	i8042_update(k);
}

static uint8_t kbd_leds(void *opaque)
{
	return ps2_kbd_leds(&((struct i8042 *)opaque)->kbd);
}

/* ---- the device ---- */

/* A range for each port, because what lies between them is not ours. */
#define PORT(name, at)								\
static uint32_t name##_in(void *dev, uint16_t off, int size)			\
{										\
	return dev_reg_read(dev, off + at, size);				\
}										\
static void name##_out(void *dev, uint16_t off, int size, uint32_t v)		\
{										\
	dev_reg_write(dev, off + at, size, v);					\
}										\
static const struct port_ops name##_ops = { name##_in, name##_out, 1, 1 };
PORT(data, 0x00)
PORT(command, 0x04)
PORT(p92, 0x32)
#undef PORT

static bool i8042_init(void *dev, struct err *e)
{
	struct i8042 *k = dev;
	struct machine *m = k->dev.m;

	(void)e;
	timer_init(&k->timer, &m->clock, on_timer, k);
	timer_init(&k->repeat, &m->clock, on_repeat, k);
	k->ports[0] = port_map(m, 0x60, 1, &data_ops, k, "i8042-data");
	k->ports[1] = port_map(m, 0x64, 1, &command_ops, k, "i8042-command");
	k->ports[2] = port_map(m, 0x92, 1, &p92_ops, k, "port92");
	k->keys = (struct input_sink){ .name = "PS/2 keyboard", .key = on_key, .key_room = key_room, .leds = kbd_leds, .opaque = k };
	k->moves = (struct input_sink){ .name = "PS/2 mouse", .rel = on_move, .opaque = k };
	input_add(m, &k->keys);
	input_add(m, &k->moves);
	return true;
}

static void i8042_fini(void *dev)
{
	struct i8042 *k = dev;

	input_del(k->dev.m, &k->keys);
	input_del(k->dev.m, &k->moves);
	timer_del(&k->timer);
	timer_del(&k->repeat);
	for (int i = 0; i < 3; i++)
		port_unmap(k->dev.m, k->ports[i]);
}

static void i8042_reset(void *dev)
{
	struct i8042 *k = dev;

	k->status = 0;
	k->ccb = CCB_INT1 | CCB_INT2 | CCB_NO_AUX | CCB_XLATE;
	k->out_port = OUT_RESET | OUT_A20;
	k->command = 0;
	k->breaking = false;
	fifo8_clear(&k->own);
	timer_del(&k->timer);
	timer_del(&k->repeat);
	ps2_kbd_reset(&k->kbd);
	ps2_mouse_reset(&k->mouse);
	machine_set_a20(k->dev.m, true);
}

static bool i8042_loaded(void *dev, struct err *e)
{
	struct i8042 *k = dev;
	struct ps2_mouse *s = &k->mouse;
	bool *const bools[] = { &k->kbd.scanning, &s->scaling21, &s->reporting, &s->remote, &s->wrap };

	for (size_t i = 0; i < ARRAY_LEN(bools); i++)
		fix_bool(bools[i]);
	if (!fifo8_valid(&k->own) || !ps2_kbd_valid(&k->kbd) || !ps2_mouse_valid(&k->mouse))
		return err_set(e, "a queue is impossible");
	machine_set_a20(k->dev.m, k->out_port & OUT_A20);
	return true;
}

#define F(f) offsetof(struct i8042, f)
static const struct reg i8042_regs[] = {
	/* off counts from port 60h */
	/*off   bank name       stored      reset    write                clears on read      on write */
	{ 0x00, 0,   "data",    F(data),    0,       0,                   0,     data_read,   data_write },
	{ 0x04, 0,   "status",  F(status),  0,       0,                   0,     status_read, command_write },
	{ 0x32, 0,   "port92",  F(port92),  P92_A20, P92_RESET | P92_A20, 0,     NULL,        port92_write },
	{ 0 }
};
static const struct state i8042_state[] = {
	STATE(i8042, ccb), STATE(i8042, out_port), STATE(i8042, command), STATE(i8042, breaking),
	STATE(i8042, ram), STATE(i8042, own), STATE(i8042, kbd), STATE(i8042, mouse),
	STATE_TIMER(i8042, timer), STATE_TIMER(i8042, repeat), { 0 }
};
static const struct prop i8042_props[] = {
	PROP(IRQ, i8042, irq1,  "kbd-irq",   1,  "ISA interrupt line of the keyboard"),
	PROP(IRQ, i8042, irq12, "mouse-irq", 12, "ISA interrupt line of the mouse"),
	{ 0 }
};

const struct dev_type i8042_type = {
	.name = "i8042", .bus = "system", .help = "keyboard controller, PS/2 keyboard and mouse",
	.size = sizeof(struct i8042), .version = 2,
	.regs = i8042_regs, .state = i8042_state, .props = i8042_props,
	.init = i8042_init, .fini = i8042_fini, .reset = i8042_reset, .update = i8042_update,
	.loaded = i8042_loaded,
};
