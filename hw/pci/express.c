/*
 * The PCI Express capability, version 2: a link of one lane at 2.5 GT/s.
 *
 * Not modelled: errors and their reporting, link training, power states.
 * Source: PCI Express Base Specification 3.0, 7.8.
 */
#include "hw/pci/pci.h"

#define CAP_EXPRESS	0x10
#define CAP_LEN		0x3c
#define CAPS_V2		2u
#define DEVCAP_ROLE_ERRORS BIT(15)
#define LINK_SPEED	1u
#define LINK_WIDTH	(1u << 4)
#define SUPPORTED_SPEEDS (1u << 1)

static void add_link(struct pci_dev *p, uint8_t at)
{
	pci_set_config(p, at + PCI_EXP_LNKCAP, 4, LINK_SPEED | LINK_WIDTH, 0);
	pci_set_config(p, at + PCI_EXP_LNKCTL, 2, 0, 0x00cb);
	pci_set_config(p, at + PCI_EXP_LNKSTA, 2, LINK_SPEED | LINK_WIDTH, 0);
	pci_set_config(p, at + PCI_EXP_LNKCAP2, 4, SUPPORTED_SPEEDS, 0);
	pci_set_config(p, at + PCI_EXP_LNKCTL2, 2, LINK_SPEED, 0x000f);
}

uint8_t pci_add_express(struct pci_dev *p, enum pci_express_type type)
{
	uint8_t at = pci_add_cap(p, CAP_EXPRESS, CAP_LEN);

	p->express = true;
	pci_set_config(p, at + PCI_EXP_CAPS, 2, CAPS_V2 | (uint32_t)type << 4, 0);
	pci_set_config(p, at + PCI_EXP_DEVCAP, 4, DEVCAP_ROLE_ERRORS, 0);
	pci_set_config(p, at + PCI_EXP_DEVCTL, 2, 0x0010, 0x78ff);
	if (type != PCI_EXP_INTEGRATED)
		add_link(p, at);
	return at;
}
