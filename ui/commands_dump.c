/*
 * Commands that read the guest's memory as a whole: dump-guest-memory, info mem, info
 * tlb, gva2gpa, sum.
 *
 * Not modelled: dumps in the background; `detach` only adds the event.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/pte.h"
#include "ui/commands.h"
#include "ui/dump.h"
#include "ui/monitor_priv.h"
#include "ui/pagewalk.h"
#include "ui/vm.h"

struct value *cmd_dump_guest_memory(struct cmd *c, const struct value *args)
{
	const char *to = val_get_str(args, "protocol", "");
	struct dump_options o = {
		.file = !strncmp(to, "file:", 5) ? to + 5 : to, .fd = -1, .paging = val_get_bool(args, "paging", false),
		.filter = val_get(args, "begin") != NULL, .begin = (uint64_t)val_get_int(args, "begin", 0),
		.length = (uint64_t)val_get_int(args, "length", 0),
	};
	bool ok;

	if (c->qmp && strncmp(to, "file:", 5) && strncmp(to, "fd:", 3))
		return cmd_fail(c, CMD_GENERIC, "Parameter 'protocol': expected file:PATH or fd:NAME");
	if (!val_get(args, "begin") != !val_get(args, "length"))
		return cmd_fail(c, CMD_GENERIC, "Parameters 'begin' and 'length' go together");
	if (!strncmp(to, "fd:", 3) && (o.fd = commands_take_fd(c->vm, to + 3)) < 0)
		return cmd_fail(c, CMD_GENERIC, "File descriptor named '%.100s' not found", to + 3);
	vm_hold(c->vm);
	ok = dump_write(c->vm, &o, &c->err);
	vm_release(c->vm);
	if (ok && val_get_bool(args, "detach", false))
		machine_event(c->vm->m, "DUMP_COMPLETED", cmd_query_dump(c, args));
	return cmd_result(ok);
}

/* A dump is complete when the command returns, so none is ever under way. */
struct value *cmd_query_dump(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict(), *r = v;

	(void)c;
	if (val_get(args, "protocol")) {
		v = val_dict();
		val_add(v, "result", r);
	}
	val_add_str(r, "status", v == r ? "none" : "completed");
	val_add_int(r, "completed", 0);
	val_add_int(r, "total", 0);
	return v;
}

struct value *cmd_query_dump_guest_memory_capability(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)c, (void)args;
	val_append(val_add(v, "formats", val_list()), val_str("elf"));
	return v;
}

/* ---- page tables ---- */

#define MOST_LINES 100000

struct listing {
	FILE *out;
	struct page_run run;		/* info mem: not printed yet */
	int lines;
};

static bool one_translation(void *opaque, const struct page_run *r)
{
	struct listing *l = opaque;

	fprintf(l->out, "%016llx: %016llx %c%c%c%c%c%c%c %s\n", (unsigned long long)r->va, (unsigned long long)r->pa,
		r->nx ? 'X' : '-', r->entry & PTE_G ? 'G' : '-', r->size > 4096 ? 'P' : '-',
		r->entry & PTE_D ? 'D' : '-', r->entry & PTE_A ? 'A' : '-', r->user ? 'U' : '-',
		r->write ? 'W' : '-', r->size >= BIT(30) ? "1G" : r->size > 4096 ? r->size == BIT(22) ? "4M" : "2M" : "4K");
	return ++l->lines < MOST_LINES;
}

static void print_run(struct listing *l)
{
	const struct page_run *r = &l->run;

	if (r->size)
		fprintf(l->out, "%016llx-%016llx %016llx %cr%c%c\n", (unsigned long long)r->va,
			(unsigned long long)(r->va + r->size), (unsigned long long)r->size, r->user ? 'u' : '-',
			r->write ? 'w' : '-', r->nx ? '-' : 'x');
}

static bool one_mapping(void *opaque, const struct page_run *r)
{
	struct listing *l = opaque;
	struct page_run *m = &l->run;

	if (m->size && m->va + m->size == r->va && m->user == r->user && m->write == r->write && m->nx == r->nx) {
		m->size += r->size;
		return true;
	}
	print_run(l);
	*m = *r;
	return ++l->lines < MOST_LINES;
}

static void list_tables(struct monitor *mon, bool (*fn)(void *, const struct page_run *), FILE *out)
{
	struct listing l = { .out = out };
	struct cpu *c = mon_cpu(mon);

	vm_hold(mon->vm);
	if (!pagewalk_on(c))
		fputs("PG disabled\n", out);
	else if (!pagewalk(c, fn, &l))
		fputs("... and more tables than are worth reading\n", out);
	else
		print_run(&l);
	if (l.lines >= MOST_LINES)
		fputs("... and more\n", out);
	vm_release(mon->vm);
}

void mon_info_tlb(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	list_tables(mon, one_translation, out);
}

void mon_info_mem(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	(void)a;
	list_tables(mon, one_mapping, out);
}

/* ---- addresses ---- */

void mon_gva2gpa(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	uint64_t va, pa;
	bool ok;

	if (!mon_expr(mon, a->rest, &va, out))
		return;
	vm_hold(mon->vm);
	ok = mmu_probe(mon_cpu(mon), va, &pa);
	vm_release(mon->vm);
	if (ok)
		fprintf(out, "gpa: %#llx\n", (unsigned long long)pa);
	else
		fputs("Unmapped\n", out);
}

void mon_gpa2hva(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	struct phys_page page;
	uint64_t pa;

	if (!mon_expr(mon, a->rest, &pa, out))
		return;
	phys_lookup(mon->vm->m->phys, pa & ~0xfffull, &page);
	if (page.rhost)
		fprintf(out, "Host virtual address for 0x%llx (%s) is %p\n", (unsigned long long)pa, page.ram->name,
			(void *)(page.rhost + (pa & 0xfff)));
	else
		fprintf(out, "Memory at address 0x%llx is not RAM\n", (unsigned long long)pa);
}

/* The BSD checksum, which `sum` prints. */
void mon_sum(struct monitor *mon, const struct mon_args *a, FILE *out)
{
	uint64_t at, size;
	uint16_t sum = 0;

	if (!mon_expr(mon, a->word[0], &at, out) || !mon_expr(mon, a->word[1], &size, out))
		return;
	if (size > BIT(32)) {
		fputs("sum: expected at most 4 GiB\n", out);
		return;
	}
	for (uint8_t buf[4096]; size;) {
		uint64_t n = min_u64(size, sizeof(buf));

		phys_read_buf(mon->vm->m->phys, at, buf, n);
		for (uint64_t i = 0; i < n; i++)
			sum = (uint16_t)((sum >> 1 | sum << 15) + buf[i]);
		at += n;
		size -= n;
	}
	fprintf(out, "%05d\n", sum);
}
