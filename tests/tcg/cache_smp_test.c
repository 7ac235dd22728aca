/*
 * One code cache for all vCPUs: what one has made the others run, blocks go while others are in
 * them, and everything goes when there is no room.
 *
 * Words of M_DATA, a cache line each: TURN (whose it is), DONE (vCPUs that are there, or through).
 */
#include <criterion/criterion.h>

#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#define END	"out 0xf4, al\n"
#define TURN	"0x20000"
#define DONE	"0x20040"
enum { CPUS = 4, CALLED = 0x80000, PAGES = 64 };

static struct tcg_stats of(const struct machine *m, int cpu) { return tcg_of(m->cpus[cpu])->stats; }

static uint64_t all_translations(const struct machine *m)
{
	uint64_t n = 0;

	for (int i = 0; i < m->n_cpus; i++)
		n += of(m, i).translations;
	return n;
}

static void hot(struct cpu *c) { tcg_set_hot(c, 0); }

#define TEST_SMP(name)								\
	static void name(struct machine *m);					\
	static void name##_on(const struct accel_ops *ops, void (*begin)(struct cpu *c))	\
	{									\
		struct machine m;						\
										\
		machine_init_smp(&m, CPUS, ops);				\
		m.begin = begin;						\
		name(&m);							\
		machine_fini(&m);						\
	}									\
	Test(cache_smp, name) { name##_on(&tcg_accel, NULL); }			\
	Test(cache_smp, name##_with_regions) { name##_on(&tcg_accel, hot); }	\
	Test(cache_smp, name##_interpreted) { name##_on(&tcg_interp_accel, NULL); } \
	static void name(struct machine *m)

/* All at M_CODE, each with its number in r15 and rounds in r14. */
static void run_all(struct machine *m, unsigned rounds)
{
	for (int i = 0; i < m->n_cpus; i++) {
		m->cpus[i]->rip = M_CODE;
		m->cpus[i]->regs[R14] = rounds;
		m->cpus[i]->regs[R15] = (uint64_t)i;
	}
	machine_run_smp(m);
}

/* A function of several blocks on each of the pages from CALLED on: rax += 3 * (its number + 1), by a loop. */
static void put_functions(struct machine *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t code[] = { 0xb9, 3, 0, 0, 0, 0x48, 5, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf6, 0xc3 };

		st32(code + 7, i + 1);	/* mov ecx, 3; 1: add rax, i + 1; dec ecx; jnz 1b; ret */
		machine_put(m, CALLED + i * 0x1000, code, sizeof(code));
	}
}

/* rax: the sum of all functions' */
#define CALL_ALL "mov edi, 0x80000\n xor eax, eax\n 7: call rdi\n add edi, 0x1000\n cmp edi, 0xc0000\n jne 7b\n"
enum { SUM = 3 * PAGES * (PAGES + 1) / 2 };

static void expect_sums(const struct machine *m)
{
	for (int i = 0; i < m->n_cpus; i++)
		cr_expect_eq(m->cpus[i]->regs[RBX], m->cpus[i]->regs[R14] * SUM, "CPU %d", i);
}

/* ---- what one has made the others find ---- */

GUEST(in_turns, "1: cmp [" TURN "], r15d\n jne 1b\n xor ebx, ebx\n" CALL_ALL " add rbx, rax\n"
      "inc dword ptr [" TURN "]\n" END)

static void expect_made_by_first(struct machine *m)
{
	cr_expect_gt(of(m, 0).translations, PAGES);
	for (int i = 1; i < m->n_cpus; i++)
		cr_expect_lt(of(m, i).translations, 8, "CPU %d: %u", i, (unsigned)of(m, i).translations);
}

TEST_SMP(a_block_is_translated_by_the_first_who_comes_to_it)
{
	GUEST_PUT(m, M_CODE, in_turns);
	put_functions(m, PAGES);
	m->end = expect_made_by_first;
	run_all(m, 1);
	expect_sums(m);
}

/* ---- several come at once ---- */

/* The same block is not there twice. */
static void expect_no_twins(struct machine *m)
{
	const struct code_cache *k = tcg_of(m->c)->cache;

	for (uint32_t a = NO_TB; (a = tcg_next_tb(k, a)) != NO_TB;)
		for (uint32_t b = a; (b = tcg_next_tb(k, b)) != NO_TB;) {
			const struct tb *x = &k->tbs[a], *y = &k->tbs[b];

			cr_expect_not(!x->dead && !y->dead && x->ram == y->ram && x->rip == y->rip && x->mode == y->mode &&
				      x->cs_base == y->cs_base && x->cs_limit == y->cs_limit, "%#lx", (long)x->rip);
		}
	cr_expect_lt(all_translations(m), 8 * PAGES);
}

GUEST(all_start, "lock inc dword ptr [" DONE "]\n 1: cmp dword ptr [" DONE "], 4\n jne 1b\n xor ebx, ebx\n mov ebp, r14d\n"
      "2: " CALL_ALL " add rbx, rax\n dec ebp\n jnz 2b\n" END)

TEST_SMP(two_who_come_at_once_make_one_block)
{
	GUEST_PUT(m, M_CODE, all_start);
	put_functions(m, PAGES);
	m->end = expect_no_twins;
	run_all(m, 20);
	expect_sums(m);
}

/* ---- a block goes while others are in it ---- */

/* The last one ends the loop that the others are in, which they only leave if its code is new. */
GUEST(spin, "cmp r15d, 3\n je 2f\n lock inc dword ptr [" TURN "]\n 1: jmp 1b\n " END
      "2: cmp dword ptr [" TURN "], 3\n jne 2b\n mov ecx, 100000\n 3: dec ecx\n jnz 3b\n mov word ptr [rbp], 0x9090\n" END)

TEST_SMP(a_loop_that_is_overwritten_by_another_vcpu_ends)
{
	uint64_t at = M_CODE;

	GUEST_PUT(m, M_CODE, spin);
	while (ld16(machine_mem(m, at)) != 0xfeeb)
		at++;
	for (int i = 0; i < m->n_cpus; i++)
		m->cpus[i]->regs[RBP] = at;
	run_all(m, 1);
	cr_expect_eq(ld16(machine_mem(m, at)), 0x9090);
}

/* One patches functions with what they were while the others call them. */
GUEST(patch_on, "xor ebx, ebx\n mov ebp, r14d\n test r15d, r15d\n jz 3f\n"
      "2: " CALL_ALL " add rbx, rax\n dec ebp\n jnz 2b\n lock inc dword ptr [" DONE "]\n" END
      "3: mov edi, 0x80000\n 4: mov byte ptr [rdi + 1], 3\n add edi, 0x1000\n cmp edi, 0xc0000\n jne 4b\n"
      " cmp dword ptr [" DONE "], 3\n jne 3b\n imul rbx, r14, 6240\n" END)

TEST_SMP(blocks_that_others_run_may_go_at_any_time)
{
	cr_assert_eq(SUM, 6240);
	GUEST_PUT(m, M_CODE, patch_on);
	put_functions(m, PAGES);
	run_all(m, 300);
	expect_sums(m);
}

/* ---- room ---- */

static uint64_t all_flushes(const struct machine *m)
{
	uint64_t n = 0;

	for (int i = 0; i < m->n_cpus; i++)
		n += of(m, i).flushes;
	return n;
}

static void little_room(struct cpu *c)
{
	if (c->index)
		return;
	tcg_of(c)->cache->max_pieces = 4 * CPUS;
	tcg_of(c)->cache->piece_tbs = 8;
}

/* Far more blocks than there is room for, and yet not all went at once. */
static void expect_used_again(struct machine *m)
{
	cr_expect_gt(all_translations(m), 3 * 4 * CPUS * 8, "%u", (unsigned)all_translations(m));
	cr_expect_eq(all_flushes(m), 0);
}

static void little_room_for(const struct accel_ops *ops)
{
	struct machine m;

	machine_init_smp(&m, CPUS, ops);
	GUEST_PUT(&m, M_CODE, all_start);
	put_functions(&m, PAGES);
	m.begin = little_room;
	m.end = expect_used_again;
	run_all(&m, 20);
	expect_sums(&m);
	machine_fini(&m);
}

/* All pieces are used again, of which the first one's exits have the smallest numbers. */
static void use_all_again(struct machine *m)
{
	struct tcg *t = tcg_of(m->c), *other = tcg_of(m->cpus[1]);
	struct code_cache *k = t->cache;

	tcg_lock(t);
	for (int i = 0; i < m->n_cpus; i++)
		tcg_leave_piece(tcg_of(m->cpus[i]));
	for (uint32_t n = NO_TB; (n = tcg_next_tb(k, n)) != NO_TB;)
		tcg_kill(t, n);
	tcg_unlock(t);
	other->last_exit = 1;
	tcg_room(t);			/* they begin to wait for others, of whom none is inside */
	tcg_leave_piece(t);
	tcg_room(t);
	cr_expect_eq(other->last_exit, 0);
}

Test(cache_smp, exits_are_forgotten_with_their_piece)
{
	struct machine m;

	machine_init_smp(&m, CPUS, &tcg_accel);
	GUEST_PUT(&m, M_CODE, all_start);
	put_functions(&m, PAGES);
	m.end = use_all_again;
	run_all(&m, 2);
	machine_fini(&m);
}

Test(cache_smp, blocks_make_room_while_others_run) { little_room_for(&tcg_accel); }
Test(cache_smp, blocks_make_room_while_others_run_interpreted) { little_room_for(&tcg_interp_accel); }

/*
 * One calls three quarters of the functions once, then the others in turns, of which it patches one each time. What it
 * leaves behind fills most of the room, in pieces that are complete.
 */
GUEST(left_behind, "test r15d, r15d\n jnz 4f\n mov edi, 0x80000\n 1: call rdi\n add edi, 0x1000\n cmp edi, 0xb0000\n jne 1b\n"
      "2: mov edi, 0xb0000\n 3: call rdi\n add edi, 0x1000\n cmp edi, 0xc0000\n jne 3b\n"
      "mov esi, r14d\n and esi, 15\n shl esi, 12\n add esi, 0xb0000\n mov byte ptr [rsi + 1], 3\n dec r14d\n jnz 2b\n 4: " END)

static void room_for_most(struct cpu *c)
{
	if (c->index)
		return;
	tcg_of(c)->cache->max_pieces = 24;
	tcg_of(c)->cache->piece_tbs = 8;
}

enum { LEFT_ROUNDS = 1000 };

static void expect_room_was_made(struct machine *m)
{
	cr_expect_lt(all_translations(m), LEFT_ROUNDS * 3 / 2, "%u", (unsigned)all_translations(m));
	cr_expect_eq(all_flushes(m), 0);
}

Test(cache_smp, what_is_left_behind_makes_room)
{
	struct machine m;

	machine_init_smp(&m, CPUS, &tcg_accel);
	GUEST_PUT(&m, M_CODE, left_behind);
	put_functions(&m, PAGES);
	m.begin = room_for_most;
	m.end = expect_room_was_made;
	run_all(&m, LEFT_ROUNDS);
	machine_fini(&m);
}

/* Each patches a function with what it was and calls all of them. */
GUEST(jit_all, "lock inc dword ptr [" DONE "]\n 1: cmp dword ptr [" DONE "], 4\n jne 1b\n xor ebx, ebx\n mov ebp, r14d\n"
      "mov esi, r15d\n shl esi, 12\n add esi, 0x80000\n"
      "2: mov byte ptr [rsi + 1], 3\n mov edi, 0x80000\n xor eax, eax\n"
      "3: call rdi\n add edi, 0x1000\n cmp edi, 0x84000\n jne 3b\n add rbx, rax\n dec ebp\n jnz 2b\n" END)

static void jit_for(const struct accel_ops *ops)
{
	struct machine m;

	machine_init_smp(&m, CPUS, ops);
	GUEST_PUT(&m, M_CODE, jit_all);
	put_functions(&m, CPUS);
	m.begin = little_room;
	m.end = expect_used_again;
	run_all(&m, 2000);
	for (int i = 0; i < CPUS; i++)
		cr_expect_eq(m.cpus[i]->regs[RBX], 2000 * 3 * (1 + 2 + 3 + 4), "CPU %d", i);
	machine_fini(&m);
}

Test(cache_smp, code_that_all_patch_and_run_stays_in_the_same_memory) { jit_for(&tcg_accel); }
Test(cache_smp, code_that_all_patch_and_run_stays_in_the_same_memory_interpreted) { jit_for(&tcg_interp_accel); }

GUEST(all_flush, "lock inc dword ptr [" DONE "]\n 1: cmp dword ptr [" DONE "], 4\n jne 1b\n xor ebx, ebx\n mov ebp, r14d\n"
      "2: out 0x80, eax\n" CALL_ALL " add rbx, rax\n dec ebp\n jnz 2b\n" END)

/* Too many writes by devices to know which. */
static void drop_everything(struct machine *m, uint32_t v)
{
	struct code_cache *k = tcg_of(m->c)->cache;

	(void)v;
	pthread_mutex_lock(&k->writes_lock);
	k->n_writes = ARRAY_LEN(k->writes) + 1;
	pthread_mutex_unlock(&k->writes_lock);
	for (int i = 0; i < m->n_cpus; i++)
		cpu_request(m->cpus[i], REQ_CALL);
}

static void expect_flushes(struct machine *m) { cr_expect_gt(all_flushes(m), 10); }

TEST_SMP(everything_may_be_dropped_while_others_run)
{
	GUEST_PUT(m, M_CODE, all_flush);
	put_functions(m, PAGES);
	m->on_out = drop_everything;
	m->end = expect_flushes;
	run_all(m, 20);
	expect_sums(m);
}

/* What only one vCPU has come to makes room again at once. */
GUEST(jit, "test r15d, r15d\n jnz 2f\n mov edi, 0x80000\n 1: mov [rdi + 1], r14b\n or byte ptr [rdi + 1], 1\n call rdi\n dec r14d\n jnz 1b\n"
      " inc dword ptr [" DONE "]\n 2: cmp dword ptr [" DONE "], 0\n je 2b\n" END)

static void expect_few_blocks(struct machine *m)
{
	cr_expect_gt(of(m, 0).killed, 900);
	cr_expect_lt(tcg_count_tbs(tcg_of(m->c)->cache), 40);
}

Test(cache_smp, code_that_one_patches_and_runs_in_turns_stays_in_the_same_memory)
{
	struct machine m;

	machine_init_smp(&m, CPUS, &tcg_accel);
	GUEST_PUT(&m, M_CODE, jit);
	put_functions(&m, 1);
	m.end = expect_few_blocks;
	run_all(&m, 1000);
	machine_fini(&m);
}

/* A block that several know is no longer its maker's, nor is what it is linked to. */
static void expect_shared(struct machine *m)
{
	const struct code_cache *k = tcg_of(m->c)->cache;

	for (uint32_t i = NO_TB; (i = tcg_next_tb(k, i)) != NO_TB;)
		for (uint32_t n = k->tbs[i].first_link; n < k->tbs[i].first_link + k->tbs[i].n_links; n++)
			if (k->links[n].to)
				cr_expect(!k->tbs[i].shared || k->tbs[k->links[n].to].shared, "exit %u", n);
}

TEST_SMP(no_exit_of_a_shared_block_leads_to_one_vcpus_own)
{
	GUEST_PUT(m, M_CODE, in_turns);
	put_functions(m, PAGES);
	m->end = expect_shared;
	run_all(m, 1);
	expect_sums(m);
}

/* ---- alone ---- */

/* Behind the third OUT the operand crosses pages: what was one block is begun again alone. */
GUEST(splits, "mov ecx, 3\n mov edi, 0x30000\n 1: cmp ecx, 1\n jne 2f\n mov edi, 0x30ffe\n 2: mov eax, ecx\n"
      "out 0x80, eax\n lock inc dword ptr [rdi]\n dec ecx\n jnz 1b\n" END)

/* There are too many suspects for a translation, until the vCPU has begun two more rounds. */
static void suspect(struct machine *m, uint32_t v)
{
	struct tcg *t = tcg_of(m->c);
	struct code_cache *k = t->cache;

	for (k->n_suspects = 0; v == 1 && k->n_suspects < SUSPECTS - 2; k->n_suspects++) {
		struct suspect *s = &k->suspects[k->n_suspects];

		*s = (struct suspect){ .host = machine_mem(m, 0x40000) };
		memcpy(s->copy, s->host, PAGE_SIZE);
		s->grace.waits[t->number - 1] = true;
		s->grace.rounds[t->number - 1] = t->rounds + 1;
	}
}

Test(cache_smp, who_is_alone_does_not_make_way_for_itself, .timeout = 30)
{
	struct machine m;

	machine_init_smp(&m, 2, &tcg_accel);
	GUEST_PUT(&m, M_CODE, splits);
	m.on_out = suspect;
	m.n_cpus = 1;
	run_all(&m, 1);
	cr_expect_eq(m.n_outs, 3);
	cr_expect_eq(ld32(machine_mem(&m, 0x30ffe)), 1);
	m.n_cpus = 2;
	machine_fini(&m);
}

/* ---- vCPUs come and go ---- */

GUEST(some, "call 1f\n" END " 1: ret\n")

static void join_late(struct machine *m)
{
	struct code_cache *k = tcg_of(m->c)->cache;
	struct cpu *c = m->cpus[1];
	struct err e = { "" };

	c->ops = m->ops;
	cr_assert(m->ops->create(c, &e), "%s", e.msg);
	cr_expect_eq(tcg_of(c)->cache, tcg_of(m->c)->cache);
	cr_expect_neq(x64_env(c)->jc_mode[0], 0);
	cr_expect_arr_eq(x64_env(c)->jc_mode, x64_env(m->c)->jc_mode, sizeof(x64_env(c)->jc_mode));
	k->suspects[0].grace.waits[1] = k->leaving.waits[1] = true;
	k->n_suspects = 1;
	m->ops->destroy(c);
	cr_expect_not(k->suspects[0].grace.waits[1], "the next vCPU with its number is not waited for");
	cr_expect_not(k->leaving.waits[1]);
	k->n_suspects = 0;
}

/* Jump caches have the names that code in the cache knows them by. */
Test(cache_smp, a_late_vcpu_joins_and_leaves)
{
	struct machine m;

	machine_init_smp(&m, 2, &tcg_accel);
	GUEST_PUT(&m, M_CODE, some);
	m.n_cpus = 1;
	m.end = join_late;
	run_all(&m, 1);
	m.n_cpus = 2;
	machine_fini(&m);
}

static unsigned told;
static void count(void *opaque, struct ram *r, uint64_t off, uint64_t n) { (void)opaque, (void)r, (void)off, (void)n, told++; }

/* Code pages go with the last vCPU, and devices find nobody to tell. */
Test(cache_smp, the_last_vcpu_takes_the_cache_along)
{
	struct machine m;

	machine_init_smp(&m, 2, &tcg_accel);
	GUEST_PUT(&m, M_CODE, some);
	run_all(&m, 1);
	cr_expect_null(*phys_common(m.phys));
	phys_common_done(m.phys);
	phys_on_code_write(m.phys, count, &m);
	GUEST_PUT(&m, M_CODE, some);
	cr_expect_eq(told, 0);
	machine_fini(&m);
}
