/*
 * The device model: a device is a table of registers, a table of saved fields,
 * a table of properties and a few functions. STYLE.md section 3 has the worked
 * example; this header is the contract.
 *
 * Registers. A row says where a register is, what stores it, its reset value,
 * which bits software may write and which bits a read clears. An access does:
 *
 *   read   v = stored value; stored &= ~clear; if on_read: v = on_read(dev)
 *          (with on_read the row clears nothing by itself)
 *   write  old = stored; stored = old with the wmask bits from v;
 *          if on_write: on_write(dev, v, old), v as the guest wrote it
 *   then   type->update(dev), which alone drives interrupt lines
 *
 * Registers are saved with the device, `state` rows name what no register holds.
 * Registers are 1 byte wide unless `size` says 2 or 4. An access of another
 * width is assembled from (or spread over) the registers at the following
 * addresses; a part of a wide register is read and written by bytes, except that
 * on_write sees the whole merged value.
 */
#ifndef HW_CORE_DEV_H
#define HW_CORE_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/fifo.h"
#include "base/log.h"
#include "hw/core/bus.h"
#include "hw/core/clock.h"
#include "hw/core/irq.h"

#define REG_ANY		0xff		/* bank: in every bank */
#define REG_NONE	0xffffffffu	/* stored: nowhere */

struct reg {
	uint16_t off;
	uint8_t bank;			/* what type->bank() answers when this row is meant */
	const char *name;
	uint32_t stored;		/* offset of the field in the device struct, or REG_NONE */
	uint32_t reset, wmask, clear;
	uint32_t (*on_read)(void *dev);
	void (*on_write)(void *dev, uint32_t v, uint32_t old);
	uint8_t size;			/* bytes: 0 or 1, 2, 4; also the stored field's size */
	uint32_t w1c;			/* bits that writing 1 clears; on_write comes after that */
};

enum state_kind { STATE_RAW = 0, STATE_BOOLS, STATE_TIMER_KIND };

/* A saved field: raw bytes of a fixed-width field or array of them, or a timer's deadline. */
struct state {
	const char *name;
	uint32_t off, size;
	enum state_kind kind;
};
/* Fields of type bool hold 0 or 1 after loading, whatever was in the file; inside structs the type's loaded() sees to that. */
#define STATE_KIND(t, f)	_Generic(((struct t *)0)->f, bool: STATE_BOOLS, bool *: STATE_BOOLS, default: STATE_RAW)
#define STATE(t, f)		{ #f, offsetof(struct t, f), sizeof(((struct t *)0)->f), STATE_KIND(t, f) }
/* Under another name: names are unique in a device, with its registers and its bus. */
#define STATE_AS(t, f, name)	{ name, offsetof(struct t, f), sizeof(((struct t *)0)->f), STATE_KIND(t, f) }
#define STATE_TIMER(t, f)	{ #f, offsetof(struct t, f), 8, STATE_TIMER_KIND }

enum prop_type {
	PROP_U8, PROP_U16, PROP_U32, PROP_U64,
	PROP_SIZE,		/* uint64_t; K, M, G, T behind the number */
	PROP_BOOL,		/* on, off, yes, no, true, false */
	PROP_STR,		/* char *; owned by the device; default NULL or a string in def_str */
	PROP_MAC,		/* uint8_t[6] */
	PROP_DEVFN,		/* int32_t: "1f.2" or "3"; -1: any */
	PROP_BOOT,		/* int32_t: place in the order of boot devices, no other device has it; -1: none */
	PROP_IRQ,		/* struct irq; an ISA line number */
	PROP_CHR,		/* struct chr *; a stream's id */
	PROP_BACKEND,		/* void *; an id, `kind` names the machine's list of back ends */
};

struct prop {
	enum prop_type type;
	const char *name;
	uint32_t off, size;
	uint64_t def;
	const char *help;
	const char *def_str;		/* PROP_STR and PROP_BACKEND (kind) */
};
#define PROP(ty, t, f, nm, dflt, hlp) \
	{ PROP_##ty, nm, offsetof(struct t, f), sizeof(((struct t *)0)->f), dflt, hlp, NULL }
/* The row of a device that firmware can boot from; its type has a boot_path. */
#define PROP_BOOTINDEX \
	PROP(BOOT, dev, bootindex, "bootindex", (uint64_t)-1, "firmware tries the device with the lowest first")
/* A string with a default. */
#define PROP_TEXT(t, f, nm, dflt, hlp) \
	{ PROP_STR, nm, offsetof(struct t, f), sizeof(((struct t *)0)->f), 0, hlp, dflt }
/* A reference into machine->backends. */
#define PROP_REF(kind, t, f, nm, hlp) \
	{ PROP_BACKEND, nm, offsetof(struct t, f), sizeof(((struct t *)0)->f), 0, hlp, kind }

#define DEV_OWN_LINES	2		/* that are neither ISA lines nor I/O APIC pins */
#define BOOT_PATH	256		/* bytes that the longest path fits in */

struct dev;

struct dev_type {
	const char *name;		/* as in -device */
	const char *alias;		/* another name, or NULL */
	const char *bus;		/* "isa", "pci", "usb", "system" (not by -device) */
	const char *help;		/* one line for -device help */
	size_t size;			/* of the device struct, which begins with struct dev */
	uint32_t version;		/* of the saved state */
	const struct reg *regs;		/* ends with { 0 }, as do the others; may be NULL */
	const struct state *state;
	const struct prop *props;
	const struct prop *bus_props;	/* properties of a common base (PCI), or NULL */
	const struct state *bus_state;
	unsigned (*bank)(void *dev, unsigned off);	/* NULL: bank 0 */
	bool (*init)(void *dev, struct err *e);	/* claim ports, MMIO, lines, back ends */
	void (*fini)(void *dev);		/* undo init; also after a failed init */
	void (*reset)(void *dev);		/* after the table's reset values are in */
	void (*update)(void *dev);		/* drive lines from state; after every access */
	/*
	 * Into buf (BOOT_PATH bytes): the Open Firmware path by which firmware knows the device,
	 * or the beginning of its devices' paths, if it is a controller. Left alone: it is on no bus.
	 */
	void (*boot_path)(const void *dev, char *buf);
	bool fixed;			/* stays while the machine runs: no hot plug */
	char boot_letter;		/* of -boot order=: c disk, d optical drive, n network card; or 0 */
	const char *boot_rom;		/* file for romfile= that firmware needs to boot from it, or NULL */
	bool (*can_save)(void *dev, struct err *e);	/* may the machine be saved now? NULL: always */
	bool (*loaded)(void *dev, struct err *e);	/* state was loaded: check it, rebuild what is derived */
};

struct dev {
	const struct dev_type *type;
	struct machine *m;
	char *id;			/* "uart0", or what the user said; unique */
	int32_t bootindex;		/* -1: not among the devices to boot from */
	struct dev *next;
	bool live;			/* init succeeded */
	bool user;			/* made by -device or device_add */
	bool has_irq;			/* it asked for an interrupt line */
	uint64_t lines_up;		/* those that are high, a bit each (dev.c) */
	struct irq own[DEV_OWN_LINES];	/* what dev_own_irq() leads to */
	int n_own;
};

/* ---- making devices ---- */

/* Storage with default properties (and -global ones). id NULL: made from the type's name. */
struct dev *dev_new(struct machine *m, const struct dev_type *t, const char *id, struct err *e);
/* Set a property from text. */
bool dev_set(struct dev *d, const char *prop, const char *value, struct err *e);
/* "a=1,b=2": several; ",," is a comma inside a value. */
bool dev_set_all(struct dev *d, const char *list, struct err *e);
/* init, reset, and into the machine's list. On failure the device is freed. */
bool dev_start(struct dev *d, struct err *e);
/* All in one: type, "prop=value,..." or NULL. */
struct dev *dev_make(struct machine *m, const struct dev_type *t, const char *id, const char *props,
		     struct err *e);
/* A -device argument: "type,prop=value,id=name". Not for "system" types. */
struct dev *dev_make_from(struct machine *m, const char *text, struct err *e);
/* fini, unlink, free. */
void dev_free(struct dev *d);
/* The same for a device that the user takes away from a running machine: whoever listens is told. */
void dev_unplug(struct dev *d);

const struct dev_type *dev_type_find(const struct machine *m, const char *name);
/* Say that there is no such type, and which one may be meant. False. */
bool dev_type_unknown(const struct machine *m, const char *name, struct err *e);
struct dev *dev_find(const struct machine *m, const char *id);
/* First device of a type, or NULL. */
struct dev *dev_find_type(const struct machine *m, const struct dev_type *t);
/* `-device help` (name NULL or "help") and `-device name,help`. */
bool dev_help(const struct machine *m, const char *name, FILE *out, struct err *e);
/* A property as text (for the monitor); returns what snprintf would. */
int dev_prop_text(const struct dev *d, const struct prop *p, char *buf, size_t n);

/* Append to a boot path; what does not fit is cut off. */
void dev_boot_path_add(char *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- life ---- */
/* Register reset values, then type->reset, then update. */
void dev_reset(struct dev *d);
void machine_reset_devices(struct machine *m);	/* in order of creation */
static inline void dev_update(struct dev *d)
{
	if (d->type->update)
		d->type->update(d);
}

/* ISA line n, I/O APIC pin n, or any other as the device's own: what it does there can be traced as DEVICE.irq. */
struct irq dev_isa_irq(struct dev *d, int n);
struct irq dev_gsi(struct dev *d, int n);
struct irq dev_own_irq(struct dev *d, struct irq to);
/* The level of the device's line has become another one: for its trace point. */
static inline void dev_irq_changed(struct dev *d, bool level)
{
	if (trace_on(d->m))
		trace_point(d->m, d->id, NULL, "irq", "%d", level);
}

/* ---- registers ---- */
uint32_t dev_reg_read(struct dev *d, unsigned off, int size);
void dev_reg_write(struct dev *d, unsigned off, int size, uint32_t v);
/* One row, whole, whatever the bank (tests, monitor). */
uint32_t reg_get(struct dev *d, const struct reg *r);
void reg_put(struct dev *d, const struct reg *r, uint32_t v);
static inline int reg_size(const struct reg *r) { return r->size ? r->size : 1; }
/* Stored value without side effects. */
uint32_t reg_peek(const struct dev *d, const struct reg *r);
void reg_poke(struct dev *d, const struct reg *r, uint32_t v);
/* Nothing but storage behind a mask. */
static inline bool reg_is_plain(const struct reg *r)
{
	return r->stored != REG_NONE && !r->on_read && !r->on_write && !r->clear && !r->w1c;
}

/* I/O ports and MMIO that go to the register table; opaque is the device. */
extern const struct port_ops dev_port_ops;		/* bytes */
extern const struct port_ops dev_port_ops_wide;		/* up to 4 bytes at once */
extern const struct mmio_ops dev_mmio_ops;		/* up to 4 bytes */

/* ---- state ---- */
/*
 * Visit everything saved: registers (by name, no duplicates), then state rows,
 * then bus_state. p points to the bytes; for timers to a uint64_t deadline copy.
 */
void dev_each_saved(struct dev *d, void (*fn)(void *opaque, const char *name, void *p, uint32_t size),
		    void *opaque);
/* False (with err): a device holds something that cannot be saved. */
bool machine_can_save(struct machine *m, struct err *e);
/* After all fields are in: timers are armed, type->loaded and update run. */
bool dev_loaded(struct dev *d, struct err *e);

/* Print registers with their values (monitor, `info registers` of a device). */
void dev_dump(const struct dev *d, FILE *out);

#endif
