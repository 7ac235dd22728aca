/*
 * The code cache's memory: nothing is writable and executable, and a program that does not
 * fit runs all the same, with everything flushed now and then.
 */
#include "tcg/cache.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"

static uint64_t reg(const struct machine *m, int r) { return m->c->regs[r]; }

GUEST(nothing, END)

TEST_BOTH(cache, no_memory_is_writable_and_executable)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];

	cr_assert(f);
	GUEST_PUT(m, M_CODE, nothing);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	while (fgets(line, sizeof(line), f)) {
		char rights[5] = "";

		cr_assert_eq(sscanf(line, "%*s %4s", rights), 1, "%s", line);
		cr_expect_not(rights[1] == 'w' && rights[2] == 'x', "%s", line);
	}
	fclose(f);
}

/* 64 blocks on as many pages, each adds its number, jumps to the next; then again. */
enum { PAGES = 64, FIRST = 0x80000, ROUNDS = 20 };

static void put_chain(struct machine *m)
{
	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t at = FIRST + i * 0x1000;
		uint8_t code[] = { 0x48, 0x83, 0xc0, (uint8_t)i, 0xe9, 0, 0, 0, 0 };	/* add rax, i; jmp next */
		static const uint8_t end[] = { 0xff, 0xc9, 0x75, 2, MACHINE_END, 0xe9 };	/* dec ecx; jnz; end */

		st32(code + 5, 0x1000 - sizeof(code));
		if (i < PAGES - 1) {
			machine_put(m, at, code, sizeof(code));
			continue;
		}
		machine_put(m, at, code, 4);
		machine_put(m, at + 4, end, sizeof(end));
		st32(code, (uint32_t)(FIRST - (at + 4 + sizeof(end) + 4)));
		machine_put(m, at + 4 + sizeof(end), code, 4);
	}
}

static void run_chain(struct machine *m)
{
	machine_reset(m);
	m->c->regs[RCX] = ROUNDS;
	cr_expect_eq(machine_run(m, FIRST), -1);
	cr_expect_eq(reg(m, RAX), ROUNDS * (PAGES * (PAGES - 1) / 2));
}

TEST_BOTH(cache, a_full_code_memory_is_flushed)
{
	struct tcg *t = tcg_of(m->c);
	uint64_t flushes = t->stats.flushes;

	put_chain(m);
	run_chain(m);
	if (t->interp)
		return;
	t->cache->piece_code = (size_t)(t->cache->blocks_start - t->cache->code_start) + X64_ROOM + 4096 + 1024;
	for (int i = 0; i < 3; i++) {
		tcg_flush(t);
		run_chain(m);
	}
	cr_expect_gt(t->stats.flushes, flushes + 6);
}

TEST_BOTH(cache, code_can_be_linked_after_its_writable_pages_were_given_back)
{
	struct tcg *t = tcg_of(m->c);

	put_chain(m);
	run_chain(m);
	if (t->interp)
		return;
	t->piece->code.p += TRIM_STEP_IDLE;	/* as if so much had been made */
	tcg_trim(t, false);
	cr_assert_eq(t->cache->trimmed, 0);
	tcg_trim(t, true);		/* the guest waits: that is enough */
	cr_assert_gt(t->cache->trimmed, 0);
	t->piece->code.p += TRIM_STEP;
	tcg_trim(t, false);
	cr_assert_gt(t->cache->trimmed, TRIM_STEP);
	for (uint32_t n = 1; n <= t->piece->n_tbs / 2; n++)
		tcg_kill(t, n);		/* links to them are taken back and made anew */
	run_chain(m);
}

/* Those of firmware, kernel, 64-bit and 32-bit programs are fourteen. */
TEST_BOTH(cache, the_modes_of_one_system_are_no_reason_to_flush)
{
	struct tcg *t = tcg_of(m->c);
	uint64_t flushes = t->stats.flushes;

	if (t->interp)
		return;
	for (uint32_t i = 0; i < 14; i++)
		t->cache->jc_mode[i] = 0x80000000 + i;
	put_chain(m);
	run_chain(m);
	cr_expect_eq(t->stats.flushes, flushes);
	cr_expect_neq(t->cache->jc_mode[14], 0);
	cr_expect_eq(x64_env(m->c)->jc_mode[14], t->cache->jc_mode[14] - 1);
	cr_expect_eq(x64_env(m->c)->jc_mode[15], JC_NO_MODE);
}

TEST_BOTH(cache, a_flush_between_any_two_blocks_is_survived)
{
	struct tcg *t = tcg_of(m->c);

	put_chain(m);
	for (int i = 0; i < 5; i++) {
		run_chain(m);
		t->cache->flush_wanted = true;
		MACHINE_PUT(m, FIRST + (uint64_t)i * 0x5000, 0x48);	/* needs a translation in the middle */
	}
	cr_expect_geq(t->stats.flushes, 4);
}

static void flush_on_out(struct machine *m, uint32_t v)
{
	(void)v;
	tcg_of(m->c)->cache->flush_wanted = true;
}

GUEST(flushing, "mov ecx, 100\n 1: out 0x80, al\n call 2f\n dec ecx\n jnz 1b\n" END " 2: inc rbx\n ret")

TEST_BOTH(cache, a_wanted_flush_happens_at_the_next_translation)
{
	GUEST_PUT(m, M_CODE, flushing);
	m->on_out = flush_on_out;
	cr_expect_eq(machine_run(m, M_CODE), -1);
	cr_expect_eq(reg(m, RBX), 100);
}

/* ---- passes by name ---- */

Test(cache, passes_are_named)
{
	struct machine m;
	struct err e = { "" };

	machine_init(&m, 64, 0, &tcg_interp_accel);
	cr_expect(tcg_without(m.c, "mem+flags", &e));
	cr_expect(tcg_without(m.c, "", &e));
	cr_expect_not(tcg_without(m.c, "flags+memory", &e));
	cr_expect_str_eq(e.msg, "flags+memory: the passes are flags, dead, mem and region");
	machine_fini(&m);
}

/* Every exit of a block that is there is known to be that block's. */
static void expect_exits_are_found(struct tcg *t)
{
	for (uint32_t n = 1; n <= t->piece->n_tbs; n++) {
		const struct tb *tb = &t->cache->tbs[n];

		for (uint32_t i = tb->first_link; !tb->dead && i < tb->first_link + tb->n_links; i++)
			cr_expect_eq(tcg_tb_near(t, (uintptr_t)tcg_link_ret(t->cache, i)), n, "block %u", n);
	}
}

GUEST(inside, "jmp 1f\n .balign 64\n 1: " END)

/* Blocks go and come behind one that gets a guard meanwhile. */
TEST_BOTH(cache, exits_are_found_behind_a_guard_that_outlived_blocks)
{
	struct tcg *t = tcg_of(m->c);
	uint32_t kept;

	GUEST_PUT(m, M_CODE, inside);
	cr_expect_eq(machine_run(m, M_CODE), -1);
	kept = t->piece->n_tbs;
	put_chain(m);
	run_chain(m);
	if (t->interp)
		return;
	cr_assert_not(t->cache->tbs[kept].guard, "it was reached from its own page");
	cr_assert(tcg_guarded(t, &t->cache->tbs[kept]));
	for (uint32_t n = kept + 1; n <= t->piece->n_tbs; n++)
		tcg_kill(t, n);
	run_chain(m);
	expect_exits_are_found(t);
}

/* A jump of 32 bits reaches 2 GiB from the end of its block. */
Test(cache, exits_are_kept_as_they_were_made)
{
	static const int64_t ways[] = { 0, 5, -5, INT32_MAX + 8192ll, INT32_MIN };
	static struct tb tbs[2] = { [1].rip = 0xffffffff80001000 };
	struct code_cache *k = calloc(1, sizeof(*k));

	cr_assert(k);
	k->tbs = tbs;
	for (unsigned fl = 0; fl < 64; fl++) {
		for (unsigned w = 0; w < ARRAY_LEN(ways); w++) {
			struct x64_link x = { .rip = tbs[1].rip + (uint64_t)ways[w], .hot = CODE_SIZE_SMP - 1 - fl,
					      .thunk = fl, .live = link_flags(fl), .flx = link_flags(63 - fl), .save = fl, .far = fl & 1 };
			struct x64_link y;
			struct link l;

			link_pack(k, &l, &x, 1);
			y = link_exit(k, &l);
			cr_expect_eq(y.rip, x.rip);
			cr_expect(y.hot == x.hot && y.thunk == x.thunk && y.save == x.save && y.far == x.far, "%u", fl);
			cr_expect(y.live == x.live && y.flx == x.flx, "flags %#x, %#x", x.live, x.flx);
			cr_expect_eq(x.live & ~FL_ARITH, 0);
		}
	}
	free(k);
}

static void *nothing_to_do(void *arg) { return arg; }

/* SDL gives its audio thread 64 KiB, out of which every library's and the translator's thread-local storage come. */
Test(cache, threads_with_a_small_stack_start)
{
	pthread_attr_t a;
	pthread_t thread;

	pthread_attr_init(&a);
	cr_assert_eq(pthread_attr_setstacksize(&a, 64 << 10), 0);
	cr_assert_eq(pthread_create(&thread, &a, nothing_to_do, NULL), 0);
	pthread_join(thread, NULL);
}
