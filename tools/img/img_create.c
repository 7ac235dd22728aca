/* rhea-img create, resize: new images and the options of their formats. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/backend/block_file.h"
#include "tools/img/img.h"

static const char *const preallocs[] = { "off", "metadata", "falloc", "full" };

bool parse_prealloc(const char *word, enum qcow2_prealloc *p, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(preallocs); i++)
		if (!strcmp(word, preallocs[i])) {
			*p = (enum qcow2_prealloc)i;
			return true;
		}
	return err_set(e, "preallocation '%s' is not one of off, metadata, falloc, full", word);
}

static bool on_off(const char *name, const char *v, bool *to, struct err *e)
{
	*to = !strcmp(v, "on");
	return *to || !strcmp(v, "off") || err_set(e, "%s must be on or off", name);
}

struct options {
	struct qcow2_create c;
	uint64_t size;
	bool qcow2;
	char text[4096];		/* what c's strings point into */
};

static bool number(const char *v, uint64_t max, uint64_t *n, struct err *e)
{
	return parse_size(v, n, e) && (*n <= max || err_set(e, "%s is too large", v));
}

static bool set_option(struct options *o, const char *name, const char *v, struct err *e)
{
	struct qcow2_create *c = &o->c;
	uint64_t n;

	if (!strcmp(name, "size"))
		return parse_size(v, &o->size, e);
	if (!strcmp(name, "preallocation"))
		return parse_prealloc(v, &c->prealloc, e);
	if (!o->qcow2)
		return err_set(e, "option '%s' is not known for raw images", name);
	if (!strcmp(name, "cluster_size")) {
		bool ok = number(v, UINT32_MAX, &n, e);
		c->cluster_size = ok ? (uint32_t)n : 0;
		return ok;
	}
	if (!strcmp(name, "refcount_bits")) {
		bool ok = number(v, 1024, &n, e);
		c->refcount_bits = ok ? (unsigned)n : 0;
		return ok;
	}
	if (!strcmp(name, "lazy_refcounts"))
		return on_off(name, v, &c->lazy_refcounts, e);
	if (!strcmp(name, "compat")) {
		c->version = !strcmp(v, "0.10") || !strcmp(v, "v2") ? 2 : 3;
		return c->version == 2 || !strcmp(v, "1.1") || !strcmp(v, "v3")
			|| err_set(e, "compat must be 0.10 or 1.1");
	}
	if (!strcmp(name, "compression_type")) {
		c->zstd = !strcmp(v, "zstd");
		return c->zstd || !strcmp(v, "zlib") || err_set(e, "compression_type must be zlib or zstd");
	}
	if (!strcmp(name, "backing_file"))
		c->backing = v;
	else if (!strcmp(name, "backing_fmt"))
		c->backing_format = v;
	else
		return err_set(e, "option '%s' is not known for qcow2 images; see -o help", name);
	return true;
}

static bool parse_options(struct options *o, const char *list, struct err *e)
{
	if (!list)
		return true;
	if (strlen(list) >= sizeof(o->text))
		return err_set(e, "-o: too long");
	strcpy(o->text, list);
	for (char *p = o->text, *next; p; p = next) {
		if ((next = strchr(p, ',')))
			*next++ = 0;
		char *v = strchr(p, '=');
		if (v)
			*v++ = 0;
		if (*p && !set_option(o, p, v ? v : "on", e))
			return false;
	}
	return true;
}

bool parse_new_options(const char *list, bool qcow2, struct qcow2_create *c, struct err *e)
{
	struct options o = { .c = *c, .qcow2 = qcow2 };

	if (!parse_options(&o, list, e) || (qcow2 && !qcow2_create_possible("the image", &o.c, e)))
		return false;
	*c = o.c;
	c->backing = c->backing_format = NULL;	/* their text goes with o */
	return true;
}

void list_options(const char *format)
{
	printf("Supported options:\n");
	if (!strcmp(format, "qcow2"))
		printf("  backing_file=<str>     - File name of a base image\n"
		       "  backing_fmt=<str>      - Image format of the base image\n"
		       "  cluster_size=<size>    - qcow2 cluster size, 512 to 2M\n"
		       "  compat=<str>           - Compatibility level (v2 [0.10] or v3 [1.1])\n"
		       "  compression_type=<str> - Compression method of compressed clusters, zlib or zstd\n"
		       "  lazy_refcounts=<bool>  - Postpone refcount updates\n"
		       "  refcount_bits=<num>    - Width of a reference count entry in bits\n");
	printf("  preallocation=<str>    - Preallocation mode (off, %sfalloc, full)\n"
	       "  size=<size>            - Virtual disk size\n", strcmp(format, "qcow2") ? "" : "metadata, ");
}

static bool create_raw(const char *file, uint64_t size, enum qcow2_prealloc p, struct err *e)
{
	if (p == QCOW2_PREALLOC_METADATA)
		return err_set(e, "raw images have no metadata to preallocate");
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(e, "'%s'", file);
	bool ok = block_file_lock(fd, file, true, e);
	if (ok && (ftruncate(fd, 0) || ftruncate(fd, (off_t)size)))
		ok = err_errno(e, "'%s'", file);
	if (!ok) {
		close(fd);
		return false;
	}
	int r = p == QCOW2_PREALLOC_OFF || !size ? 0 : posix_fallocate(fd, 0, (off_t)size);
	close(fd);
	errno = r;
	return !r || err_errno(e, "'%s': making room", file);
}

/* A backing image's name is relative to the new image's folder. */
static bool backing_size(const struct new_image *n, const char *backing, const char *format, uint64_t *size,
			 struct err *e)
{
	char *path = block_backing_path(n->file, backing);
	struct block_options o = { .file = path, .format = format, .readonly = true, .unlocked = true };
	struct block *b = path ? block_open(&o, e) : NULL;

	free(path);
	if (!b)
		return err_prefix(e, "backing image");
	if (*size == UINT64_MAX)
		*size = block_sectors(b) * SECTOR;
	block_close(b);
	return true;
}

static void announce(const struct new_image *n, const struct options *o)
{
	const struct qcow2_create *c = &o->c;
	printf("Formatting '%s', fmt=%s", n->file, n->format);
	if (o->qcow2)
		printf(" cluster_size=%u extended_l2=off%s%s compression_type=%s", c->cluster_size,
		       c->prealloc ? " preallocation=" : "", c->prealloc ? preallocs[c->prealloc] : "",
		       c->zstd ? "zstd" : "zlib");
	printf(" size=%llu", (unsigned long long)c->size);
	if (c->version == 2)
		printf(" compat=0.10");
	if (c->backing)
		printf(" backing_file=%s backing_fmt=%s", c->backing, c->backing_format);
	if (o->qcow2)
		printf(" lazy_refcounts=%s refcount_bits=%u", c->lazy_refcounts ? "on" : "off", c->refcount_bits);
	else if (c->prealloc)
		printf(" preallocation=%s", preallocs[c->prealloc]);
	printf("\n");
}

bool new_image(const struct new_image *n, struct err *e)
{
	struct options o = { .c = QCOW2_CREATE_DEFAULT, .size = n->size, .qcow2 = !strcmp(n->format, "qcow2") };

	if (!o.qcow2 && strcmp(n->format, "raw"))
		return err_set(e, "Unknown file format '%s' (raw and qcow2 are known)", n->format);
	o.c.backing = n->backing;
	o.c.backing_format = n->backing_format;
	if (!parse_options(&o, n->options, e))
		return err_prefix(e, "%s", n->file);
	if (o.c.backing && !o.qcow2)
		return err_set(e, "%s: raw images cannot have a backing image", n->file);
	if (o.c.backing && !o.c.backing_format)
		return err_set(e, "%s: backing file specified without backing format (-F)", n->file);
	if (o.c.backing && !n->unsafe && !backing_size(n, o.c.backing, o.c.backing_format, &o.size, e))
		return err_prefix(e, "%s", n->file);
	if (o.size == UINT64_MAX)
		return err_set(e, "%s: Image creation needs a size parameter", n->file);
	o.c.size = align_up(o.size, SECTOR);
	if (!n->quiet)
		announce(n, &o);
	return o.qcow2 ? qcow2_create(n->file, &o.c, e) : create_raw(n->file, o.c.size, o.c.prealloc, e);
}

int cmd_create(const struct args *a)
{
	struct new_image n = {
		.file = a->file[0], .format = a->f ? a->f : "raw", .size = UINT64_MAX, .backing = a->b,
		.backing_format = a->F, .unsafe = a->unsafe, .quiet = a->quiet, .options = a->o,
	};
	struct err e;
	if ((a->n > 1 && !parse_size(a->file[1], &n.size, &e)) || !new_image(&n, &e))
		return fail(&e);
	return 0;
}

int cmd_resize(const struct args *a)
{
	const char *size = a->size;
	bool more = *size == '+', less = *size == '-';
	uint64_t n;
	struct err e;

	if (!parse_size(size + (more || less), &n, &e))
		return fail(&e);
	struct block *b = open_image(a, a->file[0], a->f, true, &e);
	if (!b)
		return fail(&e);
	uint64_t old = block_sectors(b) * SECTOR, now = more ? old + n : less ? old - min_u64(n, old) : n;
	int status = 0;
	now = align_up(now, SECTOR);
	if (now < old && !a->shrink)
		status = fail_with("Use the --shrink option to perform a shrink operation.");
	else if (!now && less)
		status = fail_with("New image size must be positive");
	else if (!block_resize(b, now / SECTOR, &e))
		status = fail(&e);
	else if (!a->quiet)
		printf("Image resized.\n");
	block_close(b);
	return status;
}
