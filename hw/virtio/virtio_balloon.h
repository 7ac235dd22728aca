/*
 * The balloon: a guest's driver that gives memory back to the host (virtio-balloon-pci).
 * Sizes are what is left to the guest. Machine lock.
 */
#ifndef HW_VIRTIO_VIRTIO_BALLOON_H
#define HW_VIRTIO_VIRTIO_BALLOON_H

#include "hw/virtio/virtio.h"

extern const struct dev_type virtio_balloon_type;	/* on PCI */
extern const struct dev_type virtio_balloon_bus_type;	/* at a virtio-mmio transport */

/* The machine's balloon, or NULL. */
struct virtio_balloon *balloon_find(struct machine *m);
/* Bytes the guest has now. */
uint64_t balloon_actual(const struct virtio_balloon *b);
/* Ask the guest to give back so much that it has `bytes`, or to take some again. */
void balloon_set(struct virtio_balloon *b, uint64_t bytes);

/* What the guest last said of its memory. */
enum balloon_stat {
	BALLOON_SWAP_IN, BALLOON_SWAP_OUT, BALLOON_MAJOR_FAULTS, BALLOON_MINOR_FAULTS, BALLOON_FREE, BALLOON_TOTAL,
	BALLOON_AVAILABLE, BALLOON_CACHES, BALLOON_HUGE_ALLOCS, BALLOON_HUGE_FAILS, BALLOON_N_STATS,
};
#define BALLOON_UNKNOWN	(~0ull)
extern const char *const balloon_stat_names[BALLOON_N_STATS];
/* seconds since 1970 when it did; 0: never. */
int64_t balloon_stats(const struct virtio_balloon *b, uint64_t value[BALLOON_N_STATS]);
/* Ask every so many seconds; 0: never. */
void balloon_set_interval(struct virtio_balloon *b, uint32_t seconds);
uint32_t balloon_interval(const struct virtio_balloon *b);

#endif
