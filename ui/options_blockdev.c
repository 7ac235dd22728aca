/*
 * -blockdev: images by the names of nodes. A format's node stands on the node of a file,
 * which is nested in it ("file.driver=file,file.filename=..") or has a name of its own
 * ("file=NAME"). What stands under no other node is a drive for devices to refer to.
 *
 * Not modelled: filters other than copy-on-read, parts of a raw file.
 */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>

#include "ui/json.h"
#include "ui/keyval.h"

/* ---- JSON to "key=value,.." ---- */

static char *append_text(char *text, const char *key, const char *value)
{
	size_t n = text ? strlen(text) : 0, most = n + strlen(key) + 2 * strlen(value) + 3;
	char *all = realloc(text, most), *p = all + n;

	p += sprintf(p, "%s%s=", n ? "," : "", key);
	for (; *value; value++) {
		if (*value == ',')
			*p++ = ',';
		*p++ = *value;
	}
	*p = 0;
	return all;
}

static char *flatten(char *text, const char *prefix, const struct value *v)
{
	char key[128], number[24];

	for (size_t i = 0; i < v->n; i++) {
		const struct value *m = v->item[i];
		snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "", v->key[i]);
		snprintf(number, sizeof(number), "%lld", (long long)m->i);
		if (m->kind == VAL_DICT)
			text = flatten(text, key, m);
		else
			text = append_text(text, key, m->kind == VAL_STR ? m->s : m->kind == VAL_INT ? number
					   : m->kind == VAL_BOOL ? m->b ? "on" : "off" : "");
	}
	return text;
}

static char *text_of(const char *arg, struct err *e)
{
	if (*arg != '{')
		return strdup(arg);
	struct value *v = json_parse(arg, strlen(arg), e);
	char *text = v && v->kind == VAL_DICT ? flatten(NULL, "", v) : NULL;
	val_free(v);
	return text;
}

/* ---- nodes ---- */

static struct opt_node *find(struct options *o, const char *name)
{
	for (int i = 0; i < o->nnodes; i++)
		if (!strcmp(o->nodes[i].drive.id, name))
			return &o->nodes[i];
	return NULL;
}

/* What stands under the node: a file of its own, or another node. */
static bool join_child(struct options *o, struct drive_options *v, const char *driver, const char *ref, struct err *e)
{
	struct opt_node *child = ref ? find(o, ref) : NULL;
	struct block_options *i = &v->image;

	if (ref && (!child || child->below))
		return err_set(e, "-blockdev: node '%s' stands on '%s', which %s", v->id, ref,
			       child ? "is under another node already" : "must be given before it");
	if (!ref)
		return true;
	const struct block_options *c = &child->drive.image;
	if (!strcmp(driver, "copy-on-read")) {
		const char *id = v->id;
		*v = child->drive;
		v->id = id;
		i->copy_on_read = true;
	} else if (!child->is_file) {
		return err_set(e, "-blockdev: node '%s' stands on '%s', which is no file but an image itself", v->id, ref);
	}
	child->below = true;
	i->file_node = child->is_file ? ref : c->file_node;
	i->file = c->file;
	i->null_co = c->null_co;
	i->size = c->size;
	i->direct |= c->direct;
	i->no_flush |= c->no_flush;
	i->locking = c->locking;
	i->auto_readonly |= c->auto_readonly;
	i->readonly |= c->readonly && !c->auto_readonly;
	return true;
}

/* "" (null): none, whatever the image says. */
static bool join_backing(struct options *o, struct drive_options *v, const char *ref, struct err *e)
{
	struct opt_node *child = ref && *ref ? find(o, ref) : NULL;

	if (!ref)
		return true;
	if (*ref && (!child || child->below || child->is_file))
		return err_set(e, "-blockdev: node '%s' has backing=%s, which %s", v->id, ref,
			       !child ? "must be given before it" : child->below ? "is under another node already"
			       : "is a file without a format");
	v->image.no_backing = !*ref;
	if (child) {
		child->below = true;
		v->image.backing = &child->drive.image;
	}
	return true;
}

static bool known_driver(const char *name)
{
	static const char *const drivers[] = { "file", "host_device", "host_cdrom", "raw", "qcow2", "null-co", "copy-on-read" };

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strcmp(name, drivers[i]))
			return true;
	return false;
}

enum opt_result opt_blockdev(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct opt_node n = { .drive.image.readonly = false };
	char *text = text_of(arg, e);
	struct kv k;

	(void)out;
	if (!text)
		return OPT_BAD;
	kv_parse(&k, "-blockdev", text, "driver", e);
	const char *driver = kv_str(&k, "driver", NULL), *below = kv_str(&k, "file.driver", "file");
	const char *ref = kv_str(&k, "file", NULL), *backing = kv_str(&k, "backing", NULL);
	n.drive.id = kv_str(&k, "node-name", NULL);
	opt_drive_image(&k, &n.drive);
	n.drive.image.file = kv_str(&k, "filename", kv_str(&k, "file.filename", NULL));
	free(text);
	if (!kv_done(&k))
		return OPT_BAD;
	if (!driver || !known_driver(driver) || !opt_is_file_driver(below))
		err_set(e, "-blockdev: driver '%s' is not known; there are raw, qcow2, file, null-co and copy-on-read",
			driver && !opt_is_file_driver(below) ? below : driver ? driver : "");
	else if (!n.drive.id)
		err_set(e, "-blockdev %s: node-name=NAME is missing", arg);
	else if (find(o, n.drive.id))
		err_set(e, "-blockdev: there is a node '%s' already", n.drive.id);
	else if (o->nnodes == OPT_MAX_NODES)
		err_set(e, "-blockdev: more than %d nodes", OPT_MAX_NODES);
	else if (!join_child(o, &n.drive, driver, ref, e) || !join_backing(o, &n.drive, backing, e))
		return OPT_BAD;
	else if (!n.drive.image.file && !n.drive.image.null_co)
		err_set(e, "-blockdev: node '%s' has no file: give file.filename=, or file=NODE", n.drive.id);
	else if (opt_drive_check(&n.drive, "-blockdev", arg, e)) {
		n.is_file = opt_is_file_driver(driver) || !strcmp(driver, "null-co");
		n.drive.image.node = n.drive.id;
		o->nodes[o->nnodes++] = n;
		return OPT_GO;
	}
	return OPT_BAD;
}

bool options_place_nodes(struct options *o, struct err *e)
{
	for (int i = 0; i < o->nnodes; i++) {
		if (o->nodes[i].below)
			continue;
		if (o->pc.ndrives == PC_MAX_DRIVES)
			return err_set(e, "-blockdev: more than %d drives", PC_MAX_DRIVES);
		o->pc.drives[o->pc.ndrives++] = (struct pc_drive){ .interface = PC_IF_NONE, .drive = o->nodes[i].drive };
	}
	return true;
}
