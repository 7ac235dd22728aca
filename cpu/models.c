/*
 * CPU models: the rows of cpu/models.def, by name and as sets of features.
 *
 * A row is one version of a model. It is reached as NAME-vN, and by one more name:
 * version 1 by the model's own, later ones by their alias.
 */
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/spell.h"
#include "cpu/cpuid_priv.h"

struct cpu_model {
	const char *name;		/* the model's, whatever version */
	const char *alias;		/* of a later version, or NULL */
	unsigned version;
	const char *vendor;		/* NULL: as the row before */
	uint16_t family, model, stepping;
	uint32_t level, xlevel, phys_bits;
	const char *brand;
	const char *features;		/* or changes to the row before */
};

#define VENDOR_AMD	"AuthenticAMD"
#define VENDOR_INTEL	"GenuineIntel"
#define VENDOR_HYGON	"HygonGenuine"
static const struct cpu_model models[] = {
#define MODEL(name, vendor, family, model, stepping, level, xlevel, bits, brand, list) \
	{ name, NULL, 1, VENDOR_##vendor, family, model, stepping, level, xlevel, bits, brand, list },
#define VERSION(name, n, alias, model, stepping, brand, list) \
	{ name, alias, n, NULL, 0, model, stepping, 0, 0, 0, brand, list },
#include "cpu/models.def"
};

static const struct {
	const char *vendor, *features;
} safe[] = {
#define SAFE(vendor, list) { VENDOR_##vendor, list },
#include "cpu/models.def"
};

static bool is_everything(const struct cpu_model *m)
{
	return !strcmp(m->features, "*");
}

/* The row's other name, or NULL. */
static const char *short_name(const struct cpu_model *m)
{
	return m->version == 1 ? m->name : m->alias;
}

static void long_name(const struct cpu_model *m, char out[40])
{
	snprintf(out, 40, "%s-v%u", m->name, m->version);
}

/* ---- by name ---- */

bool cpuid_model_name(unsigned n, struct cpu_model_name *out)
{
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		const struct cpu_model *m = &models[i];
		const char *name = short_name(m);

		if (name && n-- == 0) {
			snprintf(out->name, sizeof(out->name), "%s", name);
			out->alias_of[0] = 0;
			if (!is_everything(m))
				long_name(m, out->alias_of);
			out->brand = m->brand;
			return true;
		}
		if (!is_everything(m) && n-- == 0) {
			long_name(m, out->name);
			out->alias_of[0] = 0;
			out->brand = m->brand;
			return true;
		}
	}
	return false;
}

static bool is_called(const char *name, const char *text, size_t n)
{
	return name && strlen(name) == n && !strncasecmp(name, text, n);
}

static const struct cpu_model *lookup(const char *text, size_t n)
{
	char name[40];

	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		long_name(&models[i], name);
		if (is_called(short_name(&models[i]), text, n) || (!is_everything(&models[i]) && is_called(name, text, n)))
			return &models[i];
	}
	return NULL;
}

const struct cpu_model *model_find(const char *text, size_t n, struct err *e)
{
	const struct cpu_model *m = lookup(text, n);
	char word[64], hint[96];
	struct spell s;

	if (m)
		return m;
	snprintf(word, sizeof(word), "%.*s", (int)n, text);
	spell_init(&s, word);
	for (size_t i = 0; i < ARRAY_LEN(models); i++)
		if (short_name(&models[i]))
			spell_try(&s, short_name(&models[i]));
	err_set(e, "unknown CPU model '%s'%s", word,
		s.best ? spell_hint(&s, hint, sizeof(hint)) : "; -cpu help lists them");
	return NULL;
}

/* ---- what it is ---- */

static void host_identity(struct cpu_id *id)
{
	uint32_t a, b, c, d;

	__cpuid(0, a, b, c, d);
	st32(id->vendor, b);
	st32(id->vendor + 4, d);
	st32(id->vendor + 8, c);
	__cpuid(1, a, b, c, d);
	id->family = (a >> 8 & 0xf) == 15 ? 15 + (a >> 20 & 0xff) : a >> 8 & 0xf;
	id->model = (a >> 4 & 0xf) | (id->family == 6 || id->family >= 15 ? a >> 12 & 0xf0 : 0);
	id->stepping = a & 0xf;
	for (uint32_t i = 0; i < 3; i++) {
		__cpuid(0x80000002 + i, a, b, c, d);
		st32(id->brand + 16 * i, a);
		st32(id->brand + 16 * i + 4, b);
		st32(id->brand + 16 * i + 8, c);
		st32(id->brand + 16 * i + 12, d);
	}
}

void model_identify(const struct cpu_model *m, struct cpu_expansion *x)
{
	const struct cpu_model *first = m;

	while (!first->vendor)
		first--;
	memset(&x->id, 0, sizeof(x->id));
	memcpy(x->id.vendor, first->vendor, 12);
	snprintf(x->id.brand, sizeof(x->id.brand), "%s", m->brand);
	x->id.family = first->family;
	x->id.model = m->model;
	x->id.stepping = m->stepping;
	x->id.level = first->level;
	x->id.xlevel = first->xlevel;
	x->phys_bits = first->phys_bits;
	if (!strcmp(m->name, "host"))
		host_identity(&x->id);
}

static void apply(const char *list, uint32_t set[FEAT_NWORDS])
{
	for (; *list; list += strspn(list, " ")) {
		size_t n = strcspn(list, " ");
		bool minus = *list == '-';
		const struct feature *f = feature_find(list + minus, n - minus);

		if (*list == '@')
			model_features(lookup(list + 1, n - 1), set);
		else if (f)
			feature_put(set, f, !minus);
		list += n;
	}
}

bool model_features(const struct cpu_model *m, uint32_t set[FEAT_NWORDS])
{
	if (is_everything(m))
		return true;
	if (!m->vendor)
		model_features(m - 1, set);
	apply(m->features, set);
	return false;
}

void model_safe(const struct cpu_expansion *x, uint32_t set[FEAT_NWORDS])
{
	bool intel = !strcmp(x->id.vendor, VENDOR_INTEL);

	if (intel ? x->id.level < 7 : x->id.xlevel < 0x80000008)
		return;
	apply(safe[intel ? 0 : 1].features, set);
}
