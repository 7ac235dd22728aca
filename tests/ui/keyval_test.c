/* ui/keyval.c: splitting, typed values, complaints, sizes. */
#include <criterion/criterion.h>
#include <string.h>

#include "ui/json.h"
#include "ui/keyval.h"

Test(keyval, first_word_may_lack_its_key)
{
	struct err e;
	struct kv k;

	kv_parse(&k, "-x", "disk.img,format=raw,readonly", "file", &e);
	cr_assert_str_eq(kv_str(&k, "file", ""), "disk.img");
	cr_assert_str_eq(kv_str(&k, "format", ""), "raw");
	cr_assert(kv_bool(&k, "readonly", false));
	cr_assert(kv_done(&k));
	kv_free(&k);
}

Test(keyval, doubled_comma_is_a_comma)
{
	struct err e;
	struct kv k;

	kv_parse(&k, "-x", "file=a,,b,id=c", NULL, &e);
	cr_assert_str_eq(kv_str(&k, "file", ""), "a,b");
	cr_assert_str_eq(kv_str(&k, "id", ""), "c");
	cr_assert(kv_done(&k));
	kv_free(&k);
}

Test(keyval, no_in_front_switches_off)
{
	struct err e;
	struct kv k;

	kv_parse(&k, "-x", "a=1,nowait", NULL, &e);
	cr_assert_not(kv_bool(&k, "wait", true));
	kv_free(&k);
}

Test(keyval, last_of_a_key_counts)
{
	struct err e;
	struct kv k;

	kv_parse(&k, "-x", "n=1,n=2", NULL, &e);
	cr_assert_eq(kv_num(&k, "n", 0, 0, 9), 2);
	cr_assert(kv_done(&k));
	kv_free(&k);
}

Test(keyval, unknown_key_names_the_nearest)
{
	struct err e;
	struct kv k;

	kv_parse(&k, "-drive", "fromat=raw", NULL, &e);
	kv_str(&k, "format", NULL);
	kv_str(&k, "file", NULL);
	cr_assert_not(kv_done(&k));
	cr_assert_str_eq(e.msg, "-drive: no key 'fromat'; did you mean format?");
	kv_free(&k);
}

Test(keyval, wrong_values_say_what_was_expected)
{
	static const char *const words[] = { "disk", "cdrom", NULL };
	struct err e;
	struct kv k;

	kv_parse(&k, "-x", "n=12", NULL, &e);
	kv_num(&k, "n", 0, 0, 9);
	cr_assert_not(kv_done(&k));
	cr_assert_str_eq(e.msg, "-x: n=12: expected a number from 0 to 9");
	kv_free(&k);

	kv_parse(&k, "-x", "media=cdrmo", NULL, &e);
	kv_word(&k, "media", 0, words);
	cr_assert_not(kv_done(&k));
	cr_assert_str_eq(e.msg, "-x: media=cdrmo: expected disk, cdrom; did you mean cdrom?");
	kv_free(&k);
}

Test(keyval, too_many_pairs_are_an_error)
{
	char text[400] = "a";
	struct err e;
	struct kv k;

	for (int i = 0; i < 2 * KV_MAX; i++)
		strcat(text, ",a=1");
	kv_parse(&k, "-x", text, NULL, &e);
	kv_num(&k, "a", 0, 0, 9);
	cr_assert_not(kv_done(&k));
	kv_free(&k);
}

static uint64_t size_of(const char *s)
{
	uint64_t v;

	return parse_size(s, 1 << 20, &v) ? v : UINT64_MAX;
}

Test(keyval, sizes)
{
	cr_assert_eq(size_of("512"), 512ull << 20);
	cr_assert_eq(size_of("512M"), 512ull << 20);
	cr_assert_eq(size_of("1g"), 1ull << 30);
	cr_assert_eq(size_of("1GiB"), 1ull << 30);
	cr_assert_eq(size_of("1.5G"), 3ull << 29);
	cr_assert_eq(size_of("64k"), 64ull << 10);
	cr_assert_eq(size_of("100B"), 100);
	cr_assert_eq(size_of("0x10"), 16ull << 20);
}

Test(keyval, malformed_sizes)
{
	static const char *const bad[] = { "", "M", "-1", "1X", "1MM", "1M2", "99999999999999999999", "17179869184G", "1.2.3" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(size_of(bad[i]), UINT64_MAX, "%s", bad[i]);
}

Test(keyval, json_is_the_same)
{
	const char *all[4];
	struct err e = { "" };
	struct kv k;

	if (!json_built_in())
		cr_skip_test("built without jansson");
	kv_parse(&k, "-x", "{\"driver\":\"a,b\",\"file\":{\"name\":\"f\"},\"n\":5,\"on\":true,\"l\":[\"p\",\"q\"]}", "driver", &e);
	cr_assert_str_eq(kv_str(&k, "driver", ""), "a,b");
	cr_assert_str_eq(kv_str(&k, "file.name", ""), "f");
	cr_assert_eq(kv_num(&k, "n", 0, 0, 9), 5);
	cr_assert(kv_bool(&k, "on", false));
	cr_assert_eq(kv_all(&k, "l", all, 4), 2);
	cr_assert_str_eq(all[1], "q");
	cr_assert(kv_done(&k), "%s", e.msg);
	kv_free(&k);
	kv_parse(&k, "-x", "{\"driver\":", "driver", &e);
	cr_assert_not(kv_done(&k));
	cr_assert(strstr(e.msg, "-x: JSON parse error"), "%s", e.msg);
	kv_free(&k);
	kv_parse(&k, "-x", "{\"n\":null}", NULL, &e);
	cr_assert_not(kv_done(&k));
}
