/* Nodes (ui/node.h). */
#include "ui/node.h"

#include <stdlib.h>
#include <string.h>

#include "ui/options_parse.h"
#include "ui/vm.h"

const char *node_name(struct drive *d)
{
	const struct block *b = drive_image(d);

	return b && b->node ? b->node : drive_id(d);
}

static struct block *in_drive(struct drive *d, const char *name)
{
	struct block *b = drive_image(d);

	if (!b)
		return NULL;
	if (!b->node && !strcmp(drive_id(d), name))
		return b;
	return block_find_node(b, name);
}

struct block *node_find(struct vm *vm, const char *name, struct drive **d, struct err *e)
{
	for (*d = NULL; (*d = drive_next(vm->m, *d));) {
		struct block *b = in_drive(*d, name);

		if (b)
			return b;
	}
	err_set(e, "Cannot find device='' nor node-name='%.200s'", name);
	return NULL;
}

struct drive *node_drive(struct vm *vm, const char *name, struct err *e)
{
	struct drive *d = drive_find(vm->m, name);

	if (d && drive_present(d))
		return d;
	for (d = NULL; (d = drive_next(vm->m, d));)
		if (drive_present(d) && !strcmp(node_name(d), name))
			return d;
	err_set(e, "Cannot find device='%.200s' nor node-name='%.200s'", name, name);
	return NULL;
}

/* ---- those that programs made ---- */

static struct opt_node *made(struct vm *vm, const char *name)
{
	struct options *o = vm->options;

	for (int i = 0; o && i < o->nnodes; i++)
		if (!strcmp(o->nodes[i].drive.id, name))
			return &o->nodes[i];
	return NULL;
}

static void forget(struct vm *vm, struct opt_node *n)
{
	struct options *o = vm->options;
	const char *file = n->drive.image.file_node;
	struct opt_node *below = file && !n->is_file ? made(vm, file) : NULL;

	if (below)
		below->below = false;
	*n = o->nodes[--o->nnodes];
}

struct drive *node_unused(struct vm *vm, const char *name, struct err *e)
{
	struct drive *d = drive_find(vm->m, name);

	if (!d || !drive_present(d)) {
		err_set(e, "Cannot find device='' nor node-name='%.200s'", name);
		return NULL;
	}
	if (drive_user(d) || !drive_may_change(d, e)) {
		err_set(e, "node '%.200s' is in use", name);
		return NULL;
	}
	return d;
}

struct block *node_take(struct vm *vm, const char *name, struct err *e)
{
	struct drive *d = node_unused(vm, name, e);

	return d ? drive_take_apart(d) : NULL;
}

bool node_add(struct vm *vm, const char *text, struct err *e)
{
	struct options *o = vm->options;
	struct opt_node *n;

	if (!o)
		return err_set(e, "nodes cannot be added here");
	if (opt_blockdev(o, text, NULL, e) != OPT_GO)
		return false;
	n = &o->nodes[o->nnodes - 1];
	if (n->is_file || drive_new(vm->m, &n->drive, e))
		return true;
	forget(vm, n);
	return false;
}

static bool file_in_use(struct vm *vm, const char *name)
{
	for (struct drive *d = NULL; (d = drive_next(vm->m, d));)
		for (struct block *b = drive_image(d); b; b = b->backing)
			if (b->file_node && !strcmp(b->file_node, name))
				return true;
	return false;
}

bool node_del(struct vm *vm, const char *name, struct err *e)
{
	struct opt_node *n = made(vm, name);
	struct drive *d;
	struct err ignored;

	if (!n)
		return err_set(e, "Failed to find node with node-name='%.200s'", name);
	if (n->is_file && (n->below || file_in_use(vm, name)))
		return err_set(e, "Node '%.200s' is busy: an image stands on it", name);
	if (!n->is_file && node_find(vm, name, &d, &ignored)) {
		if (drive_user(d) || strcmp(node_name(d), name))
			return err_set(e, "Node '%.200s' is busy: node is used", name);
		if (!drive_may_change(d, e))
			return false;
		drive_free(d);
	}
	forget(vm, n);
	return true;
}

const char *node_file(struct vm *vm, const char *name, struct err *e)
{
	struct opt_node *n = made(vm, name);

	if (n && n->is_file && n->drive.image.file)
		return n->drive.image.file;
	err_set(e, "Cannot find device='' nor node-name='%.200s'", name);
	return NULL;
}

const char *node_nth_file(struct vm *vm, int i, const char **file)
{
	const struct options *o = vm->options;

	for (int k = 0; o && k < o->nnodes; k++)
		if (o->nodes[k].is_file && i-- == 0) {
			*file = o->nodes[k].drive.image.file;
			return o->nodes[k].drive.id;
		}
	return NULL;
}
