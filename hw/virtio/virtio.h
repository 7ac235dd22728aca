/*
 * Virtio devices: what a device class (blk, net, rng, ...) sees.
 *
 * A device embeds struct virtio first, names virtio_props and virtio_state in
 * its dev_type, and in its init calls virtio_init() with its virtio_class. The
 * transports (virtio_pci.c, virtio_mmio.c) do registers and interrupts; the rings
 * (virtq.c) turn what the driver offers into struct vbuf and back:
 *
 *	class->run(v, q)		the driver has notified queue q, or work was left over:
 *	    virtio_serve(v, q, fn)	fn(v, q) for every buffer, popped into v->buf
 *		vbuf_read() vbuf_write()
 *		virtq_push(v, q, &v->buf, bytes written)
 *
 * The driver is not trusted. Rings and buffers must lie in RAM; a ring that breaks
 * the rules makes the device ask for a reset (virtio_broken) and rest until then.
 * One call of run() does a bounded amount of work; what is left goes on from the
 * main loop, so that no guest can keep the machine lock.
 *
 * Everything runs under the machine lock.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, OASIS, July 2022.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "hw/pci/pci.h"

/* 2.1 device status */
#define VIRTIO_DRIVER_OK	0x04u
#define VIRTIO_FEATURES_OK	0x08u
#define VIRTIO_NEEDS_RESET	0x40u

/* 6 reserved feature bits */
#define VIRTIO_ANY_LAYOUT	BIT(27)		/* legacy only */
#define VIRTIO_INDIRECT_DESC	BIT(28)
#define VIRTIO_EVENT_IDX	BIT(29)
#define VIRTIO_VERSION_1	BIT(32)
#define VIRTIO_RING_PACKED	BIT(34)

#define VIRTIO_MAX_QUEUES	64
#define VIRTIO_MAX_QUEUE_SIZE	1024u
#define VIRTIO_CONFIG_SIZE	256u
#define VIRTIO_NO_VECTOR	0xffffu
#define VIRTIO_ANY_VECTORS	0xffffffffu
#define VBUF_MAX_SEGS		1024u
#define VIRTQ_WRAP		0x8000u

/*
 * One queue: what the driver set, and how far the device is. Saved whole: no padding. Places
 * are indices modulo 65536 of a split ring; of a packed one, an entry's number and in bit 15
 * the wrap counter.
 */
struct virtq {
	uint64_t desc, avail, used;	/* guest addresses of the three parts; packed: the ring, and both sides' wishes */
	uint16_t size, max;		/* entries: chosen by the driver, and at most */
	uint16_t enabled;
	uint16_t vector;
	uint16_t last_avail;		/* next entry of the avail ring to take */
	uint16_t used_idx;		/* next entry of the used ring to fill */
	uint16_t signalled;		/* used_idx when the driver was last told */
	uint16_t told_once;		/* `signalled` is valid */
};

/* What gives a buffer back. */
struct vbuf_head {
	uint16_t id;
	uint16_t n;			/* descriptors it takes in the ring */
};

/* What a driver put into the queue: buffers to be read by the device, then buffers to be written. */
struct vbuf {
	struct vbuf_head head;
	unsigned n_out, n_in;		/* segments, out ones first */
	uint64_t out_len, in_len;	/* bytes */
	struct { uint64_t pa; uint32_t len; } seg[VBUF_MAX_SEGS];
};

struct virtio;
struct virtio_mmio;
struct virtio_transport;

/* What makes a device this kind of device. */
struct virtio_class {
	uint16_t id;			/* 5: device type */
	uint16_t legacy_id;		/* PCI device id of the transitional device; 0: there is none */
	uint32_t pci_class;
	uint64_t features;		/* of this class */
	unsigned n_queues;
	uint16_t queue_size;
	uint16_t config_len;		/* bytes of v->config that exist */
	uint16_t config_writable;	/* the first one that the driver may write, with config_written */
	void (*run)(struct virtio *v, unsigned q);
	void (*reset)(struct virtio *v);	/* may be NULL */
	/* The driver wrote v->config[off..off+n): values are in. NULL: it is read-only. */
	void (*config_written)(struct virtio *v, unsigned off, unsigned n);
	/* DRIVER_OK was just set; may be NULL. */
	void (*started)(struct virtio *v);
};

struct virtio {
	struct pci_dev pci;		/* of devices that are reached otherwise only pci.dev is used */
	const struct virtio_class *class;
	const struct virtio_transport *transport;
	struct virtio_mmio *slot;	/* property of virtio-bus devices: the transport it is at */
	bool disable_legacy, disable_modern;	/* properties */
	bool indirect_desc, event_idx, packed;	/* properties */
	uint32_t vectors;			/* property: of MSI-X */
	unsigned n_queues;			/* set before virtio_init(), or the class's */
	uint64_t offered;			/* features */

	/* the common configuration, as the driver sees it */
	uint32_t feature_sel, driver_feature_sel;
	uint64_t features;			/* accepted by the driver */
	uint16_t config_vector, queue_sel;
	uint8_t status, isr, generation;
	uint8_t config[VIRTIO_CONFIG_SIZE];	/* 2.5: device-specific, little-endian */
	struct virtq q[VIRTIO_MAX_QUEUES];

	uint64_t left_over;			/* queues with work for the timer */
	struct timer later;
	bool running;				/* a queue is being served */
	unsigned extra;				/* things its buffers had done that are many for one buffer: frames, .. */
	uint64_t shown;				/* queues that something was given back in */
	struct {				/* by virtq_fill() of a packed ring, for virtq_show() */
		struct vbuf_head head;
		uint32_t len;
	} filled[VIRTIO_MAX_QUEUE_SIZE];
	uint8_t cap_cfg;			/* offset of the PCI configuration access capability */
	struct vbuf buf;			/* scratch for run() */
};

/* Of devices on PCI; of devices at a virtio-mmio transport (their bus is "virtio-bus"). */
extern const struct prop virtio_props[], virtio_bus_props[];
extern const struct state virtio_state[], virtio_bus_state[];

/* ---- life: called by the device's functions of the same names ---- */

/* Storage is zeroed but for properties; v->config is filled by the device. */
bool virtio_init(struct virtio *v, const struct virtio_class *c, uint64_t more_features, struct err *e);
void virtio_fini(struct virtio *v);
void virtio_reset(struct virtio *v);
bool virtio_loaded(struct virtio *v, struct err *e);

static inline bool virtio_has(const struct virtio *v, uint64_t feature)
{
	return v->features & feature;
}
static inline bool virtio_running(const struct virtio *v)
{
	return v->status & VIRTIO_DRIVER_OK && !(v->status & VIRTIO_NEEDS_RESET);
}
/* v->config was changed by the device: tell the driver. */
void virtio_config_changed(struct virtio *v);
/* The driver broke the rules: nothing moves until it resets the device. Returns false. */
bool virtio_broken(struct virtio *v, const char *why);
/* Serve a queue, unless it is being served (the driver's notification, new input). */
void virtio_run(struct virtio *v, unsigned q);
/*
 * Pop what waits in q and call fn for each; false from fn ends it, and asks for no notification. Inside class->run().
 * If one buffer can mean a lot of work fn counts it in v->extra.
 */
void virtio_serve(struct virtio *v, unsigned q, bool (*fn)(struct virtio *v, unsigned q));
/* The main loop is to run q soon. */
void virtio_serve_later(struct virtio *v, unsigned q);

/* ---- queues ---- */

/* Take the next buffer. False: there is none, or the ring is broken. */
bool virtq_pop(struct virtio *v, unsigned q, struct vbuf *b);
/* Put the last popped buffer back; popping gives it again. */
void virtq_unpop(struct virtio *v, unsigned q, const struct vbuf *b);
/* Where popping stands; back to there. */
static inline uint16_t virtq_place(const struct virtio *v, unsigned q)
{
	return v->q[q].last_avail;
}
static inline void virtq_rewind(struct virtio *v, unsigned q, uint16_t place)
{
	v->q[q].last_avail = place;
}
/* Done with it; n bytes of its in part were written. */
void virtq_push(struct virtio *v, unsigned q, const struct vbuf *b, uint32_t n);
/* The same for a buffer of which only the head was kept. */
void virtq_push_head(struct virtio *v, unsigned q, struct vbuf_head head, uint32_t n);
/* Give several back at once, `ahead` 0, 1, 2 ..: the driver sees all of them or none, with virtq_show(). */
void virtq_fill(struct virtio *v, unsigned q, unsigned ahead, const struct vbuf *b, uint32_t n);
void virtq_show(struct virtio *v, unsigned q, unsigned n);
/* Ask (or not) to be notified of new buffers. True: some came while it was asked. */
bool virtq_ask(struct virtio *v, unsigned q, bool on);
/* Interrupt the driver if it wants to know of what was pushed. */
void virtq_interrupt(struct virtio *v, unsigned q);

/* Copy n bytes at off of the out part / in part; false (and broken): outside the buffer or RAM. */
bool vbuf_read(struct virtio *v, const struct vbuf *b, uint64_t off, void *to, uint64_t n);
bool vbuf_write(struct virtio *v, const struct vbuf *b, uint64_t off, const void *from, uint64_t n);

/* Append n bytes at off of the out part / in part to a list; false: outside the buffer or RAM (broken), or too many. */
struct sg;
bool vbuf_sg(struct virtio *v, const struct vbuf *b, bool in, uint64_t off, uint64_t n, struct sg *s);
/* Where byte off of the in part is in guest memory. */
uint64_t vbuf_in_address(const struct vbuf *b, uint64_t off);

/* ---- between the transport and the rings ---- */

bool virtio_mem_read(struct virtio *v, uint64_t pa, void *to, uint64_t n);
bool virtio_mem_write(struct virtio *v, uint64_t pa, const void *from, uint64_t n);
void virtio_signal(struct virtio *v, uint16_t vector, uint8_t isr_bit);
#define VIRTIO_ISR_QUEUE	1u
#define VIRTIO_ISR_CONFIG	2u

#endif
