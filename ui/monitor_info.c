/* What `info` shows. vCPUs are held while their registers are read. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "cpu/dump.h"
#include "cpu/phys.h"
#include "hw/backend/net.h"
#include "hw/core/dev.h"
#include "hw/pc/pc.h"
#include "hw/usb/usb.h"
#include "tcg/run.h"
#include "ui/keyval.h"
#include "ui/monitor_priv.h"

void mon_choose_cpu(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	uint64_t n;

	if (parse_num(a->word[0], &n) && n < (uint64_t)mon->vm->ncpus)
		mon->cpu = (int)n;
	else
		fprintf(out, "cpu: expected a number from 0 to %d\n", mon->vm->ncpus - 1);
}

void mon_info_registers(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	bool all = a->n && !strcmp(a->word[0], "-a");

	vm_hold(mon->vm);
	for (int i = all ? 0 : mon->cpu; i < (all ? mon->vm->ncpus : mon->cpu + 1); i++) {
		fprintf(out, "\nCPU#%d\n", i);
		cpu_dump(mon->vm->vcpus[i].cpu, out, true);
	}
	vm_release(mon->vm);
}

void mon_info_jit(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	char text[2048];

	(void)a;
	vm_hold(mon->vm);
	tcg_stats_text(mon->vm->vcpus[0].cpu, text, sizeof(text));
	fprintf(out, "accelerator       %s\n%s", mon->vm->ops->name, text);
	vm_release(mon->vm);
}

/* ---- memory and ports ---- */

static void one_range(void *opaque, const struct phys_range *r)
{
	const char *kind = r->rram ? (r->wram ? "ram" : "rom") : r->ops ? "i/o" : "none";

	fprintf(opaque, "  %016llx-%016llx %-4s %s\n", (unsigned long long)r->pa,
		(unsigned long long)(r->pa + r->size - 1), kind, r->name ? r->name : "");
}

static void one_port(void *opaque, uint16_t base, unsigned n, const char *name)
{
	fprintf(opaque, "  %04x-%04x %s\n", base, base + n - 1, name ? name : "");
}

void mon_info_mtree(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	fputs("memory:\n", out);
	phys_each(mon->vm->m->phys, one_range, out);
	fputs("I/O ports:\n", out);
	port_each(mon->vm->m, one_port, out);
}

/* ---- devices ---- */

void mon_info_irq(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	static const char *const controllers[] = { "pic", "i8259", "ioapic", "lapic", "apic" };

	(void)a;
	for (struct dev *d = mon->vm->m->devs; d; d = d->next)
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
			if (strstr(d->type->name, controllers[i])) {
				fprintf(out, "%s:\n", d->id);
				dev_dump(d, out);
				break;
			}
}

void mon_info_lapic(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	int n = 0;

	(void)a;
	for (struct dev *d = mon->vm->m->devs; d; d = d->next)
		if (!strcmp(d->type->name, "apic") && n++ == mon->cpu) {
			fprintf(out, "%s:\n", d->id);
			dev_dump(d, out);
			return;
		}
	fputs("this processor has no local APIC\n", out);
}

static void one_rom(void *opaque, const struct phys_range *r)
{
	if (r->rram && !r->wram)
		fprintf(opaque, "addr=%016llx size=0x%06llx mem=rom name=\"%s\"\n", (unsigned long long)r->pa,
			(unsigned long long)r->size, r->name ? r->name : "");
}

void mon_info_roms(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	phys_each(mon->vm->m->phys, one_rom, out);
}

void mon_info_numa(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)mon, (void)a;
	fputs("0 nodes\n", out);
}

void mon_boot_set(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	char *order = a->word[0][strspn(a->word[0], "abcdnp")] ? NULL : strdup(a->word[0]);

	if (!order) {
		fputs("boot_set: expected letters a and b (floppy), c (disk), d (CD), n (network)\n", out);
		return;
	}
	free(mon->vm->boot_set);
	mon->vm->boot_set = order;
	mon->vm->boot_once = NULL;
	pc_set_boot_order(mon->vm->pc, order);
}

/* ---- by path and by name ---- */

static void tree(struct monitor *mon, bool user, FILE *out)
{
	for (const struct dev *d = mon->vm->m->devs; d; d = d->next)
		if (d->user == user)
			fprintf(out, "    /%s (%s)\n", d->id, d->type->name);
}

void mon_info_qom_tree(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	fputs("/machine\n  /peripheral (container)\n", out);
	tree(mon, true, out);
	fputs("  /unattached (container)\n", out);
	tree(mon, false, out);
	for (int i = 0; i < mon->vm->ncpus; i++)
		fprintf(out, "    /cpu[%d] (x86_64-cpu)\n", i);
}

static void properties(const struct dev *d, const struct prop *p, FILE *out)
{
	char text[256];

	for (; p && p->name; p++) {
		dev_prop_text(d, p, text, sizeof(text));
		fprintf(out, "    %s = %s\n", p->name, text);
	}
}

void mon_info_qtree(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	for (const struct dev *d = mon->vm->m->devs; d; d = d->next) {
		fprintf(out, "  dev: %s, id \"%s\"\n", d->type->name, d->id);
		properties(d, d->type->props, out);
		properties(d, d->type->bus_props, out);
	}
}

void mon_info_usb(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	for (const struct dev *d = mon->vm->m->devs; d; d = d->next) {
		const struct usb_dev *u = d->type->bus && !strcmp(d->type->bus, "usb") ? (const struct usb_dev *)d : NULL;
		if (u && u->port)
			fprintf(out, "  Device %s.%d, Port %s, Speed %s Mb/s, Product %s, ID: %s\n", u->bus->names[0] + 8,
				u->addr, u->port->path, usb_speed_text(u->speed), u->class->desc->name, d->id);
	}
}

static const struct net *as_net(const struct backend *b)
{
	return strcmp(b->kind, "netdev") ? NULL : b->p;
}

void mon_info_network(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	for (const struct backend *b = mon->vm->m->backends; b; b = b->next) {
		const struct net *n = as_net(b);
		if (n)
			fprintf(out, "%s: %s%s%s, %u frames wait\n", n->id, n->ops->name,
				n->front ? "" : " (no card)", n->down ? " (link down)" : "", n->n_waiting);
	}
}

void mon_info_usernet(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	for (const struct backend *b = mon->vm->m->backends; b; b = b->next) {
		const struct net *n = as_net(b);
		char *text = n && n->ops->connections ? n->ops->connections(b->p) : NULL;
		if (text)
			fprintf(out, "%s:\n%s", n->id, text);
		free(text);
	}
}

void mon_info_history(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	const char *line;

	(void)a;
	for (int i = 0; (line = editor_remembered(mon->editor, i)); i++)
		fprintf(out, "%d: '%s'\n", i, line);
}
