/*
 * A codec on the HD Audio link: an audio function group with a converter and a
 * jack for the way out (hda-output), and another pair for the way in (hda-duplex).
 *
 *	node 0 root   1 function group   2 DAC -> 3 line out   4 ADC <- 5 line in
 *
 * Widgets are rows: what a parameter says is written there once. Samples have 16
 * bits, one or two channels. The way in records silence.
 *
 * Not modelled: unsolicited responses, power states (all is always ready), other
 * sample sizes.
 * Source: High Definition Audio Specification 1.0a, chapter 7.
 */
#include "hw/audio/hda_priv.h"

#include <math.h>

#include "hw/backend/audio.h"

enum { ROOT, GROUP, DAC, OUT_JACK, ADC, IN_JACK, N_NODES };

#define VENDOR_ID	0x1af40020u
#define REVISION	0x00100100u

/* Parameters (verb F00). */
enum {
	PAR_VENDOR = 0x00, PAR_REVISION = 0x02, PAR_NODES = 0x04, PAR_GROUP_TYPE = 0x05, PAR_WIDGET = 0x09,
	PAR_RATES = 0x0a, PAR_FORMATS = 0x0b, PAR_PIN = 0x0c, PAR_AMP_IN = 0x0d, PAR_LIST = 0x0e,
	PAR_POWER = 0x0f, PAR_AMP_OUT = 0x12, N_PARAMETERS = 0x14,
};

#define TYPE_OUTPUT	(0u << 20)
#define TYPE_INPUT	(1u << 20)
#define TYPE_PIN	(4u << 20)
#define CAP_STEREO	0x001u
#define CAP_AMP_IN	0x002u
#define CAP_AMP_OUT	0x004u
#define CAP_OWN_AMP	0x008u
#define CAP_OWN_FORMAT	0x010u
#define CAP_LIST	0x100u

#define RATES		0x200fcu	/* 16 bits; 16 to 96 kHz */
#define AMP_STEPS	0x4au
#define AMP		(BIT(31) | 0x03u << 16 | AMP_STEPS << 8 | AMP_STEPS)	/* can mute; 1 dB a step; the last is 0 dB */
#define AMP_MUTE	0x80u

struct node {
	uint8_t n;
	uint32_t parameter[N_PARAMETERS];
	uint8_t connection;		/* its only one; 0: none */
	uint32_t jack;			/* configuration default */
};

static const struct node nodes[N_NODES] = {
	[ROOT] = { .n = ROOT, .parameter = { [PAR_VENDOR] = VENDOR_ID, [PAR_REVISION] = REVISION, [PAR_NODES] = GROUP << 16 | 1 } },
	[GROUP] = { .n = GROUP, .parameter = { [PAR_GROUP_TYPE] = 1, [PAR_RATES] = RATES, [PAR_FORMATS] = 1, [PAR_POWER] = 0x0f } },
	[DAC] = { .n = DAC, .parameter = {
		[PAR_WIDGET] = TYPE_OUTPUT | CAP_STEREO | CAP_AMP_OUT | CAP_OWN_AMP | CAP_OWN_FORMAT,
		[PAR_RATES] = RATES, [PAR_FORMATS] = 1, [PAR_AMP_OUT] = AMP } },
	[OUT_JACK] = { .n = OUT_JACK, .connection = DAC, .jack = 0x01014010, .parameter = {
		[PAR_WIDGET] = TYPE_PIN | CAP_STEREO | CAP_LIST, [PAR_PIN] = BIT(4), [PAR_LIST] = 1 } },
	[ADC] = { .n = ADC, .connection = IN_JACK, .parameter = {
		[PAR_WIDGET] = TYPE_INPUT | CAP_STEREO | CAP_AMP_IN | CAP_OWN_AMP | CAP_OWN_FORMAT | CAP_LIST,
		[PAR_RATES] = RATES, [PAR_FORMATS] = 1, [PAR_AMP_IN] = AMP, [PAR_LIST] = 1 } },
	[IN_JACK] = { .n = IN_JACK, .jack = 0x01813020, .parameter = {
		[PAR_WIDGET] = TYPE_PIN | CAP_STEREO, [PAR_PIN] = BIT(5) } },
};

/* What software sets of a widget. */
struct settings {
	uint16_t format;
	uint8_t stream;			/* tag in bits 7..4, first channel in 3..0 */
	uint8_t amp[2];			/* left, right: mute and gain */
	uint8_t pin, power, eapd, unsolicited;
	uint32_t jack;
};

struct codec {
	struct hda_codec hda;
	struct audio *audio;		/* properties */
	char *bus;
	int32_t cad;
	struct audio_voice voice, ear;
	struct settings set[N_NODES];
	bool duplex;
};

/* ---- streams ---- */

static unsigned tag_of(const struct settings *s)
{
	return s->stream >> 4;
}

static uint32_t rate_of(uint16_t format)
{
	uint32_t base = format & BIT(14) ? 44100 : 48000;

	return base * ((format >> 11 & 7) + 1) / ((format >> 8 & 7) + 1);
}

static unsigned channels(uint16_t format)
{
	return (format & 15u) + 1;
}

static int32_t gain(uint8_t amp)
{
	return amp & AMP_MUTE ? 0 : (int32_t)(65536 * pow(10, ((int)(amp & 0x7f) - (int)AMP_STEPS) / 20.0));
}

static int16_t scaled(const uint8_t *p, int32_t g)
{
	return (int16_t)((int64_t)(int16_t)ld16(p) * g >> 16);
}

static uint32_t play(void *opaque, struct audio_frame *out, uint32_t n)
{
	struct codec *c = opaque;
	const struct settings *s = &c->set[DAC];
	unsigned size = 2 * channels(s->format);
	int32_t left = gain(s->amp[0]), right = gain(s->amp[1]);
	uint8_t f[2 * 16];
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (hda_stream_move(c->hda.hda, tag_of(s), true, f, size) < size)
			break;
		out[i].left = scaled(f, left);
		out[i].right = scaled(f + (size > 2 ? 2 : 0), right);
	}
	return i;
}

static uint32_t record(void *opaque, struct audio_frame *out, uint32_t n)
{
	struct codec *c = opaque;
	const struct settings *s = &c->set[ADC];
	uint8_t silence[2 * 16] = { 0 };

	(void)out;
	while (n--)
		hda_stream_move(c->hda.hda, tag_of(s), false, silence, 2 * channels(s->format));
	return 0;
}

static uint32_t running_rate(const struct codec *c, int node, bool out)
{
	const struct settings *s = &c->set[node];
	bool sixteen = (s->format >> 4 & 7) == 1;

	return c->hda.hda && sixteen && hda_stream_runs(c->hda.hda, tag_of(s), out) ? rate_of(s->format) : 0;
}

static void codec_streams(struct hda_codec *h)
{
	struct codec *c = (struct codec *)h;

	audio_voice_sync(&c->voice);
	audio_voice_rate(&c->voice, running_rate(c, DAC, true));
	audio_voice_rate(&c->ear, c->duplex ? running_rate(c, ADC, false) : 0);
}

/* ---- commands ---- */

static uint32_t parameter(const struct codec *c, const struct node *n, unsigned which)
{
	if (which >= N_PARAMETERS)
		return 0;
	if (n->n == GROUP && which == PAR_NODES)
		return DAC << 16 | (c->duplex ? 4 : 2);
	return n->parameter[which];
}

static uint32_t get_amp(const struct settings *s, unsigned payload)
{
	return s->amp[payload >> 13 & 1 ? 0 : 1];
}

static void set_amp(const struct node *n, struct settings *s, unsigned payload)
{
	unsigned kind = n->parameter[PAR_WIDGET] & CAP_AMP_OUT ? BIT(15) : n->parameter[PAR_WIDGET] & CAP_AMP_IN ? BIT(14) : 0;
	uint8_t v = (uint8_t)(payload & (AMP_MUTE | 0x7f));

	if (!(payload & kind))
		return;
	if ((v & 0x7f) > AMP_STEPS)
		v = (uint8_t)((v & AMP_MUTE) | AMP_STEPS);
	if (payload & BIT(13))
		s->amp[0] = v;
	if (payload & BIT(12))
		s->amp[1] = v;
}

static void set_jack(struct settings *s, unsigned byte, uint8_t v)
{
	s->jack = (s->jack & ~(0xffu << 8 * byte)) | (uint32_t)v << 8 * byte;
}

static void group_reset(struct codec *c)
{
	for (int i = 0; i < N_NODES; i++)
		c->set[i] = (struct settings){
			.jack = nodes[i].jack, .amp = { AMP_STEPS, AMP_STEPS }, .format = 0x0011,
			.pin = nodes[i].parameter[PAR_PIN] & BIT(4) ? 0x40 : nodes[i].parameter[PAR_PIN] & BIT(5) ? 0x20 : 0,
		};
	codec_streams(&c->hda);
}

/* Verbs of 12 bits with 8 bits behind them. */
static uint32_t short_verb(struct codec *c, const struct node *n, unsigned verb, uint8_t v)
{
	struct settings *s = &c->set[n->n];

	switch (verb) {
	case 0xf00: return parameter(c, n, v);
	case 0xf01: case 0xf08: return verb == 0xf08 ? s->unsolicited : 0;
	case 0xf02: return v ? 0 : n->connection;
	case 0xf05: return s->power * 0x11u;		/* asked for, and reached */
	case 0xf06: return s->stream;
	case 0xf07: return s->pin;
	case 0xf09: return n->jack ? BIT(31) : 0;	/* something is plugged in */
	case 0xf0c: return s->eapd;
	case 0xf1c: return s->jack;
	case 0xf20: return VENDOR_ID;
	case 0x705: s->power = v & 3; return 0;
	case 0x706: s->stream = v; codec_streams(&c->hda); return 0;
	case 0x707: s->pin = v; return 0;
	case 0x708: s->unsolicited = v; return 0;
	case 0x70c: s->eapd = v; return 0;
	case 0x71c: case 0x71d: case 0x71e: case 0x71f: set_jack(s, verb & 3, v); return 0;
	case 0x7ff: group_reset(c); return 0;
	default:
		return 0;
	}
}

static uint32_t codec_command(struct hda_codec *h, uint32_t command)
{
	struct codec *c = (struct codec *)h;
	unsigned node = command >> 20 & 0xff, payload = command & 0xffff;
	struct settings *s;

	if (node >= (c->duplex ? N_NODES : ADC))
		return 0;
	s = &c->set[node];
	switch (command >> 16 & 15) {
	case 0x2:
		s->format = (uint16_t)payload;
		codec_streams(h);
		return 0;
	case 0x3:
		set_amp(&nodes[node], s, payload);
		return 0;
	case 0xa:
		return s->format;
	case 0xb:
		return get_amp(s, payload);
	default:
		return short_verb(c, &nodes[node], command >> 8 & 0xfff, (uint8_t)command);
	}
}

static void codec_link_reset(struct hda_codec *h)
{
	group_reset((struct codec *)h);
}

/* ---- the devices ---- */

static bool codec_start(struct codec *c, bool duplex, struct err *e)
{
	c->duplex = duplex;
	if (!c->audio && !(c->audio = audio_default(c->hda.dev.m, e)))
		return false;
	c->hda.command = codec_command;
	c->hda.link_reset = codec_link_reset;
	c->hda.streams = codec_streams;
	c->voice = (struct audio_voice){ .pull = play, .opaque = c };
	c->ear = (struct audio_voice){ .pull = record, .opaque = c };
	audio_voice_add(c->audio, &c->voice);
	audio_voice_add(c->audio, &c->ear);
	return hda_attach(&c->hda, c->bus, c->cad, e);
}

static bool output_init(void *dev, struct err *e)
{
	return codec_start(dev, false, e);
}

static bool duplex_init(void *dev, struct err *e)
{
	return codec_start(dev, true, e);
}

static void codec_fini(void *dev)
{
	struct codec *c = dev;

	audio_voice_del(&c->voice);
	audio_voice_del(&c->ear);
	hda_detach(&c->hda);
}

static void codec_reset(void *dev)
{
	group_reset(dev);
}

static bool codec_loaded(void *dev, struct err *e)
{
	(void)e;
	codec_streams(dev);
	return true;
}

static const struct state codec_state[] = { STATE(codec, set), { 0 } };
static const struct prop codec_props[] = {
	PROP_REF("audiodev", codec, audio, "audiodev", "where it is heard"),
	PROP_TEXT(codec, bus, "bus", NULL, "the controller's id"),
	PROP(U32, codec, cad, "cad", (uint32_t)-1, "address on the link"),
	{ 0 }
};

#define CODEC_TYPE(n, i, text) { \
	.name = n, .bus = "hda", .help = text, .size = sizeof(struct codec), .version = 1, \
	.state = codec_state, .props = codec_props, \
	.init = i, .fini = codec_fini, .reset = codec_reset, .loaded = codec_loaded, \
}
const struct dev_type hda_output_type = CODEC_TYPE("hda-output", output_init, "HD Audio codec: line out");
const struct dev_type hda_duplex_type = CODEC_TYPE("hda-duplex", duplex_init, "HD Audio codec: line out and in");
