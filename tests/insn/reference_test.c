/*
 * The decoder beside capstone (compare.h), on random bytes and on the code of this program
 * and the host's C library. tools/decode-check does the same with whole files.
 */
#include "config.h"

#include <criterion/criterion.h>

#ifdef CONFIG_CAPSTONE
#include <link.h>
#include <string.h>

#include "cpu/cpu.h"
#include "tests/insn/compare.h"
#include "tests/insn/gen.h"

#define SEED 0xa4093822299f31d0ull

static unsigned check(struct pair *p, const uint8_t *b)
{
	char line[300];
	unsigned len;

	if (pair_compare(p, b, &len) == PAIR_DIFFER)
		cr_expect(false, "%s", pair_text(p, b, line, sizeof(line)));
	return len;
}

/* Random bytes, most of them behind something that leads to a crowded part of the map. */
static void random_bytes(struct rng *r, uint8_t b[16])
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0x2e, 0xf0 };
	unsigned k = 0;

	for (unsigned i = 0; i < 16; i++)
		b[i] = (uint8_t)rng_below(r, 256);
	if (!rng_below(r, 3))
		b[k++] = prefixes[rng_below(r, 8)];
	switch (rng_below(r, 6)) {
	case 0: case 1:
		b[k] = 0x0f;
		break;
	case 2:
		b[k] = 0x0f;
		b[k + 1] = rng_below(r, 2) ? 0x38 : 0x3a;
		b[k + 2] &= 0x7f;
		break;
	case 3:
		b[0] = 0xc4;
		b[1] = (b[1] & 0xe0) | (1 + rng_below(r, 3));
		break;
	case 4:
		b[0] = 0xc5;
		break;
	}
}

static void random_walk(uint32_t code)
{
	struct rng r = { SEED + code };
	struct pair p;
	uint8_t b[16];

	cr_assert(pair_open(&p, code));
	for (int i = 0; i < 100000; i++) {
		random_bytes(&r, b);
		check(&p, b);
	}
	cr_expect_gt(p.same, 30000);
	pair_close(&p);
}

Test(reference, random_bytes_in_16_bit_code) { random_walk(MODE_CODE16); }
Test(reference, random_bytes_in_32_bit_code) { random_walk(MODE_CODE32); }
Test(reference, random_bytes_in_64_bit_code) { random_walk(MODE_CODE64); }

/* ---- real code ---- */

static int sweep(struct dl_phdr_info *info, size_t size, void *pair)
{
	(void)size;
	if (*info->dlpi_name && !strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		const uint8_t *code = (const uint8_t *)(info->dlpi_addr + h->p_vaddr);
		if (h->p_type == PT_LOAD && h->p_flags & PF_X)
			for (size_t at = 0; at + 15 < h->p_filesz; )
				at += check(pair, code + at);
	}
	return 0;
}

Test(reference, code_of_this_program_and_the_c_library)
{
	struct pair p;

	cr_assert(pair_open(&p, MODE_CODE64));
	dl_iterate_phdr(sweep, &p);
	cr_expect_gt(p.same, 200000);
	pair_close(&p);
}
#else
Test(reference, capstone)
{
	cr_skip_test("built without capstone");
}
#endif
