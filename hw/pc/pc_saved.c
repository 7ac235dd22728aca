/*
 * What the board holds beside its devices: levels of the lines between them, ticks that
 * are owed, the A20 gate.
 */
#include "hw/pc/pc_priv.h"

#define LINE(n)		STATE(pc, line[n].level)
static const struct state wires_table[] = {
	LINE(0), LINE(1), LINE(2), LINE(3), LINE(4), LINE(5), LINE(6), LINE(7),
	LINE(8), LINE(9), LINE(10), LINE(11), LINE(12), LINE(13), LINE(14), LINE(15),
	STATE(pc, tick.level), STATE(pc, tick.waiting), STATE(pc, tick.owed), { 0 }
};

static void wires_loaded(void *base)
{
	struct pc *pc = base;

	if (pc->tick.owed < 0 || pc->tick.owed > TICK_MAX_OWED)
		pc->tick.owed = 0;
}

static const struct state lines_table[] = {
	STATE(machine, a20), { 0 }
};

static void lines_loaded(void *base)
{
	struct machine *m = base;

	phys_set_a20(m->phys, m->a20);
}

void pc_add_saved(struct pc *pc)
{
	pc->wires = (struct saved_part){ .name = "wires", .version = 1, .table = wires_table, .base = pc,
					 .loaded = wires_loaded };
	pc->lines = (struct saved_part){ .name = "lines", .version = 1, .table = lines_table, .base = pc->m,
					 .loaded = lines_loaded };
	machine_add_saved(pc->m, &pc->wires);
	machine_add_saved(pc->m, &pc->lines);
}
