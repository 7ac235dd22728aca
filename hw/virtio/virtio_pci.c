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
#include <assert.h>
#include <string.h>

#include "hw/virtio/virtio.h"

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

const struct prop virtio_props[] = {
	PCI_PROPS,
	PROP(BOOL, virtio, disable_legacy, "disable-legacy", 0, "no legacy interface"),
	PROP(BOOL, virtio, disable_modern, "disable-modern", 0, "the legacy interface only"),
	PROP(BOOL, virtio, indirect_desc, "indirect_desc", 1, "offer indirect descriptors"),
	PROP(BOOL, virtio, event_idx, "event_idx", 1, "offer event indices"),
	{ 0 }
};
const struct state virtio_state[] = {
	PCI_STATE,
	STATE(virtio, feature_sel), STATE(virtio, driver_feature_sel), STATE(virtio, features),
	STATE(virtio, config_vector), STATE(virtio, queue_sel), STATE(virtio, status), STATE(virtio, isr),
	STATE(virtio, generation), STATE(virtio, config), STATE(virtio, q), STATE(virtio, left_over),
	STATE_TIMER(virtio, later), { 0 }
};

/* ---- interrupts ---- */

void virtio_signal(struct virtio *v, uint16_t vector, uint8_t isr_bit)
{
	if (pci_msix_enabled(&v->pci)) {
		pci_msix_send(&v->pci, vector);
		return;
	}
	v->isr |= isr_bit;
	pci_set_irq(&v->pci, true);
}

static uint8_t take_isr(struct virtio *v)
{
	uint8_t isr = v->isr;
	v->isr = 0;
	pci_set_irq(&v->pci, false);
	return isr;
}

void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	if (v->status & VIRTIO_DRIVER_OK)
		virtio_signal(v, v->config_vector, VIRTIO_ISR_CONFIG);
}

bool virtio_broken(struct virtio *v, const char *why)
{
	if (v->status & VIRTIO_NEEDS_RESET)
		return false;
	log_guest("%s: the driver broke a rule: %s", v->pci.dev.id, why);
	v->status |= VIRTIO_NEEDS_RESET;
	if (virtio_has(v, VIRTIO_VERSION_1))
		virtio_config_changed(v);
	return false;
}

/* ---- running queues, a bounded time each ---- */

#define MAX_TURNS	VIRTIO_MAX_QUEUE_SIZE
#define MAX_BYTES	(16u << 20)

static void serve_later(struct virtio *v, unsigned q)
{
	v->left_over |= 1u << q;
	timer_mod(&v->later, clock_now(&v->pci.dev.m->clock));
}

void virtio_serve(struct virtio *v, unsigned q, bool (*fn)(struct virtio *v, unsigned q))
{
	uint64_t turns = 0, bytes = 0;
	uint16_t was = v->q[q].used_idx;	/* what is answered later interrupts later */

	virtq_ask(v, q, false);
	do {
		while (turns < MAX_TURNS && bytes < MAX_BYTES && virtq_pop(v, q, &v->buf)) {
			turns++;
			bytes += v->buf.in_len + v->buf.out_len;
			if (!fn(v, q))
				return;
		}
		if (turns == MAX_TURNS || bytes >= MAX_BYTES) {
			serve_later(v, q);
			break;
		}
	} while (virtq_ask(v, q, true));
	if (v->q[q].used_idx != was)
		virtq_interrupt(v, q);
}

void virtio_run(struct virtio *v, unsigned q)
{
	if (v->running || !virtio_running(v) || !v->q[q].enabled)
		return;
	v->running = true;
	v->class->run(v, q);
	v->running = false;
}

static void run_left_over(void *opaque)
{
	struct virtio *v = opaque;
	uint32_t todo = v->left_over;

	v->left_over = 0;
	for (unsigned q = 0; q < v->n_queues; q++)
		if (todo >> q & 1)
			virtio_run(v, q);
}

static void notified(struct virtio *v, unsigned q)
{
	if (q < v->n_queues)
		virtio_run(v, q);
	else
		log_guest("%s: there is no queue %u", v->pci.dev.id, q);
}

/* ---- status and features ---- */

static void reset_state(struct virtio *v)
{
	timer_del(&v->later);
	v->left_over = 0;
	v->feature_sel = v->driver_feature_sel = 0;
	v->features = 0;
	v->config_vector = VIRTIO_NO_VECTOR;
	v->queue_sel = 0;
	v->status = 0;
	v->generation = 0;
	for (unsigned i = 0; i < v->n_queues; i++)
		v->q[i] = (struct virtq){
			.size = v->class->queue_size, .max = v->class->queue_size, .vector = VIRTIO_NO_VECTOR,
		};
	take_isr(v);
	if (v->class->reset)
		v->class->reset(v);
}

/* 3.1.1: FEATURES_OK sticks only if the features make sense together. */
static void status_written(struct virtio *v, uint8_t status)
{
	uint8_t old = v->status;

	if (!status) {
		reset_state(v);
		return;
	}
	if (status & VIRTIO_FEATURES_OK && !(old & VIRTIO_FEATURES_OK) && !virtio_has(v, VIRTIO_VERSION_1))
		status &= (uint8_t)~VIRTIO_FEATURES_OK;
	v->status = status | (old & VIRTIO_NEEDS_RESET);
	if (status & VIRTIO_DRIVER_OK && !(old & VIRTIO_DRIVER_OK) && v->class->started)
		v->class->started(v);
}

/* What each interface may show: legacy drivers see the low half, without what is new. */
static uint64_t offered(const struct virtio *v, bool legacy)
{
	return legacy ? v->offered & 0xffffffffu : v->offered & ~VIRTIO_ANY_LAYOUT;
}

static void accept_features(struct virtio *v, unsigned sel, uint32_t value, bool legacy)
{
	uint64_t half = sel ? 0xffffffffull << 32 : 0xffffffffu;

	if (sel > 1 || v->status & VIRTIO_FEATURES_OK)
		return;
	v->features = (v->features & ~half) | ((uint64_t)value << 32 * sel & offered(v, legacy) & half);
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
	case REG_FEATURE: return feature_half(offered(v, false), v->feature_sel);
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

static void queue_size_written(struct virtio *v, struct virtq *q, uint16_t size)
{
	if (!size || size > q->max || size & (size - 1))
		log_guest("%s: queue size %u", v->pci.dev.id, size);
	else
		q->size = size;
}

static void set_half(uint64_t *field, bool high, uint32_t value)
{
	*field = high ? (*field & 0xffffffffu) | (uint64_t)value << 32 : (*field & ~0xffffffffull) | value;
}

static void queue_write(struct virtio *v, struct virtq *q, unsigned reg, uint32_t value)
{
	if (reg == REG_QUEUE_VECTOR)
		q->vector = checked_vector(v, (uint16_t)value);
	else if (reg == REG_QUEUE_ENABLE)
		q->enabled |= value == 1;
	else if (q->enabled)
		log_guest("%s: a queue is changed while it is enabled", v->pci.dev.id);
	else if (reg == REG_QUEUE_SIZE)
		queue_size_written(v, q, (uint16_t)value);
	else if (reg >= REG_QUEUE_USED)
		set_half(&q->used, reg & 4, value);
	else if (reg >= REG_QUEUE_AVAIL)
		set_half(&q->avail, reg & 4, value);
	else if (reg >= REG_QUEUE_DESC)
		set_half(&q->desc, reg & 4, value);
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
		accept_features(v, v->driver_feature_sel, value, false);
		break;
	case REG_CONFIG_VECTOR:
		v->config_vector = checked_vector(v, (uint16_t)value);
		break;
	case REG_STATUS:
		status_written(v, (uint8_t)value);
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

/* ---- the device's own configuration ---- */

static uint32_t config_read(const struct virtio *v, uint64_t off, int n)
{
	if (off + (unsigned)n > v->class->config_len)
		return (uint32_t)size_mask(n);
	return (uint32_t)ld_n(v->config + off, n);
}

static void config_write(struct virtio *v, uint64_t off, int n, uint32_t value)
{
	if (!v->class->config_written || off + (unsigned)n > v->class->config_len)
		return;
	st_n(v->config + off, n, value);
	v->class->config_written(v, (unsigned)off, (unsigned)n);
}

/* ---- BAR 4 ---- */

static uint64_t modern_read(void *opaque, uint64_t off, int size)
{
	struct virtio *v = opaque;
	uint64_t at = off % PART_SIZE;

	switch (off / PART_SIZE) {
	case 0: return common_read(v, (unsigned)at);
	case 1: return at ? 0 : take_isr(v);
	case 2: return config_read(v, at, size);
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
		config_write(v, at, size, (uint32_t)value);
		break;
	case 3:
		notified(v, (unsigned)(at / NOTIFY_EACH));
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
		return config_read(v, off - legacy_config(v), size);
	switch (off) {
	case OLD_FEATURE: return (uint32_t)offered(v, true);
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

/* 2.7.2: the three parts follow each other, the used ring on a page of its own. */
static void legacy_place(struct virtq *q, uint32_t pfn)
{
	*q = (struct virtq){ .size = q->max, .max = q->max, .vector = q->vector, .enabled = pfn != 0 };
	q->desc = (uint64_t)pfn << 12;
	q->avail = q->desc + 16u * q->size;
	q->used = align_up(q->avail + 4 + 2u * q->size + 2, 4096);
}

static void legacy_write(void *opaque, uint16_t off, int size, uint32_t value)
{
	struct virtio *v = opaque;
	struct virtq *q = selected(v);

	if (off >= legacy_config(v)) {
		config_write(v, off - legacy_config(v), size, value);
		return;
	}
	switch (off) {
	case OLD_DRIVER_FEATURE:
		accept_features(v, 0, value, true);
		break;
	case OLD_QUEUE_PFN:
		if (q)
			legacy_place(q, value);
		break;
	case OLD_QUEUE_SEL:
		v->queue_sel = (uint16_t)value;
		break;
	case OLD_NOTIFY:
		notified(v, value & 0xffff);
		break;
	case OLD_STATUS:
		status_written(v, (uint8_t)value);
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

bool virtio_init(struct virtio *v, const struct virtio_class *c, uint64_t more_features, struct err *e)
{
	if (!v->n_queues)
		v->n_queues = c->n_queues;
	assert(v->n_queues <= VIRTIO_MAX_QUEUES && c->config_len <= VIRTIO_CONFIG_SIZE);
	v->class = c;
	v->offered = c->features | more_features | VIRTIO_ANY_LAYOUT
		| (v->disable_modern ? 0 : VIRTIO_VERSION_1)
		| (v->indirect_desc ? VIRTIO_INDIRECT_DESC : 0) | (v->event_idx ? VIRTIO_EVENT_IDX : 0);
	timer_init(&v->later, &v->pci.dev.m->clock, run_left_over, v);
	if (v->disable_legacy && v->disable_modern)
		return err_set(e, "disable-legacy and disable-modern leave no interface");
	/* Behind a PCI Express port I/O space is scarce: no legacy interface there. */
	bool port = v->pci.parent && v->pci.parent->bridge;
	v->disable_legacy |= port && !v->disable_modern;
	struct pci_ids ids = ids_of(v);
	if (!pci_attach(&v->pci, &ids, e))
		return false;
	if (port && v->pci.bus->express)
		pci_add_express(&v->pci, PCI_EXP_ENDPOINT);
	if (!v->disable_legacy && !pci_bar_io(&v->pci, BAR_LEGACY, LEGACY_SIZE, &legacy_ops, v, e))
		return false;
	if (!pci_add_msix(&v->pci, BAR_MSIX, v->n_queues + 1, e))
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

void virtio_fini(struct virtio *v)
{
	timer_del(&v->later);
	pci_detach(&v->pci);
}

void virtio_reset(struct virtio *v)
{
	pci_reset(&v->pci);
	reset_state(v);
}

/* Saved queues come from a file: what indexes with them must fit. */
static bool queue_is_sane(const struct virtq *q, const struct virtio_class *c)
{
	return q->size && q->size <= q->max && q->max == c->queue_size && !(q->size & (q->size - 1));
}

bool virtio_loaded(struct virtio *v, struct err *e)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		if (!queue_is_sane(&v->q[i], v->class))
			return err_set(e, "queue %u of the saved state is damaged", i);
	v->features &= v->offered;
	return pci_loaded(&v->pci);
}
