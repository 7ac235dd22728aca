/*
 * Operands that cross a page's end where the inline table knows both pages (tcg/x64/halves.c): instructions of each size
 * and kind do there, at each place, what they do on one page, and C is not asked.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"
#define FLAGS	"pushf\n pop rbx\n"
#define NEAR	64u			/* bytes looked at on both sides of the border */
#define FAR	(M_DATA + 0x5000)	/* where the second page is, if not behind the first one */
#define PLAIN	(M_DATA + 0x8000 + 2048)	/* in the middle of a page */

GUEST(r2, "mov ax, [rdi]\n" END)
GUEST(r4, "mov eax, [rdi]\n" END)
GUEST(r8, "mov rax, [rdi]\n" END)
GUEST(add8, "add rax, [rdi]\n" FLAGS END)
GUEST(w2, "mov [rdi], ax\n" END)
GUEST(w4, "mov [rdi], eax\n" END)
GUEST(w8, "cmp al, 0x78\n mov [rdi], rax\n" FLAGS END)
GUEST(w8_of, "mov ecx, 0x80000000\n sub ecx, 1\n mov [rdi], rax\n" FLAGS END)
GUEST(rw2, "cmp ax, 0x8000\n adc [rdi], ax\n" FLAGS END)
GUEST(rw4, "sub [rdi], eax\n" FLAGS END)
GUEST(rw8, "add [rdi], rax\n" FLAGS END)
GUEST(r10, "fninit\n fld tbyte ptr [rdi]\n fstp tbyte ptr [rsi]\n mov rax, [rsi]\n movzx ecx, word ptr [rsi + 8]\n" END)
GUEST(w10, "fninit\n fldpi\n fstp tbyte ptr [rdi]\n" END)
GUEST(r16, "movups xmm0, [rdi]\n movups [rsi], xmm0\n mov rax, [rsi]\n mov rcx, [rsi + 8]\n" END)
GUEST(w16, "movups xmm0, [rsi]\n movups [rdi], xmm0\n" END)
GUEST(r32, "vmovups ymm0, [rdi]\n vmovups [rsi], ymm0\n mov rax, [rsi + 8]\n mov rcx, [rsi + 24]\n" END)
GUEST(w32, "vmovups ymm0, [rsi]\n vmovups [rdi], ymm0\n" END)
#define ROW(name, size) { guest_##name, guest_##name##_end, size }

static const struct row {
	const uint8_t *code, *end;
	unsigned size;
} rows[] = {
	ROW(r2, 2), ROW(r4, 4), ROW(r8, 8), ROW(add8, 8), ROW(w2, 2), ROW(w4, 4), ROW(w8, 8), ROW(w8_of, 8), ROW(rw2, 2), ROW(rw4, 4),
	ROW(rw8, 8), ROW(r10, 10), ROW(w10, 10), ROW(r16, 16), ROW(w16, 16), ROW(r32, 32), ROW(w32, 32),
};

struct result {
	uint8_t mem[2 * NEAR];
	uint64_t regs[NGPR];
};

/* The operand is at `va`; what is before and behind the border stands at `first` and `second`. */
static struct result run(struct machine *m, uint64_t va, uint8_t *first, uint8_t *second, unsigned row)
{
	struct result r;

	machine_reset(m);
	for (unsigned i = 0; i < NEAR; i++) {
		first[i] = (uint8_t)(0x35 * i + 7);
		second[i] = (uint8_t)(0xa1 * i + 5);
		*(uint8_t *)machine_mem(m, M_DATA + 0x9000 + i) = (uint8_t)(0x5b * i + 3);
	}
	m->c->regs[RDI] = va;
	m->c->regs[RSI] = M_DATA + 0x9000;
	m->c->regs[RAX] = 0x1122334455667788;
	cr_assert_eq(machine_run(m, M_CODE), -1, "row %u", row);
	memcpy(r.mem, first, NEAR);
	memcpy(r.mem + NEAR, second, NEAR);
	memcpy(r.regs, m->c->regs, sizeof(r.regs));
	r.regs[RDI] = 0;
	return r;
}

static void run_rows(struct machine *m, uint64_t second)
{
	const uint64_t border = M_DATA + 0x1000;

	machine_map(m, border, second | 3);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *w = &rows[i];

		machine_put(m, M_CODE, w->code, (unsigned)(w->end - w->code));
		for (unsigned before = 1; before < w->size; before++) {
			uint8_t *plain = machine_mem(m, PLAIN - NEAR), *at = machine_mem(m, border - NEAR);
			struct result want = run(m, PLAIN - before, plain, plain + NEAR, i);

			for (int turn = 0; turn < 3; turn++) {
				struct result got = run(m, border - before, at, machine_mem(m, second), i);

				cr_expect_eq(memcmp(&got, &want, sizeof(got)), 0, "row %u, %u bytes, turn %d", i, before, turn);
			}
		}
	}
}

TEST_BOTH(halves, pages_may_be_apart) { run_rows(m, FAR); }
TEST_BOTH(halves, pages_may_be_side_by_side) { run_rows(m, M_DATA + 0x1000); }

Test(halves, c_is_not_asked)
{
	struct machine m;

	machine_init(&m, 64, 0, &tcg_accel);
	machine_map(&m, M_DATA + 0x1000, FAR | 3);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct tcg *t = tcg_of(m.c);
		uint64_t asked = 0;

		if (rows[i].code == guest_w10)	/* reads first what it may have to leave as it was: C does that beyond eight bytes */
			continue;
		machine_put(&m, M_CODE, rows[i].code, (unsigned)(rows[i].end - rows[i].code));
		for (int turn = 0; turn < 5; turn++) {
			if (turn == 3)
				asked = t->stats.slow_reads + t->stats.slow_writes;
			run(&m, M_DATA + 0xfff, machine_mem(&m, M_DATA + 0x1000 - NEAR), machine_mem(&m, FAR), i);
		}
		cr_expect_eq(t->stats.slow_reads + t->stats.slow_writes, asked, "row %u: %u more", i,
			     (unsigned)(t->stats.slow_reads + t->stats.slow_writes - asked));
	}
	machine_fini(&m);
}
