/*
 * Hot plug of processors:
 *
 *	0xaf00  PRESENT  processors that exist
 *	0xaf08  UP       those that have come; reading clears
 *	0xaf10  DOWN     those that shall go; reading clears
 *	0xaf18  EJECT    write: the guest has let go of processor n
 *
 * A change raises a general-purpose event; the DSDT's handler notifies processor devices,
 * and their _EJ0 writes EJECT. A guest that has not enabled the event is not asked. The first
 * processor stays whatever the guest writes.
 *
 * Source: ACPI specification 6.3, 6.3 (device insertion and removal), 5.6.4, 8.4. The ports
 * are this board's own: guests know them by the DSDT only.
 */
#include "hw/acpi/cpuhp.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hw/core/port.h"
#include "hw/pci/acpi_pm.h"

struct cpuhp {
	struct dev dev;
	struct dev *pm;
	int n;
	void (*changed)(void *opaque, int cpu, bool present);
	void *opaque;
	struct port_range *ports;
	uint32_t present[2], up[2], down[2];
	char id[CPUHP_MAX][CPUHP_ID];	/* of those the user has added; may lack the NUL */
};

static bool test(const uint32_t *v, int n) { return v[n >> 5] >> (n & 31) & 1; }
static void set(uint32_t *v, int n) { v[n >> 5] |= 1u << (n & 31); }
static void clear(uint32_t *v, int n) { v[n >> 5] &= ~(1u << (n & 31)); }

static void become(struct cpuhp *d, int cpu, bool present)
{
	(present ? set : clear)(d->present, cpu);
	clear(d->up, cpu);
	clear(d->down, cpu);
	if (d->changed)
		d->changed(d->opaque, cpu, present);
	if (!present)
		memset(d->id[cpu], 0, CPUHP_ID);
}

bool cpuhp_present(const struct dev *dev, int cpu)
{
	return test(((const struct cpuhp *)dev)->present, cpu);
}

bool cpuhp_id(const struct dev *dev, int cpu, char out[CPUHP_ID])
{
	snprintf(out, CPUHP_ID, "%.*s", CPUHP_ID - 1, ((const struct cpuhp *)dev)->id[cpu]);
	return out[0];
}

void cpuhp_plug(struct dev *dev, int cpu, const char *id)
{
	struct cpuhp *d = (struct cpuhp *)dev;

	snprintf(d->id[cpu], CPUHP_ID, "%s", id);
	become(d, cpu, true);
	set(d->up, cpu);
	acpi_pm_raise_gpe(d->pm, CPUHP_GPE);
}

void cpuhp_unplug(struct dev *dev, int cpu)
{
	struct cpuhp *d = (struct cpuhp *)dev;

	if (!acpi_pm_listens(d->pm, CPUHP_GPE)) {
		become(d, cpu, false);
		return;
	}
	set(d->down, cpu);
	acpi_pm_raise_gpe(d->pm, CPUHP_GPE);
}

static void eject_write(void *dev, uint32_t v, uint32_t old)
{
	struct cpuhp *d = dev;

	(void)old;
	if (v == 0 || v >= (uint32_t)d->n || !test(d->present, (int)v))
		log_guest("cpuhp: processor %u cannot be ejected", v);
	else
		become(d, (int)v, false);
}

void cpuhp_connect(struct dev *dev, struct dev *pm, int n, int there,
		   void (*changed)(void *opaque, int cpu, bool present), void *opaque)
{
	struct cpuhp *d = (struct cpuhp *)dev;

	d->pm = pm;
	d->n = n;
	d->changed = changed;
	d->opaque = opaque;
	for (int i = 0; i < there; i++)
		set(d->present, i);
}

static bool cpuhp_loaded(void *dev, struct err *e)
{
	struct cpuhp *d = dev;

	for (int i = 0; i < CPUHP_MAX && d->n; i++)
		if ((i >= d->n || i == 0) && test(d->present, i) != (i == 0))
			return err_set(e, "processors that this machine has no place for");
	for (int i = 0; i < d->n && d->changed; i++)
		d->changed(d->opaque, i, test(d->present, i));
	return true;
}

static bool cpuhp_init(void *dev, struct err *e)
{
	struct cpuhp *d = dev;

	(void)e;
	d->ports = port_map(d->dev.m, CPUHP_PORT, CPUHP_LEN, &dev_port_ops_wide, d, "acpi-cpu-hotplug");
	return true;
}

static void cpuhp_fini(void *dev)
{
	struct cpuhp *d = dev;

	port_unmap(d->dev.m, d->ports);
}

static uint32_t present_read(void *dev)
{
	return ((struct cpuhp *)dev)->present[0];
}

static uint32_t present2_read(void *dev)
{
	return ((struct cpuhp *)dev)->present[1];
}

#define F(f) offsetof(struct cpuhp, f)
static const struct reg cpuhp_regs[] = {
	/* off                bank     name        stored     reset write clear on read        on write     size */
	{ CPUHP_PRESENT,     REG_ANY, "present",  REG_NONE,  0,    0,    0,    present_read,  NULL,        4 },
	{ CPUHP_PRESENT + 4, REG_ANY, "present2", REG_NONE,  0,    0,    0,    present2_read, NULL,        4 },
	{ CPUHP_UP,          REG_ANY, "up",       F(up[0]),  0,    0,    ~0u,  NULL,          NULL,        4 },
	{ CPUHP_UP + 4,      REG_ANY, "up2",      F(up[1]),  0,    0,    ~0u,  NULL,          NULL,        4 },
	{ CPUHP_DOWN,        REG_ANY, "down",     F(down[0]), 0,   0,    ~0u,  NULL,          NULL,        4 },
	{ CPUHP_DOWN + 4,    REG_ANY, "down2",    F(down[1]), 0,   0,    ~0u,  NULL,          NULL,        4 },
	{ CPUHP_EJECT,       REG_ANY, "eject",    REG_NONE,  0,    0,    0,    NULL,          eject_write, 4 },
	{ 0 }
};
/* What a reset does not change. */
static const struct state cpuhp_state[] = { STATE(cpuhp, present), STATE(cpuhp, id), { 0 } };

const struct dev_type cpuhp_type = {
	.name = "acpi-cpu-hotplug", .bus = "system", .help = "processors that ACPI knows of",
	.size = sizeof(struct cpuhp), .version = 1, .regs = cpuhp_regs, .state = cpuhp_state,
	.init = cpuhp_init, .fini = cpuhp_fini, .loaded = cpuhp_loaded,
};
