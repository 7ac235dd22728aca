/* Memory for what cpu/mmu.c remembers: the part that is not light. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cpu/tlb.h"

static void init_sites(struct cpu *c)
{
	uint64_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (uint64_t)(uintptr_t)c * 0x9e3779b97f4a7c15ull;
	c->nowhere = (r & 0x00fffffffffff000ull) | 0x5a00000000000000ull;
	memset(c->site_used, 1, sizeof(c->site_used));
	memset(c->run_used, 1, sizeof(c->run_used));
	mmu_drop_sites(c);
}

bool mmu_init(struct cpu *c, struct err *e)
{
	if (posix_memalign((void **)&c->mmu, 64, sizeof(*c->mmu))) {
		c->mmu = NULL;
		return err_set(e, "no memory for a processor's TLB");
	}
	memset(c->mmu, 0, sizeof(*c->mmu));
	c->mmu->pcid = c->mmu->space[0].pcid;
	c->mmu->large_seen = c->mmu->space[0].large_seen;
	c->mmu->huge_seen = c->mmu->space[0].huge_seen;
	c->mmu->space[0].valid = true;
	init_sites(c);
	mmu_flush(c, false);
	return true;
}

void mmu_fini(struct cpu *c)
{
	free(c->mmu);
	c->mmu = NULL;
}
