/* Commands about the guest's balloon (hw/virtio/virtio_balloon.h): its size, and statistics of the guest's memory. */
#include <string.h>

#include "hw/virtio/virtio_balloon.h"
#include "ui/commands.h"
#include "ui/keyval.h"
#include "ui/monitor_priv.h"
#include "ui/vm.h"

static struct virtio_balloon *find(struct cmd *c)
{
	struct virtio_balloon *b = balloon_find(c->vm->m);

	if (!b)
		cmd_fail(c, CMD_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
	return b;
}

struct value *cmd_query_balloon(struct cmd *c, const struct value *args)
{
	const struct virtio_balloon *b = find(c);
	struct value *v;

	(void)args;
	if (!b)
		return NULL;
	v = val_dict();
	val_add_int(v, "actual", (int64_t)balloon_actual(b));
	return v;
}

void show_query_balloon(const struct value *v, FILE *out)
{
	fprintf(out, "balloon: actual=%lld\n", (long long)val_get_int(v, "actual", 0) >> 20);
}

struct value *cmd_balloon(struct cmd *c, const struct value *args)
{
	int64_t bytes = val_get_int(args, "value", 0);
	struct virtio_balloon *b = find(c);

	if (b && bytes <= 0)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'target' expects a size");
	if (b)
		balloon_set(b, (uint64_t)bytes);
	return cmd_result(b);
}

/* People mean megabytes. */
void mon_balloon(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct virtio_balloon *b = balloon_find(mon->vm->m);
	uint64_t bytes;

	if (!b)
		fprintf(out, "balloon: there is none; start with -device virtio-balloon-pci\n");
	else if (!parse_size(a->word[0], 1 << 20, &bytes) || !bytes)
		fprintf(out, "balloon: expected a size in megabytes, or with K, M, G behind it\n");
	else
		balloon_set(b, bytes);
}

/* ---- properties that live ---- */

static struct value *stats(const struct virtio_balloon *b)
{
	uint64_t value[BALLOON_N_STATS];
	struct value *v = val_dict(), *all = val_dict();

	val_add_int(v, "last-update", balloon_stats(b, value));
	for (unsigned i = 0; i < BALLOON_N_STATS; i++)
		val_add_int(all, balloon_stat_names[i], (int64_t)value[i]);
	val_add(v, "stats", all);
	return v;
}

static bool is_balloon(const struct dev *d)
{
	return d->type == &virtio_balloon_type || d->type == &virtio_balloon_bus_type;
}

struct value *balloon_property(const struct dev *d, const char *name)
{
	const struct virtio_balloon *b = (const struct virtio_balloon *)d;

	if (!is_balloon(d))
		return NULL;
	if (!strcmp(name, "guest-stats-polling-interval"))
		return val_int(balloon_interval(b));
	return !strcmp(name, "guest-stats") ? stats(b) : NULL;
}

bool balloon_set_property(struct dev *d, const char *name, const struct value *v)
{
	if (!is_balloon(d) || strcmp(name, "guest-stats-polling-interval") || v->kind != VAL_INT || v->i < 0 || v->i > UINT32_MAX)
		return false;
	balloon_set_interval((struct virtio_balloon *)d, (uint32_t)v->i);
	return true;
}
