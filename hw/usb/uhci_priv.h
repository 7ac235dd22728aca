/*
 * The UHCI controller's parts: uhci.c (registers, ports, the device) and
 * uhci_frame.c (the schedule in memory).
 */
#ifndef HW_USB_UHCI_PRIV_H
#define HW_USB_UHCI_PRIV_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum {	/* USBCMD, USBSTS */
	CMD_RUN = 0x01, CMD_HCRESET = 0x02, CMD_GRESET = 0x04, CMD_SUSPEND = 0x08, CMD_RESUME = 0x10,
	STS_INT = 0x01, STS_ERROR = 0x02, STS_RESUME = 0x04, STS_SYSTEM = 0x08, STS_PROCESS = 0x10,
	STS_HALTED = 0x20,
};

#define UHCI_PORTS	2

struct uhci {
	struct pci_dev pci;
	struct usb_bus bus;
	struct usb_port ports[UHCI_PORTS];
	struct timer frame;
	uint64_t due;			/* when the next frame is (the timer's deadline) */
	uint16_t cmd, sts, intr, frnum;
	uint32_t base;
	uint8_t sof;
	uint16_t portsc[UHCI_PORTS];
	/* Why STS_INT is set: completion, short packet; each has its own enable bit. */
	bool on_complete, on_short;
};

/* Carry out the schedule of one frame. */
void uhci_frame(struct uhci *u);

#endif
