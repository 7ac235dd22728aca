/*
 * Which guest instruction a place in host code belongs to, packed: for each place
 * where that changes the distance in host code from the one before, the distance in guest
 * code, and what else is known there. Most entries are two bytes. They are read from the
 * block's first one on, by faults and stores to code only.
 *
 * An entry: host distance, then guest distance (sign in bit 1, so that small ones are small
 * numbers) with "flags stand in the host's" in bit 0, both in groups of seven bits with
 * the top bit set if more follow; in blocks that count instructions another byte.
 * Light.
 */
#include "tcg/cache.h"

static uint8_t *put(uint8_t *p, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static const uint8_t *get(const uint8_t *p, uint32_t *v)
{
	unsigned shift = 0;

	for (*v = 0; *p & 0x80; shift += 7)
		*v |= (uint32_t)(*p++ & 0x7f) << shift;
	*v |= (uint32_t)*p++ << shift;
	return p;
}

/* Sign and size in one number. */
static uint32_t fold(int32_t d) { return (uint32_t)d << 1 ^ (uint32_t)(d >> 31); }
static int32_t unfold(uint32_t v) { return (int32_t)(v >> 1) ^ -(int32_t)(v & 1); }

unsigned tcg_side_pack(uint8_t *to, const struct x64_side *s, unsigned n, bool counts)
{
	uint32_t host = 0;
	int32_t off = 0;
	uint8_t *p = to;

	for (; n--; s++) {
		uint32_t d = s->host_off - host, g = fold(s->off - off) << 1 | s->flags_host;

		if ((d | g) < 0x80) {		/* the usual case */
			p[0] = (uint8_t)d;
			p[1] = (uint8_t)g;
			p += 2;
		} else {
			p = put(put(p, d), g);
		}
		if (counts)
			*p++ = (uint8_t)s->uncounted;
		host = s->host_off;
		off = s->off;
	}
	return (unsigned)(p - to);
}

struct x64_side tcg_side_find(const uint8_t *p, const uint8_t *end, uint32_t host_off, bool counts)
{
	struct x64_side at = { 0 }, next = { 0 };

	while (p < end) {
		uint32_t d, g;

		p = get(get(p, &d), &g);
		next.host_off += d;
		next.off += unfold(g >> 1);
		next.flags_host = g & 1;
		if (counts)
			next.uncounted = (int8_t)*p++;
		if (next.host_off > host_off)
			break;
		at = next;
	}
	return at;
}
