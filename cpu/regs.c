/* The register table, and what has to follow a change of registers from outside. */
#include <string.h>

#include "cpu/mmu.h"
#include "cpu/pmu.h"
#include "cpu/regs.h"
#include "cpu/seg.h"
#include "cpu/svm.h"
#include "cpu/tlb.h"

const struct cpu_reg cpu_regs[] = {
#define REG(name, bytes, where, class) { name, bytes, offsetof(struct cpu, where), REG_##class },
#include "cpu/regs.def"
#undef REG
};
const unsigned n_cpu_regs = ARRAY_LEN(cpu_regs);

#define REG(name, bytes, where, class) \
	_Static_assert(sizeof(((struct cpu *)0)->where) == (bytes), name " has another width");
#include "cpu/regs.def"
#undef REG

const struct cpu_reg *cpu_reg_find(const char *name)
{
	for (unsigned i = 0; i < n_cpu_regs; i++)
		if (strcmp(cpu_regs[i].name, name) == 0)
			return &cpu_regs[i];
	return NULL;
}

void cpu_regs_loaded(struct cpu *c)
{
	for (int i = 0; i < NSEG; i++)
		seg_update(c, i);
	c->mmu->nested = c->svm.guest && c->svm.np;
	mmu_flush_all(c);
	mmu_switch_space(c, c->svm.guest ? c->svm.asid : 0);
	svm_loaded(c);
	mmu_update_watch(c);
	pmu_loaded(c);
	cpu_update_mode(c);
}
