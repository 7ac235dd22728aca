/*
 * The debugger's stub: packets, and which command does what.
 *
 * $contents#sum, where } escapes a byte and sum is the contents' modulo 256;
 * answered by + or -, unless both sides have agreed to leave that. A lone 0x03
 * is Ctrl-C. While the machine runs anything that comes in stops it first.
 *
 * Not modelled: non-stop mode, vFile, reverse execution, tracepoints, packets for
 * user programs. The debugger's own signals (C, S) are not delivered.
 * Source: "Debugging with GDB", appendix "GDB Remote Serial Protocol".
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/gdbstub_priv.h"

/* ---- text ---- */

static int hex_digit(int ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

static char to_digit(unsigned v)
{
	return "0123456789abcdef"[v & 15];
}

bool gdb_number(const char **p, uint64_t *v)
{
	int n = 0;

	*v = 0;
	for (; hex_digit((unsigned char)**p) >= 0; (*p)++) {
		if (*v >> 60)
			return false;
		*v = *v << 4 | (unsigned)hex_digit((unsigned char)**p);
		n++;
	}
	return n > 0;
}

bool gdb_from_hex(const char *p, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit((unsigned char)p[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit((unsigned char)p[2 * i + 1]);

		if (lo < 0)
			return false;
		to[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

void gdb_to_hex(const uint8_t *p, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++) {
		*to++ = to_digit(p[i] >> 4);
		*to++ = to_digit(p[i]);
	}
	*to = 0;
}

const char *gdb_thread(const struct gdbstub *g, int cpu, char buf[24])
{
	snprintf(buf, 24, "%s%02x", g->multiprocess ? "p01." : "", (unsigned)cpu + 1);
	return buf;
}

/* -1, 0 or a number. */
static bool parse_id(const char **p, int64_t *v)
{
	uint64_t u;

	if ((*p)[0] == '-' && (*p)[1] == '1') {
		*p += 2;
		*v = -1;
		return true;
	}
	if (!gdb_number(p, &u) || u > INT32_MAX)
		return false;
	*v = (int64_t)u;
	return true;
}

int gdb_parse_thread(const struct gdbstub *g, const char **p)
{
	int64_t pid = 1, tid;

	if (**p == 'p') {
		(*p)++;
		if (!parse_id(p, &pid))
			return THREAD_BAD;
		if (pid > 1)
			return THREAD_BAD;
		if (**p != '.')
			return THREAD_ALL;
		(*p)++;
	}
	if (!parse_id(p, &tid) || tid > g->host.ncpus)
		return THREAD_BAD;
	return tid < 0 ? THREAD_ALL : tid == 0 ? THREAD_ANY : (int)tid - 1;
}

/* ---- out ---- */

void gdb_send(struct gdbstub *g, const void *p, size_t n)
{
	const uint8_t *from = p;
	uint8_t sum = 0;
	size_t k = 0;

	if (!g->connected)
		return;
	if (n > GDB_PACKET)
		n = GDB_PACKET;
	g->out[k++] = '$';
	for (size_t i = 0; i < n; i++) {
		uint8_t ch = from[i];

		if (ch == '$' || ch == '#' || ch == '}' || ch == '*') {
			g->out[k++] = '}';
			sum = (uint8_t)(sum + '}');
			ch ^= 0x20;
		}
		g->out[k++] = ch;
		sum = (uint8_t)(sum + ch);
	}
	g->out[k++] = '#';
	g->out[k++] = (uint8_t)to_digit(sum >> 4);
	g->out[k++] = (uint8_t)to_digit(sum);
	g->n_out = k;
	g->host.write(g->host.opaque, g->out, k);
}

void gdb_say(struct gdbstub *g, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	gdb_send(g, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* ---- commands ---- */

static void choose(struct gdbstub *g, const char *p)
{
	char what = *p;
	int cpu;

	if (what != 'g' && what != 'c') {
		gdb_say(g, "E22");
		return;
	}
	p++;
	cpu = gdb_parse_thread(g, &p);
	if (cpu == THREAD_BAD) {
		gdb_say(g, "E22");
		return;
	}
	if (cpu >= 0 && what == 'g')
		g->g_cpu = cpu;
	else if (cpu >= 0)
		g->c_cpu = cpu;
	gdb_say(g, "OK");
}

static void alive(struct gdbstub *g, const char *p)
{
	gdb_say(g, gdb_parse_thread(g, &p) >= 0 ? "OK" : "E22");
}

/* Words of several letters. */
static void verbose(struct gdbstub *g, const char *p)
{
	if (!strcmp(p, "Cont?"))
		gdb_say(g, "vCont;c;C;s;S");
	else if (!strncmp(p, "Cont;", 5))
		gdb_cmd_vcont(g, p + 5);
	else if (!strncmp(p, "Attach;", 7))
		gdb_stop_reply(g, GDB_SIGTRAP);
	else if (!strncmp(p, "Kill;", 5)) {
		gdb_say(g, "OK");
		g->host.quit(g->host.opaque);
	} else
		gdb_say(g, "%s", "");
}

/* A debugger that asks starts anew: what an earlier one has left goes. */
static void why_stopped(struct gdbstub *g)
{
	gdb_clear_breaks(g);
	gdb_stop_reply(g, GDB_SIGTRAP);
}

static void execute(struct gdbstub *g)
{
	const char *p = (const char *)g->in + 1;

	switch (g->in[0]) {
	case '!': gdb_say(g, "OK"); break;
	case '?': why_stopped(g); break;
	case 'c': case 'C': case 's': case 'S': gdb_cmd_go(g, (char)g->in[0], p); break;
	case 'D': gdb_cmd_detach(g); break;
	case 'g': gdb_cmd_read_regs(g); break;
	case 'G': gdb_cmd_write_regs(g, p, g->n_in - 1); break;
	case 'H': choose(g, p); break;
	case 'k': g->host.quit(g->host.opaque); break;
	case 'm': gdb_cmd_read_memory(g, p); break;
	case 'M': gdb_cmd_write_memory(g, p, g->n_in - 1, false); break;
	case 'p': gdb_cmd_read_reg(g, p); break;
	case 'P': gdb_cmd_write_reg(g, p); break;
	case 'q': gdb_cmd_query(g, p); break;
	case 'Q': gdb_cmd_set(g, p); break;
	case 'R': g->host.reset(g->host.opaque); break;
	case 'T': alive(g, p); break;
	case 'v': verbose(g, p); break;
	case 'X': gdb_cmd_write_memory(g, p, g->n_in - 1, true); break;
	case 'z': gdb_cmd_break(g, p, false); break;
	case 'Z': gdb_cmd_break(g, p, true); break;
	default: gdb_say(g, "%s", ""); break;
	}
}

/* ---- in ---- */

static void acknowledge(struct gdbstub *g, bool good)
{
	if (!g->no_ack)
		g->host.write(g->host.opaque, good ? "+" : "-", 1);
}

static void packet_ends(struct gdbstub *g)
{
	bool good = g->sum == g->sum_said && !g->too_long;

	g->rx = RX_IDLE;
	acknowledge(g, good);
	if (!good)
		return;
	g->in[g->n_in] = 0;
	if (g->n_in)
		execute(g);
	else
		gdb_say(g, "%s", "");
}

static void keep(struct gdbstub *g, uint8_t ch)
{
	if (g->n_in == GDB_PACKET)
		g->too_long = true;
	else
		g->in[g->n_in++] = ch;
}

static void idle(struct gdbstub *g, uint8_t ch)
{
	if (ch == '$') {
		g->rx = RX_BODY;
		g->n_in = 0;
		g->sum = 0;
		g->too_long = false;
	} else if (ch == '-' && g->n_out && !g->no_ack) {
		g->host.write(g->host.opaque, g->out, g->n_out);
	}
	if (ch != '$' && ch != 3)
		return;
	if (g->host.running(g->host.opaque))
		g->host.stop(g->host.opaque);
	else if (ch == 3)
		gdbstub_stopped(g, GDB_SIGINT);	/* it stands for another reason: asleep, switched off */
}

static void body(struct gdbstub *g, uint8_t ch)
{
	if (ch == '#') {
		g->rx = RX_SUM1;
	} else if (ch == '$') {		/* the last one was cut off */
		g->rx = RX_IDLE;
		idle(g, ch);
	} else {
		g->sum = (uint8_t)(g->sum + ch);
		if (ch == '}')
			g->rx = RX_ESCAPE;
		else
			keep(g, ch);
	}
}

static void take(struct gdbstub *g, uint8_t ch)
{
	int digit = hex_digit(ch);

	switch (g->rx) {
	case RX_IDLE:
		idle(g, ch);
		break;
	case RX_BODY:
		body(g, ch);
		break;
	case RX_ESCAPE:
		g->rx = RX_BODY;
		g->sum = (uint8_t)(g->sum + ch);
		keep(g, ch ^ 0x20);
		break;
	case RX_SUM1: case RX_SUM2:
		if (digit < 0) {
			g->too_long = true;	/* no sum: no good */
			digit = 0;
		}
		g->sum_said = (uint8_t)(g->sum_said << 4 | digit);
		if (g->rx++ == RX_SUM2)
			packet_ends(g);
		break;
	}
}

void gdbstub_input(struct gdbstub *g, const uint8_t *p, size_t n)
{
	while (n-- && g->connected)
		take(g, *p++);
}

/* ---- life ---- */

struct gdbstub *gdbstub_new(const struct gdb_host *host)
{
	struct gdbstub *g = calloc(1, sizeof(*g));

	if (g)
		g->host = *host;
	return g;
}

void gdbstub_set_view(struct gdbstub *g, enum gdb_view view)
{
	g->view = view;
	g->view_fixed = true;
}

/* As it is in front of the first packet. */
static void begin(struct gdbstub *g)
{
	g->rx = RX_IDLE;
	g->n_out = 0;
	g->no_ack = g->multiprocess = g->swbreak = g->hwbreak = g->waiting = g->physical = false;
	g->step_bits = STEP_ENABLE | STEP_NOIRQ | STEP_NOTIMER;
	g->c_cpu = g->g_cpu = 0;
	free(g->xml);
	g->xml = NULL;
}

/* Chosen once: a debugger does not ask again. */
static void choose_view(struct gdbstub *g)
{
	if (!g->view_fixed)
		g->view = gdb_view_now(gdb_cpu(g, 0));
	if (!cpu_has(gdb_cpu(g, 0), CPUID_LM) && g->view == GDB_X86_64)
		g->view = GDB_I386;
}

void gdbstub_opened(struct gdbstub *g)
{
	begin(g);
	g->connected = true;
	if (g->host.running(g->host.opaque))
		g->host.stop(g->host.opaque);
	choose_view(g);
}

void gdbstub_closed(struct gdbstub *g)
{
	bool running = g->host.running(g->host.opaque);
	bool all[256];

	g->connected = g->waiting = false;
	if (running)
		g->host.stop(g->host.opaque);
	gdb_clear_breaks(g);
	g->host.released(g->host.opaque);
	memset(all, true, sizeof(all));
	if (running)
		g->host.resume(g->host.opaque, all, true);
}

void gdbstub_free(struct gdbstub *g)
{
	if (!g)
		return;
	gdbstub_closed(g);
	debug_list_free(&g->soft);
	debug_list_free(&g->hard);
	free(g->xml);
	free(g);
}

void gdbstub_exit(struct gdbstub *g, int status)
{
	gdb_say(g, "W%02x", (unsigned)status & 0xff);
}
