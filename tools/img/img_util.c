/* What the commands of rhea-img share: sizes, JSON strings, progress, opening. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/img/img.h"

bool parse_size(const char *s, uint64_t *bytes, struct err *e)
{
	static const char suffixes[] = "bkmgtpe";
	char *end;
	double v = strtod(s, &end);
	const char *suffix = *end ? strchr(suffixes, *end | 0x20) : NULL;

	if (end == s || !isfinite(v) || v < 0 || (*end && (!suffix || end[1])) || *s == '-')
		return err_set(e, "Invalid image size '%s'; a number with a suffix k, M, G, T, P or E", s);
	v = suffix ? ldexp(v, 10 * (int)(suffix - suffixes)) : v;
	if (v >= 0x1p63)
		return err_set(e, "Image size '%s' must be less than 8 EiB", s);
	/* Whole numbers may have more digits than a double. */
	*bytes = !*end && !strpbrk(s, ".eExX") ? strtoull(s, NULL, 10) : (uint64_t)v;
	return true;
}

const char *human_size(char *buf, size_t n, uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	int i = 0;
	for (; v >= 1000 && i < 6; i++)
		v /= 1024;
	snprintf(buf, n, "%.3g %s", v, unit[i]);
	return buf;
}

void json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

void progress(const struct args *a, uint64_t done, uint64_t all)
{
	if (!a->progress || a->quiet)
		return;
	printf("    (%3.2f/100%%)\r", all ? 100.0 * (double)done / (double)all : 100.0);
	if (done >= all)
		printf("\n");
	fflush(stdout);
}

struct block_options open_options(const struct args *a, const char *file, const char *format, bool write)
{
	struct block_options o = a->cache;

	o.file = file;
	o.format = format;
	o.readonly = !write;
	o.unlocked = a->shared && !write;
	return o;
}

struct block *open_image(const struct args *a, const char *file, const char *format, bool write, struct err *e)
{
	struct block_options o = open_options(a, file, format, write);
	return block_open(&o, e);
}
