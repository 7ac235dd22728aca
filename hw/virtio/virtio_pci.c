/*
 * Virtio over PCI: the registers a driver finds a device by.
 *
 *	BAR 0  I/O      the registers of the legacy interface (transitional devices)
 *	BAR 1  memory   MSI-X table
 *	BAR 4  memory   0x0000 common configuration, 0x1000 ISR, 0x2000 the device's own
 *	                configuration, 0x3000 notifications (four bytes a queue)
 *
 * Capabilities in configuration space say where the parts of BAR 4 are; a last one is
 * a window through which they can be reached without any BAR.
 *
 * Not modelled: shared memory regions, queue reset, notification data.
 * Source: Virtio 1.2, 2.1-2.5, 4.1 (PCI), 4.1.4.10 and 2.7.3 (legacy).
 */
#include "hw/virtio/virtio_transport.h"

#define VENDOR		0x1af4
#define MODERN_DEVICE	0x1040

#define CAP_VENDOR	0x09
enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };
#define CAP_BAR		4		/* offsets in a capability: 4.1.4 */
#define CAP_OFFSET	8
#define CAP_LENGTH	12
#define CAP_EXTRA	16		/* notify multiplier, or the window's data */

#define BAR_LEGACY	0
#define BAR_MSIX	1
#define BAR_MODERN	4
#define PART_SIZE	0x1000u
#define COMMON_LEN	0x38u
#define NOTIFY_EACH	4u
#define LEGACY_SIZE	128u

/* ---- interrupts ---- */

static void signal_driver(struct virtio *v, uint16_t vector, uint8_t isr_bit)
{
	if (pci_msix_enabled(&v->pci)) {
		pci_msix_send(&v->pci, vector);
		return;
	}
	v->isr |= isr_bit;
	pci_set_irq(&v->pci, true);
}

static void quiet(struct virtio *v)
{
	pci_set_irq(&v->pci, false);
}

static uint8_t take_isr(struct virtio *v)
{
	uint8_t isr = v->isr;
	v->isr = 0;
	quiet(v);
	return isr;
}

/* ---- common configuration ---- */

/* 4.1.4.3 */
enum {
	REG_FEATURE_SEL = 0x00, REG_FEATURE = 0x04, REG_DRIVER_FEATURE_SEL = 0x08, REG_DRIVER_FEATURE = 0x0c,
	REG_CONFIG_VECTOR = 0x10, REG_NUM_QUEUES = 0x12, REG_STATUS = 0x14, REG_GENERATION = 0x15,
	REG_QUEUE_SEL = 0x16, REG_QUEUE_SIZE = 0x18, REG_QUEUE_VECTOR = 0x1a, REG_QUEUE_ENABLE = 0x1c,
	REG_QUEUE_NOTIFY_OFF = 0x1e, REG_QUEUE_DESC = 0x20, REG_QUEUE_AVAIL = 0x28, REG_QUEUE_USED = 0x30,
};

static struct virtq *selected(struct virtio *v)
{
	return v->queue_sel < v->n_queues ? &v->q[v->queue_sel] : NULL;
}

static uint16_t checked_vector(const struct virtio *v, uint16_t vector)
{
	return vector < pci_msix_vectors(&v->pci) ? vector : VIRTIO_NO_VECTOR;
}

static uint32_t feature_half(uint64_t features, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(features >> 32 * sel);
}

static uint32_t queue_read(const struct virtq *q, const struct virtio *v, unsigned reg)
{
	switch (reg) {
	case REG_QUEUE_SIZE: return q->size;
	case REG_QUEUE_VECTOR: return q->vector;
	case REG_QUEUE_ENABLE: return q->enabled;
	case REG_QUEUE_NOTIFY_OFF: return v->queue_sel;
	case REG_QUEUE_DESC: return (uint32_t)q->desc;
	case REG_QUEUE_DESC + 4: return (uint32_t)(q->desc >> 32);
	case REG_QUEUE_AVAIL: return (uint32_t)q->avail;
	case REG_QUEUE_AVAIL + 4: return (uint32_t)(q->avail >> 32);
	case REG_QUEUE_USED: return (uint32_t)q->used;
	case REG_QUEUE_USED + 4: return (uint32_t)(q->used >> 32);
	default: return 0;
	}
}

static uint32_t common_read(struct virtio *v, unsigned reg)
{
	const struct virtq *q = selected(v);

	switch (reg) {
	case REG_FEATURE_SEL: return v->feature_sel;
	case REG_FEATURE: return feature_half(virtio_offered(v, false), v->feature_sel);
	case REG_DRIVER_FEATURE_SEL: return v->driver_feature_sel;
	case REG_DRIVER_FEATURE: return feature_half(v->features, v->driver_feature_sel);
	case REG_CONFIG_VECTOR: return v->config_vector;
	case REG_NUM_QUEUES: return v->n_queues;
	case REG_STATUS: return v->status;
	case REG_GENERATION: return v->generation;
	case REG_QUEUE_SEL: return v->queue_sel;
	default: return q ? queue_read(q, v, reg) : 0;
	}
}

static void queue_write(struct virtio *v, struct virtq *q, unsigned reg, uint32_t value)
{
	if (reg == REG_QUEUE_VECTOR)
		q->vector = checked_vector(v, (uint16_t)value);
	else if (reg == REG_QUEUE_ENABLE && value == 1)
		virtio_enable_queue(v, q);
	else if (reg == REG_QUEUE_ENABLE)
		log_guest("%s: a queue is disabled by writing %u", v->pci.dev.id, value);
	else if (q->enabled)
		log_guest("%s: a queue is changed while it is enabled", v->pci.dev.id);
	else if (reg == REG_QUEUE_SIZE)
		virtio_set_queue_size(v, q, (uint16_t)value);
	else if (reg >= REG_QUEUE_USED)
		virtio_set_half(&q->used, reg & 4, value);
	else if (reg >= REG_QUEUE_AVAIL)
		virtio_set_half(&q->avail, reg & 4, value);
	else if (reg >= REG_QUEUE_DESC)
		virtio_set_half(&q->desc, reg & 4, value);
}

static void common_write(struct virtio *v, unsigned reg, uint32_t value)
{
	struct virtq *q = selected(v);

	switch (reg) {
	case REG_FEATURE_SEL:
		v->feature_sel = value;
		break;
	case REG_DRIVER_FEATURE_SEL:
		v->driver_feature_sel = value;
		break;
	case REG_DRIVER_FEATURE:
		virtio_accept(v, v->driver_feature_sel, value, false);
		break;
	case REG_CONFIG_VECTOR:
		v->config_vector = checked_vector(v, (uint16_t)value);
		break;
	case REG_STATUS:
		virtio_set_status(v, (uint8_t)value);
		break;
	case REG_QUEUE_SEL:
		v->queue_sel = (uint16_t)value;
		break;
	default:
		if (q)
			queue_write(v, q, reg, value);
		break;
	}
}

/* ---- BAR 4 ---- */

static uint64_t modern_read(void *opaque, uint64_t off, int size)
{
	struct virtio *v = opaque;
	uint64_t at = off % PART_SIZE;

	switch (off / PART_SIZE) {
	case 0: return common_read(v, (unsigned)at);
	case 1: return at ? 0 : take_isr(v);
	case 2: return virtio_config_read(v, at, size);
	default: return 0;
	}
}

static void modern_write(void *opaque, uint64_t off, int size, uint64_t value)
{
	struct virtio *v = opaque;
	uint64_t at = off % PART_SIZE;

	switch (off / PART_SIZE) {
	case 0:
		common_write(v, (unsigned)at, (uint32_t)value);
		break;
	case 2:
		virtio_config_write(v, at, size, (uint32_t)value);
		break;
	case 3:
		virtio_notified(v, (unsigned)(at / NOTIFY_EACH));
		break;
	default:
		break;
	}
}

static const struct mmio_ops modern_ops = { modern_read, modern_write, 4 };

/* ---- BAR 0: the legacy interface ---- */

/* 4.1.4.10; vectors are there only while MSI-X is enabled. */
enum {
	OLD_FEATURE = 0, OLD_DRIVER_FEATURE = 4, OLD_QUEUE_PFN = 8, OLD_QUEUE_SIZE = 12, OLD_QUEUE_SEL = 14,
	OLD_NOTIFY = 16, OLD_STATUS = 18, OLD_ISR = 19, OLD_CONFIG_VECTOR = 20, OLD_QUEUE_VECTOR = 22,
};

static unsigned legacy_config(const struct virtio *v)
{
	return pci_msix_enabled(&v->pci) ? 24 : 20;
}

static uint32_t legacy_read(void *opaque, uint16_t off, int size)
{
	struct virtio *v = opaque;
	const struct virtq *q = selected(v);

	if (off >= legacy_config(v))
		return virtio_config_read(v, off - legacy_config(v), size);
	switch (off) {
	case OLD_FEATURE: return (uint32_t)virtio_offered(v, true);
	case OLD_DRIVER_FEATURE: return (uint32_t)v->features;
	case OLD_QUEUE_PFN: return q && q->enabled ? (uint32_t)(q->desc >> 12) : 0;
	case OLD_QUEUE_SIZE: return q ? q->max : 0;
	case OLD_QUEUE_SEL: return v->queue_sel;
	case OLD_STATUS: return v->status;
	case OLD_ISR: return take_isr(v);
	case OLD_CONFIG_VECTOR: return v->config_vector;
	case OLD_QUEUE_VECTOR: return q ? q->vector : VIRTIO_NO_VECTOR;
	default: return 0;
	}
}

/* The queue is as long as the device says. */
static void legacy_place(struct virtq *q, uint32_t pfn)
{
	q->size = q->max;
	virtio_legacy_place(q, (uint64_t)pfn << 12, 4096);
}

static void legacy_write(void *opaque, uint16_t off, int size, uint32_t value)
{
	struct virtio *v = opaque;
	struct virtq *q = selected(v);

	if (off >= legacy_config(v)) {
		virtio_config_write(v, off - legacy_config(v), size, value);
		return;
	}
	switch (off) {
	case OLD_DRIVER_FEATURE:
		virtio_accept(v, 0, value, true);
		break;
	case OLD_QUEUE_PFN:
		if (q)
			legacy_place(q, value);
		break;
	case OLD_QUEUE_SEL:
		v->queue_sel = (uint16_t)value;
		break;
	case OLD_NOTIFY:
		virtio_notified(v, value & 0xffff);
		break;
	case OLD_STATUS:
		virtio_set_status(v, (uint8_t)value);
		break;
	case OLD_CONFIG_VECTOR:
		v->config_vector = checked_vector(v, (uint16_t)value);
		break;
	case OLD_QUEUE_VECTOR:
		if (q)
			q->vector = checked_vector(v, (uint16_t)value);
		break;
	default:
		break;
	}
}

static const struct port_ops legacy_ops = { legacy_read, legacy_write, 4, 1 };

/* ---- capabilities ---- */

static uint8_t add_part(struct virtio *v, uint8_t type, uint32_t offset, uint32_t length, uint8_t extra)
{
	struct pci_dev *p = &v->pci;
	uint8_t n = (uint8_t)(CAP_EXTRA + extra), at = pci_add_cap(p, CAP_VENDOR, n);

	pci_set_config(p, at + 2u, 1, n, 0);
	pci_set_config(p, at + 3u, 1, type, 0);
	pci_set_config(p, at + CAP_BAR, 1, BAR_MODERN, 0);
	pci_set_config(p, at + CAP_OFFSET, 4, offset, 0);
	pci_set_config(p, at + CAP_LENGTH, 4, length, 0);
	return at;
}

static void add_parts(struct virtio *v)
{
	struct pci_dev *p = &v->pci;
	uint8_t at;

	add_part(v, CFG_COMMON, 0, COMMON_LEN, 0);
	add_part(v, CFG_ISR, PART_SIZE, 1, 0);
	if (v->class->config_len)
		add_part(v, CFG_DEVICE, 2 * PART_SIZE, v->class->config_len, 0);
	at = add_part(v, CFG_NOTIFY, 3 * PART_SIZE, NOTIFY_EACH * v->n_queues, 4);
	pci_set_config(p, at + CAP_EXTRA, 4, NOTIFY_EACH, 0);
	at = add_part(v, CFG_PCI, 0, 0, 4);
	pci_set_config(p, at + CAP_BAR, 1, 0, 0xff);
	pci_set_config(p, at + CAP_OFFSET, 4, 0, 0xffffffff);
	pci_set_config(p, at + CAP_LENGTH, 4, 0, 0xffffffff);
	pci_set_config(p, at + CAP_EXTRA, 4, 0, 0xffffffff);
	v->cap_cfg = at;
}

/* 4.1.4.9: does the access touch the window's data, and is what it looks at a register of BAR 4? */
static bool window(const struct virtio *v, unsigned off, int n, uint32_t *at, int *len)
{
	const uint8_t *c = v->pci.config + v->cap_cfg;
	unsigned data = v->cap_cfg + CAP_EXTRA;

	if (!v->cap_cfg || off >= data + 4 || off + (unsigned)n <= data)
		return false;
	*at = ld32(c + CAP_OFFSET);
	*len = (int)ld32(c + CAP_LENGTH);
	return c[CAP_BAR] == BAR_MODERN && (*len == 1 || *len == 2 || *len == 4)
		&& *at < 4 * PART_SIZE && !(*at & ((unsigned)*len - 1));
}

static void window_read(struct pci_dev *p, unsigned off, int n)
{
	struct virtio *v = (struct virtio *)p;
	uint32_t at;
	int len;

	if (window(v, off, n, &at, &len))
		st_n(p->config + v->cap_cfg + CAP_EXTRA, len, modern_read(v, at, len));
}

static void window_written(struct pci_dev *p, unsigned off, int n)
{
	struct virtio *v = (struct virtio *)p;
	uint32_t at;
	int len;

	if (window(v, off, n, &at, &len))
		modern_write(v, at, len, ld_n(p->config + v->cap_cfg + CAP_EXTRA, len));
}

/* ---- life ---- */

static struct pci_ids ids_of(const struct virtio *v)
{
	const struct virtio_class *c = v->class;
	bool legacy = !v->disable_legacy;

	return (struct pci_ids){
		.vendor = VENDOR, .device = legacy ? c->legacy_id : MODERN_DEVICE + c->id,
		.subvendor = VENDOR, .subdevice = legacy ? c->id : 0x1100,
		.class = c->pci_class, .revision = legacy ? 0 : 1, .int_pin = 1,
	};
}

/* One a queue and one for the configuration, as far as there may be so many. */
static unsigned n_vectors(const struct virtio *v)
{
	return v->vectors != VIRTIO_ANY_VECTORS ? v->vectors : (unsigned)min_u64(v->n_queues + 1, PCI_MSIX_MAX);
}

static bool init(struct virtio *v, struct err *e)
{
	/* Behind a PCI Express port I/O space is scarce: no legacy interface there. */
	bool port = v->pci.parent && v->pci.parent->bridge;

	v->disable_legacy |= !v->class->legacy_id;
	if (v->disable_legacy && v->disable_modern)
		return err_set(e, "disable-legacy and disable-modern leave no interface");
	if (v->vectors != VIRTIO_ANY_VECTORS && v->vectors > PCI_MSIX_MAX)
		return err_set(e, "vectors=%u: there may be 0 to %d", v->vectors, PCI_MSIX_MAX);
	v->disable_legacy |= port && !v->disable_modern;
	struct pci_ids ids = ids_of(v);
	if (!pci_attach(&v->pci, &ids, e))
		return false;
	if (port && v->pci.bus->express)
		pci_add_express(&v->pci, PCI_EXP_ENDPOINT);
	if (!v->disable_legacy && !pci_bar_io(&v->pci, BAR_LEGACY, LEGACY_SIZE, &legacy_ops, v, e))
		return false;
	if (v->vectors && !pci_add_msix(&v->pci, BAR_MSIX, n_vectors(v), e))
		return false;
	if (v->disable_modern)
		return true;
	if (!pci_bar_mmio(&v->pci, BAR_MODERN, 4 * PART_SIZE, &modern_ops, v, e))
		return false;
	add_parts(v);
	v->pci.config_read = window_read;
	v->pci.config_written = window_written;
	return true;
}

static void fini(struct virtio *v)
{
	pci_detach(&v->pci);
}

static void reset(struct virtio *v)
{
	pci_reset(&v->pci);
}

static bool loaded(struct virtio *v, struct err *e)
{
	(void)e;
	return pci_loaded(&v->pci);
}

static bool may_dma(const struct virtio *v)
{
	return pci_command(&v->pci) & PCI_CMD_MASTER;
}

const struct virtio_transport virtio_pci_transport = {
	init, fini, reset, loaded, signal_driver, quiet, may_dma,
};
