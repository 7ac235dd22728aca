/* Monitor commands about saved state: snapshots in disks, and in files. */
#include "ui/migrate.h"
#include "ui/monitor_priv.h"

void mon_migrate(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	if (!migrate_out(mon->vm, a->word[0], &e))
		fprintf(out, "migrate: %s\n", e.msg);
}

void mon_migrate_incoming(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool touched;
	struct err e;

	if (!migrate_in(mon->vm, a->word[0], &touched, &e))
		fprintf(out, "migrate_incoming: %s\n", e.msg);
}
