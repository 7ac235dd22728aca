/*
 * Sound into a WAV file. The sizes in its header are brought up to date every
 * second's worth of sound, so a file left behind by a killed program plays.
 *
 * Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF WAVE).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "hw/backend/audio.h"

#define HEADER		44u
#define FRAME		4u
#define MOST		(UINT32_MAX - HEADER)	/* bytes of samples: sizes have 32 bits */

struct wav {
	FILE *f;
	char *path;
	uint32_t rate, bytes, shown;
	bool failed;
};

static bool write_header(struct wav *w)
{
	uint8_t h[HEADER] = "RIFF....WAVEfmt ";

	st32(h + 4, HEADER - 8 + w->bytes);
	st32(h + 16, 16);
	st16(h + 20, 1);			/* PCM */
	st16(h + 22, 2);
	st32(h + 24, w->rate);
	st32(h + 28, w->rate * FRAME);
	st16(h + 32, FRAME);
	st16(h + 34, 16);
	memcpy(h + 36, "data", 4);
	st32(h + 40, w->bytes);
	w->shown = w->bytes;
	return !fseek(w->f, 0, SEEK_SET) && fwrite(h, 1, HEADER, w->f) == HEADER &&
	       !fseek(w->f, 0, SEEK_END) && !fflush(w->f);
}

static void give_up(struct wav *w)
{
	warn("%s: cannot be written any more: recording ends", w->path);
	w->failed = true;
}

static void wav_play(void *opaque, const struct audio_frame *p, uint32_t n)
{
	struct wav *w = opaque;
	uint8_t bytes[FRAME];

	if (w->failed)
		return;
	for (uint32_t i = 0; i < n && w->bytes <= MOST - FRAME; i++) {
		st16(bytes, (uint16_t)p[i].left);
		st16(bytes + 2, (uint16_t)p[i].right);
		if (fwrite(bytes, 1, FRAME, w->f) != FRAME) {
			give_up(w);
			return;
		}
		w->bytes += FRAME;
	}
	if (w->bytes - w->shown >= w->rate * FRAME && !write_header(w))
		give_up(w);
}

static void wav_free(void *opaque)
{
	struct wav *w = opaque;

	if (!w->failed && !write_header(w))
		give_up(w);
	fclose(w->f);
	free(w->path);
	free(w);
}

bool audio_wav(struct audio_sink *s, const char *path, uint32_t rate, struct err *e)
{
	struct wav *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, "no memory for sound");
	*w = (struct wav){ .f = fopen(path, "wb"), .path = strdup(path), .rate = rate };
	if (!w->f || !write_header(w)) {
		err_errno(e, "%s", path);
		if (w->f)
			fclose(w->f);
		free(w->path);
		free(w);
		return false;
	}
	*s = (struct audio_sink){ wav_play, wav_free, w };
	return true;
}
