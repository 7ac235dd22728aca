/*
 * Late libraries: each function's name is one jump through a word that late_load() fills in, as the
 * linker's own table would be; so calls cost what they always did, and the headers are the libraries'.
 */
#include "base/late.h"

#include <dlfcn.h>

#include "base/bits.h"
#include "config.h"

/* Hidden: the libraries go on calling their own. */
#define LATE(library, function) \
	void *late_##function __attribute__((visibility("hidden"))); \
	__asm__(".pushsection .text\n" \
		".globl " #function "\n" \
		".hidden " #function "\n" \
		".type " #function ", @function\n" \
		#function ": jmp *late_" #function "(%rip)\n" \
		".size " #function ", . - " #function "\n" \
		".popsection\n");
#include "base/late.def"
#undef LATE

static const struct {
	enum late library;
	const char *name;
	void **at;
} rows[] = {
#define LATE(library, function) { LATE_##library, #function, &late_##function },
#include "base/late.def"
#undef LATE
	{ 0 }
};

static const char *const files[] = {
#ifdef CONFIG_CAPSTONE
	[LATE_CAPSTONE] = CONFIG_CAPSTONE_FILE,
#endif
#ifdef CONFIG_SDL2
	[LATE_SDL2] = CONFIG_SDL2_FILE,
#endif
#ifdef CONFIG_VNC
	[LATE_VNC] = CONFIG_VNC_FILE,
#endif
#ifdef CONFIG_WEB
	[LATE_WEB] = CONFIG_WEB_FILE,
#endif
	NULL
};

bool late_load(enum late library, struct err *e)
{
	void *handle = dlopen(files[library], RTLD_NOW);

	if (!handle)
		return err_set(e, "a library is missing: %s", dlerror());
	for (unsigned i = 0; rows[i].name; i++) {
		if (rows[i].library != library)
			continue;
		*rows[i].at = dlsym(handle, rows[i].name);
		if (!*rows[i].at)
			return err_set(e, "%s is not the one that this program was made with: it has no %s", files[library], rows[i].name);
	}
	return true;
}
