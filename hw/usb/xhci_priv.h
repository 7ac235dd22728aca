/*
 * The xHCI controller's parts:
 *
 *	xhci.c		registers, the device
 *	xhci_event.c	event rings, interrupts
 *	xhci_port.c	root ports
 *	xhci_cmd.c	the command ring, slots and contexts
 *	xhci_xfer.c	transfer rings
 *
 * Doorbells, devices that are ready and commands only mark what there is to do;
 * xhci_work() does it, at most WORK_STEPS at once, the rest from the main loop. Lists
 * are followed in RAM only, so nothing the guest writes there can come back here.
 *
 * Source: eXtensible Host Controller Interface for USB, revision 1.1 (sections cited).
 */
#ifndef HW_USB_XHCI_PRIV_H
#define HW_USB_XHCI_PRIV_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

#define XHCI_SLOTS	64u
#define XHCI_INTRS	16u
#define XHCI_PORTS	15u		/* of each kind, at most */
#define XHCI_BUF	(64u << 10)	/* moved by one packet to a device */

/* 6.4: a transfer request block */
struct xhci_trb {
	uint64_t param;
	uint32_t status, control;
};
#define TRB_SIZE	16u
enum {
	TRB_CYCLE = 1 << 0, TRB_TOGGLE = 1 << 1, TRB_ISP = 1 << 2, TRB_EVENT_DATA = 1 << 2, TRB_CHAIN = 1 << 4,
	TRB_IOC = 1 << 5, TRB_IMMEDIATE = 1 << 6, TRB_BEI = 1 << 9, TRB_IN = 1 << 16,
};
static inline unsigned trb_type(const struct xhci_trb *t) { return t->control >> 10 & 63; }

enum xhci_trb_type {	/* table 6-91 */
	T_NORMAL = 1, T_SETUP = 2, T_DATA = 3, T_STATUS = 4, T_ISOCH = 5, T_LINK = 6, T_EVENT_DATA = 7, T_NOOP = 8,
	C_ENABLE_SLOT = 9, C_DISABLE_SLOT = 10, C_ADDRESS = 11, C_CONFIGURE = 12, C_EVALUATE = 13,
	C_RESET_EP = 14, C_STOP_EP = 15, C_SET_DEQUEUE = 16, C_RESET_DEVICE = 17, C_PORT_BANDWIDTH = 21,
	C_NOOP = 23, C_NEC_FIRMWARE = 49,
	E_TRANSFER = 32, E_COMMAND = 33, E_PORT = 34, E_CONTROLLER = 37, E_NEC = 48,
};

enum xhci_code {	/* table 6-90 */
	CC_SUCCESS = 1, CC_BABBLE = 3, CC_TRANSACTION = 4, CC_TRB = 5, CC_STALL = 6, CC_NO_SLOTS = 9,
	CC_SLOT_DISABLED = 11, CC_EP_DISABLED = 12, CC_SHORT = 13, CC_PARAMETER = 17, CC_CONTEXT_STATE = 19,
	CC_RING_FULL = 21, CC_RING_STOPPED = 24, CC_STOPPED = 26,
};

enum { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR };
enum { EP_CONTROL = 4, EP_INTERRUPT_OUT = 3, EP_INTERRUPT_IN = 7 };
enum { SLOT_ENABLED = 0, SLOT_DEFAULT = 1, SLOT_ADDRESSED = 2, SLOT_CONFIGURED = 3 };

struct xhci_ep {
	uint64_t at;			/* the TRB that is next, or goes on */
	uint32_t done;			/* bytes of it that moved */
	uint32_t td_done;		/* bytes of its TD */
	uint32_t edtla;			/* bytes since the last Event Data TRB (4.11.5.2) */
	uint16_t max;			/* packet size */
	uint8_t state, type;
	uint8_t cycle;
	uint8_t in;			/* direction of a control transfer's data */
};

struct xhci_slot {
	uint64_t context;		/* device context */
	uint32_t route;
	uint32_t due;			/* bit dci: look at that endpoint */
	uint8_t enabled, state, port, pad[5];
	struct xhci_ep ep[32];		/* by device context index; 0 unused */
};

struct xhci_intr {
	uint32_t iman, imod, erstsz;
	uint32_t segment, index, size;	/* where the next event goes; TRBs in that segment */
	uint64_t erstba, erdp;
	uint64_t base;			/* of the segment */
	uint8_t cycle, pad[7];
};
enum { IMAN_IP = 1, IMAN_IE = 2 };
#define ERDP_BUSY	8u

enum {	/* USBCMD, USBSTS */
	CMD_RUN = 0x001, CMD_HCRST = 0x002, CMD_INTE = 0x004, CMD_LHCRST = 0x080, CMD_SAVE = 0x100,
	CMD_RESTORE = 0x200,
	STS_HALTED = 0x0001, STS_SYSTEM = 0x0004, STS_EINT = 0x0008, STS_PORT = 0x0010, STS_SRE = 0x0400,
};
#define CRCR_CYCLE	1u
#define CRCR_STOP	2u
#define CRCR_ABORT	4u
#define CRCR_RUNNING	8u

struct xhci {
	struct pci_dev pci;
	struct usb_bus bus;
	uint32_t n_ports2, n_ports3;	/* properties */
	struct usb_port ports[2 * XHCI_PORTS];	/* USB 2 first */
	struct timer later;		/* work is left */
	uint8_t *buf;			/* XHCI_BUF bytes */
	bool busy;			/* xhci_work() is at work */

	uint32_t cmd, sts, dnctrl, config;
	uint64_t dcbaap;
	uint64_t ring_at;		/* command ring: the next command */
	uint8_t ring_cycle, ring_running, ring_due;
	uint8_t starved;		/* something waits for room in an event ring */
	uint32_t portsc[2 * XHCI_PORTS];
	uint8_t port_event[2 * XHCI_PORTS];	/* an event is to be sent */
	struct xhci_intr intr[XHCI_INTRS];
	struct xhci_slot slot[XHCI_SLOTS + 1];	/* by id, from 1 */
};

static inline unsigned xhci_n_ports(const struct xhci *x)
{
	return x->n_ports2 + x->n_ports3;
}
static inline bool xhci_running(const struct xhci *x)
{
	return x->cmd & CMD_RUN && !(x->sts & STS_HALTED);
}

/* ---- xhci.c ---- */
bool xhci_read(struct xhci *x, uint64_t pa, void *buf, uint32_t n);	/* false: the controller stops */
bool xhci_write(struct xhci *x, uint64_t pa, const void *buf, uint32_t n);
/* A place in a ring; the TRB at or, over links, behind it, where c is moved. */
struct xhci_cursor {
	uint64_t at;
	uint8_t cycle;
};
enum xhci_found { XHCI_FOUND, XHCI_EMPTY, XHCI_BROKEN };
enum xhci_found xhci_look(struct xhci *x, struct xhci_cursor *c, struct xhci_trb *t);
/* Do what is marked. */
void xhci_work(struct xhci *x);
void xhci_host_error(struct xhci *x, const char *why);

/* ---- xhci_event.c ---- */
void xhci_event(struct xhci *x, unsigned intr, const struct xhci_trb *ev);
/* Is there room for a few events? If not, xhci_room_again() comes later. */
bool xhci_room(struct xhci *x, unsigned intr);
void xhci_intr_reset(struct xhci *x);
uint32_t xhci_intr_read(struct xhci *x, unsigned off);
void xhci_intr_write(struct xhci *x, unsigned off, uint32_t v);
void xhci_update_irq(struct xhci *x);

/* ---- xhci_port.c ---- */
void xhci_ports_init(struct xhci *x);
void xhci_ports_reset(struct xhci *x);
void xhci_ports_derive(struct xhci *x);
void xhci_port_events(struct xhci *x);		/* send those that wait */
uint32_t xhci_port_read(struct xhci *x, unsigned off);
void xhci_port_write(struct xhci *x, unsigned off, uint32_t v);

/* ---- xhci_cmd.c ---- */
bool xhci_command(struct xhci *x);		/* one; false: there is none, or no room for its event */
void xhci_ring_stop(struct xhci *x);		/* CRCR: stop or abort */
void xhci_ep_context(struct xhci *x, unsigned slot, unsigned dci);	/* state to memory */
struct usb_dev *xhci_device(struct xhci *x, const struct xhci_slot *s);

/* ---- xhci_xfer.c ---- */
bool xhci_transfer(struct xhci *x, unsigned slot, unsigned dci);	/* one step; false: nothing to do */
/* The endpoint stops: tell about a TD that has begun or waits. */
void xhci_report_stopped(struct xhci *x, unsigned slot, unsigned dci);

#endif
