/* Shared folders: -fsdev names one, -virtfs makes a device for it as well. */
#include "ui/options_parse.h"

#include <string.h>

#include "ui/keyval.h"

static bool add_share(struct options *o, struct kv *k, const char *id, const char *tag, struct err *e)
{
	static const char *const drivers[] = { "local", NULL };
	static const char *const models[] = { "passthrough", "none", "mapped-xattr", "mapped", NULL };
	static const enum share_model model_of[] = { SHARE_PASSTHROUGH, SHARE_NONE, SHARE_MAPPED, SHARE_MAPPED };
	static const char *const ignored[] = { "multidevs", "writeout", "fmode", "dmode", NULL };
	struct share_options s = { .id = id };

	kv_word(k, "fsdriver", 0, drivers);
	s.path = kv_str(k, "path", NULL);
	const char *model = kv_str(k, "security_model", NULL);
	s.model = model_of[kv_word(k, "security_model", 0, models)];
	s.readonly = kv_bool(k, "readonly", false);
	kv_ignore(k, ignored);
	if (!kv_done(k))
		return false;
	if (!s.path)
		return err_set(e, "%s: path=DIR is missing", k->option);
	if (!model)
		return err_set(e, "%s: security_model= is missing: mapped-xattr keeps owners and modes beside the files, "
			       "passthrough and none take the host's", k->option);
	if (o->nshares == OPT_MAX_SHARES)
		return err_set(e, "%s: more than %d folders", k->option, OPT_MAX_SHARES);
	o->mount_tags[o->nshares] = tag;
	o->shares[o->nshares++] = s;
	return true;
}

enum opt_result opt_fsdev(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;

	(void)out;
	kv_parse(&k, "-fsdev", arg, "fsdriver", e);
	const char *id = kv_str(&k, "id", NULL);
	if (!id) {
		err_set(e, "-fsdev %s: id=ID is missing", arg);
		return OPT_BAD;
	}
	return add_share(o, &k, id, NULL, e) ? OPT_GO : OPT_BAD;
}

enum opt_result opt_virtfs(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;

	(void)out;
	kv_parse(&k, "-virtfs", arg, "fsdriver", e);
	const char *tag = kv_str(&k, "mount_tag", NULL);
	if (!tag) {
		err_set(e, "-virtfs %s: mount_tag=TAG is missing", arg);
		return OPT_BAD;
	}
	return add_share(o, &k, kv_str(&k, "id", tag), tag, e) ? OPT_GO : OPT_BAD;
}

/* The board is known only when all options are. */
bool options_complete_shares(struct options *o, struct err *e)
{
	const char *driver = o->pc.board == PC_BOARD_MICROVM ? "virtio-9p-device" : "virtio-9p-pci";
	char *text;

	for (int i = 0; i < o->nshares; i++) {
		if (!o->mount_tags[i])
			continue;
		if (o->pc.ndevices == PC_MAX_DEVICES)
			return err_set(e, "-virtfs: more than %d devices", PC_MAX_DEVICES);
		if (asprintf(&text, "fsdev=%s,mount_tag=%s", o->shares[i].id, o->mount_tags[i]) < 0)
			return err_set(e, "no memory");
		o->pc.devices[o->pc.ndevices++] = (struct pc_device){ driver, text };
	}
	return true;
}
