/*
 * Requests of a virtio disk, used again.
 */
#include "hw/virtio/virtio_pool.h"

#include <stdlib.h>

void *virtio_pool_take(struct virtio_pool *p, size_t size)
{
	struct virtio_item *x = virtio_pool_drop(p);

	if (!x && !(x = calloc(1, size)))
		return NULL;
	x->next = p->under_way;
	p->under_way = x;
	p->n++;
	return x;
}

void virtio_pool_give(struct virtio_pool *p, struct virtio_item *x)
{
	struct virtio_item **at = &p->under_way;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	x->next = p->spare;
	p->spare = x;
	p->n--;
}

void *virtio_pool_drop(struct virtio_pool *p)
{
	struct virtio_item *x = p->spare;

	if (x)
		p->spare = x->next;
	return x;
}
