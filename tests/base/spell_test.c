/* base/spell.c: edit distance and what counts as near. */
#include <criterion/criterion.h>

#include "base/bits.h"
#include "base/spell.h"

static const char *nearest(const char *word)
{
	static const char *const words[] = { "kernel", "initrd", "append", "nographic", "m", "smp", "serial" };
	struct spell s;

	spell_init(&s, word);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		spell_try(&s, words[i]);
	return s.best ? s.best : "";
}

Test(spell, distance_counts_edits)
{
	cr_assert_eq(spell_distance("kernel", "kernel"), 0);
	cr_assert_eq(spell_distance("kernl", "kernel"), 1);
	cr_assert_eq(spell_distance("kernelx", "kernel"), 1);
	cr_assert_eq(spell_distance("karnel", "kernel"), 1);
	cr_assert_eq(spell_distance("kitten", "sitting"), 3);
	cr_assert_eq(spell_distance("", "abc"), 3);
}

Test(spell, swapped_letters_are_one_edit)
{
	cr_assert_eq(spell_distance("kenrel", "kernel"), 1);
}

Test(spell, the_nearest_word_is_found)
{
	cr_assert_str_eq(nearest("kernl"), "kernel");
	cr_assert_str_eq(nearest("no-graphic"), "nographic");
	cr_assert_str_eq(nearest("intrd"), "initrd");
	cr_assert_str_eq(nearest("SMP"), "smp");
	cr_assert_str_eq(nearest("ser"), "serial");
}

Test(spell, nothing_is_near_a_strange_word)
{
	cr_assert_str_eq(nearest("xyzzy"), "");
	cr_assert_str_eq(nearest("q"), "");
}

Test(spell, hint_is_empty_without_candidate)
{
	struct spell s;
	char buf[64] = "x";

	spell_init(&s, "zzz");
	cr_assert_str_eq(spell_hint(&s, buf, sizeof(buf)), "");
	spell_try(&s, "zzy");
	cr_assert_str_eq(spell_hint(&s, buf, sizeof(buf)), "; did you mean zzy?");
}
