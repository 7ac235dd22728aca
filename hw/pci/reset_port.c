/*
 * The reset control register.
 */
#include "hw/pci/reset_port.h"

#define PORT_RESET	0xcf9
#define RCR_CPU		0x04u

static uint32_t rcr_read(void *opaque, uint16_t off, int size)
{
	const struct reset_port *r = opaque;

	(void)off, (void)size;
	return r->rcr;
}

static void rcr_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct reset_port *r = opaque;
	bool reset = v & RCR_CPU && !(r->rcr & RCR_CPU);

	(void)off, (void)size;
	r->rcr = v & r->kept;
	if (reset)
		machine_request(r->m, MACHINE_RESET, 0);
}

static const struct port_ops rcr_ops = { rcr_read, rcr_write, 1, 1 };

void reset_port_map(struct reset_port *r, struct machine *m, uint8_t kept)
{
	r->m = m;
	r->kept = kept;
	r->range = port_map(m, PORT_RESET, 1, &rcr_ops, r, "reset-control");
}

void reset_port_unmap(struct reset_port *r)
{
	port_unmap(r->m, r->range);
}
