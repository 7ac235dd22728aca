/*
 * The e1000's serial EEPROM and its PHY.
 *
 * The EEPROM (93C46, 64 words) is read a bit at a time through EECD: chip select, a
 * start bit, two bits of opcode, six of address, then sixteen bits come out. EERD
 * reads a word at once. It holds the card's address; all words add up to 0xbaba.
 *
 * The PHY's registers are reached through MDIC. The link is at gigabit, if it is up.
 *
 * Not modelled: writing the EEPROM, changing link speeds.
 * Source: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual, 5 (EEPROM), 13.4.3-13.4.6 (registers); IEEE 802.3 clause 22 for the PHY.
 */
#include "hw/net/e1000_priv.h"

#define EECD_SK		BIT(0)
#define EECD_CS		BIT(1)
#define EECD_DI		BIT(2)
#define EECD_DO		BIT(3)
#define EECD_REQ	BIT(6)
#define EECD_GNT	BIT(7)
#define EECD_PRES	BIT(8)

#define EERD_START	BIT(0)
#define EERD_DONE	BIT(4)

#define MDIC_REG(v)	((v) >> 16 & 31)
#define MDIC_PHY(v)	((v) >> 21 & 31)
#define MDIC_OP(v)	((v) >> 26 & 3)
#define MDIC_READY	BIT(28)
#define MDIC_INT	BIT(29)
#define MDIC_ERROR	BIT(30)
enum { MDIC_WRITE = 1, MDIC_READ = 2 };

#define EE_SUM		0xbabau
#define EE_READ		6u		/* start bit and opcode */
#define EE_CMD_BITS	9
#define EE_OUT_BITS	17		/* a zero, then the word */

void e1000_eeprom_fill(struct e1000 *d)
{
	uint16_t sum = 0;

	for (int i = 0; i < 3; i++)
		d->eeprom[i] = ld16(d->mac + 2 * i);
	d->eeprom[0x0a] = 0x4408;	/* initialisation control: valid */
	d->eeprom[0x0b] = 0x001e;	/* subsystem, subsystem vendor, device, vendor */
	d->eeprom[0x0c] = 0x8086;
	d->eeprom[0x0d] = 0x100e;
	d->eeprom[0x0e] = 0x8086;
	for (int i = 0; i < E1000_EEPROM_WORDS - 1; i++)
		sum = (uint16_t)(sum + d->eeprom[i]);
	d->eeprom[E1000_EEPROM_WORDS - 1] = (uint16_t)(EE_SUM - sum);
}

/* A rising clock edge: one bit in, one bit out. */
static void clock_eeprom(struct e1000 *d, bool in)
{
	if (d->ee_out_left) {
		if (d->ee_out_left < EE_OUT_BITS)
			d->ee_out = (uint16_t)(d->ee_out << 1);
		d->ee_out_left--;
		return;
	}
	if (!d->ee_bits && !in)
		return;			/* waiting for the start bit */
	d->ee_in = (uint16_t)(d->ee_in << 1 | in);
	if (++d->ee_bits < EE_CMD_BITS)
		return;
	if (d->ee_in >> 6 == EE_READ) {
		d->ee_out = d->eeprom[d->ee_in & (E1000_EEPROM_WORDS - 1)];
		d->ee_out_left = EE_OUT_BITS;
	}
	d->ee_bits = 0;
	d->ee_in = 0;
}

void e1000_eecd_write(void *dev, uint32_t v, uint32_t old)
{
	struct e1000 *d = dev;

	if (!(v & EECD_CS)) {
		d->ee_bits = d->ee_out_left = 0;
		d->ee_in = 0;
	} else if (v & EECD_SK && !(old & EECD_SK)) {
		clock_eeprom(d, v & EECD_DI);
	}
}

uint32_t e1000_eecd_read(void *dev)
{
	const struct e1000 *d = dev;
	bool out = !d->ee_out_left || (d->ee_out_left < EE_OUT_BITS && d->ee_out & 0x8000);
	uint32_t v = d->eecd | EECD_PRES | (d->eecd & EECD_REQ ? EECD_GNT : 0);

	return out ? v | EECD_DO : v;
}

void e1000_eerd_write(void *dev, uint32_t v, uint32_t old)
{
	struct e1000 *d = dev;

	(void)old;
	if (v & EERD_START)
		d->eerd = (uint32_t)d->eeprom[v >> 8 & (E1000_EEPROM_WORDS - 1)] << 16 | (v & 0xff00) | EERD_DONE;
}

/* ---- PHY ---- */

static const struct { uint8_t reg; uint16_t reset; uint16_t wmask; } phy_regs[] = {
	{  0, 0x1140, 0x7d80 },		/* control: autonegotiation, full duplex, gigabit */
	{  1, 0x796d, 0 },		/* status: link, autonegotiation complete */
	{  2, 0x0141, 0 },		/* identity: Marvell 88E1011 */
	{  3, 0x0c20, 0 },
	{  4, 0x0de1, 0xffff },		/* what is advertised */
	{  5, 0xcde1, 0 },		/* what the partner can do */
	{  6, 0x0001, 0 },
	{  9, 0x0e00, 0xffff },		/* 1000BASE-T control, status */
	{ 10, 0x3c00, 0 },
	{ 15, 0x3000, 0 },
	{ 16, 0x0068, 0xffff },
	{ 17, 0xac00, 0 },		/* specific status: gigabit, full duplex, resolved, link */
	{ 20, 0x0d60, 0xffff },
	{ 29, 0x0000, 0xffff },
	{ 30, 0x0000, 0xffff },
};

void e1000_phy_reset(struct e1000 *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(phy_regs); i++)
		d->phy[phy_regs[i].reg] = phy_regs[i].reset;
	if (d->net && !net_up(d->net))
		e1000_phy_link(d, false);
}

#define PHY_STATUS	1
#define PHY_SPECIFIC	17

void e1000_phy_link(struct e1000 *d, bool up)
{
	static const struct { unsigned reg; uint16_t bits; } said[] = { { PHY_STATUS, 0x0024 }, { PHY_SPECIFIC, 0x0c00 } };

	for (unsigned i = 0; i < ARRAY_LEN(said); i++)
		d->phy[said[i].reg] = (uint16_t)(up ? d->phy[said[i].reg] | said[i].bits
						    : d->phy[said[i].reg] & ~said[i].bits);
}

static void phy_write(struct e1000 *d, unsigned reg, uint16_t v)
{
	for (unsigned i = 0; i < ARRAY_LEN(phy_regs); i++)
		if (phy_regs[i].reg == reg)
			d->phy[reg] = (uint16_t)((d->phy[reg] & ~phy_regs[i].wmask) | (v & phy_regs[i].wmask));
	/* Reset and "negotiate again" are over at once. */
	if (reg == 0 && v & 0x8200)
		e1000_cause(d, E1000_LSC);
	if (reg == 0 && v & 0x8000)
		e1000_phy_reset(d);
}

void e1000_mdic_write(void *dev, uint32_t v, uint32_t old)
{
	struct e1000 *d = dev;

	(void)old;
	d->mdic = (v & ~(MDIC_READY | MDIC_ERROR)) | MDIC_READY;
	if (MDIC_PHY(v) != 1)
		d->mdic |= MDIC_ERROR;
	else if (MDIC_OP(v) == MDIC_READ)
		d->mdic = (d->mdic & ~0xffffu) | d->phy[MDIC_REG(v)];
	else if (MDIC_OP(v) == MDIC_WRITE)
		phy_write(d, MDIC_REG(v), (uint16_t)v);
	if (v & MDIC_INT)
		e1000_cause(d, E1000_MDAC);
}
