/*
 * Kernels in a gzip file, as Xen's are delivered: unpacked before anybody looks
 * at their format.
 *
 * Not modelled: files of several members (what follows the first is ignored).
 * Source: RFC 1952.
 */
#include <stdlib.h>
#include <zlib.h>

#include "hw/pc/boot.h"

#define GZIP_HEADER	18		/* with the trailer: the shortest file there can be */
#define ANY_HEADER	(32 + MAX_WBITS)

bool boot_is_gzip(const struct boot_file *k)
{
	return k->n >= GZIP_HEADER && k->p[0] == 0x1f && k->p[1] == 0x8b && k->p[2] == Z_DEFLATED;
}

/* Room for at least one byte more, never more than max in all. */
static bool grow(struct boot_file *out, size_t *room, uint64_t max)
{
	size_t more = *room < max / 2 ? 2 * *room : max;
	uint8_t *p = more > *room ? realloc(out->p, more) : NULL;
	if (!p)
		return false;
	out->p = p;
	*room = more;
	return true;
}

/* zlib's last word: Z_STREAM_END, Z_MEM_ERROR if it gets too large, or what is wrong. */
static int unpack(z_stream *z, struct boot_file *out, uint64_t max)
{
	size_t room = 0x100000;
	int r = Z_OK;

	if (room > max)
		room = max;
	out->p = malloc(room);
	while (r == Z_OK && out->p) {
		if (out->n == room && !grow(out, &room, max))
			return Z_MEM_ERROR;
		z->next_out = out->p + out->n;
		z->avail_out = (uInt)(room - out->n);
		r = inflate(z, Z_NO_FLUSH);
		out->n = room - z->avail_out;
	}
	return out->p ? r : Z_MEM_ERROR;
}

bool boot_gunzip(struct boot_file *k, uint64_t max, struct err *e)
{
	struct boot_file out = { 0 };
	z_stream z = { .next_in = k->p, .avail_in = (uInt)k->n };

	if (!boot_is_gzip(k))
		return true;
	if (inflateInit2(&z, ANY_HEADER) != Z_OK)
		return err_set(e, "out of memory");
	int r = unpack(&z, &out, max);
	inflateEnd(&z);
	if (r != Z_STREAM_END) {
		free(out.p);
		return r == Z_MEM_ERROR ? err_set(e, "unpacked it does not fit into memory; use a larger -m")
					: err_set(e, "a damaged gzip file");
	}
	free(k->p);
	*k = out;
	return true;
}
