/* Guest memory for a transfer by another thread (sg.h). */
#include "hw/core/sg.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define PAGE 4096u

struct sg_piece {
	struct ram *ram;		/* or NULL: memory of the list's own, for ... */
	uint64_t at;			/* offset in ram, or guest address */
};

static void drop_from(struct sg *s, int n)
{
	for (int i = n; i < s->n; i++)
		if (!s->piece[i].ram)
			free(s->iov[i].iov_base);
	s->n = n;
}

void sg_begin(struct sg *s, struct machine *m, bool to_guest)
{
	drop_from(s, 0);
	s->m = m;
	s->to_guest = to_guest;
	s->bytes = s->bounced = 0;
	s->ram_only = s->not_ram = false;
}

void sg_fini(struct sg *s)
{
	drop_from(s, 0);
	free(s->iov);
	free(s->piece);
	*s = (struct sg){ 0 };
}

/* Room for one more piece. */
static bool make_room(struct sg *s)
{
	if (s->n < s->room)
		return true;
	if (s->n == SG_MAX_PIECES)
		return false;
	int room = s->room ? 2 * s->room : 16;
	struct iovec *iov = realloc(s->iov, (size_t)room * sizeof(*iov));
	if (iov)
		s->iov = iov;
	struct sg_piece *piece = iov ? realloc(s->piece, (size_t)room * sizeof(*piece)) : NULL;
	if (!piece)
		return false;
	s->piece = piece;
	s->room = room;
	return true;
}

static bool append(struct sg *s, struct ram *ram, uint64_t at, void *host, uint64_t n)
{
	struct sg_piece *last = s->n ? &s->piece[s->n - 1] : NULL;

	if (last && ram && last->ram == ram && last->at + s->iov[s->n - 1].iov_len == at) {
		s->iov[s->n - 1].iov_len += n;
		return true;
	}
	if (!make_room(s))
		return false;
	s->iov[s->n] = (struct iovec){ host, n };
	s->piece[s->n++] = (struct sg_piece){ ram, at };
	return true;
}

/* What is no RAM: read now, written in sg_written(). */
static bool append_bounce(struct sg *s, uint64_t pa, uint64_t n)
{
	s->not_ram = true;
	if (s->ram_only || n > SG_MAX_BOUNCE - s->bounced)
		return false;
	void *host = malloc(n);
	if (!host || !append(s, NULL, pa, host, n)) {
		free(host);
		return false;
	}
	if (s->to_guest)
		memset(host, 0, n);
	else
		dma_read(s->m, pa, host, n);
	s->bounced += n;
	return true;
}

bool sg_add(struct sg *s, uint64_t pa, uint64_t n)
{
	struct phys_page pg;
	int was = s->n;
	size_t last = was ? s->iov[was - 1].iov_len : 0;
	uint64_t bounced = s->bounced;

	for (uint64_t left = n, k; left; pa += k, left -= k) {
		k = min_u64(left, PAGE - pa % PAGE);
		phys_lookup(s->m->phys, pa, &pg);
		uint8_t *host = s->to_guest ? pg.whost : pg.rhost;
		struct ram *ram = s->to_guest ? pg.wram : pg.ram;
		if (host && ram ? append(s, ram, pg.ram_off + pa % PAGE, host + pa % PAGE, k)
				: append_bounce(s, pa, k))
			continue;
		drop_from(s, was);
		if (was)
			s->iov[was - 1].iov_len = last;
		s->bounced = bounced;
		return false;
	}
	s->bytes += n;
	if (trace_on(s->m))
		trace_point(s->m, "dma", NULL, s->to_guest ? "write" : "read", "0x%" PRIx64 " length %" PRIu64, pa - n, n);
	return true;
}

void sg_cut(struct sg *s, uint64_t n)
{
	int i = 0;

	for (uint64_t at = 0; i < s->n && at < n; at += s->iov[i++].iov_len)
		if (s->iov[i].iov_len > n - at)
			s->iov[i].iov_len = n - at;
	drop_from(s, i);
	s->bytes = min_u64(s->bytes, n);
}

void sg_written(struct sg *s, uint64_t n)
{
	for (int i = 0; i < s->n && n; i++) {
		uint64_t k = min_u64(n, s->iov[i].iov_len);
		if (s->piece[i].ram)
			phys_ram_written(s->m->phys, s->piece[i].ram, s->piece[i].at, k);
		else
			dma_write(s->m, s->piece[i].at, s->iov[i].iov_base, k);
		n -= k;
	}
}

static void copy(const struct sg *s, uint64_t off, uint8_t *host, uint64_t n, bool put)
{
	for (int i = 0; i < s->n && n; i++) {
		uint64_t len = s->iov[i].iov_len;
		if (off >= len) {
			off -= len;
			continue;
		}
		uint64_t k = min_u64(n, len - off);
		uint8_t *p = (uint8_t *)s->iov[i].iov_base + off;
		memcpy(put ? p : host, put ? host : p, k);
		host += k;
		n -= k;
		off = 0;
	}
}

void sg_get(const struct sg *s, uint64_t off, void *to, uint64_t n)
{
	copy(s, off, to, n, false);
}

void sg_put(struct sg *s, uint64_t off, const void *from, uint64_t n)
{
	copy(s, off, (uint8_t *)from, n, true);
}
