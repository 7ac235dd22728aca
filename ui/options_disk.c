/* -drive, its short forms -hda .. -cdrom, and what they share. */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>

#include "ui/keyval.h"

static bool index_taken(const struct options *o, enum pc_if interface, int index)
{
	for (int i = 0; i < o->pc.ndrives; i++)
		if (o->pc.drives[i].interface == interface && o->pc.drives[i].index == index)
			return true;
	return false;
}

static enum opt_result add(struct options *o, const struct pc_drive *d, const char *option, struct err *e)
{
	if (o->pc.ndrives == PC_MAX_DRIVES) {
		err_set(e, "%s: more than %d drives", option, PC_MAX_DRIVES);
		return OPT_BAD;
	}
	bool placed = d->interface != PC_IF_VIRTIO && d->interface != PC_IF_NONE;

	if (placed && d->index >= 0 && index_taken(o, d->interface, d->index)) {
		err_set(e, "%s: there is a drive at index %d already", option, d->index);
		return OPT_BAD;
	}
	o->pc.drives[o->pc.ndrives++] = *d;
	return OPT_GO;
}

static enum opt_result add_disk(struct options *o, int index, const char *file, const char *option,
				struct err *e)
{
	struct block_options image = { .file = file, .no_discard = true };

	return add(o, &(struct pc_drive){ .drive.image = image, .index = index }, option, e);
}

bool options_add_disk(struct options *o, const char *file, struct err *e)
{
	return add_disk(o, -1, file, file, e) == OPT_GO;
}

enum opt_result opt_hda(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_disk(o, 0, arg, "-hda", e);
}

enum opt_result opt_hdb(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_disk(o, 1, arg, "-hdb", e);
}

enum opt_result opt_hdc(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_disk(o, 2, arg, "-hdc", e);
}

enum opt_result opt_hdd(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_disk(o, 3, arg, "-hdd", e);
}

enum opt_result opt_cdrom(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct pc_drive d = { .index = 2, .drive = { .cdrom = true, .image = { .file = arg, .readonly = true } } };

	(void)out;
	return add(o, &d, "-cdrom", e);
}

static enum opt_result add_floppy(struct options *o, int index, const char *file, const char *option, struct err *e)
{
	struct pc_drive d = { .interface = PC_IF_FLOPPY, .index = index,
			      .drive.image = { .file = file, .no_discard = true } };

	return add(o, &d, option, e);
}

bool options_add_floppy(struct options *o, const char *file, struct err *e)
{
	return add_floppy(o, index_taken(o, PC_IF_FLOPPY, 0), file, file, e) == OPT_GO;
}

enum opt_result opt_fda(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_floppy(o, 0, arg, "-fda", e);
}

enum opt_result opt_fdb(struct options *o, const char *arg, FILE *out, struct err *e)
{
	(void)out;
	return add_floppy(o, 1, arg, "-fdb", e);
}

/* The unit of a flash image: the first free one if none was given. */
static bool place_flash(const struct options *o, struct pc_drive *d, const char *option, struct err *e)
{
	if (d->index < 0)
		for (d->index = 0; index_taken(o, PC_IF_PFLASH, d->index); d->index++)
			;
	return d->index < PC_FLASHES ||
	       err_set(e, "%s: there are flash units 0 (code) and 1 (variables) only", option);
}

enum opt_result opt_pflash(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct pc_drive d = { .interface = PC_IF_PFLASH, .index = -1,
			      .drive.image = { .file = arg, .format = "raw", .no_discard = true } };

	(void)out;
	return place_flash(o, &d, "-pflash", e) ? add(o, &d, "-pflash", e) : OPT_BAD;
}

/* bus=B,unit=U or index=N; -1: the next free place. A SCSI bus has more of them, but there is one. */
static int place(struct kv *k, enum pc_if interface, bool *two_ways)
{
	bool scsi = interface == PC_IF_SCSI;
	int index = (int)kv_num(k, "index", UINT64_MAX, 0, scsi ? PC_SCSI_TARGETS - 1 : PC_IDE_DRIVES - 1);
	int bus = (int)kv_num(k, "bus", UINT64_MAX, 0, scsi ? 0 : 1);
	int unit = (int)kv_num(k, "unit", UINT64_MAX, 0, scsi ? PC_SCSI_TARGETS - 1 : 1);

	*two_ways = index >= 0 && (bus >= 0 || unit >= 0);
	if (bus < 0 && unit < 0)
		return index;
	return (bus > 0 ? 2 : 0) + (unit > 0 ? unit : 0);
}

enum opt_result opt_drive(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const interfaces[] = { "ide", "virtio", "scsi", "floppy", "pflash", "none", NULL };
	static const char *const media[] = { "disk", "cdrom", NULL };
	struct pc_drive d = { 0 };
	struct drive_options *v = &d.drive;
	struct kv k;
	bool two_ways;

	(void)out;
	kv_parse(&k, "-drive", arg, "file", e);
	d.interface = (enum pc_if)kv_word(&k, "if", PC_IF_IDE, interfaces);
	d.index = place(&k, d.interface, &two_ways);
	v->id = kv_str(&k, "id", NULL);
	v->serial = kv_str(&k, "serial", NULL);
	v->cdrom = kv_word(&k, "media", 0, media);
	v->image.snapshot = kv_bool(&k, "snapshot", false);
	opt_drive_image(&k, v);
	const char *below = kv_str(&k, "file.driver", "file");
	opt_drive_policy(&k, v);
	opt_drive_limits(&k, &v->limits);
	if (!kv_done(&k))
		return OPT_BAD;
	if (two_ways) {
		err_set(e, "-drive %s: give either index or bus and unit", arg);
		return OPT_BAD;
	}
	if (!opt_is_file_driver(below)) {
		err_set(e, "-drive %s: file.driver=%s: images are in files (file, host_device, host_cdrom)", arg, below);
		return OPT_BAD;
	}
	if (d.interface == PC_IF_NONE && !v->id) {
		err_set(e, "-drive %s: if=none needs id=ID, which a -device refers to", arg);
		return OPT_BAD;
	}
	if ((d.interface == PC_IF_SCSI || d.interface == PC_IF_FLOPPY) && d.index < 0)
		for (d.index = 0; index_taken(o, d.interface, d.index); d.index++)
			;
	if (d.interface == PC_IF_FLOPPY && d.index >= PC_FLOPPIES) {
		err_set(e, "-drive %s: there are floppy drives 0 and 1 only", arg);
		return OPT_BAD;
	}
	if (d.interface == PC_IF_PFLASH && !place_flash(o, &d, "-drive", e))
		return OPT_BAD;
	if (!v->image.file && !v->image.null_co
	    && (d.interface == PC_IF_VIRTIO || d.interface == PC_IF_PFLASH || (!v->cdrom && d.interface < PC_IF_FLOPPY))) {
		err_set(e, "-drive %s: file=FILE is missing", arg);
		return OPT_BAD;
	}
	if (!opt_drive_check(v, "-drive", arg, e))
		return OPT_BAD;
	return add(o, &d, "-drive", e);
}
