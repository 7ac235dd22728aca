/* Monitor commands about saved state: snapshots in disks, and in files. */
#include "ui/migrate.h"
#include "ui/monitor_priv.h"
#include "ui/snapshot.h"

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

void mon_savevm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	if (!snapshot_save_vm(mon->vm, a->n ? a->word[0] : NULL, &e))
		fprintf(out, "savevm: %s\n", e.msg);
}

void mon_loadvm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool touched;
	struct err e;

	if (!snapshot_load_vm(mon->vm, a->word[0], &touched, &e))
		fprintf(out, "loadvm: %s\n", e.msg);
}

void mon_delvm(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct err e;

	if (!snapshot_delete_vm(mon->vm, a->word[0], &e))
		fprintf(out, "delvm: %s\n", e.msg);
}

void mon_info_snapshots(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	snapshot_list(mon->vm, out);
}
