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
	mmu_flush(c, false);
	return true;
}

void mmu_fini(struct cpu *c)
{
	free(c->mmu);
	c->mmu = NULL;
}
