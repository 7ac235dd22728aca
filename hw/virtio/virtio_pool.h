/*
 * Requests of a virtio disk: those under way, and those that wait to be used again, so
 * that none is allocated per command. A request begins with its struct virtio_item.
 *
 * Everything here wants the machine lock.
 */
#ifndef HW_VIRTIO_VIRTIO_POOL_H
#define HW_VIRTIO_VIRTIO_POOL_H

#include <stddef.h>

struct virtio_item {
	struct virtio_item *next;
};

struct virtio_pool {
	struct virtio_item *under_way, *spare;
	unsigned n;			/* under way */
};

/* An item of `size` bytes, now under way: zeros, or as it was given back. NULL: no memory. */
void *virtio_pool_take(struct virtio_pool *p, size_t size);
/* It was under way. */
void virtio_pool_give(struct virtio_pool *p, struct virtio_item *x);
/* One that is spare and no longer the pool's: to be freed; or NULL. */
void *virtio_pool_drop(struct virtio_pool *p);

#endif
