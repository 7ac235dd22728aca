/*
 * The mixer: voices are resampled by linear interpolation and added with
 * saturation. It has a timer only while a voice plays; the sink hears nothing
 * in between.
 */
#include "hw/backend/audio.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/core/bus.h"

#define CHUNK		256u		/* frames mixed at once */
#define MOST_BEHIND	NS_PER_SEC	/* what is older is not made up for */

struct capture {
	struct capture *next;
	struct audio_sink sink;
	char path[];
};

struct audio {
	struct machine *m;
	char *id;
	uint32_t rate;
	struct audio_sink sink;
	struct capture *captures;
	struct audio_voice *voices;
	struct timer timer;
	uint64_t started, mixed;	/* guest time of the first frame; frames since */
	bool playing;
};

/* ---- voices ---- */

static struct audio_frame pull_one(struct audio_voice *v)
{
	struct audio_frame f = { 0, 0 };

	v->pull(v->opaque, &f, 1);
	return f;
}

static int16_t between(int16_t a, int16_t b, uint64_t phase)
{
	return (int16_t)(a + ((int64_t)(b - a) * (int64_t)phase >> 32));
}

/* Add n frames of a voice to the sum. */
static void add_voice(struct audio_voice *v, int32_t (*sum)[2], uint32_t n)
{
	uint64_t step = ((uint64_t)v->rate << 32) / v->audio->rate;

	for (uint32_t i = 0; i < n; i++) {
		sum[i][0] += between(v->last[0].left, v->last[1].left, v->phase);
		sum[i][1] += between(v->last[0].right, v->last[1].right, v->phase);
		for (v->phase += step; v->phase >> 32; v->phase -= 1ull << 32) {
			v->last[0] = v->last[1];
			v->last[1] = pull_one(v);
		}
	}
}

static int16_t saturate(int32_t s)
{
	return (int16_t)(s < INT16_MIN ? INT16_MIN : s > INT16_MAX ? INT16_MAX : s);
}

/* ---- mixing ---- */

static void mix(struct audio *a, uint32_t n)
{
	int32_t sum[CHUNK][2] = { { 0 } };
	struct audio_frame out[CHUNK];

	for (struct audio_voice *v = a->voices; v; v = v->next)
		if (v->rate)
			add_voice(v, sum, n);
	for (uint32_t i = 0; i < n; i++)
		out[i] = (struct audio_frame){ saturate(sum[i][0]), saturate(sum[i][1]) };
	if (a->sink.play)
		a->sink.play(a->sink.opaque, out, n);
	for (struct capture *c = a->captures; c; c = c->next)
		c->sink.play(c->sink.opaque, out, n);
	a->mixed += n;
}

static void mix_until(struct audio *a, uint64_t now)
{
	uint64_t due;

	if (!a->playing)
		return;
	if (now - a->started > MOST_BEHIND + muldiv64(a->mixed, NS_PER_SEC, a->rate)) {
		a->started = now;
		a->mixed = 0;
	}
	due = muldiv64(now - a->started, a->rate, NS_PER_SEC);
	while (a->mixed < due)
		mix(a, (uint32_t)min_u64(due - a->mixed, CHUNK));
}

static bool anybody_plays(const struct audio *a)
{
	for (const struct audio_voice *v = a->voices; v; v = v->next)
		if (v->rate)
			return true;
	return false;
}

static void on_timer(void *opaque)
{
	struct audio *a = opaque;
	uint64_t now = clock_now(&a->m->clock);

	mix_until(a, now);
	timer_mod(&a->timer, now + AUDIO_STEP_NS);
}

static void start_or_stop(struct audio *a)
{
	bool play = anybody_plays(a);

	if (play == a->playing)
		return;
	a->playing = play;
	a->started = clock_now(&a->m->clock);
	a->mixed = 0;
	if (play)
		timer_mod(&a->timer, a->started + AUDIO_STEP_NS);
	else
		timer_del(&a->timer);
}

/* ---- what cards call ---- */

void audio_voice_add(struct audio *a, struct audio_voice *v)
{
	v->audio = a;
	v->rate = 0;
	v->next = a->voices;
	a->voices = v;
}

void audio_voice_del(struct audio_voice *v)
{
	struct audio *a = v->audio;

	if (!a)
		return;
	audio_voice_rate(v, 0);
	for (struct audio_voice **p = &a->voices; *p; p = &(*p)->next) {
		if (*p == v) {
			*p = v->next;
			break;
		}
	}
	v->audio = NULL;
}

void audio_voice_sync(struct audio_voice *v)
{
	mix_until(v->audio, clock_now(&v->audio->m->clock));
}

void audio_voice_rate(struct audio_voice *v, uint32_t rate)
{
	if (v->rate == rate)
		return;
	audio_voice_sync(v);
	if (!v->rate) {
		v->phase = 0;
		memset(v->last, 0, sizeof(v->last));
	}
	v->rate = rate;
	start_or_stop(v->audio);
}

/* ---- recordings ---- */

uint32_t audio_rate(const struct audio *a)
{
	return a->rate;
}

bool audio_capture(struct audio *a, const char *path, struct err *e)
{
	struct capture *c = malloc(sizeof(*c) + strlen(path) + 1);

	if (!c || !audio_wav(&c->sink, path, a->rate, e)) {
		if (!c)
			err_set(e, "no memory for sound");
		free(c);
		return false;
	}
	strcpy(c->path, path);
	c->next = a->captures;
	a->captures = c;
	return true;
}

static struct capture **nth(struct machine *m, unsigned n)
{
	for (struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, "audiodev"))
			for (struct capture **c = &((struct audio *)b->p)->captures; *c; c = &(*c)->next)
				if (n-- == 0)
					return c;
	return NULL;
}

bool audio_capture_nth(struct machine *m, unsigned n, const char **path)
{
	struct capture **c = nth(m, n);

	if (c)
		*path = (*c)->path;
	return c;
}

bool audio_capture_end(struct machine *m, unsigned n)
{
	struct capture **p = nth(m, n), *c = p ? *p : NULL;

	if (!c)
		return false;
	*p = c->next;
	c->sink.free(c->sink.opaque);
	free(c);
	return true;
}

/* ---- life ---- */

struct audio *audio_find(struct machine *m, const char *id)
{
	return machine_find_backend(m, "audiodev", id);
}

static bool no_sink(struct audio_sink *s, const struct audio_options *o, uint32_t rate, struct err *e)
{
	(void)s, (void)o, (void)rate, (void)e;
	return true;
}

static bool wav_sink(struct audio_sink *s, const struct audio_options *o, uint32_t rate, struct err *e)
{
	return audio_wav(s, o->path ? o->path : "rhea.wav", rate, e);
}

static bool sdl_sink(struct audio_sink *s, const struct audio_options *o, uint32_t rate, struct err *e)
{
	(void)o;
	return audio_sdl(s, rate, e);
}

static const struct driver {
	const char *name;
	bool (*open)(struct audio_sink *s, const struct audio_options *o, uint32_t rate, struct err *e);
} drivers[] = {
	{ "none", no_sink },
	{ "wav",  wav_sink },
	{ "sdl",  sdl_sink },
};

static const struct driver *find_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strcmp(drivers[i].name, name))
			return &drivers[i];
	return NULL;
}

struct audio *audio_new(struct machine *m, const struct audio_options *o, struct err *e)
{
	const struct driver *d = find_driver(o->driver);
	struct audio *a;

	if (!d) {
		err_set(e, "no sound driver '%s'; there are none, wav and sdl", o->driver);
		return NULL;
	}
	if (audio_find(m, o->id)) {
		err_set(e, "there is a sound device '%s' already", o->id);
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		err_set(e, "no memory for sound");
		return NULL;
	}
	a->m = m;
	a->rate = o->rate ? o->rate : 44100;
	if (!d->open(&a->sink, o, a->rate, e)) {
		free(a);
		return NULL;
	}
	a->id = strdup(o->id);
	timer_init(&a->timer, &m->clock, on_timer, a);
	machine_add_backend(m, "audiodev", o->id, a);
	return a;
}

static struct audio *any(struct machine *m)
{
	for (struct backend *b = m->backends; b; b = b->next)
		if (!strcmp(b->kind, "audiodev"))
			return b->p;
	return NULL;
}

struct audio *audio_default(struct machine *m, struct err *e)
{
	struct audio *a = any(m);

	return a ? a : audio_new(m, &(struct audio_options){ .driver = "none", .id = "silence" }, e);
}

void audio_free_all(struct machine *m)
{
	struct audio *a;

	while (audio_capture_end(m, 0))
		;
	while ((a = any(m))) {
		machine_del_backend(m, "audiodev", a->id);
		timer_del(&a->timer);
		if (a->sink.free)
			a->sink.free(a->sink.opaque);
		free(a->id);
		free(a);
	}
}
