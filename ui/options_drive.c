/* What -drive and -blockdev say of an image, and -drive of limits and failures. */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ui/keyval.h"

/* ---- the image ---- */

static void cache_keys(struct kv *k, struct block_options *o)
{
	static const char *const modes[] = {
		"writeback", "none", "writethrough", "directsync", "unsafe", NULL
	};

	block_cache_mode(o, modes[kv_word(k, "cache", 0, modes)]);
	o->direct = kv_bool(k, "file.cache.direct", kv_bool(k, "cache.direct", o->direct));
	o->no_flush = kv_bool(k, "file.cache.no-flush", kv_bool(k, "cache.no-flush", o->no_flush));
	o->writethrough = !kv_bool(k, "cache.writeback", !o->writethrough);
}

/* Threads do the transfers whatever is asked for; the words differ in what they demand. */
static void aio_key(struct kv *k)
{
	static const char *const modes[] = { "threads", "native", "io_uring", NULL };
	int mode = kv_word(k, "aio", 0, modes);

	if (mode)
		warn("%s: aio=%s: transfers are done by threads; nothing else changes", k->option, modes[mode]);
}

bool opt_is_file_driver(const char *name)
{
	return !strcmp(name, "file") || !strncmp(name, "host_", 5);
}

static void driver_key(struct kv *k, struct block_options *o)
{
	const char *driver = kv_str(k, "driver", kv_str(k, "format", NULL));
	bool no_file = o->file && !strcmp(o->file, "null-co://");

	if (no_file || (driver && !strcmp(driver, "null-co"))) {
		o->null_co = true;
		o->size = kv_size(k, "size", 1ull << 30, 1);
		kv_bool(k, "read-zeroes", true);
		if (no_file)
			o->file = NULL;
	}
	if (driver && strcmp(driver, "null-co"))
		o->format = opt_is_file_driver(driver) ? "raw" : driver;
}

/* "file:NAME" is a way to write names with colons. */
static const char *file_name(const char *text)
{
	return text && !strncmp(text, "file:", 5) ? text + 5 : text;
}

void opt_drive_image(struct kv *k, struct drive_options *v)
{
	/* Sizes of caches and the like: what they are for is done anyhow. */
	static const char *const ignored[] = {
		"file.aio", "file.discard", "file.read-only", "file.node-name", "file.pr-manager", "pass-discard-request",
		"pass-discard-snapshot", "pass-discard-other", "overlap-check", "cache-size", "l2-cache-size",
		"l2-cache-entry-size", "refcount-cache-size", "cache-clean-interval", "lazy-refcounts", NULL
	};
	static const char *const discard[] = { "ignore", "unmap", "off", "on", NULL };
	static const char *const zeroes[] = { "off", "on", "unmap", NULL };
	static const char *const locking[] = { "auto", "on", "off", NULL };
	struct block_options *o = &v->image;

	o->file = file_name(kv_str(k, "file", kv_str(k, "filename", kv_str(k, "file.filename", NULL))));
	driver_key(k, o);
	cache_keys(k, o);
	aio_key(k);
	o->readonly = kv_bool(k, "readonly", kv_bool(k, "read-only", v->cdrom));
	o->auto_readonly = kv_bool(k, "file.auto-read-only", kv_bool(k, "auto-read-only", false));
	o->no_discard = !(kv_word(k, "discard", 0, discard) & 1);
	o->detect_zeroes = (enum block_zeroes)kv_word(k, "detect-zeroes", 0, zeroes);
	o->copy_on_read = kv_bool(k, "copy-on-read", false);
	o->locking = (enum block_locking)kv_word(k, "file.locking", kv_word(k, "locking", 0, locking), locking);
	kv_ignore(k, ignored);
}

bool opt_drive_check(const struct drive_options *v, const char *option, const char *arg, struct err *e)
{
	const struct block_options *o = &v->image;

	if (o->null_co && o->file)
		return err_set(e, "%s %s: null-co has no file", option, arg);
	if (o->null_co && o->format && strcmp(o->format, "raw"))
		return err_set(e, "%s %s: null-co holds nothing, no %s either", option, arg, o->format);
	if (o->copy_on_read && o->readonly)
		return err_set(e, "%s %s: copy-on-read=on writes the image, which is to be read-only", option, arg);
	if (o->detect_zeroes == BLOCK_ZEROES_UNMAP && o->no_discard)
		return err_set(e, "%s %s: detect-zeroes=unmap needs discard=unmap", option, arg);
	return true;
}

/* ---- failures ---- */

void opt_drive_policy(struct kv *k, struct drive_options *v)
{
	v->rerror = (enum drive_policy)kv_word(k, "rerror", DRIVE_AUTO, drive_read_policy_words);
	v->werror = (enum drive_policy)kv_word(k, "werror", DRIVE_AUTO, drive_policy_words);
}

/* ---- limits ---- */

static double limit(struct kv *k, const char *long_name, const char *short_name)
{
	uint64_t v = kv_size(k, short_name, 0, 1);
	return (double)kv_size(k, long_name, v, 1);
}

void opt_drive_limits(struct kv *k, struct drive_limits *l)
{
	static const struct {
		const char *bps, *bps_short, *iops, *iops_short, *bps_max, *bps_max_short, *iops_max, *iops_max_short;
		const char *bps_length, *iops_length;
	} row[3] = {
		{ "throttling.bps-total", "bps", "throttling.iops-total", "iops",
		  "throttling.bps-total-max", "bps_max", "throttling.iops-total-max", "iops_max",
		  "throttling.bps-total-max-length", "throttling.iops-total-max-length" },
		{ "throttling.bps-read", "bps_rd", "throttling.iops-read", "iops_rd",
		  "throttling.bps-read-max", "bps_rd_max", "throttling.iops-read-max", "iops_rd_max",
		  "throttling.bps-read-max-length", "throttling.iops-read-max-length" },
		{ "throttling.bps-write", "bps_wr", "throttling.iops-write", "iops_wr",
		  "throttling.bps-write-max", "bps_wr_max", "throttling.iops-write-max", "iops_wr_max",
		  "throttling.bps-write-max-length", "throttling.iops-write-max-length" },
	};

	for (int i = 0; i < 3; i++) {
		l->bps[i] = limit(k, row[i].bps, row[i].bps_short);
		l->iops[i] = limit(k, row[i].iops, row[i].iops_short);
		l->bps_max[i] = limit(k, row[i].bps_max, row[i].bps_max_short);
		l->iops_max[i] = limit(k, row[i].iops_max, row[i].iops_max_short);
		l->bps_length[i] = (double)kv_num(k, row[i].bps_length, 0, 1, 1u << 20);
		l->iops_length[i] = (double)kv_num(k, row[i].iops_length, 0, 1, 1u << 20);
	}
	l->iops_size = (uint64_t)limit(k, "throttling.iops-size", "iops_size");
}
