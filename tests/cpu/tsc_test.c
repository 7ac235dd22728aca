/* The time-stamp counter at a frequency of the user's. */
#include <criterion/criterion.h>

#include "cpu/insn.h"
#include "cpu/tsc.h"
#include "tests/cpu/harness.h"

static struct cpu *with(struct bench *b, const char *model)
{
	struct err e = { "" };
	struct cpu_config cfg = { .model = model, .ncpus = 1, .index = 1 };

	bench_fini(b);
	cfg.phys = b->phys = phys_new();
	struct cpu *c = cpu_new(&cfg, &e);
	cr_assert(c, "%s", e.msg);
	return c;
}

static bool inline_rdtsc(const struct cpu *c)
{
	return c->insn_feat[F_HOST_TSC >> 6] >> (F_HOST_TSC & 63) & 1;
}

Test(tsc, runs_at_the_frequency_asked_for)
{
	struct bench b;

	bench_init(&b);
	b.c = with(&b, "max,tsc-frequency=100000000");
	cr_expect(b.c->tsc_khz == 100000 && b.c->tsc_scale && !inline_rdtsc(b.c));
	cr_expect_lt(tsc_now(b.c), 100000000, "it begins at zero");
	b.c->tsc_offset = 0;
	uint64_t host = __builtin_ia32_rdtsc(), guest = tsc_now(b.c);
	double ratio = (double)host / (double)guest, expect = 4294967296.0 / (double)b.c->tsc_scale;
	cr_expect(ratio > expect * 0.9999 && ratio < expect * 1.0001, "%f %f", ratio, expect);
	bench_fini(&b);
}

Test(tsc, is_the_host_s_otherwise)
{
	struct bench b;

	bench_init(&b);
	b.c = with(&b, "max");
	cr_expect(!b.c->tsc_scale && inline_rdtsc(b.c));
	bench_fini(&b);
}
