/*
 * Bus mastering that only reaches RAM, and says so: for controllers to which a list
 * that lies elsewhere is an error.
 */
#include <string.h>

#include "hw/pci/pci.h"

#define PAGE 4096u

static bool is_ram(struct pci_dev *p, uint64_t pa, uint64_t n, bool write)
{
	struct phys_page pg;

	if (!(pci_command(p) & PCI_CMD_MASTER) || pa + n < pa)
		return false;
	for (uint64_t at = pa & ~(uint64_t)(PAGE - 1); at < pa + n; at += PAGE) {
		phys_lookup(p->dev.m->phys, at, &pg);
		if (!(write ? pg.whost : pg.rhost))
			return false;
	}
	return true;
}

bool pci_ram_read(struct pci_dev *p, uint64_t pa, void *buf, uint64_t n)
{
	if (!is_ram(p, pa, n, false)) {
		memset(buf, 0, n);
		return false;
	}
	dma_read(p->dev.m, pa, buf, n);
	return true;
}

bool pci_ram_write(struct pci_dev *p, uint64_t pa, const void *buf, uint64_t n)
{
	if (!is_ram(p, pa, n, true))
		return false;
	dma_write(p->dev.m, pa, buf, n);
	return true;
}
