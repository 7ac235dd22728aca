/*
 * Places for disks and optical drives on IDE channels and SATA ports, and what
 * stands there.
 *
 * Not modelled: plugging drives while the machine runs.
 */
#include "hw/disk/ata_bus.h"

#include <string.h>

#include "hw/backend/drive.h"

#define ANY	0xffffffffu

struct ata_dev {
	struct dev dev;
	struct ata_bus *bus;		/* property; NULL: it is on none */
	struct drive *drive;		/* property */
	struct drive *own;		/* an optical drive without drive= has this one, empty */
	uint32_t unit;			/* property */
	char *serial;			/* property */
	struct drive_wishes wishes;	/* properties */
	bool attached;
};

/* ---- buses ---- */

void ata_bus_init(struct ata_bus *b, struct dev *owner)
{
	struct machine *m = owner->m;
	int n = 0;

	b->owner = owner;
	do
		snprintf(b->names[0], sizeof(b->names[0]), "ide.%d", n++);
	while (machine_find_backend(m, "ide-bus", b->names[0]));
	snprintf(b->names[1], sizeof(b->names[1]), "%.50s.%u", owner->id, b->number);
	for (int i = 0; i < 2; i++)
		machine_add_backend(m, "ide-bus", b->names[i], b);
}

static void detach(struct ata_dev *d)
{
	struct ata_bus *b = d->bus;

	b->controller->detach(b->owner, (int)(b->number * b->units + d->unit));
	b->dev[d->unit] = NULL;
	d->attached = false;
}

void ata_bus_fini(struct ata_bus *b)
{
	if (!b->owner)
		return;
	for (int i = 0; i < 2; i++)
		machine_del_backend(b->owner->m, "ide-bus", b->names[i]);
	for (unsigned i = 0; i < b->units; i++) {
		struct ata_dev *d = b->dev[i];
		if (!d)
			continue;
		detach(d);
		d->bus = NULL;
	}
	b->owner = NULL;
}

/* ---- finding a place ---- */

static unsigned free_unit(const struct ata_bus *b)
{
	unsigned i = 0;

	while (i < b->units && b->dev[i])
		i++;
	return i;
}

/* The oldest bus with room for the device: it stands last. */
static struct ata_bus *first_bus(const struct ata_dev *d)
{
	struct ata_bus *found = NULL;

	for (const struct backend *k = d->dev.m->backends; k; k = k->next) {
		struct ata_bus *b = k->p;
		if (!strcmp(k->kind, "ide-bus")
		    && (d->unit == ANY ? free_unit(b) < b->units : d->unit < b->units && !b->dev[d->unit]))
			found = b;
	}
	return found;
}

/* As the user calls it. */
static const char *bus_name(const struct ata_bus *b)
{
	return b->names[b->owner->user];
}

static bool choose_place(struct ata_dev *d, struct err *e)
{
	struct ata_bus *b = d->bus ? d->bus : first_bus(d);

	if (!b)
		return err_set(e, "there is no IDE or SATA controller with a free place; add -device ahci before it");
	d->bus = b;
	if (d->unit == ANY && (d->unit = free_unit(b)) == b->units)
		return err_set(e, "%s has no free place", bus_name(b));
	if (d->unit >= b->units)
		return err_set(e, "unit=%u: %s has unit 0%s only", d->unit, bus_name(b), b->units > 1 ? " and 1" : "");
	return !b->dev[d->unit] || err_set(e, "there is a drive at unit=%u of %s already", d->unit, bus_name(b));
}

/* ---- life ---- */

static bool have_drive(struct ata_dev *d, bool cd, struct err *e)
{
	struct drive_options empty = { .id = d->dev.id, .cdrom = true };

	if (d->drive && !cd && drive_is_cdrom(d->drive))
		return err_set(e, "drive '%s' is an optical one; say -device ide-cd", drive_id(d->drive));
	if (d->drive)
		return true;
	if (!cd)
		return err_set(e, "a disk needs drive=ID of a -drive if=none,id=ID");
	d->drive = d->own = drive_new(d->dev.m, &empty, e);
	return d->drive;
}

static bool init(void *dev, struct err *e)
{
	struct ata_dev *d = dev;
	bool cd = d->dev.type == &ide_cd_type;

	if (!choose_place(d, e) || !have_drive(d, cd, e))
		return false;
	const struct ata_bus *b = d->bus;
	if (!b->controller->attach(b->owner, (int)(b->number * b->units + d->unit), d->drive, cd,
				   d->serial ? d->serial : drive_serial(d->drive), e))
		return false;
	d->bus->dev[d->unit] = d;
	d->attached = true;
	return drive_wish(d->drive, &d->wishes, e);
}

static void fini(void *dev)
{
	struct ata_dev *d = dev;

	if (d->attached)
		detach(d);
	if (d->own)
		drive_free(d->own);
}

/* A channel's drives are known by channel and unit, a port's by the port. */
static void boot_path(const void *dev, char *buf)
{
	const struct ata_dev *d = dev;
	const struct ata_bus *b = d->bus;

	if (!b)
		return;
	b->owner->type->boot_path(b->owner, buf);
	dev_boot_path_add(buf, "/drive@%x/disk@%x", b->number, d->unit);
}

static const struct prop props[] = {
	PROP_REF("drive", ata_dev, drive, "drive", "the image, a -drive's id"),
	PROP_REF("ide-bus", ata_dev, bus, "bus", "ide.N, or ID.N of the controller; default: the first with room"),
	PROP(U32, ata_dev, unit, "unit", ANY, "0 or 1, master or slave of an IDE channel; default: the first free one"),
	PROP_TEXT(ata_dev, serial, "serial", NULL, "its serial number"),
	PROP_DRIVE_WISHES(ata_dev, wishes),
	PROP_BOOTINDEX, { 0 }
};

#define TYPE(n, letter, text) \
	{ .name = n, .bus = "ide", .help = text, .size = sizeof(struct ata_dev), .version = 1, .props = props, \
	  .init = init, .fini = fini, .boot_path = boot_path, .boot_letter = letter }

const struct dev_type ide_hd_type = TYPE("ide-hd", 'c', "an IDE or SATA disk");
const struct dev_type ide_cd_type = TYPE("ide-cd", 'd', "an IDE or SATA optical drive");
