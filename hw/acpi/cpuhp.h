/*
 * Hot plug of processors by ACPI: registers that the DSDT's methods read.
 */
#ifndef HW_ACPI_CPUHP_H
#define HW_ACPI_CPUHP_H

#include "hw/core/dev.h"

extern const struct dev_type cpuhp_type;

#define CPUHP_PORT	0xaf00
#define CPUHP_LEN	28
#define CPUHP_MAX	64
#define CPUHP_ID	64		/* bytes of a name */
/* 32 bits each, a bit a processor; two words of each; EJECT takes a number. */
enum { CPUHP_PRESENT = 0, CPUHP_UP = 8, CPUHP_DOWN = 16, CPUHP_EJECT = 24 };
#define CPUHP_GPE	2

/*
 * Processors [0, there) of n exist. Events go to the power management function `pm`
 * (struct acpi_pm). changed() says which one exists from now on, or no longer; also behind the
 * loading of a snapshot, for all. Once.
 */
void cpuhp_connect(struct dev *d, struct dev *pm, int n, int there,
		   void (*changed)(void *opaque, int cpu, bool present), void *opaque);

/* Machine lock. */
bool cpuhp_present(const struct dev *d, int cpu);
/* It comes, called `id` (cut if need be): the guest is told. */
void cpuhp_plug(struct dev *d, int cpu, const char *id);
/* What it is called, in `out`; false: nobody has added it. Still there while changed() says that it goes. */
bool cpuhp_id(const struct dev *d, int cpu, char out[CPUHP_ID]);
/* It shall go: the guest is asked, or, if it does not listen, not. */
void cpuhp_unplug(struct dev *d, int cpu);

#endif
