/*
 * Sound to the host's loudspeaker. Guest and host clocks differ a little: when
 * too much is queued, frames are dropped, and SDL plays silence when it runs dry.
 */
#include "config.h"
#include "hw/backend/audio.h"

#ifdef CONFIG_SDL2
#include <SDL2/SDL.h>
#include <stdlib.h>

#include "base/late.h"

struct speaker {
	SDL_AudioDeviceID id;
	uint32_t most;			/* bytes that may wait: a fifth of a second */
};

static void sdl_play(void *opaque, const struct audio_frame *p, uint32_t n)
{
	struct speaker *s = opaque;

	if (SDL_GetQueuedAudioSize(s->id) < s->most)
		SDL_QueueAudio(s->id, p, n * (uint32_t)sizeof(*p));
}

static void sdl_free(void *opaque)
{
	struct speaker *s = opaque;

	SDL_CloseAudioDevice(s->id);
	SDL_QuitSubSystem(SDL_INIT_AUDIO);
	free(s);
}

bool audio_sdl(struct audio_sink *sink, uint32_t rate, struct err *e)
{
	SDL_AudioSpec want = { .freq = (int)rate, .format = AUDIO_S16SYS, .channels = 2, .samples = 1024 };
	struct speaker *s;

	if (!late_load(LATE_SDL2, e))
		return false;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, "no memory for sound");
	if (SDL_InitSubSystem(SDL_INIT_AUDIO)) {
		free(s);
		return err_set(e, "no sound from SDL: %s", SDL_GetError());
	}
	s->id = SDL_OpenAudioDevice(NULL, 0, &want, NULL, 0);
	s->most = rate / 5 * (uint32_t)sizeof(struct audio_frame);
	*sink = (struct audio_sink){ sdl_play, sdl_free, s };
	if (!s->id) {
		err_set(e, "no sound from SDL: %s", SDL_GetError());
		sdl_free(s);
		*sink = (struct audio_sink){ 0 };
		return false;
	}
	SDL_PauseAudioDevice(s->id, 0);
	return true;
}

bool audio_sdl_built_in(void)
{
	return true;
}

#else

bool audio_sdl(struct audio_sink *s, uint32_t rate, struct err *e)
{
	(void)s, (void)rate;
	return err_set(e, "this program was built without SDL (Debian package libsdl2-dev, then configure again)");
}

bool audio_sdl_built_in(void)
{
	return false;
}

#endif
