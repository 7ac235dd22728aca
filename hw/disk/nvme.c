/*
 * NVMe: queues in memory. The driver puts commands into a submission queue and rings a
 * doorbell; completions go to the queue that belongs to it, with a phase bit that tells
 * new entries from old ones, and an interrupt of that queue's vector.
 *
 * One namespace, in blocks of 512 bytes. Entries are taken round robin while there are
 * slots for commands under way.
 *
 * Not modelled: SGLs, several namespaces, priorities of queues, the controller memory
 * buffer, firmware, reservations.
 * Source: NVM Express Base Specification 1.4.
 */
#include "hw/disk/nvme_priv.h"

#include <stdlib.h>
#include <string.h>

#define MMIO_SIZE	0x4000u
#define DOORBELLS	0x1000u
#define VECTORS		NVME_QUEUES

#define CAP		((uint64_t)1 << 37 | 0x0full << 24 | 1u << 16 | (NVME_DEPTH - 1))
#define VERSION		0x00010400u
#define CC_EN		0x01u
#define CC_SHN(cc)	((cc) >> 14 & 3)
#define CC_KEPT		0x00fffff1u
#define CSTS_RDY	0x01u
#define CSTS_CFS	0x02u
#define CSTS_SHUTTING	0x04u
#define CSTS_SHUT	0x08u

/* ---- interrupts ---- */

/* The pin: some queue without MSI-X has completions that were not looked at. */
static void nvme_update(void *dev)
{
	struct nvme *n = dev;
	bool level = false;

	for (unsigned q = 0; q < NVME_QUEUES; q++)
		if (n->cq[q].size && n->cq[q].interrupts && n->cq[q].head != n->cq[q].tail && !(n->intm >> n->cq[q].vector & 1))
			level = true;
	pci_set_irq(&n->pci, level && !pci_msix_enabled(&n->pci));
}

static void interrupt(struct nvme *n, const struct nvme_cq *cq)
{
	if (cq->interrupts && pci_msix_enabled(&n->pci))
		pci_msix_send(&n->pci, cq->vector);
	nvme_update(n);
}

/* ---- completions ---- */

static void complete(struct nvme *n, unsigned q, uint16_t id, unsigned status, uint32_t result)
{
	const struct nvme_sq *sq = &n->sq[q];
	struct nvme_cq *cq = &n->cq[sq->cq];
	uint8_t e[NVME_CQE] = { 0 };

	if (!cq->size)
		return;
	st32(e, result);
	st16(e + 8, sq->head);
	st16(e + 10, (uint16_t)q);
	st16(e + 12, id);
	st16(e + 14, (uint16_t)(status << 1 | cq->phase));
	pci_dma_write(&n->pci, cq->base + NVME_CQE * cq->tail, e, sizeof(e));
	cq->tail = (uint16_t)((cq->tail + 1) % cq->size);
	if (!cq->tail)
		cq->phase ^= 1;
	interrupt(n, cq);
}

/* ---- submissions ---- */

const uint8_t *nvme_sqe(const struct nvme_cmd *c)
{
	return c->n->slot[c->slot].sqe;
}

static struct nvme_cmd *free_slot(struct nvme *n)
{
	for (unsigned i = 0; i < NVME_SLOTS; i++)
		if (!n->slot[i].used)
			return &n->cmd[i];
	return NULL;
}

/* Room in the completion queue for one more, with all that are under way done. */
static bool cq_has_room(const struct nvme *n, const struct nvme_cq *cq, unsigned q)
{
	unsigned waiting = 0, used = (unsigned)(cq->tail + cq->size - cq->head) % cq->size;

	for (unsigned i = 0; i < NVME_SLOTS; i++)
		waiting += n->slot[i].used && n->sq[n->slot[i].sq].cq == n->sq[q].cq;
	return used + waiting + 1 < cq->size;
}

static bool take_one(struct nvme *n, unsigned q)
{
	struct nvme_sq *sq = &n->sq[q];
	struct nvme_cmd *c = free_slot(n);
	struct nvme_slot *s;

	if (!c || !n->cq[sq->cq].size || !cq_has_room(n, &n->cq[sq->cq], q))
		return false;
	s = &n->slot[c->slot];
	if (!pci_dma_read(&n->pci, sq->base + NVME_SQE * sq->head, s->sqe, NVME_SQE))
		return false;
	sq->head = (uint16_t)((sq->head + 1) % sq->size);
	s->used = 1;
	s->sq = (uint16_t)q;
	c->running = true;
	nvme_execute(c);
	return true;
}

/* Take what waits. A command that ends at once makes room again, so this is the only loop. */
static void run_queues(struct nvme *n)
{
	bool more = true;

	while (more && n->csts & CSTS_RDY) {
		more = false;
		for (unsigned q = 0; q < NVME_QUEUES; q++)
			if (n->sq[q].size && n->sq[q].head != n->sq[q].tail)
				more |= take_one(n, q);
	}
}

static void end_slot(struct nvme_cmd *c)
{
	c->running = false;
	c->n->slot[c->slot].used = 0;
}

void nvme_done(struct nvme_cmd *c, unsigned status, uint32_t result)
{
	struct nvme *n = c->n;
	unsigned q = n->slot[c->slot].sq;
	uint16_t id = ld16(nvme_sqe(c) + 2);

	end_slot(c);
	if (n->sq[q].size)
		complete(n, q, id, status, result);
}

void nvme_cancel_queue(struct nvme *n, unsigned q)
{
	for (unsigned i = 0; i < NVME_SLOTS; i++) {
		if (!n->slot[i].used || n->slot[i].sq != q)
			continue;
		drive_cancel(&n->cmd[i].r);
		end_slot(&n->cmd[i]);
	}
}

/* ---- memory of a command: physical region pages ---- */

/* Where page `page` of the data is; page 0 begins where PRP1 says, the others at page bounds. */
static bool page_address(struct nvme_cmd *c, uint64_t page, uint64_t pages, uint64_t *pa)
{
	const uint8_t *sqe = nvme_sqe(c);
	uint64_t list = ld64(sqe + 32) & ~7ull, per;
	uint8_t entry[8];

	if (!page) {
		*pa = ld64(sqe + 24);
		return true;
	}
	if (pages == 2) {
		*pa = ld64(sqe + 32) & ~(uint64_t)(NVME_PAGE - 1);
		return true;
	}
	/* The last entry of a full page leads to the next one, which the list fills from its beginning. */
	for (page--, pages--;; page -= per, pages -= per) {
		uint64_t fit = (NVME_PAGE - list % NVME_PAGE) / 8;
		per = pages > fit ? fit - 1 : pages;
		if (page < per)
			break;
		if (!pci_dma_read(&c->n->pci, list + 8 * per, entry, sizeof(entry)))
			return false;
		list = ld64(entry) & ~(uint64_t)(NVME_PAGE - 1);
	}
	if (!pci_dma_read(&c->n->pci, list + 8 * page, entry, sizeof(entry)))
		return false;
	*pa = ld64(entry) & ~(uint64_t)(NVME_PAGE - 1);
	return true;
}

uint64_t nvme_gather(struct nvme_cmd *c, uint64_t off, uint64_t n, bool to_guest)
{
	uint64_t first = ld64(nvme_sqe(c) + 24) % NVME_PAGE, done = 0, pa;
	uint64_t pages = (first + c->moved + c->left * SECTOR + NVME_PAGE - 1) / NVME_PAGE;

	sg_begin(&c->sg, c->n->pci.dev.m, to_guest);
	while (done < n) {
		uint64_t at = first + off + done, in_page = at % NVME_PAGE;
		uint64_t k = min_u64(NVME_PAGE - in_page, n - done);
		if (!page_address(c, at / NVME_PAGE, pages, &pa) || !sg_add(&c->sg, at / NVME_PAGE ? pa + in_page : pa + off + done, k))
			break;
		done += k;
	}
	if (done < n)
		done -= done % SECTOR;
	sg_cut(&c->sg, done);
	return done;
}

/* ---- enabling, and the end of it ---- */

static void stop_all(struct nvme *n)
{
	for (unsigned q = 0; q < NVME_QUEUES; q++)
		nvme_cancel_queue(n, q);
	drive_cancel(&n->shut);
	n->n_events = 0;
	memset(n->sq, 0, sizeof(n->sq));
	memset(n->cq, 0, sizeof(n->cq));
	nvme_update(n);
}

static void enable(struct nvme *n)
{
	bool sizes_fit = (n->cc >> 16 & 15) == 6 && (n->cc >> 20 & 15) == 4;
	bool page_fits = !(n->cc >> 7 & 15) && !(n->asq % NVME_PAGE) && !(n->acq % NVME_PAGE);

	if (!page_fits || n->cc >> 4 & 7 || ((n->cc >> 16 & 0xff) && !sizes_fit)) {
		log_guest("%s: enabled with CC %#x, which it cannot do", n->pci.dev.id, n->cc);
		n->csts = CSTS_CFS;
		return;
	}
	n->sq[0] = (struct nvme_sq){ .base = n->asq, .size = (uint16_t)((n->aqa & 0xfff) + 1) };
	n->cq[0] = (struct nvme_cq){ .base = n->acq, .size = (uint16_t)((n->aqa >> 16 & 0xfff) + 1), .phase = 1, .interrupts = 1 };
	if (n->sq[0].size < 2 || n->cq[0].size < 2) {
		n->csts = CSTS_CFS;
		return;
	}
	n->csts = CSTS_RDY;
}

static void is_shut(struct drive_req *r)
{
	struct nvme *n = container_of(r, struct nvme, shut);

	n->csts = (n->csts & ~CSTS_SHUTTING) | CSTS_SHUT;
}

/* Drivers do not flush before: what was written becomes permanent by this. */
static void shut_down(struct nvme *n)
{
	if (n->csts & (CSTS_SHUTTING | CSTS_SHUT))
		return;
	drive_drain(n->pci.dev.m, n->drive);
	n->csts |= CSTS_SHUTTING;
	n->shut = (struct drive_req){ .op = DRIVE_FLUSH, .done = is_shut };
	drive_submit(n->drive, &n->shut);
}

static void cc_write(struct nvme *n, uint32_t v)
{
	uint32_t old = n->cc;

	n->cc = v & CC_KEPT;
	if (n->cc & ~old & CC_EN) {
		enable(n);
	} else if (old & ~n->cc & CC_EN) {
		stop_all(n);
		n->csts = 0;
	}
	if (CC_SHN(n->cc)) {
		shut_down(n);
	} else {
		drive_cancel(&n->shut);
		n->csts &= ~(CSTS_SHUTTING | CSTS_SHUT);
	}
}

static void doorbell(struct nvme *n, unsigned index, uint16_t v)
{
	unsigned q = index / 2;

	if (q >= NVME_QUEUES)
		return;
	if (index & 1) {
		struct nvme_cq *cq = &n->cq[q];
		if (!cq->size || v >= cq->size) {
			log_guest("%s: completion queue %u has no entry %u", n->pci.dev.id, q, v);
			return;
		}
		cq->head = v;
		nvme_update(n);
	} else {
		if (!n->sq[q].size || v >= n->sq[q].size) {
			log_guest("%s: submission queue %u has no entry %u", n->pci.dev.id, q, v);
			return;
		}
		n->sq[q].tail = v;
	}
	run_queues(n);
}

/* ---- registers ---- */

static uint32_t reg_read(const struct nvme *n, unsigned off)
{
	switch (off) {
	case 0x00: return (uint32_t)CAP;
	case 0x04: return (uint32_t)(CAP >> 32);
	case 0x08: return VERSION;
	case 0x0c: case 0x10: return n->intm;
	case 0x14: return n->cc;
	case 0x1c: return n->csts;
	case 0x24: return n->aqa;
	case 0x28: return (uint32_t)n->asq;
	case 0x2c: return (uint32_t)(n->asq >> 32);
	case 0x30: return (uint32_t)n->acq;
	case 0x34: return (uint32_t)(n->acq >> 32);
	default:   return 0;
	}
}

static uint64_t with_half(uint64_t reg, bool high, uint32_t v)
{
	return high ? (uint32_t)reg | (uint64_t)v << 32 : (reg & ~0xffffffffull) | v;
}

static void reg_write(struct nvme *n, unsigned off, uint32_t v)
{
	switch (off) {
	case 0x0c:
		n->intm |= v;
		break;
	case 0x10:
		n->intm &= ~v;
		break;
	case 0x14:
		cc_write(n, v);
		break;
	case 0x24:
		n->aqa = v & 0x0fff0fff;
		break;
	case 0x28: case 0x2c:
		n->asq = with_half(n->asq, off & 4, v);
		break;
	case 0x30: case 0x34:
		n->acq = with_half(n->acq, off & 4, v);
		break;
	}
	nvme_update(n);
}

static uint64_t nvme_read(void *opaque, uint64_t off, int size)
{
	return reg_read(opaque, (unsigned)off & ~3u) >> 8 * (off & 3) & size_mask(size);
}

static void nvme_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	if (off & 3 || size != 4)
		return;
	if (off >= DOORBELLS)
		doorbell(opaque, (unsigned)(off - DOORBELLS) / 4, (uint16_t)v);
	else
		reg_write(opaque, (unsigned)off, (uint32_t)v);
}

static const struct mmio_ops nvme_ops = { nvme_read, nvme_write, 4 };

/* ---- the device ---- */

static const struct drive_user user = { .name = "an NVMe disk" };

static bool attach(struct nvme *n, struct err *e)
{
	if (!n->drive)
		return err_set(e, "an NVMe disk needs drive=ID of a -drive if=none,id=ID");
	if (!drive_present(n->drive))
		err_set(e, "'%s': a disk needs an image file", drive_id(n->drive));
	else if (drive_attach(n->drive, &user, n, e))
		return true;
	n->drive = NULL;		/* it may be another's */
	return false;
}

static bool nvme_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = {
		.vendor = 0x1b36, .device = 0x0010, .subvendor = 0x1af4, .subdevice = 0x1100,
		.class = 0x010802, .revision = 2, .int_pin = 1,
	};
	struct nvme *n = dev;

	n->cmd = calloc(NVME_SLOTS, sizeof(*n->cmd));
	if (!n->cmd)
		return err_set(e, "no memory for an NVMe disk");
	for (unsigned i = 0; i < NVME_SLOTS; i++) {
		n->cmd[i].n = n;
		n->cmd[i].slot = i;
	}
	return attach(n, e) && pci_attach(&n->pci, &ids, e) && pci_bar_mmio(&n->pci, 0, MMIO_SIZE, &nvme_ops, n, e)
		&& pci_add_msix(&n->pci, 4, VECTORS, e);
}

static void nvme_fini(void *dev)
{
	struct nvme *n = dev;

	if (n->cmd) {
		stop_all(n);
		for (unsigned i = 0; i < NVME_SLOTS; i++)
			sg_fini(&n->cmd[i].sg);
	}
	free(n->cmd);
	if (n->drive)
		drive_detach(n->drive);
	pci_detach(&n->pci);
}

static void nvme_reset(void *dev)
{
	struct nvme *n = dev;

	pci_reset(&n->pci);
	stop_all(n);
	n->cc = n->csts = n->aqa = n->intm = 0;
	n->asq = n->acq = 0;
	n->features_write_cache = 1;
	n->features_coalescing = n->features_events = 0;
}

static bool queues_valid(const struct nvme *n)
{
	for (unsigned q = 0; q < NVME_QUEUES; q++) {
		const struct nvme_sq *s = &n->sq[q];
		const struct nvme_cq *c = &n->cq[q];
		if ((s->size && (s->size > 4096 || s->head >= s->size || s->tail >= s->size || s->cq >= NVME_QUEUES)) ||
		    (c->size && (c->size > 4096 || c->head >= c->size || c->tail >= c->size || c->vector >= VECTORS || c->phase > 1)))
			return false;
	}
	return n->n_events <= NVME_EVENTS;
}

/* What was under way begins again. */
static bool nvme_loaded(void *dev, struct err *e)
{
	struct nvme *n = dev;

	if (!queues_valid(n))
		return err_set(e, "an impossible queue");
	if (!pci_loaded(&n->pci))
		return false;
	for (unsigned i = 0; i < NVME_SLOTS; i++) {
		if (!n->slot[i].used)
			continue;
		if (n->slot[i].sq >= NVME_QUEUES)
			return err_set(e, "a command of an impossible queue");
		n->cmd[i].running = true;
		nvme_execute(&n->cmd[i]);
	}
	return true;
}

static const struct prop nvme_props[] = {
	PROP_REF("drive", nvme, drive, "drive", "the image, a -drive's id"),
	PROP_TEXT(nvme, serial, "serial", NULL, "the disk's serial number"),
	PROP_BOOTINDEX, { 0 }
};

static void nvme_boot_path(const void *dev, char *buf)
{
	pci_boot_path(dev, buf);
	dev_boot_path_add(buf, "/namespace@1,0");
}

static const struct state nvme_state[] = {
	STATE(nvme, asq), STATE(nvme, acq), STATE(nvme, intm), STATE(nvme, cc), STATE(nvme, csts), STATE(nvme, aqa),
	STATE(nvme, features_write_cache), STATE(nvme, features_coalescing), STATE(nvme, features_events),
	STATE(nvme, n_events), STATE(nvme, event), STATE(nvme, sq), STATE(nvme, cq), STATE(nvme, slot), { 0 }
};

const struct dev_type nvme_type = {
	.name = "nvme", .bus = "pci", .help = "an NVMe disk",
	.size = sizeof(struct nvme), .version = 1, .props = nvme_props, .state = nvme_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = nvme_init, .fini = nvme_fini, .reset = nvme_reset, .update = nvme_update, .loaded = nvme_loaded,
	.boot_path = nvme_boot_path, .boot_letter = 'c',
};
