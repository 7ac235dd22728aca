/*
 * Guest code in C files, in Intel syntax, assembled with them:
 *
 *	GUEST(add_one, "inc eax; out 0xf4, al")
 *	GUEST_PUT(m, M_CODE, add_one);
 *
 * It starts at a multiple of 64, for .balign in it. 64-bit code unless it says .code32 itself, position independent unless it names addresses.
 */
#ifndef TESTS_GUEST_CODE_H
#define TESTS_GUEST_CODE_H

#include "tests/machine.h"

#define GUEST(name, text)								\
	extern const uint8_t guest_##name[], guest_##name##_end[];			\
	asm(".pushsection .rodata\n\t.intel_syntax noprefix\n"				\
	    ".balign 64\nguest_" #name ":\n\t" text "\n"						\
	    "guest_" #name "_end:\n\t.code64\n\t.att_syntax prefix\n\t.popsection");
#define GUEST_SIZE(name) ((unsigned)(guest_##name##_end - guest_##name))
#define GUEST_PUT(m, pa, name) machine_put(m, pa, guest_##name, GUEST_SIZE(name))

/* A test of 64-bit code at CPL 0, once translated and once interpreted. */
#define TEST_BOTH(suite, name)								\
	static void name(struct machine *m);						\
	static void name##_on(const struct accel_ops *ops)				\
	{										\
		struct machine m;							\
											\
		machine_init(&m, 64, 0, ops);						\
		name(&m);								\
		machine_fini(&m);							\
	}										\
	Test(suite, name) { name##_on(&tcg_accel); }					\
	Test(suite, name##_interpreted) { name##_on(&tcg_interp_accel); }		\
	static void name(struct machine *m)

#define GUEST_TEXT2(x) #x
#define GUEST_TEXT(x) GUEST_TEXT2(x)

#endif
