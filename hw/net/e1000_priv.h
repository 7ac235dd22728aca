/*
 * Inside the e1000: registers and rings (e1000.c), sending (e1000_tx.c), the serial
 * EEPROM and the PHY (e1000_phy.c).
 */
#ifndef HW_NET_E1000_PRIV_H
#define HW_NET_E1000_PRIV_H

#include "hw/backend/net.h"
#include "hw/net/e1000.h"

#define E1000_EEPROM_WORDS 64
#define E1000_DESC	16u

/* ICR, IMS: causes of interrupts */
#define E1000_TXDW	BIT(0)		/* a descriptor that asked for it was written back */
#define E1000_TXQE	BIT(1)		/* nothing left to send */
#define E1000_LSC	BIT(2)		/* link status changed */
#define E1000_RXDMT0	BIT(4)		/* receive descriptors run low */
#define E1000_RXO	BIT(6)		/* none was left */
#define E1000_RXT0	BIT(7)		/* a frame came */
#define E1000_MDAC	BIT(9)		/* PHY access done */

/* A ring of descriptors: base, length in bytes, first the device owns, first it does not. */
struct e1000_ring {
	uint32_t base_lo, base_hi, len, head, tail;
};

/* What the last context descriptor said (3.3.6). */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso, hdrlen, tcp, ip, pad;
	uint16_t ipcse, tucse, mss, pad2;
	uint32_t paylen;
};

struct e1000 {
	struct pci_dev pci;
	struct net *net;		/* property */
	uint8_t mac[6];			/* property */
	uint32_t ctrl, eecd, eerd, ctrl_ext, mdic, icr, ims, rctl, tctl;
	uint32_t plain[24];		/* registers that only store */
	uint32_t ioaddr;
	struct e1000_ring rx, tx;
	uint32_t mta[128], ra[32], vfta[128];
	uint16_t eeprom[E1000_EEPROM_WORDS];
	uint16_t phy[32];
	uint8_t ee_bits, ee_out_left;	/* microwire: bits taken in, bits to give out */
	uint16_t ee_in, ee_out;
	/* The frame being put together from descriptors. */
	struct e1000_context tso, sum;	/* contexts with and without segmentation */
	uint8_t in_frame, segment, popts, too_long;
	uint32_t frame_len;
	uint8_t frame[NET_MAX_FRAME + 1];
	struct timer later;
	bool sending;
	unsigned cut;			/* frames that this run has made of large segments */
};

void e1000_cause(struct e1000 *d, uint32_t bits);

/* ---- e1000_tx.c ---- */
void e1000_send(struct e1000 *d);

/* ---- e1000_phy.c ---- */
void e1000_eeprom_fill(struct e1000 *d);
void e1000_eecd_write(void *dev, uint32_t v, uint32_t old);
uint32_t e1000_eecd_read(void *dev);
void e1000_eerd_write(void *dev, uint32_t v, uint32_t old);
void e1000_mdic_write(void *dev, uint32_t v, uint32_t old);
void e1000_phy_reset(struct e1000 *d);
void e1000_phy_link(struct e1000 *d, bool up);

#endif
