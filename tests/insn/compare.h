/*
 * One instruction decoded here and by capstone: is it the same one, as long, with the same
 * operands? Differences that are capstone's fault or taste are in a table, with reasons.
 *
 * Compared: length, mnemonic, and for every operand its kind, register, immediate value or
 * branch target, segment override, base, index, scale, displacement, and size in memory.
 * Not compared: operands that only one of the two lists (compare.c names them).
 */
#ifndef TESTS_INSN_COMPARE_H
#define TESTS_INSN_COMPARE_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/insn.h"

struct pair {
	csh cs;
	cs_insn *ref;		/* capstone's, if it takes the bytes */
	struct insn_env env;
	struct insn in;		/* ours, if we do */
	const uint8_t *bytes;
	const char *what;	/* what differs, NULL if nothing does; or the excuse */
	long same, differ, excused, refused;	/* refused: by both */
};

/* code: MODE_CODE16, MODE_CODE32, MODE_CODE64; all features. False: capstone cannot. */
bool pair_open(struct pair *p, uint32_t code);
void pair_close(struct pair *p);

enum pair_result { PAIR_SAME, PAIR_DIFFER, PAIR_EXCUSED, PAIR_REFUSED };
/* 15 bytes at b. *len: how far to go on. */
enum pair_result pair_compare(struct pair *p, const uint8_t *b, unsigned *len);
/* Both opinions in one line, for a message. */
const char *pair_text(const struct pair *p, const uint8_t *b, char *buf, size_t n);

#endif
