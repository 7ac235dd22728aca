/*
 * Virtio over MMIO: a page of registers for one device, which may be absent.
 *
 *	0x000 "virt"  0x004 version (2, or 1: legacy)  0x008 device type (0: nobody)
 *	0x010 features, 0x014 which half   0x020 accepted, 0x024 which half
 *	0x030 queue   0x034 its most entries   0x038 entries
 *	0x044 ready, 0x080-0x0a4 addresses     (legacy: 0x028 page size, 0x03c alignment, 0x040 page)
 *	0x050 notification   0x060 interrupt status, 0x064 acknowledge   0x070 status
 *	0x0fc configuration generation   0x100 the device's own configuration
 *
 * Not modelled: shared memory regions, queue reset.
 * Source: Virtio 1.2, 4.2.2 and 4.2.4 (legacy).
 */
#include "hw/virtio/virtio_mmio.h"

#include <stdio.h>
#include <string.h>

#include "hw/virtio/virtio_transport.h"

enum {
	REG_MAGIC = 0x000, REG_VERSION = 0x004, REG_DEVICE = 0x008, REG_VENDOR = 0x00c,
	REG_FEATURES = 0x010, REG_FEATURES_SEL = 0x014, REG_ACCEPTED = 0x020, REG_ACCEPTED_SEL = 0x024,
	REG_PAGE_SIZE = 0x028, REG_QUEUE_SEL = 0x030, REG_QUEUE_MAX = 0x034, REG_QUEUE_NUM = 0x038,
	REG_QUEUE_ALIGN = 0x03c, REG_QUEUE_PFN = 0x040, REG_QUEUE_READY = 0x044, REG_NOTIFY = 0x050,
	REG_ISR = 0x060, REG_ACK = 0x064, REG_STATUS = 0x070, REG_DESC = 0x080, REG_AVAIL = 0x090,
	REG_USED = 0x0a0, REG_SHM_LEN = 0x0b0, REG_SHM_END = 0x0c0, REG_GENERATION = 0x0fc, REG_CONFIG = 0x100,
};
#define MAGIC	0x74726976u		/* "virt" */
#define VENDOR	0x1af4u
#define PRIO	1
#define MAX_ALIGN (1u << 16)

struct virtio_mmio {
	struct dev dev;
	bool legacy;			/* property */
	struct virtio *v;		/* who is here, or NULL */
	struct mmio *mmio;
	struct irq irq;
	char bus[32];
	uint32_t page_size, align;	/* of legacy queues */
};

/* ---- queues ---- */

static struct virtq *selected(struct virtio *v)
{
	return v->queue_sel < v->n_queues ? &v->q[v->queue_sel] : NULL;
}

static void queue_address(struct virtio *v, unsigned reg, uint32_t value)
{
	struct virtq *q = selected(v);

	if (!q || q->enabled) {
		log_guest("%s: an address of a queue that is absent or in use", v->pci.dev.id);
		return;
	}
	virtio_set_half(reg < REG_AVAIL ? &q->desc : reg < REG_USED ? &q->avail : &q->used, reg & 4, value);
}

static void queue_ready(struct virtio *v, uint32_t value)
{
	struct virtq *q = selected(v);

	if (!q)
		return;
	if (!(value & 1))
		*q = (struct virtq){ .size = q->max, .max = q->max, .vector = VIRTIO_NO_VECTOR };
	else
		virtio_enable_queue(v, q);
}

static uint32_t queue_read(struct virtio_mmio *d, unsigned reg)
{
	const struct virtq *q = selected(d->v);

	if (!q)
		return 0;
	switch (reg) {
	case REG_QUEUE_MAX: return q->max;
	case REG_QUEUE_PFN: return d->legacy && q->enabled ? (uint32_t)(q->desc / d->page_size) : 0;
	case REG_QUEUE_READY: return d->legacy ? 0 : q->enabled;
	default: return 0;
	}
}

/* ---- registers ---- */

static uint32_t reg_read(struct virtio_mmio *d, unsigned reg)
{
	struct virtio *v = d->v;

	switch (reg) {
	case REG_MAGIC: return MAGIC;
	case REG_VERSION: return d->legacy ? 1 : 2;
	case REG_DEVICE: return v ? v->class->id : 0;
	case REG_VENDOR: return VENDOR;
	}
	if (!v)
		return 0;
	switch (reg) {
	case REG_FEATURES:
		return v->feature_sel > 1 ? 0 : (uint32_t)(virtio_offered(v, d->legacy) >> 32 * v->feature_sel);
	case REG_ISR: return v->isr;
	case REG_STATUS: return v->status;
	case REG_GENERATION: return v->generation;
	default:
		/* No shared memory: a length of all ones. */
		return reg >= REG_SHM_LEN && reg < REG_SHM_END ? ~0u : queue_read(d, reg);
	}
}

static void legacy_write(struct virtio_mmio *d, unsigned reg, uint32_t value)
{
	struct virtq *q = selected(d->v);
	bool power_of_two = value && !(value & (value - 1));

	if (reg == REG_PAGE_SIZE && power_of_two)
		d->page_size = value;
	else if (reg == REG_QUEUE_ALIGN && power_of_two && value <= MAX_ALIGN)
		d->align = value;
	else if (reg == REG_QUEUE_PFN && q)
		virtio_legacy_place(q, (uint64_t)value * d->page_size, d->align);
}

static void modern_write(struct virtio_mmio *d, unsigned reg, uint32_t value)
{
	if (reg == REG_QUEUE_READY)
		queue_ready(d->v, value);
	else if (reg >= REG_DESC && reg < REG_USED + 8)
		queue_address(d->v, reg, value);
}

static void acknowledge(struct virtio *v, uint32_t bits)
{
	v->isr &= (uint8_t)~bits;
	if (!v->isr)
		v->transport->quiet(v);
}

static void reg_write(struct virtio_mmio *d, unsigned reg, uint32_t value)
{
	struct virtio *v = d->v;
	struct virtq *q = selected(v);

	switch (reg) {
	case REG_FEATURES_SEL: v->feature_sel = value; break;
	case REG_ACCEPTED_SEL: v->driver_feature_sel = value; break;
	case REG_ACCEPTED: virtio_accept(v, v->driver_feature_sel, value, d->legacy); break;
	case REG_QUEUE_SEL: v->queue_sel = (uint16_t)(value > 0xffff ? 0xffff : value); break;
	case REG_QUEUE_NUM:
		if (q && !q->enabled)
			virtio_set_queue_size(v, q, (uint16_t)(value > 0xffff ? 0 : value));
		break;
	case REG_NOTIFY: virtio_notified(v, value & 0xffff); break;
	case REG_ACK: acknowledge(v, value); break;
	case REG_STATUS: virtio_set_status(v, (uint8_t)value); break;
	default:
		(d->legacy ? legacy_write : modern_write)(d, reg, value);
	}
}

static uint64_t mmio_read(void *opaque, uint64_t off, int size)
{
	struct virtio_mmio *d = opaque;

	if (off >= REG_CONFIG)
		return d->v ? virtio_config_read(d->v, off - REG_CONFIG, size) : size_mask(size);
	return size == 4 ? reg_read(d, (unsigned)off) : 0;
}

static void mmio_write(void *opaque, uint64_t off, int size, uint64_t value)
{
	struct virtio_mmio *d = opaque;

	if (!d->v)
		return;
	if (off >= REG_CONFIG)
		virtio_config_write(d->v, off - REG_CONFIG, size, (uint32_t)value);
	else if (size == 4)
		reg_write(d, (unsigned)off, (uint32_t)value);
}

static const struct mmio_ops mmio_ops = { mmio_read, mmio_write, 4, false };

/* ---- the device's side ---- */

static struct virtio_mmio *free_slot(struct machine *m)
{
	for (struct dev *d = m->devs; d; d = d->next)
		if (d->type == &virtio_mmio_type && !((struct virtio_mmio *)d)->v)
			return (struct virtio_mmio *)d;
	return NULL;
}

static bool take_slot(struct virtio *v, struct err *e)
{
	struct virtio_mmio *d = v->slot ? v->slot : free_slot(v->pci.dev.m);

	if (!d)
		return err_set(e, "there is no free virtio-mmio transport on this board");
	if (d->v)
		return err_set(e, "bus=%s is taken by %s", d->bus, d->v->pci.dev.id);
	v->slot = d;
	d->v = v;
	return true;
}

static void leave_slot(struct virtio *v)
{
	if (!v->slot || v->slot->v != v)
		return;
	irq_set(v->slot->irq, 0);
	v->slot->v = NULL;
}

static void no_reset(struct virtio *v)
{
	(void)v;
}

static void update_line(struct virtio *v)
{
	irq_set(v->slot->irq, v->isr != 0);
}

static bool slot_loaded(struct virtio *v, struct err *e)
{
	(void)e;
	update_line(v);
	return true;
}

static void signal_driver(struct virtio *v, uint16_t vector, uint8_t isr_bit)
{
	(void)vector;
	v->isr |= isr_bit;
	update_line(v);
}

static bool may_dma(const struct virtio *v)
{
	(void)v;
	return true;
}

const struct virtio_transport virtio_mmio_transport = {
	take_slot, leave_slot, no_reset, slot_loaded, signal_driver, update_line, may_dma,
};

/* ---- the transport as a device of the board ---- */

void virtio_mmio_place(struct dev *dev, uint64_t pa, const char *bus, struct irq irq)
{
	struct virtio_mmio *d = (struct virtio_mmio *)dev;

	d->irq = dev_own_irq(dev, irq);
	snprintf(d->bus, sizeof(d->bus), "%s", bus);
	machine_add_backend(dev->m, "virtio-bus", d->bus, d);
	mmio_set(dev->m, d->mmio, pa, true);
}

static bool transport_init(void *dev, struct err *e)
{
	struct virtio_mmio *d = dev;

	d->mmio = mmio_map(d->dev.m, 0, VIRTIO_MMIO_SIZE, PRIO, &mmio_ops, d, "virtio-mmio", e);
	if (!d->mmio)
		return false;
	mmio_set(d->dev.m, d->mmio, 0, false);
	return true;
}

static void transport_fini(void *dev)
{
	struct virtio_mmio *d = dev;

	if (d->v)
		dev_free(&d->v->pci.dev);
	if (d->bus[0])
		machine_del_backend(d->dev.m, "virtio-bus", d->bus);
	mmio_unmap(d->dev.m, d->mmio);
}

static void transport_reset(void *dev)
{
	struct virtio_mmio *d = dev;

	d->page_size = d->align = 4096;
}

static bool transport_loaded(void *dev, struct err *e)
{
	struct virtio_mmio *d = dev;

	if (!d->page_size || d->page_size & (d->page_size - 1) || !d->align || d->align & (d->align - 1)
	    || d->align > MAX_ALIGN)
		return err_set(e, "the saved page size or alignment is no power of two");
	return true;
}

static const struct state transport_state[] = {
	STATE(virtio_mmio, page_size), STATE(virtio_mmio, align), { 0 }
};
static const struct prop transport_props[] = {
	PROP(BOOL, virtio_mmio, legacy, "force-legacy", 0, "the register layout before version 1"),
	{ 0 }
};

const struct dev_type virtio_mmio_type = {
	.name = "virtio-mmio", .bus = "system", .help = "registers of a virtio device in memory",
	.size = sizeof(struct virtio_mmio), .version = 1, .state = transport_state, .props = transport_props,
	.init = transport_init, .fini = transport_fini, .reset = transport_reset, .loaded = transport_loaded,
};
