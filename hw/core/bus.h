/*
 * The machine: its lock, its address spaces, its devices, and the lines between
 * them that every device may need.
 *
 * Port and MMIO callbacks run with the machine lock held, whoever causes the
 * access. Functions below want the lock unless they say otherwise.
 */
#ifndef HW_CORE_BUS_H
#define HW_CORE_BUS_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/phys.h"
#include "hw/core/clock.h"
#include "hw/core/irq.h"
#include "hw/core/trace.h"

struct cpu;
struct dev;
struct dev_type;
struct loop;
struct chr;
struct pci_bus;
struct mmio;
struct drive_set;
struct value;
struct saved_part;

/* What the guest (or a device) asks of whoever runs the machine. */
enum machine_request {
	MACHINE_RESET,			/* whole-machine reset */
	MACHINE_POWEROFF,		/* the guest switched itself off */
	MACHINE_SUSPEND,		/* ACPI S3 */
	MACHINE_WAKEUP,			/* a wake event came in S3 */
	MACHINE_EXIT,			/* leave the program with status `arg` */
	MACHINE_PANIC,			/* the guest says that it has crashed */
	MACHINE_CRASH_LOADED,		/* so it says, and sees to it itself */
	MACHINE_WATCHDOG,		/* a watchdog has given the guest up */
	MACHINE_POWERDOWN,		/* somebody pressed the power button (towards the guest) */
	MACHINE_IO_ERROR,		/* a drive failed, and is to be seen to before the guest goes on */
};

/* An ISA DMA channel as a device sees it; the DMA controller fills machine->dma[]. */
struct dma_chan {
	/*
	 * Move up to n bytes between buf and the memory the guest programmed;
	 * to_mem: the device writes memory. Returns bytes moved (0: channel masked);
	 * *tc: terminal count was reached.
	 */
	int (*move)(void *opaque, int n_chan, void *buf, int n, bool to_mem, bool *tc);
	void *opaque;
};

#define MACHINE_N_ISA_IRQS 16
#define MACHINE_N_GSIS 24

/* -global driver.property=value */
struct global_prop {
	char *driver, *prop, *value;
	struct global_prop *next;
};

/* A named back end that a property can refer to (drives, network ends, sound). */
struct backend {
	const char *kind;		/* "drive", "netdev", "audiodev", ... */
	char *id;
	void *p;
	struct backend *next;
};

struct machine {
	pthread_mutex_t lock;
	_Atomic pthread_t owner;	/* who holds it (0: nobody) */
	bool in_access;			/* for a vCPU's access to a device, which ends with: */
	void (*late)(void *opaque);	/* machine_late(), or NULL */
	void *late_opaque;
	struct phys *phys;
	struct ports *ports;
	struct clock clock;		/* guest time */
	struct loop *loop;		/* may be NULL in tests */
	struct cpu **cpus;
	int n_cpus;
	const char *board;		/* what kind of machine it is, or NULL */
	struct saved_part *saved;	/* hw/core/snapshot.h */
	const struct dev_type *const *types;	/* all there are; NULL-terminated */
	struct dev *devs;		/* in order of creation */
	struct global_prop *globals;
	struct backend *backends;
	struct chr *chrs;
	struct drive_set *drives;	/* hw/backend/drive.h; NULL: none yet */
	struct mmio *mmios;
	struct pci_bus *pci;		/* root bus, for -device */
	unsigned n_macs;		/* default addresses given to network cards */

	/* Lines the board connects; setting an unconnected one is harmless. */
	struct irq isa_irq[MACHINE_N_ISA_IRQS];
	struct irq gsi[MACHINE_N_GSIS];	/* I/O APIC pins, with ISA lines where they share one */
	struct dma_chan dma[8];
	struct irq nmi;
	void (*msi)(void *opaque, uint64_t addr, uint32_t data);
	void *msi_opaque;
	/* Firmware of legacy devices asks the board; called with the lock held, any thread. */
	void (*on_request)(void *opaque, enum machine_request what, int arg);
	void *request_opaque;
	/* Something happened that a controlling program may want to know; takes data over. */
	void (*on_event)(void *opaque, const char *name, struct value *data);
	void *event_opaque;
	/* Human input arrives here once a device has claimed it (hw/core/input.h). */
	struct input_sink *inputs;
	struct {				/* keys that wait (input.c): code, bit 15: pressed */
		uint16_t key[256];
		unsigned first, n;
		uint8_t lost[128];	/* keys whose press found no room */
		bool going_on;
	} typed;
	bool a20;
	bool asleep;			/* in S3: input wakes it */
	bool waking;			/* devices are reset because S3 ends */
	struct trace trace;
};

/* Is any trace point on? Asked before trace_point(), so that nothing else is done for none. */
static inline bool trace_on(const struct machine *m)
{
	return __builtin_expect(atomic_load_explicit(&m->trace.on, memory_order_relaxed), false);
}

/* A machine without devices: phys, ports, a stopped clock. host NULL: real time. */
struct machine *machine_new(const struct dev_type *const *types, const struct clock_host *host,
			    struct err *e);
/* Frees devices in reverse order, streams, the clock, phys. */
void machine_free(struct machine *m);

void machine_lock(struct machine *m);		/* not recursive */
void machine_unlock(struct machine *m);
bool machine_trylock(struct machine *m);
bool machine_locked(const struct machine *m);	/* by this thread; for asserts and wrappers */
/* For what is called with and without the lock: take it, if need be, and give back what was taken. */
bool machine_hold(struct machine *m);
void machine_let(struct machine *m, bool held);	/* held: what machine_hold() gave */

/* Around a vCPU's access to a device: the lock, and behind it what machine_late() was told. */
void machine_enter(struct machine *m);
void machine_leave(struct machine *m);
/*
 * fn(opaque) runs on this vCPU's thread as soon as its access to a device is over and the lock is free
 * again. False: this is no vCPU's access, or somebody else has asked already.
 */
bool machine_late(struct machine *m, void (*fn)(void *opaque), void *opaque);

/*
 * The vCPU whose thread this is, or NULL. A thread-local variable: MMIO and port
 * callbacks have no cpu argument, and only the local APIC needs to know.
 */
struct cpu *machine_current_cpu(const struct machine *m);
void machine_set_current_cpu(struct cpu *c);	/* first thing on a vCPU's thread */

/* Ask; does nothing if nobody listens. */
void machine_request(struct machine *m, enum machine_request what, int arg);
/* Tell controlling programs (an EVENT of ui/commands.def); data may be NULL and is taken over. */
void machine_event(struct machine *m, const char *name, struct value *data);
/* The A20 line; the last of keyboard controller, port 92h to speak decides. */
void machine_set_a20(struct machine *m, bool on);
/* Send a message-signalled interrupt. */
void machine_msi(struct machine *m, uint64_t addr, uint32_t data);
int machine_dma(struct machine *m, int chan, void *buf, int n, bool to_mem, bool *tc);

void machine_add_backend(struct machine *m, const char *kind, const char *id, void *p);
void *machine_find_backend(struct machine *m, const char *kind, const char *id);
void machine_del_backend(struct machine *m, const char *kind, const char *id);
/* "driver.prop=value" or "driver=D,property=P,value=V" */
bool machine_add_global(struct machine *m, const char *text, struct err *e);

/* ---- I/O ports ---- */

struct port_ops {
	uint32_t (*read)(void *opaque, uint16_t off, int size);
	void (*write)(void *opaque, uint16_t off, int size, uint32_t v);
	int max_size;		/* 1, 2 or 4; wider accesses are split, low port first. 0: 1 */
	int min_size;		/* narrower accesses do not reach the device. 0: 1 */
	/*
	 * The first few of n accesses of `size` that follow on each other, as read() and write() would do them:
	 * those that only move data, so that nothing has to be told behind them. How many; NULL: none.
	 */
	unsigned (*read_run)(void *opaque, uint16_t off, int size, uint8_t *buf, unsigned n);
	unsigned (*write_run)(void *opaque, uint16_t off, int size, const uint8_t *buf, unsigned n);
};

struct port_range;
/* off counts from base. A later range hides an earlier one where they overlap. */
struct port_range *port_map(struct machine *m, uint16_t base, unsigned n,
			    const struct port_ops *ops, void *opaque, const char *name);
/* Move or hide. */
void port_set(struct machine *m, struct port_range *r, uint16_t base, bool enable);
void port_unmap(struct machine *m, struct port_range *r);	/* NULL is fine */

/* An access with the lock held. Nobody there: all ones. */
uint32_t port_read(struct machine *m, uint16_t port, int size);
void port_write(struct machine *m, uint16_t port, int size, uint32_t v);
/* The same, taking the lock: struct cpu_board's port_in and port_out; opaque is the machine. */
uint32_t machine_port_in(void *opaque, uint16_t port, int size);
void machine_port_out(void *opaque, uint16_t port, int size, uint32_t v);
/* port_in_run and port_out_run. They end behind an access that asks something of c, or of its thread (machine_late()). */
unsigned machine_port_in_run(void *opaque, const struct cpu *c, uint16_t port, int size, uint8_t *buf, unsigned n);
unsigned machine_port_out_run(void *opaque, const struct cpu *c, uint16_t port, int size, const uint8_t *buf, unsigned n);
/* struct cpu_board's now_ns. */
uint64_t machine_now_ns(void *opaque);

void port_each(struct machine *m, void (*fn)(void *opaque, uint16_t base, unsigned n, const char *name),
	       void *opaque);

/* ---- MMIO ---- */

struct mmio;
/*
 * Map device registers; ops are called with the machine lock held (it is taken
 * if the access comes from a vCPU), but for those of own_lock and the quick way. prio as in struct phys_range.
 */
struct mmio *mmio_map(struct machine *m, uint64_t pa, uint64_t size, int prio,
		      const struct mmio_ops *ops, void *opaque, const char *name, struct err *e);
void mmio_set(struct machine *m, struct mmio *r, uint64_t pa, bool enable);
/* Reads come from this memory instead of the callback; NULL: from the callback again. */
void mmio_read_from(struct machine *m, struct mmio *r, struct ram *ram);
void mmio_unmap(struct machine *m, struct mmio *r);	/* NULL is fine */
/* Trace points of ranges that have no register table. */
void port_trace_names(struct machine *m, struct trace_names *l);
void mmio_trace_names(struct machine *m, struct trace_names *l);

/* ---- memory as a bus master sees it (phys_dma_read()); lock held ---- */
static inline void dma_read(struct machine *m, uint64_t pa, void *buf, uint64_t n)
{
	if (trace_on(m))
		trace_point(m, "dma", NULL, "read", "0x%" PRIx64 " length %" PRIu64, pa, n);
	phys_dma_read(m->phys, pa, buf, n);
}
static inline void dma_write(struct machine *m, uint64_t pa, const void *buf, uint64_t n)
{
	if (trace_on(m))
		trace_point(m, "dma", NULL, "write", "0x%" PRIx64 " length %" PRIu64, pa, n);
	phys_dma_write(m->phys, pa, buf, n);
}

#endif
