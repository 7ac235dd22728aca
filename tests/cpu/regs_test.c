/* The register table: names are unique, rows do not overlap, loading derives the rest. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/regs.h"
#include "cpu/seg.h"
#include "tests/cpu/harness.h"

Test(regs, names_are_unique_and_fields_do_not_overlap)
{
	for (unsigned i = 0; i < n_cpu_regs; i++) {
		const struct cpu_reg *a = &cpu_regs[i];
		cr_expect_eq(cpu_reg_find(a->name), a, "%s", a->name);
		for (unsigned k = 0; k < i; k++) {
			const struct cpu_reg *o = &cpu_regs[k];
			cr_expect(a->where >= o->where + o->bytes || o->where >= a->where + a->bytes,
				  "%s and %s", a->name, o->name);
		}
	}
	cr_expect_null(cpu_reg_find("rzx"));
}

Test(regs, copied_rows_make_the_same_processor)
{
	static struct bench a, b;
	bench_long(&a, 3);
	bench_init(&b);
	for (unsigned i = 0; i < n_cpu_regs; i++)
		memcpy((char *)b.c + cpu_regs[i].where, (char *)a.c + cpu_regs[i].where, cpu_regs[i].bytes);
	cpu_regs_loaded(b.c);
	cr_expect_eq(a.c->mode, b.c->mode);
	cr_expect_eq(memcmp(a.c->segs, b.c->segs, sizeof(a.c->segs)), 0);
	bench_fini(&a);
	bench_fini(&b);
}
