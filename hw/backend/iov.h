/* Lists of pieces of memory: cutting, copying, looking for zeros. */
#ifndef HW_BACKEND_IOV_H
#define HW_BACKEND_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define IOV_PIECES 1024		/* as many as the host takes at once, and as a caller may give */

/* The part [skip, skip + n) of a list, in `out`, which holds as many as the list; how many. */
static inline int iov_slice(const struct iovec *iov, int niov, size_t skip, size_t n, struct iovec *out)
{
	int k = 0;

	for (int i = 0; i < niov && n; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		size_t len = iov[i].iov_len - skip;
		len = len < n ? len : n;
		out[k++] = (struct iovec){ (char *)iov[i].iov_base + skip, len };
		n -= len;
		skip = 0;
	}
	return k;
}

static inline void iov_put(const struct iovec *iov, int niov, const void *from)
{
	const char *p = from;
	for (int i = 0; i < niov; p += iov[i++].iov_len)
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
}

static inline void iov_get(const struct iovec *iov, int niov, void *to)
{
	char *p = to;
	for (int i = 0; i < niov; p += iov[i++].iov_len)
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
}

static inline void iov_zero(const struct iovec *iov, int niov)
{
	for (int i = 0; i < niov; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
}

static inline bool iov_is_zero(const struct iovec *iov, int niov)
{
	for (int i = 0; i < niov; i++) {
		const char *p = iov[i].iov_base;
		if (iov[i].iov_len && (*p || memcmp(p, p + 1, iov[i].iov_len - 1)))
			return false;
	}
	return true;
}

#endif
