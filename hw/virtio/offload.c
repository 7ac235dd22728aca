/*
 * Checksums and segmentation of TCP for a driver that leaves them to its card.
 *
 * Not modelled: IPv6 extension headers (such segments are refused), UDP.
 * Source: RFC 791, 1071, 8200, 9293.
 */
#include "hw/virtio/offload.h"

#include <string.h>

#include "base/bits.h"

#define ETHER		14u
#define MAX_HEADERS	(ETHER + 8u + 60u + 60u)
#define MAX_OUT		(MAX_HEADERS + 65536u)
#define TCP		6
#define FIN_PSH		0x09u
#define CWR		0x80u

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

/* The sum does not mind the byte order as long as it is put back in the same one. */
static uint64_t add_up(const uint8_t *p, size_t n, uint64_t sum)
{
	for (; n >= 4; n -= 4, p += 4)
		sum += ld32(p);
	if (n >= 2) {
		sum += ld16(p);
		p += 2;
	}
	return n & 1 ? sum + *p : sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

bool offload_checksum(uint8_t *frame, size_t len, size_t start, size_t offset)
{
	if (start > len || offset + 2 > len - start)
		return false;
	uint16_t sum = fold(add_up(frame + start, len - start, 0));
	st16(frame + start + offset, sum ? sum : 0xffff);
	return true;
}

/* Where the headers of a TCP segment are. */
struct segment {
	size_t ip, tcp, data;		/* offsets in the frame */
	bool v6;
};

static bool parse_ip(const uint8_t *f, size_t len, struct segment *s)
{
	uint16_t type = get16(f + 12);

	s->ip = ETHER;
	for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8) && s->ip + 4 <= len; tags++) {
		type = get16(f + s->ip + 2);
		s->ip += 4;
	}
	s->v6 = type == 0x86dd;
	if (type == 0x0800 && s->ip + 20 <= len && f[s->ip] >> 4 == 4 && f[s->ip + 9] == TCP)
		s->tcp = s->ip + (f[s->ip] & 15u) * 4;
	else if (s->v6 && s->ip + 40 <= len && f[s->ip] >> 4 == 6 && f[s->ip + 6] == TCP)
		s->tcp = s->ip + 40;
	else
		return false;
	return s->tcp >= s->ip + 20;
}

static bool parse(const uint8_t *f, size_t len, struct segment *s)
{
	if (len < ETHER || !parse_ip(f, len, s) || s->tcp + 20 > len)
		return false;
	s->data = s->tcp + (size_t)(f[s->tcp + 12] >> 4) * 4;
	return s->data >= s->tcp + 20 && s->data < len && s->data <= MAX_HEADERS;
}

/* Lengths and checksums of a frame whose parts are in place. */
static void finish(uint8_t *f, size_t len, const struct segment *s)
{
	uint64_t pseudo = (uint64_t)__builtin_bswap16((uint16_t)(len - s->tcp)) + (TCP << 8);

	if (s->v6) {
		put16(f + s->ip + 4, (uint32_t)(len - s->ip - 40));
		pseudo = add_up(f + s->ip + 8, 32, pseudo);
	} else {
		put16(f + s->ip + 2, (uint32_t)(len - s->ip));
		put16(f + s->ip + 10, 0);
		st16(f + s->ip + 10, fold(add_up(f + s->ip, s->tcp - s->ip, 0)));
		pseudo = add_up(f + s->ip + 12, 8, pseudo);
	}
	put16(f + s->tcp + 16, 0);
	st16(f + s->tcp + 16, fold(add_up(f + s->tcp, len - s->tcp, pseudo)));
}

bool offload_segment(const uint8_t *frame, size_t len, size_t size,
		     void (*send)(void *opaque, const uint8_t *frame, size_t len), void *opaque)
{
	uint8_t out[MAX_OUT];
	struct segment s;
	uint32_t seq;
	uint16_t id;

	if (!size || size > 65535 || !parse(frame, len, &s))
		return false;
	memcpy(out, frame, s.data);
	seq = get32(frame + s.tcp + 4);
	id = get16(frame + s.ip + 4);
	for (size_t at = s.data; at < len; at += size) {
		size_t k = len - at < size ? len - at : size;

		memcpy(out + s.data, frame + at, k);
		out[s.tcp + 13] = (uint8_t)(frame[s.tcp + 13] & ~(at + k < len ? FIN_PSH : 0) & ~(at > s.data ? CWR : 0));
		put32(out + s.tcp + 4, seq + (uint32_t)(at - s.data));
		if (!s.v6)
			put16(out + s.ip + 4, id++);
		finish(out, s.data + k, &s);
		send(opaque, out, s.data + k);
	}
	return true;
}
