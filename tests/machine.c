/* See machine.h. */
#include "tests/machine.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/seg.h"

enum { END_PORT = 0xf4, TRACE_PORT = 0x80 };

/* ---- the board ---- */

static _Thread_local struct cpu *current;	/* whose thread this is, of several */

static void port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	struct machine *m = opaque;

	(void)size;
	if (port == END_PORT)
		cpu_request(current ? current : m->c, REQ_EXIT);
	if (port != TRACE_PORT)
		return;
	if (m->n_outs < ARRAY_LEN(m->outs))
		m->outs[m->n_outs] = v;
	m->n_outs++;
	if (m->on_out)
		m->on_out(m, v);
}

static uint32_t port_in(void *opaque, uint16_t port, int size)
{
	(void)opaque;
	(void)size;
	return port * 0x01010101u;
}

static int intack(void *opaque, struct cpu *c)
{
	struct machine *m = opaque;
	int v = m->irq;

	m->irq = -1;
	cpu_clear_request(c, REQ_INTR);
	return v;
}

static void ferr(void *opaque, struct cpu *c)
{
	((struct machine *)opaque)->ferrs++;
	cpu_request(c, REQ_EXIT);
}

static void shutdown(void *opaque, struct cpu *c)
{
	((struct machine *)opaque)->shut_down = true;
	cpu_request(c, REQ_EXIT);
}

static void halted(void *opaque, struct cpu *c, bool on)
{
	struct machine *m = opaque;

	m->halts += on;
	if (on && m->end_at_halt)
		cpu_request(c, REQ_EXIT);
}

static void trace(struct machine *m, int kind, uint64_t off, int size, uint64_t v)
{
	m->trace = (m->trace ^ (uint64_t)kind << 60 ^ off << 48 ^ (uint64_t)size << 40 ^ v) * 0x9e3779b97f4a7c15ull;
}

static uint64_t device_read(void *opaque, uint64_t off, int size)
{
	struct machine *m = opaque;
	uint64_t v = ld_n(m->device + off, size);

	m->n_reads++;
	trace(m, 1, off, size, v);
	return v;
}

static void device_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct machine *m = opaque;

	m->n_writes++;
	trace(m, 2, off, size, v);
	st_n(m->device + off, size, v);
}

static const struct mmio_ops device_ops = { device_read, device_write, 8 };

/* ---- tables ---- */

static void put(struct machine *m, uint64_t pa, int size, uint64_t v)
{
	st_n(machine_mem(m, pa), size, v);
}

enum { PML4 = M_TABLES, PDPT = M_TABLES + 0x1000, PD = M_TABLES + 0x2000, PT = M_TABLES + 0x3000,
       PAE_PDPT = M_TABLES + 0x4000 };

static void make_page_tables(struct machine *m)
{
	put(m, PML4, 8, PDPT | 7);
	put(m, PDPT, 8, PD | 7);
	put(m, PAE_PDPT, 8, PD | 1);
	put(m, PD, 8, PT | 7);
	for (uint64_t va = 0; va < M_RAM_SIZE; va += 4096)
		put(m, PT + va / 512, 8, va | PTE_P | PTE_W | PTE_U);
}

/* Type and attribute bits as struct seg has them. */
enum {
	ATTR_CODE = 0x9b | SEG_G, ATTR_DATA = 0x93 | SEG_G | SEG_DB, ATTR_USER = 0x60,
};

static uint32_t code_attr(int bits)
{
	return ATTR_CODE | (bits == 64 ? SEG_L : bits == 32 ? SEG_DB : 0);
}

static void put_descriptor(struct machine *m, unsigned sel, uint32_t base, uint32_t limit, uint32_t attr)
{
	uint64_t at = M_GDT + (sel & ~7u);

	put(m, at, 4, (limit & 0xffff) | base << 16);
	put(m, at + 4, 4, (base >> 16 & 0xff) | attr << 8 | (limit & 0xf0000) | (base & 0xff000000));
}

static void make_descriptors(struct machine *m)
{
	put_descriptor(m, M_CODE0, 0, 0xfffff, code_attr(m->bits == 16 ? 32 : m->bits));
	put_descriptor(m, M_DATA0, 0, 0xfffff, ATTR_DATA);
	put_descriptor(m, M_USER_CODE, 0, 0xfffff, code_attr(m->bits) | ATTR_USER);
	put_descriptor(m, M_USER_DATA, 0, 0xfffff, ATTR_DATA | ATTR_USER);
	put_descriptor(m, M_TSS_SEL, M_TSS, 0xfff, 0x8b);
}

/* Gates of DPL 0, and in 64-bit code a stack from the TSS. */
static void make_idt(struct machine *m)
{
	for (unsigned v = 0; v < 256; v++) {
		uint64_t to = M_HANDLERS + v * 16, at = M_IDT + v * (m->bits == 64 ? 16 : 8);

		put(m, at, 4, (to & 0xffff) | M_CODE0 << 16);
		put(m, at + 4, 4, (to & 0xffff0000) | 0x8e00 | (m->bits == 64));
		if (m->bits == 64)
			put(m, at + 8, 8, 0);
	}
}

/* The I/O bitmap allows the two ports that tests use. */
static void make_tss(struct machine *m)
{
	if (m->bits == 64) {
		put(m, M_TSS + 4, 8, M_FAULT_STACK);
		put(m, M_TSS + 0x24, 8, M_FAULT_STACK);
	} else {
		put(m, M_TSS + 4, 4, M_FAULT_STACK);
		put(m, M_TSS + 8, 4, M_DATA0);
	}
	put(m, M_TSS + 0x66, 2, 0x68);
	memset(machine_mem(m, M_TSS + 0x68), 0xff, 33);
	for (int i = 0; i < 2; i++) {
		unsigned port = i ? END_PORT : TRACE_PORT;

		*machine_mem(m, M_TSS + 0x68 + port / 8) &= (uint8_t)~(1u << port % 8);
	}
}

static void make_handlers(struct machine *m)
{
	static const uint8_t end[] = { MACHINE_END, 0xf4 };

	for (unsigned v = 0; v < 256; v++)
		memcpy(machine_mem(m, M_HANDLERS + v * 16), end, sizeof(end));
}

/* ---- life ---- */

static void reset_cpu(const struct machine *m, struct cpu *c)
{
	uint32_t dpl = m->cpl ? ATTR_USER : 0;

	c->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_ET;
	c->cr3 = m->bits == 64 ? PML4 : PAE_PDPT;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->xcr0 = 7;
	c->efer = EFER_NXE | EFER_SCE | (m->bits == 64 ? EFER_LME | EFER_LMA : 0);
	for (int s = ES; s <= GS; s++)
		seg_set(c, s, m->cpl ? M_USER_DATA : M_DATA0, 0, ~0u, (uint16_t)(ATTR_DATA | dpl));
	seg_set(c, CS, m->cpl ? M_USER_CODE : M_CODE0, 0, ~0u, (uint16_t)(code_attr(m->bits) | dpl));
	seg_set(c, LDTR, 0, 0, 0, 0);
	seg_set(c, TR, M_TSS_SEL, M_TSS, 0xfff, 0x8b);
	c->gdtr = (struct dtr){ M_GDT, 0xff };
	c->idtr = (struct dtr){ M_IDT, m->bits == 64 ? 0xfff : 0x7ff };
	memset(c->regs, 0, sizeof(c->regs));
	c->regs[RSP] = m->cpl ? M_DATA + 0x800 : M_STACK;
	c->halted = c->shadow = c->wait_sipi = false;
	c->exc_vector = c->exc_delivering = -1;
	c->cr2 = 0;
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	atomic_fetch_and(&c->request, REQ_CALL | REQ_FLUSH);
	cpu_set_eflags(c, 2);
	cpu_update_mode(c);
}

void machine_reset(struct machine *m)
{
	reset_cpu(m, m->c);
	m->irq = -1;
	m->shut_down = false;
	m->n_outs = m->n_reads = m->n_writes = 0;
	m->trace = 1;
}

static struct cpu *make_cpu(struct machine *m, int index, int n)
{
	struct err e = { "" };
	struct cpu_config cfg = { .model = "max", .phys = m->phys, .tsc_khz = 1000000, .index = index,
		.apic_id = (uint32_t)index, .ncpus = (unsigned)n,
		.board = { .opaque = m, .port_in = port_in, .port_out = port_out, .intack = intack,
			   .ferr = ferr, .shutdown = shutdown, .halted = halted } };
	struct cpu *c = cpu_new(&cfg, &e);

	cr_assert(c, "%s", e.msg);
	return c;
}

/* All but the vCPUs. */
static void make_board(struct machine *m, int bits, int cpl)
{
	struct err e = { "" };

	memset(m, 0, sizeof(*m));
	m->bits = bits;
	m->cpl = cpl;
	m->phys = phys_new();
	m->ram = phys_ram_new(m->phys, "ram", M_RAM_SIZE, &e);
	cr_assert(m->ram, "%s", e.msg);
	struct phys_range ram = { .pa = 0, .size = M_RAM_SIZE, .rram = m->ram, .wram = m->ram, .name = "ram" };
	struct phys_range dev = { .pa = M_DEVICE, .size = 4096, .prio = 1, .ops = &device_ops, .opaque = m,
				  .name = "device" };
	cr_assert(phys_map(m->phys, &ram, &e) && phys_map(m->phys, &dev, &e), "%s", e.msg);
	make_page_tables(m);
	make_descriptors(m);
	make_idt(m);
	make_tss(m);
	make_handlers(m);
}

void machine_init(struct machine *m, int bits, int cpl, const struct accel_ops *ops)
{
	struct err e = { "" };

	make_board(m, bits, cpl);
	m->c = make_cpu(m, 0, 1);
	machine_reset(m);
	m->c->ops = ops;
	cr_assert(ops->create(m->c, &e), "%s", e.msg);
	if (bits != 64)
		mmu_load_pdptes(m->c);
}

void machine_init_smp(struct machine *m, int n, const struct accel_ops *ops)
{
	make_board(m, 64, 0);
	m->ops = ops;
	m->n_cpus = n;
	for (int i = 0; i < n; i++) {
		struct cpu *c = m->cpus[i] = make_cpu(m, i, n);

		c->ops = ops;
		reset_cpu(m, c);
		c->regs[RSP] = (uint64_t)(M_STACK - i * 0x800);
	}
	m->c = m->cpus[0];
}

void machine_fini(struct machine *m)
{
	if (!m->n_cpus) {
		m->c->ops->destroy(m->c);
		cpu_free(m->c);
	}
	for (int i = 0; i < m->n_cpus; i++)
		cpu_free(m->cpus[i]);
	phys_free(m->phys);
}

void machine_put(struct machine *m, uint64_t pa, const void *bytes, unsigned n)
{
	phys_write_buf(m->phys, pa, bytes, n);
}

void machine_map(struct machine *m, uint64_t va, uint64_t pte)
{
	put(m, PT + va / 512, 8, pte);
	mmu_flush_page(m->c, va);
}

/* ---- running ---- */

int machine_vector(const struct machine *m)
{
	uint64_t n = (m->c->rip - M_HANDLERS) / 16;

	return m->c->rip >= M_HANDLERS && n < 256 ? (int)n : -1;
}

int machine_run(struct machine *m, uint64_t rip)
{
	m->c->rip = rip;
	m->c->ops->run(m->c);
	return machine_vector(m);
}

struct runner {
	struct machine *m;
	struct cpu *c;
	pthread_barrier_t *all;
};

/* No accelerator comes or goes while another one runs. */
static void *run_one(void *arg)
{
	struct runner *r = arg;
	struct err e = { "" };

	current = r->c;
	cr_assert(r->m->ops->create(r->c, &e), "%s", e.msg);
	if (r->m->begin)
		r->m->begin(r->c);
	pthread_barrier_wait(r->all);
	r->m->ops->run(r->c);
	pthread_barrier_wait(r->all);
	if (r->m->end && r->c == r->m->c)
		r->m->end(r->m);
	pthread_barrier_wait(r->all);
	r->m->ops->destroy(r->c);
	return NULL;
}

void machine_run_smp(struct machine *m)
{
	struct runner r[M_MAX_CPUS];
	pthread_t thread[M_MAX_CPUS];
	pthread_barrier_t all;

	pthread_barrier_init(&all, NULL, (unsigned)m->n_cpus);
	for (int i = 0; i < m->n_cpus; i++) {
		r[i] = (struct runner){ m, m->cpus[i], &all };
		cr_assert_eq(pthread_create(&thread[i], NULL, run_one, &r[i]), 0);
	}
	for (int i = 0; i < m->n_cpus; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&all);
}

struct machine_frame machine_frame(const struct machine *m)
{
	int vector = machine_vector(m), w = m->bits == 64 ? 8 : 4;
	bool outer = m->bits == 64 || m->cpl;
	const uint8_t *top = machine_mem(m, outer ? M_FAULT_STACK : M_STACK);
	const uint8_t *p = top - (outer ? 2 * w : 0);
	struct machine_frame f = { .rsp = outer ? ld_n(p, w) : 0 };

	f.flags = ld_n(p - w, w);
	f.rip = ld_n(p - 3 * w, w);
	if (vector >= 0 && (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17))
		f.error = ld_n(p - 4 * w, w);
	return f;
}
