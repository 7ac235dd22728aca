/*
 * Guest memory for a transfer by another thread: a list of host addresses.
 *
 * A device makes the list under the machine lock, hands iov to whoever moves the
 * data without it (hw/backend/drive.h), and afterwards, under the lock again, says
 * how much was written: only then do dirty tracking and translated code learn of it,
 * before the guest is told. Guest RAM stays where it is while the machine exists.
 * What is no RAM (the window of a display, ROM, nothing) is moved through memory of its own.
 */
#ifndef HW_CORE_SG_H
#define HW_CORE_SG_H

#include <sys/uio.h>

#include "hw/core/bus.h"

struct sg {
	struct machine *m;
	bool to_guest;			/* the list is written to */
	struct iovec *iov;
	struct sg_piece *piece;		/* what each iovec is to the guest */
	int n, room;
	uint64_t bytes;
	uint64_t bounced;		/* of these, bytes that are no RAM */
	bool ram_only;			/* set after sg_begin(): anything else is refused ... */
	bool not_ram;			/* ... and was met */
};

#define SG_MAX_BOUNCE	(1u << 20)
#define SG_MAX_PIECES	1024		/* what the host takes at once */

/* An empty list; sg may be used again and again, its storage is kept. */
void sg_begin(struct sg *s, struct machine *m, bool to_guest);
/* Append. False, and nothing appended: more pieces, or more bytes that are no RAM, than there may be. */
bool sg_add(struct sg *s, uint64_t pa, uint64_t n);
/* Only the first n bytes of it. */
void sg_cut(struct sg *s, uint64_t n);
/* The first n bytes were written to. */
void sg_written(struct sg *s, uint64_t n);
/* Copy n bytes at off of the list to or from memory of the caller's; sg_written() is still needed. */
void sg_get(const struct sg *s, uint64_t off, void *to, uint64_t n);
void sg_put(struct sg *s, uint64_t off, const void *from, uint64_t n);
void sg_fini(struct sg *s);

#endif
