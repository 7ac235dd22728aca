/*
 * Intel 82801AA AC'97 sound: a mixer (BAR 0, the codec's registers) and three bus
 * masters (BAR 1) that walk rings of 32 buffer descriptors: PCM in, PCM out,
 * microphone in.
 *
 * PCM out is a voice of the back end. The inputs run at the mixer's pace, too, and
 * record silence.
 *
 * Not modelled: surround channels, modem, S/PDIF, power states of the codec (its
 * parts are always ready), sample rates of the microphone other than the ADC's.
 * Source: Intel 82801AA (ICH) and 82801AB datasheet, chapter 13 ("AC'97 Audio
 * Controller Registers"); AC'97 Component Specification 2.3, chapter 5.
 */
#include "hw/audio/ac97.h"

#include <math.h>

#include "hw/backend/audio.h"
#include "hw/pci/pci.h"

enum { PI, PO, MC, N_MASTERS };
enum { N_DESCRIPTORS = 32, NAM_SIZE = 256, NABM_SIZE = 64 };

/* Status and control of a bus master. */
#define SR_DCH		0x01u		/* halted */
#define SR_CELV		0x02u		/* the current entry is the last valid one */
#define SR_LVBCI	0x04u
#define SR_BCIS		0x08u
#define SR_FIFOE	0x10u
#define SR_CLEAR	(SR_LVBCI | SR_BCIS | SR_FIFOE)
#define CR_RPBM		0x01u		/* run */
#define CR_RR		0x02u		/* reset */
#define CR_LVBIE	0x04u
#define CR_IOCE		0x10u
#define CR_KEPT		0x1du

#define BD_IOC		BIT(31)
#define BD_SAMPLES	0xffffu

#define GC_COLD		BIT(1)		/* 0: the codec is in reset */
#define GS_READY	BIT(8)		/* primary codec */
static const uint32_t gs_interrupt[N_MASTERS] = { BIT(5), BIT(6), BIT(7) };

#define EXT_VRA		0x0001u		/* variable rate */
#define RATE_DEFAULT	48000u

struct master {
	uint32_t bdbar;
	uint32_t bd_addr, bd_word;	/* the entry being worked on */
	uint16_t sr, picb;		/* picb: samples of it that are left */
	uint8_t civ, lvi, piv, cr;
};

struct ac97 {
	struct pci_dev pci;
	struct audio *audio;		/* property */
	struct audio_voice voice, ear;	/* ear: keeps the inputs going */
	struct master bm[N_MASTERS];
	uint16_t master_vol, aux_vol, mono_vol, tone, beep, phone, mic, line_in, cd, video, aux_in, pcm_vol;
	uint16_t rec_select, rec_gain, rec_mic_gain, general, threed, power, ext_ctrl, dac_rate, adc_rate, mic_rate;
	uint32_t glob_cnt;
	uint8_t cas;
};

/* ---- the ring of buffers ---- */

static void fetch_entry(struct ac97 *a, struct master *m)
{
	uint8_t entry[8] = { 0 };

	pci_dma_read(&a->pci, (uint64_t)(m->bdbar & ~7u) + 8u * m->civ, entry, sizeof(entry));
	m->bd_addr = ld32(entry) & ~1u;
	m->bd_word = ld32(entry + 4);
	m->picb = (uint16_t)(m->bd_word & BD_SAMPLES);
	m->piv = (uint8_t)((m->civ + 1) % N_DESCRIPTORS);
	m->sr = (uint16_t)(m->civ == m->lvi ? m->sr | SR_CELV : m->sr & ~SR_CELV);
}

/* The entry is used up: the next one, or a halt. False: nothing is left to do. */
static bool next_entry(struct ac97 *a, struct master *m)
{
	if (m->bd_word & BD_IOC)
		m->sr |= SR_BCIS;
	if (m->civ == m->lvi) {
		m->sr |= SR_LVBCI | SR_DCH;
		return false;
	}
	m->civ = m->piv;
	fetch_entry(a, m);
	return true;
}

/* Bus address of the next frame (two samples), which is then behind us. False: halted. */
static bool take_frame(struct ac97 *a, struct master *m, uint32_t *addr)
{
	int empty = 0;

	if (!(m->cr & CR_RPBM) || m->sr & SR_DCH)
		return false;
	while (m->picb < 2)
		if (!next_entry(a, m) || ++empty > N_DESCRIPTORS)
			return false;
	*addr = m->bd_addr;
	m->bd_addr += 4;
	m->picb = (uint16_t)(m->picb - 2);
	if (!m->picb)
		next_entry(a, m);
	return true;
}

static void ac97_update(void *dev);

/* A volume register: attenuation in steps of 1.5 dB, bit 15 mutes; 0x8000 = 1. */
static int32_t gain(uint16_t reg, int shift, unsigned zero)
{
	int steps = (int)(reg >> shift & 0x1f) - (int)zero;

	return reg & 0x8000 ? 0 : (int32_t)(32768 * pow(10, -1.5 * steps / 20));
}

static int16_t scaled(int16_t sample, int64_t g)
{
	int64_t v = sample * g >> 30;

	return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

static uint32_t play(void *opaque, struct audio_frame *out, uint32_t n)
{
	struct ac97 *a = opaque;
	int64_t left = (int64_t)gain(a->master_vol, 8, 0) * gain(a->pcm_vol, 8, 8);
	int64_t right = (int64_t)gain(a->master_vol, 0, 0) * gain(a->pcm_vol, 0, 8);
	uint8_t f[4];
	uint32_t i, addr;

	for (i = 0; i < n && take_frame(a, &a->bm[PO], &addr); i++) {
		pci_dma_read(&a->pci, addr, f, sizeof(f));
		out[i].left = scaled((int16_t)ld16(f), left);
		out[i].right = scaled((int16_t)ld16(f + 2), right);
	}
	ac97_update(a);
	return i;
}

/* Nothing is heard: it is the inputs' clock. */
static uint32_t record(void *opaque, struct audio_frame *out, uint32_t n)
{
	static const uint8_t silence[4];
	struct ac97 *a = opaque;
	uint32_t addr;

	(void)out;
	for (uint32_t i = 0; i < n; i++) {
		if (take_frame(a, &a->bm[PI], &addr))
			pci_dma_write(&a->pci, addr, silence, sizeof(silence));
		if (take_frame(a, &a->bm[MC], &addr))
			pci_dma_write(&a->pci, addr, silence, sizeof(silence));
	}
	ac97_update(a);
	return 0;
}

/* ---- interrupts, and what runs ---- */

static bool interrupts(const struct master *m)
{
	return (m->sr & SR_LVBCI && m->cr & CR_LVBIE) || (m->sr & SR_BCIS && m->cr & CR_IOCE);
}

static bool runs(const struct master *m)
{
	return m->cr & CR_RPBM && !(m->sr & SR_DCH);
}

static void ac97_update(void *dev)
{
	struct ac97 *a = dev;

	pci_set_irq(&a->pci, interrupts(&a->bm[PI]) || interrupts(&a->bm[PO]) || interrupts(&a->bm[MC]));
}

static uint32_t rate(const struct ac97 *a, uint16_t reg)
{
	return a->ext_ctrl & EXT_VRA && reg ? reg : RATE_DEFAULT;
}

static void set_rates(struct ac97 *a)
{
	audio_voice_rate(&a->voice, runs(&a->bm[PO]) ? rate(a, a->dac_rate) : 0);
	audio_voice_rate(&a->ear, runs(&a->bm[PI]) || runs(&a->bm[MC]) ? rate(a, a->adc_rate) : 0);
}

/* ---- bus masters' registers ---- */

static void sync(struct ac97 *a)
{
	audio_voice_sync(&a->voice);
}

static void master_reset(struct master *m)
{
	*m = (struct master){ .sr = SR_DCH };
}

/* The driver put entries behind the one that halted us. */
static void go_on(struct ac97 *a, struct master *m)
{
	if (!(m->cr & CR_RPBM) || !(m->sr & SR_DCH))
		return;
	m->sr &= (uint16_t)~SR_DCH;
	m->civ = m->piv;
	fetch_entry(a, m);
}

static void lvi_write(struct ac97 *a, struct master *m, uint8_t v)
{
	m->lvi = v % N_DESCRIPTORS;
	go_on(a, m);
	if (m->civ != m->lvi)
		m->sr &= (uint16_t)~SR_CELV;
}

static void cr_write(struct ac97 *a, struct master *m, uint8_t v)
{
	if (v & CR_RR && !(v & CR_RPBM)) {
		uint8_t kept = m->cr & CR_IOCE;	/* interrupt enables survive */
		master_reset(m);
		m->cr = kept;
		return;
	}
	m->cr = v & CR_KEPT;
	if (!(m->cr & CR_RPBM)) {
		m->sr |= SR_DCH;
		return;
	}
	m->sr &= (uint16_t)~SR_DCH;
	if (!m->picb)
		fetch_entry(a, m);
}

static uint32_t master_read(const struct master *m, unsigned off)
{
	switch (off) {
	case 0x0: return m->bdbar;
	case 0x4: return m->civ | (uint32_t)m->lvi << 8 | (uint32_t)m->sr << 16;
	case 0x8: return m->picb | (uint32_t)m->piv << 16 | (uint32_t)m->cr << 24;
	default:  return 0;
	}
}

static void master_write_byte(struct ac97 *a, struct master *m, unsigned off, uint8_t v)
{
	switch (off) {
	case 0x0: case 0x1: case 0x2: case 0x3:
		m->bdbar = (m->bdbar & ~(0xffu << 8 * off)) | (uint32_t)v << 8 * off;
		m->bdbar &= ~7u;
		break;
	case 0x5:
		lvi_write(a, m, v);
		break;
	case 0x6:
		m->sr &= (uint16_t)~(v & SR_CLEAR);
		break;
	case 0xb:
		cr_write(a, m, v);
		break;
	}
}

static uint32_t global_status(const struct ac97 *a)
{
	uint32_t v = a->glob_cnt & GC_COLD ? GS_READY : 0;

	for (int i = 0; i < N_MASTERS; i++)
		if (interrupts(&a->bm[i]))
			v |= gs_interrupt[i];
	return v;
}

enum { GLOB_CNT = 0x2c, GLOB_STA = 0x30, CAS = 0x34 };

static uint32_t nabm_dword(struct ac97 *a, unsigned off)
{
	if (off < 0x10 * N_MASTERS && off != GLOB_CNT)
		return master_read(&a->bm[off >> 4], off & 0xc);
	return off == GLOB_CNT ? a->glob_cnt : off == GLOB_STA ? global_status(a) : 0;
}

static uint32_t nabm_read(void *dev, uint16_t off, int size)
{
	struct ac97 *a = dev;
	uint32_t v;

	sync(a);
	if (off == CAS && size == 1) {		/* a semaphore: reading takes it, an access of the codec gives it back */
		v = a->cas;
		a->cas = 1;
		return v;
	}
	v = nabm_dword(a, off & ~3u) >> 8 * (off & 3);
	return size == 4 ? v : v & ((1u << 8 * size) - 1);
}

static void nabm_write(void *dev, uint16_t off, int size, uint32_t v)
{
	struct ac97 *a = dev;

	sync(a);
	for (int i = 0; i < size; i++, off++, v >>= 8) {
		if (off >= GLOB_CNT && off < GLOB_CNT + 4)
			a->glob_cnt = (a->glob_cnt & ~(0xffu << 8 * (off & 3))) | (v & 0xff) << 8 * (off & 3);
		else if (off == CAS)
			a->cas = v & 1;
		else if (off < 0x10 * N_MASTERS)
			master_write_byte(a, &a->bm[off >> 4], off & 0xf, (uint8_t)v);
	}
	set_rates(a);
	ac97_update(a);
}

static const struct port_ops nabm_ops = { nabm_read, nabm_write, 4, 1 };

/* ---- the codec ---- */

static void codec_reset(struct ac97 *a);

static void reset_write(void *dev, uint32_t v, uint32_t old)
{
	(void)v, (void)old;
	codec_reset(dev);
}

/* The parts of the codec are ready whatever is switched off. */
static uint32_t power_read(void *dev)
{
	return ((struct ac97 *)dev)->power | 0x000f;
}

static uint32_t ext_id_read(void *dev)
{
	(void)dev;
	return EXT_VRA;
}

/* SigmaTel STAC9700 */
static uint32_t vendor1_read(void *dev)
{
	(void)dev;
	return 0x8384;
}

static uint32_t vendor2_read(void *dev)
{
	(void)dev;
	return 0x7600;
}

/* Rates can be chosen while variable rates are on. */
static void rate_write(void *dev, uint32_t v, uint32_t old)
{
	struct ac97 *a = dev;
	bool variable = a->ext_ctrl & EXT_VRA;

	(void)v, (void)old;
	if (!variable || a->dac_rate < 4000)
		a->dac_rate = variable ? 4000 : RATE_DEFAULT;
	if (!variable || a->adc_rate < 4000)
		a->adc_rate = variable ? 4000 : RATE_DEFAULT;
	set_rates(a);
}

static void ext_write(void *dev, uint32_t v, uint32_t old)
{
	struct ac97 *a = dev;

	(void)v, (void)old;
	if (!(a->ext_ctrl & EXT_VRA))
		a->dac_rate = a->adc_rate = RATE_DEFAULT;
	set_rates(a);
}

#define F(f) offsetof(struct ac97, f)
#define W(off, name, field, reset, mask) { off, REG_ANY, name, F(field), reset, mask, 0, NULL, NULL, 2 }
#define CONSTANT(off, name, fn) { off, REG_ANY, name, REG_NONE, 0, 0, 0, fn, NULL, 2 }
static const struct reg ac97_regs[] = {
	{ 0x00, REG_ANY, "reset", REG_NONE, 0, 0, 0, NULL, reset_write, 2 },
	W(0x02, "master",      master_vol, 0x8000, 0x9f1f),
	W(0x04, "aux-out",     aux_vol,    0x8000, 0x9f1f),
	W(0x06, "mono",        mono_vol,   0x8000, 0x801f),
	W(0x08, "tone",        tone,       0x0f0f, 0x0f0f),
	W(0x0a, "beep",        beep,       0x0000, 0x801e),
	W(0x0c, "phone",       phone,      0x8008, 0x801f),
	W(0x0e, "mic",         mic,        0x8008, 0x805f),
	W(0x10, "line-in",     line_in,    0x8808, 0x9f1f),
	W(0x12, "cd",          cd,         0x8808, 0x9f1f),
	W(0x14, "video",       video,      0x8808, 0x9f1f),
	W(0x16, "aux-in",      aux_in,     0x8808, 0x9f1f),
	W(0x18, "pcm-out",     pcm_vol,    0x8808, 0x9f1f),
	W(0x1a, "rec-select",  rec_select, 0x0000, 0x0707),
	W(0x1c, "rec-gain",    rec_gain,   0x8000, 0x8f0f),
	W(0x1e, "rec-mic",     rec_mic_gain, 0x8000, 0x800f),
	W(0x20, "general",     general,    0x0000, 0xf380),
	W(0x22, "3d",          threed,     0x0000, 0x0000),
	{ 0x26, REG_ANY, "power", F(power), 0x0000, 0xff00, 0, power_read, NULL, 2 },
	CONSTANT(0x28, "ext-id", ext_id_read),
	{ 0x2a, REG_ANY, "ext-ctrl", F(ext_ctrl), 0, EXT_VRA, 0, NULL, ext_write, 2 },
	{ 0x2c, REG_ANY, "dac-rate", F(dac_rate), RATE_DEFAULT, 0xffff, 0, NULL, rate_write, 2 },
	{ 0x32, REG_ANY, "adc-rate", F(adc_rate), RATE_DEFAULT, 0xffff, 0, NULL, rate_write, 2 },
	W(0x34, "mic-rate",    mic_rate,   RATE_DEFAULT, 0x0000),
	CONSTANT(0x7c, "vendor1", vendor1_read),
	CONSTANT(0x7e, "vendor2", vendor2_read),
	{ 0 }
};

static void codec_reset(struct ac97 *a)
{
	for (const struct reg *r = ac97_regs; r->name; r++)
		if (r->stored != REG_NONE)
			reg_poke(&a->pci.dev, r, r->reset);
	set_rates(a);
}

static uint32_t nam_read(void *dev, uint16_t off, int size)
{
	((struct ac97 *)dev)->cas = 0;
	return dev_reg_read(dev, off, size);
}

static void nam_write(void *dev, uint16_t off, int size, uint32_t v)
{
	((struct ac97 *)dev)->cas = 0;
	dev_reg_write(dev, off, size, v);
}

static const struct port_ops nam_ops = { nam_read, nam_write, 4, 1 };

/* ---- the device ---- */

static bool ac97_init(void *dev, struct err *e)
{
	struct ac97 *a = dev;
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x2415, .subvendor = 0x1af4, .subdevice = 0x1100,
		.class = 0x040100, .revision = 1, .int_pin = 1,
	};

	if (!a->audio && !(a->audio = audio_default(a->pci.dev.m, e)))
		return false;
	a->voice = (struct audio_voice){ .pull = play, .opaque = a };
	a->ear = (struct audio_voice){ .pull = record, .opaque = a };
	audio_voice_add(a->audio, &a->voice);
	audio_voice_add(a->audio, &a->ear);
	return pci_attach(&a->pci, &ids, e)
		&& pci_bar_io(&a->pci, 0, NAM_SIZE, &nam_ops, a, e)
		&& pci_bar_io(&a->pci, 1, NABM_SIZE, &nabm_ops, a, e);
}

static void ac97_fini(void *dev)
{
	struct ac97 *a = dev;

	audio_voice_del(&a->voice);
	audio_voice_del(&a->ear);
	pci_detach(&a->pci);
}

static void ac97_reset(void *dev)
{
	struct ac97 *a = dev;

	pci_reset(&a->pci);
	for (int i = 0; i < N_MASTERS; i++)
		master_reset(&a->bm[i]);
	a->glob_cnt = 0;
	a->cas = 0;
	set_rates(a);
}

static bool ac97_loaded(void *dev, struct err *e)
{
	struct ac97 *a = dev;

	(void)e;
	for (int i = 0; i < N_MASTERS; i++) {
		a->bm[i].civ %= N_DESCRIPTORS;
		a->bm[i].lvi %= N_DESCRIPTORS;
		a->bm[i].piv %= N_DESCRIPTORS;
	}
	set_rates(a);
	return pci_loaded(&a->pci);
}

static const struct state ac97_state[] = {
	STATE(ac97, bm), STATE(ac97, glob_cnt), STATE(ac97, cas), { 0 }
};
static const struct prop ac97_props[] = {
	PROP_REF("audiodev", ac97, audio, "audiodev", "where it is heard"),
	{ 0 }
};

const struct dev_type ac97_type = {
	.name = "AC97", .alias = "ac97", .bus = "pci", .help = "Intel 82801AA AC'97 sound",
	.size = sizeof(struct ac97), .version = 1,
	.regs = ac97_regs, .state = ac97_state, .props = ac97_props,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = ac97_init, .fini = ac97_fini, .reset = ac97_reset, .update = ac97_update, .loaded = ac97_loaded,
};
