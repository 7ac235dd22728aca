/*
 * SCSI buses and the devices on them.
 *
 * Not modelled: channels other than 0, passing commands through to a host's device.
 * Source: SAM-5, 4 (targets, logical units).
 */
#include "hw/scsi/scsi_bus.h"

#include <string.h>

#define ANY	0xffffffffu

/* ---- buses ---- */

void scsi_bus_init(struct scsi_bus *b, struct dev *owner)
{
	struct machine *m = owner->m;
	int n = 0;

	b->m = m;
	b->owner = owner;
	do
		snprintf(b->names[0], sizeof(b->names[0]), "scsi.%d", n++);
	while (machine_find_backend(m, "scsi-bus", b->names[0]));
	snprintf(b->names[1], sizeof(b->names[1]), "%.60s.0", owner->id);
	for (int i = 0; i < 2; i++)
		machine_add_backend(m, "scsi-bus", b->names[i], b);
}

void scsi_bus_fini(struct scsi_bus *b)
{
	if (!b->m)
		return;
	for (int i = 0; i < 2; i++)
		machine_del_backend(b->m, "scsi-bus", b->names[i]);
	for (struct scsi_dev *d = b->devs; d; d = d->next) {
		b->goes(b->opaque, d);
		d->attached = false;
		d->bus = NULL;
	}
	b->devs = NULL;
	b->m = NULL;
}

struct scsi_dev *scsi_bus_target(const struct scsi_bus *b, uint32_t target)
{
	struct scsi_dev *d = b->devs;

	while (d && d->target != target)
		d = d->next;
	return d;
}

struct scsi_dev *scsi_bus_find(const struct scsi_bus *b, uint32_t target, uint32_t lun)
{
	struct scsi_dev *d = scsi_bus_target(b, target);

	while (d && d->target == target && d->lun != lun)
		d = d->next;
	return d && d->target == target ? d : NULL;
}

/* ---- finding a place ---- */

/* The oldest bus: it stands last. */
static struct scsi_bus *first_bus(struct machine *m)
{
	struct scsi_bus *found = NULL;

	for (const struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, "scsi-bus"))
			found = b->p;
	return found;
}

static bool choose_place(struct scsi_dev *d, struct err *e)
{
	const struct scsi_bus *b = d->bus;

	if (d->target == ANY) {
		d->lun = d->lun == ANY ? 0 : d->lun;
		for (d->target = 0; scsi_bus_find(b, d->target, d->lun); d->target++)
			;
	} else if (d->lun == ANY) {
		for (d->lun = 0; scsi_bus_find(b, d->target, d->lun); d->lun++)
			;
	}
	if (d->channel)
		return err_set(e, "channel=%u: there is only channel 0", d->channel);
	if (d->target > b->max_target || d->lun > b->max_lun)
		return err_set(e, "scsi-id=%u,lun=%u: the bus has scsi-id 0 to %u, lun 0 to %u", d->target, d->lun,
			       b->max_target, b->max_lun);
	if (scsi_bus_find(b, d->target, d->lun))
		return err_set(e, "there is a unit at scsi-id=%u,lun=%u already", d->target, d->lun);
	return true;
}

static void changed(struct scsi_unit *u, uint16_t asc)
{
	struct scsi_dev *d = container_of(u, struct scsi_dev, unit);

	if (d->attached && d->bus->changed)
		d->bus->changed(d->bus->opaque, d, asc);
}

static void attach(struct scsi_dev *d)
{
	struct scsi_dev **p = &d->bus->devs;

	while (*p && ((*p)->target < d->target || ((*p)->target == d->target && (*p)->lun < d->lun)))
		p = &(*p)->next;
	d->next = *p;
	*p = d;
	d->attached = true;
	d->bus->came(d->bus->opaque, d);
}

static void detach(struct scsi_dev *d)
{
	struct scsi_dev **p = &d->bus->devs;

	d->bus->goes(d->bus->opaque, d);
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	d->attached = false;
}

/* ---- life ---- */

static bool init(void *dev, struct err *e)
{
	struct scsi_dev *d = dev;
	struct scsi_unit *u = &d->unit;

	if (!d->bus && !(d->bus = first_bus(d->dev.m)))
		return err_set(e, "there is no SCSI controller; add -device virtio-scsi-pci before it");
	if (d->dev.type == &scsi_hd_type && u->drive && drive_is_cdrom(u->drive))
		return err_set(e, "drive '%s' is an optical one; say -device scsi-cd", drive_id(u->drive));
	if (!choose_place(d, e))
		return false;
	u->dev = &d->dev;
	u->cd = d->dev.type == &scsi_cd_type;
	u->autosense = true;
	u->changed = changed;
	u->vendor = d->vendor;
	u->version = d->version;
	u->wwn = d->wwn;
	if (!scsi_unit_init(u, e) || !drive_wish(u->drive, &d->wishes, e))
		return false;
	u->product = d->product ? d->product : u->cd ? "CD-ROM" : "HARDDISK";
	u->serial = d->serial ? d->serial : drive_serial(u->drive);
	u->user.removable |= d->removable;
	attach(d);
	return true;
}

static void fini(void *dev)
{
	struct scsi_dev *d = dev;

	if (d->attached)
		detach(d);
	scsi_unit_fini(&d->unit);
}

static void reset(void *dev)
{
	scsi_unit_reset(&((struct scsi_dev *)dev)->unit);
}

static bool loaded(void *dev, struct err *e)
{
	return scsi_unit_loaded(&((struct scsi_dev *)dev)->unit, e);
}

/* Adapters outside PCI have no path. */
static void boot_path(const void *dev, char *buf)
{
	const struct scsi_dev *d = dev;

	if (!d->bus || !d->bus->owner->type->boot_path)
		return;
	d->bus->owner->type->boot_path(d->bus->owner, buf);
	dev_boot_path_add(buf, "/channel@0/disk@%x,%x", d->target, d->lun);
}

static const struct prop props[] = {
	PROP_REF("drive", scsi_dev, unit.drive, "drive", "the image, a -drive's id"),
	PROP_REF("scsi-bus", scsi_dev, bus, "bus", "the controller's bus, ID.0; default: the first controller's"),
	PROP(U32, scsi_dev, channel, "channel", 0, "0"),
	PROP(U32, scsi_dev, target, "scsi-id", ANY, "the target; default: the first free one"),
	PROP(U32, scsi_dev, lun, "lun", ANY, "the logical unit; default: the first free one of the target"),
	PROP_TEXT(scsi_dev, serial, "serial", NULL, "its serial number"),
	PROP_TEXT(scsi_dev, vendor, "vendor", "RHEA", "who made it, 8 characters"),
	PROP_TEXT(scsi_dev, product, "product", NULL, "what it is called, 16 characters"),
	PROP_TEXT(scsi_dev, version, "ver", "1.0", "its version, 4 characters"),
	PROP(U64, scsi_dev, wwn, "wwn", 0, "its world-wide name"),
	PROP(BOOL, scsi_dev, removable, "removable", 0, "the medium can be taken out"),
	PROP_DRIVE_WISHES(scsi_dev, wishes),
	PROP_BOOTINDEX,
	{ 0 }
};
static const struct state state[] = { SCSI_UNIT_STATE(scsi_dev, unit), { 0 } };

#define TYPE(n, letter, text) \
	{ .name = n, .bus = "scsi", .help = text, .size = sizeof(struct scsi_dev), .version = 1, .props = props, \
	  .state = state, .init = init, .fini = fini, .reset = reset, .loaded = loaded, .boot_path = boot_path, \
	  .boot_letter = letter }

const struct dev_type scsi_hd_type = TYPE("scsi-hd", 'c', "a SCSI disk");
const struct dev_type scsi_cd_type = TYPE("scsi-cd", 'd', "a SCSI optical drive");
const struct dev_type scsi_disk_type = TYPE("scsi-disk", 'c', "a SCSI disk or optical drive, as the -drive says");
