/* CRC-32C against the examples of RFC 3720, B.4. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/crc32c.h"

Test(crc32c, the_examples_of_the_rfc)
{
	uint8_t b[32];

	memset(b, 0, sizeof(b));
	cr_expect_eq(crc32c(0, b, 32), 0x8a9136aau);
	memset(b, 0xff, sizeof(b));
	cr_expect_eq(crc32c(0, b, 32), 0x62a8ab43u);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	cr_expect_eq(crc32c(0, b, 32), 0x46dd794eu);
	cr_expect_eq(crc32c(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, pieces_add_up)
{
	const char *s = "a snapshot of the whole machine";

	cr_expect_eq(crc32c(crc32c(0, s, 11), s + 11, strlen(s) - 11), crc32c(0, s, strlen(s)));
}
