/*
 * What host bridges of PCs have in common: the configuration ports, the areas
 * below 1 MiB that switch between RAM and ROM (PAM), and RAM for system
 * management below the VGA window (SMRAM).
 *
 * A bridge embeds struct pci_host first, calls pci_host_init() in its init and
 * the other functions in those of the same name.
 */
#ifndef HW_PCI_HOST_H
#define HW_PCI_HOST_H

#include "hw/pci/pci.h"

#define PCI_HOST_NPAM	7
#define PCI_HOST_NAREAS	13

#define SMRAM_RESET	0x02u		/* bits of the SMRAM register */
#define SMRAM_ENABLE	0x08u
#define SMRAM_LOCK	0x10u
#define SMRAM_CLOSED	0x20u
#define SMRAM_OPEN	0x40u
#define SMRAM_WMASK	0x78u

struct pci_host {
	struct pci_dev pci;
	struct pci_bus bus;
	struct port_range *ports;
	struct ram *ram, *rom;
	uint64_t low;			/* bytes of RAM below 4 GiB */
	struct phys_map *area[PCI_HOST_NAREAS], *smram;
	uint8_t pam_reg, smram_reg;	/* where these registers are in configuration space */
	uint32_t address;		/* 0xcf8 */
	bool in_smm;			/* some processor is */
	/* SMRAM opened, closed or was locked; may be NULL. */
	void (*smram_changed)(struct pci_host *h);
};
#define PCI_HOST_STATE STATE(pci_host, address), STATE(pci_host, in_smm)

bool pci_host_init(struct pci_host *h, const struct pci_ids *ids, uint8_t pam_reg, uint8_t smram_reg,
		   bool express, struct err *e);
void pci_host_fini(struct pci_host *h);
void pci_host_reset(struct pci_host *h);
bool pci_host_loaded(struct pci_host *h);
void pci_host_written(struct pci_host *h, unsigned off, int n);

/* Is SMRAM enabled and visible to whoever runs now? */
bool pci_host_smram_open(const struct pci_host *h);

/* Does an access of n bytes at off touch [first, first + count)? */
static inline bool pci_touches(unsigned off, int n, unsigned first, unsigned count)
{
	return off < first + count && off + (unsigned)n > first;
}

/* ---- for the board: any bridge ---- */

/*
 * RAM, of which the first `low` bytes start at address 0, and the firmware, whose
 * last 128 KiB stand at 0xe0000. Once, before the guest runs.
 */
bool pci_host_connect(struct dev *dev, struct ram *ram, struct ram *rom, uint64_t low, struct err *e);
/* Some processor is in SMM, or none any more. */
void pci_host_smm(struct dev *dev, bool in_smm);

#endif
