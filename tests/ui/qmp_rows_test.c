/*
 * Every command of QMP against a whole machine: ./rhea with a firmware of a few bytes.
 * What comes back is checked against what the command's row says.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/backend/net.h"
#include "tests/ui/client.h"
#include "ui/command.h"
#include "ui/json.h"
#include "ui/schema.h"

static struct client c;

/*
 * What is asked, in order. class NULL: it must succeed. Rows without an entry are
 * asked without arguments.
 */
struct question { const char *name, *arguments, *class; };
static const struct question questions[] = {
	{ "qmp_capabilities", NULL, "CommandNotFound" },	/* the second time */
	{ "quit", NULL, "later" },
	{ "system_wakeup", NULL, "GenericError" },
	{ "memsave", "{\"val\":4294967280,\"size\":16,\"filename\":\"/dev/null\"}", NULL },
	{ "pmemsave", "{\"val\":0,\"size\":70000,\"filename\":\"/dev/null\"}", NULL },
	{ "screendump", "{\"filename\":\"/dev/null\"}", "GenericError" },	/* -vga none */
	{ "send-key", "{\"keys\":[{\"type\":\"qcode\",\"data\":\"ctrl\"},{\"type\":\"number\",\"data\":30}]}", NULL },
	{ "input-send-event", "{\"events\":[{\"type\":\"key\",\"data\":{\"down\":true,\"key\":{\"type\":\"qcode\",\"data\":\"a\"}}},"
	  "{\"type\":\"btn\",\"data\":{\"down\":true,\"button\":\"left\"}},"
	  "{\"type\":\"rel\",\"data\":{\"axis\":\"x\",\"value\":5}},{\"type\":\"abs\",\"data\":{\"axis\":\"y\",\"value\":70000}}]}", NULL },
	{ "eject", "{\"device\":\"ide1-cd0\"}", NULL },
	{ "blockdev-change-medium", "{\"id\":\"ide1-cd0\",\"filename\":\"/dev/null/x\"}", "GenericError" },
	{ "blockdev-open-tray", "{\"id\":\"ide1-cd0\"}", NULL },
	{ "blockdev-remove-medium", "{\"id\":\"ide1-cd0\"}", NULL },
	{ "blockdev-close-tray", "{\"id\":\"nothing\"}", "DeviceNotFound" },
	{ "block_resize", "{\"device\":\"ide1-cd0\",\"size\":4096}", "GenericError" },	/* no disc */
	{ "block_set_io_throttle", "{\"id\":\"ide1-cd0\",\"bps\":1000,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}", NULL },
	{ "set_password", "{\"protocol\":\"vnc\",\"password\":\"x\"}", "GenericError" },
	{ "change-vnc-password", "{\"password\":\"x\"}", "GenericError" },
	{ "device_add", "{\"driver\":\"VGA\",\"id\":\"screen\"}", "GenericError" },
	{ "device_add", "{\"driver\":\"virtio-rng-pci\",\"id\":\"rng\"}", NULL },
	{ "device_del", "{\"id\":\"rng\"}", NULL },
	{ "chardev-add", "{\"id\":\"ring\",\"backend\":{\"type\":\"ringbuf\",\"data\":{\"size\":4096}}}", NULL },
	{ "chardev-send-break", "{\"id\":\"compat_monitor0\"}", NULL },
	{ "chardev-remove", "{\"id\":\"compat_monitor0\"}", "GenericError" },	/* busy */
	{ "ringbuf-read", "{\"device\":\"ring\",\"size\":100}", NULL },
	{ "ringbuf-write", "{\"device\":\"ring\",\"data\":\"aGVsbG8=\",\"format\":\"base64\"}", NULL },
	{ "announce-self", "{\"initial\":50,\"max\":550,\"rounds\":5,\"step\":100}", NULL },
	{ "blockdev-snapshot-internal-sync", "{\"device\":\"nothing\",\"name\":\"x\"}", "GenericError" },
	{ "blockdev-snapshot-delete-internal-sync", "{\"device\":\"nothing\",\"name\":\"x\"}", "GenericError" },
	{ "netdev_add", "{\"type\":\"user\",\"id\":\"n\",\"restrict\":true}", NULL },
	{ "set_link", "{\"name\":\"nothing\",\"up\":false}", "DeviceNotFound" },
	{ "netdev_del", "{\"id\":\"n\"}", NULL },
	{ "object-add", "{\"qom-type\":\"secret\",\"id\":\"s\"}", "GenericError" },
	{ "object-del", "{\"id\":\"s\"}", "GenericError" },
	{ "query-cpu-model-expansion", "{\"type\":\"full\",\"model\":{\"name\":\"max\",\"props\":{\"avx\":false}}}", NULL },
	{ "device-list-properties", "{\"typename\":\"isa-serial\"}", NULL },
	{ "qom-list-properties", "{\"typename\":\"pci-device\"}", NULL },
	{ "qom-list", "{\"path\":\"/machine/unattached\"}", NULL },
	{ "qom-get", "{\"path\":\"/machine/unattached/isa-pit0\",\"property\":\"type\"}", NULL },
	{ "qom-set", "{\"path\":\"/machine/peripheral/x\",\"property\":\"y\",\"value\":1}", "DeviceNotFound" },
	{ "dump-guest-memory", "{\"paging\":true,\"protocol\":\"file:/dev/null\",\"detach\":true}", NULL },
	{ "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}", NULL },
	{ "migrate", "{\"uri\":\"somewhere\"}", "GenericError" },
	{ "migrate-incoming", "{\"uri\":\"file:/dev/null\"}", "GenericError" },	/* without -incoming */
	{ "migrate-set-parameters", "{\"max-bandwidth\":1000000,\"downtime-limit\":100}", NULL },
	{ "blockdev-add", "{\"driver\":\"null-co\",\"node-name\":\"null\",\"size\":4096}", NULL },
	{ "blockdev-del", "{\"node-name\":\"null\"}", NULL },
	{ "blockdev-create", "{\"job-id\":\"c\",\"options\":{\"driver\":\"file\",\"filename\":\"/dev/null\",\"size\":0}}", NULL },
	{ "blockdev-snapshot", "{\"node\":\"nothing\",\"overlay\":\"nothing\"}", "GenericError" },
	{ "blockdev-snapshot-sync", "{\"device\":\"nothing\",\"snapshot-file\":\"/dev/null/x\"}", "GenericError" },
	{ "transaction", "{\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":{\"node\":\"x\",\"overlay\":\"y\"}}]}", "GenericError" },
	{ "block-commit", "{\"device\":\"nothing\"}", "DeviceNotFound" },
	{ "block-stream", "{\"device\":\"nothing\"}", "GenericError" },
	{ "blockdev-backup", "{\"device\":\"nothing\",\"target\":\"x\",\"sync\":\"full\"}", "GenericError" },
	{ "drive-backup", "{\"device\":\"nothing\",\"target\":\"x\",\"sync\":\"full\"}", "GenericError" },
	{ "blockdev-mirror", "{\"device\":\"nothing\",\"target\":\"x\",\"sync\":\"full\"}", "GenericError" },
	{ "drive-mirror", "{\"device\":\"nothing\",\"target\":\"x\",\"sync\":\"top\"}", "GenericError" },
	{ "job-cancel", "{\"id\":\"x\"}", "GenericError" }, { "job-complete", "{\"id\":\"x\"}", "GenericError" },
	{ "job-dismiss", "{\"id\":\"c\"}", NULL }, { "job-pause", "{\"id\":\"x\"}", "GenericError" },
	{ "job-resume", "{\"id\":\"x\"}", "GenericError" }, { "block-job-cancel", "{\"device\":\"x\"}", "DeviceNotActive" },
	{ "block-job-complete", "{\"device\":\"x\"}", "DeviceNotActive" }, { "block-job-dismiss", "{\"id\":\"x\"}", "GenericError" },
	{ "block-job-pause", "{\"device\":\"x\"}", "DeviceNotActive" }, { "block-job-resume", "{\"device\":\"x\"}", "DeviceNotActive" },
	{ "block-job-set-speed", "{\"device\":\"x\",\"speed\":1}", "DeviceNotActive" },
	{ "snapshot-save", "{\"job-id\":\"s1\",\"tag\":\"t\",\"vmstate\":\"x\",\"devices\":[\"x\"]}", NULL },
	{ "snapshot-load", "{\"job-id\":\"s2\",\"tag\":\"t\",\"vmstate\":\"x\",\"devices\":[\"x\"]}", NULL },
	{ "snapshot-delete", "{\"job-id\":\"s3\",\"tag\":\"t\",\"devices\":[\"x\"]}", NULL },
	{ "getfd", "{\"fdname\":\"x\"}", "GenericError" },	/* none can come by a pipe */
	{ "closefd", "{\"fdname\":\"x\"}", "GenericError" },
	{ "query-balloon", NULL, "DeviceNotActive" },
	{ "balloon", "{\"value\":1}", "DeviceNotActive" },
	{ "trace-event-get-state", "{\"name\":\"*.irq\"}", NULL },
	{ "trace-event-set-state", "{\"name\":\"qmp.stop\",\"enable\":false}", NULL },
	{ "watchdog-set-action", "{\"action\":\"pause\"}", NULL },
	{ "set-action", "{\"shutdown\":\"pause\",\"panic\":\"none\"}", NULL },
	{ "human-monitor-command", "{\"command-line\":\"info status\"}", NULL },
};

static void check_answer(const struct command *row, const struct question *q, const struct value *v)
{
	const char *class = val_get_str(val_get(v, "error"), "class", NULL);
	char *text = json_text(v, false);
	struct err e = { "" };

	if (q && !strncmp(q->name, "netdev_", 7) && !net_user_built_in())
		cr_expect(class, "%s: %s", row->qmp, text);
	else if (q && q->class)
		cr_expect(class && !strcmp(class, q->class), "%s: %s", row->qmp, text);
	else if (!val_get(v, "return"))
		cr_expect(false, "%s: %s", row->qmp, text);
	else if (row->returns)
		cr_expect(schema_check(val_get(v, "return"), row->returns, row->qmp, &e), "%s: %s", e.msg, text);
	else
		cr_expect(!val_get(v, "return")->n, "%s returns something: %s", row->qmp, text);
	free(text);
}

Test(qmp_rows, every_command_answers_as_its_row_says, .timeout = 60)
{
	client_start(&c, NULL, 0, "-S -name test -smp 2 -drive media=cdrom,index=2");
	for (unsigned i = 0; i < n_commands; i++) {
		const struct question *q = NULL;

		if (!commands[i].qmp)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(questions); k++)
			if (!strcmp(questions[k].name, commands[i].qmp))
				q = &questions[k];
		if (q && q->class && !strcmp(q->class, "later"))
			continue;
		struct value *v = client_ask(&c, commands[i].qmp, q ? q->arguments : NULL);
		check_answer(&commands[i], q, v);
		val_free(v);
	}
	client_finish(&c);
}

Test(qmp_rows, run_control_is_told_by_events, .timeout = 60)
{
	client_start(&c, NULL, 0, "-S");
	client_ask(&c, "cont", NULL);
	cr_assert(client_event(&c, "RESUME"));
	client_ask(&c, "stop", NULL);
	cr_assert(client_event(&c, "STOP"));
	client_ask(&c, "system_reset", NULL);
	cr_assert_str_eq(val_get_str(val_get(client_event(&c, "RESET"), "data"), "reason", ""), "host-qmp-system-reset");
	client_ask(&c, "system_powerdown", NULL);
	cr_assert(client_event(&c, "POWERDOWN"));
	client_finish(&c);
	cr_assert_str_eq(val_get_str(val_get(client_event(&c, "SHUTDOWN"), "data"), "reason", ""), "host-qmp-quit");
}

/* The screen is drawn from its memory as long as the machine exists. */
Test(qmp_rows, a_display_stays, .timeout = 60)
{
	client_start(&c, NULL, 0, "-S -device VGA,id=screen");
	cr_expect(val_get(client_ask(&c, "device_del", "{\"id\":\"screen\"}"), "error"));
	client_do(&c, "screendump", "{\"filename\":\"/dev/null\"}");
	client_finish(&c);
}
