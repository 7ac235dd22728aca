/*
 * A file server for guests: the protocol 9P2000.L over one shared folder. A message is
 * served whole, whatever brings it (hw/virtio/virtio_9p.c).
 *
 * A session begins with Tversion and holds fids, the numbers by which the guest has
 * files. Messages of one session may be served by several threads at once.
 */
#ifndef HW_VIRTIO_P9_H
#define HW_VIRTIO_P9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share;
struct p9;

#define P9_HEADER	7u		/* size u32, type u8, tag u16 */
#define P9_LEAST_REPLY	11u		/* an error */
#define P9_MSIZE	(512u << 10)	/* longest message */

enum { P9_TVERSION = 100, P9_TFLUSH = 108, P9_RFLUSH = 109 };

/* The share outlives it. NULL: no memory. */
struct p9 *p9_new(struct share *share);
/* No message is being served. */
void p9_free(struct p9 *s);
/* All fids end. */
void p9_forget_all(struct p9 *s);
/* Fids there are. */
unsigned p9_n_fids(struct p9 *s);
/*
 * The answer to a message of n bytes (at least P9_HEADER), at most `room` ones (at least
 * P9_LEAST_REPLY). Any thread, no machine lock. Returns its length.
 */
size_t p9_serve(struct p9 *s, const uint8_t *msg, size_t n, uint8_t *reply, size_t room);

#endif
