/*
 * Properties: text to device fields and back, and `-device help`.
 */
#include "hw/core/dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hw/core/chr.h"
#include "hw/core/prop.h"

static const char *const type_names[] = {
	[PROP_U8] = "uint8", [PROP_U16] = "uint16", [PROP_U32] = "uint32", [PROP_U64] = "uint64",
	[PROP_SIZE] = "size", [PROP_BOOL] = "bool", [PROP_STR] = "str", [PROP_MAC] = "mac",
	[PROP_DEVFN] = "slot[.function]", [PROP_BOOT] = "int32", [PROP_IRQ] = "isa irq", [PROP_CHR] = "chardev",
	[PROP_BACKEND] = "id",
};

const char *prop_type_name(const struct prop *p)
{
	return type_names[p->type];
}

static void *field(const struct dev *d, const struct prop *p)
{
	return (char *)d + p->off;
}

static const struct prop *find_in(const struct prop *p, const char *name)
{
	while (p && p->name && strcmp(p->name, name))
		p++;
	return p && p->name ? p : NULL;
}

const struct prop *prop_find(const struct dev_type *t, const char *name)
{
	const struct prop *p = find_in(t->props, name);

	return p ? p : find_in(t->bus_props, name);
}

/* ---- one parser per kind of value; false: not such a value ---- */

static bool parse_number(const char *s, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 0);
	if (*s == '-')
		*v = (uint64_t)strtoll(s, &end, 0);
	return end != s && !*end && !errno;
}

bool prop_parse_size(const char *s, uint64_t *v)
{
	static const char units[] = "BKMGT";
	char *end;
	const char *u;
	int shift = 0;

	errno = 0;
	*v = strtoull(s, &end, 0);
	if (end == s || *s == '-' || errno)
		return false;
	if (*end) {
		u = strchr(units, *end & ~0x20);
		if (!u || end[1])
			return false;
		shift = 10 * (int)(u - units);
	}
	if (*v > UINT64_MAX >> shift)
		return false;
	*v <<= shift;
	return true;
}

static bool parse_bool(const char *s, bool *v)
{
	static const char *const yes[] = { "on", "yes", "true", "1" };
	static const char *const no[] = { "off", "no", "false", "0" };

	for (unsigned i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcasecmp(s, yes[i]))
			return *v = true, true;
		if (!strcasecmp(s, no[i]))
			return *v = false, true;
	}
	return false;
}

static bool parse_mac(const char *s, uint8_t mac[6])
{
	unsigned b[6];
	int n = 0;

	if (sscanf(s, "%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%n",
		   &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &n) != 6 || s[n])
		return false;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return true;
}

static bool parse_devfn(const char *s, int32_t *v)
{
	unsigned slot, fn = 0;
	char tail;
	int k;

	if (!strcmp(s, "-1"))
		return *v = -1, true;
	k = strchr(s, '.') ? sscanf(s, "%x.%x%c", &slot, &fn, &tail) - 1 : sscanf(s, "%x%c", &slot, &tail);
	if (k != 1 || slot > 31 || fn > 7)
		return false;
	*v = (int32_t)(slot << 3 | fn);
	return true;
}

/* Only one device can be tried first. */
static bool set_boot(struct dev *d, const struct prop *p, const char *s, struct err *e)
{
	uint64_t v;

	if (!parse_number(s, &v) || (v > INT32_MAX && (int64_t)v != -1))
		return err_set(e, "%s=%s: not a number from 0 to %d (or -1: none)", p->name, s, INT32_MAX);
	for (const struct dev *o = d->m->devs; o; o = o->next)
		if (o != d && o->bootindex == (int32_t)v && o->bootindex >= 0)
			return err_set(e, "%s=%s: '%s' has that place already; give each device another number",
				       p->name, s, o->id);
	d->bootindex = (int32_t)v;
	return true;
}

static bool set_number(struct dev *d, const struct prop *p, const char *s)
{
	uint64_t v;
	int64_t sv;

	if (!(p->type == PROP_SIZE ? prop_parse_size(s, &v) : parse_number(s, &v)))
		return false;
	sv = (int64_t)v;
	if (p->size < 8 && v > size_mask(p->size) && !(*s == '-' && sv >= -(int64_t)size_mask(p->size)))
		return false;
	st_n(field(d, p), p->size, v);
	return true;
}

static bool set_irq(struct dev *d, const struct prop *p, const char *s)
{
	uint64_t v;

	if (!parse_number(s, &v) || v >= MACHINE_N_ISA_IRQS)
		return false;
	*(struct irq *)field(d, p) = dev_isa_irq(d, (int)v);
	return true;
}

static bool set_string(struct dev *d, const struct prop *p, const char *s)
{
	char **f = field(d, p), *copy = strdup(s);

	if (!copy)
		return false;
	free(*f);
	*f = copy;
	return true;
}

static bool set_pointer(struct dev *d, const struct prop *p, const char *s, struct err *e)
{
	void *v = p->type == PROP_CHR ? (void *)chr_find(d->m, s)
				      : machine_find_backend(d->m, p->def_str, s);

	if (!v)
		return err_set(e, "there is no %s called '%s'",
			       p->type == PROP_CHR ? "chardev" : p->def_str, s);
	*(void **)field(d, p) = v;
	return true;
}

bool prop_set(struct dev *d, const struct prop *p, const char *s, struct err *e)
{
	bool ok = false;

	switch (p->type) {
	case PROP_U8: case PROP_U16: case PROP_U32: case PROP_U64: case PROP_SIZE:
		ok = set_number(d, p, s);
		break;
	case PROP_BOOL:
		ok = parse_bool(s, field(d, p));
		break;
	case PROP_STR:
		ok = set_string(d, p, s);
		break;
	case PROP_MAC:
		ok = parse_mac(s, field(d, p));
		break;
	case PROP_DEVFN:
		ok = parse_devfn(s, field(d, p));
		break;
	case PROP_BOOT:
		return set_boot(d, p, s, e);
	case PROP_IRQ:
		ok = set_irq(d, p, s);
		break;
	case PROP_CHR: case PROP_BACKEND:
		return set_pointer(d, p, s, e);
	}
	if (!ok)
		return err_set(e, "%s=%s: not a valid %s", p->name, s, type_names[p->type]);
	return true;
}

void prop_default(struct dev *d, const struct prop *p)
{
	switch (p->type) {
	case PROP_STR:
		if (p->def_str)
			set_string(d, p, p->def_str);
		break;
	case PROP_IRQ:
		if (p->def < MACHINE_N_ISA_IRQS)
			*(struct irq *)field(d, p) = dev_isa_irq(d, (int)p->def);
		break;
	case PROP_CHR: case PROP_BACKEND: case PROP_MAC:
		break;
	case PROP_BOOL:
		*(bool *)field(d, p) = p->def != 0;
		break;
	default:
		st_n(field(d, p), p->size, p->def);
		break;
	}
}

void prop_free(struct dev *d, const struct prop *p)
{
	if (p->type == PROP_STR)
		free(*(char **)field(d, p));
}

/* ---- back to text ---- */

static const char *backend_id(const struct dev *d, const struct prop *p)
{
	void *v = *(void **)field(d, p);

	if (p->type == PROP_CHR)
		return v && ((struct chr *)v)->id ? ((struct chr *)v)->id : "";
	for (struct backend *b = d->m->backends; b; b = b->next)
		if (b->p == v && !strcmp(b->kind, p->def_str))
			return b->id;
	return "";
}

int dev_prop_text(const struct dev *d, const struct prop *p, char *buf, size_t n)
{
	const uint8_t *f = field(d, p);

	switch (p->type) {
	case PROP_BOOL:
		return snprintf(buf, n, "%s", *(const bool *)f ? "on" : "off");
	case PROP_STR:
		return snprintf(buf, n, "%s", *(char *const *)f ? *(char *const *)f : "");
	case PROP_MAC:
		return snprintf(buf, n, "%02x:%02x:%02x:%02x:%02x:%02x", f[0], f[1], f[2], f[3], f[4], f[5]);
	case PROP_DEVFN:
		if (*(const int32_t *)f < 0)
			return snprintf(buf, n, "-1");
		return snprintf(buf, n, "%02x.%x", *(const int32_t *)f >> 3, *(const int32_t *)f & 7);
	case PROP_BOOT:
		return snprintf(buf, n, "%d", d->bootindex);
	case PROP_IRQ:
		return snprintf(buf, n, "%ld", ((const struct irq *)f)->n);
	case PROP_CHR: case PROP_BACKEND:
		return snprintf(buf, n, "%s", backend_id(d, p));
	case PROP_SIZE:
		return snprintf(buf, n, "%llu", (unsigned long long)ld_n(f, p->size));
	default:
		return snprintf(buf, n, "0x%llx", (unsigned long long)ld_n(f, p->size));
	}
}

/* ---- help ---- */

static void help_props(const struct prop *p, FILE *out)
{
	for (; p && p->name; p++) {
		fprintf(out, "  %s=<%s>", p->name, type_names[p->type]);
		if (p->help)
			fprintf(out, "  - %s", p->help);
		switch (p->type) {
		case PROP_BOOL:
			fprintf(out, " (default: %s)", p->def ? "on" : "off");
			break;
		case PROP_U8: case PROP_U16: case PROP_U32: case PROP_U64: case PROP_SIZE:
			fprintf(out, " (default: 0x%llx)", (unsigned long long)p->def);
			break;
		case PROP_STR:
			if (p->def_str)
				fprintf(out, " (default: %s)", p->def_str);
			break;
		case PROP_IRQ:
			fprintf(out, " (default: %llu)", (unsigned long long)p->def);
			break;
		default:
			break;
		}
		fputc('\n', out);
	}
}

bool dev_help(const struct machine *m, const char *name, FILE *out, struct err *e)
{
	const struct dev_type *t;

	if (name && strcmp(name, "help")) {
		t = dev_type_find(m, name);
		if (!t)
			return dev_type_unknown(m, name, e);
		fprintf(out, "%s options:\n", t->name);
		help_props(t->props, out);
		help_props(t->bus_props, out);
		return true;
	}
	for (const struct dev_type *const *p = m->types; *p; p++) {
		t = *p;
		if (t->bus && !strcmp(t->bus, "system"))
			continue;
		fprintf(out, "name \"%s\", bus %s", t->name, t->bus ? t->bus : "none");
		if (t->alias)
			fprintf(out, ", alias \"%s\"", t->alias);
		if (t->help)
			fprintf(out, ", desc \"%s\"", t->help);
		fputc('\n', out);
	}
	return true;
}
