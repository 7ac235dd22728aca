/*
 * virtio-rng: every buffer the driver offers is filled with the host's random bytes.
 *
 * Source: Virtio 1.2, 5.4.
 */
#include "hw/virtio/virtio_rng.h"

#include <sys/random.h>

#define QUEUE_SIZE	8u
#define MOST		4096u		/* of one buffer; a driver takes what it gets */

static bool fill(struct virtio *v, unsigned q)
{
	uint8_t bytes[MOST];
	uint64_t n = min_u64(v->buf.in_len, MOST);

	if (getrandom(bytes, n, 0) != (ssize_t)n || !vbuf_write(v, &v->buf, 0, bytes, n))
		return false;
	virtq_push(v, q, &v->buf, (uint32_t)n);
	return true;
}

static void rng_run(struct virtio *v, unsigned q)
{
	virtio_serve(v, q, fill);
}

static const struct virtio_class rng_class = {
	.id = 4, .legacy_id = 0x1005, .pci_class = 0x00ff00,
	.n_queues = 1, .queue_size = QUEUE_SIZE, .run = rng_run,
};

static bool rng_init(void *dev, struct err *e)
{
	return virtio_init(dev, &rng_class, 0, e);
}

static void rng_fini(void *dev)
{
	virtio_fini(dev);
}

static void rng_reset(void *dev)
{
	virtio_reset(dev);
}

static bool rng_loaded(void *dev, struct err *e)
{
	return virtio_loaded(dev, e);
}

const struct dev_type virtio_rng_type = {
	.name = "virtio-rng-pci", .alias = "virtio-rng", .bus = "pci", .help = "random numbers from the host",
	.size = sizeof(struct virtio), .version = 1, .bus_props = virtio_props, .bus_state = virtio_state,
	.init = rng_init, .fini = rng_fini, .reset = rng_reset, .loaded = rng_loaded,
};

const struct dev_type virtio_rng_bus_type = {
	.name = "virtio-rng-device", .bus = "virtio-bus", .help = "random numbers from the host",
	.size = sizeof(struct virtio), .version = 1, .bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = rng_init, .fini = rng_fini, .reset = rng_reset, .loaded = rng_loaded,
};
