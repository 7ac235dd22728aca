/* Commands about sound. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/backend/audio.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

/* Frames are as the mixer has them: two channels of 16 bits. */
static bool is_the_mixers(const struct audio *a, const struct mon_args *w)
{
	const uint32_t have[] = { audio_rate(a), 16, 2 };

	for (int i = 0; i < 3 && i + 2 < w->n; i++)
		if (strtoul(w->word[i + 2], NULL, 0) != have[i])
			return false;
	return w->n <= 5;
}

void mon_wavcapture(struct monitor *mon, const struct mon_args *w, FILE *out)
{
	struct audio *a = audio_find(mon->vm->m, w->word[1]);
	struct err e;

	if (!a)
		fprintf(out, "Audiodev '%s' not found\n", w->word[1]);
	else if (!is_the_mixers(a, w))
		fprintf(out, "wavcapture: '%s' gives %u frames a second of 16 bits and 2 channels\n", w->word[1], audio_rate(a));
	else if (!audio_capture(a, w->word[0], &e))
		fprintf(out, "wavcapture: %s\n", e.msg);
}

void mon_stopcapture(struct monitor *mon, const struct mon_args *w, FILE *out)
{
	char *end;
	unsigned long n = strtoul(w->word[0], &end, 0);

	if (*end || n > 1000 || !audio_capture_end(mon->vm->m, (unsigned)n))
		fprintf(out, "stopcapture: no recording has the number '%s' (info capture lists them)\n", w->word[0]);
}

void mon_info_capture(struct monitor *mon, const struct mon_args *w, FILE *out)
{
	const char *path;

	(void)w;
	for (unsigned i = 0; audio_capture_nth(mon->vm->m, i, &path); i++)
		fprintf(out, "[%u]: %s\n", i, path);
}
