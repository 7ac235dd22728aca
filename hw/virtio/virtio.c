/*
 * Virtio devices, whatever they are reached by: status and features as the driver
 * negotiates them, queues that are served for a bounded time, the device's own
 * configuration. Registers are in virtio_pci.c and virtio_mmio.c.
 *
 * Source: Virtio 1.2, 2.1-2.5, 3.1 (initialisation), 2.7.2 (legacy layout).
 */
#include <assert.h>
#include <string.h>

#include "hw/virtio/virtio_transport.h"

#define VIRTIO_SAVED \
	STATE(virtio, feature_sel), STATE(virtio, driver_feature_sel), STATE(virtio, features), \
	STATE(virtio, config_vector), STATE(virtio, queue_sel), STATE(virtio, status), STATE(virtio, isr), \
	STATE(virtio, generation), STATE(virtio, left_over), STATE_TIMER(virtio, later), \
	STATE(virtio, config), STATE(virtio, q)
#define VIRTIO_PROPS \
	PROP(BOOL, virtio, indirect_desc, "indirect_desc", 1, "offer indirect descriptors"), \
	PROP(BOOL, virtio, event_idx, "event_idx", 1, "offer event indices"), \
	PROP(BOOL, virtio, packed, "packed", 0, "offer packed rings")

const struct prop virtio_props[] = {
	PCI_PROPS,
	PROP(BOOL, virtio, disable_legacy, "disable-legacy", 0, "no legacy interface"),
	PROP(BOOL, virtio, disable_modern, "disable-modern", 0, "the legacy interface only"),
	PROP(U32, virtio, vectors, "vectors", VIRTIO_ANY_VECTORS, "how many MSI-X vectors, 0 to 32; default: one a queue and one more"),
	VIRTIO_PROPS, { 0 }
};
const struct state virtio_state[] = {
	PCI_STATE, VIRTIO_SAVED, { 0 }
};
const struct prop virtio_bus_props[] = {
	PROP_REF("virtio-bus", virtio, slot, "bus", "virtio-mmio-bus.N; default: the first free one"),
	VIRTIO_PROPS, { 0 }
};
const struct state virtio_bus_state[] = {
	VIRTIO_SAVED, { 0 }
};

/* ---- interrupts ---- */

void virtio_signal(struct virtio *v, uint16_t vector, uint8_t isr_bit)
{
	if (trace_on(v->pci.dev.m))
		trace_point(v->pci.dev.m, v->pci.dev.id, NULL, "signal", "%s vector %u",
			    isr_bit == VIRTIO_ISR_CONFIG ? "configuration" : "queue", vector);
	v->transport->signal(v, vector, isr_bit);
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
#define MAX_EXTRA	(1u << 14)

void virtio_serve_later(struct virtio *v, unsigned q)
{
	v->left_over |= BIT(q);
	timer_mod(&v->later, clock_now(&v->pci.dev.m->clock));
}

void virtio_serve(struct virtio *v, unsigned q, bool (*fn)(struct virtio *v, unsigned q))
{
	uint64_t turns = 0, bytes = 0;
	bool more = true;

	v->shown &= ~BIT(q);			/* what is answered later interrupts later */
	v->extra = 0;
	virtq_ask(v, q, false);
	do {
		while (turns < MAX_TURNS && bytes < MAX_BYTES && v->extra < MAX_EXTRA && more && virtq_pop(v, q, &v->buf)) {
			turns++;
			bytes += v->buf.in_len + v->buf.out_len;
			more = fn(v, q);
		}
		if (turns == MAX_TURNS || bytes >= MAX_BYTES || v->extra >= MAX_EXTRA) {
			virtio_serve_later(v, q);
			break;
		}
	} while (more && virtq_ask(v, q, true));
	if (v->shown & BIT(q))
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
	uint64_t todo = v->left_over;

	v->left_over = 0;
	for (unsigned q = 0; q < v->n_queues; q++)
		if (todo >> q & 1)
			virtio_run(v, q);
}

void virtio_notified(struct virtio *v, unsigned q)
{
	if (trace_on(v->pci.dev.m))
		trace_point(v->pci.dev.m, v->pci.dev.id, NULL, "notify", "queue %u", q);
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
	v->isr = 0;
	v->transport->quiet(v);
	if (v->class->reset)
		v->class->reset(v);
}

static void trace_names(struct machine *m, struct trace_names *l)
{
	static const char *const what[] = { "notify", "signal", "status" };

	for (const struct dev *d = m->devs; d; d = d->next)
		if (d->type->bus_props == virtio_props || d->type->bus_props == virtio_bus_props)
			for (size_t i = 0; i < ARRAY_LEN(what); i++)
				trace_name(l, d->id, NULL, what[i]);
}

/* 3.1.1: FEATURES_OK sticks only if the features make sense together, and without it a driver of version 1 is not ready. */
void virtio_set_status(struct virtio *v, uint8_t status)
{
	uint8_t old = v->status;

	if (trace_on(v->pci.dev.m))
		trace_point(v->pci.dev.m, v->pci.dev.id, NULL, "status", "0x%02x features 0x%" PRIx64, status, v->features);
	if (!status) {
		reset_state(v);
		return;
	}
	if (status & VIRTIO_FEATURES_OK && !(old & VIRTIO_FEATURES_OK) && !virtio_has(v, VIRTIO_VERSION_1))
		status &= (uint8_t)~VIRTIO_FEATURES_OK;
	if (status & VIRTIO_DRIVER_OK && !(status & VIRTIO_FEATURES_OK) && virtio_has(v, VIRTIO_VERSION_1)) {
		log_guest("%s: DRIVER_OK without FEATURES_OK", v->pci.dev.id);
		status &= (uint8_t)~VIRTIO_DRIVER_OK;
	}
	v->status = status | (old & VIRTIO_NEEDS_RESET);
	if (status & VIRTIO_DRIVER_OK && !(old & VIRTIO_DRIVER_OK) && v->class->started)
		v->class->started(v);
}

/* What each interface may show: legacy drivers see the low half, without what is new. */
uint64_t virtio_offered(const struct virtio *v, bool legacy)
{
	return legacy ? v->offered & 0xffffffffu : v->offered & ~VIRTIO_ANY_LAYOUT;
}

void virtio_accept(struct virtio *v, unsigned sel, uint32_t value, bool legacy)
{
	uint64_t half = sel ? 0xffffffffull << 32 : 0xffffffffu;

	if (sel > 1 || v->status & VIRTIO_FEATURES_OK)
		return;
	v->features = (v->features & ~half) | ((uint64_t)value << 32 * sel & virtio_offered(v, legacy) & half);
}

/* ---- queues ---- */

void virtio_set_queue_size(struct virtio *v, struct virtq *q, uint16_t size)
{
	if (!size || size > q->max || (size & (size - 1) && !virtio_has(v, VIRTIO_RING_PACKED)))
		log_guest("%s: queue size %u", v->pci.dev.id, size);
	else
		q->size = size;
}

/* 2.8.1: both wrap counters of a packed ring begin with 1. */
void virtio_enable_queue(struct virtio *v, struct virtq *q)
{
	if (q->enabled)
		return;
	q->last_avail = q->used_idx = virtio_has(v, VIRTIO_RING_PACKED) ? VIRTQ_WRAP : 0;
	q->enabled = 1;
}

/* 2.7.2: the three parts follow each other, the used ring on a page of its own. */
void virtio_legacy_place(struct virtq *q, uint64_t desc, uint32_t align)
{
	*q = (struct virtq){ .size = q->size, .max = q->max, .vector = q->vector, .enabled = desc != 0 };
	q->desc = desc;
	q->avail = q->desc + 16u * q->size;
	q->used = align_up(q->avail + 4 + 2u * q->size + 2, align);
}

/* ---- the device's own configuration ---- */

uint32_t virtio_config_read(const struct virtio *v, uint64_t off, int n)
{
	if (off + (unsigned)n > v->class->config_len)
		return (uint32_t)size_mask(n);
	return (uint32_t)ld_n(v->config + off, n);
}

void virtio_config_write(struct virtio *v, uint64_t off, int n, uint32_t value)
{
	if (!v->class->config_written || off < v->class->config_writable || off + (unsigned)n > v->class->config_len)
		return;
	st_n(v->config + off, n, value);
	v->class->config_written(v, (unsigned)off, (unsigned)n);
}

/* ---- life ---- */

bool virtio_init(struct virtio *v, const struct virtio_class *c, uint64_t more_features, struct err *e)
{
	bool pci = !strcmp(v->pci.dev.type->bus, "pci");

	if (!v->n_queues)
		v->n_queues = c->n_queues;
	assert(v->n_queues <= VIRTIO_MAX_QUEUES && c->config_len <= VIRTIO_CONFIG_SIZE);
	v->class = c;
	v->transport = pci ? &virtio_pci_transport : &virtio_mmio_transport;
	v->offered = c->features | more_features | VIRTIO_ANY_LAYOUT
		| (v->disable_modern ? 0 : VIRTIO_VERSION_1 | (v->packed ? VIRTIO_RING_PACKED : 0))
		| (v->indirect_desc ? VIRTIO_INDIRECT_DESC : 0) | (v->event_idx ? VIRTIO_EVENT_IDX : 0);
	timer_init(&v->later, &v->pci.dev.m->clock, run_left_over, v);
	trace_add_source(v->pci.dev.m, trace_names);
	return v->transport->init(v, e);
}

void virtio_fini(struct virtio *v)
{
	timer_del(&v->later);
	if (v->transport)
		v->transport->fini(v);
}

void virtio_reset(struct virtio *v)
{
	v->transport->reset(v);
	reset_state(v);
}

/* Saved queues come from a file: what indexes with them must fit. */
static bool queue_is_sane(const struct virtio *v, const struct virtq *q)
{
	if (!q->size || q->size > q->max || q->max != v->class->queue_size)
		return false;
	if (!virtio_has(v, VIRTIO_RING_PACKED))
		return !(q->size & (q->size - 1));
	return (q->last_avail & ~VIRTQ_WRAP) < q->size && (q->used_idx & ~VIRTQ_WRAP) < q->size
		&& (q->signalled & ~VIRTQ_WRAP) < q->size;
}

bool virtio_loaded(struct virtio *v, struct err *e)
{
	v->features &= v->offered;
	for (unsigned i = 0; i < v->n_queues; i++)
		if (!queue_is_sane(v, &v->q[i]))
			return err_set(e, "queue %u of the saved state is damaged", i);
	return v->transport->loaded(v, e);
}
