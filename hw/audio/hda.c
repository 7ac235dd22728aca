/*
 * Intel High Definition Audio controller: commands to codecs through rings in
 * memory (CORB, RIRB) or the immediate registers, and eight stream engines (four
 * in, four out) that walk lists of buffers as fast as a codec's converter asks.
 *
 * Not modelled: SDO striping, unsolicited responses (nothing is ever plugged in or
 * out), FIFO errors, the stream synchronisation register's hold.
 * Source: High Definition Audio Specification 1.0a, chapters 3 and 4; Intel ICH6
 * and ICH9 datasheets for PCI configuration.
 */
#include "hw/audio/hda_priv.h"

#include <string.h>

#define MMIO_SIZE	0x4000u
#define WALL_HZ		24000000u

enum { N_IN = 4, N_OUT = 4, N_STREAMS = N_IN + N_OUT, MOST_EMPTY = 4 };

#define GCAP		(N_OUT << 12 | N_IN << 8 | 1 /* 64-bit addresses */)
#define GCTL_CRST	BIT(0)
#define INT_GLOBAL	BIT(31)
#define INT_CONTROLLER	BIT(30)
#define CORBRP_RST	0x8000u
#define CORBCTL_RUN	0x02u
#define RIRBCTL_INT	0x01u
#define RIRBCTL_RUN	0x02u
#define RIRBSTS_INT	0x01u
#define ICS_BUSY	0x0001u
#define ICS_VALID	0x0002u
#define DPL_ENABLE	BIT(0)

#define SD_RST		BIT(0)
#define SD_RUN		BIT(1)
#define SD_IOCE		BIT(2)
#define SD_ENABLES	0x1cu		/* interrupt enables */
#define STS_BCIS	0x04u
#define STS_ERRORS	0x18u
#define STS_FIFORDY	0x20u
#define BD_IOC		BIT(0)

struct stream {
	uint32_t lpib, cbl, bdpl, bdpu;
	uint32_t left;			/* bytes of the current entry that are left */
	uint64_t addr;			/* of the next one */
	uint16_t ctl, lvi, fifos, fmt;
	uint8_t tag, sts;		/* tag: in bits 7..4 */
	uint8_t entry, ioc;		/* the next one to fetch; whether the current one interrupts */
};

struct hda {
	struct pci_dev pci;
	struct hda_codec *codec[HDA_CODECS];
	struct stream sd[N_STREAMS];
	uint32_t gctl, intctl, ssync, corb_lo, corb_hi, rirb_lo, rirb_hi, dpl, dpu, icoi, icii;
	uint16_t wakeen, statests, corbwp, corbrp, rirbwp, rintcnt, ics;
	uint8_t corbctl, corbsts, rirbctl, rirbsts;
	uint16_t responses;		/* since the last interrupt */
	uint64_t wall_base;
};

/* ---- interrupts ---- */

static uint32_t int_status(const struct hda *h)
{
	uint32_t v = 0;

	for (int i = 0; i < N_STREAMS; i++)
		if (h->sd[i].sts & h->sd[i].ctl & SD_ENABLES)
			v |= 1u << i;
	if ((h->rirbsts & RIRBSTS_INT && h->rirbctl & RIRBCTL_INT) || h->statests & h->wakeen)
		v |= INT_CONTROLLER;
	return v;
}

static void hda_update(void *dev)
{
	struct hda *h = dev;

	pci_set_irq(&h->pci, h->intctl & INT_GLOBAL && int_status(h) & h->intctl);
}

static uint32_t intsts_read(void *dev)
{
	const struct hda *h = dev;
	uint32_t v = int_status(h);

	return v & h->intctl ? v | INT_GLOBAL : v;
}

/* ---- commands ---- */

static bool command(struct hda *h, uint32_t word, uint32_t *answer)
{
	unsigned at = word >> 28;
	struct hda_codec *c = at < HDA_CODECS ? h->codec[at] : NULL;

	if (!c) {
		log_guest("hda: command %08x for codec %u, which is not there", word, at);
		return false;
	}
	*answer = c->command(c, word & 0x0fffffff);
	return true;
}

static void respond(struct hda *h, uint32_t answer, unsigned from)
{
	uint8_t entry[8];

	h->rirbwp = (uint8_t)(h->rirbwp + 1);
	st32(entry, answer);
	st32(entry + 4, from);
	pci_dma_write(&h->pci, ((uint64_t)h->rirb_hi << 32 | h->rirb_lo) + 8u * h->rirbwp, entry, sizeof(entry));
	h->responses++;
}

/* Every command that waits; an interrupt once enough were answered or none is left. */
static void run_corb(struct hda *h)
{
	uint8_t word[4];
	uint32_t answer;

	if (!(h->gctl & GCTL_CRST) || !(h->corbctl & CORBCTL_RUN) || !(h->rirbctl & RIRBCTL_RUN))
		return;
	while ((h->corbrp & 0xff) != (h->corbwp & 0xff)) {
		h->corbrp = (uint8_t)(h->corbrp + 1);
		pci_dma_read(&h->pci, ((uint64_t)h->corb_hi << 32 | h->corb_lo) + 4u * h->corbrp, word, sizeof(word));
		if (command(h, ld32(word), &answer))
			respond(h, answer, ld32(word) >> 28);
		if (h->responses >= (h->rintcnt & 0xff ? h->rintcnt & 0xffu : 256u)) {
			h->rirbsts |= RIRBSTS_INT;
			h->responses = 0;
		}
	}
	if (h->responses) {
		h->rirbsts |= RIRBSTS_INT;
		h->responses = 0;
	}
}

static void corb_changed(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	run_corb(dev);
}

/* Software writes the reset bit, sees it, and clears it again. */
static void corbrp_write(void *dev, uint32_t v, uint32_t old)
{
	(void)old;
	((struct hda *)dev)->corbrp = v & CORBRP_RST;
}

static void rirbwp_write(void *dev, uint32_t v, uint32_t old)
{
	struct hda *h = dev;

	(void)old;
	if (v & 0x8000)
		h->rirbwp = 0;
}

static void ics_write(void *dev, uint32_t v, uint32_t old)
{
	struct hda *h = dev;
	uint32_t answer;

	(void)old;
	if (v & ICS_VALID)
		h->ics &= (uint16_t)~ICS_VALID;
	if (v & ICS_BUSY && command(h, h->icoi, &answer)) {
		h->icii = answer;
		h->ics |= ICS_VALID;
	}
}

/* ---- streams ---- */

static struct stream *find_stream(const struct hda *h, unsigned tag, bool to_codec)
{
	int first = to_codec ? N_IN : 0, n = to_codec ? N_OUT : N_IN;

	for (int i = first; i < first + n; i++)
		if (h->sd[i].ctl & SD_RUN && h->sd[i].tag >> 4 == (int)tag)
			return (struct stream *)&h->sd[i];
	return NULL;
}

bool hda_stream_runs(const struct hda *h, unsigned tag, bool to_codec)
{
	return tag != HDA_NO_STREAM && find_stream(h, tag, to_codec);
}

/* Buffers without a byte, which no list should have, are skipped, but a few only: this is done for every sample. */
static bool fetch_entry(struct hda *h, struct stream *s)
{
	uint8_t entry[16] = { 0 };

	for (int empty = 0; !s->left && empty < MOST_EMPTY; empty++) {
		pci_dma_read(&h->pci, ((uint64_t)s->bdpu << 32 | (s->bdpl & ~0x7fu)) + 16u * s->entry, entry,
			     sizeof(entry));
		s->addr = ld64(entry);
		s->left = ld32(entry + 8);
		s->ioc = ld32(entry + 12) & BD_IOC;
		s->entry = s->entry >= (s->lvi & 0xff) ? 0 : (uint8_t)(s->entry + 1);
	}
	return s->left;
}

static void show_position(struct hda *h, const struct stream *s)
{
	uint8_t word[4];

	if (!(h->dpl & DPL_ENABLE))
		return;
	st32(word, s->lpib);
	pci_dma_write(&h->pci, ((uint64_t)h->dpu << 32 | (h->dpl & ~0x7fu)) + 8u * (unsigned)(s - h->sd), word,
		      sizeof(word));
}

uint32_t hda_stream_move(struct hda *h, unsigned tag, bool to_codec, uint8_t *p, uint32_t n)
{
	struct stream *s = find_stream(h, tag, to_codec);
	uint32_t done = 0;

	while (s && done < n && s->cbl && fetch_entry(h, s)) {
		uint32_t k = (uint32_t)min_u64(min_u64(n - done, s->left), s->cbl - s->lpib);

		if (to_codec)
			pci_dma_read(&h->pci, s->addr, p + done, k);
		else
			pci_dma_write(&h->pci, s->addr, p + done, k);
		done += k;
		s->addr += k;
		s->left -= k;
		s->lpib = s->lpib + k >= s->cbl ? 0 : s->lpib + k;
		if (!s->left && s->ioc)
			s->sts |= STS_BCIS;
	}
	if (done) {
		show_position(h, s);
		hda_update(h);
	}
	return done;
}

void hda_streams_changed(struct hda *h)
{
	for (int i = 0; i < HDA_CODECS; i++)
		if (h->codec[i])
			h->codec[i]->streams(h->codec[i]);
}

static void stream_reset(struct stream *s, uint16_t ctl)
{
	*s = (struct stream){ .ctl = ctl, .fifos = 0xbf };
}

static void sd_ctl_write(struct hda *h, int i, uint32_t v, uint32_t old)
{
	struct stream *s = &h->sd[i];

	if (v & SD_RST)
		stream_reset(s, SD_RST);
	if (!(v & SD_RST) && old & SD_RST)
		stream_reset(s, (uint16_t)(v & SD_ENABLES));
	s->sts = (uint8_t)(s->ctl & SD_RUN ? s->sts | STS_FIFORDY : s->sts & ~STS_FIFORDY);
	if ((s->ctl ^ old) & SD_RUN)
		hda_streams_changed(h);
}

static uint32_t sd_lpib_read(struct hda *h, int i)
{
	hda_streams_changed(h);
	return h->sd[i].lpib;
}

static void tag_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	hda_streams_changed(dev);
}

/* A table has no index to give, so each engine has functions of its own. */
#define STREAM_FUNCTIONS(i) \
	static void ctl##i##_write(void *d, uint32_t v, uint32_t old) { sd_ctl_write(d, i, v, old); } \
	static uint32_t lpib##i##_read(void *d) { return sd_lpib_read(d, i); }
STREAM_FUNCTIONS(0) STREAM_FUNCTIONS(1) STREAM_FUNCTIONS(2) STREAM_FUNCTIONS(3)
STREAM_FUNCTIONS(4) STREAM_FUNCTIONS(5) STREAM_FUNCTIONS(6) STREAM_FUNCTIONS(7)

/* ---- the controller ---- */

static void controller_reset(struct hda *h)
{
	for (int i = 0; i < N_STREAMS; i++)
		stream_reset(&h->sd[i], 0);
	h->intctl = h->ssync = h->corb_lo = h->corb_hi = h->rirb_lo = h->rirb_hi = h->dpl = h->dpu = 0;
	h->icoi = h->icii = 0;
	h->corbwp = h->corbrp = h->rirbwp = h->rintcnt = h->ics = h->responses = 0;
	h->corbctl = h->corbsts = h->rirbctl = h->rirbsts = 0;
	h->statests = 0;
	h->wall_base = clock_now(&h->pci.dev.m->clock);
	hda_streams_changed(h);
}

/* Out of reset each codec that is there says so. */
static void gctl_write(void *dev, uint32_t v, uint32_t old)
{
	struct hda *h = dev;

	if (!(v & GCTL_CRST)) {
		controller_reset(h);
	} else if (!(old & GCTL_CRST)) {
		for (int i = 0; i < HDA_CODECS; i++) {
			if (!h->codec[i])
				continue;
			h->codec[i]->link_reset(h->codec[i]);
			h->statests |= (uint16_t)(1u << i);
		}
	}
}

static uint32_t wall_read(void *dev)
{
	const struct hda *h = dev;

	return (uint32_t)muldiv64(clock_now(&h->pci.dev.m->clock) - h->wall_base, WALL_HZ, NS_PER_SEC);
}

static uint32_t gcap_read(void *dev)
{
	(void)dev;
	return GCAP;
}

static uint32_t version_read(void *dev)
{
	(void)dev;
	return 0x0100;		/* 1.0: minor at 2, major at 3 */
}

static uint32_t payload_out_read(void *dev)
{
	(void)dev;
	return 0x3c;
}

static uint32_t payload_in_read(void *dev)
{
	(void)dev;
	return 0x1d;
}

/* 256 entries, and no other choice. */
static uint32_t ring_size_read(void *dev)
{
	(void)dev;
	return 0x42;
}

#define F(f) offsetof(struct hda, f)
#define PLAIN(off, name, field, mask, size)	{ off, REG_ANY, name, F(field), 0, mask, 0, NULL, NULL, size }
#define READ(off, name, fn, size)		{ off, REG_ANY, name, REG_NONE, 0, 0, 0, fn, NULL, size }
#define STREAM(i) \
	{ 0x80 + 0x20 * i, REG_ANY, "sd" #i "_ctl", F(sd[i].ctl), 0, 0x001f, 0, NULL, ctl##i##_write, 2 }, \
	{ 0x82 + 0x20 * i, REG_ANY, "sd" #i "_tag", F(sd[i].tag), 0, 0xff, 0, NULL, tag_write, 1 }, \
	{ 0x83 + 0x20 * i, REG_ANY, "sd" #i "_sts", F(sd[i].sts), 0, 0, 0, NULL, NULL, 1, STS_BCIS | STS_ERRORS }, \
	{ 0x84 + 0x20 * i, REG_ANY, "sd" #i "_lpib", F(sd[i].lpib), 0, 0, 0, lpib##i##_read, NULL, 4 }, \
	PLAIN(0x88 + 0x20 * i, "sd" #i "_cbl",   sd[i].cbl,   0xffffffff, 4), \
	PLAIN(0x8c + 0x20 * i, "sd" #i "_lvi",   sd[i].lvi,   0x00ff,     2), \
	PLAIN(0x90 + 0x20 * i, "sd" #i "_fifos", sd[i].fifos, 0,          2), \
	PLAIN(0x92 + 0x20 * i, "sd" #i "_fmt",   sd[i].fmt,   0x7f7f,     2), \
	PLAIN(0x98 + 0x20 * i, "sd" #i "_bdpl",  sd[i].bdpl,  0xffffff80, 4), \
	PLAIN(0x9c + 0x20 * i, "sd" #i "_bdpu",  sd[i].bdpu,  0xffffffff, 4)
static const struct reg hda_regs[] = {
	STREAM(0), STREAM(1), STREAM(2), STREAM(3), STREAM(4), STREAM(5), STREAM(6), STREAM(7),
	READ(0x00, "gcap", gcap_read, 2),
	READ(0x02, "version", version_read, 2),
	READ(0x04, "outpay", payload_out_read, 2),
	READ(0x06, "inpay", payload_in_read, 2),
	{ 0x08, REG_ANY, "gctl",     F(gctl),     0, 0x103,  0, NULL, gctl_write,     4 },
	PLAIN(0x0c, "wakeen", wakeen, 0x7fff, 2),
	{ 0x0e, REG_ANY, "statests", F(statests), 0, 0,      0, NULL, NULL, 2, 0xffff },
	PLAIN(0x20, "intctl", intctl, 0xc00000ff, 4),
	READ(0x24, "intsts", intsts_read, 4),
	READ(0x30, "walclk", wall_read, 4),
	PLAIN(0x38, "ssync", ssync, 0xff, 4),
	PLAIN(0x40, "corblbase", corb_lo, 0xffffff80, 4),
	PLAIN(0x44, "corbubase", corb_hi, 0xffffffff, 4),
	{ 0x48, REG_ANY, "corbwp",   F(corbwp),   0, 0x00ff, 0, NULL, corb_changed,   2 },
	{ 0x4a, REG_ANY, "corbrp",   F(corbrp),   0, 0,      0, NULL, corbrp_write,   2 },
	{ 0x4c, REG_ANY, "corbctl",  F(corbctl),  0, 0x03,   0, NULL, corb_changed,   1 },
	{ 0x4d, REG_ANY, "corbsts",  F(corbsts),  0, 0,      0, NULL, NULL,           1, 0x01 },
	READ(0x4e, "corbsize", ring_size_read, 1),
	PLAIN(0x50, "rirblbase", rirb_lo, 0xffffff80, 4),
	PLAIN(0x54, "rirbubase", rirb_hi, 0xffffffff, 4),
	{ 0x58, REG_ANY, "rirbwp",   F(rirbwp),   0, 0,      0, NULL, rirbwp_write,   2 },
	PLAIN(0x5a, "rintcnt", rintcnt, 0x00ff, 2),
	{ 0x5c, REG_ANY, "rirbctl",  F(rirbctl),  0, 0x07,   0, NULL, corb_changed,   1 },
	{ 0x5d, REG_ANY, "rirbsts",  F(rirbsts),  0, 0,      0, NULL, NULL,           1, 0x05 },
	READ(0x5e, "rirbsize", ring_size_read, 1),
	PLAIN(0x60, "icoi", icoi, 0xffffffff, 4),
	PLAIN(0x64, "icii", icii, 0, 4),
	{ 0x68, REG_ANY, "ics",      F(ics),      0, 0,      0, NULL, ics_write,      2 },
	PLAIN(0x70, "dplbase", dpl, 0xffffff81, 4),
	PLAIN(0x74, "dpubase", dpu, 0xffffffff, 4),
	{ 0 }
};

/* ---- the link ---- */

/* A link is named by its controller ("sound0" or "sound0.0"), or "hda.0". */
static bool is_named(const struct dev *d, const char *bus)
{
	size_t n = strlen(d->id);

	return !bus || !strcmp(bus, "hda.0") || (!strncmp(bus, d->id, n) && (!bus[n] || !strcmp(bus + n, ".0")));
}

static struct hda *find_controller(struct machine *m, const char *bus, struct err *e)
{
	for (struct dev *d = m->devs; d; d = d->next)
		if ((d->type == &hda_type || d->type == &ich9_hda_type) && is_named(d, bus))
			return (struct hda *)d;
	err_set(e, bus ? "there is no HD Audio controller '%s'" : "there is no HD Audio controller%s; "
		"give -device intel-hda before it", bus ? bus : "");
	return NULL;
}

bool hda_attach(struct hda_codec *c, const char *bus, int at, struct err *e)
{
	struct hda *h = find_controller(c->dev.m, bus, e);

	if (!h)
		return false;
	for (int i = 0; i < HDA_CODECS && at < 0; i++)
		if (!h->codec[i])
			at = i;
	if (at < 0 || at >= HDA_CODECS || h->codec[at])
		return err_set(e, "no room for a codec at address %d of %s", at, h->pci.dev.id);
	c->hda = h;
	c->address = (uint8_t)at;
	h->codec[at] = c;
	return true;
}

void hda_detach(struct hda_codec *c)
{
	if (c->hda)
		c->hda->codec[c->address] = NULL;
	c->hda = NULL;
}

/* ---- the device ---- */

static bool hda_start(void *dev, uint16_t id, struct err *e)
{
	struct hda *h = dev;
	const struct pci_ids ids = {
		.vendor = 0x8086, .device = id, .subvendor = 0x1af4, .subdevice = 0x1100,
		.class = 0x040300, .revision = id == 0x2668 ? 1 : 3, .int_pin = 1,
	};

	if (!pci_attach(&h->pci, &ids, e) || !pci_bar_mmio(&h->pci, 0, MMIO_SIZE, &dev_mmio_ops, h, e))
		return false;
	pci_set_config(&h->pci, 0x40, 1, 1, 0);		/* HDCTL: this is HD Audio, not AC'97 */
	pci_add_msi(&h->pci);
	return true;
}

static bool ich6_init(void *dev, struct err *e)
{
	return hda_start(dev, 0x2668, e);
}

static bool ich9_init(void *dev, struct err *e)
{
	return hda_start(dev, 0x293e, e);
}

static void hda_fini(void *dev)
{
	struct hda *h = dev;

	for (int i = 0; i < N_STREAMS; i++)
		stream_reset(&h->sd[i], 0);
	hda_streams_changed(h);		/* the codecs, which stay, ask for nothing more */
	for (int i = 0; i < HDA_CODECS; i++)
		if (h->codec[i])
			hda_detach(h->codec[i]);
	pci_detach(&h->pci);
}

static void hda_reset(void *dev)
{
	struct hda *h = dev;

	pci_reset(&h->pci);
	h->gctl = 0;
	h->wakeen = 0;
	controller_reset(h);
}

static bool hda_loaded(void *dev, struct err *e)
{
	struct hda *h = dev;

	for (int i = 0; i < N_STREAMS; i++)
		if (h->sd[i].lpib && h->sd[i].lpib >= h->sd[i].cbl)
			return err_set(e, "stream %d: position behind its buffer", i);
	hda_streams_changed(h);
	return pci_loaded(&h->pci);
}

static const struct state hda_state[] = {
	STATE(hda, sd), STATE(hda, responses), STATE(hda, wall_base), { 0 }
};

#define HDA_TYPE(n, i, text) { \
	.name = n, .bus = "pci", .help = text, .size = sizeof(struct hda), .version = 1, \
	.regs = hda_regs, .state = hda_state, .bus_props = pci_props, .bus_state = pci_state, \
	.init = i, .fini = hda_fini, .reset = hda_reset, .update = hda_update, .loaded = hda_loaded, \
}
const struct dev_type hda_type = HDA_TYPE("intel-hda", ich6_init, "Intel HD Audio controller (ICH6)");
const struct dev_type ich9_hda_type = HDA_TYPE("ich9-intel-hda", ich9_init, "Intel HD Audio controller (ICH9)");
