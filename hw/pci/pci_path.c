/*
 * Where firmware finds a PCI function: an Open Firmware path of names and places.
 *
 * Firmware compares the names of controllers, too, so that they follow from the class
 * code as the binding says; classes that it does not name are called by their ids.
 *
 * Source: PCI Bus Binding to IEEE 1275-1994, 2.2.1 (unit addresses) and 2.5 (names).
 */
#include <stdio.h>
#include <string.h>

#include "hw/pci/pci.h"

static const struct {
	uint16_t class;			/* class and subclass */
	const char *name;
} names[] = {
	{ 0x0100, "scsi" }, { 0x0101, "ide" }, { 0x0200, "ethernet" }, { 0x0604, "pci-bridge" }, { 0x0c03, "usb" },
};

static const char *node_name(const struct pci_dev *p, char buf[32])
{
	uint16_t class = ld16(p->config + PCI_CLASS + 1);

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].class == class)
			return names[i].name;
	snprintf(buf, 32, "pci%04x,%04x", ld16(p->config + PCI_VENDOR), ld16(p->config + PCI_DEVICE));
	return buf;
}

void pci_boot_path(const void *dev, char *buf)
{
	const struct pci_dev *p = dev;
	char name[32];

	strcpy(buf, "/pci@i0cf8");
	if (p->bus->bridge)
		pci_boot_path(p->bus->bridge, buf);
	dev_boot_path_add(buf, "/%s@%x", node_name(p, name), p->devfn >> 3);
	if (p->devfn & 7)
		dev_boot_path_add(buf, ",%x", p->devfn & 7);
}
