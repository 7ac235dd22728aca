/* AML builder; see aml.h. */
#include "hw/pc/aml.h"

#include <ctype.h>
#include <string.h>

enum {
	OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
	OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_METHOD = 0x14,
	OP_DUAL = 0x2e, OP_MULTI = 0x2f, OP_EXT = 0x5b, OP_IF = 0xa0, OP_ELSE = 0xa1,
	EXT_REGION = 0x80, EXT_FIELD = 0x81, EXT_DEVICE = 0x82, EXT_PROCESSOR = 0x83,
};

/* ---- package lengths and names ---- */

/* 20.2.4: the length counts its own bytes. */
static int encode_length(uint8_t out[4], size_t n, int own)
{
	if (own == 1) {
		out[0] = (uint8_t)n;
	} else {
		out[0] = (uint8_t)((own - 1) << 6 | (n & 0xf));
		n >>= 4;
		for (int i = 1; i < own; i++, n >>= 8)
			out[i] = (uint8_t)n;
	}
	return own;
}

void aml_end(struct bytes *a, size_t mark)
{
	size_t n = a->n - mark;
	uint8_t len[4];
	int own = n + 1 < 0x40 ? 1 : n + 2 < 0x1000 ? 2 : n + 3 < 0x100000 ? 3 : 4;
	encode_length(len, n + (size_t)own, own);
	bytes_insert(a, mark, len, (size_t)own);
}

static void put_seg(struct bytes *a, const char *s, size_t n)
{
	char seg[5] = "____";
	memcpy(seg, s, n < 4 ? n : 4);
	bytes_put(a, seg, 4);
}

void aml_path(struct bytes *a, const char *path)
{
	int nseg = 0;
	while (*path == '\\' || *path == '^')
		bytes_put8(a, (uint8_t)*path++);
	if (!*path) {
		bytes_put8(a, 0);
		return;
	}
	for (const char *p = path; p; p = strchr(p, '.'), p = p ? p + 1 : NULL)
		nseg++;
	if (nseg == 2) {
		bytes_put8(a, OP_DUAL);
	} else if (nseg > 2) {
		bytes_put8(a, OP_MULTI);
		bytes_put8(a, (uint8_t)nseg);
	}
	while (nseg--) {
		size_t n = strcspn(path, ".");
		put_seg(a, path, n);
		path += n + 1;
	}
}

/* ---- constructs ---- */

size_t aml_scope(struct bytes *a, const char *path)
{
	bytes_put8(a, OP_SCOPE);
	size_t mark = a->n;
	aml_path(a, path);
	return mark;
}

static size_t extended(struct bytes *a, uint8_t op, const char *path)
{
	bytes_put8(a, OP_EXT);
	bytes_put8(a, op);
	size_t mark = a->n;
	aml_path(a, path);
	return mark;
}

size_t aml_device(struct bytes *a, const char *name)
{
	return extended(a, EXT_DEVICE, name);
}

size_t aml_processor(struct bytes *a, const char *name, uint8_t id)
{
	size_t mark = extended(a, EXT_PROCESSOR, name);
	bytes_put8(a, id);
	bytes_put32(a, 0);	/* no P_BLK */
	bytes_put8(a, 0);
	return mark;
}

size_t aml_method(struct bytes *a, const char *name, int nargs)
{
	bytes_put8(a, OP_METHOD);
	size_t mark = a->n;
	aml_path(a, name);
	bytes_put8(a, (uint8_t)nargs);
	return mark;
}

size_t aml_package(struct bytes *a, int n)
{
	bytes_put8(a, OP_PACKAGE);
	size_t mark = a->n;
	bytes_put8(a, (uint8_t)n);
	return mark;
}

size_t aml_if(struct bytes *a)
{
	bytes_put8(a, OP_IF);
	return a->n;
}

size_t aml_else(struct bytes *a)
{
	bytes_put8(a, OP_ELSE);
	return a->n;
}

size_t aml_field(struct bytes *a, const char *region, int access)
{
	size_t mark = extended(a, EXT_FIELD, region);
	bytes_put8(a, access == 1 ? 1 : access == 2 ? 2 : 3);
	return mark;
}

void aml_op(struct bytes *a, enum aml_op op)
{
	bytes_put8(a, (uint8_t)op);
}

void aml_name(struct bytes *a, const char *path)
{
	bytes_put8(a, OP_NAME);
	aml_path(a, path);
}

void aml_int(struct bytes *a, uint64_t v)
{
	if (v <= 1) {
		bytes_put8(a, (uint8_t)v);
	} else if (v <= 0xff) {
		bytes_put8(a, OP_BYTE);
		bytes_put8(a, (uint8_t)v);
	} else if (v <= 0xffff) {
		bytes_put8(a, OP_WORD);
		bytes_put16(a, (uint16_t)v);
	} else if (v <= 0xffffffff) {
		bytes_put8(a, OP_DWORD);
		bytes_put32(a, (uint32_t)v);
	} else {
		bytes_put8(a, OP_QWORD);
		bytes_put64(a, v);
	}
}

void aml_string(struct bytes *a, const char *s)
{
	bytes_put8(a, OP_STRING);
	bytes_puts(a, s);
}

/* 19.3.4: three letters of five bits, then four hexadecimal digits, big-endian. */
void aml_eisaid(struct bytes *a, const char *id)
{
	uint32_t v = 0;
	for (int i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)id[i] - 0x40);
	for (int i = 3; i < 7; i++)
		v = v << 4 | (uint32_t)(isdigit((unsigned char)id[i]) ? id[i] - '0' : id[i] - 'A' + 10);
	bytes_put8(a, OP_DWORD);
	bytes_put32(a, __builtin_bswap32(v));
}

void aml_region(struct bytes *a, const char *name, enum aml_space space, uint64_t off, uint64_t len)
{
	extended(a, EXT_REGION, name);
	bytes_put8(a, (uint8_t)space);
	aml_int(a, off);
	aml_int(a, len);
}

void aml_field_unit(struct bytes *a, const char *name, int nbits)
{
	uint8_t len[4];
	if (name)
		put_seg(a, name, strlen(name));
	else
		bytes_put8(a, 0);	/* reserved bits */
	int own = nbits < 0x40 ? 1 : 2;
	bytes_put(a, len, (size_t)encode_length(len, (size_t)nbits, own));
}

void aml_buffer(struct bytes *a, const struct bytes *content)
{
	bytes_put8(a, OP_BUFFER);
	size_t mark = a->n;
	aml_int(a, content->n);
	bytes_put(a, content->p, content->n);
	aml_end(a, mark);
}

/* ---- resources ---- */

void res_io(struct bytes *r, uint16_t base, uint8_t len)
{
	bytes_put8(r, 0x47);
	bytes_put8(r, 1);		/* decodes 16 bits */
	bytes_put16(r, base);
	bytes_put16(r, base);
	bytes_put8(r, 1);
	bytes_put8(r, len);
}

void res_irq(struct bytes *r, uint16_t mask)
{
	bytes_put8(r, 0x22);
	bytes_put16(r, mask);
}

void res_dma(struct bytes *r, uint8_t mask)
{
	bytes_put8(r, 0x2a);
	bytes_put8(r, mask);
	bytes_put8(r, 0);
}

void res_mem32(struct bytes *r, uint32_t base, uint32_t len)
{
	bytes_put8(r, 0x86);
	bytes_put16(r, 9);
	bytes_put8(r, 0);		/* read-only */
	bytes_put32(r, base);
	bytes_put32(r, len);
}

void res_interrupts(struct bytes *r, const uint32_t *irq, int n)
{
	bytes_put8(r, 0x89);
	bytes_put16(r, (uint16_t)(2 + 4 * n));
	bytes_put8(r, 0x09);		/* consumer, level, active high, shared */
	bytes_put8(r, (uint8_t)n);
	for (int i = 0; i < n; i++)
		bytes_put32(r, irq[i]);
}

enum { WINDOW_MEM, WINDOW_IO, WINDOW_BUS };
#define WINDOW_FIXED	0x0c	/* producer; minimum and maximum are fixed */

void res_bus_range(struct bytes *r, uint16_t min, uint16_t max)
{
	const uint16_t v[] = { 0, min, max, 0, (uint16_t)(max - min + 1) };
	bytes_put8(r, 0x88);
	bytes_put16(r, 13);
	bytes_put8(r, WINDOW_BUS);
	bytes_put8(r, WINDOW_FIXED);
	bytes_put8(r, 0);
	bytes_put(r, v, sizeof(v));
}

void res_io_window(struct bytes *r, uint16_t min, uint16_t max)
{
	const uint16_t v[] = { 0, min, max, 0, (uint16_t)(max - min + 1) };
	bytes_put8(r, 0x88);
	bytes_put16(r, 13);
	bytes_put8(r, WINDOW_IO);
	bytes_put8(r, WINDOW_FIXED);
	bytes_put8(r, 3);		/* ISA and non-ISA addresses */
	bytes_put(r, v, sizeof(v));
}

void res_mem_window(struct bytes *r, uint32_t min, uint32_t max, int cacheable)
{
	const uint32_t v[] = { 0, min, max, 0, max - min + 1 };
	bytes_put8(r, 0x87);
	bytes_put16(r, 23);
	bytes_put8(r, WINDOW_MEM);
	bytes_put8(r, WINDOW_FIXED);
	bytes_put8(r, cacheable ? 3 : 1);	/* read-write */
	bytes_put(r, v, sizeof(v));
}

void res_mem64_window(struct bytes *r, uint64_t min, uint64_t max)
{
	const uint64_t v[] = { 0, min, max, 0, max - min + 1 };
	bytes_put8(r, 0x8a);
	bytes_put16(r, 43);
	bytes_put8(r, WINDOW_MEM);
	bytes_put8(r, WINDOW_FIXED);
	bytes_put8(r, 3);
	bytes_put(r, v, sizeof(v));
}

void aml_template(struct bytes *a, struct bytes *r)
{
	bytes_put8(r, 0x79);		/* end tag; checksum 0: not checked */
	bytes_put8(r, 0);
	aml_buffer(a, r);
	bytes_fini(r);
}
