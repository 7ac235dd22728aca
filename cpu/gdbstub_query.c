/* The debugger's stub: questions (q) and settings (Q). */
#include <stdlib.h>
#include <string.h>

#include "cpu/gdbregs.h"
#include "cpu/gdbstub_priv.h"

/* p: what follows the name; a 0 stands behind the packet. */
typedef void query_fn(struct gdbstub *g, const char *p);

/* Is `word` among the semicolon-separated ones of p? */
static bool offers(const char *p, const char *word)
{
	size_t n = strlen(word);

	for (; p; p = strchr(p, ';'), p = p ? p + 1 : NULL)
		if (!strncmp(p, word, n) && (!p[n] || p[n] == ';'))
			return true;
	return false;
}

static void supported(struct gdbstub *g, const char *p)
{
	g->multiprocess = offers(p, "multiprocess+");
	g->swbreak = offers(p, "swbreak+");
	g->hwbreak = offers(p, "hwbreak+");
	gdb_say(g, "PacketSize=%x;qXfer:features:read+;qXfer:memory-map:read+;qXfer:threads:read+;vContSupported+;QStartNoAckMode+;swbreak+;hwbreak+;multiprocess+",
		GDB_PACKET);
}

/* ---- documents ---- */

/* offset,length of a document at p. */
static void part_of(struct gdbstub *g, const char *p, const char *text)
{
	size_t all = strlen(text);
	char reply[GDB_PACKET / 2 + 1];
	uint64_t at, n;

	if (!gdb_number(&p, &at) || *p++ != ',' || !gdb_number(&p, &n) || at > all) {
		gdb_say(g, "E22");
		return;
	}
	if (n > GDB_PACKET / 2)
		n = GDB_PACKET / 2;
	if (n > all - at)
		n = all - at;
	*reply = at + n < all ? 'm' : 'l';
	memcpy(reply + 1, text + at, n);
	gdb_send(g, reply, n + 1);
}

/* The annex is target.xml. */
static void features(struct gdbstub *g, const char *p)
{
	static const char annex[] = "target.xml:";

	if (!g->xml)
		g->xml = gdb_target_xml(gdb_cpu(g, 0), g->view);
	if (strncmp(p, annex, strlen(annex)) || !g->xml)
		gdb_say(g, "E00");
	else
		part_of(g, p + strlen(annex), g->xml);
}

/* Any address of any address space may be memory; more cannot be said for all of them. */
static void memory_map(struct gdbstub *g, const char *p)
{
	static const char map[] =
		"<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN gnu.org//DTD GDB Memory Map V1.0//EN\" "
		"\"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>"
		"<memory type=\"ram\" start=\"0x0\" length=\"0x8000000000000000\"/>"
		"<memory type=\"ram\" start=\"0x8000000000000000\" length=\"0x8000000000000000\"/></memory-map>";

	part_of(g, p, map);
}

static const char *doing(const struct cpu *c)
{
	return c->wait_sipi ? "not started" : c->halted ? "halted" : "running";
}

static void threads(struct gdbstub *g, const char *p)
{
	char *text = NULL, id[24];
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f) {
		gdb_say(g, "E12");
		return;
	}
	fputs("<?xml version=\"1.0\"?><threads>", f);
	for (int i = 0; i < g->host.ncpus; i++)
		fprintf(f, "<thread id=\"%s\" core=\"%d\" name=\"CPU#%d\">%s</thread>", gdb_thread(g, i, id), i, i,
			doing(gdb_cpu(g, i)));
	fputs("</threads>", f);
	fclose(f);
	part_of(g, p, text);
	free(text);
}

/* ---- threads ---- */

static void first_threads(struct gdbstub *g, const char *p)
{
	char text[16 * 256], id[24];
	size_t k = 0;

	(void)p;
	for (int i = 0; i < g->host.ncpus; i++)
		k += (size_t)snprintf(text + k, sizeof(text) - k, "%c%s", i ? ',' : 'm', gdb_thread(g, i, id));
	gdb_send(g, text, k);
}

static void more_threads(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "l");
}

static void thread_text(struct gdbstub *g, const char *p)
{
	int cpu = gdb_parse_thread(g, &p);
	char text[64], hex[2 * sizeof(text) + 1];

	if (cpu < 0) {
		gdb_say(g, "E22");
		return;
	}
	snprintf(text, sizeof(text), "CPU#%d [%s]", cpu, doing(gdb_cpu(g, cpu)));
	gdb_to_hex((const uint8_t *)text, strlen(text), hex);
	gdb_say(g, "%s", hex);
}

static void current(struct gdbstub *g, const char *p)
{
	char id[24];

	(void)p;
	gdb_say(g, "QC%s", gdb_thread(g, g->g_cpu, id));
}

static void attached(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "1");
}

/* What a command prints, in pieces that fit. */
static void print(struct gdbstub *g, const char *text, size_t n)
{
	char hex[GDB_PACKET + 1];

	while (n) {
		size_t part = n < GDB_PACKET / 2 - 1 ? n : GDB_PACKET / 2 - 1;

		hex[0] = 'O';
		gdb_to_hex((const uint8_t *)text, part, hex + 1);
		gdb_send(g, hex, 1 + 2 * part);
		text += part;
		n -= part;
	}
}

static void monitor(struct gdbstub *g, const char *p)
{
	size_t n = strlen(p) / 2, n_text = 0;
	char line[1024], *text = NULL;
	FILE *out;

	if (n >= sizeof(line) || strlen(p) % 2 || !gdb_from_hex(p, (uint8_t *)line, n)) {
		gdb_say(g, "E01");
		return;
	}
	line[n] = 0;
	out = open_memstream(&text, &n_text);
	if (!out) {
		gdb_say(g, "E12");
		return;
	}
	g->host.monitor(g->host.opaque, line, out);
	fclose(out);
	print(g, text, n_text);
	free(text);
	gdb_say(g, "OK");
}

static void step_bits(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "ENABLE=%x,NOIRQ=%x,NOTIMER=%x", STEP_ENABLE, STEP_NOIRQ, STEP_NOTIMER);
}

static void step_now(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "0x%x", g->step_bits);
}

static void memory_mode(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "%d", g->physical);
}

static void extensions(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "sstepbits;sstep;PhyMemMode");
}

/* ---- settings ---- */

static void no_ack(struct gdbstub *g, const char *p)
{
	(void)p;
	gdb_say(g, "OK");
	g->no_ack = true;
}

static void set_step(struct gdbstub *g, const char *p)
{
	uint64_t v;

	p += !strncmp(p, "0x", 2) ? 2 : 0;
	if (!gdb_number(&p, &v) || v > (STEP_ENABLE | STEP_NOIRQ | STEP_NOTIMER)) {
		gdb_say(g, "E22");
		return;
	}
	g->step_bits = (unsigned)v;
	gdb_say(g, "OK");
}

static void set_memory_mode(struct gdbstub *g, const char *p)
{
	if (strcmp(p, "0") && strcmp(p, "1")) {
		gdb_say(g, "E22");
		return;
	}
	g->physical = *p == '1';
	gdb_say(g, "OK");
}

/* ---- which is it ---- */

struct query {
	const char *name;
	query_fn *fn;
};

static const struct query queries[] = {
	{ "Supported:", supported }, { "Supported", supported }, { "Xfer:features:read:", features },
	{ "Xfer:memory-map:read::", memory_map }, { "Xfer:threads:read::", threads }, { "Search:memory:", gdb_cmd_search },
	{ "fThreadInfo", first_threads }, { "sThreadInfo", more_threads }, { "ThreadExtraInfo,", thread_text },
	{ "C", current }, { "Attached:", attached }, { "Attached", attached }, { "Rcmd,", monitor },
	{ "qemu.sstepbits", step_bits }, { "qemu.sstep", step_now }, { "qemu.PhyMemMode", memory_mode },
	{ "qemu.Supported", extensions },
};

static const struct query settings[] = {
	{ "StartNoAckMode", no_ack }, { "qemu.sstep=", set_step }, { "qemu.sstep:", set_step },
	{ "qemu.PhyMemMode:", set_memory_mode },
};

/* A name that does not end in punctuation is the whole packet. */
static bool fits(const char *p, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(p, name, n) && (strchr(":,=", name[n - 1]) || !p[n]);
}

static void look_up(struct gdbstub *g, const struct query *table, size_t n, const char *p)
{
	for (size_t i = 0; i < n; i++)
		if (fits(p, table[i].name)) {
			table[i].fn(g, p + strlen(table[i].name));
			return;
		}
	gdb_say(g, "%s", "");
}

void gdb_cmd_query(struct gdbstub *g, const char *p)
{
	look_up(g, queries, ARRAY_LEN(queries), p);
}

void gdb_cmd_set(struct gdbstub *g, const char *p)
{
	look_up(g, settings, ARRAY_LEN(settings), p);
}
