/*
 * Commands about processors, those that come and go included. vCPUs are held while their
 * registers are read.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/cpu.h"
#include "hw/pc/pc.h"
#include "ui/commands.h"
#include "ui/commands_cpu.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

/* Where processor i of a board with these sockets is. */
static struct value *place(const struct pc_config *cfg, int i)
{
	int threads = cfg && cfg->threads ? cfg->threads : 1, cores = cfg && cfg->cores ? cfg->cores : 1;
	struct value *v = val_dict();

	val_add_int(v, "socket-id", i / (cores * threads));
	val_add_int(v, "die-id", 0);
	val_add_int(v, "core-id", i / threads % cores);
	val_add_int(v, "thread-id", i % threads);
	return v;
}

static struct value *path_of(const struct vm *vm, int i)
{
	char id[PC_CPU_ID];

	return vm->pc && pc_cpu_id(vm->pc, i, id) ? val_strf("/machine/peripheral/%s", id) : val_strf("/machine/unattached/cpu[%d]", i);
}

struct value *cmd_query_cpus_fast(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	for (int i = 0; i < c->vm->ncpus; i++) {
		struct value *v;

		if (c->vm->vcpus[i].cpu->absent)
			continue;
		v = val_dict();
		val_add_int(v, "cpu-index", i);
		val_add(v, "qom-path", path_of(c->vm, i));
		val_add_int(v, "thread-id", c->vm->vcpus[i].tid);
		val_add(v, "props", place(c->vm->cfg, i));
		val_add_str(v, "target", "x86_64");
		val_append(list, v);
	}
	return list;
}

void mon_info_cpus(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	vm_hold(mon->vm);
	for (int i = 0; i < mon->vm->ncpus; i++) {
		const struct vcpu *v = &mon->vm->vcpus[i];

		if (v->cpu->absent)
			continue;
		fprintf(out, "%c CPU #%d: pc=0x%016llx thread_id=%d%s\n", i == mon->cpu ? '*' : ' ', i,
			(unsigned long long)(v->cpu->segs[CS].base + v->cpu->rip), v->tid,
			v->cpu->wait_sipi ? " (waiting to be started)" : v->cpu->halted ? " (halted)" : "");
	}
	vm_release(mon->vm);
}

/* ---- processors that come and go ---- */

/* "MODEL-x86_64-cpu", as QEMU calls a model's processors. */
static struct value *driver_of(const struct vm *vm)
{
	const char *model = vm->cpu_model ? vm->cpu_model : "max";

	return val_strf("%.*s-x86_64-cpu", (int)strcspn(model, ","), model);
}

bool is_cpu_driver(const char *driver)
{
	static const char end[] = "-x86_64-cpu";
	size_t n = strlen(driver);

	return n > sizeof(end) - 1 && !strcmp(driver + n - (sizeof(end) - 1), end);
}

struct value *cmd_query_hotpluggable_cpus(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	for (int i = c->vm->ncpus; i-- > 0;) {
		struct value *v = val_dict();

		val_add(v, "type", driver_of(c->vm));
		val_add_int(v, "vcpus-count", 1);
		val_add(v, "props", place(c->vm->cfg, i));
		if (!c->vm->vcpus[i].cpu->absent)
			val_add(v, "qom-path", path_of(c->vm, i));
		val_append(list, v);
	}
	return list;
}

void show_hotpluggable_cpus(const struct value *v, FILE *out)
{
	fputs("Hotpluggable CPUs:\n", out);
	for (size_t i = 0; i < v->n; i++) {
		const struct value *cpu = v->item[i], *props = val_get(cpu, "props");
		const char *path = val_get_str(cpu, "qom-path", NULL);

		fprintf(out, "  type: \"%s\"\n  vcpus_count: \"%d\"\n", val_get_str(cpu, "type", ""),
			(int)val_get_int(cpu, "vcpus-count", 0));
		if (path)
			fprintf(out, "  qom_path: \"%s\"\n", path);
		fprintf(out, "  CPUInstance Properties:\n    socket-id: \"%d\"\n    die-id: \"%d\"\n    core-id: \"%d\"\n"
			"    thread-id: \"%d\"\n", (int)val_get_int(props, "socket-id", 0), (int)val_get_int(props, "die-id", 0),
			(int)val_get_int(props, "core-id", 0), (int)val_get_int(props, "thread-id", 0));
	}
}

/* A number among n that the arguments must have: from the command line it may come as text. */
static bool number(const struct value *args, const char *name, int n, int *out, struct err *e)
{
	int64_t v = val_get_int(args, name, -1);
	const char *text = val_get_str(args, name, NULL);
	int end = 0;

	if (text && (sscanf(text, "%d%n", out, &end) != 1 || text[end]))
		return err_set(e, "%s: expected a number, not '%s'", name, text);
	if (!text)
		*out = (int)v;
	if (*out < 0 || *out >= n)
		return err_set(e, "%s must be 0 to %d", name, n - 1);
	return true;
}

/* Which processor the arguments of device_add mean; -1 with err filled. */
static int find_place(struct cmd *c, const struct value *args)
{
	const struct pc_config *cfg = c->vm->cfg;
	int socket, core, thread = 0;

	if (!cfg || !number(args, "socket-id", cfg->sockets, &socket, &c->err) ||
	    !number(args, "core-id", cfg->cores, &core, &c->err) ||
	    ((cfg->threads > 1 || val_get(args, "thread-id")) && !number(args, "thread-id", cfg->threads, &thread, &c->err)))
		return -1;
	return (socket * cfg->cores + core) * cfg->threads + thread;
}

struct value *add_cpu(struct cmd *c, const char *driver, const struct value *args)
{
	const char *id = val_get_str(args, "id", NULL);
	struct value *want = driver_of(c->vm);
	bool right = !strcmp(driver, want->s);
	int n;

	if (!right)
		err_set(&c->err, "this machine's processors are '%s'", want->s);
	else if (!id)
		err_set(&c->err, "a processor needs an id");
	val_free(want);
	n = right && id ? find_place(c, args) : -1;
	if (n < 0)
		return NULL;
	vm_hold(c->vm);
	bool ok = pc_plug_cpu(c->vm->pc, n, id, &c->err);
	vm_release(c->vm);
	return ok ? val_dict() : NULL;
}

/* The processor with that id, or -1. */
int find_cpu(const struct vm *vm, const char *id)
{
	char its[PC_CPU_ID];

	for (int i = 0; i < vm->ncpus && vm->pc; i++)
		if (pc_cpu_id(vm->pc, i, its) && !strcmp(its, id))
			return i;
	return -1;
}

struct value *del_cpu(struct cmd *c, int n)
{
	vm_hold(c->vm);
	bool ok = pc_unplug_cpu(c->vm->pc, n, &c->err);
	vm_release(c->vm);
	return ok ? val_dict() : NULL;
}
