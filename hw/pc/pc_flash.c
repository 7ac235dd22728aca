/*
 * Firmware in flash memory: unit 0 ends at 4 GiB, unit 1 lies below it. With
 * OVMF the first holds code, the second the variables.
 */
#include "hw/flash/pflash.h"
#include "hw/pc/map.h"
#include "hw/pc/pc_priv.h"

#define LEAST	(128u << 10)	/* what stands at 0xe0000 as well */

/* The image of a unit by its id, or NULL. */
static const char *image_of(const struct pc *pc, int unit, char buf[32])
{
	const struct pc_config *c = &pc->cfg;

	for (int i = 0; i < c->ndrives; i++)
		if (c->drives[i].interface == PC_IF_PFLASH && c->drives[i].index == unit)
			return pc_drive_name(&c->drives[i], i, false, buf);
	return c->pflash[unit];
}

/* Unit `n` below `*top`, which then is its start. */
static bool add(struct pc *pc, int n, const char *image, uint64_t *top, struct err *e)
{
	char props[600];

	snprintf(props, sizeof(props), "drive=%s", image);
	pc->flash[n] = dev_make(pc->m, &pflash_type, NULL, props, e);
	if (!pc->flash[n])
		return err_prefix(e, "flash unit %d", n);
	*top -= pflash_ram(pc->flash[n])->size;
	if (*top < PC_HOLE_END - PFLASH_MOST)
		return err_set(e, "flash unit %d: more than 16 MiB of flash do not fit below 4 GiB", n);
	pflash_place(pc->flash[n], *top);
	return true;
}

bool pc_flash(struct pc *pc, struct err *e)
{
	uint64_t top = PC_HOLE_END;
	char buf[32];

	for (int i = 0; i < PC_FLASHES; i++) {
		const char *image = image_of(pc, i, buf);
		if (image && i && !pc->flash[0])
			return err_set(e, "flash unit %d is there (-drive if=pflash or -machine pflash%d=), "
				       "but not unit 0", i, i);
		if (image && !add(pc, i, image, &top, e))
			return false;
	}
	if (!pc->flash[0])
		return true;
	if (pc->cfg.bios)
		return err_set(e, "give the firmware either by -bios or as flash");
	pc->rom = pflash_ram(pc->flash[0]);
	return pc->rom->size >= LEAST || err_set(e, "flash unit 0: firmware has at least 128 KiB");
}
