/*
 * State taken out in the middle of running code and put back: what follows is the same.
 * The program computes in general, SSE and x87 registers, keeps flags across the place it
 * is stopped at, and rewrites its own code behind it.
 */
#include "tcg/run.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/regs.h"
#include "tests/guest_code.h"

GUEST(compute,
      "mov rax, cr4\n or eax, 0x600\n mov cr4, rax\n fninit\n fld1\n fldpi\n"
      " mov rax, 0x123456789\n mov rbx, 0x5851f42d4c957f2d\n mov rdi, 0x20000\n mov ecx, 600\n xor r8, r8\n"
      "1: imul rax, rbx\n add rax, rcx\n movq xmm1, rax\n paddq xmm0, xmm1\n pshufd xmm0, xmm0, 0x39\n"
      " fmul st, st(1)\n fld st(0)\n fadd st(2), st\n fstp qword ptr [rdi + 2048]\n"
      " mov [rdi + rcx], rax\n lea r9, [rip + 3f]\n cmp ecx, 300\n jne 2f\n stc\n out 0xf4, al\n adc r8, 7\n"
      " mov byte ptr [r9 + 3], 9\n"		/* from here on 3: adds 9 */
      "2: nop\n 3: add r8, 5\n xor r10, rax\n loop 1b\n fstp qword ptr [rdi + 2056]\n movdqa [rdi + 2064], xmm0\n"
      " mov [rdi + 2080], r8\n out 0xf4, al\n")

struct taken {
	uint8_t *ram;
	uint8_t row[16384];
};

static void take(struct machine *m, struct taken *t)
{
	size_t n = 0;

	for (unsigned i = 0; i < n_cpu_regs; i++) {
		memcpy(t->row + n, (char *)m->c + cpu_regs[i].where, cpu_regs[i].bytes);
		n += cpu_regs[i].bytes;
	}
	cr_assert_leq(n, sizeof(t->row));
	memcpy(t->ram, machine_mem(m, 0), M_RAM_SIZE);
}

static void put_back(struct machine *m, const struct taken *t)
{
	size_t n = 0;

	for (unsigned i = 0; i < n_cpu_regs; i++) {
		memcpy((char *)m->c + cpu_regs[i].where, t->row + n, cpu_regs[i].bytes);
		n += cpu_regs[i].bytes;
	}
	memcpy(machine_mem(m, 0), t->ram, M_RAM_SIZE);
	phys_ram_written(m->phys, m->ram, 0, M_RAM_SIZE);
	cpu_regs_loaded(m->c);
	m->c->ops->put(m->c);
}

static void expect_same(const struct machine *m, const uint64_t *regs, const uint8_t *ram)
{
	cr_expect_arr_eq(m->c->regs, regs, sizeof(m->c->regs));
	cr_expect_arr_eq(machine_mem(m, M_DATA), ram, 4096);
}

TEST_BOTH(state, code_goes_on_from_where_it_was_taken)
{
	struct taken t = { malloc(M_RAM_SIZE), { 0 } };
	uint64_t regs[NGPR];
	uint8_t data[4096];

	cr_assert(t.ram);
	GUEST_PUT(m, M_CODE, compute);
	cr_assert_eq(machine_run(m, M_CODE), -1);
	take(m, &t);
	cr_assert_eq(machine_run(m, m->c->rip), -1);
	cr_expect_neq(ld64(machine_mem(m, M_DATA + 2080)), 0, "it came to its end");
	memcpy(regs, m->c->regs, sizeof(regs));
	memcpy(data, machine_mem(m, M_DATA), sizeof(data));

	for (int k = 0; k < 3; k++) {
		put_back(m, &t);
		cr_assert_eq(machine_run(m, m->c->rip), -1);
		expect_same(m, regs, data);
	}
	free(t.ram);
}
