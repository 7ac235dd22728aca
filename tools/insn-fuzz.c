/*
 * insn-fuzz: random instructions on the host processor, the µop interpreter and translated
 * code with passes on and off, all of the state compared (tests/insn/fuzz.h).
 *
 * A case is one instruction executed by all sides from one random state with all that a
 * program can see compared afterwards; in a block of several instructions each that was
 * surely executed counts (those a branch may have gone around do not). Half of the blocks
 * are single instructions, row after row; the others have up to 20 instructions.
 *
 * Work is done in lots, each in a process of its own, as host code may do anything to it.
 * A lot that dies or hangs is a failure, too. Failures are made smaller and written as
 * files, which are what tests/insn/cases/ holds; given as arguments, files are run again.
 *
 * Excluded from comparison: tests/insn/fuzz_rows.def (--list). Not generated: encodings that
 * are no instruction; instructions at the end of mapped memory; code that changes itself.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/insn/fuzz.h"

enum { MAX_JOBS = 64, STATES = 16, MAX_ROWS = 4096, HANG_SECONDS = 120, MAX_FAILURES = 200 };

struct row_count {
	uint64_t ended, faulted;
};

/* Shared with the workers; each has one. */
struct job {
	pid_t pid;
	uint64_t cases, runs, seen_runs;	/* all lots so far */
	uint64_t elsewhere;			/* runs that met the tool's own memory: no cases */
	uint64_t regions, swapping;		/* loops as one piece, those with swapped registers */
	time_t seen_at;
	unsigned lot, n_blocks, failures;
	int bits;
	char without[32];
	struct row_count rows[MAX_ROWS];
	bool absent[MAX_ROWS];
	struct fuzz_case now;
};

struct tool {
	uint64_t seed, cases, lot_cases;
	const char *rows, *without, *out;
	int mode;				/* 0: all */
	bool only_blocks, only_singles, no_host, coverage;
	unsigned jobs, lots, next_lot, crashes;
	struct job *job;			/* shared */
	struct timespec start;
};

static volatile sig_atomic_t stopped;		/* by SIGINT or SIGTERM, in whoever got it */

static void on_stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* ---- failures ---- */

static void write_case(const struct tool *t, struct job *j, const char *what, const struct fuzz *f)
{
	char name[300], comment[120];
	FILE *to;

	snprintf(name, sizeof(name), "%s/insn-fuzz-%lx-%u-%u.txt", t->out, t->seed, j->lot, j->n_blocks);
	snprintf(comment, sizeof(comment), "%s differs; without: %s; --seed %#lx, lot %u", what,
		 *j->without ? j->without : "nothing", t->seed, j->lot);
	to = fopen(name, "w");
	if (!to) {
		fprintf(stderr, "insn-fuzz: %s: %s\n", name, strerror(errno));
		return;
	}
	fuzz_case_write(&j->now, comment, to);
	if (f)
		fuzz_show(f, &j->now, to);
	fclose(to);
	fprintf(stderr, "\n%s: %s\n", name, comment);
	fuzz_case_write(&j->now, what, stderr);
	if (f)
		fuzz_show(f, &j->now, stderr);
}

static void failure(const struct tool *t, struct job *j, struct fuzz *f, const char *what)
{
	static struct user_state out[FUZZ_SIDES];
	const char *again;

	memcpy(out, f->out, sizeof(out));
	again = fuzz_replay(f, &j->now, j->without);
	j->failures++;
	if (again) {
		fuzz_minimise(f, &j->now, j->without);
		what = fuzz_replay(f, &j->now, j->without);
		write_case(t, j, what ? what : "(not twice)", f);
	} else {
		memcpy(f->out, out, sizeof(out));
		write_case(t, j, what, f);
		fprintf(stderr, "  it does not happen again\n");
	}
	fuzz_set_mem(f, fuzz_mem(f, f->host ? FUZZ_HOST : FUZZ_INTERP));
}

/* ---- a lot ---- */

static bool make_block(const struct tool *t, struct job *j, struct fuzz *f, struct fuzz_block *b, unsigned *row)
{
	if (!t->only_blocks && (t->only_singles || t->rows || j->n_blocks & 1)) {
		for (unsigned tries = 0; tries < 2 * n_insn_rows; tries++) {
			*row = (*row + 1) % n_insn_rows;
			if ((!t->rows || !strcmp(t->rows, insn_rows[*row].name)) && fuzz_single(f, b, *row))
				return true;
		}
		return false;
	}
	fuzz_random_block(f, b);
	return true;
}

static void count(struct job *j, const struct fuzz *f, const struct fuzz_block *b)
{
	unsigned n, left;
	bool ended = f->out[FUZZ_INTERP].vector == USER_END;

	j->runs++;
	j->elsewhere += f->elsewhere;
	if (f->elsewhere)
		return;
	n = left = fuzz_executed(f, b);
	for (unsigned i = 0; i < b->count && left; i++)
		if (!b->maybe[i]) {
			left--;
			if (!left && !ended)
				j->rows[b->in[i].row].faulted++;
			else
				j->rows[b->in[i].row].ended++;
		}
	j->cases += n;
}

static void run_block(const struct tool *t, struct job *j, struct fuzz *f, const struct fuzz_block *b)
{
	const uint8_t *mem = fuzz_mem(f, f->host ? FUZZ_HOST : FUZZ_INTERP);

	j->now.b = *b;
	for (int i = 0; i < STATES; i++) {
		const char *what;

		fuzz_random_state(f, b, &j->now.s);
		memcpy(j->now.mem, mem, USER_RO);
		memcpy(j->now.mem + USER_LAST, mem + USER_LAST, 4096);
		fuzz_set_mem(f, mem);
		fuzz_run(f, b, &j->now.s);
		what = fuzz_verdict(f, b, &j->now.s);
		count(j, f, b);
		if (what) {
			failure(t, j, f, what);
			return;
		}
	}
}

/* Half of the time all passes are on, else any of them is off. */
static void choose_passes(const struct tool *t, struct job *j, struct fuzz *f)
{
	static const char *const sets[] = { "flags", "dead", "mem", "region", "flags+dead", "flags+mem", "dead+mem", "mem+region",
		"flags+dead+mem", "flags+dead+mem+region",
	};
	unsigned k = rng_below(&f->rng, 2 * ARRAY_LEN(sets));

	snprintf(j->without, sizeof(j->without), "%s", t->without ? t->without : k < ARRAY_LEN(sets) ? sets[k] : "");
}

static int lot(const struct tool *t, struct job *j)
{
	static struct fuzz f;
	static struct fuzz_block blocks[FUZZ_SLOTS];
	uint64_t end = j->cases + t->lot_cases;
	struct err e = { "" };
	unsigned row;

	if (!fuzz_open(&f, j->bits, !t->no_host, (t->seed + j->lot) * 0x9e3779b97f4a7c15ull, &e)) {
		err_report(&e);
		return 2;
	}
	if (!t->no_host && !f.host)
		fprintf(stderr, "insn-fuzz: %d-bit code without the host: %s\n", j->bits, e.msg);
	fuzz_find_absent(&f);
	for (row = 0; row < n_insn_rows; row++)
		j->absent[row] = f.absent[row];
	row = rng_below(&f.rng, n_insn_rows);
	while (j->cases < end && !stopped && j->failures < MAX_FAILURES) {
		choose_passes(t, j, &f);
		if (!fuzz_refresh(&f, j->without, &e)) {
			err_report(&e);
			return 2;
		}
		for (unsigned i = 0; i < FUZZ_SLOTS; i++) {
			blocks[i].at = i * FUZZ_SLOT + 128 + rng_below(&f.rng, 64);
			j->n_blocks++;
			if (!make_block(t, j, &f, &blocks[i], &row))
				return 0;		/* no such row in this mode */
			fuzz_put(&f, &blocks[i]);
		}
		host_code_changed();
		for (unsigned i = 0; i < FUZZ_SLOTS && !stopped; i++)
			run_block(t, j, &f, &blocks[i]);
		fuzz_count_regions(&f, &j->regions, &j->swapping);
	}
	return 0;
}

/* ---- the supervisor ---- */

static double seconds(const struct tool *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->start.tv_sec) + (double)(now.tv_nsec - t->start.tv_nsec) / 1e9;
}

static uint64_t total(const struct tool *t, size_t field)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < t->jobs; i++)
		n += *(uint64_t *)((char *)&t->job[i] + field);
	return n;
}

static unsigned failures(const struct tool *t)
{
	unsigned n = t->crashes;

	for (unsigned i = 0; i < t->jobs; i++)
		n += t->job[i].failures;
	return n;
}

static void progress(const struct tool *t)
{
	uint64_t n = total(t, offsetof(struct job, cases));
	double s = seconds(t);

	fprintf(stderr, "%s%.2f million cases, %.0f/s, %u failures%s", isatty(2) ? "\r" : "", (double)n / 1e6,
		(double)n / s, failures(t), isatty(2) ? " " : "\n");
}

static void start_lot(struct tool *t, struct job *j)
{
	static const int modes[] = { 64, 32, 64, 16, 64, 32, 64 };
	pid_t pid;

	j->lot = t->next_lot++;
	j->bits = t->mode ? t->mode : modes[j->lot % ARRAY_LEN(modes)];
	j->seen_at = time(NULL);
	j->seen_runs = j->runs;
	pid = fork();
	if (!pid)
		exit(lot(t, j));
	j->pid = pid;
}

/* Died or hung: what it was doing is the failure. */
static void lost(struct tool *t, struct job *j, const char *how)
{
	t->crashes++;
	write_case(t, j, how, NULL);
}

/* False: the tool cannot go on. */
static bool finish_lot(struct tool *t, struct job *j, int status)
{
	j->pid = 0;
	if (WIFSIGNALED(status))
		lost(t, j, strsignal(WTERMSIG(status)));
	return !WIFEXITED(status) || WEXITSTATUS(status) == 0;
}

static void watch(struct job *j)
{
	time_t now = time(NULL);

	if (j->runs != j->seen_runs) {
		j->seen_runs = j->runs;
		j->seen_at = now;
	} else if (now - j->seen_at > HANG_SECONDS) {
		kill(j->pid, SIGKILL);
		j->seen_at = now;
	}
}

static bool supervise(struct tool *t)
{
	bool ok = true, busy = true;
	double next = 1;

	while (busy) {
		busy = false;
		for (unsigned i = 0; i < t->jobs; i++) {
			struct job *j = &t->job[i];
			int status;

			if (!j->pid && t->next_lot < t->lots && ok && !stopped && failures(t) < MAX_FAILURES)
				start_lot(t, j);
			if (!j->pid)
				continue;
			busy = true;
			if (waitpid(j->pid, &status, WNOHANG) > 0)
				ok &= finish_lot(t, j, status);
			else
				watch(j);
			if (stopped && j->pid)
				kill(j->pid, SIGTERM);
		}
		if (seconds(t) > next) {
			progress(t);
			next = seconds(t) + (isatty(2) ? 1 : 30);
		}
		usleep(20000);
	}
	return ok;
}

/* ---- report ---- */

static void report_rows(const struct tool *t)
{
	unsigned ended = 0, only_faulted = 0, excluded = 0, absent = 0, none = 0;

	for (unsigned r = 0; r < n_insn_rows; r++) {
		bool excluded_row = !t->no_host && fuzz_excluded(&insn_rows[r]), absent_row = false;
		struct row_count c = { 0 };

		for (unsigned i = 0; i < t->jobs; i++) {
			c.ended += t->job[i].rows[r].ended;
			c.faulted += t->job[i].rows[r].faulted;
			absent_row |= t->job[i].absent[r];
		}
		if (t->coverage)
			printf("%-18s %-24s %10lu ended %10lu faulted%s%s\n", insn_rows[r].name, insn_rows[r].opds,
			       c.ended, c.faulted, excluded_row ? "  excluded: " : absent_row ? "  absent" : "",
			       excluded_row ? fuzz_excluded(&insn_rows[r]) : "");
		ended += c.ended > 0;
		only_faulted += !c.ended && c.faulted;
		none += !c.ended && !c.faulted && !excluded_row && !absent_row;
		absent += absent_row;
		excluded += excluded_row;
	}
	printf("rows: %u of %u ran to their end, %u only fault in user mode, %u excluded (--list), %u that a processor "
	       "does not have, %u not met\n", ended, n_insn_rows, only_faulted, excluded, absent, none);
}

static void report(const struct tool *t)
{
	uint64_t n = total(t, offsetof(struct job, cases));
	double s = seconds(t);

	if (isatty(2))
		fprintf(stderr, "\n");
	printf("%lu cases in %lu runs, %.1f s, %.0f cases/s, %u failures, seed %#lx\n", n,
	       total(t, offsetof(struct job, runs)), s, (double)n / s, failures(t), t->seed);
	printf("%lu runs met the tool's own memory and are no cases; %lu loops were regions, %lu of them with swapped "
	       "registers\n", total(t, offsetof(struct job, elsewhere)), total(t, offsetof(struct job, regions)),
	       total(t, offsetof(struct job, swapping)));
	report_rows(t);
}

/* ---- case files ---- */

static const char *const pass_sets[] = { "", "flags", "dead", "mem", "region", "flags+dead", "flags+mem",
	"dead+mem", "mem+region", "flags+dead+mem", "flags+dead+mem+region",
};

/* In a process of its own: 0 agrees, 1 differs, 2 cannot. */
static int replay_one(const struct tool *t, const char *name, bool minimise)
{
	static struct fuzz_case c;
	static struct fuzz f;
	struct err e = { "" };
	FILE *from = fopen(name, "r");
	int bad = 0;

	if (!from || !fuzz_case_read(&c, from, &e) || !fuzz_open(&f, c.b.bits, !t->no_host, 1, &e)) {
		fprintf(stderr, "insn-fuzz: %s: %s\n", name, from ? e.msg : strerror(errno));
		return 2;
	}
	fclose(from);
	if (!fuzz_analyse(&f, &c.b)) {
		fprintf(stderr, "insn-fuzz: %s: not code that is compared\n", name);
		return 2;
	}
	for (unsigned i = 0; i < ARRAY_LEN(pass_sets) && !bad; i++) {
		const char *d = fuzz_replay(&f, &c, pass_sets[i]);

		if (!d)
			continue;
		bad = 1;
		if (minimise)
			fuzz_minimise(&f, &c, pass_sets[i]);
		fuzz_replay(&f, &c, pass_sets[i]);
		printf("%s: %s differs without %s\n", name, d, *pass_sets[i] ? pass_sets[i] : "nothing");
		fuzz_case_write(&c, d, stdout);
		fuzz_show(&f, &c, stdout);
	}
	return bad;
}

static int replay(const struct tool *t, char **names, int n, bool minimise)
{
	int worst = 0;

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			exit(replay_one(t, names[i], minimise));
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			printf("%s: %s\n", names[i], strsignal(WTERMSIG(status)));
		status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		worst = status > worst ? status : worst;
	}
	return worst;
}

/* ---- options ---- */

static void help(void)
{
	puts("insn-fuzz: random instructions on the host, the interpreter and translated code\n"
	     "\n"
	     "usage: insn-fuzz [options]          run random cases\n"
	     "       insn-fuzz [options] FILE...  run these cases again, with all sets of passes\n"
	     "\n"
	     "  --seed N        random seed (default: from the clock; printed at the end)\n"
	     "  --cases N       stop after about so many (default 1000000; 0: when interrupted)\n"
	     "  --mode BITS     16, 32 or 64-bit code only\n"
	     "  --rows NAME     only instructions with this mnemonic\n"
	     "  --blocks        only blocks of up to 20 instructions\n"
	     "  --singles       only single instructions\n"
	     "  --without LIST  passes that are off: flags+dead+mem+region (default: all sets in turns)\n"
	     "  --no-host       compare the interpreter and translated code only, more rows then\n"
	     "  --jobs N        processes at a time (default 1)\n"
	     "  --out DIR       where failures are written (default .)\n"
	     "  --minimise      make the failing cases of FILE... smaller\n"
	     "  --coverage      count for each row at the end\n"
	     "  --list          what is excluded, and why\n"
	     "\n"
	     "A case is one instruction executed from one random state by all sides, with registers,\n"
	     "flags, vectors, x87, memory and exception compared. Exit status: 0 all agree, 1 some\n"
	     "do not, 2 it did not run.");
}

static void list_excluded(void)
{
	static const char *const others[][3] = {
#define NOT_MADE(what, why) { "not generated", what, why },
#define NOT_COMPARED(what, why) { "not compared", what, why },
#include "tests/insn/fuzz_rows.def"
	};

	for (unsigned r = 0; r < n_insn_rows; r++)
		if (fuzz_excluded(&insn_rows[r]))
			printf("%-14s %-16s %s\n", insn_rows[r].name, insn_rows[r].opds, fuzz_excluded(&insn_rows[r]));
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		printf("%s: %s: %s\n", others[i][0], others[i][1], others[i][2]);
}

static uint64_t parse_number(const char *name, const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 0);

	if (*end || !*text) {
		fprintf(stderr, "insn-fuzz: --%s takes a number, not %s\n", name, text);
		exit(2);
	}
	return v;
}

static const struct option options[] = {
	{ "seed", 1, 0, 's' }, { "cases", 1, 0, 'c' }, { "mode", 1, 0, 'm' }, { "rows", 1, 0, 'r' }, { "blocks", 0, 0, 'b' },
	{ "singles", 0, 0, 'S' }, { "without", 1, 0, 'w' }, { "no-host", 0, 0, 'n' }, { "jobs", 1, 0, 'j' },
	{ "out", 1, 0, 'o' }, { "minimise", 0, 0, 'M' }, { "coverage", 0, 0, 'C' }, { "list", 0, 0, 'l' },
	{ "help", 0, 0, 'h' }, { 0 }
};

static void check(const struct tool *t)
{
	bool found = !t->rows;

	for (unsigned r = 0; r < n_insn_rows && !found; r++)
		found = !strcmp(insn_rows[r].name, t->rows);
	if (!found)
		fprintf(stderr, "insn-fuzz: --rows %s: no such mnemonic\n", t->rows);
	else if (t->mode && t->mode != 16 && t->mode != 32 && t->mode != 64)
		fprintf(stderr, "insn-fuzz: --mode %d: 16, 32 or 64\n", t->mode);
	else if (!t->jobs || t->jobs > MAX_JOBS)
		fprintf(stderr, "insn-fuzz: --jobs: 1 to %d\n", MAX_JOBS);
	else
		return;
	exit(2);
}

static void plan_lots(struct tool *t)
{
	t->lot_cases = t->cases / 14;
	if (t->lot_cases < 2000)
		t->lot_cases = 2000;
	if (!t->cases || t->lot_cases > 2000000)
		t->lot_cases = 2000000;
	t->lots = t->cases ? (unsigned)((t->cases + t->lot_cases - 1) / t->lot_cases) : ~0u;
}

int main(int argc, char **argv)
{
	struct tool t = { .seed = (uint64_t)time(NULL), .cases = 1000000, .jobs = 1, .out = "." };
	struct sigaction sa = { .sa_handler = on_stop };
	bool minimise = false;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 's': t.seed = parse_number("seed", optarg); break;
		case 'c': t.cases = parse_number("cases", optarg); break;
		case 'm': t.mode = (int)parse_number("mode", optarg); break;
		case 'r': t.rows = optarg; break;
		case 'b': t.only_blocks = true; break;
		case 'S': t.only_singles = true; break;
		case 'w': t.without = optarg; break;
		case 'n': t.no_host = true; break;
		case 'j': t.jobs = (unsigned)parse_number("jobs", optarg); break;
		case 'o': t.out = optarg; break;
		case 'M': minimise = true; break;
		case 'C': t.coverage = true; break;
		case 'l': list_excluded(); return 0;
		case 'h': help(); return 0;
		default: fprintf(stderr, "insn-fuzz: --help tells the options\n"); return 2;
		}
	}
	check(&t);
	if (optind < argc)
		return replay(&t, argv + optind, argc - optind, minimise);
	t.job = mmap(NULL, t.jobs * sizeof(*t.job), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t.job == MAP_FAILED || n_insn_rows > MAX_ROWS) {
		fprintf(stderr, "insn-fuzz: no memory\n");
		return 2;
	}
	plan_lots(&t);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	clock_gettime(CLOCK_MONOTONIC, &t.start);
	bool ok = supervise(&t);
	report(&t);
	return !ok ? 2 : failures(&t) ? 1 : 0;
}
