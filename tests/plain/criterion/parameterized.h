/* Tests with parameters, as criterion.h beside this has plain ones. */
#ifndef TESTS_PLAIN_PARAMETERIZED_H
#define TESTS_PLAIN_PARAMETERIZED_H

#define ParameterizedTestParameters(s, t) \
	static void *s##_##t##_parameters(size_t *plain_n, size_t *plain_size)

#define cr_make_param_array(type, array, n, ...) \
	(*plain_n = (n), *plain_size = sizeof(type), (void *)(array))

#define ParameterizedTest(parameter, s, t, ...) \
	static void s##_##t##_with(parameter); \
	PLAIN_TEST(s, t, s##_##t##_parameters, __VA_ARGS__) \
	static void s##_##t##_run(void *p) \
	{ \
		s##_##t##_with(p); \
	} \
	static void s##_##t##_with(parameter)

#endif
