/*
 * The quick way to an MMIO device: no lock, and the guest's vector state stays where it is. Who traces wants to
 * see each access, which only the long way shows.
 */
#include "hw/core/mmio_priv.h"

bool mmio_read_quick(void *opaque, uint64_t off, int size, uint64_t *v)
{
	const struct mmio *r = opaque;

	return r->ops && !trace_on(r->m) && r->ops->read_quick(r->opaque, off, size, v);
}

bool mmio_write_quick(void *opaque, uint64_t off, int size, uint64_t v)
{
	const struct mmio *r = opaque;

	return r->ops && !trace_on(r->m) && r->ops->write_quick(r->opaque, off, size, v);
}
