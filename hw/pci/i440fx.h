/*
 * i440FX host bridge: PCI configuration ports, PAM and SMRAM.
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/pci.h"

extern const struct dev_type i440fx_type;

/*
 * What the bridge switches between in 0xc0000-0xfffff: low RAM (which starts at
 * address 0) and the last 128 KiB of the firmware at 0xe0000. Once, before the guest runs.
 */
bool i440fx_connect(struct dev *dev, struct ram *ram, struct ram *rom, struct err *e);
/* A processor entered or left SMM: SMRAM at 0xa0000 opens or closes. */
void i440fx_smm(struct dev *dev, bool in_smm);

/* The PAM registers, which S3 leaves as they are. */
#define I440FX_NPAM 7
void i440fx_get_pam(const struct dev *dev, uint8_t pam[I440FX_NPAM]);
void i440fx_set_pam(struct dev *dev, const uint8_t pam[I440FX_NPAM]);

#endif
