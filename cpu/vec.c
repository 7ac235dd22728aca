/* Vector rows in C; see vec.h. Not modelled: every row. */
#include "cpu/vec.h"

void vec_exec(struct cpu *c, const struct insn *in, uint8_t *mem)
{
	(void)in, (void)mem;
	cpu_raise(c, EXC_UD);
}
