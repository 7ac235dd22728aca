/*
 * SMBIOS tables: firmware, system, enclosure, processors, memory.
 *
 * A structure is a header, fixed fields and strings, which fields name by
 * number. What the user sets by option is looked up by type and field name when
 * a string is stored. The firmware copies the table and fills in its address.
 *
 * Not modelled: type 2 (board), 11 (OEM strings), structures from a file.
 * Source: DMTF DSP0134, SMBIOS specification 2.8: 5.2.1 (entry point), 6.1, 7.
 */
#include "hw/pc/smbios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

struct builder {
	const struct smbios_config *cfg;
	struct bytes *t;
	size_t at;			/* the open structure */
	struct bytes strings;
	int nstrings;
	int count;
	size_t largest;
};

/* ---- user's options ---- */

/* Fields that may be set; anything else is an error. */
static const struct field { int type; const char *name; } fields[] = {
	{ 0, "vendor" }, { 0, "version" }, { 0, "date" }, { 0, "release" }, { 0, "uefi" },
	{ 1, "manufacturer" }, { 1, "product" }, { 1, "version" }, { 1, "serial" }, { 1, "uuid" },
	{ 1, "sku" }, { 1, "family" },
	{ 3, "manufacturer" }, { 3, "version" }, { 3, "serial" }, { 3, "asset" }, { 3, "sku" },
	{ 4, "sock_pfx" }, { 4, "manufacturer" }, { 4, "version" }, { 4, "serial" },
	{ 4, "asset" }, { 4, "part" },
	{ 17, "loc_pfx" }, { 17, "bank" }, { 17, "manufacturer" }, { 17, "serial" },
	{ 17, "asset" }, { 17, "part" },
};

/* The value of `name` in one option of this type, copied to buf; the last option wins. */
static const char *option(const struct builder *b, int type, const char *name, char *buf, size_t n)
{
	const char *found = NULL;
	size_t len = strlen(name);
	for (int i = 0; i < b->cfg->noptions; i++) {
		const char *s = b->cfg->options[i];
		if (strncmp(s, "type=", 5) || atoi(s + 5) != type)
			continue;
		for (s = strchr(s, ','); s; s = strchr(s, ',')) {
			s++;
			if (strncmp(s, name, len) || s[len] != '=')
				continue;
			snprintf(buf, n, "%.*s", (int)strcspn(s + len + 1, ","), s + len + 1);
			found = buf;
		}
	}
	return found;
}

static bool known_field(int type, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].type == type && strlen(fields[i].name) == len && !strncmp(fields[i].name, name, len))
			return true;
	return false;
}

static bool check_option(const char *s, struct err *e)
{
	char *end;
	if (strncmp(s, "type=", 5))
		return err_set(e, "-smbios '%s': begins with type=N", s);
	long type = strtol(s + 5, &end, 10);
	for (s = end; *s == ','; s += strcspn(s, ",")) {
		size_t len = strcspn(++s, "=,");
		if (!known_field((int)type, s, len))
			return err_set(e, "-smbios type=%ld: no field '%.*s'", type, (int)len, s);
	}
	return true;
}

/* ---- structures ---- */

static uint8_t *begin(struct builder *b, uint8_t type, uint8_t len, uint16_t handle)
{
	b->at = b->t->n;
	b->nstrings = 0;
	uint8_t *p = bytes_grow(b->t, len);
	p[0] = type;
	p[1] = len;
	st16(p + 2, handle);
	return p;
}

static void end(struct builder *b)
{
	bytes_put(b->t, b->strings.p, b->strings.n);
	if (!b->nstrings)
		bytes_put8(b->t, 0);
	bytes_put8(b->t, 0);
	bytes_fini(&b->strings);
	b->count++;
	if (b->t->n - b->at > b->largest)
		b->largest = b->t->n - b->at;
}

/* The field at `off` refers to this string, or to what the user gave under `name`. */
static void string(struct builder *b, unsigned off, const char *name, const char *def)
{
	char buf[128];
	uint8_t *p = b->t->p + b->at;
	const char *s = name ? option(b, p[0], name, buf, sizeof(buf)) : NULL;
	if (!s)
		s = def;
	if (!s || !*s)
		return;
	bytes_puts(&b->strings, s);
	p[off] = (uint8_t)++b->nstrings;
}

/* 7.1 */
static void firmware(struct builder *b)
{
	uint8_t *p = begin(b, 0, 24, 0x0000);
	st16(p + 6, 0xe800);		/* start segment */
	st64(p + 10, BIT(3));		/* characteristics are not given */
	p[19] = 0x14;			/* in a virtual machine, targeted content */
	p[20] = p[21] = 0;
	p[22] = p[23] = 0xff;
	string(b, 4, "vendor", "SeaBIOS");
	string(b, 5, "version", "rhea");
	string(b, 8, "date", "04/01/2014");
	end(b);
}

/* 7.2.1: the first three fields of a UUID are little-endian. */
static void put_uuid(uint8_t *p, const uint8_t *u)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	for (int i = 0; i < 16; i++)
		p[i] = u[order[i]];
}

static bool parse_uuid(const char *s, uint8_t *u)
{
	int n = 0;
	for (; *s; s++) {
		if (*s == '-')
			continue;
		unsigned v;
		if (n == 16 || sscanf(s, "%2x", &v) != 1 || !s[1])
			return false;
		u[n++] = (uint8_t)v;
		s++;
	}
	return n == 16;
}

static void system_info(struct builder *b)
{
	char buf[64];
	uint8_t u[16] = { 0 };
	uint8_t *p = begin(b, 1, 27, 0x0100);
	const char *text = option(b, 1, "uuid", buf, sizeof(buf));
	if (text ? parse_uuid(text, u) : b->cfg->has_uuid)
		put_uuid(p + 8, text ? u : b->cfg->uuid);
	p[24] = 6;			/* woken by the power switch */
	string(b, 4, "manufacturer", "Rhea");
	string(b, 5, "product", b->cfg->product);
	string(b, 6, "version", b->cfg->version);
	string(b, 7, "serial", NULL);
	string(b, 25, "sku", NULL);
	string(b, 26, "family", NULL);
	end(b);
}

static void enclosure(struct builder *b)
{
	uint8_t *p = begin(b, 3, 22, 0x0300);
	p[5] = 1;			/* other */
	p[9] = p[10] = p[11] = 3;	/* states: safe */
	p[12] = 2;			/* security: unknown */
	string(b, 4, "manufacturer", "Rhea");
	string(b, 6, "version", b->cfg->version);
	string(b, 7, "serial", NULL);
	string(b, 8, "asset", NULL);
	end(b);
}

static void processor(struct builder *b, int i)
{
	char socket[32], prefix[24];
	uint8_t *p = begin(b, 4, 42, (uint16_t)(0x0400 + i));
	int cores = b->cfg->cores, threads = b->cfg->cores * b->cfg->threads;
	const char *pfx = option(b, 4, "sock_pfx", prefix, sizeof(prefix));
	p[5] = 3;			/* central processor */
	p[6] = 1;			/* family: other */
	st16(p + 20, 2000);		/* maximum and current speed, MHz */
	st16(p + 22, 2000);
	p[24] = 0x41;			/* socket populated, enabled */
	p[25] = 1;
	st16(p + 26, 0xffff);		/* no cache information */
	st16(p + 28, 0xffff);
	st16(p + 30, 0xffff);
	p[35] = p[36] = (uint8_t)cores;
	p[37] = (uint8_t)threads;
	st16(p + 38, 2);		/* characteristics unknown */
	st16(p + 40, 1);
	snprintf(socket, sizeof(socket), "%s %d", pfx ? pfx : "CPU", i);
	string(b, 4, NULL, socket);
	string(b, 7, "manufacturer", "Rhea");
	string(b, 16, "version", "pc");
	string(b, 32, "serial", NULL);
	string(b, 33, "asset", NULL);
	string(b, 34, "part", NULL);
	end(b);
}

#define DIMM_MAX	(16ull << 30)

static void memory_array(struct builder *b, int ndimms)
{
	uint8_t *p = begin(b, 16, 23, 0x1000);
	p[4] = 1;			/* location: other */
	p[5] = 3;			/* system memory */
	p[6] = 6;			/* multi-bit ECC */
	st32(p + 7, (uint32_t)min_u64(b->cfg->ram_size >> 10, 0x80000000));
	st16(p + 11, 0xfffe);		/* no error information */
	st16(p + 13, (uint16_t)ndimms);
	if (b->cfg->ram_size >> 10 >= 0x80000000)
		st64(p + 15, b->cfg->ram_size);
	end(b);
}

static void memory_device(struct builder *b, int i, uint64_t size)
{
	char locator[32], prefix[24];
	uint8_t *p = begin(b, 17, 40, (uint16_t)(0x1100 + i));
	const char *pfx = option(b, 17, "loc_pfx", prefix, sizeof(prefix));
	uint64_t mb = size >> 20;
	st16(p + 4, 0x1000);
	st16(p + 6, 0xfffe);
	st16(p + 8, 0xffff);
	st16(p + 10, 0xffff);
	st16(p + 12, mb < 0x7fff ? (uint16_t)mb : 0x7fff);
	p[14] = 9;			/* DIMM */
	p[18] = 7;			/* RAM */
	st16(p + 19, 2);		/* detail: other */
	st32(p + 28, mb < 0x7fff ? 0 : (uint32_t)mb);
	snprintf(locator, sizeof(locator), "%s %d", pfx ? pfx : "DIMM", i);
	string(b, 16, NULL, locator);
	string(b, 17, "bank", NULL);
	string(b, 23, "manufacturer", "Rhea");
	string(b, 24, "serial", NULL);
	string(b, 25, "asset", NULL);
	string(b, 26, "part", NULL);
	end(b);
}

static void memory_range(struct builder *b, int i, uint64_t start, uint64_t size)
{
	uint8_t *p = begin(b, 19, 31, (uint16_t)(0x1300 + i));
	uint64_t first = start >> 10, last = ((start + size) >> 10) - 1;
	bool wide = last > 0xfffffffe;
	st32(p + 4, wide ? 0xffffffff : (uint32_t)first);
	st32(p + 8, wide ? 0xffffffff : (uint32_t)last);
	st16(p + 12, 0x1000);
	p[14] = 1;
	if (wide) {
		st64(p + 15, start);
		st64(p + 23, start + size - 1);
	}
	end(b);
}

static void memory(struct builder *b)
{
	uint64_t left = b->cfg->ram_size, low = b->cfg->ram_below_4g;
	int n = (int)((left + DIMM_MAX - 1) / DIMM_MAX);
	memory_array(b, n);
	for (int i = 0; i < n; i++, left -= min_u64(left, DIMM_MAX))
		memory_device(b, i, min_u64(left, DIMM_MAX));
	memory_range(b, 0, 0, low);
	if (b->cfg->ram_size > low)
		memory_range(b, 1, 1ull << 32, b->cfg->ram_size - low);
}

/* 5.2.1: the firmware fills in the table's address and the sums. */
static void entry_point(const struct builder *b, struct bytes *anchor)
{
	uint8_t *p = bytes_grow(anchor, 31);
	memcpy(p, "_SM_", 4);
	p[5] = 31;
	p[6] = 2;
	p[7] = 8;
	st16(p + 8, (uint16_t)b->largest);
	memcpy(p + 16, "_DMI_", 5);
	st16(p + 22, (uint16_t)b->t->n);
	st16(p + 28, (uint16_t)b->count);
	p[30] = 0x28;
	p[21] = bytes_checksum(p + 16, 15);
	p[4] = bytes_checksum(p, 31);
}

bool smbios_build(const struct smbios_config *cfg, struct bytes *anchor, struct bytes *tables,
		  struct err *e)
{
	struct builder b = { .cfg = cfg, .t = tables };
	for (int i = 0; i < cfg->noptions; i++)
		if (!check_option(cfg->options[i], e))
			return false;
	firmware(&b);
	system_info(&b);
	enclosure(&b);
	for (int i = 0; i < cfg->sockets; i++)
		processor(&b, i);
	memory(&b);
	begin(&b, 32, 11, 0x2000);	/* no boot errors */
	end(&b);
	begin(&b, 127, 4, 0x7f00);
	end(&b);
	entry_point(&b, anchor);
	return true;
}
