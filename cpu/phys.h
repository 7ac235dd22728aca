/*
 * Guest-physical address space: what stands at an address, dirty and code bits.
 *
 * The board maps ranges with a priority; where ranges overlap the highest
 * priority wins. A range answers reads and writes separately: from host memory,
 * by a callback, or not at all (reads give all ones, writes vanish). This is
 * what PAM, SMRAM, ROM and PCI BARs need, and nothing more.
 *
 * Threads: mapping changes under the machine lock while vCPUs run (each gets
 * REQ_FLUSH); look-ups by any thread without a lock. Functions marked light may
 * run with guest vector state live.
 */
#ifndef CPU_PHYS_H
#define CPU_PHYS_H

#include "cpu/cpu.h"

/*
 * A piece of guest memory with host memory behind it: RAM or ROM. `base` is
 * page-aligned. `page` has one byte per 4 KiB page.
 */
struct ram {
	const char *name;
	uint8_t *host;
	uint64_t size;
	_Atomic uint8_t *page;		/* PAGE_* per page */
	uint64_t id;			/* ram address of its first byte: unique page numbers */
	uint16_t *holders;		/* per page: vCPUs that hold translations */
};
#define PAGE_CODE	0x01	/* the accelerator holds translations of bytes in it */
#define PAGE_DIRTY	0x02	/* written since last cleared (display) */
#define PAGE_LOG	0x04	/* dirty tracking wanted: writes must set PAGE_DIRTY */
#define PAGE_CHANGED	0x08	/* the same two for snapshots: written since last taken */
#define PAGE_TRACK	0x10
#define PAGE_WRITTEN	(PAGE_DIRTY | PAGE_CHANGED)	/* what a write sets in a page with one of PAGE_LOGS */
#define PAGE_LOGS	(PAGE_LOG | PAGE_TRACK)

/* MMIO callbacks. `off` counts from the range's start. size is 1, 2, 4 or 8. */
struct mmio_ops {
	uint64_t (*read)(void *opaque, uint64_t off, int size);
	void (*write)(void *opaque, uint64_t off, int size, uint64_t v);
	int max_size;		/* largest access the device takes; larger ones are split (0: 4) */
	bool alone;		/* a write may interrupt the very processor that makes it, at once */
	bool dma;		/* bus masters reach it, too: memory in all but name */
	bool own_lock;		/* hw/core/bus.h: needs no machine lock */
	/*
	 * The quick way, both or neither: without the machine lock, light. False: nothing has been done, come by
	 * the callbacks above. For devices that stay as long as the machine.
	 */
	bool (*read_quick)(void *opaque, uint64_t off, int size, uint64_t *v);
	bool (*write_quick)(void *opaque, uint64_t off, int size, uint64_t v);
};

struct phys_range {
	uint64_t pa, size;		/* page-aligned unless it is mmio only */
	int prio;
	struct ram *rram, *wram;	/* reads/writes go to this memory ... */
	uint64_t off;			/* ... from this offset; */
	const struct mmio_ops *ops;	/* or, if that side's ram is NULL, here; */
	void *opaque;			/* or, if ops is NULL too, nowhere */
	bool nowrite;			/* writes vanish although ops exists (ROM) */
	const char *name;
};

struct phys *phys_new(void);
void phys_free(struct phys *p);

/* Host memory for the guest (zeroed, page-aligned, guard pages around). Freed with p. */
struct ram *phys_ram_new(struct phys *p, const char *name, uint64_t size, struct err *e);
/* All zero again, and given back to the host. The caller knows that nothing is translated from it. */
void phys_ram_clear(struct ram *r);

/*
 * Its owner has gone and nothing maps it (NULL is fine). The bytes go back to the host; what vCPUs and
 * their accelerators may still know of it stays valid: the struct waits for phys_ram_new() to give it
 * out again for the same size, all zero and without translations. Machine lock. Not light.
 */
void phys_ram_drop(struct phys *p, struct ram *r);

/* The nth such memory, in order of creation, or NULL. Dropped ones do not count. */
struct ram *phys_ram_nth(struct phys *p, unsigned n);

/* Map r (copied); a handle for unmap and move, or NULL with err filled. Machine lock. */
struct phys_map *phys_map(struct phys *p, const struct phys_range *r, struct err *e);
void phys_unmap(struct phys *p, struct phys_map *m);
/* Put it elsewhere, or hide it (enable false). Cheap when nothing changes. */
void phys_map_set(struct phys *p, struct phys_map *m, uint64_t pa, bool enable);
/* Change what a mapped range reads from and writes to (PAM). */
void phys_map_redirect(struct phys *p, struct phys_map *m, const struct phys_range *r);
/* All changes between begin and end take effect at end, as one. May nest. */
void phys_begin(struct phys *p);
void phys_end(struct phys *p);
/* The A20 gate: when off, address bit 20 reads as zero. Machine lock. */
void phys_set_a20(struct phys *p, bool on);
bool phys_a20(const struct phys *p);
/* Every vCPU registers (cpu_new() does), so that changes of the map flush its TLB. Twice is once. */
void phys_add_cpu(struct phys *p, struct cpu *c);
void phys_del_cpu(struct phys *p, struct cpu *c);
/* The nth registered one, or NULL. Light. */
struct cpu *phys_cpu(const struct phys *p, unsigned n);

/* What one page looks like to an access. Light. */
struct phys_page {
	uint8_t *rhost, *whost;		/* host address of the page, or NULL: not plain memory */
	struct ram *ram;		/* of rhost (code lives here), or NULL */
	uint64_t ram_off;		/* page's offset in ram */
	struct ram *wram;		/* of whost, or NULL; same offset */
};
void phys_lookup(struct phys *p, uint64_t pa, struct phys_page *out);
/* Does a write there go to a device that wants it alone (mmio_ops.alone)? Light. */
bool phys_alone(struct phys *p, uint64_t pa);

/* The page at pa belongs to a device that has a quick way (mmio_ops.read_quick). Light. */
struct phys_dev {
	const struct mmio_ops *ops;
	void *opaque;
	uint64_t off;			/* of the page's first byte */
	int max_size;
};
bool phys_quick(struct phys *p, uint64_t pa, struct phys_dev *out);

/*
 * Access of 1, 2, 4 or 8 bytes at any alignment, by the vCPU or a device.
 * RAM writes mark PAGE_DIRTY and tell the vCPUs' accelerators about code.
 * Not light: reach it by cpu_call_out(); phys_ld/phys_st below do that.
 */
uint64_t phys_read(struct phys *p, uint64_t pa, int size);
void phys_write(struct phys *p, uint64_t pa, int size, uint64_t v);
/* Blocks of memory, for loaders and debuggers; MMIO inside is accessed in pieces. Not light. */
void phys_read_buf(struct phys *p, uint64_t pa, void *buf, uint64_t n);
void phys_write_buf(struct phys *p, uint64_t pa, const void *buf, uint64_t n);
/* Is there, for n bytes, a device that is memory in all but name (mmio_ops.dma)? Light. */
bool phys_like_memory(struct phys *p, uint64_t pa, uint64_t n);
/*
 * For such devices, where accesses of any size do the same: n bytes of repeated `pattern`; n elements of
 * `size` bytes, one after the other, from where to where a host address is given or else pa. Not light.
 */
void phys_fill(struct phys *p, uint64_t pa, uint64_t pattern, uint64_t n);
struct phys_copy {
	uint8_t *to, *from;
	uint64_t to_pa, from_pa, n;
	int size;
};
void phys_copy(struct phys *p, const struct phys_copy *x);
/*
 * The same for bus masters, which reach memory only, and what says that it is like
 * memory (mmio_ops.dma): a device that could be led to registers, its own among them,
 * would be called while it is in the middle of something else. Other reads give ones.
 */
void phys_dma_read(struct phys *p, uint64_t pa, void *buf, uint64_t n);
void phys_dma_write(struct phys *p, uint64_t pa, const void *buf, uint64_t n);
/* A device changes its own memory, mapped or not: translations of these bytes go. Machine lock. */
void phys_ram_write(struct phys *p, struct ram *r, uint64_t off, const void *buf, uint64_t n);
/* Memory was written by its host address: mark it, tell those who hold code of it. Machine lock. Not light. */
void phys_ram_written(struct phys *p, struct ram *r, uint64_t off, uint64_t n);
/* Whole pages go back to the host and read as zeroes from now on. Machine lock. Not light. */
void phys_ram_discard(struct phys *p, struct ram *r, uint64_t off, uint64_t n);
/* Light loads and stores for page walks and descriptors; RAM inline, else heavy. */
uint64_t phys_ld(struct cpu *c, uint64_t pa, int size);
void phys_st(struct cpu *c, uint64_t pa, int size, uint64_t v);
/* Compare-and-swap of 4 or 8 aligned bytes (accessed/dirty bits). Light. False if it had changed or is no RAM. */
bool phys_cas(struct cpu *c, uint64_t pa, int size, uint64_t old, uint64_t new_);

/*
 * A vCPU's accelerator holds code of this page: writes to it must be told. Each
 * counts once from set to clear; PAGE_CODE stays until the last has gone. Light.
 */
void phys_set_code(struct phys *p, struct ram *r, uint64_t ram_off);
void phys_clear_code(struct phys *p, struct ram *r, uint64_t ram_off);
/*
 * Whoever translates code registers; called for writes by devices (any thread,
 * machine lock). Several may, told apart by `opaque`; fn NULL removes one, and
 * with opaque NULL all. Machine lock.
 */
void phys_on_code_write(struct phys *p, void (*fn)(void *opaque, struct ram *r, uint64_t ram_off, uint64_t n),
			void *opaque);
/*
 * A pointer for what the vCPUs' accelerator has in common, NULL at first. Held by one thread
 * until phys_common_done(). Not light.
 */
void **phys_common(struct phys *p);
void phys_common_done(struct phys *p);
/*
 * A vCPU has written, or is about to write, to a page with code: tell all others
 * that registered, by the same functions. `self` is the writer's own `opaque`. Any
 * thread, no lock needed. Not light.
 */
void phys_tell_code_write(struct phys *p, const void *self, struct ram *r, uint64_t ram_off, uint64_t n);
/* phys_ram_written() for whatever of these n bytes of the host's memory is guest memory. */
void phys_host_written(struct phys *p, const void *host, uint64_t n);
/* Begin/stop dirty tracking of a range; test and clear one page's bit. */
void phys_log_dirty(struct phys *p, struct ram *r, uint64_t off, uint64_t n, bool on);
bool phys_test_clear_dirty(struct phys *p, struct ram *r, uint64_t off);

/*
 * The same for snapshots, a whole memory at once. phys_track() with the vCPUs at rest;
 * what devices write through ram->host directly is not seen. phys_take_changed() sets a
 * bit in `bits` for each page written since the last time and returns how many; a write
 * under way meanwhile counts for the next time. The last time: vCPUs at rest, after
 * phys_settle_writes(), so that nothing is left out.
 */
void phys_track(struct phys *p, struct ram *r, bool on);
uint64_t phys_take_changed(struct phys *p, struct ram *r, uint64_t *bits);
void phys_settle_writes(struct phys *p);

/* Visit the flattened map in address order (monitor, e820). */
void phys_each(struct phys *p, void (*fn)(void *opaque, const struct phys_range *r), void *opaque);

#endif
