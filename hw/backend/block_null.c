/* A disk of any size without a file: it reads as zeros and forgets what is written (driver=null-co). */
#include <stdlib.h>
#include <string.h>

#include "hw/backend/block.h"
#include "hw/backend/iov.h"

static bool null_readv(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	(void)b, (void)at, (void)n, (void)e;
	iov_zero(iov, niov);
	return true;
}

static bool null_writev(struct block *b, uint64_t at, const struct iovec *iov, int niov, uint32_t n, struct err *e)
{
	(void)b, (void)at, (void)iov, (void)niov, (void)n, (void)e;
	return true;
}

static bool null_flush(struct block *b, struct err *e)
{
	(void)b, (void)e;
	return true;
}

static bool null_discard(struct block *b, uint64_t at, uint32_t n, bool zero, bool unmap, struct err *e)
{
	(void)b, (void)at, (void)n, (void)zero, (void)unmap, (void)e;
	return true;
}

static bool null_status(struct block *b, uint64_t at, uint64_t n, struct block_extent *x, struct err *e)
{
	(void)b, (void)at, (void)e;
	*x = (struct block_extent){ .sectors = n, .allocated = true, .zero = true };
	return true;
}

static bool null_resize(struct block *b, uint64_t sectors, struct err *e)
{
	(void)e;
	b->sectors = sectors;
	return true;
}

static void null_close(struct block *b)
{
	free(b->file);
	free(b);
}

static const struct block_ops null_ops = {
	"null-co", null_readv, null_writev, null_flush, null_close, null_discard, null_status, null_resize,
};

struct block *block_null_open(const struct block_options *o, struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));

	if (!b || !(b->file = strdup("null-co://"))) {
		free(b);
		err_set(e, "no memory");
		return NULL;
	}
	b->ops = &null_ops;
	b->readonly = o->readonly;
	b->sectors = (o->size + SECTOR - 1) / SECTOR;
	return b;
}
