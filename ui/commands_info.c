/* Commands that tell what the machine is made of: memory, PCI, streams, VNC. */
#include <string.h>

#include "hw/core/chr.h"
#include "hw/core/dev.h"
#include "hw/pc/pc.h"
#include "hw/pci/pci.h"
#include "ui/commands.h"
#include "ui/vm.h"
#include "ui/vnc.h"

/* Of things that this machine has none of. */
struct value *cmd_none(struct cmd *c, const struct value *args)
{
	(void)c, (void)args;
	return val_list();
}

void show_nothing(const struct value *v, FILE *out)
{
	if (!v->n)
		fputs("none\n", out);
}

/* ---- memory ---- */

struct value *cmd_query_memory_size_summary(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)args;
	val_add_int(v, "base-memory", c->vm->cfg ? (int64_t)c->vm->cfg->ram_size : 0);
	val_add_int(v, "plugged-memory", 0);
	return v;
}

void show_memory_size_summary(const struct value *v, FILE *out)
{
	fprintf(out, "base memory: %lld\nplugged memory: %lld\n", (long long)val_get_int(v, "base-memory", 0),
		(long long)val_get_int(v, "plugged-memory", 0));
}

/* ---- PCI ---- */

static struct value *region(const struct pci_bar *b, int n)
{
	struct value *v = val_dict();

	val_add_int(v, "bar", n);
	val_add_str(v, "type", b->kind == PCI_BAR_IO ? "io" : "memory");
	val_add_int(v, "address", b->on ? (int64_t)b->addr : -1);
	val_add_int(v, "size", (int64_t)b->size);
	if (b->kind != PCI_BAR_IO) {
		val_add_bool(v, "prefetch", b->prefetch);
		val_add_bool(v, "mem_type_64", b->is64);
	}
	return v;
}

static struct value *function(const struct pci_dev *p, int devfn)
{
	struct value *v = val_dict(), *class, *id, *regions;

	val_add_int(v, "bus", 0);
	val_add_int(v, "slot", devfn >> 3);
	val_add_int(v, "function", devfn & 7);
	class = val_add(v, "class_info", val_dict());
	val_add_int(class, "class", ld16(p->config + PCI_CLASS + 1));
	val_add_str(class, "desc", p->dev.type->name);
	id = val_add(v, "id", val_dict());
	val_add_int(id, "device", ld16(p->config + PCI_DEVICE));
	val_add_int(id, "vendor", ld16(p->config + PCI_VENDOR));
	val_add_int(id, "subsystem", ld16(p->config + PCI_SUBDEVICE));
	val_add_int(id, "subsystem-vendor", ld16(p->config + PCI_SUBVENDOR));
	if (p->config[PCI_INT_PIN])
		val_add_int(v, "irq", p->config[PCI_INT_LINE]);
	val_add_int(v, "irq_pin", p->config[PCI_INT_PIN]);
	val_add_str(v, "qdev_id", p->dev.id);
	regions = val_add(v, "regions", val_list());
	for (int n = 0; n <= PCI_NBARS; n++)
		if (p->bars[n].kind != PCI_BAR_NONE)
			val_append(regions, region(&p->bars[n], n));
	return v;
}

struct value *cmd_query_pci(struct cmd *c, const struct value *args)
{
	const struct pci_bus *bus = c->vm->m->pci;
	struct value *list = val_list(), *b = val_dict(), *devices;

	(void)args;
	val_add_int(b, "bus", 0);
	devices = val_add(b, "devices", val_list());
	for (int i = 0; bus && i < 256; i++)
		if (bus->fn[i])
			val_append(devices, function(bus->fn[i], i));
	val_append(list, b);
	return list;
}

static void show_region(const struct value *r, FILE *out)
{
	int64_t at = val_get_int(r, "address", -1), size = val_get_int(r, "size", 0);
	bool io = !strcmp(val_get_str(r, "type", ""), "io");

	fprintf(out, "      BAR%d: %s at ", (int)val_get_int(r, "bar", 0), io ? "I/O" :
		val_get_bool(r, "mem_type_64", false) ? "64 bit memory" : "32 bit memory");
	if (at < 0)
		fprintf(out, "nowhere (0x%llx bytes).\n", (unsigned long long)size);
	else
		fprintf(out, "0x%llx [0x%llx].\n", (unsigned long long)at, (unsigned long long)(at + size - 1));
}

static void show_function(const struct value *v, FILE *out)
{
	const struct value *id = val_get(v, "id"), *class = val_get(v, "class_info"), *r = val_get(v, "regions");
	int pin = (int)val_get_int(v, "irq_pin", 0);

	fprintf(out, "  Bus %2d, device %3d, function %d:\n", (int)val_get_int(v, "bus", 0),
		(int)val_get_int(v, "slot", 0), (int)val_get_int(v, "function", 0));
	fprintf(out, "    Class %04x: PCI device %04x:%04x (%s)\n", (unsigned)val_get_int(class, "class", 0),
		(unsigned)val_get_int(id, "vendor", 0), (unsigned)val_get_int(id, "device", 0),
		val_get_str(class, "desc", ""));
	if (pin)
		fprintf(out, "      IRQ %d, pin %c\n", (int)val_get_int(v, "irq", 0), 'A' + pin - 1);
	for (size_t i = 0; i < r->n; i++)
		show_region(r->item[i], out);
	fprintf(out, "      id \"%s\"\n", val_get_str(v, "qdev_id", ""));
}

void show_pci(const struct value *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct value *devices = val_get(v->item[i], "devices");
		for (size_t k = 0; k < devices->n; k++)
			show_function(devices->item[k], out);
	}
}

/* ---- VNC ---- */

struct value *cmd_query_vnc(struct cmd *c, const struct value *args)
{
	struct value *v;

	(void)args;
	if (c->vm->vnc)
		return vnc_info(c->vm->vnc);
	v = val_dict();
	val_add_bool(v, "enabled", false);
	return v;
}

struct value *cmd_query_vnc_servers(struct cmd *c, const struct value *args)
{
	struct value *list = val_list(), *info, *v, *server;

	(void)args;
	if (!c->vm->vnc)
		return list;
	info = vnc_info(c->vm->vnc);
	v = val_dict();
	server = val_dict();
	val_add_str(server, "host", val_get_str(info, "host", ""));
	val_add_str(server, "service", val_get_str(info, "service", ""));
	val_add_str(server, "family", val_get_str(info, "family", "unknown"));
	val_add_bool(server, "websocket", false);
	val_add_str(server, "auth", val_get_str(info, "auth", ""));
	val_add_str(v, "id", "default");
	val_append(val_add(v, "server", val_list()), server);
	val_add(v, "clients", val_copy(val_get(info, "clients")));
	val_add_str(v, "auth", val_get_str(info, "auth", ""));
	val_append(list, v);
	val_free(info);
	return list;
}

void show_vnc(const struct value *v, FILE *out)
{
	const struct value *clients = val_get(v, "clients");

	if (!val_get_bool(v, "enabled", false)) {
		fputs("Server: none (-vnc)\n", out);
		return;
	}
	fprintf(out, "Server: %s:%s\nAuth: %s\n", val_get_str(v, "host", ""), val_get_str(v, "service", ""),
		val_get_str(v, "auth", ""));
	for (size_t i = 0; i < clients->n; i++)
		fprintf(out, "Client: %s\n", val_get_str(clients->item[i], "host", ""));
	if (!clients->n)
		fputs("Client: none\n", out);
}

struct value *cmd_set_password(struct cmd *c, const struct value *args)
{
	if (strcmp(val_get_str(args, "protocol", ""), "vnc"))
		return cmd_fail(c, CMD_GENERIC, "Parameter 'protocol': there is only vnc");
	if (!c->vm->vnc)
		return cmd_fail(c, CMD_GENERIC, "there is no VNC server (-vnc)");
	return cmd_result(vnc_set_password(c->vm->vnc, val_get_str(args, "password", ""), &c->err));
}

struct value *cmd_change_vnc_password(struct cmd *c, const struct value *args)
{
	if (!c->vm->vnc)
		return cmd_fail(c, CMD_GENERIC, "there is no VNC server (-vnc)");
	return cmd_result(vnc_set_password(c->vm->vnc, val_get_str(args, "password", ""), &c->err));
}
