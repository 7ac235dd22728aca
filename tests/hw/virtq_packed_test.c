/* Packed rings: buffers go round, several are given back at once, each side is told what it asked for. */
#include <criterion/criterion.h>
#include <string.h>

#include "hw/backend/net.h"
#include "hw/virtio/virtio_net.h"
#include "hw/virtio/virtio_rng.h"
#include "tests/hw/virtio.h"

static struct bench b;
static struct vt t;
static struct net net;
static struct dev *dev;
static unsigned n_sent;
static size_t sent_len;

#define F_MRG		BIT(15)
#define SIZE		8u		/* of rings, also where it is no power of two below */
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000 };
enum { ENABLE = 0, DISABLE = 1, DESC = 2 };

static unsigned refills;		/* frames that a driver on another processor puts behind each */
static void offer(unsigned q, uint64_t pa, uint32_t len, unsigned id, unsigned flags);

static void net_sent(struct net *n, const uint8_t *frame, size_t len)
{
	(void)n, (void)frame;
	sent_len = len;
	n_sent++;
	if (refills && refills--)
		offer(1, VT_BUF, 72, n_sent, 0);
}
static const struct net_ops ops = { "test", net_sent, NULL };

/* ---- the driver's side ---- */

static struct { unsigned at, used, size; bool wrap, used_wrap; } ring[3];

static void start_ring(unsigned q, unsigned size)
{
	ring[q].at = ring[q].used = 0;
	ring[q].size = size;
	ring[q].wrap = ring[q].used_wrap = true;
	for (unsigned i = 0; i < size * 16; i += 8)
		phys_write(b.m->phys, VT_DESC(q) + i, 8, 0);
	phys_write(b.m->phys, VT_AVAIL(q), 4, 0);
	vt_set_common(&t, 0x16, 2, q);
	vt_set_common(&t, 0x18, 2, size);
	vt_set_common(&t, 0x20, 4, VT_DESC(q));
	vt_set_common(&t, 0x28, 4, VT_AVAIL(q));
	vt_set_common(&t, 0x30, 4, VT_USED(q));
	vt_set_common(&t, 0x1c, 2, 1);
}

static void negotiate(uint64_t features, unsigned queues, unsigned size)
{
	uint64_t f = features | VIRTIO_VERSION_1 | VIRTIO_RING_PACKED;

	vt_map(&t, &b, dev);
	vt_set_common(&t, 0x14, 1, 3);
	cr_assert_eq(vt_offered(&t) & f, f);
	for (unsigned i = 0; i < 2; i++) {
		vt_set_common(&t, 0x08, 4, i);
		vt_set_common(&t, 0x0c, 4, (uint32_t)(f >> 32 * i));
	}
	vt_set_common(&t, 0x14, 1, 0x0b);
	for (unsigned q = 0; q < queues; q++)
		start_ring(q, size);
	vt_set_common(&t, 0x14, 1, 0x0f);
}

static void start_rng(uint64_t features, unsigned size)
{
	vt_machine(&b);
	dev = dev_make(b.m, &virtio_rng_type, NULL, "addr=4,packed=on", &b.err);
	cr_assert(dev, "%s", b.err.msg);
	negotiate(features, 1, size);
}

static void start_net(uint64_t features)
{
	vt_machine(&b);
	net = (struct net){ .ops = &ops, .m = b.m, .tail = &net.waiting };
	machine_add_backend(b.m, "netdev", "n", &net);
	dev = dev_make(b.m, &virtio_net_type, NULL, "addr=4,packed=on,netdev=n", &b.err);
	cr_assert(dev, "%s", b.err.msg);
	negotiate(features, 2, SIZE);
}

static void teardown(void)
{
	if (net.m)
		net_detach(&net, net.front_opaque);
	bench_close(&b);
}
TestSuite(virtq_packed, .fini = teardown, .timeout = 30);

static void desc(uint64_t at, uint64_t pa, uint32_t len, unsigned id, unsigned flags)
{
	phys_write(b.m->phys, at, 8, pa);
	phys_write(b.m->phys, at + 8, 4, len);
	phys_write(b.m->phys, at + 12, 2, id);
	phys_write(b.m->phys, at + 14, 2, flags);
}

/* The next descriptor of the ring; the device may have it at once. */
static void offer(unsigned q, uint64_t pa, uint32_t len, unsigned id, unsigned flags)
{
	desc(VT_DESC(q) + 16 * ring[q].at, pa, len, id, flags | (ring[q].wrap ? AVAIL : USED));
	if (++ring[q].at == ring[q].size) {
		ring[q].at = 0;
		ring[q].wrap = !ring[q].wrap;
	}
}

/* A buffer of n descriptors has come back. */
static bool take(unsigned q, unsigned n, uint32_t *id, uint32_t *len)
{
	uint64_t at = VT_DESC(q) + 16 * ring[q].used;
	unsigned flags = (unsigned)phys_read(b.m->phys, at + 14, 2);

	if (!!(flags & AVAIL) != ring[q].used_wrap || !!(flags & USED) != ring[q].used_wrap)
		return false;
	*len = (uint32_t)phys_read(b.m->phys, at + 8, 4);
	*id = (uint32_t)phys_read(b.m->phys, at + 12, 2);
	ring[q].used += n;
	if (ring[q].used >= ring[q].size) {
		ring[q].used -= ring[q].size;
		ring[q].used_wrap = !ring[q].used_wrap;
	}
	return true;
}

static void kick(unsigned q) { vt_kick(&t, q); }
static void wish(unsigned q, unsigned place, unsigned flags)
{
	phys_write(b.m->phys, VT_AVAIL(q), 2, place);
	phys_write(b.m->phys, VT_AVAIL(q) + 2, 2, flags);
}

Test(virtq_packed, is_offered_when_asked_for)
{
	vt_machine(&b);
	dev = dev_make(b.m, &virtio_rng_type, NULL, "addr=4", &b.err);
	vt_map(&t, &b, dev);
	cr_assert_not(vt_offered(&t) & VIRTIO_RING_PACKED);
}

/* Chains of one to three descriptors, through many rounds of a ring of seven. */
Test(virtq_packed, buffers_go_round)
{
	uint32_t id, len;

	start_rng(0, 7);
	for (unsigned k = 0; k < 200; k++) {
		unsigned n = 1 + k % 3;
		for (unsigned i = 0; i < n; i++)
			offer(0, VT_BUF + 0x100 * i, 10 + i, i + 1 == n ? 1000 + k : 5, WRITE | (i + 1 < n ? NEXT : 0));
		cr_assert_not(take(0, n, &id, &len));
		kick(0);
		cr_assert(take(0, n, &id, &len), "buffer %u", k);
		cr_assert_eq(id, 1000 + k);
		cr_assert_eq(len, n == 1 ? 10 : n == 2 ? 21 : 33);
	}
}

Test(virtq_packed, several_wait_and_come_back_in_order)
{
	uint32_t id, len;

	start_rng(0, SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		offer(0, VT_BUF, 8, i, WRITE);
	kick(0);
	for (unsigned i = 0; i < SIZE; i++) {
		cr_assert(take(0, 1, &id, &len));
		cr_assert_eq(id, i);
	}
	cr_assert_not(take(0, 1, &id, &len));
}

Test(virtq_packed, indirect_tables)
{
	uint32_t id, len;

	start_rng(VIRTIO_INDIRECT_DESC, SIZE);
	for (unsigned i = 0; i < 3; i++)
		desc(VT_BUF + 16 * i, VT_BUF + 0x1000 * (i + 1), 100, 77, WRITE);
	offer(0, VT_BUF, 48, 9, INDIRECT);
	kick(0);
	cr_assert(take(0, 1, &id, &len));
	cr_assert_eq(id, 9);
	cr_assert_eq(len, 300);
}

Test(virtq_packed, interrupts_as_the_driver_wants_them)
{
	start_rng(VIRTIO_EVENT_IDX, SIZE);
	wish(0, 0, DISABLE);
	offer(0, VT_BUF, 8, 0, WRITE);		/* entry 0 */
	kick(0);
	cr_assert_not(vt_isr(&t));
	wish(0, 2 | 0x8000, DESC);		/* when entry 2 is used */
	offer(0, VT_BUF, 8, 1, WRITE);
	kick(0);
	cr_assert_not(vt_isr(&t));
	offer(0, VT_BUF, 8, 2, WRITE);
	kick(0);
	cr_assert(vt_isr(&t));
	wish(0, 1, DESC);			/* entry 1 of the next round */
	for (unsigned i = 3; i < SIZE + 1; i++)
		offer(0, VT_BUF, 8, i, WRITE);
	kick(0);
	cr_assert_not(vt_isr(&t));
	offer(0, VT_BUF, 8, 20, WRITE);
	kick(0);
	cr_assert(vt_isr(&t));
	wish(0, 0, ENABLE);
	offer(0, VT_BUF, 8, 21, WRITE);
	kick(0);
	cr_assert(vt_isr(&t));
}

/* After two rounds the place is what it was. */
Test(virtq_packed, two_whole_rounds_interrupt_as_well)
{
	start_net(0);
	for (unsigned i = 0; i < SIZE; i++)
		offer(1, VT_BUF, 72, i, 0);
	refills = SIZE;
	kick(1);
	cr_assert_eq(n_sent, 2 * SIZE);
	cr_assert_eq(vt_isr(&t), 1);
}

Test(virtq_packed, the_device_says_where_it_wants_to_be_told)
{
	start_rng(VIRTIO_EVENT_IDX, SIZE);
	for (unsigned i = 0; i < 3; i++)
		offer(0, VT_BUF, 8, i, WRITE);
	kick(0);
	cr_assert_eq(phys_read(b.m->phys, VT_USED(0), 2), 3 | 0x8000);
	cr_assert_eq(phys_read(b.m->phys, VT_USED(0) + 2, 2), DESC);
}

Test(virtq_packed, a_frame_in_several_buffers_is_shown_at_once)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	uint8_t f[150] = { 0 };
	uint32_t id, len;

	start_net(F_MRG);
	memcpy(f, mac, 6);
	offer(0, VT_BUF, 64, 4, WRITE);
	offer(0, VT_BUF + 0x1000, 64, 5, WRITE);
	net_deliver(&net, f, sizeof(f));	/* 162 with the header: three */
	cr_assert_not(take(0, 1, &id, &len));
	offer(0, VT_BUF + 0x2000, 64, 6, WRITE);
	kick(0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(take(0, 1, &id, &len));
		cr_assert_eq(id, 4 + i);
		cr_assert_eq(len, i < 2 ? 64 : 34);
	}
	cr_assert_eq(phys_read(b.m->phys, VT_BUF + 10, 2), 3);
}

Test(virtq_packed, frames_are_sent)
{
	uint32_t id, len;

	start_net(0);
	for (unsigned k = 0; k < 50; k++) {
		offer(1, VT_BUF, 12, 1, NEXT);
		offer(1, VT_BUF + 0x100, 60 + k, 3, 0);
		kick(1);
		cr_assert(take(1, 2, &id, &len));
		cr_assert_eq(id, 3);
		cr_assert_eq(len, 0);
		cr_assert_eq(sent_len, 60 + k);
	}
	cr_assert_eq(n_sent, 50);
}

Test(virtq_packed, chains_that_break_the_rules_break_the_device)
{
	static const unsigned flags[] = { NEXT | WRITE, INDIRECT, INDIRECT | NEXT };

	start_rng(0, SIZE);
	for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
		for (unsigned i = 0; i < SIZE; i++)
			offer(0, VT_BUF, 16, i, flags[k]);
		kick(0);
		cr_assert(vt_broken(&t), "flags %u", flags[k]);
		vt_set_common(&t, 0x14, 1, 0);
		negotiate(k ? VIRTIO_INDIRECT_DESC : 0, 1, SIZE);
	}
}

/* The seed is fixed. */
Test(virtq_packed, random_rings_do_no_harm)
{
	uint64_t x = 88172645463325252ull, f = F_MRG | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX;
	uint8_t frame[1500] = { 0 };

	start_net(f);
	for (int k = 0; k < 100000; k++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		unsigned q = x & 1;
		if (x & 2)
			offer(q, VT_BUF + (x >> 20 & 0xffff), (uint32_t)(x >> 40) & 0x7ff, x >> 32 & 7, x >> 8 & (x & 4 ? 7 : 2));
		else
			desc(VT_DESC(q) + 16 * (x >> 16 & 7), VT_BUF + (x >> 20 & (x & 8 ? 0xffff : 0x3fffffff)), (uint32_t)(x >> 40) & 0xfff,
			     x >> 52 & 0xff, (unsigned)(x >> 33) & 0xffff);
		wish(q, x >> 7 & 0xffff, x >> 23 & 3);
		kick(q);
		if (x >> 60 & 1)
			net_deliver(&net, frame, 60 + (x >> 44) % 1400);
		if (vt_broken(&t)) {
			vt_set_common(&t, 0x14, 1, 0);
			negotiate(f, 2, SIZE);
		}
		if (!(k & 15))
			bench_run(&b, 1000);
	}
}
