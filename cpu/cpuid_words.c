/*
 * The words behind the model's name on -cpu: identity and features.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cpu/cpuid_priv.h"

/* ---- values ---- */

static bool number(const char *key, const char *v, size_t n, uint64_t min, uint64_t max, uint64_t *out, struct err *e)
{
	char text[32], *end;

	snprintf(text, sizeof(text), "%.*s", (int)n, v);
	*out = strtoull(text, &end, 0);
	if (!n || n >= sizeof(text) || *end || *text == '-' || *out < min || *out > max)
		return err_set(e, "%s=%s: expected a number from %llu to %llu", key, text,
			       (unsigned long long)min, (unsigned long long)max);
	return true;
}

static bool on_off(const char *w, size_t n, const char *v, size_t vlen, bool *on, struct err *e)
{
	static const struct {
		const char *text;
		bool on;
	} words[] = { { "on", true }, { "off", false }, { "yes", true }, { "no", false }, { "true", true }, { "false", false } };

	*on = true;
	if (!v)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].text) == vlen && !strncmp(words[i].text, v, vlen)) {
			*on = words[i].on;
			return true;
		}
	return err_set(e, "CPU option '%.*s': the value must be on or off", (int)n, w);
}

/* ---- identity ---- */

enum key { VENDOR, BRAND, FAMILY, MODEL_NUMBER, STEPPING, LEVEL, XLEVEL, PHYS_BITS, TSC_HZ, CHECK, ENFORCE, HARMLESS };
static const struct {
	const char *name;
	enum key key;
	uint64_t min, max;
} keys[] = {
	{ "vendor", VENDOR }, { "model-id", BRAND }, { "family", FAMILY, 0, 270 }, { "model", MODEL_NUMBER, 0, 255 },
	{ "stepping", STEPPING, 0, 15 }, { "level", LEVEL, 0, 0xff }, { "xlevel", XLEVEL, 0, 0x800000ff },
	{ "phys-bits", PHYS_BITS, 0, 52 }, { "tsc-frequency", TSC_HZ, 10000000, 100000000000 },
	{ "check", CHECK }, { "enforce", ENFORCE },
	/* They ask for what is so anyway, or what does not matter to a software processor. */
	{ "migratable", HARMLESS }, { "host-phys-bits", HARMLESS }, { "host-phys-bits-limit", HARMLESS },
	{ "pmu", HARMLESS }, { "l3-cache", HARMLESS }, { "legacy-cache", HARMLESS }, { "host-cache-info", HARMLESS },
	{ "cpuid-0xb", HARMLESS }, { "min-level", HARMLESS }, { "min-xlevel", HARMLESS }, { "xlevel2", HARMLESS },
	{ "full-cpuid-auto-level", HARMLESS }, { "fill-mtrr-mask", HARMLESS }, { "vmware-cpuid-freq", HARMLESS },
	{ "tcg-cpuid", HARMLESS }, { "kvm-pv-enforce-cpuid", HARMLESS }, { "lmce", HARMLESS },
};

static bool set_vendor(struct cpu_expansion *x, const char *v, size_t n, struct err *e)
{
	if (n != 12)
		return err_set(e, "vendor must be 12 characters, as in GenuineIntel");
	memcpy(x->id.vendor, v, n);
	return true;
}

static bool set_brand(struct cpu_expansion *x, const char *v, size_t n, struct err *e)
{
	if (n >= sizeof(x->id.brand))
		return err_set(e, "model-id must be at most %d characters", (int)sizeof(x->id.brand) - 1);
	memset(x->id.brand, 0, sizeof(x->id.brand));
	memcpy(x->id.brand, v, n);
	return true;
}

static bool set_number(struct cpu_expansion *x, enum key key, uint64_t v, struct err *e)
{
	switch (key) {
	case FAMILY:
		x->id.family = (uint16_t)v;
		break;
	case MODEL_NUMBER:
		x->id.model = (uint16_t)v;
		break;
	case STEPPING:
		x->id.stepping = (uint16_t)v;
		break;
	case LEVEL:
		x->id.level = (uint32_t)v;
		x->level_given = true;
		break;
	case XLEVEL:
		if (v && v < 0x80000000)
			return err_set(e, "xlevel must be 0 or 0x80000000 and above");
		x->id.xlevel = (uint32_t)v;
		x->xlevel_given = true;
		break;
	case PHYS_BITS:
		if (v && v < 32)
			return err_set(e, "phys-bits must be 32 to 52");
		x->phys_bits = v ? (uint32_t)v : x->phys_bits;
		break;
	default:
		x->tsc_khz = v / 1000;
	}
	return true;
}

bool word_identity(const char *w, size_t n, struct cpu_expansion *x, bool *known, struct err *e)
{
	const char *eq = memchr(w, '=', n), *v = eq ? eq + 1 : NULL;
	size_t len = eq ? (size_t)(eq - w) : n, vlen = eq ? n - len - 1 : 0, i = 0;
	uint64_t num;

	while (i < ARRAY_LEN(keys) && !same_name(w, keys[i].name, len))
		i++;
	*known = i < ARRAY_LEN(keys);
	if (!*known)
		return true;
	if (keys[i].key == CHECK || keys[i].key == ENFORCE)
		return on_off(w, n, v, vlen, keys[i].key == CHECK ? &x->check : &x->enforce, e);
	if (keys[i].key == HARMLESS)
		return true;
	if (!v)
		return err_set(e, "CPU option '%s' needs a value", keys[i].name);
	if (keys[i].key == VENDOR)
		return set_vendor(x, v, vlen, e);
	if (keys[i].key == BRAND)
		return set_brand(x, v, vlen, e);
	return number(keys[i].name, v, vlen, keys[i].min, keys[i].max, &num, e) && set_number(x, keys[i].key, num, e);
}

/* ---- features ---- */

const struct feature *word_feature(const char *w, size_t n, bool *on, struct err *e)
{
	const char *eq = memchr(w, '=', n);
	size_t len = eq ? (size_t)(eq - w) : n;
	const struct feature *f;

	if (len > 3 && !strncasecmp(w, "hv", 2) && (w[2] == '-' || w[2] == '_')) {
		err_set(e, "CPU option '%.*s': Hyper-V's interface is not there; leave it out (guests find KVM's)", (int)n, w);
		return NULL;
	}
	if (n && (*w == '+' || *w == '-')) {
		*on = *w == '+';
		w++, n--, len = n;
	} else if (!on_off(w, n, eq ? eq + 1 : NULL, eq ? n - len - 1 : 0, on, e)) {
		return NULL;
	}
	f = feature_find(w, len);
	if (!f)
		feature_unknown(w, len, e);
	return f;
}
