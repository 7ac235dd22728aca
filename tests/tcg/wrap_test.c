/* Addresses at the upper end of 32-bit space in translated code. */
#include <criterion/criterion.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/phys.h"
#include "cpu/seg.h"
#include "tcg/run.h"

static void stop(void *opaque, uint16_t port, int size, uint32_t v)
{
	(void)port, (void)size, (void)v;
	cpu_request(opaque, REQ_EXIT);
}

static struct ram *ram_at(struct phys *p, uint64_t pa, uint64_t size)
{
	struct err e;
	struct ram *r = phys_ram_new(p, "test", size, &e);
	struct phys_range range = { .pa = pa, .size = size, .rram = r, .wram = r, .name = "test" };

	cr_assert(r && phys_map(p, &range, &e), "%s", e.msg);
	return r;
}

/* The base register wraps between two accesses that share a proof. */
Test(wrap, shared_proof_survives_a_base_that_wraps)
{
	static const uint8_t code[] = {
		0xbb, 4, 0, 0, 0,	/* mov ebx, 4 */
		0x8b, 0x43, 0xf0,	/* mov eax, [ebx - 16] */
		0x83, 0xeb, 8,		/* sub ebx, 8 */
		0x8b, 0x4b, 0xf4,	/* mov ecx, [ebx - 12] */
		0x83, 0xc3, 8,		/* add ebx, 8 */
		0x89, 0x43, 0xf4,	/* mov [ebx - 12], eax */
		0xe6, 0x80, 0xeb, 0xfe,	/* out 80h, al; jmp $ */
	};
	struct phys *p = phys_new();
	struct ram *low = ram_at(p, 0, 0x10000), *high = ram_at(p, 0xfffff000, 0x1000);
	struct cpu_config cfg = { .model = "max", .phys = p };
	struct err e;
	struct cpu *c = cpu_new(&cfg, &e);

	cr_assert(c, "%s", e.msg);
	c->board.port_out = stop;
	c->board.opaque = c;
	memcpy(low->host + 0x1000, code, sizeof(code));
	st32(high->host + 0xff4, 0x11111111);
	st32(high->host + 0xff0, 0x22222222);
	c->cr0 |= CR0_PE;
	seg_set(c, CS, 8, 0, ~0u, SEG_P | SEG_S | 0xb | SEG_DB | SEG_G);
	for (int s = 0; s < 4; s++)
		if (s != CS)
			seg_set(c, s, 16, 0, ~0u, SEG_P | SEG_S | 3 | SEG_DB | SEG_G);
	cpu_update_mode(c);
	c->rip = 0x1000;
	cr_assert(tcg_accel.create(c, &e), "%s", e.msg);
	for (int i = 0; i < 2; i++) {		/* the second time the page is known */
		c->rip = 0x1000;
		tcg_accel.run(c);
		cr_expect_eq(c->regs[RAX], 0x11111111);
		cr_expect_eq(c->regs[RCX], 0x22222222);
		cr_expect_eq(c->regs[RBX], 4);
		cr_expect_eq(ld32(high->host + 0xff8), 0x11111111);
	}
	tcg_accel.destroy(c);
	cpu_free(c);
	phys_free(p);
}
