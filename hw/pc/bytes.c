/* Growing byte arrays; see bytes.h. */
#include "hw/pc/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"

uint8_t *bytes_grow(struct bytes *b, size_t n)
{
	if (b->n + n > b->cap) {
		b->cap = (b->n + n) * 2;
		b->p = realloc(b->p, b->cap);
		if (!b->p) {
			warn("out of memory");
			abort();
		}
	}
	if (n)
		memset(b->p + b->n, 0, n);
	b->n += n;
	return b->p + b->n - n;
}

void bytes_put(struct bytes *b, const void *p, size_t n)
{
	uint8_t *to = bytes_grow(b, n);
	if (n)
		memcpy(to, p, n);
}

void bytes_put8(struct bytes *b, uint8_t v)
{
	*bytes_grow(b, 1) = v;
}

void bytes_put16(struct bytes *b, uint16_t v)
{
	st16(bytes_grow(b, 2), v);
}

void bytes_put32(struct bytes *b, uint32_t v)
{
	st32(bytes_grow(b, 4), v);
}

void bytes_put64(struct bytes *b, uint64_t v)
{
	st64(bytes_grow(b, 8), v);
}

void bytes_puts(struct bytes *b, const char *s)
{
	bytes_put(b, s, strlen(s) + 1);
}

void bytes_insert(struct bytes *b, size_t at, const void *p, size_t n)
{
	bytes_grow(b, n);
	memmove(b->p + at + n, b->p + at, b->n - n - at);
	memcpy(b->p + at, p, n);
}

void bytes_align(struct bytes *b, size_t align)
{
	bytes_grow(b, align_up(b->n, align) - b->n);
}

uint8_t bytes_checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;
	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

void bytes_fini(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}
