/*
 * virtio-balloon: the driver takes pages from its guest and tells which they are
 * (inflate); the host has them back at once. It says which ones it wants to use again
 * (deflate), and they fill with zeroes when they are touched.
 *
 *	queue 0 inflate, 1 deflate: lists of page numbers, u32
 *	queue 2 statistics: one buffer of { tag u16, value u64 } that the driver keeps there;
 *		giving it back asks for new ones
 *	queue 3 reporting: buffers that are free pages, to be given back until they are used.
 *		Drivers differ in how they count queues that are absent: 4 is the same.
 *
 * Not modelled: hints about free pages for migration, poisoned pages.
 * Source: Virtio 1.2, 5.5.
 */
#include "hw/virtio/virtio_balloon.h"

#include <string.h>
#include <time.h>

#include "base/value.h"

#define F_STATS		BIT(1)
#define F_DEFLATE_ON_OOM BIT(2)
#define F_REPORTING	BIT(5)

enum { INFLATE, DEFLATE, STATS, REPORTING, REPORTING_2, NQUEUES };
enum { C_WANTED = 0, C_ACTUAL = 4, C_LEN = 8 };	/* pages in the balloon */
#define QUEUE_SIZE	128u
#define PAGE_SIZE	4096u
#define PAGE_SHIFT	12
#define STAT_LEN	10u
#define MAX_STATS	32u
#define BATCH		256u		/* page numbers read at once */

struct virtio_balloon {
	struct virtio v;
	bool deflate_on_oom, reporting;	/* properties */
	uint32_t interval;		/* seconds between questions for statistics, the host's wish; 0: none */
	struct timer ask;
	uint64_t stat[BALLOON_N_STATS];
	int64_t stats_at;
};

const char *const balloon_stat_names[BALLOON_N_STATS] = {
	"stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory",
	"stat-total-memory", "stat-available-memory", "stat-disk-caches", "stat-htlb-pgalloc", "stat-htlb-pgfail",
};

static struct virtio_balloon *balloon(struct virtio *v)
{
	return (struct virtio_balloon *)v;
}

static uint64_t all_ram(const struct machine *m)
{
	const struct ram *r;
	uint64_t n = 0;

	for (unsigned i = 0; (r = phys_ram_nth(m->phys, i)); i++)
		n += r->size;
	return n;
}

/* ---- pages go ---- */

/* Whole pages of RAM; anything else stays as it is. */
static void discard(struct virtio *v, uint64_t pa, uint64_t n)
{
	struct phys *p = v->pci.dev.m->phys;
	struct phys_page first, pg;

	while (n) {
		uint64_t run = PAGE_SIZE;

		phys_lookup(p, pa, &first);
		if (first.whost && first.wram) {
			for (; run < n; run += PAGE_SIZE) {
				phys_lookup(p, pa + run, &pg);
				if (pg.wram != first.wram || pg.whost != first.whost + run)
					break;
			}
			phys_ram_discard(p, first.wram, (uint64_t)(first.whost - first.wram->host), run);
		}
		pa += run;
		n -= run;
	}
}

/* Neighbours are given back together, whichever way the list counts. */
static void discard_list(struct virtio *v, const uint8_t *list, unsigned n)
{
	uint64_t low = 0, high = 0;		/* pages [low, high) are together so far */

	for (unsigned i = 0; i < n; i++) {
		uint64_t page = ld32(list + 4 * i);
		if (high > low && page == high) {
			high++;
		} else if (high > low && page + 1 == low) {
			low--;
		} else {
			discard(v, low << PAGE_SHIFT, (high - low) << PAGE_SHIFT);
			low = page;
			high = page + 1;
		}
	}
	discard(v, low << PAGE_SHIFT, (high - low) << PAGE_SHIFT);
}

static bool inflate(struct virtio *v, unsigned q)
{
	uint64_t all = v->buf.out_len;
	uint8_t list[4 * BATCH];

	if (all % 4 || all > 4 * VIRTIO_MAX_QUEUE_SIZE)
		return virtio_broken(v, "a list of pages of an odd length");
	for (uint64_t at = 0; at < all; at += sizeof(list)) {
		uint64_t n = min_u64(all - at, sizeof(list));
		if (!vbuf_read(v, &v->buf, at, list, n))
			return false;
		discard_list(v, list, (unsigned)n / 4);
	}
	virtq_push(v, q, &v->buf, 0);
	return true;
}

static bool deflate(struct virtio *v, unsigned q)
{
	virtq_push(v, q, &v->buf, 0);
	return true;
}

/* Each page is looked up, so a list may not be longer than it can take to name them all. */
static bool report(struct virtio *v, unsigned q)
{
	const struct vbuf *b = &v->buf;

	if (b->in_len > all_ram(v->pci.dev.m))
		return virtio_broken(v, "more free memory than there is memory");
	for (unsigned i = b->n_out; i < b->n_out + b->n_in; i++) {
		uint64_t at = b->seg[i].pa, end = at + b->seg[i].len;
		uint64_t from = align_up(at, PAGE_SIZE), to = end & ~(PAGE_SIZE - 1ull);
		/* Behind the last address there is nothing. */
		if (at <= from && from < to)
			discard(v, from, to - from);
	}
	virtq_push(v, q, &v->buf, 0);
	return true;
}

/* ---- statistics ---- */

static void forget_stats(struct virtio_balloon *b)
{
	for (unsigned i = 0; i < BALLOON_N_STATS; i++)
		b->stat[i] = BALLOON_UNKNOWN;
	b->stats_at = 0;
}

/* The driver's buffer stays in the queue until the next question. */
static void take_stats(struct virtio_balloon *b)
{
	struct virtio *v = &b->v;
	uint8_t s[STAT_LEN * MAX_STATS];

	if (!virtq_pop(v, STATS, &v->buf))
		return;
	virtq_unpop(v, STATS, &v->buf);
	uint64_t n = min_u64(v->buf.out_len / STAT_LEN, MAX_STATS);
	if (!vbuf_read(v, &v->buf, 0, s, n * STAT_LEN))
		return;
	for (uint64_t i = 0; i < n; i++)
		if (ld16(s + i * STAT_LEN) < BALLOON_N_STATS)
			b->stat[ld16(s + i * STAT_LEN)] = ld64(s + i * STAT_LEN + 2);
	b->stats_at = clock_wall(&v->pci.dev.m->clock) / (int64_t)NS_PER_SEC;
}

static void ask_again(struct virtio_balloon *b)
{
	if (b->interval)
		timer_mod(&b->ask, clock_now(b->ask.clock) + b->interval * NS_PER_SEC);
	else
		timer_del(&b->ask);
}

static void ask(void *opaque)
{
	struct virtio_balloon *b = opaque;
	struct virtio *v = &b->v;

	if (virtio_has(v, F_STATS) && !v->running && virtq_pop(v, STATS, &v->buf)) {
		virtq_push(v, STATS, &v->buf, 0);
		virtq_ask(v, STATS, true);
		virtq_interrupt(v, STATS);
	}
	ask_again(b);
}

int64_t balloon_stats(const struct virtio_balloon *b, uint64_t value[BALLOON_N_STATS])
{
	memcpy(value, b->stat, sizeof(b->stat));
	return b->stats_at;
}

void balloon_set_interval(struct virtio_balloon *b, uint32_t seconds)
{
	b->interval = seconds;
	ask_again(b);
}

uint32_t balloon_interval(const struct virtio_balloon *b)
{
	return b->interval;
}

/* ---- the size ---- */

static uint64_t ram_size(const struct virtio_balloon *b)
{
	const struct ram *r;

	for (unsigned i = 0; (r = phys_ram_nth(b->v.pci.dev.m->phys, i)); i++)
		if (!strcmp(r->name, "ram"))
			return r->size;
	return 0;
}

uint64_t balloon_actual(const struct virtio_balloon *b)
{
	uint64_t all = ram_size(b);

	return all - min_u64((uint64_t)ld32(b->v.config + C_ACTUAL) << PAGE_SHIFT, all);
}

void balloon_set(struct virtio_balloon *b, uint64_t bytes)
{
	uint64_t all = ram_size(b);

	st32(b->v.config + C_WANTED, (uint32_t)((all - min_u64(bytes, all)) >> PAGE_SHIFT));
	virtio_config_changed(&b->v);
}

struct virtio_balloon *balloon_find(struct machine *m)
{
	struct dev *d = dev_find_type(m, &virtio_balloon_type);

	return (struct virtio_balloon *)(d ? d : dev_find_type(m, &virtio_balloon_bus_type));
}

/* ---- life ---- */

static void balloon_run(struct virtio *v, unsigned q)
{
	static bool (*const serve[])(struct virtio *v, unsigned q) = {
		[INFLATE] = inflate, [DEFLATE] = deflate, [REPORTING] = report, [REPORTING_2] = report,
	};

	if (q == STATS && virtio_has(v, F_STATS))
		take_stats(balloon(v));
	else
		virtio_serve(v, q, q == STATS ? report : serve[q]);
}

/* The driver says how large the balloon is. */
static void config_written(struct virtio *v, unsigned off, unsigned n)
{
	struct value *data = val_dict();

	(void)off, (void)n;
	val_add_int(data, "actual", (int64_t)balloon_actual(balloon(v)));
	machine_event(v->pci.dev.m, "BALLOON_CHANGE", data);
}

static void class_reset(struct virtio *v)
{
	st32(v->config + C_ACTUAL, 0);
	forget_stats(balloon(v));
}

static const struct virtio_class balloon_class = {
	.id = 5, .legacy_id = 0x1002, .pci_class = 0x00ff00, .features = F_STATS,
	.n_queues = NQUEUES, .queue_size = QUEUE_SIZE, .config_len = C_LEN, .config_writable = C_ACTUAL,
	.run = balloon_run, .reset = class_reset, .config_written = config_written,
};

static bool balloon_init(void *dev, struct err *e)
{
	struct virtio_balloon *b = dev;

	if (balloon_find(b->v.pci.dev.m))
		return err_set(e, "there is a balloon already; a machine has one");
	timer_init(&b->ask, &b->v.pci.dev.m->clock, ask, b);
	ask_again(b);
	return virtio_init(&b->v, &balloon_class,
			   (b->deflate_on_oom ? F_DEFLATE_ON_OOM : 0) | (b->reporting ? F_REPORTING : 0), e);
}

static void balloon_fini(void *dev)
{
	struct virtio_balloon *b = dev;

	timer_del(&b->ask);
	if (b->v.class)
		virtio_fini(&b->v);
}

static void balloon_reset(void *dev)
{
	virtio_reset(dev);
}

/* The clock may be another: the next question counts from now. */
static bool balloon_loaded(void *dev, struct err *e)
{
	ask_again(dev);
	return virtio_loaded(dev, e);
}

static const struct prop balloon_props[] = {
	PROP(BOOL, virtio_balloon, deflate_on_oom, "deflate-on-oom", 0, "the guest may take pages back before it runs out of memory"),
	PROP(BOOL, virtio_balloon, reporting, "free-page-reporting", 0, "the guest gives back what it does not use by itself"),
	{ 0 }
};
static const struct state balloon_state[] = {
	STATE(virtio_balloon, stat), STATE(virtio_balloon, stats_at), { 0 }
};

const struct dev_type virtio_balloon_type = {
	.name = "virtio-balloon-pci", .alias = "virtio-balloon", .bus = "pci", .help = "gives memory back to the host",
	.size = sizeof(struct virtio_balloon), .version = 1, .props = balloon_props, .state = balloon_state,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = balloon_init, .fini = balloon_fini, .reset = balloon_reset, .loaded = balloon_loaded,
};

const struct dev_type virtio_balloon_bus_type = {
	.name = "virtio-balloon-device", .bus = "virtio-bus", .help = "gives memory back to the host",
	.size = sizeof(struct virtio_balloon), .version = 1, .props = balloon_props, .state = balloon_state,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = balloon_init, .fini = balloon_fini, .reset = balloon_reset, .loaded = balloon_loaded,
};
