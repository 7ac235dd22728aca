/*
 * A start-up IPI under the run loop: the sender goes no further before the one that it starts has done its
 * first instruction, however late that one's thread is.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "cpu/start.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

enum { VECTOR = 0x30, TRAMPOLINE = VECTOR << 12, SEND = 0x10, RIGHT = 1, WRONG = 2 };

/* The sender takes the trampoline away right behind the IPI. */
GUEST(sender, "mov al, 0x10\n out 0x80, al\n mov byte ptr [0x30001], 0xfe\n out 0xf4, al\n")

/* 16-bit code: jmp +0x7d; behind both jumps mov al, n; out 0x80, al; out 0xf4, al. */
static const uint8_t trampoline[] = { 0xe9, 0x7d, 0x00 };
static const uint8_t right[] = { 0xb0, RIGHT, 0xe6, 0x80, MACHINE_END }, wrong[] = { 0xb0, WRONG, 0xe6, 0x80, MACHINE_END };

static void send(struct machine *m, uint32_t v)
{
	if (v != SEND)
		return;
	cpu_start_ipi(m->cpus[1], VECTOR);
	cpu_request(m->cpus[0], REQ_STARTED);
}

static void be_late(struct cpu *c)
{
	if (c->index)
		nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
}

static void start(const struct accel_ops *ops)
{
	struct machine m;

	machine_init_smp(&m, 2, ops);
	m.on_out = send;
	m.begin = be_late;
	m.cpus[1]->halted = m.cpus[1]->wait_sipi = true;
	machine_put(&m, TRAMPOLINE, trampoline, sizeof(trampoline));
	machine_put(&m, TRAMPOLINE + 0x80, right, sizeof(right));
	machine_put(&m, TRAMPOLINE + 0x101, wrong, sizeof(wrong));
	GUEST_PUT(&m, M_CODE, sender);
	m.cpus[0]->rip = M_CODE;
	machine_run_smp(&m);
	cr_expect_eq(*machine_mem(&m, TRAMPOLINE + 1), 0xfe);
	cr_assert_eq(m.n_outs, 2);
	cr_expect_eq(m.outs[1], RIGHT, "it has run %s", m.outs[1] == WRONG ? "what came afterwards" : "something else");
	machine_fini(&m);
}

Test(start, the_trampoline_is_there_until_it_has_been_used) { start(&tcg_accel); }
Test(start, the_trampoline_is_there_until_it_has_been_used_interpreted) { start(&tcg_interp_accel); }
