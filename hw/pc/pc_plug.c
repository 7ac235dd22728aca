/*
 * Devices that come and go while the machine runs.
 */
#include <string.h>

#include "hw/pc/pc_priv.h"
#include "hw/pci/pci.h"

static struct pci_dev *pci_function(struct dev *d)
{
	return !strcmp(d->type->bus, "pci") ? (struct pci_dev *)d : NULL;
}

static bool no_hot_plug(struct err *e)
{
	return err_set(e, "Bus 'ide' does not support hotplugging; virtio-blk-pci, scsi-hd and usb-storage do");
}

bool pc_plugged(struct pc *pc, struct dev *d, struct err *e)
{
	struct pci_dev *p = pci_function(d);

	(void)pc;
	if (!strcmp(d->type->bus, "ide")) {
		no_hot_plug(e);
		dev_free(d);
		return false;
	}
	if (p && p->bus->express && !p->bus->slots) {
		err_set(e, "Bus '%s' does not support hotplugging; say bus=ID of a pcie-root-port",
			p->bus->bridge ? p->bus->bridge->dev.id : "pcie.0");
		dev_free(d);
		return false;
	}
	if (p && p->bus->slots)
		p->bus->slots->plugged(p->bus, p);
	return true;
}

bool pc_unplug(struct pc *pc, struct dev *d, struct err *e)
{
	struct pci_dev *p = pci_function(d);

	(void)pc;
	if (!strcmp(d->type->bus, "ide"))
		return no_hot_plug(e);
	if (p && p->bus->slots)
		return p->bus->slots->unplug(p->bus, p, e);
	dev_unplug(d);
	return true;
}
