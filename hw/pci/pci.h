/*
 * PCI functions and the bus they sit on.
 *
 * A device embeds struct pci_dev first, names pci_props and pci_state in its
 * dev_type, and in its init calls pci_attach() and one pci_bar_*() per base
 * address register. Configuration space is bytes with a write mask; a function
 * that has registers of its own there sets masks and a `config_written` hook.
 *
 *	reset   -> pci_reset(&d->pci)
 *	loaded  -> pci_loaded(&d->pci)	(maps the BARs again)
 *	fini    -> pci_detach(&d->pci)	(also after a failed init)
 *
 * Everything runs under the machine lock.
 *
 * Source: PCI Local Bus Specification 3.0, chapter 6; MSI 6.8.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "hw/core/dev.h"

#define PCI_NBARS	6
#define PCI_CONFIG_SIZE	4096u		/* of a PCI Express function; others have the first 256 bytes */
#define PCI_ROM_BAR	6

enum {	/* configuration registers of a type 0 header */
	PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06,
	PCI_REVISION = 0x08, PCI_CLASS = 0x09, PCI_CACHE_LINE = 0x0c, PCI_LATENCY = 0x0d,
	PCI_HEADER = 0x0e, PCI_BAR0 = 0x10, PCI_SUBVENDOR = 0x2c, PCI_SUBDEVICE = 0x2e,
	PCI_ROM = 0x30, PCI_CAP_PTR = 0x34, PCI_INT_LINE = 0x3c, PCI_INT_PIN = 0x3d,
};
enum {	/* and of a bridge's, type 1 */
	PCI_PRIMARY = 0x18, PCI_SECONDARY = 0x19, PCI_SUBORDINATE = 0x1a, PCI_IO_BASE = 0x1c,
	PCI_IO_LIMIT = 0x1d, PCI_SEC_STATUS = 0x1e, PCI_MEM_BASE = 0x20, PCI_MEM_LIMIT = 0x22,
	PCI_PREF_BASE = 0x24, PCI_PREF_LIMIT = 0x26, PCI_PREF_BASE_HIGH = 0x28, PCI_PREF_LIMIT_HIGH = 0x2c,
	PCI_IO_BASE_HIGH = 0x30, PCI_IO_LIMIT_HIGH = 0x32, PCI_BRIDGE_CTRL = 0x3e,
};
#define PCI_TYPE_BRIDGE	1
#define PCI_CMD_IO	0x0001u
#define PCI_CMD_MEM	0x0002u
#define PCI_CMD_MASTER	0x0004u
#define PCI_CMD_NOINTX	0x0400u
#define PCI_STATUS_INTX	0x0008u
#define PCI_STATUS_CAPS	0x0010u
#define PCI_MULTIFUNCTION 0x80u

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MMIO, PCI_BAR_MEM };

struct pci_bar {
	enum pci_bar_kind kind;
	bool is64, prefetch;
	uint64_t size;
	union {
		struct port_range *port;
		struct mmio *mmio;
		struct phys_map *mem;
	};
	uint64_t addr;		/* where it is mapped now; only if `on` */
	bool on;
};

/* MSI-X: a table of messages, one a vector, in a BAR of its own (msix.c). */
#define PCI_MSIX_MAX	32
struct pci_msix {
	uint8_t cap;		/* offset of the capability; 0: none */
	uint8_t n;		/* vectors */
	uint8_t table[PCI_MSIX_MAX][16];	/* as the guest sees it */
	uint32_t pending;	/* sent while masked */
};

struct pci_dev;
struct pci_bus;

#define PCI_NKEPT	3

struct pci_dev {
	struct dev dev;
	struct pci_bus *bus;
	struct pci_bus *parent;	/* property bus; NULL: the root bus */
	struct pci_bus *below;	/* a bridge's secondary bus, or NULL */
	bool multifunction;	/* property */
	int32_t devfn;		/* property addr; slot * 8 + function, -1: the next free slot */
	char *romfile;		/* property of cards that firmware runs code of; NULL or empty: none */
	bool express;		/* has extended configuration space */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t wmask[PCI_CONFIG_SIZE];	/* bits software may write */
	uint8_t w1c[PCI_CONFIG_SIZE];	/* bits that writing 1 clears */
	struct pci_bar bars[PCI_NBARS + 1];
	struct ram *rom;	/* of the expansion ROM; NULL: none */
	bool intx;		/* the function asserts its INTx# */
	uint8_t msi_cap;	/* offset of the MSI capability; 0: none */
	struct pci_msix msix;
	uint8_t cap_end;	/* next free byte for capabilities */
	uint8_t last_cap;
	uint8_t reset_config[PCI_CONFIG_SIZE];
	struct { uint16_t off, n; } kept[PCI_NKEPT];
	unsigned n_kept;
	/* Bytes off .. off+n-1 are about to be read: bring them up to date; may be NULL. */
	void (*config_read)(struct pci_dev *p, unsigned off, int n);
	/* Bytes off .. off+n-1 were written, values are in; may be NULL. */
	void (*config_written)(struct pci_dev *p, unsigned off, int n);
};

extern const struct prop pci_props[];
extern const struct state pci_state[];
/* The row of a card that has an expansion ROM; its init calls pci_romfile(). */
#define PCI_PROP_ROMFILE \
	PROP_TEXT(pci_dev, romfile, "romfile", NULL, "expansion ROM for firmware to run: a file")
/* Their rows, for a common base that has more (virtio). */
#define PCI_PROPS \
	PROP(DEVFN, pci_dev, devfn, "addr", (uint64_t)-1, "slot[.function] on the bus"), \
	PROP_REF("pci-bus", pci_dev, parent, "bus", "pcie.0 or pci.0, or a port's id"), \
	PROP(BOOL, pci_dev, multifunction, "multifunction", 0, "the slot has other functions, too")
#define PCI_STATE STATE_AS(pci_dev, config, "pci config"), STATE_AS(pci_dev, intx, "pci intx"), \
	STATE_AS(pci_dev, msix.table, "pci msix table"), STATE_AS(pci_dev, msix.pending, "pci msix pending")

struct pci_ids {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class;		/* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint8_t int_pin;	/* 0 none, 1 INTA# ... 4 INTD# */
	bool multifunction;
	bool bridge;		/* has a type 1 header */
};

/* ---- the bus ---- */

#define PCI_NIRQS	8		/* outputs a root bus has at most */
/* Where pin (0 = INTA#) of a slot goes, modulo the bus's outputs; set by the board. */
typedef int pci_map_irq(int slot, int pin);

struct pci_bus {
	struct machine *m;
	struct pci_dev *bridge;		/* that it is behind; NULL: a root bus */
	int n_slots;			/* 32; behind a PCI Express port 1 */
	bool express;
	const struct pci_slot_ops *slots;	/* hot plug; NULL: the bus has none */
	struct dev *slots_owner;	/* who does that, if it is not the bridge */
	struct pci_dev *fn[256];	/* by devfn */
	int n_irqs;			/* 4, unless the board says otherwise */
	pci_map_irq *map_irq;		/* both set by the board */
	struct irq irq[PCI_NIRQS];
	int n_asserted[PCI_NIRQS];
};

/* Hot plug of what sits on a bus. */
struct pci_slot_ops {
	/* A device is there now. */
	void (*plugged)(struct pci_bus *b, struct pci_dev *p);
	/* Ask the guest to let go of it; it ends in pci_eject(). False: it cannot be asked (err filled). */
	bool (*unplug)(struct pci_bus *b, struct pci_dev *p, struct err *e);
};

/* The board's root bus, known by this name and as its machine's bus. */
void pci_bus_init(struct pci_bus *b, struct machine *m);
void pci_bus_name(struct pci_bus *b, const char *name);
/* The root bus above. */
struct pci_bus *pci_root(struct pci_bus *b);
/* The guest has let go of what is in a slot: its functions are freed, and whoever asked is told. */
void pci_eject(struct pci_bus *b, int slot);
/* Configuration access by bus number, devfn and register; absent: all ones. */
uint32_t pci_config_read(struct pci_bus *b, int bus, int devfn, unsigned off, int n);
void pci_config_write(struct pci_bus *b, int bus, int devfn, unsigned off, int n, uint32_t v);

/* ---- bridges (bridge.c) ---- */

/*
 * A function with a bus behind it: fill the rest of the header after pci_attach(),
 * pass on configuration writes, take both apart. The bus is known by the device's id.
 */
void pci_bridge_init(struct pci_dev *p, struct pci_bus *below);
void pci_bridge_written(struct pci_dev *p, unsigned off, int n);
void pci_bridge_fini(struct pci_dev *p);
/* Would an access on the root bus to this range reach devices on b? */
bool pci_passes_io(const struct pci_bus *b, uint64_t addr, uint64_t size);
bool pci_passes_mem(const struct pci_bus *b, uint64_t addr, uint64_t size);
/* What firmware has placed above 4 GiB, from the first to the last byte. False: nothing. */
bool pci_high_window(struct pci_bus *b, uint64_t *first, uint64_t *last);
/* Functions of a bus and of all behind it. */
void pci_each(struct pci_bus *b, void (*fn)(struct pci_dev *p, void *opaque), void *opaque);
/* For pci.c and bridge.c: windows or enable bits above have changed. */
void pci_bars_update(struct pci_dev *p);
void pci_irqs_update(struct pci_bus *b);

/* ---- PCI Express (express.c) ---- */

enum pci_express_type { PCI_EXP_ENDPOINT = 0, PCI_EXP_ROOT_PORT = 4, PCI_EXP_INTEGRATED = 9 };
enum {	/* registers of the capability */
	PCI_EXP_CAPS = 0x02, PCI_EXP_DEVCAP = 0x04, PCI_EXP_DEVCTL = 0x08, PCI_EXP_LNKCAP = 0x0c,
	PCI_EXP_LNKCTL = 0x10, PCI_EXP_LNKSTA = 0x12, PCI_EXP_SLTCAP = 0x14, PCI_EXP_SLTCTL = 0x18,
	PCI_EXP_SLTSTA = 0x1a, PCI_EXP_RTCTL = 0x1c, PCI_EXP_RTSTA = 0x20, PCI_EXP_LNKCAP2 = 0x2c,
	PCI_EXP_LNKCTL2 = 0x30,
};
/* Makes the function a PCI Express one; the capability's offset. */
uint8_t pci_add_express(struct pci_dev *p, enum pci_express_type type);

/* ---- functions ---- */

/* Take a place on dev.m->pci and fill the header. */
bool pci_attach(struct pci_dev *p, const struct pci_ids *ids, struct err *e);
void pci_detach(struct pci_dev *p);
void pci_reset(struct pci_dev *p);
bool pci_loaded(struct pci_dev *p);

/* Base address registers; sizes are powers of two. */
bool pci_bar_io(struct pci_dev *p, int bar, unsigned size, const struct port_ops *ops, void *opaque,
		struct err *e);
bool pci_bar_mmio(struct pci_dev *p, int bar, uint64_t size, const struct mmio_ops *ops, void *opaque,
		  struct err *e);
/* Memory behind a BAR (a frame buffer); the whole of r. */
bool pci_bar_ram(struct pci_dev *p, int bar, struct ram *r, bool prefetch, struct err *e);
/* The expansion ROM from the file of its property, if it names one. */
bool pci_romfile(struct pci_dev *p, struct err *e);

/* Its Open Firmware path, for dev_type.boot_path: "/pci@i0cf8/ide@1,1". */
void pci_boot_path(const void *dev, char *buf);

/* Append a capability of n bytes (first two are id and link); its offset. */
uint8_t pci_add_cap(struct pci_dev *p, uint8_t id, uint8_t n);
/* One-message MSI capability (64-bit addresses). */
void pci_add_msi(struct pci_dev *p);
bool pci_msi_enabled(const struct pci_dev *p);

/* MSI-X with n vectors (at most PCI_MSIX_MAX) in memory BAR `bar`. */
bool pci_add_msix(struct pci_dev *p, int bar, unsigned n, struct err *e);
bool pci_msix_enabled(const struct pci_dev *p);
static inline unsigned pci_msix_vectors(const struct pci_dev *p)
{
	return p->msix.n;
}
/* Send a vector's message, or note it while the vector is masked. No such vector: nothing. */
void pci_msix_send(struct pci_dev *p, unsigned vector);
/* For pci.c: the control word may have changed; reset. */
void pci_msix_update(struct pci_dev *p);
void pci_msix_reset(struct pci_dev *p);

/* Values at reset, and what software may change. */
void pci_set_config(struct pci_dev *p, unsigned off, int n, uint32_t v, uint32_t wmask);
/* Firmware does not set these bytes again when the machine wakes from S3, so they keep their values then. */
void pci_keep_config(struct pci_dev *p, unsigned off, unsigned n);

/* The level of the function's interrupt: MSI on a rising edge if enabled, else INTx#. */
void pci_set_irq(struct pci_dev *p, bool level);

static inline uint16_t pci_command(const struct pci_dev *p)
{
	return ld16(p->config + PCI_COMMAND);
}
/* Bus mastering; refused while COMMAND.MASTER is clear (reads give ones). */
bool pci_dma_read(struct pci_dev *p, uint64_t pa, void *buf, uint64_t n);
bool pci_dma_write(struct pci_dev *p, uint64_t pa, const void *buf, uint64_t n);
/* The same, but false, and nothing moved, unless all of it is RAM (pci_ram.c). */
bool pci_ram_read(struct pci_dev *p, uint64_t pa, void *buf, uint64_t n);
bool pci_ram_write(struct pci_dev *p, uint64_t pa, const void *buf, uint64_t n);

#endif
