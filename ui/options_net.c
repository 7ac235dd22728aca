/*
 * Networks: -netdev makes one, -nic makes one with a card, -net makes either half;
 * -object records one.
 */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ui/keyval.h"

/* Names of cards that -nic takes, and the device each is. */
static const struct { const char *name, *driver, *help; } cards[] = {
	{ "e1000",          "e1000",          "Intel 82540EM (default)" },
	{ "virtio-net-pci", "virtio-net-pci", "virtio, the fastest" },
	{ "virtio",         "virtio-net-pci", "the same" },
	{ "ne2k_pci",       "ne2k_pci",       "NE2000 on PCI (Realtek RTL8029)" },
	{ "ne2k_isa",       "ne2k_isa",       "NE2000 on ISA: ports at 0x300, interrupt 9" },
	{ "virtio-net-device", "virtio-net-device", "virtio, for the board microvm" },
};

static void list_cards(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(cards); i++)
		fprintf(out, "%-18s %s\n", cards[i].name, cards[i].help);
}

static void list_kinds(FILE *out)
{
	fputs("user     connections leave as sockets of this program\n"
	      "tap      an interface of the host's\n"
	      "stream   another machine, over TCP or a Unix socket\n"
	      "dgram    other machines, over UDP or a multicast group\n"
	      "socket   the last two, by other keys\n", out);
}

static const char *card_driver(const char *option, const char *model, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(cards); i++)
		if (!strcmp(cards[i].name, model))
			return cards[i].driver;
	err_set(e, "%s: no network card '%s'; -nic model=help lists them", option, model);
	return NULL;
}

static bool add_net(struct options *o, struct kv *k, const char *option, const char *kind, const char *id,
		    struct err *e)
{
	struct net_options n = { .kind = kind, .id = id };

	if (!net_kind_exists(kind))
		return err_set(e, "%s: no kind of network '%s'; there are user, socket, stream, dgram and tap", option, kind);
	if (!options_net_kind(k, &n, e))
		return false;
	if (o->nnets == OPT_MAX_NETS)
		return err_set(e, "%s: more than %d networks", option, OPT_MAX_NETS);
	o->nets[o->nnets++] = n;
	return true;
}

struct net *options_make_net(struct machine *m, const char *arg, struct err *e)
{
	struct net_options o = { 0 };
	struct net *n = NULL;
	struct kv k;

	kv_parse(&k, "netdev_add", arg, "type", e);
	o.kind = kv_str(&k, "type", "");
	o.id = kv_str(&k, "id", NULL);
	if (options_net_kind(&k, &o, e) && (o.id || err_set(e, "Parameter 'id' is missing")))
		n = net_new(m, &o, e);
	kv_free(&k);
	return n;
}

/* A card; net and mac may be NULL. */
static bool add_card(struct options *o, const char *option, const char *driver, const char *net, const char *mac,
		     struct err *e)
{
	char *text = NULL;

	if (o->pc.ndevices == PC_MAX_DEVICES)
		return err_set(e, "%s: more than %d devices", option, PC_MAX_DEVICES);
	if (net || mac)
		if (asprintf(&text, "%s%s%s%s%s", net ? "netdev=" : "", net ? net : "", net && mac ? "," : "",
			     mac ? "mac=" : "", mac ? mac : "") < 0)
			return err_set(e, "no memory");
	o->pc.devices[o->pc.ndevices++] = (struct pc_device){ driver, text };
	return true;
}

/* A name for a network nobody named. */
static const char *net_name(const struct options *o)
{
	char *id = NULL;

	return asprintf(&id, "#net%d", o->nnets) < 0 ? "#net" : id;
}

enum opt_result opt_netdev(struct options *o, const char *arg, FILE *out, struct err *e)
{
	struct kv k;
	const char *kind, *id;

	if (!strcmp(arg, "help")) {
		list_kinds(out);
		return OPT_DONE;
	}
	o->net_given = true;
	kv_parse(&k, "-netdev", arg, "type", e);
	kind = kv_str(&k, "type", "");
	id = kv_str(&k, "id", NULL);
	if (!id) {
		err_set(e, "-netdev %s: id=ID is missing", arg);
		return OPT_BAD;
	}
	return add_net(o, &k, "-netdev", kind, id, e) ? OPT_GO : OPT_BAD;
}

enum opt_result opt_nic(struct options *o, const char *arg, FILE *out, struct err *e)
{
	const char *kind, *id, *model, *mac, *driver;
	struct kv k;

	if (!strcmp(arg, "help")) {
		list_kinds(out);
		fputs("\nmodel=\n", out);
		list_cards(out);
		return OPT_DONE;
	}
	o->net_given = true;
	kv_parse(&k, "-nic", arg, "type", e);
	kind = kv_str(&k, "type", "user");
	model = kv_str(&k, "model", cards[0].name);
	mac = kv_str(&k, "mac", NULL);
	id = kv_str(&k, "id", NULL);
	if (!strcmp(kind, "none"))
		return kv_done(&k) ? OPT_GO : OPT_BAD;
	if (!strcmp(model, "help")) {
		list_cards(out);
		return OPT_DONE;
	}
	if (!id)
		id = net_name(o);
	driver = card_driver("-nic", model, e);
	return driver && add_net(o, &k, "-nic", kind, id, e) && add_card(o, "-nic", driver, id, mac, e) ? OPT_GO : OPT_BAD;
}

/*
 * A card and a network are joined when both are there. One of each waits for the
 * other.
 */
static bool net_card(struct options *o, struct kv *k, struct err *e)
{
	const char *model = kv_str(k, "model", cards[0].name), *mac = kv_str(k, "macaddr", NULL);
	const char *net = kv_str(k, "netdev", NULL), *driver;

	kv_str(k, "name", NULL);
	if (!kv_done(k) || !(driver = card_driver("-net nic", model, e)))
		return false;
	if (!net && o->net_without_card) {
		net = o->net_without_card;
		o->net_without_card = NULL;
	}
	if (!net) {
		if (o->card_without_net)
			return err_set(e, "-net nic: a second card needs a network of its own; use -nic");
		net = o->card_without_net = net_name(o);
	}
	return add_card(o, "-net nic", driver, net, mac, e);
}

static bool net_user(struct options *o, struct kv *k, const char *kind, struct err *e)
{
	const char *id = kv_str(k, "id", kv_str(k, "name", NULL));

	if (o->card_without_net) {
		id = o->card_without_net;
		o->card_without_net = NULL;
	} else if (o->net_without_card) {
		return err_set(e, "-net %s: a second network needs a card of its own; use -nic", kind);
	} else {
		id = o->net_without_card = id ? id : net_name(o);
	}
	return add_net(o, k, "-net", kind, id, e);
}

enum opt_result opt_net(struct options *o, const char *arg, FILE *out, struct err *e)
{
	const char *kind;
	struct kv k;

	if (strstr(arg, "model=help")) {
		list_cards(out);
		return OPT_DONE;
	}
	o->net_given = true;
	kv_parse(&k, "-net", arg, "type", e);
	kind = kv_str(&k, "type", "");
	if (!strcmp(kind, "none"))
		return kv_done(&k) ? OPT_GO : OPT_BAD;
	return (!strcmp(kind, "nic") ? net_card(o, &k, e) : net_user(o, &k, kind, e)) ? OPT_GO : OPT_BAD;
}

/* A card and a network for who asked for none of either, as QEMU has them. */
static bool default_net(struct options *o, struct err *e)
{
	if (o->net_given || o->nodefaults || !net_user_built_in())
		return true;
	return opt_nic(o, o->pc.board == PC_BOARD_MICROVM ? "user,model=virtio-net-device" : "user", stdout, e) == OPT_GO;
}

/* Halves of -net that found no other. */
bool options_complete_nets(struct options *o, struct err *e)
{
	if (!default_net(o, e))
		return false;
	if (o->card_without_net)
		return err_set(e, "-net nic: there is no network behind it; add -net user");
	if (o->net_without_card)
		return err_set(e, "-net: there is no card on the network; add -net nic");
	return true;
}

enum opt_result opt_object(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const types[] = { "filter-dump", "secret", NULL };
	static const char *const of_secrets[] = { "format", "data", "file", "keyid", "iv", NULL };
	struct opt_dump d;
	struct kv k;
	bool secret;

	(void)out;
	kv_parse(&k, "-object", arg, "qom-type", e);
	secret = kv_word(&k, "qom-type", 0, types) == 1;
	kv_str(&k, "id", NULL);
	if (secret) {
		kv_ignore(&k, of_secrets);
		return kv_done(&k) ? OPT_GO : OPT_BAD;
	}
	d.net = kv_str(&k, "netdev", NULL);
	d.file = kv_str(&k, "file", NULL);
	d.most = (uint32_t)kv_num(&k, "maxlen", 65536, 1, 1 << 20);
	if (!kv_done(&k))
		return OPT_BAD;
	if (!d.net || !d.file || o->ndumps == OPT_MAX_NETS) {
		err_set(e, "-object %s: expected netdev=ID and file=FILE, %d times at most", arg, OPT_MAX_NETS);
		return OPT_BAD;
	}
	o->dumps[o->ndumps++] = d;
	return OPT_GO;
}
