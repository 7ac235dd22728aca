/* See guest.h. */
#include "tests/insn/guest.h"

#include <criterion/criterion.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/seg.h"
#include "tcg/run.h"

static void port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	struct guest *g = opaque;

	(void)port;
	(void)size;
	(void)v;
	cpu_request(g->c, REQ_EXIT);
}

static void shutdown(void *opaque, struct cpu *c)
{
	struct guest *g = opaque;

	g->shut_down = true;
	cpu_request(c, REQ_EXIT);
}

/* Page tables stand in the area, where the host has nothing of use to the guest. */
enum { TABLES = AREA + 0x2000 };

static void put_entry(struct guest *g, int level, unsigned i, uint64_t v)
{
	st64(g->ram->host + (TABLES - AREA) + level * 4096 + 8 * i, v);
}

/* Identity; the second half of the data as the host has it. */
static void make_tables(struct guest *g, bool is64, enum host_protect protect)
{
	static const uint64_t rights[] = { 3, 1, 0 };

	put_entry(g, 0, 0, (TABLES + 0x1000) | 3);
	put_entry(g, 1, 0, (TABLES + 0x2000) | (is64 ? 3 : 1));
	put_entry(g, 2, AREA >> 21, (TABLES + 0x3000) | 3);
	for (unsigned i = 0; i < AREA_SIZE / 4096; i++)
		put_entry(g, 3, (AREA >> 12 & 511) + i, (AREA + i * 4096) | 3);
	put_entry(g, 3, (DATA + DATA_SIZE / 2) >> 12 & 511, (DATA + DATA_SIZE / 2) | rights[protect]);
	g->c->cr4 |= CR4_PAE;
	g->c->cr0 |= CR0_PG | CR0_WP;
	g->c->cr3 = is64 ? TABLES : TABLES + 0x1000;
	mmu_flush(g->c, false);
	if (!is64)
		mmu_load_pdptes(g->c);
}

static void make_segments(struct guest *g, enum host_code code)
{
	uint32_t big = code == HOST_CODE16 ? 0 : SEG_G | SEG_DB, limit = code == HOST_CODE16 ? 0xffff : ~0u;
	uint64_t cs = code == HOST_CODE16 ? CODE_BASE16 : 0, ds = code == HOST_CODE16 ? DATA_BASE16 : 0;

	for (int s = ES; s <= GS; s++)
		if (s == CS)
			seg_set(g->c, s, 8, cs, limit, code == HOST_CODE64 ? SEG_G | SEG_L | 0x9b : big | 0x9b);
		else
			seg_set(g->c, s, 16, ds, limit, big | 0x93);
}

void guest_init(struct guest *g, enum host_code code, enum host_protect protect, const struct accel_ops *ops)
{
	bool is64 = code == HOST_CODE64;
	struct err e = { "" };

	g->phys = phys_new();
	g->ram = phys_ram_new(g->phys, "ram", AREA_SIZE, &e);
	cr_assert(g->ram, "%s", e.msg);
	struct phys_range r = { .pa = AREA, .size = AREA_SIZE, .rram = g->ram, .wram = g->ram, .name = "ram" };
	cr_assert(phys_map(g->phys, &r, &e), "%s", e.msg);
	struct cpu_config cfg = { .model = "max", .phys = g->phys,
		.board = { .opaque = g, .port_out = port_out, .shutdown = shutdown } };
	g->c = cpu_new(&cfg, &e);
	cr_assert(g->c, "%s", e.msg);
	g->c->ops = ops;
	if (ops) {
		cr_assert(ops->create(g->c, &e), "%s", e.msg);
		tcg_set_hot(g->c, 0);		/* no timer's signals while the host runs odd code */
	}
	g->c->cr0 |= CR0_PE;
	if (is64)
		g->c->efer |= EFER_LME | EFER_LMA;
	make_segments(g, code);
	g->c->idtr.limit = 0;
	make_tables(g, is64, protect);
	cpu_update_mode(g->c);
}

void guest_run(struct guest *g, uint64_t rip)
{
	g->c->rip = rip;
	g->c->halted = g->c->wait_sipi = g->shut_down = false;
	g->c->ops->run(g->c);
}
