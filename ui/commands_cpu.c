/* Commands about processors. vCPUs are held while their registers are read. */
#include <string.h>

#include "cpu/cpu.h"
#include "hw/pc/pc.h"
#include "ui/commands.h"
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

struct value *cmd_query_cpus_fast(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();

	(void)args;
	for (int i = 0; i < c->vm->ncpus; i++) {
		struct value *v = val_dict();

		val_add_int(v, "cpu-index", i);
		val_add(v, "qom-path", val_strf("/machine/unattached/cpu[%d]", i));
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
		fprintf(out, "%c CPU #%d: pc=0x%016llx thread_id=%d%s\n", i == mon->cpu ? '*' : ' ', i,
			(unsigned long long)(v->cpu->segs[CS].base + v->cpu->rip), v->tid,
			v->cpu->wait_sipi ? " (waiting to be started)" : v->cpu->halted ? " (halted)" : "");
	}
	vm_release(mon->vm);
}
