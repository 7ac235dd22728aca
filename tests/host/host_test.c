/*
 * What host code guest code becomes: x64.txt beside this file has the guest instructions
 * of small blocks and the translation's main path, as capstone prints it, to be reviewed
 * as a diff when code generation changes. Cold paths (slow accesses, flag saves on exits)
 * are left out; offsets from gs: have the names of fields.
 *
 * With BLESS in the environment the file is written anew: tools/bless.
 */
#include <ctype.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/late.h"
#include "config.h"
#include "cpu/disasm.h"
#include "tcg/cache.h"
#include "tcg/run.h"
#include "tests/guest_code.h"

#ifdef CONFIG_CAPSTONE
#include <capstone/capstone.h>

/* ---- blocks ---- */

/* Jumps as bytes: assemblers do not agree about `.+4096` in Intel syntax. */
#define OUT	"\n .byte 0xe9\n .long 4091\n"
#define JUMP(opcode) "\n .byte 0x0f, " #opcode "\n .long 58\n"
GUEST(add_rr, "add rax, rbx" OUT)
GUEST(add_r12, "add r12, r13" OUT)
GUEST(mov_load, "mov rax, [rbx + 8]" OUT)
GUEST(mov_store, "mov [rbx + rcx*8], edx" OUT)
GUEST(mov_fs, "mov rax, fs:[40]" OUT)
GUEST(mov_rip, "mov rax, [rip + 0x20000]\n add [rip + 0x20000], ecx" OUT)
GUEST(add_mem, "add dword ptr [rbx], 1" OUT)
GUEST(lock_xadd, "lock xadd [rbx], eax" OUT)
GUEST(list, "mov rax, [rbx]\n mov rcx, [rbx + 8]\n mov [rbx + 16], rax" OUT)
GUEST(frame, "push rbp\n mov rbp, rsp\n push rbx\n sub rsp, 24\n mov [rsp + 8], rax" OUT)
GUEST(loop, "1: add eax, [rsi]\n add rsi, 4\n dec ecx\n jnz 1b" OUT)
GUEST(cmp_jcc, "cmp eax, ecx" JUMP(0x82) OUT)
GUEST(cmp_mem_jcc, "cmp byte ptr [rdi], 0" JUMP(0x84) OUT)
GUEST(flags_over_load, "cmp eax, ecx\n mov edx, [rbx]" JUMP(0x82) OUT)
GUEST(high_byte, "mov ah, [rbx]" OUT)
GUEST(shl_cl, "shl eax, cl" OUT)
GUEST(setcc, "test eax, eax\n setz cl\n movzx ecx, cl" OUT)
GUEST(cmov, "cmp eax, ecx\n cmovl eax, ecx" OUT)
GUEST(carry_in, "adc rax, rbx" OUT)
GUEST(div, "div rcx" OUT)
GUEST(mul, "imul rax, rbx, 100" OUT)
GUEST(call_ret, ".byte 0xe8\n .long 59")
GUEST(ret, "ret")
GUEST(jmp_ind, "jmp rax")
GUEST(note_before_pop, "and ebx, ecx\n add rsp, 0x18\n pop rbp\n ret")
GUEST(note_ahead, "sub eax, [rsi]\n ret")
GUEST(movups, "movups xmm1, [rbx]" OUT)
GUEST(movaps, "movaps [rbx], xmm1" OUT)
GUEST(addps, "addps xmm1, xmm2\n mulps xmm1, [rbx]" OUT)
GUEST(vex, "vaddps ymm1, ymm2, [rbx]" OUT)
GUEST(fild, "fild dword ptr [rbx]\n fadd st, st(1)" OUT)
GUEST(cvt, "cvttsd2si r13, xmm0" OUT)
GUEST(pushf, "pushfq" OUT)
GUEST(cli, "cli" OUT)
GUEST(rdtsc, "rdtsc" OUT)
GUEST(movsb, "rep movsb" OUT)

#define B(name) { guest_##name, guest_##name##_end }
static const struct block {
	const uint8_t *code, *end;
} blocks[] = {
	B(add_rr), B(add_r12), B(mov_load), B(mov_store), B(mov_fs), B(mov_rip), B(add_mem), B(lock_xadd), B(list), B(frame),
	B(loop), B(cmp_jcc), B(cmp_mem_jcc), B(flags_over_load), B(high_byte), B(shl_cl), B(setcc), B(cmov), B(carry_in), B(div),
	B(mul), B(call_ret), B(ret), B(jmp_ind), B(note_before_pop), B(note_ahead), B(movups), B(movaps), B(addps), B(vex), B(fild), B(cvt), B(pushf),
	B(cli), B(rdtsc), B(movsb),
};

/* ---- text ---- */

#define FIELD(f) { offsetof(struct cpu, f), sizeof(((struct cpu *)0)->f), #f }
#define ENV(f) { offsetof(struct cpu, accel_mem) + offsetof(struct x64_env, f), sizeof(((struct x64_env *)0)->f), #f }
static const struct { uint64_t at, size; const char *name; } fields[] = {
	FIELD(regs), FIELD(rip), FIELD(cc), FIELD(eflags), FIELD(request), FIELD(mode), FIELD(tmp), FIELD(segs),
	FIELD(bounce), FIELD(tsc_offset), ENV(itlb), ENV(jc_tag), ENV(jc_code), FIELD(tlb),
};

/* The number behind gs: as a field. */
static char *put_field(char *to, uint64_t at)
{
	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		if (at >= fields[i].at && at - fields[i].at < fields[i].size) {
			to += sprintf(to, "%s", fields[i].name);
			return at == fields[i].at ? to : to + sprintf(to, "+%#lx", (unsigned long)(at - fields[i].at));
		}
	return to + sprintf(to, "field");
}

/* One host instruction, va counted from tb_entry(); jumps out of the block's hot code have no address. */
static char *put_insn(char *to, const cs_insn *in, const struct code_cache *k, const struct tb *tb)
{
	const char *gs = strstr(in->op_str, "gs:["), *end, *num, *reg;
	uint64_t at;

	to += sprintf(to, "\t%-7s ", in->mnemonic);
	if (!gs && (in->bytes[0] == 0xe8 || in->bytes[0] == 0xe9 || (in->bytes[0] == 0x0f && (in->bytes[1] & 0xf0) == 0x80))) {
		uint64_t target = (uint64_t)(uintptr_t)tb_entry(k, tb) + strtoull(in->op_str, NULL, 0);

		return to + sprintf(to, target - (uint64_t)(uintptr_t)tb_cold(k, tb) < tb->cold_size ? "cold" : "stub");
	}
	if (!gs)
		return to + sprintf(to, "%s", in->op_str);
	end = strchr(gs, ']');
	for (num = end; num > gs && num[-1] != ' ' && num[-1] != '['; num--)
		;
	reg = isalpha(*num) ? end : num[-1] == ' ' ? num - 3 : num;	/* where a register, if there is one, ends */
	to += sprintf(to, "%.*s%s", (int)(reg - in->op_str), in->op_str, reg == num ? "" : " + ");
	at = strtoull(num, NULL, 0);
	if (reg != num && reg[1] == '-')
		at = -at;
	to = put_field(to, (uint64_t)(GS_AT + (int32_t)at));	/* whose upper half it prints or not */
	return to + sprintf(to, "%s", end);
}

static char *put_host(char *to, struct tcg *t, const struct tb *tb)
{
	const uint8_t *p = tb_entry(t->cache, tb) - t->cache->rx;
	size_t n = tb->size - tb->guard;
	uint64_t va = 0;
	struct err e = { 0 };
	cs_insn *in;
	csh h;

	cr_assert(late_load(LATE_CAPSTONE, &e), "%s", e.msg);
	cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &h), CS_ERR_OK);
	in = cs_malloc(h);
	while (n && cs_disasm_iter(h, &p, &n, &va, in)) {
		to = put_insn(to, in, t->cache, tb);
		*to++ = '\n';
	}
	cs_free(in, 1);
	cs_close(&h);
	return to + sprintf(to, "\t%u bytes\n", tb->size - tb->guard);
}

static char *put_guest(char *to, struct machine *m, const struct tb *tb)
{
	const uint8_t *p = machine_mem(m, M_CODE);
	struct insn_env env = { .mode = m->c->mode, .feat = { m->c->insn_feat[0], m->c->insn_feat[1] } };
	struct insn in;

	for (unsigned off = 0, i = 0; i < tb->n_insns; off += in.len, i++) {
		char line[128];

		cr_assert_eq(insn_decode(p + off, 15, &env, &in), INSN_OK);
		insn_text(&in, M_CODE + off, line, sizeof(line));
		to += sprintf(to, "%s\n", line);
	}
	return to;
}

static char *put_block(char *to, struct machine *m, const struct block *b)
{
	struct tb *tb;

	memset(machine_mem(m, M_CODE), 0xcc, 256);
	memcpy(machine_mem(m, M_CODE), b->code, (size_t)(b->end - b->code));
	tcg_flush(tcg_of(m->c));
	m->c->rip = M_CODE;
	tb = tcg_translate(m->c, m->c->mode, false);
	to = put_guest(to, m, tb);
	to = put_host(to, tcg_of(m->c), tb);
	*to++ = '\n';
	*to = 0;
	return to;
}

static void read_all(const char *path, char *buf, size_t n)
{
	FILE *f = fopen(path, "r");

	if (!f)
		return;
	buf[fread(buf, 1, n - 1, f)] = 0;
	fclose(f);
}

Test(host, translations_are_those_of_the_file)
{
	static char text[1 << 17], want[1 << 17];
	char path[512], *to = text;
	struct machine m;

	snprintf(path, sizeof(path), "%.*s/x64.txt", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	machine_init(&m, 64, 0, &tcg_accel);
	for (unsigned i = 0; i < ARRAY_LEN(blocks); i++)
		to = put_block(to, &m, &blocks[i]);
	if (getenv("BLESS")) {
		FILE *f = fopen(path, "w");

		cr_assert(f && fputs(text, f) >= 0);
		fclose(f);
	} else {
		read_all(path, want, sizeof(want));
		for (unsigned i = 0; text[i] || want[i]; i++)
			cr_assert_eq(text[i], want[i], "%s differs at byte %u:\n%.300s\n(tools/bless)", path, i, text + (i < 150 ? 0 : i - 150));
	}
	machine_fini(&m);
}

#else

Test(host, translations_are_those_of_the_file) { cr_skip_test("no capstone"); }

#endif
