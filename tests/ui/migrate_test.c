/*
 * A machine goes from one ./rhea to another, by every kind of way, and what fails leaves both
 * sides as they were. The guest counts in memory; what it has counted goes along.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/ui/client.h"

/* At f000:0000, 16-bit: counts in memory at 0000:0600 for ever. */
static const uint8_t counter[] = {
	0x31, 0xc0,			/* 0: xor ax, ax */
	0x8e, 0xd8,			/* 2: mov ds, ax */
	0x66, 0xff, 0x06, 0x00, 0x06,	/* 4: inc dword [0x600] */
	0xeb, 0xf9,			/* 9: jmp 4 */
};
static struct client a, b;
static char dir[] = "/tmp/rhea-migrate-XXXXXX", text[300];

static void setup(void)
{
	cr_assert(mkdtemp(dir));
}

static void teardown(void)
{
	snprintf(text, sizeof(text), "rm -r %s", dir);
	cr_assert_eq(system(text), 0);
}

TestSuite(migrate, .init = setup, .fini = teardown, .timeout = 60);

static void start(struct client *c, const char *options)
{
	client_start(c, counter, sizeof(counter), options);
}

static unsigned long counted(struct client *c)
{
	const struct value *v = client_do(c, "human-monitor-command", "{\"command-line\":\"xp/1xw 0x600\"}");
	const char *colon = strstr(v->s, ": 0x");

	cr_assert(colon, "%s", v->s);
	return strtoul(colon + 2, NULL, 16);
}

/* Until it has counted on; a guest that stands meets the test's time limit. */
static void counts_beyond(struct client *c, unsigned long n)
{
	while (counted(c) <= n)
		usleep(20000);
}

/* The one that is sent; it has counted some. */
static void start_counting(void)
{
	start(&a, "");
	counts_beyond(&a, 0);
}

static const char *arg(const char *kind)
{
	snprintf(text, sizeof(text), "{\"uri\":\"%s%s/x\"}", kind, dir);
	return text;
}

/* a has sent everything; b goes on from there. */
static void arrives(void)
{
	unsigned long sent, there;

	client_await(&a, "query-migrate", "status", "completed");
	client_await(&a, "query-status", "status", "postmigrate");
	sent = counted(&a);
	client_await(&b, "query-migrate", "status", "completed");
	client_await(&b, "query-status", "status", "running");
	there = counted(&b);
	cr_expect(sent && there >= sent, "%lu sent, %lu there", sent, there);
	counts_beyond(&b, there);
	client_finish(&a);
	client_finish(&b);
}

Test(migrate, over_a_socket_while_both_answer)
{
	start_counting();
	start(&b, "-incoming defer");
	client_await(&b, "query-status", "status", "inmigrate");
	client_do(&b, "migrate-incoming", arg("unix:"));
	client_await(&b, "query-migrate", "status", "setup");
	client_do(&a, "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}");
	client_do(&a, "migrate", arg("unix:"));
	arrives();
}

Test(migrate, by_commands)
{
	char options[200];

	start_counting();
	snprintf(text, sizeof(text), "{\"uri\":\"exec:cat >%s/x\"}", dir);
	client_do(&a, "migrate", text);
	client_await(&a, "query-migrate", "status", "completed");
	snprintf(options, sizeof(options), "-incoming 'exec:cat %s/x'", dir);
	start(&b, options);
	arrives();
}

Test(migrate, through_a_file)
{
	char options[200];

	start_counting();
	client_do(&a, "migrate", arg("file:"));
	client_await(&a, "query-migrate", "status", "completed");
	snprintf(options, sizeof(options), "-incoming file:%s/x", dir);
	start(&b, options);
	arrives();
}

/* The other program has the descriptor, as libvirt hands it over. */
Test(migrate, from_a_descriptor_in_the_middle_of_a_file)
{
	char options[200];

	start_counting();
	snprintf(text, sizeof(text), "{\"uri\":\"exec:(printf 12345678; cat) >%s/x\"}", dir);
	client_do(&a, "migrate", text);
	client_await(&a, "query-migrate", "status", "completed");
	snprintf(options, sizeof(options), "-S -incoming fd:9 9<%s/y", dir);
	snprintf(text, sizeof(text), "tail -c +9 %s/x >%s/y", dir, dir);
	cr_assert_eq(system(text), 0);
	start(&b, options);
	client_await(&b, "query-migrate", "status", "completed");
	client_await(&b, "query-status", "status", "paused");
	client_do(&b, "cont", NULL);
	arrives();
}

Test(migrate, cancelled_in_the_middle_the_guest_goes_on)
{
	start(&a, "-device virtio-balloon-pci,id=balloon");
	counts_beyond(&a, 0);
	client_do(&a, "migrate-set-parameters", "{\"max-bandwidth\":1000}");
	client_do(&a, "migrate", arg("file:"));
	client_await(&a, "query-migrate", "status", "active");
	cr_expect(!strcmp(val_get_str(client_do(&a, "query-status", NULL), "status", ""), "running"));
	/* Nothing comes or goes meanwhile: its state and its memory would be missing over there. */
	cr_expect(val_get(client_ask(&a, "device_add", "{\"driver\":\"virtio-rng-pci\",\"id\":\"r\"}"), "error"));
	cr_expect(val_get(client_ask(&a, "device_del", "{\"id\":\"balloon\"}"), "error"));
	client_do(&a, "migrate_cancel", NULL);
	client_await(&a, "query-migrate", "status", "cancelled");
	client_do(&a, "device_del", "{\"id\":\"balloon\"}");
	counts_beyond(&a, counted(&a));
	snprintf(text, sizeof(text), "%s/x", dir);
	cr_expect(access(text, F_OK) < 0, "half a file is left");
	client_finish(&a);
}

Test(migrate, nobody_there_is_an_error_and_the_guest_goes_on)
{
	start_counting();
	client_do(&a, "migrate", arg("unix:"));
	client_await(&a, "query-migrate", "status", "failed");
	cr_expect(strstr(val_get_str(client_do(&a, "query-migrate", NULL), "error-desc", ""), "No such file"));
	client_await(&a, "query-status", "status", "running");
	client_do(&a, "migrate", "{\"uri\":\"exec:cat >/dev/null; exit 3\"}");
	client_await(&a, "query-migrate", "status", "failed");
	cr_expect(strstr(val_get_str(client_do(&a, "query-migrate", NULL), "error-desc", ""), "status 3"));
	client_await(&a, "query-status", "status", "running");
	client_finish(&a);
}

/* At f000:0000, 16-bit: gives the power management its ports (0x600) and enters ACPI S3. */
static const uint8_t sleeper[] = {
	0x66, 0xb8, 0x40, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,	/* PMBASE of function 1.3 */
	0xba, 0xfc, 0x0c, 0x66, 0xb8, 0x01, 0x06, 0x00, 0x00, 0x66, 0xef,
	0x66, 0xb8, 0x80, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,	/* PMREGMISC: on */
	0xba, 0xfc, 0x0c, 0xb0, 0x01, 0xee,
	0xba, 0x04, 0x06, 0xb8, 0x00, 0x24, 0xef,				/* PM1_CNT: SLP_EN, type 1 */
	0xf4, 0xeb, 0xfd,
};

Test(migrate, a_machine_that_sleeps_sleeps_on_over_there)
{
	char options[200];

	client_start(&a, sleeper, sizeof(sleeper), "");
	client_await(&a, "query-status", "status", "suspended");
	client_do(&a, "migrate", arg("file:"));
	client_await(&a, "query-migrate", "status", "completed");
	snprintf(options, sizeof(options), "-incoming file:%s/x", dir);
	client_start(&b, sleeper, sizeof(sleeper), options);
	client_await(&b, "query-status", "status", "suspended");
	client_do(&a, "cont", NULL);
	client_await(&a, "query-status", "status", "suspended");
	client_finish(&a);
	client_finish(&b);
}

Test(migrate, what_is_no_machine_is_refused_and_another_may_come)
{
	start(&b, "-incoming defer");
	client_do(&b, "migrate-incoming", "{\"uri\":\"exec:echo hello\"}");
	client_await(&b, "query-migrate", "status", "failed");
	client_await(&b, "query-status", "status", "inmigrate");
	client_do(&b, "migrate-incoming", "{\"uri\":\"exec:cat /dev/zero\"}");	/* at its first bytes */
	client_await(&b, "query-migrate", "status", "failed");
	start_counting();
	client_do(&a, "migrate", arg("file:"));
	client_await(&a, "query-migrate", "status", "completed");
	client_do(&b, "migrate-incoming", arg("file:"));
	arrives();
}

/* ---- disks ---- */

static char disk[300];

static uint64_t size_there(struct client *c)
{
	const struct value *all = client_do(c, "query-block", NULL);

	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(val_get_str(all->item[i], "device", ""), "d"))
			return (uint64_t)val_get(val_get(val_get(all->item[i], "inserted"), "image"), "virtual-size")->i;
	return 0;
}

static void make_disk(const char *format)
{
	snprintf(text, sizeof(text), "./rhea-img create -q -f %s %s/disk 1M", format, dir);
	cr_assert_eq(system(text), 0);
	snprintf(disk, sizeof(disk), "-drive file=%s/disk,format=%s,if=none,id=d", dir, format);
}

static void start_with_disk(struct client *c, const char *options)
{
	char all[600];

	snprintf(all, sizeof(all), "%s %s", disk, options);
	start(c, all);
}

static bool disk_is_refused(struct client *c, const char *command)
{
	const struct value *e = val_get(client_ask(c, command, NULL), "error");

	return e && strstr(val_get_str(e, "desc", ""), "in use by another program");
}

/* What stands in the image when the machine arrives counts, not what did when the program began. */
static void goes_with_its_disk(const char *format)
{
	make_disk(format);
	start_with_disk(&a, "");
	start_with_disk(&b, "-incoming defer");
	client_do(&a, "block_resize", "{\"device\":\"d\",\"size\":2097152}");
	client_do(&b, "migrate-incoming", arg("unix:"));
	client_await(&b, "query-migrate", "status", "setup");
	client_do(&a, "migrate", arg("unix:"));
	client_await(&b, "query-status", "status", "running");
	client_await(&a, "query-status", "status", "postmigrate");
	cr_expect_eq(size_there(&b), 2 << 20);
	cr_expect(disk_is_refused(&a, "cont"), "two machines have the disk");
	client_do(&b, "block_resize", "{\"device\":\"d\",\"size\":3145728}");
	client_finish(&b);
	client_do(&a, "cont", NULL);
	client_await(&a, "query-status", "status", "running");
	cr_expect_eq(size_there(&a), 3 << 20);
	client_finish(&a);
}

Test(migrate, a_raw_disk_changes_hands)
{
	goes_with_its_disk("raw");
}

Test(migrate, a_qcow2_disk_changes_hands)
{
	goes_with_its_disk("qcow2");
}

static void expect_elsewhere(struct client *c, const char *command, const char *args)
{
	const struct value *e = val_get(client_ask(c, command, args), "error");

	cr_expect(e && strstr(val_get_str(e, "desc", ""), "other side's"), "%s: %s", command, e ? val_get_str(e, "desc", "") : "done");
}

/* Before it arrives and after it has left: what is known of the image then is not what stands in it. */
Test(migrate, nobody_works_on_a_disk_that_is_elsewhere)
{
	const struct value *said;

	snprintf(text, sizeof(text), "cd %s && R=$OLDPWD/rhea-img && $R create -q -f raw base 1M && $R create -q -f qcow2 -b base -F raw disk", dir);
	cr_assert_eq(system(text), 0);
	snprintf(disk, sizeof(disk), "-drive file=%s/disk,format=qcow2,if=none,id=d", dir);
	start_with_disk(&a, "");
	start_with_disk(&b, "-incoming defer");
	expect_elsewhere(&b, "block-stream", "{\"device\":\"d\"}");
	expect_elsewhere(&b, "blockdev-snapshot-internal-sync", "{\"device\":\"d\",\"name\":\"x\"}");
	client_do(&b, "migrate-incoming", arg("unix:"));
	client_await(&b, "query-migrate", "status", "setup");
	client_do(&a, "migrate", arg("unix:"));
	client_await(&b, "query-status", "status", "running");
	client_await(&a, "query-status", "status", "postmigrate");
	client_finish(&b);
	expect_elsewhere(&a, "block_resize", "{\"device\":\"d\",\"size\":2097152}");
	expect_elsewhere(&a, "block-commit", "{\"device\":\"d\"}");
	said = client_do(&a, "human-monitor-command", "{\"command-line\":\"commit d\"}");
	cr_expect(strstr(said->s, "other side's"), "%s", said->s);
	client_do(&a, "cont", NULL);
	client_do(&a, "block_resize", "{\"device\":\"d\",\"size\":2097152}");
	client_finish(&a);
}

Test(migrate, who_goes_on_keeps_the_disk)
{
	make_disk("qcow2");
	start_with_disk(&a, "");
	start_with_disk(&b, "-incoming defer");
	client_do(&a, "migrate", arg("file:"));
	client_await(&a, "query-migrate", "status", "completed");
	client_do(&a, "cont", NULL);
	client_do(&b, "migrate-incoming", arg("file:"));
	client_await(&b, "query-migrate", "status", "failed");
	cr_expect(strstr(val_get_str(client_do(&b, "query-migrate", NULL), "error-desc", ""), "in use by another program"));
	client_await(&a, "query-status", "status", "running");
	client_finish(&a);
	client_finish(&b);
}

Test(migrate, a_disk_stays_if_nobody_comes)
{
	make_disk("qcow2");
	start_with_disk(&a, "");
	client_do(&a, "migrate", "{\"uri\":\"exec:cat >/dev/null; exit 3\"}");
	client_await(&a, "query-migrate", "status", "failed");
	client_await(&a, "query-status", "status", "running");
	client_do(&a, "block_resize", "{\"device\":\"d\",\"size\":2097152}");
	cr_expect_eq(size_there(&a), 2 << 20);
	client_finish(&a);
}
