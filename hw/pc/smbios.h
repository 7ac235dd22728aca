/*
 * SMBIOS (DMI) tables, as files for the firmware.
 */
#ifndef HW_PC_SMBIOS_H
#define HW_PC_SMBIOS_H

#include "hw/pc/bytes.h"
#include "base/error.h"

struct smbios_config {
	const char *product, *version;	/* the board: its chips, its name */
	uint64_t ram_size, ram_below_4g;
	int sockets, cores, threads;	/* a socket's cores, a core's threads */
	bool has_uuid;
	uint8_t uuid[16];
	const char *const *options;	/* "type=1,manufacturer=...", as on the command line */
	int noptions;
};

/* The entry point and the structures. False: an option is not understood. */
bool smbios_build(const struct smbios_config *cfg, struct bytes *anchor, struct bytes *tables,
		  struct err *e);

#endif
