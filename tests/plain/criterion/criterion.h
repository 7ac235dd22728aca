/*
 * As much of Criterion as the tests with threads use, for builds that Criterion cannot run
 * in (ThreadSanitizer wants the addresses that its processes share): each test is a
 * child of the process, a failed assertion ends it (tests/plain/main.c).
 */
#ifndef TESTS_PLAIN_CRITERION_H
#define TESTS_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
	void (*init)(void), (*fini)(void);
	double timeout;
	int signal;
};
struct plain_suite {
	const char *name;
	struct plain_options options;
	struct plain_suite *next;
};
struct plain_test {
	const char *suite, *name;
	void (*run)(void *parameter);
	void *(*parameters)(size_t *n, size_t *size);
	struct plain_options options;
	struct plain_test *next;
};
void plain_add_suite(struct plain_suite *s);
void plain_add_test(struct plain_test *t);

#define TestSuite(s, ...) \
	__attribute__((constructor)) static void plain_suite_##s(void) \
	{ \
		static struct plain_suite x = { .name = #s, .options = { __VA_ARGS__ } }; \
		plain_add_suite(&x); \
	}

#define PLAIN_TEST(s, t, list, ...) \
	static void s##_##t##_run(void *parameter); \
	__attribute__((constructor)) static void plain_test_##s##_##t(void) \
	{ \
		static struct plain_test x = { \
			.suite = #s, .name = #t, .run = s##_##t##_run, .parameters = list, .options = { __VA_ARGS__ } \
		}; \
		plain_add_test(&x); \
	}

#define Test(s, t, ...) \
	PLAIN_TEST(s, t, NULL, __VA_ARGS__) \
	static void s##_##t##_run(void *parameter __attribute__((unused)))

#define cr_assert_fail(...) plain_fail(__FILE__, __LINE__, "failed")
#define cr_assert(c, ...) ((c) ? (void)0 : plain_fail(__FILE__, __LINE__, #c))
#define cr_assert_not(c, ...) cr_assert(!(c))
#define cr_assert_null(c, ...) cr_assert(!(c))
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...) cr_assert((a) < (b))
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b))
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b))
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b))
#define cr_assert_str_eq(a, b, ...) cr_assert(!strcmp(a, b))
#define cr_assert_arr_eq(a, b, n, ...) cr_assert(!memcmp(a, b, n))
#define cr_assert_str_empty(a, ...) cr_assert(!*(a))
#define cr_assert_not_null(c, ...) cr_assert(c)
#define cr_assert_float_eq(a, b, e, ...) cr_assert((a) - (b) <= (e) && (b) - (a) <= (e))
#define cr_expect cr_assert
#define cr_expect_not cr_assert_not
#define cr_expect_null cr_assert_null
#define cr_expect_eq cr_assert_eq
#define cr_expect_neq cr_assert_neq
#define cr_expect_lt cr_assert_lt
#define cr_expect_gt cr_assert_gt
#define cr_expect_leq cr_assert_leq
#define cr_expect_geq cr_assert_geq
#define cr_expect_str_eq cr_assert_str_eq
#define cr_expect_arr_eq cr_assert_arr_eq
#define cr_expect_fail cr_assert_fail
#define cr_skip_test(...) exit(0)
#define cr_log_info(...) ((void)0)
#define cr_log_warn(...) ((void)0)
void plain_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
