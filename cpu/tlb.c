/* Memory for what cpu/mmu.c remembers: the part that is not light. */
#include <stdlib.h>
#include <string.h>

#include "cpu/tlb.h"

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
	mmu_flush(c, false);
	return true;
}

void mmu_fini(struct cpu *c)
{
	free(c->mmu);
	c->mmu = NULL;
}
