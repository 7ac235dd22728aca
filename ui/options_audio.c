/* Sound: -audiodev says where it is heard, -audio adds a card. */
#include "ui/options_parse.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "ui/keyval.h"

static enum opt_result list_drivers(FILE *out)
{
	fprintf(out, "none   nowhere\n"
		"wav    in a file: path=FILE [rhea.wav]\n"
		"sdl    from the host's loudspeakers%s\n", audio_sdl_built_in() ? "" : " (not built in)");
	return OPT_DONE;
}

static enum opt_result list_models(FILE *out)
{
	fprintf(out, "ac97   Intel 82801AA\n"
		"hda    Intel HD Audio\n"
		"pcspk  the PC's speaker\n"
		"none   no card (default)\n");
	return OPT_DONE;
}

/* The keys both options share. */
static struct audio_options sink_options(struct kv *k, const char *id)
{
	static const char *const ignored[] = {
		"timer-period", "in.frequency", "in.channels", "out.channels", "out.buffer-length", "in.buffer-length",
		"out.mixing-engine", "in.mixing-engine", "out.format", "in.format", NULL
	};
	struct audio_options a = { .driver = kv_str(k, "driver", "none"), .id = kv_str(k, "id", id) };

	a.path = kv_str(k, "path", NULL);
	a.rate = (uint32_t)kv_num(k, "out.frequency", 0, 8000, 192000);
	kv_ignore(k, ignored);
	return a;
}

static bool add(struct options *o, const struct audio_options *a, const char *option, struct err *e)
{
	if (o->naudios == OPT_MAX_AUDIOS)
		return err_set(e, "%s: more than %d", option, OPT_MAX_AUDIOS);
	o->audios[o->naudios++] = *a;
	return true;
}

enum opt_result opt_audiodev(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct audio_options a;
	struct kv k;

	if (!strcmp(arg, "help"))
		return list_drivers(out);
	kv_parse(&k, "-audiodev", arg, "driver", e);
	a = sink_options(&k, NULL);
	if (!kv_done(&k))
		return OPT_BAD;
	if (!a.id) {
		err_set(e, "-audiodev %s: id=ID is missing", arg);
		return OPT_BAD;
	}
	return add(o, &a, "-audiodev", e) ? OPT_GO : OPT_BAD;
}

static bool add_card(struct options *o, const char *driver, const char *props, struct err *e)
{
	if (o->pc.ndevices == PC_MAX_DEVICES)
		return err_set(e, "-audio: more than %d devices", PC_MAX_DEVICES);
	o->pc.devices[o->pc.ndevices++] = (struct pc_device){ driver, props };
	return true;
}

enum opt_result opt_audio(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const models[] = { "none", "pcspk", "ac97", "hda", NULL };
	enum { NONE, PCSPK, AC97, HDA };
	struct audio_options a;
	struct kv k;
	int model;
	bool ok;

	if (!strcmp(arg, "help"))
		return list_drivers(out);
	if (strstr(arg, "model=help"))
		return list_models(out);
	kv_parse(&k, "-audio", arg, "driver", e);
	a = sink_options(&k, "#audio");
	model = kv_word(&k, "model", NONE, models);
	if (!kv_done(&k))
		return OPT_BAD;
	ok = add(o, &a, "-audio", e);
	if (model == PCSPK)
		o->pc.pcspk = a.id;
	if (model == AC97)
		ok = ok && add_card(o, "AC97", "audiodev=#audio", e);
	if (model == HDA)
		ok = ok && add_card(o, "intel-hda", NULL, e) && add_card(o, "hda-duplex", "audiodev=#audio", e);
	return ok ? OPT_GO : OPT_BAD;
}
