/*
 * What firmware finds on the board: its own ROM, the fw_cfg files, CMOS bytes.
 */
#ifndef HW_PC_FIRMWARE_H
#define HW_PC_FIRMWARE_H

#include "hw/pc/fwcfg.h"
#include "hw/pc/pc.h"

/*
 * Look for a firmware file: as it stands if it has a slash, in the -L folders,
 * then where distributions put it. False names the package that has it.
 */
bool firmware_find(const struct pc_config *cfg, const char *name, char *path, size_t n, struct err *e);
/* A path as a property's value, in place: commas are doubled. */
bool firmware_quote(char *path, size_t n, struct err *e);

/*
 * The same for the ROM of a card that firmware boots from with its help only. False: nobody wants to
 * boot from a network (-boot order=n or menu=on, bootindex= in the card's options), or there is none.
 */
bool firmware_find_boot_rom(const struct pc_config *cfg, const char *name, const char *card, char *path, size_t n);

/* Load the system firmware and map it below 4 GiB. The memory is phys's. */
struct ram *firmware_load(const struct pc_config *cfg, struct machine *m, struct err *e);

/* Fill fw_cfg: sizes, boot order, e820, SMBIOS, kernel. */
bool firmware_config(const struct pc_config *cfg, struct fwcfg *f, uint64_t ram_below_4g, struct err *e);

/* The boot order in both places, again: cfg->boot_order has changed. */
void firmware_boot_order(const struct pc_config *cfg, struct fwcfg *f, struct dev *rtc);

/* Fill the CMOS memory of an RTC. */
/* So many processors start. */
void firmware_cpus(struct fwcfg *f, struct dev *rtc, int n);
void firmware_cmos(const struct pc_config *cfg, const struct dev *fdc, struct dev *rtc, uint64_t ram_below_4g);

#endif
