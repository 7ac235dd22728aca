/* Passes by name, so that they can be switched off. */
#include "tcg/pass.h"

#include <string.h>

#include "tcg/cache.h"
#include "tcg/run.h"

const char *const pass_names[PASS_COUNT] = {
	[PASS_FLAGS] = "flags", [PASS_DEAD] = "dead", [PASS_MEM] = "mem",
	[PASS_REGION] = "region",
};

bool pass_list(const char *list, uint32_t *passes)
{
	*passes = 0;
	while (*list) {
		size_t n = strcspn(list, "+");
		unsigned i = 0;

		while (i < PASS_COUNT && (strlen(pass_names[i]) != n || memcmp(pass_names[i], list, n)))
			i++;
		if (i == PASS_COUNT)
			return false;
		*passes |= 1u << i;
		list += n + (list[n] == '+');
	}
	return true;
}

bool tcg_without(struct cpu *c, const char *passes, struct err *e)
{
	if (!pass_list(passes, &tcg_of(c)->cache->without))
		return err_set(e, "%s: the passes are flags, dead, mem and region", passes);
	tcg_flush(tcg_of(c));
	return true;
}
