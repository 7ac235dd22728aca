/*
 * Recording a network: a pcap file with every frame that passes, in both
 * directions, stamped with the guest's time.
 *
 * Source: the pcap file format (IETF draft-ietf-opsawg-pcap), version 2.4.
 */
#include <stdlib.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/net.h"
#include "hw/core/bus.h"

#define MAGIC		0xa1b2c3d4u	/* microseconds */
#define LINK_ETHERNET	1u

struct net_dump {
	struct net_dump *next;
	FILE *f;
	uint32_t most;
	bool failed;
};

static bool write_header(FILE *f, uint32_t most)
{
	uint8_t h[24] = { 0 };

	st32(h, MAGIC);
	st16(h + 4, 2);
	st16(h + 6, 4);
	st32(h + 16, most);
	st32(h + 20, LINK_ETHERNET);
	return fwrite(h, sizeof(h), 1, f) == 1 && !fflush(f);
}

bool net_dump(struct net *n, const char *file, uint32_t most, struct err *e)
{
	FILE *f = fopen(file, "wbe");
	struct net_dump *d;

	if (!f)
		return err_errno(e, "'%s'", file);
	if (!write_header(f, most)) {
		fclose(f);
		return err_errno(e, "'%s'", file);
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		fclose(f);
		return err_set(e, "no memory");
	}
	*d = (struct net_dump){ .next = n->dumps, .f = f, .most = most };
	n->dumps = d;
	return true;
}

static void record(struct net_dump *d, uint64_t us, const uint8_t *frame, size_t len)
{
	uint32_t n = (uint32_t)min_u64(len, d->most);
	uint8_t h[16];

	st32(h, (uint32_t)(us / 1000000));
	st32(h + 4, (uint32_t)(us % 1000000));
	st32(h + 8, n);
	st32(h + 12, (uint32_t)len);
	if (fwrite(h, sizeof(h), 1, d->f) != 1 || (n && fwrite(frame, n, 1, d->f) != 1) || fflush(d->f)) {
		warn("filter-dump: the file takes no more; recording ends");
		d->failed = true;
	}
}

void net_dump_frame(struct net_dump *d, struct machine *m, const uint8_t *frame, size_t len)
{
	uint64_t us = (uint64_t)clock_wall(&m->clock) / NS_PER_US;

	for (; d; d = d->next)
		if (!d->failed)
			record(d, us, frame, len);
}

void net_dump_free(struct net_dump *d)
{
	while (d) {
		struct net_dump *next = d->next;
		fclose(d->f);
		free(d);
		d = next;
	}
}
