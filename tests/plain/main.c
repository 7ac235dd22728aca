/* Run tests without Criterion (criterion.h beside this): all, or those of the suites named. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct plain_suite *suites;
static struct plain_test *tests;

void plain_add_suite(struct plain_suite *s)
{
	s->next = suites;
	suites = s;
}

void plain_add_test(struct plain_test *t)
{
	t->next = tests;
	tests = t;
}

void plain_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	_exit(1);
}

static struct plain_options options_of(const struct plain_test *t)
{
	struct plain_options o = t->options;

	for (const struct plain_suite *s = suites; s; s = s->next) {
		if (strcmp(s->name, t->suite))
			continue;
		o.init = o.init ? o.init : s->options.init;
		o.fini = o.fini ? o.fini : s->options.fini;
	}
	return o;
}

/* In a process of its own. True: it ended well. */
static bool run(const struct plain_test *t, void *parameter)
{
	struct plain_options o = options_of(t);
	int status = 0;

	fflush(stdout);
	pid_t pid = fork();
	if (pid) {
		waitpid(pid, &status, 0);
		return o.signal ? WIFSIGNALED(status) && WTERMSIG(status) == o.signal : !status;
	}
	alarm(300);
	if (o.init)
		o.init();
	t->run(parameter);
	if (o.fini)
		o.fini();
	exit(0);
}

static bool chosen(const struct plain_test *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], t->suite))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;

	for (const struct plain_test *t = tests; t; t = t->next) {
		size_t n = 1, size = 0;
		char *parameters = t->parameters ? t->parameters(&n, &size) : NULL;
		for (size_t i = 0; i < n && chosen(t, argc, argv); i++) {
			bool ok = run(t, parameters ? parameters + i * size : NULL);
			passed += ok;
			failed += !ok;
			if (!ok)
				printf("FAILED %s::%s\n", t->suite, t->name);
		}
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
