/*
 * The EHCI controller's parts: ehci.c (registers, ports, the device) and ehci_sched.c
 * (the schedules in memory).
 */
#ifndef HW_USB_EHCI_PRIV_H
#define HW_USB_EHCI_PRIV_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum {	/* USBCMD, USBSTS */
	CMD_RUN = 0x01, CMD_HCRESET = 0x02, CMD_PERIODIC = 0x10, CMD_ASYNC = 0x20, CMD_DOORBELL = 0x40,
	STS_INT = 0x01, STS_ERROR = 0x02, STS_PORT = 0x04, STS_ROLLOVER = 0x08, STS_SYSTEM = 0x10, STS_ADVANCE = 0x20,
	STS_HALTED = 0x1000, STS_PERIODIC = 0x4000, STS_ASYNC = 0x8000,
};

#define EHCI_PORTS	6
#define EHCI_BUF	(5u * 4096)	/* what one transfer descriptor moves at most */

struct ehci {
	struct pci_dev pci;
	struct usb_bus bus;
	struct usb_port ports[EHCI_PORTS];
	struct timer tick;
	uint8_t *buf;			/* EHCI_BUF bytes */
	uint32_t cmd, sts, intr, frindex, segment, periodic, async, configured;
	uint32_t portsc[EHCI_PORTS];
	uint64_t due;			/* the next millisecond */
};

/* The periodic schedule of one frame. */
void ehci_periodic(struct ehci *h);
/* The asynchronous list, until a round brings nothing. True: something moved. */
bool ehci_async(struct ehci *h);

#endif
