/*
 * A vCPU in snapshots: every row of cpu/regs.def comes back, and every byte of a
 * processor's state is a row or known not to be one.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/regs.h"
#include "cpu/tsc.h"
#include "hw/core/bus.h"
#include "hw/core/snapshot_priv.h"
#include "hw/pc/types.h"

struct one {
	struct machine *m;
	struct cpu *c;
	struct err e;
};

static void open_one(struct one *o, const char *model)
{
	o->m = machine_new(dev_types, NULL, &o->e);
	cr_assert(o->m);
	machine_lock(o->m);
	struct cpu_config cfg = { .model = model, .phys = o->m->phys, .x2apic = true };
	o->c = cpu_new(&cfg, &o->e);
	cr_assert(o->c, "%s", o->e.msg);
	tsc_hold(o->m->phys);
}

static void close_one(struct one *o)
{
	cpu_free(o->c);
	machine_unlock(o->m);
	machine_free(o->m);
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
	return *x;
}

/* Rows that follow from others, or that belong to whoever runs the vCPU. */
static bool follows(const char *name)
{
	return !strcmp(name, "tsc_offset") || !strcmp(name, "request") || !strncmp(name, "pmu_", 4);
}

/* Registers are anything; what is pending or blocked is one bit. */
static void fill(struct cpu *c, uint64_t seed)
{
	uint64_t x = 88172645463325252ull + seed;

	for (unsigned i = 0; i < n_cpu_regs; i++) {
		uint8_t *p = (uint8_t *)c + cpu_regs[i].where;

		if (follows(cpu_regs[i].name) || !strcmp(cpu_regs[i].name, "svm_guest"))
			continue;
		for (unsigned k = 0; k < cpu_regs[i].bytes; k++)
			p[k] = (uint8_t)(cpu_regs[i].bytes == 1 ? next(&x) >> 20 & 1 : next(&x) >> 20);
	}
	c->eflags = (c->eflags & ~FL_ARITH) | 2;
	st32(c->xsave + 24, (uint16_t)next(&x));	/* MXCSR, and the header of the area */
	memset(c->xsave + 512, 0, 64);
	c->xsave[512] = 7;
	c->tsc_held = next(&x);
}

Test(snapshot_cpu, every_register_comes_back)
{
	static struct one a, b;

	open_one(&a, "max");
	open_one(&b, "max");
	for (uint64_t seed = 1; seed < 30; seed++) {
		struct state_buf s = { 0 };
		struct section in;

		fill(a.c, seed);
		fill(b.c, seed + 1000);
		snapshot_put_cpu(&s, a.c);
		cr_assert(section_parse(s.p, (uint32_t)s.n, &in, &b.e), "%s", b.e.msg);
		cr_assert(snapshot_cpu_fits(&in, b.c, &b.e), "%s", b.e.msg);
		snapshot_load_cpu(&in, b.c);
		for (unsigned i = 0; i < n_cpu_regs; i++)
			cr_expect(follows(cpu_regs[i].name)
				  || !memcmp((char *)a.c + cpu_regs[i].where, (char *)b.c + cpu_regs[i].where,
					     cpu_regs[i].bytes), "%s", cpu_regs[i].name);
		cr_expect_eq(a.c->tsc_held, b.c->tsc_held);
		state_buf_free(&s);
	}
	close_one(&a);
	close_one(&b);
}

Test(snapshot_cpu, the_counter_goes_on_from_where_it_stood)
{
	static struct one a, b;
	struct state_buf s = { 0 };
	struct section in;

	open_one(&a, "max");
	open_one(&b, "max");
	a.c->tsc_held = 0x123456789abcull;
	snapshot_put_cpu(&s, a.c);
	cr_assert(section_parse(s.p, (uint32_t)s.n, &in, &b.e));
	snapshot_load_cpu(&in, b.c);
	tsc_release(b.m->phys);
	uint64_t passed = tsc_own(b.c) - 0x123456789abcull;
	cr_expect_lt(passed, b.c->tsc_khz * 10000, "%llu ticks", (unsigned long long)passed);
	state_buf_free(&s);
	close_one(&a);
	close_one(&b);
}

Test(snapshot_cpu, another_kind_of_processor_is_refused)
{
	static struct one a, b;
	struct state_buf s = { 0 };
	struct section in;

	open_one(&a, "max");
	open_one(&b, "max,-aes");
	snapshot_put_cpu(&s, a.c);
	cr_assert(section_parse(s.p, (uint32_t)s.n, &in, &b.e));
	cr_expect_not(snapshot_cpu_fits(&in, b.c, &b.e));
	cr_expect(strstr(b.e.msg, "feature aes"), "%s", b.e.msg);
	close_one(&b);
	open_one(&b, "qemu64");
	cr_expect_not(snapshot_cpu_fits(&in, b.c, &b.e));
	cr_expect(strstr(b.e.msg, "-cpu"), "%s", b.e.msg);
	state_buf_free(&s);
	close_one(&a);
	close_one(&b);
}

/* The host would fault where they are loaded. */
Test(snapshot_cpu, registers_no_processor_has_are_refused)
{
	static const size_t at[] = { 26, 512 + 1, 512 + 7, 520, 575 };
	static struct one a;
	struct section in;

	open_one(&a, "max");
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct state_buf s = { 0 };

		a.c->xsave[at[i]] ^= 0x80;
		snapshot_put_cpu(&s, a.c);
		cr_assert(section_parse(s.p, (uint32_t)s.n, &in, &a.e));
		cr_expect_not(snapshot_cpu_fits(&in, a.c, &a.e), "byte %zu", at[i]);
		cr_expect(strstr(a.e.msg, "no processor has"), "%s", a.e.msg);
		a.c->xsave[at[i]] ^= 0x80;
		state_buf_free(&s);
	}
	close_one(&a);
}

/* ---- nothing is forgotten ---- */

/* Parts of struct cpu that are no state of the guest, and why. */
static const struct { size_t at, n; const char *why; } no_state[] = {
#define NO(f, why) { offsetof(struct cpu, f), sizeof(((struct cpu *)0)->f), why }
#define RANGE(from, to, why) { offsetof(struct cpu, from), offsetof(struct cpu, to) - offsetof(struct cpu, from), why }
	NO(mode, "derived: cpu_update_mode()"), NO(tmp, "of the translator"), NO(note, "of generated code"), NO(bounce, "of the translator"),
	NO(tsc_offset, "made anew from tsc_held"), NO(accel, "of the accelerator"), NO(rf_found, "while an instruction runs"),
	NO(starting, "where it is late, a host's matter"), NO(first, "the same"),
	NO(vec_live, "false between runs"), NO(is_bsp, "configuration"), NO(absent, "of the device acpi-cpu-hotplug"),
	NO(dr[4], "does not exist"), NO(dr[5], "does not exist"),
	NO(pmu.since, "derived: pmu_loaded()"), NO(pmu.classes, "derived"), NO(pmu.on, "derived"), NO(pmu.split, "derived"),
#define SEG(s) NO(segs[s].rlimit, "derived: seg_update()"), NO(segs[s].wlimit, "derived: seg_update()")
	SEG(ES), SEG(CS), SEG(SS), SEG(DS), SEG(FS), SEG(GS), SEG(LDTR), SEG(TR),
#define HOST(s) NO(svm.host.s.rlimit, "derived: svm_loaded()"), NO(svm.host.s.wlimit, "derived: svm_loaded()")
	HOST(es), HOST(cs), HOST(ss), HOST(ds),
	RANGE(index, phys, "identity: must be the same, or the host's"),
	{ offsetof(struct cpu, phys), sizeof(struct cpu) - offsetof(struct cpu, phys), "surroundings" },
};

/* Bytes in front of an aligned field may be padding; more of them are not. */
static bool may_be_padding(size_t at, size_t end)
{
	return end - at < 8 ? end % 4 == 0 : end - at < 64 && end % 64 == 0;
}

Test(snapshot_cpu, every_field_is_saved_or_known_to_be_no_state)
{
	uint8_t *named = calloc(1, sizeof(struct cpu) + 1);

	cr_assert(named);
	for (unsigned i = 0; i < n_cpu_regs; i++)
		memset(named + cpu_regs[i].where, 1, cpu_regs[i].bytes);
	for (size_t i = 0; i < ARRAY_LEN(no_state); i++)
		memset(named + no_state[i].at, 1, no_state[i].n);
	named[sizeof(struct cpu)] = 1;
	for (size_t i = 0, end; i < sizeof(struct cpu); i = end + 1) {
		for (end = i; !named[end]; end++)
			;
		cr_expect(end == i || may_be_padding(i, end), "struct cpu, bytes %zu to %zu: neither in cpu/regs.def "
			  "nor known to be no state", i, end - 1);
	}
	free(named);
}
