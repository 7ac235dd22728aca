/*
 * Where processors meet the board: ports, interrupt acknowledge, SMM, the
 * coprocessor error line, reset.
 *
 * Callbacks of struct cpu_board come without the machine lock and take it, but for
 * those of the local APIC, which has its own: a processor that computes and takes its
 * ticks never waits for one that is busy with a device.
 */
#include "base/value.h"
#include "cpu/cpu.h"
#include "hw/acpi/cpuhp.h"
#include "hw/intc/lapic.h"
#include "hw/pc/pc_priv.h"
#include "hw/pci/i440fx.h"

#define ICR_INIT	0x500u		/* delivery mode */

/* ---- interrupts ---- */

static struct dev *apic_of(const struct pc *pc, const struct cpu *c)
{
	return pc->lapic[c->index];
}

static int intack(void *opaque, struct cpu *c)
{
	struct pc *pc = opaque;
	int vector = lapic_intack(apic_of(pc, c));

	if (atomic_load(&pc->tick.waiting)) {
		machine_lock(pc->m);
		pc_tick_taken(pc, vector);
		machine_unlock(pc->m);
	}
	return vector;
}

static uint64_t get_cr8(void *opaque, struct cpu *c)
{
	return lapic_get_cr8(apic_of(opaque, c));
}

static void set_cr8(void *opaque, struct cpu *c, uint64_t v)
{
	lapic_set_cr8(apic_of(opaque, c), v);
}

static bool msr_read(void *opaque, struct cpu *c, uint32_t msr, uint64_t *v)
{
	return lapic_msr_read(apic_of(opaque, c), msr, v);
}

static bool msr_write(void *opaque, struct cpu *c, uint32_t msr, uint64_t v)
{
	return lapic_msr_write(apic_of(opaque, c), msr, v);
}

void pc_nmi(struct pc *pc)
{
	for (int i = 0; i < pc->ncpus; i++)
		if (!pc->cpus[i]->absent)
			cpu_nmi(pc->cpus[i]);
}

/* ---- system management ---- */

void pc_smi(void *opaque, int n, int level)
{
	struct pc *pc = opaque;
	(void)n;
	if (level && pc->ncpus)
		cpu_request(pc->cpus[0], REQ_SMI);
}

/* SMRAM is open while any processor is in SMM; c->in_smm says already what c is. */
static void smm(void *opaque, struct cpu *c, bool in_smm)
{
	struct pc *pc = opaque;
	bool any = in_smm;

	(void)c;
	if (!pc->host)
		return;
	machine_lock(pc->m);
	for (int i = 0; i < pc->ncpus; i++)
		any |= pc->cpus[i]->in_smm;
	pci_host_smm(pc->host, any);
	machine_unlock(pc->m);
}

/* ---- coprocessor error: IRQ 13, cleared by a write to port 0xf0 ---- */

static void ferr(void *opaque, struct cpu *c)
{
	struct pc *pc = opaque;
	(void)c;
	machine_lock(pc->m);
	irq_set(pc->m->isa_irq[13], 1);
	machine_unlock(pc->m);
}

static uint32_t ferr_read(void *opaque, uint16_t off, int size)
{
	(void)opaque, (void)off;
	return (uint32_t)size_mask(size);
}

static void ferr_write(void *opaque, uint16_t off, int size, uint32_t v)
{
	struct pc *pc = opaque;
	(void)off, (void)size, (void)v;
	irq_set(pc->m->isa_irq[13], 0);
}

const struct port_ops pc_ferr_ops = { ferr_read, ferr_write, 1, 1 };

/* ---- the rest ---- */

static uint32_t port_in(void *opaque, uint16_t port, int size)
{
	return machine_port_in(((struct pc *)opaque)->m, port, size);
}

static void port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	machine_port_out(((struct pc *)opaque)->m, port, size, v);
}

static unsigned port_in_run(void *opaque, struct cpu *c, uint16_t port, int size, void *buf, unsigned n)
{
	return machine_port_in_run(((struct pc *)opaque)->m, c, port, size, buf, n);
}

static unsigned port_out_run(void *opaque, struct cpu *c, uint16_t port, int size, const void *buf, unsigned n)
{
	return machine_port_out_run(((struct pc *)opaque)->m, c, port, size, buf, n);
}

static uint64_t now_ns(void *opaque)
{
	return machine_now_ns(((struct pc *)opaque)->m);
}

static uint64_t wall_ns(void *opaque)
{
	struct pc *pc = opaque;
	machine_lock(pc->m);
	int64_t ns = clock_wall(&pc->m->clock);
	machine_unlock(pc->m);
	return ns > 0 ? (uint64_t)ns : 0;
}

static void send_ipi(void *opaque, struct cpu *to, uint32_t icr)
{
	lapic_command(apic_of(opaque, to), icr);
}

static void perf_interrupt(void *opaque, struct cpu *c)
{
	lapic_perf(apic_of(opaque, c));
}

static void on_shutdown(void *opaque, struct cpu *c)
{
	struct pc *pc = opaque;
	(void)c;
	machine_lock(pc->m);
	machine_request(pc->m, MACHINE_RESET, 0);
	machine_unlock(pc->m);
}

struct cpu_board pc_cpu_board(struct pc *pc)
{
	return (struct cpu_board){
		.opaque = pc, .port_in = port_in, .port_out = port_out, .port_in_run = port_in_run,
		.port_out_run = port_out_run, .intack = intack,
		.get_cr8 = get_cr8, .set_cr8 = set_cr8, .msr_read = msr_read, .msr_write = msr_write,
		.ferr = ferr, .perf_interrupt = perf_interrupt, .now_ns = now_ns, .wall_ns = wall_ns, .send_ipi = send_ipi, .shutdown = on_shutdown, .smm = smm,
	};
}

/* ---- processors that come and go ---- */

int pc_cpus_present(const struct pc *pc)
{
	int n = 0;

	for (int i = 0; i < pc->cfg.ncpus; i++)
		n += !pc->cpuhp || cpuhp_present(pc->cpuhp, i);
	return n;
}

/* One that has gone waits as after INIT, and nobody can wake it. */
static void cpu_changed(void *opaque, int i, bool present)
{
	struct pc *pc = opaque;
	struct value *told;
	char id[CPUHP_ID];

	if (i >= pc->ncpus || pc->cpus[i]->absent == !present)
		return;
	pc->cpus[i]->absent = !present;
	if (present)
		return;
	lapic_command(pc->lapic[i], ICR_INIT);
	if (!cpuhp_id(pc->cpuhp, i, id))
		return;
	told = val_dict();
	val_add_str(told, "device", id);
	val_add(told, "path", val_strf("/machine/peripheral/%s", id));
	machine_event(pc->m, "DEVICE_DELETED", told);
}

bool pc_cpu_places(struct pc *pc, struct err *e)
{
	int there = pc->cfg.online ? pc->cfg.online : pc->cfg.ncpus;

	if (there == pc->cfg.ncpus)
		return true;
	if (!pc->pm)
		return err_set(e, "-smp: processors can be added later by ACPI only, which board %s does not have here",
			       pc->board->name);
	pc->cpuhp = pc_part(pc, &cpuhp_type, e, "%s", "");
	if (pc->cpuhp)
		cpuhp_connect(pc->cpuhp, pc->pm, pc->cfg.ncpus, there, cpu_changed, pc);
	return pc->cpuhp;
}

bool pc_cpu_id(const struct pc *pc, int n, char id[PC_CPU_ID])
{
	return pc->cpuhp && cpuhp_id(pc->cpuhp, n, id);
}
_Static_assert(PC_CPU_ID == CPUHP_ID, "names fit");

bool pc_plug_cpu(struct pc *pc, int n, const char *id, struct err *e)
{
	if (!pc->cpuhp || cpuhp_present(pc->cpuhp, n))
		return err_set(e, "processor %d is there already", n);
	cpu_reset(pc->cpus[n]);
	cpuhp_plug(pc->cpuhp, n, id);
	return true;
}

bool pc_unplug_cpu(struct pc *pc, int n, struct err *e)
{
	if (!pc->cpuhp || n == 0 || !cpuhp_present(pc->cpuhp, n))
		return err_set(e, "processor %d cannot be taken away", n);
	cpuhp_unplug(pc->cpuhp, n);
	return true;
}

void pc_set_cpus(struct pc *pc, struct cpu **cpus, int n)
{
	pc->cpus = cpus;
	pc->ncpus = n;
	pc->m->cpus = cpus;
	pc->m->n_cpus = n;
	for (int i = 0; i < n && i < pc->cfg.ncpus; i++)
		if (pc->lapic[i])
			lapic_connect_cpu(pc->lapic[i], cpus[i]);
		else
			cpus[i]->is_bsp = false;
	for (int i = 0; i < n && pc->cpuhp; i++)
		cpus[i]->absent = !cpuhp_present(pc->cpuhp, i);
}
