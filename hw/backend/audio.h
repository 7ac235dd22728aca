/*
 * Sound: cards play through voices, a mixer brings the voices to one rate and adds
 * them up, a sink takes the sum (a WAV file, the host's loudspeaker, nothing).
 *
 * Everything goes by guest time: every AUDIO_STEP_NS the mixer pulls from each
 * voice what was played since, so a recording is a function of what the guest
 * did. Frames are pairs of signed 16-bit samples, left first. Machine lock.
 */
#ifndef HW_BACKEND_AUDIO_H
#define HW_BACKEND_AUDIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/core/clock.h"

#define AUDIO_STEP_NS	(5 * NS_PER_MS)

struct machine;
struct audio;

struct audio_options {
	const char *driver;		/* "none", "wav", "sdl" */
	const char *id;
	const char *path;		/* wav: the file [rhea.wav] */
	uint32_t rate;			/* of the mixer, frames a second; 0: 44100 */
};

/* Make a sink with a mixer; cards find it by its id. NULL with err filled. */
struct audio *audio_new(struct machine *m, const struct audio_options *o, struct err *e);
/* All of the machine's, after their cards: files are completed. */
void audio_free_all(struct machine *m);
struct audio *audio_find(struct machine *m, const char *id);
/* The first one there is; without any, a silent one is made. */
struct audio *audio_default(struct machine *m, struct err *e);

struct audio_frame {
	int16_t left, right;
};

/* Record what is played into a WAV file, beside the sink. */
bool audio_capture(struct audio *a, const char *path, struct err *e);
uint32_t audio_rate(const struct audio *a);
/* The nth of the machine's recordings, its file; false: so many there are not. */
bool audio_capture_nth(struct machine *m, unsigned n, const char **path);
bool audio_capture_end(struct machine *m, unsigned n);

/* One stream of a card. Storage is the card's. */
struct audio_voice {
	/* The next n frames at the voice's rate; fewer come back if there are no more yet. */
	uint32_t (*pull)(void *opaque, struct audio_frame *out, uint32_t n);
	void *opaque;
	/* ---- the mixer's ---- */
	struct audio *audio;
	struct audio_voice *next;
	uint32_t rate;			/* frames a second; 0: silent */
	uint64_t phase;			/* between the last two of them, in 1 / 2^32 frames */
	struct audio_frame last[2];
};

void audio_voice_add(struct audio *a, struct audio_voice *v);
void audio_voice_del(struct audio_voice *v);	/* NULL audio is fine */
/* Play at this rate from now on, or stop (0). What was played until now is pulled first. */
void audio_voice_rate(struct audio_voice *v, uint32_t rate);
/* Pull what is due by now: before a register that tells a position is read. */
void audio_voice_sync(struct audio_voice *v);

/* ---- for sinks ---- */

struct audio_sink {
	void (*play)(void *opaque, const struct audio_frame *p, uint32_t n);
	void (*free)(void *opaque);
	void *opaque;
};
bool audio_wav(struct audio_sink *s, const char *path, uint32_t rate, struct err *e);
bool audio_sdl(struct audio_sink *s, uint32_t rate, struct err *e);
bool audio_sdl_built_in(void);

#endif
