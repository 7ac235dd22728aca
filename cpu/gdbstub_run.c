/*
 * The debugger's stub: breakpoints, going on, and why it stopped.
 *
 * Stops name the thread, and the watched address or the kind of breakpoint. The
 * latter only where the linear address of the instruction is what the debugger
 * sees as its program counter: with a CS base gdb would not find its breakpoint
 * there and go on by itself.
 */
#include <string.h>

#include "cpu/gdbstub_priv.h"

#define MAX_CPUS 256

/* ---- breakpoints ---- */

static bool change_break(struct gdbstub *g, uint64_t va, bool hard, bool set)
{
	struct debug_list *l = hard ? &g->hard : &g->soft, *other = hard ? &g->soft : &g->hard;
	bool ok = set ? debug_list_add(l, va) : debug_list_del(l, va);

	for (int i = 0; ok && i < g->host.ncpus; i++)
		if (set)
			ok = debug_add_break(gdb_cpu(g, i), va);
		else if (!debug_has(other, va))
			debug_del_break(gdb_cpu(g, i), va);
	return ok;
}

static bool change_watch(struct gdbstub *g, const struct debug_watch *w, bool set)
{
	bool ok = true;

	for (int i = 0; i < g->host.ncpus; i++)
		ok &= set ? debug_add_watch(gdb_cpu(g, i), w) : debug_del_watch(gdb_cpu(g, i), w);
	return ok;
}

/* type,address,kind; kind is the length of what is watched. */
void gdb_cmd_break(struct gdbstub *g, const char *p, bool set)
{
	static const enum debug_kind kinds[] = { [2] = DEBUG_WRITE, [3] = DEBUG_READ, [4] = DEBUG_ACCESS };
	uint64_t type, va, n;
	bool ok;

	if (!gdb_number(&p, &type) || *p++ != ',' || !gdb_number(&p, &va) || *p++ != ',' || !gdb_number(&p, &n)) {
		gdb_say(g, "E22");
		return;
	}
	if (type > 4) {
		gdb_say(g, "%s", "");
		return;
	}
	if (type < 2)
		ok = change_break(g, va, type == 1, set);
	else
		ok = change_watch(g, &(struct debug_watch){ va, n, kinds[type] }, set);
	gdb_say(g, ok ? "OK" : "E22");
}

void gdb_clear_breaks(struct gdbstub *g)
{
	g->soft.n = g->hard.n = 0;
	for (int i = 0; i < g->host.ncpus; i++) {
		bool watched = gdb_cpu(g, i)->dbg.n_watches;

		debug_clear(gdb_cpu(g, i));
		if (watched)
			cpu_request(gdb_cpu(g, i), REQ_FLUSH);
	}
}

/* ---- why it stopped ---- */

static const char *watch_word(enum debug_kind kind)
{
	return kind == DEBUG_WRITE ? "watch" : kind == DEBUG_READ ? "rwatch" : "awatch";
}

static void reason(struct gdbstub *g, struct cpu *c, char *buf, size_t n)
{
	const struct cpu_debug *d = &c->dbg;
	uint64_t pc = debug_pc(c);

	*buf = 0;
	if (d->why == DEBUG_WATCH)
		snprintf(buf, n, "%s:%llx;", watch_word(d->met.kind), (unsigned long long)d->met_at);
	if (d->why != DEBUG_BREAK || pc != c->rip)
		return;
	if (g->swbreak && debug_has(&g->soft, pc))
		snprintf(buf, n, "swbreak:;");
	else if (g->hwbreak && debug_has(&g->hard, pc))
		snprintf(buf, n, "hwbreak:;");
}

void gdb_stop_reply(struct gdbstub *g, int signal)
{
	char thread[24], why[64];
	struct cpu *c = gdb_cpu(g, g->c_cpu);

	reason(g, c, why, sizeof(why));
	gdb_say(g, "T%02xthread:%s;%s", (unsigned)signal, gdb_thread(g, g->c_cpu, thread), why);
}

/* The thread that has something to say; others say theirs when the machine goes on. */
static int who(struct gdbstub *g)
{
	for (int k = 0; k < g->host.ncpus; k++) {
		int i = (g->c_cpu + k) % g->host.ncpus;

		if (gdb_cpu(g, i)->dbg.why)
			return i;
	}
	return -1;
}

void gdbstub_stopped(struct gdbstub *g, int signal)
{
	int cpu = who(g);

	for (int i = 0; i < g->host.ncpus; i++) {
		struct cpu_debug *d = &gdb_cpu(g, i)->dbg;

		d->step = d->stepped = d->seen = false;
	}
	if (!g->waiting)
		return;
	g->waiting = false;
	if (cpu >= 0) {
		g->c_cpu = g->g_cpu = cpu;
		signal = GDB_SIGTRAP;
	}
	gdb_stop_reply(g, signal);
	if (cpu < 0)
		return;
	gdb_cpu(g, cpu)->dbg.why = DEBUG_NOTHING;
	gdb_cpu(g, cpu)->dbg.seen = true;
	gdb_cpu(g, cpu)->dbg.seen_pc = debug_pc(gdb_cpu(g, cpu));
}

/* ---- going on ---- */

/* A halted vCPU's step is what ends the halt. */
static void prepare_step(struct gdbstub *g, struct cpu *c, bool *time)
{
	c->dbg.step = true;
	c->dbg.step_irq = !(g->step_bits & STEP_NOIRQ) || c->halted || c->wait_sipi;
	if (c->dbg.step_irq || !(g->step_bits & STEP_NOTIMER))
		*time = true;
}

/* What each vCPU is to do: 'c', 's', or 0: stand. */
static void go(struct gdbstub *g, const char *what)
{
	bool runs[MAX_CPUS] = { false }, time = false;

	for (int i = 0; i < g->host.ncpus; i++) {
		struct cpu *c = gdb_cpu(g, i);

		if (c->dbg.why != DEBUG_WATCH)
			c->dbg.why = DEBUG_NOTHING;
		c->dbg.step = c->dbg.stepped = false;
		runs[i] = what[i];
		if (what[i] == 's' && g->step_bits & STEP_ENABLE)
			prepare_step(g, c, &time);
		else if (what[i])
			time = true;
	}
	g->waiting = true;
	g->host.resume(g->host.opaque, runs, time);
}

/* action[:thread];... : the first that fits a thread counts. */
void gdb_cmd_vcont(struct gdbstub *g, const char *p)
{
	char what[MAX_CPUS] = { 0 };
	bool any = false;

	while (*p) {
		char action = *p++ | 0x20;
		bool signal = !(p[-1] & 0x20);
		uint64_t number;
		int cpu = THREAD_ALL;

		if ((action != 'c' && action != 's') || (signal && !gdb_number(&p, &number)))
			goto bad;
		if (*p == ':') {
			p++;
			cpu = gdb_parse_thread(g, &p);
		}
		if (cpu == THREAD_BAD || (*p && *p != ';'))
			goto bad;
		if (cpu == THREAD_ANY)
			cpu = g->c_cpu;
		for (int i = 0; i < g->host.ncpus; i++)
			if ((cpu == THREAD_ALL || cpu == i) && !what[i])
				what[i] = action;
		any = true;
		p += *p == ';';
	}
	if (any) {
		go(g, what);
		return;
	}
bad:
	gdb_say(g, "E22");
}

/* c, s [address]; C, S signal[;address]: everybody, or one step of the chosen one. */
void gdb_cmd_go(struct gdbstub *g, char how, const char *p)
{
	char what[MAX_CPUS] = { 0 };
	uint64_t v;

	if (how == 'C' || how == 'S') {
		if (!gdb_number(&p, &v)) {
			gdb_say(g, "E22");
			return;
		}
		p += *p == ';';
	}
	if (gdb_number(&p, &v))
		gdb_cpu(g, g->c_cpu)->rip = cpu_is64(gdb_cpu(g, g->c_cpu)) ? v : (uint32_t)v;
	if (how == 'c' || how == 'C')
		memset(what, 'c', sizeof(what));
	else
		what[g->c_cpu] = 's';
	go(g, what);
}

void gdb_cmd_detach(struct gdbstub *g)
{
	bool all[MAX_CPUS];

	gdb_clear_breaks(g);
	gdb_say(g, "OK");
	g->waiting = false;
	memset(all, true, sizeof(all));
	g->host.released(g->host.opaque);
	g->host.resume(g->host.opaque, all, true);
}
