/* Monitor commands that act on the machine as a whole: run control, keys, discs, logging. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/mce.h"
#include "hw/core/dev.h"
#include "ui/gdb.h"
#include "ui/monitor_priv.h"

void mon_gdbserver(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	const char *where = a->n ? a->word[0] : "tcp::1234";
	struct err e = { "" };

	if (!gdb_serve(mon->vm, where, &e))
		fprintf(out, "gdbserver: %s\n", e.msg);
	else if (!strcmp(where, "none"))
		fprintf(out, "no debugger is served any more\n");
	else
		fprintf(out, "waiting for gdb at %s\n", where);
}

#define MCE_TOLD	(BIT(63) | BIT(61))	/* valid, uncorrected */
#define MCG_RIPV	BIT(0)
#define MCG_MCIP	BIT(2)

/* The others hear of a broadcast error in bank 1. */
static void broadcast(struct vm *vm, int except)
{
	static const struct mce m = { .bank = 1, .status = MCE_TOLD, .mcg_status = MCG_MCIP | MCG_RIPV };
	struct err e;

	for (int i = 0; i < vm->ncpus; i++)
		if (i != except && !mce_inject(vm->vcpus[i].cpu, &m, &e))
			warn("mce: %s", e.msg);
}

void mon_mce(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool all = !strcmp(a->word[0], "-b");
	struct vm *vm = mon->vm;
	uint64_t v[6];
	struct err e;

	if (a->n != 6 + all) {
		fprintf(out, "mce: expected [-b] cpu bank status mcgstatus addr misc\n");
		return;
	}
	for (int i = 0; i < 6; i++)
		if (!mon_expr(mon, a->word[i + all], &v[i], out))
			return;
	if (v[0] >= (uint64_t)vm->ncpus) {
		fprintf(out, "mce: processors are 0 to %d\n", vm->ncpus - 1);
		return;
	}
	struct mce m = { (unsigned)min_u64(v[1], MCE_BANKS), v[2], v[3], v[4], v[5] };
	vm_hold(vm);
	bool ok = mce_inject(vm->vcpus[v[0]].cpu, &m, &e);
	if (ok && all && m.status & BIT(61))
		broadcast(vm, (int)v[0]);
	vm_release(vm);
	if (!ok)
		fprintf(out, "mce: %s\n", e.msg);
}

/* ---- logging ---- */

void mon_log(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	(void)mon;
	if (!log_set_areas(a->word[0], &e))
		fprintf(out, "log: %s\n", e.msg);
}

void mon_logfile(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	(void)mon;
	if (!log_open(a->word[0], &e))
		fprintf(out, "logfile: %s\n", e.msg);
}
