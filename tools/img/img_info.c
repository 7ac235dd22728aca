/* rhea-img info, check, snapshot: what is in an image. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bits.h"
#include "tools/img/img.h"

/* ---- info ---- */

static uint64_t disk_size(const char *file)
{
	struct stat st;
	return stat(file, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static void print_snapshots(struct block *b)
{
	const struct qcow2_snapshot *s;
	printf("%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
	for (unsigned i = 0; (s = qcow2_snapshot_get(b, i)); i++) {
		char size[24], date[24], clock[48];
		time_t t = s->date_sec;
		struct tm tm;
		uint64_t sec = s->vm_clock_nsec / 1000000000;
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", localtime_r(&t, &tm));
		snprintf(clock, sizeof(clock), "%02u:%02u:%02u.%03u", (unsigned)(sec / 3600), (unsigned)(sec / 60 % 60),
			 (unsigned)(sec % 60), (unsigned)(s->vm_clock_nsec / 1000000 % 1000));
		printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, human_size(size, sizeof(size), s->vm_state_size),
		       date, clock, "");
	}
}

static void print_human(struct block *b, const struct qcow2_info *i)
{
	char size[24], disk[24];
	printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n", block_file(b),
	       block_format(b), human_size(size, sizeof(size), block_sectors(b) * SECTOR), block_sectors(b) * SECTOR,
	       human_size(disk, sizeof(disk), disk_size(block_file(b))));
	if (!i)
		return;
	if (i->dirty)
		printf("cleanly shut down: no\n");
	printf("cluster_size: %u\n", i->cluster_size);
	if (i->backing) {
		printf("backing file: %s", i->backing);
		if (i->backing_path && strcmp(i->backing, i->backing_path))
			printf(" (actual path: %s)", i->backing_path);
		printf("\n");
	}
	if (i->backing_format)
		printf("backing file format: %s\n", i->backing_format);
	if (i->nsnapshots) {
		printf("Snapshot list:\n");
		print_snapshots(b);
	}
	printf("Format specific information:\n    compat: %s\n    compression type: %s\n",
	       i->version == 2 ? "0.10" : "1.1", i->zstd ? "zstd" : "zlib");
	if (i->version > 2)
		printf("    lazy refcounts: %s\n", i->lazy_refcounts ? "true" : "false");
	printf("    refcount bits: %u\n", i->refcount_bits);
	if (i->version > 2)
		printf("    corrupt: %s\n    extended l2: false\n", i->corrupt ? "true" : "false");
}

static const char *truth(bool v) { return v ? "true" : "false"; }

static void json_text(const char *name, const char *value)
{
	printf("    \"%s\": ", name);
	json_string(stdout, value);
	printf(",\n");
}

static void json_snapshots(struct block *b)
{
	const struct qcow2_snapshot *s;
	printf("    \"snapshots\": [");
	for (unsigned i = 0; (s = qcow2_snapshot_get(b, i)); i++) {
		printf("%s\n        {\n            \"vm-clock-nsec\": %" PRIu64 ",\n            \"name\": ", i ? "," : "",
		       s->vm_clock_nsec % 1000000000);
		json_string(stdout, s->name);
		printf(",\n            \"date-sec\": %u,\n            \"date-nsec\": %u,\n            \"vm-clock-sec\": %" PRIu64
		       ",\n            \"id\": ", s->date_sec, s->date_nsec, s->vm_clock_nsec / 1000000000);
		json_string(stdout, s->id);
		printf(",\n            \"vm-state-size\": %" PRIu64 "\n        }", s->vm_state_size);
	}
	printf("\n    ],\n");
}

static void print_json(struct block *b, const struct qcow2_info *i)
{
	printf("{\n");
	if (i && i->nsnapshots)
		json_snapshots(b);
	printf("    \"virtual-size\": %" PRIu64 ",\n", block_sectors(b) * SECTOR);
	json_text("filename", block_file(b));
	if (i)
		printf("    \"cluster-size\": %u,\n", i->cluster_size);
	json_text("format", block_format(b));
	printf("    \"actual-size\": %" PRIu64 ",\n", disk_size(block_file(b)));
	if (i) {
		printf("    \"format-specific\": {\n        \"type\": \"qcow2\",\n        \"data\": {\n"
		       "            \"compat\": \"%s\",\n            \"compression-type\": \"%s\",\n",
		       i->version == 2 ? "0.10" : "1.1", i->zstd ? "zstd" : "zlib");
		if (i->version > 2)
			printf("            \"lazy-refcounts\": %s,\n            \"corrupt\": %s,\n"
			       "            \"extended-l2\": false,\n", truth(i->lazy_refcounts), truth(i->corrupt));
		printf("            \"refcount-bits\": %u\n        }\n    },\n", i->refcount_bits);
	}
	if (i && i->backing) {
		json_text("full-backing-filename", i->backing_path);
		json_text("backing-filename", i->backing);
	}
	if (i && i->backing_format)
		json_text("backing-filename-format", i->backing_format);
	printf("    \"dirty-flag\": %s\n}", truth(i && i->dirty));
}

int cmd_info(const struct args *a)
{
	struct block_options o = open_options(a, a->file[0], a->f, false);
	struct qcow2_info i;
	struct err e, ignored;

	o.no_backing = !a->chain;
	struct block *top = block_open(&o, &e);
	if (!top)
		return fail(&e);
	if (a->json && a->chain)
		printf("[\n");
	for (struct block *b = top; b; b = block_backing(b)) {
		bool q = qcow2_info(b, &i, &ignored);
		if (b != top)
			printf(a->json ? ",\n" : "\n");
		(a->json ? print_json : print_human)(b, q ? &i : NULL);
	}
	if (a->json)
		printf(a->chain ? "\n]\n" : "\n");
	block_close(top);
	return 0;
}

/* ---- check ---- */

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static int check_status(const struct qcow2_check *c)
{
	if (c->errors)
		return 1;
	return c->corruptions > c->corruptions_fixed ? 2 : c->leaks > c->leaks_fixed ? 3 : 0;
}

static void check_human(const struct qcow2_check *c)
{
	uint64_t bad = c->corruptions - c->corruptions_fixed, leaks = c->leaks - c->leaks_fixed;
	if (!bad && !leaks && !c->errors)
		printf("No errors were found on the image.\n");
	if (bad)
		printf("\n%" PRIu64 " errors were found on the image.\n"
		       "Data may be corrupted, or further writes to the image may corrupt it.\n", bad);
	if (leaks)
		printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
		       "This means waste of disk space, but no harm to data.\n", leaks);
	if (c->errors)
		printf("\n%" PRIu64 " internal errors have occurred during the check.\n", c->errors);
	if (c->total_clusters && c->allocated)
		printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
		       c->allocated, c->total_clusters, 100.0 * (double)c->allocated / (double)c->total_clusters,
		       100.0 * (double)c->fragmented / (double)c->allocated,
		       100.0 * (double)c->compressed / (double)c->allocated);
	printf("Image end offset: %" PRIu64 "\n", c->end);
}

static void check_json(const struct qcow2_check *c, const char *file)
{
	const struct { const char *name; uint64_t v; } row[] = {
		{ "corruptions", c->corruptions - c->corruptions_fixed }, { "leaks", c->leaks - c->leaks_fixed },
		{ "corruptions-fixed", c->corruptions_fixed }, { "leaks-fixed", c->leaks_fixed },
		{ "fragmented-clusters", c->fragmented }, { "compressed-clusters", c->compressed },
		{ "allocated-clusters", c->allocated }, { "total-clusters", c->total_clusters },
	};
	printf("{\n    \"image-end-offset\": %" PRIu64 ",\n    \"check-errors\": %" PRIu64 ",\n", c->end, c->errors);
	for (unsigned i = 0; i < ARRAY_LEN(row); i++)
		if (row[i].v)
			printf("    \"%s\": %" PRIu64 ",\n", row[i].name, row[i].v);
	json_text("filename", file);
	printf("    \"format\": \"qcow2\"\n}\n");
}

static bool check_once(const struct args *a, enum qcow2_fix fix, struct qcow2_check *c, bool *can, struct err *e)
{
	struct block_options o = open_options(a, a->file[0], a->f, fix != QCOW2_FIX_NONE);
	struct qcow2_info i;

	o.no_backing = o.repairing = true;
	struct block *b = block_open(&o, e);
	*c = (struct qcow2_check){ .say = a->quiet ? NULL : say };
	*can = b && qcow2_info(b, &i, e);
	bool ok = *can && qcow2_check(b, fix, c, e);
	*can |= !b;
	block_close(b);
	return ok;
}

int cmd_check(const struct args *a)
{
	enum qcow2_fix fix = QCOW2_FIX_NONE;
	struct qcow2_check c, first;
	struct err e;
	bool can;

	if (a->repair && strcmp(a->repair, "leaks") && strcmp(a->repair, "all"))
		return fail_with("-r expects leaks or all, not '%s'", a->repair);
	if (a->repair)
		fix = !strcmp(a->repair, "all") ? QCOW2_FIX_ALL : QCOW2_FIX_LEAKS;
	if (!check_once(a, fix, &c, &can, &e)) {
		if (can)
			return fail(&e);
		fail_with("This image format does not support checks");
		return 63;
	}
	first = c;
	if (first.corruptions_fixed || first.leaks_fixed) {
		if (!a->quiet && !a->json)
			printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
			       " leaked clusters\n    %" PRIu64 " corruptions\n\nDouble checking the fixed image now...\n",
			       first.leaks_fixed, first.corruptions_fixed);
		if (!check_once(a, QCOW2_FIX_NONE, &c, &can, &e))
			return fail(&e);
	}
	int status = check_status(&c);
	if (a->json) {
		c.corruptions += c.corruptions_fixed = first.corruptions_fixed;
		c.leaks += c.leaks_fixed = first.leaks_fixed;
		check_json(&c, a->file[0]);
	} else if (!a->quiet)
		check_human(&c);
	return status;
}

/* ---- snapshot ---- */

int cmd_snapshot(const struct args *a)
{
	struct qcow2_info i;
	struct err e;
	bool list = !a->snapshot || a->snapshot == 'l';
	struct block_options o = open_options(a, a->file[0], a->f, !list);

	o.no_backing = true;
	struct block *b = block_open(&o, &e);
	bool ok = b && qcow2_info(b, &i, &e);
	if (ok && list && i.nsnapshots) {
		printf("Snapshot list:\n");
		print_snapshots(b);
	} else if (ok && a->snapshot == 'c')
		ok = qcow2_snapshot_create(b, a->name, &e);
	else if (ok && a->snapshot == 'a')
		ok = qcow2_snapshot_apply(b, a->name, &e);
	else if (ok && a->snapshot == 'd')
		ok = qcow2_snapshot_delete(b, a->name, &e);
	block_close(b);
	return ok ? 0 : fail(&e);
}
