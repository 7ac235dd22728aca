/*
 * MSI-X: a message of its own for each of a function's interrupts.
 *
 *	table, 16 bytes a vector: address, address high, data, control (bit 0: masked)
 *	pending bits, at 0x800 of the same BAR
 *
 * A vector that is sent while it or the whole function is masked stays pending and
 * goes out when the mask is lifted.
 *
 * Source: PCI Local Bus Specification 3.0, 6.8.2.
 */
#include "hw/pci/pci.h"

#include <assert.h>
#include <string.h>

#define CAP_MSIX	0x11
#define CAP_LEN		12
#define CTRL		2
#define CTRL_MASK	0x4000u
#define CTRL_ENABLE	0x8000u
#define TABLE_BAR	4
#define PENDING_BAR	8

#define BAR_SIZE	0x1000u
#define PENDING_AT	0x800u
#define ENTRY		16u
#define ENTRY_DATA	8
#define ENTRY_CTRL	12
#define ENTRY_MASKED	1u

static uint16_t control(const struct pci_dev *p)
{
	return p->msix.cap ? ld16(p->config + p->msix.cap + CTRL) : 0;
}

bool pci_msix_enabled(const struct pci_dev *p)
{
	return p->msix.cap && control(p) & CTRL_ENABLE;
}

static bool masked(const struct pci_dev *p, unsigned vector)
{
	return control(p) & CTRL_MASK || p->msix.table[vector][ENTRY_CTRL] & ENTRY_MASKED;
}

void pci_msix_send(struct pci_dev *p, unsigned vector)
{
	if (vector >= p->msix.n || !pci_msix_enabled(p))
		return;
	if (masked(p, vector)) {
		p->msix.pending |= 1u << vector;
		return;
	}
	const uint8_t *entry = p->msix.table[vector];
	if (pci_command(p) & PCI_CMD_MASTER)
		machine_msi(p->dev.m, ld64(entry), ld32(entry + ENTRY_DATA));
}

void pci_msix_update(struct pci_dev *p)
{
	if (!p->msix.pending || !pci_msix_enabled(p))
		return;
	for (unsigned i = 0; i < p->msix.n; i++) {
		if (!(p->msix.pending >> i & 1) || masked(p, i))
			continue;
		p->msix.pending &= ~(1u << i);
		pci_msix_send(p, i);
	}
}

void pci_msix_reset(struct pci_dev *p)
{
	memset(p->msix.table, 0, sizeof(p->msix.table));
	for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
		p->msix.table[i][ENTRY_CTRL] = ENTRY_MASKED;
	p->msix.pending = 0;
}

/* ---- the BAR: accesses of 4 or 8 bytes, which arrive as 4 ---- */

static uint64_t table_read(void *opaque, uint64_t off, int size)
{
	const struct pci_dev *p = opaque;

	if (off + (unsigned)size <= p->msix.n * ENTRY)
		return ld_n(p->msix.table[0] + off, size);
	return off == PENDING_AT ? p->msix.pending & size_mask(size) : 0;
}

static void table_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct pci_dev *p = opaque;

	if (size != 4 || off & 3 || off + 4 > p->msix.n * ENTRY)
		return;
	if (off % ENTRY == ENTRY_CTRL)
		v &= ENTRY_MASKED;
	st32(p->msix.table[0] + off, (uint32_t)v);
	pci_msix_update(p);
}

static const struct mmio_ops table_ops = { table_read, table_write, 4 };

bool pci_add_msix(struct pci_dev *p, int bar, unsigned n, struct err *e)
{
	assert(n && n <= PCI_MSIX_MAX);
	if (!pci_bar_mmio(p, bar, BAR_SIZE, &table_ops, p, e))
		return false;
	uint8_t at = pci_add_cap(p, CAP_MSIX, CAP_LEN);
	pci_set_config(p, at + CTRL, 2, n - 1, CTRL_MASK | CTRL_ENABLE);
	pci_set_config(p, at + TABLE_BAR, 4, (uint32_t)bar, 0);
	pci_set_config(p, at + PENDING_BAR, 4, PENDING_AT | (uint32_t)bar, 0);
	p->msix.cap = at;
	p->msix.n = (uint8_t)n;
	pci_msix_reset(p);
	return true;
}
