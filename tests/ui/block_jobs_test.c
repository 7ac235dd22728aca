/*
 * Jobs on images and snapshots by QMP, with ./rhea as libvirt drives it: nodes that are added,
 * overlays put on top, committed down again; snapshots of the machine as jobs. What jobs do to
 * data is for tests/hw/block_job_test.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/backend/qcow2.h"
#include "tests/ui/client.h"
#include "ui/json.h"

static struct client c;
static char dir[] = "/var/tmp/rhea-block-jobs-XXXXXX", text[1000];

static const char *say(const char *fmt, const char *a, const char *b)
{
	snprintf(text, sizeof(text), fmt, a, b);
	return text;
}

static void setup(void)
{
	struct qcow2_create q = QCOW2_CREATE_DEFAULT;
	char options[400], file[100];
	struct err e;

	cr_assert(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/base", dir);
	q.size = 8 << 20;
	cr_assert(qcow2_create(file, &q, &e), "%s", e.msg);
	snprintf(options, sizeof(options), "-S -nodefaults -blockdev driver=file,node-name=f1,filename=%s "
		 "-blockdev driver=qcow2,node-name=n1,file=f1 -device virtio-blk-pci,drive=n1,id=disk", file);
	client_start(&c, NULL, 0, options);
}

static void teardown(void)
{
	client_finish(&c);
	snprintf(text, sizeof(text), "rm -r %s", dir);
	cr_assert_eq(system(text), 0);
}

TestSuite(block_jobs, .init = setup, .fini = teardown, .timeout = 60);

/* A job has come to an end; its error, or "". */
static const char *concluded(const char *id)
{
	for (int i = 0; i < 500; i++, usleep(10000)) {
		const struct value *jobs = client_do(&c, "query-jobs", NULL);

		for (size_t k = 0; k < jobs->n; k++)
			if (!strcmp(val_get_str(jobs->item[k], "id", ""), id) &&
			    !strcmp(val_get_str(jobs->item[k], "status", ""), "concluded")) {
				snprintf(text, sizeof(text), "{\"id\":\"%s\"}", id);
				client_do(&c, "job-dismiss", text);
				return val_get_str(jobs->item[k], "error", "");
			}
	}
	cr_assert(false, "job %s does not end", id);
	return "";
}

static void awaits(const char *id, const char *status)
{
	for (int i = 0; i < 500; i++, usleep(10000)) {
		const struct value *jobs = client_do(&c, "query-block-jobs", NULL);

		for (size_t k = 0; k < jobs->n; k++)
			if (!strcmp(val_get_str(jobs->item[k], "device", ""), id) &&
			    !strcmp(val_get_str(jobs->item[k], "status", ""), status))
				return;
	}
	cr_assert(false, "job %s does not become %s", id, status);
}

static void awaits_none(void)
{
	while (client_do(&c, "query-block-jobs", NULL)->n)	/* or the test's time is up */
		usleep(10000);
}

/* What the disk's first image is called, and whether there is one below. */
static bool has_backing(const char *node)
{
	const struct value *v = client_do(&c, "query-block", NULL)->item[0], *in = val_get(v, "inserted");

	cr_expect_str_eq(val_get_str(in, "node-name", ""), node);
	cr_expect_str_eq(val_get_str(v, "qdev", ""), "/machine/peripheral/disk/virtio-backend");
	return val_get(in, "backing_file");
}

static void add_overlay(void)
{
	client_do(&c, "blockdev-create", say("{\"job-id\":\"c\",\"options\":{\"driver\":\"file\",\"filename\":\"%s/over\",\"size\":0}}", dir, ""));
	cr_assert_str_eq(concluded("c"), "");
	client_do(&c, "blockdev-add", say("{\"driver\":\"file\",\"node-name\":\"f2\",\"filename\":\"%s/over\"}", dir, ""));
	client_do(&c, "blockdev-create", say("{\"job-id\":\"c\",\"options\":{\"driver\":\"qcow2\",\"file\":\"f2\",\"size\":8388608,"
					     "\"backing-file\":\"%s/base\",\"backing-fmt\":\"qcow2\"}}", dir, ""));
	cr_assert_str_eq(concluded("c"), "");
	client_do(&c, "blockdev-add", "{\"driver\":\"qcow2\",\"node-name\":\"n2\",\"file\":\"f2\",\"backing\":null}");
	client_do(&c, "transaction", "{\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"n1\",\"overlay\":\"n2\"}}]}");
	cr_assert(has_backing("n2"));
}

Test(block_jobs, an_image_is_put_on_top_and_committed_down_again)
{
	add_overlay();
	client_do(&c, "block-commit", "{\"device\":\"n2\",\"job-id\":\"j\",\"base-node\":\"n1\",\"auto-dismiss\":false}");
	awaits("j", "ready");
	client_do(&c, "job-complete", "{\"id\":\"j\"}");
	cr_expect_str_eq(concluded("j"), "");
	cr_expect_not(has_backing("n1"));
	client_do(&c, "blockdev-del", "{\"node-name\":\"n2\"}");
	client_do(&c, "blockdev-del", "{\"node-name\":\"f2\"}");
	cr_expect(val_get(client_ask(&c, "blockdev-del", "{\"node-name\":\"f1\"}"), "error"), "an image stands on it");
	cr_expect(val_get(client_ask(&c, "blockdev-del", "{\"node-name\":\"n1\"}"), "error"), "a device uses it");
}

Test(block_jobs, or_what_is_below_comes_up)
{
	add_overlay();
	client_do(&c, "block-stream", "{\"device\":\"n2\",\"job-id\":\"j\",\"auto-dismiss\":false}");
	cr_expect_str_eq(concluded("j"), "");
	cr_expect_not(has_backing("n2"));
	client_do(&c, "blockdev-del", "{\"node-name\":\"n1\"}");
	client_do(&c, "blockdev-del", "{\"node-name\":\"f1\"}");
}

Test(block_jobs, overlays_come_on_all_disks_or_on_none)
{
	client_do(&c, "blockdev-snapshot-sync", say("{\"node-name\":\"n1\",\"snapshot-file\":\"%s/o1\",\"snapshot-node-name\":\"s1\"}", dir, ""));
	cr_assert(has_backing("s1"));
	struct value *v = client_ask(&c, "transaction", say("{\"actions\":[{\"type\":\"blockdev-snapshot-sync\",\"data\":{\"node-name\":\"s1\","
		"\"snapshot-file\":\"%s/o2\",\"snapshot-node-name\":\"s2\"}},{\"type\":\"blockdev-snapshot-sync\",\"data\":"
		"{\"node-name\":\"nothing\",\"snapshot-file\":\"%s/o3\"}}]}", dir, dir));
	cr_expect(val_get(v, "error"), "%s", json_text(v, false));
	cr_assert(has_backing("s1"));
}

Test(block_jobs, a_machine_is_saved_and_loaded_by_jobs)
{
	const char *args = "{\"job-id\":\"j\",\"tag\":\"t\",\"vmstate\":\"n1\",\"devices\":[\"n1\"]}";

	client_do(&c, "snapshot-save", args);
	cr_expect_str_eq(concluded("j"), "");
	client_do(&c, "snapshot-save", args);
	cr_expect(strstr(concluded("j"), "already exists"));
	client_do(&c, "snapshot-load", args);
	cr_expect_str_eq(concluded("j"), "");
	client_do(&c, "snapshot-delete", "{\"job-id\":\"j\",\"tag\":\"t\",\"devices\":[\"n1\"]}");
	cr_expect_str_eq(concluded("j"), "");
	client_do(&c, "snapshot-load", args);
	cr_expect(strstr(concluded("j"), "no snapshot 't'"));
	client_do(&c, "snapshot-save", "{\"job-id\":\"j\",\"tag\":\"t\",\"vmstate\":\"n1\",\"devices\":[\"other\"]}");
	cr_expect(strstr(concluded("j"), "'other'"));
}

Test(block_jobs, copies_of_the_disk)
{
	client_do(&c, "drive-backup", say("{\"device\":\"n1\",\"target\":\"%s/b\",\"sync\":\"full\",\"job-id\":\"j\",\"auto-dismiss\":false}", dir, ""));
	cr_expect_str_eq(concluded("j"), "");
	client_do(&c, "drive-mirror", say("{\"device\":\"n1\",\"target\":\"%s/m\",\"sync\":\"full\",\"job-id\":\"j\","
					  "\"node-name\":\"new\",\"auto-dismiss\":false}", dir, ""));
	awaits("j", "ready");
	client_do(&c, "block-job-pause", "{\"device\":\"j\"}");
	awaits("j", "standby");
	client_do(&c, "block-job-resume", "{\"device\":\"j\"}");
	client_do(&c, "block-job-set-speed", "{\"device\":\"j\",\"speed\":1000000}");
	client_do(&c, "block-job-complete", "{\"device\":\"j\"}");
	cr_expect_str_eq(concluded("j"), "");
	cr_expect_not(has_backing("new"));
}

static void add_plain(const char *node)
{
	static char args[600];

	client_do(&c, "blockdev-create", say("{\"job-id\":\"c\",\"options\":{\"driver\":\"file\",\"filename\":\"%s/%s\",\"size\":0}}", dir, node));
	cr_assert_str_eq(concluded("c"), "");
	snprintf(args, sizeof(args), "{\"driver\":\"file\",\"node-name\":\"%s-file\",\"filename\":\"%s/%s\"}", node, dir, node);
	client_do(&c, "blockdev-add", args);
	snprintf(args, sizeof(args), "{\"job-id\":\"c\",\"options\":{\"driver\":\"qcow2\",\"file\":\"%s-file\",\"size\":8388608}}", node);
	client_do(&c, "blockdev-create", args);
	cr_assert_str_eq(concluded("c"), "");
	snprintf(args, sizeof(args), "{\"driver\":\"qcow2\",\"node-name\":\"%s\",\"file\":\"%s-file\",\"backing\":null}", node, node);
	client_do(&c, "blockdev-add", args);
}

static const char *refused(const char *command, const char *args)
{
	return val_get_str(val_get(client_ask(&c, command, args), "error"), "desc", "");
}

Test(block_jobs, a_node_is_not_copied_into_itself)
{
	add_plain("x");
	cr_expect_str_eq(refused("blockdev-mirror", "{\"device\":\"x\",\"target\":\"x\",\"sync\":\"full\",\"job-id\":\"j\"}"),
			 "a node cannot be copied into itself");
	cr_expect_eq(client_do(&c, "query-block", NULL)->n, 2, "it is there yet");
}

Test(block_jobs, a_copy_that_is_refused_leaves_its_target_alone)
{
	static const char copy[] = "{\"device\":\"n1\",\"target\":\"x\",\"sync\":\"full\",\"job-id\":\"j\",\"speed\":%s,"
		"\"auto-dismiss\":false}";

	add_plain("x");
	cr_expect_str_neq(refused("blockdev-mirror", say(copy, "-1", "")), "");
	cr_expect_str_neq(refused("blockdev-backup", say(copy, "-1", "")), "");
	client_do(&c, "blockdev-backup", say(copy, "0", ""));
	cr_expect_str_eq(concluded("j"), "");
	cr_expect_str_neq(refused("blockdev-backup", say(copy, "0", "")), "", "it has gone with the job");
}

Test(block_jobs, an_overlay_is_for_one_drive)
{
	static const char actions[] = "{\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"%s\",\"overlay\":\"x\"}},"
		"{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"%s\",\"overlay\":\"y\"}}]}";

	add_plain("x");
	add_plain("y");
	cr_expect_str_eq(refused("transaction", say(actions, "n1", "x")), "drive 'x' or its overlay is named twice");
	cr_expect_str_eq(refused("transaction", say(actions, "y", "n1")), "drive 'n1' or its overlay is named twice");
	cr_expect_str_eq(refused("transaction", "{\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"n1\",\"overlay\":\"y\"}},"
				 "{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"x\",\"overlay\":\"y\"}}]}"),
			 "drive 'x' or its overlay is named twice");
}

Test(block_jobs, snapshots_of_one_drive_inside_its_image)
{
	const struct value *v;

	client_do(&c, "blockdev-snapshot-internal-sync", "{\"device\":\"n1\",\"name\":\"s\"}");
	v = client_ask(&c, "blockdev-snapshot-internal-sync", "{\"device\":\"n1\",\"name\":\"s\"}");
	cr_expect_str_eq(val_get_str(val_get(v, "error"), "desc", ""), "Snapshot with name 's' already exists on device 'n1'");
	v = client_ask(&c, "blockdev-snapshot-delete-internal-sync", "{\"device\":\"n1\",\"name\":\"s\",\"id\":\"9\"}");
	cr_expect(strstr(val_get_str(val_get(v, "error"), "desc", ""), "does not exist on device 'n1'"));
	v = client_do(&c, "blockdev-snapshot-delete-internal-sync", "{\"device\":\"n1\",\"name\":\"s\"}");
	cr_expect_str_eq(val_get_str(v, "name", ""), "s");
	client_do(&c, "blockdev-snapshot-internal-sync", "{\"device\":\"n1\",\"name\":\"s\"}");
}

static const char *person(const char *line)
{
	return val_get_str(client_ask(&c, "human-monitor-command", say("{\"command-line\":\"%s\"}", line, "")), "return", "?");
}

/* The letters of the human monitor: -n takes an image that is there, -f all of the chain. */
Test(block_jobs, people_copy_by_letters)
{
	char line[300];

	snprintf(line, sizeof(line), "drive_backup -f n1 %s/b qcow2", dir);
	cr_expect_str_eq(person(line), "");
	awaits_none();
	snprintf(line, sizeof(line), "drive_mirror -n -f n1 %s/b qcow2", dir);
	cr_expect_str_eq(person(line), "");
	awaits("n1", "ready");
	cr_expect_str_eq(person("block_job_cancel n1"), "");
	awaits_none();
	snprintf(line, sizeof(line), "drive_mirror -n n1 %s/nothing", dir);
	cr_expect(strstr(person(line), "nothing"), "%s", person(line));
	cr_expect(strstr(person("drive_backup n1"), "expected [-n] [-f] device target [format]"));
	snprintf(line, sizeof(line), "snapshot_blkdev n1 %s/o qcow2", dir);
	cr_expect_str_eq(person(line), "");
}

Test(block_jobs, people_set_migration_and_write_to_rings)
{
	cr_expect_str_eq(person("migrate_set_parameter max-bandwidth 3"), "");
	cr_expect_str_eq(person("migrate_set_parameter downtime-limit 70"), "");
	cr_expect_str_eq(person("info migrate_parameters"), "max-bandwidth: 3145728\ndowntime-limit: 70\n");
	cr_expect(strstr(person("migrate_set_parameter x 1"), "there are max-bandwidth and downtime-limit"));
	cr_expect(strstr(person("migrate_set_parameter downtime-limit soon"), "no value"));
	cr_expect_str_eq(person("migrate_set_capability events on"), "");
	cr_expect_str_eq(person("info migrate_capabilities"), "events: on\n");
	cr_expect(strstr(person("migrate_set_capability postcopy-ram on"), "postcopy-ram"));
	cr_expect_str_eq(person("chardev-add ringbuf,id=r"), "");
	cr_expect_str_eq(person("chardev-add socket,id=nobody-waits,host=127.0.0.1,port=0,server=on"), "");
	cr_expect_str_eq(person("ringbuf_write r aGVsbG8= base64"), "");
	cr_expect_str_eq(person("ringbuf_write r !"), "");
	cr_expect_str_eq(person("ringbuf_read r 100"), "hello!\n");
	cr_expect(strstr(person("ringbuf_write r ??? base64"), "no base64"));
	cr_expect_str_eq(person("closefd x"), "closefd: File descriptor named 'x' not found\n");
}
