/*
 * The bench that device tests stand on.
 */
#include <criterion/criterion.h>

#include "tests/bench.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "hw/backend/drive.h"
#include "hw/pc/types.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/pci.h"

static uint64_t mono_ns(void *opaque) { return ((struct bench *)opaque)->mono; }
static uint64_t wall_ns(void *opaque) { return ((struct bench *)opaque)->wall; }

static void watch(void *opaque, int n, int level)
{
	struct bench_line *l = (struct bench_line *)opaque + n;

	l->rises += level && !l->level;
	l->level = level != 0;
}

struct irq bench_line(struct bench *b, int i)
{
	return irq_make(watch, b->line, i);
}

static void record(struct chr *c, const uint8_t *p, size_t n)
{
	struct bench *b = container_of(c, struct bench, chr);

	for (; n-- && b->n_sent < (int)sizeof(b->sent); p++)
		b->sent[b->n_sent++] = *p;
}

static void keep(struct chr *c)
{
	(void)c;
}

static const struct chr_ops chr_ops = { .name = "bench", .write = record, .free = keep };

static void on_request(void *opaque, enum machine_request what, int arg)
{
	struct bench *b = opaque;

	b->requests[what]++;
	b->request_arg = arg;
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct bench *b = opaque;

	b->msi_addr = addr;
	b->msi_data = data;
	b->n_msi++;
}

void bench_machine(struct bench *b)
{
	struct clock_host host = { mono_ns, wall_ns, b };

	memset(b, 0, sizeof(*b));
	b->mono = 1000;
	b->wall = 1150000000ull * NS_PER_SEC;
	b->m = machine_new(dev_types, &host, &b->err);
	cr_assert(b->m, "%s", b->err.msg);
	for (int i = 0; i < MACHINE_N_ISA_IRQS; i++)
		b->m->isa_irq[i] = irq_make(watch, b->isa, i);
	b->m->on_request = on_request;
	b->m->request_opaque = b;
	b->m->msi = on_msi;
	b->m->msi_opaque = b;
	b->chr = (struct chr){ .ops = &chr_ops, .m = b->m, .id = strdup("bench"), .open = true };
	b->m->chrs = &b->chr;
	clock_start(&b->m->clock);
	machine_lock(b->m);
}

void bench_open(struct bench *b, const struct dev_type *t, const char *props)
{
	bench_machine(b);
	b->dev = dev_make(b->m, t, NULL, props, &b->err);
	cr_assert(b->dev, "%s", b->err.msg);
}

struct drive *bench_drive(struct bench *b, const char *id, const char *path, bool readonly)
{
	struct drive_options o = { .id = id, .image = { .file = path, .format = "raw", .readonly = readonly } };
	struct drive *d = drive_new(b->m, &o, &b->err);

	cr_assert(d, "%s", b->err.msg);
	return d;
}

void bench_settle(struct bench *b)
{
	drive_drain(b->m, NULL);
}

static int route(int slot, int pin)
{
	return (slot + pin) & 3;
}

struct ram *bench_open_pci(struct bench *b, uint64_t size)
{
	struct ram *ram;

	bench_open(b, &i440fx_type, "addr=0");
	b->m->pci->map_irq = route;
	for (int i = 0; i < 4; i++)
		b->m->pci->irq[i] = bench_line(b, i);
	if (!size)
		return NULL;
	ram = phys_ram_new(b->m->phys, "ram", size, &b->err);
	cr_assert(ram, "%s", b->err.msg);

	struct phys_range all = { .pa = 0, .size = size, .rram = ram, .wram = ram, .name = "ram" };

	cr_assert(phys_map(b->m->phys, &all, &b->err), "%s", b->err.msg);
	return ram;
}

bool bench_intx(const struct bench *b)
{
	return b->line[0].level || b->line[1].level || b->line[2].level || b->line[3].level;
}

void bench_close(struct bench *b)
{
	if (!b->m)
		return;
	while (b->m->devs) {
		struct dev *last = b->m->devs;
		while (last->next)
			last = last->next;
		dev_free(last);
	}
	drive_free_all(b->m);
	machine_unlock(b->m);
	machine_set_current_cpu(NULL);
	machine_free(b->m);
	for (size_t i = 0; i < ARRAY_LEN(b->cpu); i++)
		free(b->cpu[i]);
	memset(b, 0, sizeof(*b));
}

void bench_cpus(struct bench *b, int n)
{
	for (int i = 0; i < n; i++) {
		struct cpu *c = aligned_alloc(4096, align_up(sizeof(*c), 4096));

		memset(c, 0, sizeof(*c));
		c->index = i;
		c->apic_id = (uint32_t)i;
		c->is_bsp = i == 0;
		c->feat[CPUID_APIC >> 5] |= 1u << (CPUID_APIC & 31);
		c->feat[CPUID_X2APIC >> 5] |= 1u << (CPUID_X2APIC & 31);
		c->phys_bits = 40;
		c->tsc_khz = 1000000;
		b->cpu[i] = c;
	}
	machine_set_current_cpu(b->cpu[0]);
}

void bench_run(struct bench *b, uint64_t ns)
{
	struct clock *c = &b->m->clock;
	uint64_t end = clock_now(c) + ns;

	while (clock_next(c) <= end) {
		uint64_t t = clock_next(c), now = clock_now(c);

		if (t > now) {
			b->mono += t - now;
			b->wall += t - now;
		}
		clock_run(c);
	}
	b->wall += end - clock_now(c);
	b->mono += end - clock_now(c);
}

int bench_type(struct bench *b, const void *p, int n)
{
	int room = chr_room(&b->chr);

	n = n < room ? n : room;
	if (n > 0)
		chr_input(&b->chr, p, n);
	return n;
}
