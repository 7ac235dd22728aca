/*
 * prog-fuzz: random programs of many blocks (tests/insn/prog.h) on the host processor and in translated
 * code, what is left in the end compared: registers, flags, memory, how it ended. insn-fuzz asks what
 * instructions do; this asks what happens between blocks: flags that somebody reads far from where they
 * were made, calls and returns that do not pair, jumps through tables, loops that become regions, page
 * ends, faults in between, and interrupts.
 *
 * Where a load or store faults on purpose control goes on behind it with the flags that the fault has
 * pushed, as a handler would have it. Flags that are dead there may be stale (tcg/pass.h); so they are not
 * compared, but what is read later is.
 *
 * Lots of programs run in a process each. Some count instructions, some are translated as for several
 * vCPUs; --kicks has a thread that makes control leave, and interrupts come, at any time. A program that
 * fails is made smaller by NOPs and printed; --seed and --lot do it again.
 *
 * Not compared: arithmetic flags where a program ends by a fault.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cpu/system.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/insn/prog.h"

enum { STATES = 8, HANG_SECONDS = 60, LONG_SECONDS = 2, MAX_FAILURES = 3, CANNOT = 77 };
#define ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

struct tool {
	uint64_t seed;
	unsigned lots, programs, first_lot;
	int mode;				/* 0: both */
	bool kicks;
	const char *without;			/* NULL: sets in turns */
	bool *ends;				/* see struct fuzz */
};

enum side { HOST, TRANSLATED };

struct fuzz {
	struct user u;
	struct prog p;
	struct user_state in, out[2];		/* by enum side */
	uint8_t start[USER_DATA_BYTES], mem[2][USER_DATA_BYTES];
	bool *ends;				/* shared: the host has come to the program's end */
	unsigned runs, ended, faults;
	uint64_t regions, functions;		/* and what those go into */
	int late;				/* runs before there are regions */
	struct rng states;			/* makes those that the program is run from */
};

/* ---- running ---- */

static uint8_t *side_mem(struct fuzz *f, enum side side) { return side == HOST ? host_mem() : user_mem(&f->u); }

static void put_code(struct fuzz *f)
{
	memcpy(user_code(&f->u), f->p.code, USER_CODE_BYTES);
	memcpy(host_code(), f->p.code, USER_CODE_BYTES);
	host_code_changed();
}

static void exec(struct fuzz *f, enum side side, const struct user_state *in, struct user_state *out)
{
	if (side == HOST)
		host_exec(in, out);
	else
		user_exec(&f->u, in, out);
}

static void run_side(struct fuzz *f, enum side side)
{
	static struct user_state s;
	struct user_state *out = &f->out[side];
	uint8_t *mem = side_mem(f, side);
	uint64_t off;

	memcpy(mem, f->start, USER_RO);
	memcpy(mem + USER_LAST, f->start + USER_LAST, 4096);
	s = f->in;
	for (;;) {
		exec(f, side, &s, out);
		off = out->rip - USER_CODE;
		if (out->vector != EXC_PF || off >= USER_CODE_BYTES || !f->p.behind[off])
			break;
		s = *out;
		s.rip = USER_CODE + f->p.behind[off];
		s.flags &= ~(uint64_t)FL_RF;
		s.flags |= FL_IF;
		f->faults++;
	}
	if (out->vector != USER_END)
		out->flags &= ~(uint64_t)(ARITH | FL_RF);
	memcpy(f->mem[side], mem, USER_RO);
	memcpy(f->mem[side] + USER_LAST, mem + USER_LAST, 4096);
}

static const char *difference(struct fuzz *f)
{
	const struct user_state *p = &f->out[HOST], *q = &f->out[TRANSLATED];

	if (p->vector != q->vector)
		return "exception";
	if (p->rip != q->rip)
		return "rip";
	if (memcmp(p->regs, q->regs, sizeof(p->regs)))
		return "registers";
	if (p->flags != q->flags)
		return "flags";
	if (p->cr2 != q->cr2)
		return "cr2";
	return memcmp(f->mem[HOST], f->mem[TRANSLATED], USER_DATA_BYTES) ? "memory" : NULL;
}

/* A loop that ends when a word in memory has come round takes the host seconds, and translated code longer than hangs are given. */
static const char *run(struct fuzz *f)
{
	time_t began = time(NULL);

	*f->ends = false;
	run_side(f, HOST);
	*f->ends = true;
	if (time(NULL) - began > LONG_SECONDS)
		return NULL;
	run_side(f, TRANSLATED);
	f->runs++;
	f->ended += f->out[HOST].vector == USER_END;
	return difference(f);
}

/* Nothing is translated any more. */
static void forget(struct fuzz *f, const char *without)
{
	struct err e;

	tcg_without(f->u.c, without, &e);
}

/* Loops that become regions late know where indirect jumps have gone. */
static void regions_from(struct fuzz *f, int i)
{
	tcg_set_hot(f->u.c, i < f->late ? ~0u : 0);
}

/* From the start, when nothing is translated, and from the same states. */
static const char *again(struct fuzz *f, const char *without)
{
	const char *d = NULL;

	forget(f, without);
	put_code(f);
	f->p.rng = f->states;
	for (int i = 0; i < STATES && !d; i++) {
		regions_from(f, i);
		prog_state(&f->p, &f->in, f->start);
		d = run(f);
	}
	return d;
}

/* ---- failures ---- */

static void minimise(struct fuzz *f, const char *without)
{
	for (bool smaller = true; smaller;) {
		smaller = false;
		for (unsigned i = 0; i < f->p.n_pieces; i++) {
			uint8_t *at = f->p.code + f->p.piece[i].at, saved[64];
			unsigned n = f->p.piece[i].n;

			if (f->p.piece[i].fixed || n > sizeof(saved))
				continue;
			memcpy(saved, at, n);
			memset(at, 0x90, n);
			if (!memcmp(saved, at, n))
				continue;
			if (again(f, without))
				smaller = true;
			else
				memcpy(at, saved, n);
		}
	}
}

static void show_code(const struct prog *p)
{
	printf("  code, from %x on:\n", USER_CODE);
	for (unsigned i = 0; i < p->n_pieces; i++) {
		const uint8_t *b = p->code + p->piece[i].at;
		unsigned n = p->piece[i].n, nops = 0;

		while (nops < n && b[nops] == 0x90)
			nops++;
		if (nops == n)
			continue;
		printf("  %04x:", p->piece[i].at);
		for (unsigned k = 0; k < n; k++)
			printf(" %02x", b[k]);
		printf("\n");
	}
}

/* What it began with, what the host made of it, what translated code did. */
static void show(const struct fuzz *f)
{
	static const char names[NGPR][4] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	};
	const struct user_state *p = &f->out[HOST], *q = &f->out[TRANSLATED];

	for (int r = 0; r < NGPR; r++)
		printf("  %-3s %016lx -> %016lx %016lx%s\n", names[r], f->in.regs[r], p->regs[r], q->regs[r],
		       p->regs[r] != q->regs[r] ? " <" : "");
	printf("  flags %04lx -> %04lx %04lx; vector %d %d; rip %lx %lx\n", f->in.flags, p->flags, q->flags, p->vector, q->vector,
	       p->rip, q->rip);
	for (unsigned i = 0; i < USER_DATA_BYTES; i++)
		if (f->mem[HOST][i] != f->mem[TRANSLATED][i])
			printf("  [%x] %02x -> %02x %02x\n", i, f->start[i], f->mem[HOST][i], f->mem[TRANSLATED][i]);
	show_code(&f->p);
}

static void failure(struct fuzz *f, const struct tool *t, unsigned lot, unsigned n, const char *what, const char *without)
{
	printf("\nlot %u, program %u, %d bits: %s differs; without %s\n", lot, n, f->p.bits, what, *without ? without : "nothing");
	what = again(f, without);
	if (what && !t->kicks) {
		minimise(f, without);
		what = again(f, without);
	}
	printf("  %s\n", what ? what : "it does not happen again");
	show(f);
	fflush(stdout);
}

/* ---- lots ---- */

static void count_regions(struct fuzz *f)
{
	const struct tcg *t = tcg_of(f->u.c);

	for (uint32_t i = NO_TB; (i = tcg_next_tb(t->cache, i)) != NO_TB;)
		if (t->cache->tbs[i].mode & MODE_REGION && !t->cache->tbs[i].dead) {
			f->regions += !tb_is_annex(&t->cache->tbs[i]);
			f->functions += tb_is_annex(&t->cache->tbs[i]);
		}
}

/* Control leaves at other places. */
static void *kick(void *arg)
{
	static const uint32_t kicks[] = { REQ_INTR, REQ_INTR, REQ_SAMPLE, REQ_FLUSH, REQ_INTR };
	struct cpu *c = arg;
	uint64_t n = 0;

	for (;;) {
		usleep(20 + n * 7 % 100);
		cpu_request(c, kicks[++n % ARRAY_LEN(kicks)]);
	}
	return NULL;
}

static bool counting(unsigned lot) { return lot % 5 == 2; }

static bool open_sides(struct fuzz *f, const struct tool *t, unsigned number, struct err *e)
{
	f->p.rng.s = ((t->seed << 20) + number + 1) * 0x9e3779b97f4a7c15ull | 1;
	for (int i = 0; i < 8; i++)
		rng_next(&f->p.rng);
	f->p.bits = t->mode ? t->mode : number % 4 == 3 ? 32 : 64;
	return user_open_of(&f->u, f->p.bits, 1 + (number % 3 == 1), &tcg_accel, e) && host_open(f->p.bits, e);
}

/* One program from some states; what differs, or NULL. */
static const char *run_program(struct fuzz *f, const char *without)
{
	const char *what;

	prog_make(&f->p);
	f->late = (int)rng_below(&f->p.rng, 3);
	f->states = f->p.rng;
	what = again(f, without);
	count_regions(f);
	return what;
}

static int lot(const struct tool *t, unsigned number)
{
	static const char *const sets[] = { "", "", "", "region", "flags", "mem", "dead", "" };
	static struct fuzz f;
	struct err e = { "" };
	unsigned failures = 0;
	pthread_t thread;

	f.ends = t->ends;
	if (!open_sides(&f, t, number, &e)) {
		err_report(&e);
		return CANNOT;
	}
	if (counting(number))
		msr_set(f.u.c, 0xc0010200, 0x4100c0);	/* instructions of user mode */
	if (t->kicks)
		pthread_create(&thread, NULL, kick, f.u.c);
	for (unsigned n = 0; n < t->programs && failures < MAX_FAILURES; n++) {
		const char *without = t->without ? t->without : sets[rng_below(&f.p.rng, ARRAY_LEN(sets))], *what;

		alarm(HANG_SECONDS);
		what = run_program(&f, without);
		if (!what)
			continue;
		failure(&f, t, number, n, what, without);
		failures++;
	}
	printf("lot %u: %d-bit%s%s, %u runs, %u came to their end, %u faults, %lu regions, %lu functions, %u fast loops, %u interrupts\n", number, f.p.bits,
	       f.u.c->ncpus > 1 ? ", SMP" : "", counting(number) ? ", counting" : "", f.runs, f.ended, f.faults, f.regions, f.functions,
	       tcg_of(f.u.c)->cache->n_loops, f.u.irqs);
	return failures != 0;
}

/* 0: it agrees, 1: it does not, or died or hung. */
static int run_lot(const struct tool *t, unsigned number)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(lot(t, number));
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM && !*t->ends) {
		printf("lot %u: a program that does not end on the host either\n", number);
		return 0;
	}
	if (WIFSIGNALED(status))
		printf("lot %u: %s\n", number, strsignal(WTERMSIG(status)));
	return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

/* ---- options ---- */

static void help(void)
{
	puts("prog-fuzz: random programs on the host and in translated code\n"
	     "\n"
	     "  --seed N       random seed (default: from the clock; printed)\n"
	     "  --lots N       how many lots (default 10)\n"
	     "  --programs N   of a lot (default 2000), each from several states\n"
	     "  --lot N        this lot only\n"
	     "  --mode BITS    32 or 64-bit code only\n"
	     "  --without LIST passes that are off: flags+dead+mem+region (default: some sets in turns)\n"
	     "  --kicks        interrupts and requests at any time");
}

static bool parse(struct tool *t, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 's' }, { "lots", 1, NULL, 'n' }, { "programs", 1, NULL, 'p' }, { "mode", 1, NULL, 'm' },
		{ "lot", 1, NULL, 'l' }, { "without", 1, NULL, 'w' }, { "kicks", 0, NULL, 'k' }, { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 's': t->seed = strtoull(optarg, NULL, 0); break;
		case 'n': t->lots = (unsigned)atoi(optarg); break;
		case 'p': t->programs = (unsigned)atoi(optarg); break;
		case 'm': t->mode = atoi(optarg); break;
		case 'l': t->first_lot = (unsigned)atoi(optarg); t->lots = 1; break;
		case 'w': t->without = optarg; break;
		case 'k': t->kicks = true; break;
		default: return false;
		}
	return !t->mode || t->mode == 32 || t->mode == 64;
}

int main(int argc, char **argv)
{
	struct tool t = { .seed = (uint64_t)time(NULL), .lots = 10, .programs = 2000 };
	int failed = 0;

	if (!parse(&t, argc, argv)) {
		help();
		return 2;
	}
	t.ends = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t.ends == MAP_FAILED)
		return 2;
	printf("seed %#lx\n", t.seed);
	for (unsigned i = 0; i < t.lots; i++)
		failed += run_lot(&t, t.first_lot + i);
	printf("%u lots, %d failed\n", t.lots, failed);
	return failed != 0;
}
