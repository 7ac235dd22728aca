/* Libraries that are loaded when they are needed. */
#include "base/late.h"

#include <criterion/criterion.h>

#include "config.h"

static const enum late libraries[] = {
#ifdef CONFIG_CAPSTONE
	LATE_CAPSTONE,
#endif
#ifdef CONFIG_SDL2
	LATE_SDL2,
#endif
#ifdef CONFIG_VNC
	LATE_VNC,
#endif
#ifdef CONFIG_WEB
	LATE_WEB,
#endif
};

Test(late, libraries_have_all_functions_that_are_called)
{
	for (unsigned i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		struct err e = { 0 };

		cr_expect(late_load(libraries[i], &e), "%s", e.msg);
		cr_expect(late_load(libraries[i], &e), "again: %s", e.msg);
	}
}
