/*
 * Drives of the board: images from the command line at the positions of the IDE or
 * SATA controller, as virtio or SCSI disks, as floppy disks, or for devices that refer to them by their id.
 */
#include <string.h>

#include "hw/disk/ahci.h"
#include "hw/disk/ata_bus.h"
#include "hw/disk/fdc.h"
#include "hw/disk/ide.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/scsi/scsi_bus.h"
#include "hw/timer/rtc.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_scsi.h"

/* Give every drive without a position the first free one. */
static bool assign_positions(struct pc_config *cfg, int n_positions, struct err *e)
{
	bool taken[PC_IDE_DRIVES] = { false };
	for (int i = 0; i < cfg->ndrives; i++) {
		int at = cfg->drives[i].index;
		if (cfg->drives[i].interface != PC_IF_IDE)
			continue;
		if (at >= n_positions || (at >= 0 && taken[at]))
			return err_set(e, n_positions ? "disk position %d is taken or does not exist" :
				       "this board has no IDE or SATA controller; say if=virtio, or -M pc", at);
		if (at >= 0)
			taken[at] = true;
	}
	for (int i = 0; i < cfg->ndrives; i++) {
		int at = 0;
		if (cfg->drives[i].interface != PC_IF_IDE || cfg->drives[i].index >= 0)
			continue;
		while (at < n_positions && taken[at])
			at++;
		if (at == n_positions)
			return err_set(e, n_positions ? "more than %d IDE or SATA drives" :
				       "this board has no IDE or SATA controller; say if=virtio, or -M pc", n_positions);
		taken[at] = true;
		cfg->drives[i].index = at;
	}
	return true;
}

/* ide0-hd0, ide1-cd0, scsi0-hd2, floppy0, virtio0, pflash1: as everybody calls them. SATA ports are buses with one place. */
const char *pc_drive_name(const struct pc_drive *d, int n, bool sata, char buf[32])
{
	int places = sata ? 1 : 2;

	switch (d->interface) {
	case PC_IF_IDE:
		snprintf(buf, 32, "ide%d-%s%d", d->index / places, d->drive.cdrom ? "cd" : "hd", d->index % places);
		break;
	case PC_IF_SCSI:
		snprintf(buf, 32, "scsi0-%s%d", d->drive.cdrom ? "cd" : "hd", d->index);
		break;
	case PC_IF_FLOPPY:
		snprintf(buf, 32, "floppy%d", d->index);
		break;
	case PC_IF_PFLASH:
		snprintf(buf, 32, "pflash%d", d->index);
		break;
	default:
		snprintf(buf, 32, "virtio%d", n);
	}
	return d->drive.id ? d->drive.id : buf;
}

/* The device in front of a drive; serial may be NULL. */
static bool add_disk(struct pc *pc, const struct dev_type *t, const char *drive, const char *serial,
		     const char *place, struct err *e)
{
	struct dev *disk = dev_new(pc->m, t, NULL, e);

	if (!disk)
		return false;
	if (!dev_set(disk, "drive", drive, e) || (serial && !dev_set(disk, "serial", serial, e))
	    || !dev_set_all(disk, place, e)) {
		dev_free(disk);
		return false;
	}
	return dev_start(disk, e);
}

/* At a position of the board's controller. */
static bool add_ata_disk(struct pc *pc, const struct pc_drive *d, const char *drive, struct err *e)
{
	int units = pc->board->ahci_addr ? 1 : 2;
	char place[40];

	snprintf(place, sizeof(place), "bus=ide.%d,unit=%d", d->index / units, d->index % units);
	return add_disk(pc, d->drive.cdrom ? &ide_cd_type : &ide_hd_type, drive, d->drive.serial, place, e);
}

/* The controller is there if it has a drive. */
static bool add_floppies(struct pc *pc, struct err *e)
{
	char props[160] = "", id[32];
	size_t n = 0;

	for (int i = 0; i < pc->cfg.ndrives; i++) {
		const struct pc_drive *d = &pc->cfg.drives[i];
		if (d->interface == PC_IF_FLOPPY && n < sizeof(props))
			n += (size_t)snprintf(props + n, sizeof(props) - n, "%sdrive%c=%.60s", n ? "," : "",
					      'A' + d->index, pc_drive_name(d, i, false, id));
	}
	if (n && pc->board->bare)
		return err_set(e, "the board %s has no floppy drives", pc->board->name);
	return !n || pc_part(pc, &fdc_type, e, "%s", props);
}

/* Units go to the first controller, which is made if the user has none. */
bool pc_scsi_drives(struct pc *pc, struct err *e)
{
	const struct dev_type *controller = pc->board->bare ? &virtio_scsi_bus_type : &virtio_scsi_type;

	for (int i = 0; i < pc->cfg.ndrives; i++) {
		const struct pc_drive *d = &pc->cfg.drives[i];
		char id[32];
		if (d->interface != PC_IF_SCSI)
			continue;
		if (!machine_find_backend(pc->m, "scsi-bus", "scsi.0") && !dev_make(pc->m, controller, NULL, NULL, e))
			return false;
		if (!pc_part(pc, &scsi_disk_type, e, "drive=%s,bus=scsi.0,scsi-id=%d",
			     pc_drive_name(d, i, false, id), d->index))
			return false;
	}
	return true;
}

/* The drive, and for if=ide and if=virtio the disk in front of it. */
static bool add_drive(struct pc *pc, int n, struct err *e)
{
	const struct pc_drive *d = &pc->cfg.drives[n];
	struct drive_options o = d->drive;
	char id[32];

	o.id = pc_drive_name(d, n, pc->board->ahci_addr, id);
	if (!drive_new(pc->m, &o, e))
		return false;
	if (d->interface == PC_IF_VIRTIO)
		return add_disk(pc, pc->board->bare ? &virtio_blk_bus_type : &virtio_blk_type, o.id, NULL, "", e);
	return d->interface != PC_IF_IDE || add_ata_disk(pc, d, o.id, e);
}

/* What firmware does with CHS addresses of a disk: 2 bits each, none or LBA. */
#define CMOS_TRANSLATION	0x39
#define CHS_LIMIT		(1024ull * 16 * 63)

void pc_translation(struct pc *pc)
{
	uint8_t v = 0;
	for (int i = 0; i < 4 && pc->board->ide_addr; i++)
		if (ide_disk(pc->ide, i) && drive_sectors(ide_disk(pc->ide, i)) > CHS_LIMIT)
			v |= (uint8_t)(1 << 2 * i);
	rtc_cmos_set(pc->rtc, CMOS_TRANSLATION, v);
}

static bool at_place(const struct pc_config *cfg, enum pc_if interface, int index)
{
	for (int i = 0; i < cfg->ndrives; i++)
		if (cfg->drives[i].interface == interface && cfg->drives[i].index == index)
			return true;
	return false;
}

static bool id_taken(const struct pc *pc, const char *id)
{
	for (int i = 0; i < pc->cfg.ndrives; i++)
		if (pc->cfg.drives[i].drive.id && !strcmp(pc->cfg.drives[i].drive.id, id))
			return true;
	return machine_find_backend(pc->m, "drive", id);
}

/* An empty drive, which gives way to one of the user's with its name; every other drive has its place already. */
static void add_empty(struct pc *pc, enum pc_if interface, int index, bool cd)
{
	struct pc_drive d = { .interface = interface, .index = index, .drive.cdrom = cd, .drive.image.readonly = cd };
	struct pc_config *cfg = &pc->cfg;
	char id[32];

	if (cfg->ndrives < PC_MAX_DRIVES && !at_place(cfg, interface, index)
	    && !id_taken(pc, pc_drive_name(&d, cfg->ndrives, pc->board->ahci_addr, id)))
		cfg->drives[cfg->ndrives++] = d;
}

#define CD_POSITION 2

bool pc_drives(struct pc *pc, struct err *e)
{
	int n_positions = pc->board->ide_addr ? 4 : pc->board->ahci_addr ? AHCI_PORTS : 0;

	if (pc->board->ide_addr && !(pc->ide = pc_part(pc, &ide_type, e, "addr=%s", pc->board->ide_addr)))
		return false;
	if (pc->board->ahci_addr && !(pc->ide = pc_part(pc, &ahci_type, e, "addr=%s", pc->board->ahci_addr)))
		return false;
	if (!assign_positions(&pc->cfg, n_positions, e))
		return false;
	if (pc->cfg.empty_cd && n_positions)
		add_empty(pc, PC_IF_IDE, CD_POSITION, true);
	if (pc->cfg.empty_floppy && !pc->board->bare)
		add_empty(pc, PC_IF_FLOPPY, 0, false);
	for (int i = 0; i < pc->cfg.ndrives; i++)
		if (!add_drive(pc, i, e))
			return false;
	return add_floppies(pc, e);
}
