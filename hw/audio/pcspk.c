/*
 * The PC's loudspeaker: what counter 2 of the interval timer makes of it, sampled.
 *
 * A frame is the mean of several looks at the level, so that programs that play
 * samples by pulse width are heard, too.
 *
 * Source: IBM PC/AT Technical Reference, "Speaker Interface".
 */
#include "hw/audio/pcspk.h"

#include "hw/backend/audio.h"

enum { RATE = 44100, LOOKS = 16, LOUD = 8000 };

struct pcspk {
	struct dev dev;
	struct audio *audio;		/* property */
	struct audio_voice voice;
	bool (*level)(struct dev *timer, uint64_t t);
	struct dev *timer;
	uint64_t since, frames;		/* when the voice began; frames since */
};

static uint64_t look_time(const struct pcspk *s, unsigned look)
{
	return s->since + muldiv64(s->frames * LOOKS + look, NS_PER_SEC, (uint64_t)RATE * LOOKS);
}

static uint32_t pcspk_pull(void *opaque, struct audio_frame *out, uint32_t n)
{
	struct pcspk *s = opaque;

	for (uint32_t i = 0; i < n; i++, s->frames++) {
		int high = 0;
		for (unsigned k = 0; k < LOOKS; k++)
			high += s->level(s->timer, look_time(s, k));
		out[i].left = out[i].right = (int16_t)((2 * high - LOOKS) * LOUD / LOOKS);
	}
	return n;
}

void pcspk_changing(void *opaque, bool on)
{
	struct pcspk *s = opaque;

	audio_voice_sync(&s->voice);
	if (on && !s->voice.rate) {
		s->since = clock_now(&s->dev.m->clock);
		s->frames = 0;
	}
	audio_voice_rate(&s->voice, on ? RATE : 0);
}

void pcspk_connect(struct dev *d, bool (*level)(struct dev *timer, uint64_t t), struct dev *timer)
{
	struct pcspk *s = (struct pcspk *)d;

	s->level = level;
	s->timer = timer;
}

static bool pcspk_init(void *dev, struct err *e)
{
	struct pcspk *s = dev;

	if (!s->audio && !(s->audio = audio_default(s->dev.m, e)))
		return false;
	s->voice = (struct audio_voice){ .pull = pcspk_pull, .opaque = s };
	audio_voice_add(s->audio, &s->voice);
	return true;
}

static void pcspk_fini(void *dev)
{
	audio_voice_del(&((struct pcspk *)dev)->voice);
}

static const struct prop pcspk_props[] = {
	PROP_REF("audiodev", pcspk, audio, "audiodev", "where it is heard"),
	{ 0 }
};

const struct dev_type pcspk_type = {
	.name = "isa-pcspk", .bus = "system", .help = "the PC's loudspeaker",
	.size = sizeof(struct pcspk), .version = 1, .props = pcspk_props,
	.init = pcspk_init, .fini = pcspk_fini,
};
