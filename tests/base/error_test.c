/* base/error.c */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

Test(error, set_returns_false_and_keeps_the_message)
{
	struct err e = { "" };

	cr_assert_not(err_set(&e, "no %s", "disk"));
	cr_assert_str_eq(e.msg, "no disk");
}

Test(error, errno_text_follows_the_message)
{
	struct err e = { "" };

	errno = ENOENT;
	cr_assert_not(err_errno(&e, "open %s", "x"));
	cr_assert_str_eq(e.msg, "open x: No such file or directory");
}

Test(error, prefix_puts_context_first)
{
	struct err e = { "" };

	err_set(&e, "too short");
	cr_assert_not(err_prefix(&e, "drive %d", 2));
	cr_assert_str_eq(e.msg, "drive 2: too short");
}

Test(error, long_messages_are_cut)
{
	struct err e = { "" };
	char s[2000];

	memset(s, 'a', sizeof(s));
	s[sizeof(s) - 1] = 0;
	err_set(&e, "%s", s);
	err_prefix(&e, "context");
	cr_assert_eq(strlen(e.msg), sizeof(e.msg) - 1);
	cr_assert_not(strncmp(e.msg, "context: aaa", 12));
}
