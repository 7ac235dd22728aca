/* How hw/core/bus.c and bus_light.c keep a mapped MMIO range. Private to them. */
#ifndef HW_CORE_MMIO_PRIV_H
#define HW_CORE_MMIO_PRIV_H

#include "hw/core/bus.h"

/* A mapped range and the wrappers that take the lock. */
struct mmio {
	struct machine *m;
	const struct mmio_ops *ops;
	void *opaque;
	const char *name;
	struct phys_map *map;
	struct mmio_ops locked;		/* the wrappers, with the device's max_size */
	struct mmio *next;		/* of the machine's */
};

/* mmio_ops.read_quick and write_quick of `locked`. */
bool mmio_read_quick(void *opaque, uint64_t off, int size, uint64_t *v);
bool mmio_write_quick(void *opaque, uint64_t off, int size, uint64_t v);

#endif
