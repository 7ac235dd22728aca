/* Commands about networks, and -object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/backend/net.h"
#include "hw/core/dev.h"
#include "ui/command_text.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/options.h"
#include "ui/vm.h"

struct value *cmd_netdev_add(struct cmd *c, const struct value *args)
{
	char *text = command_text(args, "type", &c->err);
	struct net *n = text ? options_make_net(c->vm->m, text, &c->err) : NULL;

	free(text);
	return cmd_result(n);
}

static struct net *find_net(struct cmd *c, const char *id)
{
	struct net *n = net_find(c->vm->m, id);

	if (!n)
		cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", id);
	return n;
}

/* A device's property may name the network although the card is not connected yet. */
static bool is_referred(const struct vm *vm, const struct net *n)
{
	for (const struct dev *d = vm->m->devs; d; d = d->next)
		for (const struct prop *p = d->type->props; p && p->name; p++)
			if (p->type == PROP_BACKEND && *(void *const *)((const char *)d + p->off) == n)
				return true;
	return n->front;
}

struct value *cmd_netdev_del(struct cmd *c, const struct value *args)
{
	const char *id = val_get_str(args, "id", "");
	struct net *n = find_net(c, id);

	if (!n)
		return NULL;
	if (is_referred(c->vm, n))
		return cmd_fail(c, CMD_GENERIC, "Network '%s' has a card: remove that first", id);
	net_free(n);
	return val_dict();
}

/* By the network's id, or its card's. */
static struct net *net_of(struct vm *vm, const char *name)
{
	const struct dev *d = dev_find(vm->m, name);

	for (const struct prop *p = d ? d->type->props : NULL; p && p->name; p++)
		if (p->type == PROP_BACKEND && !strcmp(p->def_str, "netdev"))
			return *(struct net *const *)((const char *)d + p->off);
	return net_find(vm->m, name);
}

struct value *cmd_set_link(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "name", "");
	struct net *n = net_of(c->vm, name);

	if (!n)
		return cmd_fail(c, CMD_DEVICE_NOT_FOUND, "Device '%.200s' not found", name);
	net_set_up(n, val_get_bool(args, "up", true));
	return val_dict();
}

/* "[id] rule": the first network if none is named. */
static void forward(struct monitor *mon, const struct mon_args *a, bool begin, FILE *out)
{
	const char *rule = a->word[a->n > 1];
	struct net *n = NULL;
	struct err e;

	for (const struct backend *b = mon->vm->m->backends; b; b = b->next)
		if (!strcmp(b->kind, "netdev") && (a->n < 2 || !strcmp(b->id, a->word[0])))
			n = b->p;
	if (!n)
		fputs(a->n > 1 ? "there is no such network\n" : "there is no network\n", out);
	else if (!net_forward(n, rule, begin, &e))
		fprintf(out, "%s\n", e.msg);
	else if (!begin)
		fprintf(out, "host forwarding rule for %s removed\n", rule);
}

void mon_hostfwd_add(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	forward(mon, a, true, out);
}

void mon_hostfwd_remove(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	forward(mon, a, false, out);
}

/* ---- objects ---- */

struct value *cmd_object_add(struct cmd *c, const struct value *args)
{
	const char *type = val_get_str(args, "qom-type", ""), *file = val_get_str(args, "file", NULL);
	struct net *n;

	if (strcmp(type, "filter-dump"))
		return cmd_fail(c, CMD_GENERIC, "Parameter 'qom-type' does not accept value '%.100s'", type);
	n = find_net(c, val_get_str(args, "netdev", ""));
	if (!n)
		return NULL;
	if (!file)
		return cmd_fail(c, CMD_GENERIC, "Parameter 'file' is missing");
	return cmd_result(net_dump(n, file, (uint32_t)val_get_int(args, "maxlen", 65536), &c->err));
}

struct value *cmd_object_del(struct cmd *c, const struct value *args)
{
	return cmd_fail(c, CMD_GENERIC, "object '%.200s' not found", val_get_str(args, "id", ""));
}

/* A guest whose card can be asked says itself where it is, as often as it likes. */
struct value *cmd_announce_self(struct cmd *c, const struct value *args)
{
	(void)args;
	net_announce_all(c->vm->m);
	return val_dict();
}

void mon_announce_self(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a, (void)out;
	net_announce_all(mon->vm->m);
}
