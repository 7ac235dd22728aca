/*
 * IDE bus master: moves a command's data between the drive and a list of memory
 * regions (physical region descriptors).
 *
 *	0  command   bit 0 start, bit 3 towards memory
 *	2  status    bit 0 active, 1 error, 2 interrupt, 5-6 drive can do DMA
 *	4  address of the descriptors: address, then byte count (0: 64 KiB), bit 31 last
 *
 * Source: "Programming Interface for Bus Master IDE Controller", rev. 1.0.
 */
#include "hw/disk/ide_priv.h"

#define BM_START	0x01u
#define BM_TO_MEMORY	0x08u
#define BM_ACTIVE	0x01u
#define BM_ERROR	0x02u
#define BM_IRQ		0x04u
#define BM_CAPABLE	0x60u

void ide_dma_reset(struct ide_channel *c)
{
	c->bm_command = 0;
	c->bm_status &= (uint8_t)~(BM_ACTIVE | BM_ERROR | BM_IRQ);
}

/* The next region. False: the last one is used up. */
static bool next_region(struct ide *d, struct ide_channel *c)
{
	uint8_t prd[8];
	if (c->prd_last || !pci_dma_read(&d->pci, c->prd_next, prd, sizeof(prd)))
		return false;
	c->prd_addr = ld32(prd) & ~1u;
	c->prd_left = ld16(prd + 4) & 0xfffe;
	if (!c->prd_left)
		c->prd_left = 0x10000;
	c->prd_last = prd[7] >> 7;
	c->prd_next += 8;
	return true;
}

bool ide_dma_move(struct ide *d, int ch, void *buf, uint32_t n, bool to_mem)
{
	struct ide_channel *c = &d->ch[ch];
	uint8_t *p = buf;
	while (n) {
		if (!c->prd_left && !next_region(d, c))
			return false;
		uint32_t k = n < c->prd_left ? n : c->prd_left;
		if (to_mem)
			pci_dma_write(&d->pci, c->prd_addr, p, k);
		else
			pci_dma_read(&d->pci, c->prd_addr, p, k);
		c->prd_addr += k;
		c->prd_left -= k;
		p += k;
		n -= k;
	}
	return true;
}

/* Where the engine stands in the descriptors. */
struct cursor {
	uint32_t next, addr, left;
	uint8_t last;
};

static struct cursor cursor_of(const struct ide_channel *c)
{
	return (struct cursor){ c->prd_next, c->prd_addr, c->prd_left, c->prd_last };
}

/* Whole sectors at the front of the region, at most n. */
static uint32_t gather_whole(struct ide_channel *c, struct sg *s, uint32_t n)
{
	uint32_t k = c->prd_left / SECTOR;

	if (k > n)
		k = n;
	if (!k || !sg_add(s, c->prd_addr, (uint64_t)k * SECTOR))
		return 0;
	c->prd_addr += k * SECTOR;
	c->prd_left -= k * SECTOR;
	return k;
}

/* One that regions may share. */
static bool gather_sector(struct ide *d, struct ide_channel *c, struct sg *s)
{
	for (uint32_t n = SECTOR, k; n; n -= k) {
		if (!c->prd_left && !next_region(d, c))
			return false;
		k = n < c->prd_left ? n : c->prd_left;
		if (!sg_add(s, c->prd_addr, k))
			return false;
		c->prd_addr += k;
		c->prd_left -= k;
	}
	return true;
}

uint32_t ide_dma_gather(struct ide *d, int ch, struct sg *s, uint32_t n, bool to_mem)
{
	struct ide_channel *c = &d->ch[ch];
	uint32_t done = 0;

	sg_begin(s, d->pci.dev.m, to_mem);
	while (done < n) {
		uint32_t k = gather_whole(c, s, n - done);
		done += k;
		if (k)
			continue;
		struct cursor was = cursor_of(c);
		if (gather_sector(d, c, s)) {
			done++;
			continue;
		}
		c->prd_next = was.next;
		c->prd_addr = was.addr;
		c->prd_left = was.left;
		c->prd_last = was.last;
		sg_cut(s, (uint64_t)done * SECTOR);
		break;
	}
	return done;
}

void ide_dma_end(struct ide *d, int i, bool ok)
{
	struct ide_channel *c = ide_channel_of(d, i);

	if (!ok)
		c->bm_status |= BM_ERROR;
	if (!ok || (c->prd_last && !c->prd_left))
		c->bm_status &= (uint8_t)~BM_ACTIVE;
}

void ide_dma_try(struct ide *d, int i)
{
	struct ide_channel *c = ide_channel_of(d, i);
	struct ide_drive *v = &d->drive[i];
	if (!v->dma || v->status & ST_BSY || !(c->bm_command & BM_START) || c->unit != i % 2)
		return;
	if (v->xfer == XFER_PACKET_IN || v->xfer == XFER_PACKET_OUT)
		ide_packet_dma(d, i);
	else
		ide_ata_dma(d, i);
}

/* The engine is stopped: what is under way ends first. */
static void finish_moving(struct ide *d, int ch)
{
	for (int i = ch * 2; i < ch * 2 + 2; i++)
		if (d->drive[i].dma && d->drive[i].status & ST_BSY)
			drive_drain(d->pci.dev.m, d->medium[i].drive);
}

static void command_write(struct ide *d, int ch, uint8_t value)
{
	struct ide_channel *c = &d->ch[ch];
	bool start = value & BM_START && !(c->bm_command & BM_START);
	if (!(value & BM_START) && c->bm_command & BM_START)
		finish_moving(d, ch);
	c->bm_command = value & (BM_START | BM_TO_MEMORY);
	if (!(value & BM_START)) {
		c->bm_status &= (uint8_t)~BM_ACTIVE;
		return;
	}
	if (!start)
		return;
	c->bm_status |= BM_ACTIVE;
	c->prd_next = c->bm_prd;
	c->prd_left = 0;
	c->prd_last = 0;
	ide_dma_try(d, ch * 2 + c->unit);
}

static uint8_t byte_read(const struct ide_channel *c, unsigned reg)
{
	switch (reg) {
	case 0: return c->bm_command;
	case 2: return c->bm_status;
	case 4: case 5: case 6: case 7: return (uint8_t)(c->bm_prd >> 8 * (reg - 4));
	default: return 0;
	}
}

static void byte_write(struct ide *d, int ch, unsigned reg, uint8_t value)
{
	struct ide_channel *c = &d->ch[ch];
	switch (reg) {
	case 0:
		command_write(d, ch, value);
		break;
	case 2:
		c->bm_status = (uint8_t)((c->bm_status & ~(value & (BM_ERROR | BM_IRQ)) & ~BM_CAPABLE)
					 | (value & BM_CAPABLE));
		break;
	case 4: case 5: case 6: case 7:
		c->bm_prd &= ~(0xffu << 8 * (reg - 4));
		c->bm_prd |= (uint32_t)value << 8 * (reg - 4);
		c->bm_prd &= ~3u;
		break;
	default:
		break;
	}
}

static uint32_t bm_read(void *opaque, uint16_t off, int size)
{
	struct ide *d = opaque;
	uint32_t r = 0;
	for (int k = 0; k < size; k++)
		r |= (uint32_t)byte_read(&d->ch[(off + k) >> 3 & 1], (unsigned)(off + k) & 7) << 8 * k;
	return r;
}

static void bm_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	for (int k = 0; k < size; k++)
		byte_write(opaque, (off + k) >> 3 & 1, (unsigned)(off + k) & 7, (uint8_t)(v >> 8 * k));
}

const struct port_ops ide_bm_ops = { bm_read, bm_write, 4, 1 };
