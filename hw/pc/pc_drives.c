/*
 * Drives of the board: images from the command line at the four IDE positions, as
 * virtio disks, or for devices that refer to them by their id.
 */
#include <string.h>

#include "hw/backend/block.h"
#include "hw/disk/ide.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"
#include "hw/timer/rtc.h"
#include "hw/virtio/virtio_blk.h"

static enum block_cache cache_mode(enum pc_cache c)
{
	switch (c) {
	case PC_CACHE_WRITETHROUGH: return BLOCK_WRITETHROUGH;
	case PC_CACHE_UNSAFE: return BLOCK_UNSAFE;
	default: return BLOCK_WRITEBACK;
	}
}

static struct block *open_image(const struct pc_drive *d, struct err *e)
{
	struct block_options o = {
		.file = d->file, .format = d->format, .readonly = d->readonly || d->cdrom,
		.snapshot = d->snapshot && !d->readonly && !d->cdrom, .cache = cache_mode(d->cache),
	};
	return block_open(&o, e);
}

/* Give every drive without a position the first free one. */
static bool assign_positions(struct pc_config *cfg, struct err *e)
{
	bool taken[4] = { false };
	for (int i = 0; i < cfg->ndrives; i++) {
		int at = cfg->drives[i].index;
		if (cfg->drives[i].interface != PC_IF_IDE)
			continue;
		if (at > 3 || (at >= 0 && taken[at]))
			return err_set(e, "IDE position %d is taken or does not exist", at);
		if (at >= 0)
			taken[at] = true;
	}
	for (int i = 0; i < cfg->ndrives; i++) {
		int at = 0;
		if (cfg->drives[i].interface != PC_IF_IDE || cfg->drives[i].index >= 0)
			continue;
		while (at < 4 && taken[at])
			at++;
		if (at == 4)
			return err_set(e, "more than four IDE drives");
		taken[at] = true;
		cfg->drives[i].index = at;
	}
	return true;
}

static bool add_drive(struct pc *pc, const struct pc_drive *d, struct err *e)
{
	struct block *b = NULL;
	if (d->file && !(b = open_image(d, e)))
		return false;
	pc->drive[d->index] = b;
	if (!d->cdrom && !b)
		return err_set(e, "a disk needs an image file");
	if (!d->cdrom && block_readonly(b))
		return err_set(e, "'%s': an IDE disk cannot be read-only", d->file);
	return ide_attach(pc->ide, d->index, b, d->cdrom, d->serial, e);
}

const char *pc_drive_name(const struct pc_drive *d, int n, char buf[32])
{
	if (d->interface == PC_IF_PFLASH)
		snprintf(buf, 32, "pflash%d", d->index);
	else
		snprintf(buf, 32, "virtio%d", n);
	return d->id ? d->id : buf;
}

/* An image with a name, and for if=virtio the disk in front of it. */
static bool add_named(struct pc *pc, int i, struct err *e)
{
	const struct pc_drive *d = &pc->cfg.drives[i];
	char id[32];
	const char *name = pc_drive_name(d, i, id);

	if (machine_find_backend(pc->m, "drive", name))
		return err_set(e, "there is a drive '%s' already", name);
	pc->image[i] = open_image(d, e);
	if (!pc->image[i])
		return false;
	machine_add_backend(pc->m, "drive", name, pc->image[i]);
	if (d->interface != PC_IF_VIRTIO)
		return true;
	struct dev *disk = dev_new(pc->m, &virtio_blk_type, NULL, e);
	if (!disk)
		return false;
	if (!dev_set(disk, "drive", name, e) || (d->serial && !dev_set(disk, "serial", d->serial, e))) {
		dev_free(disk);
		return false;
	}
	return dev_start(disk, e);
}

/* What firmware does with CHS addresses of a disk: 2 bits each, none or LBA. */
#define CMOS_TRANSLATION	0x39
#define CHS_LIMIT		(1024ull * 16 * 63)

static void set_translation(struct pc *pc)
{
	uint8_t v = 0;
	for (int i = 0; i < 4; i++)
		if (pc->drive[i] && !ide_is_cdrom(pc->ide, i) && block_sectors(pc->drive[i]) > CHS_LIMIT)
			v |= (uint8_t)(1 << 2 * i);
	rtc_cmos_set(pc->rtc, CMOS_TRANSLATION, v);
}

bool pc_drives(struct pc *pc, struct err *e)
{
	char addr[16];
	snprintf(addr, sizeof(addr), "addr=%d.1", PC_SLOT_PIIX);
	pc->ide = dev_make(pc->m, &ide_type, NULL, addr, e);
	if (!pc->ide || !assign_positions(&pc->cfg, e))
		return false;
	for (int i = 0; i < pc->cfg.ndrives; i++) {
		const struct pc_drive *d = &pc->cfg.drives[i];
		if (!(d->interface == PC_IF_IDE ? add_drive(pc, d, e) : add_named(pc, i, e)))
			return false;
	}
	set_translation(pc);
	return true;
}

void pc_drives_fini(struct pc *pc)
{
	for (int i = 0; i < PC_IDE_DRIVES; i++)
		block_close(pc->drive[i]);
	for (int i = 0; i < PC_MAX_DRIVES; i++)
		block_close(pc->image[i]);
}

bool pc_change_cd(struct pc *pc, int index, const char *file, struct err *e)
{
	struct block *b = NULL;
	if (!ide_is_cdrom(pc->ide, index))
		return err_set(e, "there is no CD-ROM drive at IDE position %d", index);
	if (file && !(b = open_image(&(struct pc_drive){ .file = file, .cdrom = true }, e)))
		return false;
	block_close(pc->drive[index]);
	pc->drive[index] = b;
	return ide_change_disc(pc->ide, index, b, e);
}
