/* The debugger's connection: joins stub, stream, run control and monitor. */
#include "ui/gdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/gdbstub.h"
#include "hw/core/chr.h"
#include "ui/monitor.h"
#include "ui/vm.h"

struct gdb {
	struct vm *vm;
	struct gdbstub *stub;
	struct chr *chr;	/* attached */
	struct chr *own;	/* made for this, or NULL */
	struct monitor *mon;
	bool stdio;
	bool busy;		/* a command of the debugger is under way */
};

/* ---- what the stub asks ---- */

static struct cpu *cpu(void *opaque, int i)
{
	struct gdb *g = opaque;
	return g->vm->vcpus[i].cpu;
}

static void write_out(void *opaque, const void *p, size_t n)
{
	struct gdb *g = opaque;
	chr_write(g->chr, p, n);
}

static bool running(void *opaque)
{
	struct gdb *g = opaque;
	return vm_running(g->vm);
}

static void stop(void *opaque)
{
	struct gdb *g = opaque;
	vm_stop(g->vm, VM_PAUSED);
}

static void resume(void *opaque, const bool *runs, bool time)
{
	struct gdb *g = opaque;
	vm_cont_some(g->vm, runs, time);
}

static void released(void *opaque)
{
	struct gdb *g = opaque;
	vm_unfreeze(g->vm);
}

static void monitor(void *opaque, const char *line, FILE *out)
{
	struct gdb *g = opaque;

	g->busy = true;
	monitor_execute(g->mon, line, out);
	g->busy = false;
}

static void reset(void *opaque)
{
	struct gdb *g = opaque;
	vm_reset(g->vm, VM_BY_COMMAND);
}

static void quit(void *opaque)
{
	struct gdb *g = opaque;
	vm_quit(g->vm, 0, VM_BY_QUIT);
}

/* ---- what the stream and the machine tell ---- */

static int room(void *opaque)
{
	(void)opaque;
	return 4096;
}

static void input(void *opaque, const uint8_t *p, int n)
{
	struct gdb *g = opaque;
	gdbstub_input(g->stub, p, (size_t)n);
}

static void event(void *opaque, enum chr_event ev)
{
	struct gdb *g = opaque;

	if (ev == CHR_OPENED)
		gdbstub_opened(g->stub);
	if (ev == CHR_CLOSED)
		gdbstub_closed(g->stub);
}

static const struct chr_front front = { room, input, event, .answers = true };

static void stopped(void *opaque, enum vm_status why)
{
	static const int signals[] = {
		[VM_PAUSED] = GDB_SIGINT, [VM_SHUTDOWN] = GDB_SIGQUIT, [VM_SUSPENDED] = GDB_SIGQUIT,
		[VM_DEBUG] = GDB_SIGTRAP, [VM_PANICKED] = GDB_SIGQUIT, [VM_INTERNAL_ERROR] = GDB_SIGABRT,
	};
	struct gdb *g = opaque;

	gdbstub_stopped(g->stub, signals[why]);
}

/* ---- life ---- */

static void gdb_free(struct gdb *g)
{
	if (!g)
		return;
	g->vm->on_stop = NULL;
	g->vm->gdb = NULL;
	gdbstub_free(g->stub);
	monitor_free(g->mon);
	chr_detach(g->chr);
	chr_free(g->own);
	free(g);
}

/* Sockets listen, and nobody waits for the debugger. */
static void complete(const char *where, char *spec, size_t n)
{
	bool tcp = !strncmp(where, "tcp:", 4), sock = tcp || !strncmp(where, "unix:", 5);

	snprintf(spec, n, "%s%s%s%s", where, sock && !strstr(where, ",server") ? ",server" : "", sock ? ",nowait" : "",
		 tcp ? ",nodelay" : "");
}

static bool open_stream(struct gdb *g, const char *where, struct err *e)
{
	char spec[512];
	struct chr *c;

	if (!strncmp(where, "chardev:", 8)) {
		c = chr_find(g->vm->m, where + 8);
		if (!c)
			return err_set(e, "there is no -chardev with id=%s", where + 8);
	} else {
		complete(where, spec, sizeof(spec));
		c = g->own = chr_new(g->vm->m, "gdb", spec, e);
		if (!c)
			return false;
	}
	g->stdio = !strcmp(c->ops->name, "stdio");
	g->chr = chr_attach(c, &front, g);
	return g->chr || err_set(e, "the stream '%s' is in use", c->id);
}

static struct gdb *gdb_new(struct vm *vm, struct err *e)
{
	struct gdb *g = calloc(1, sizeof(*g));
	struct gdb_host host = {
		.opaque = g, .ncpus = vm->ncpus, .cpu = cpu, .write = write_out, .running = running, .stop = stop,
		.resume = resume, .released = released, .monitor = monitor, .reset = reset, .quit = quit,
	};

	if (!g || !(g->stub = gdbstub_new(&host)) || !(g->mon = monitor_new_silent(vm))) {
		err_set(e, "out of memory");
		if (g)
			gdbstub_free(g->stub);
		free(g);
		return NULL;
	}
	g->vm = vm;
	vm->gdb = g;
	vm->on_stop = stopped;
	vm->stop_opaque = g;
	return g;
}

/* "...,arch=WORD" at the end says as what the processor is seen. False: an unknown word. */
static bool take_view(char *where, struct gdb *g, struct err *e)
{
	static const struct { const char *word; enum gdb_view view; } words[] = {
		{ "x86-64", GDB_X86_64 }, { "i386", GDB_I386 }, { "i8086", GDB_I8086 },
	};
	char *at = strstr(where, ",arch=");

	if (!at)
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(at + 6, words[i].word)) {
			gdbstub_set_view(g->stub, words[i].view);
			*at = 0;
			return true;
		}
	return err_set(e, "'%s': arch= is x86-64, i386 or i8086, and stands last", where);
}

bool gdb_serve(struct vm *vm, const char *where, struct err *e)
{
	char stream[480];
	struct gdb *g;

	if (vm->gdb && vm->gdb->busy)
		return err_set(e, "a debugger cannot end its own connection; use 'detach'");
	gdb_free(vm->gdb);
	if (!strcmp(where, "none"))
		return true;
	g = gdb_new(vm, e);
	if (!g)
		return false;
	snprintf(stream, sizeof(stream), "%s", where);
	if (!take_view(stream, g, e) || !open_stream(g, stream, e)) {
		gdb_free(g);
		return false;
	}
	if (g->chr->open)
		gdbstub_opened(g->stub);
	chr_accept_input(g->chr);
	return true;
}

void gdb_end(struct vm *vm, int status)
{
	if (!vm->gdb)
		return;
	gdbstub_exit(vm->gdb->stub, status);
	chr_flush_all(vm->m);
	gdb_free(vm->gdb);
}

bool gdb_on_stdio(const struct vm *vm)
{
	return vm->gdb && vm->gdb->stdio;
}
