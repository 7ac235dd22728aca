/*
 * Listings of blocks. Guest and host code are disassembled by capstone where it was found at
 * configure time and is there now: it is loaded for the first listing, for it
 * takes 3 MiB of memory. Otherwise guest code is listed by our own table, host code as bytes.
 */
#include "tcg/logs.h"

#include <string.h>

#include "base/late.h"
#include "config.h"
#include "cpu/disasm.h"
#ifdef CONFIG_CAPSTONE
#include <capstone/capstone.h>
#endif

void log_ir(const struct ir *ir, enum log_area area)
{
	char line[160];

	if (!log_on(area) || !log_in_range(ir->rip + ir->cs_base))
		return;
	log_to(area, "%s of %#lx, mode %#x:\n", area == LOG_UOP ? "uops" : "uops, optimised,",
	       (unsigned long)ir->rip, ir->mode);
	for (unsigned i = 0; i < ir->n_uops; i++) {
		uop_text(ir, &ir->uops[i], line, sizeof(line));
		log_to(area, "  %s\n", line);
	}
}

#ifdef CONFIG_CAPSTONE
/* False: by other means, please. */
static bool list(enum log_area area, unsigned code_mode, const uint8_t *code, size_t n, uint64_t va)
{
	static const cs_mode modes[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };
	struct err none;
	cs_insn *in;
	csh h;

	if (!late_load(LATE_CAPSTONE, &none) || cs_open(CS_ARCH_X86, modes[code_mode], &h) != CS_ERR_OK)
		return false;
	in = cs_malloc(h);
	while (n) {
		if (!cs_disasm_iter(h, &code, &n, &va, in)) {
			log_to(area, "  %#lx: .byte %#x\n", (unsigned long)va, *code);
			code++, n--, va++;
			continue;
		}
		log_to(area, "  %#lx: %s %s\n", (unsigned long)in->address, in->mnemonic, in->op_str);
	}
	cs_free(in, 1);
	cs_close(&h);
	return true;
}
#else
static bool list(enum log_area area, unsigned code_mode, const uint8_t *code, size_t n, uint64_t va)
{
	(void)area, (void)code_mode, (void)code, (void)n, (void)va;
	return false;
}
#endif

static void list_guest(const struct tcg *t, const struct tb *tb, const uint8_t *bytes)
{
	char line[128];

	if (list(LOG_IN_ASM, tb->mode & MODE_CODE, bytes, tb->len, tb->rip))
		return;
	for (unsigned i = 0; i < t->ir->n_insns; i++) {
		insn_text(&t->ir->insns[i], tb->rip + t->ir->off[i], line, sizeof(line));
		log_to(LOG_IN_ASM, "  %#lx: %s\n", (unsigned long)(tb->rip + t->ir->off[i]), line);
	}
}

static void list_host(const uint8_t *code, uint32_t n)
{
	if (list(LOG_OUT_ASM, MODE_CODE64, code, n, (uint64_t)(uintptr_t)code))
		return;
	for (uint32_t i = 0; i < n; i++)
		log_to(LOG_OUT_ASM, i % 16 == 15 || i + 1 == n ? "%02x\n" : "%02x ", code[i]);
}

void log_code(const struct tcg *t, const struct tb *tb, const uint8_t *bytes)
{
	if (!(log_on(LOG_IN_ASM) || log_on(LOG_OUT_ASM)) || !log_in_range(tb->rip + tb->cs_base))
		return;
	if (log_on(LOG_IN_ASM)) {
		log_to(LOG_IN_ASM, "in, %#lx, mode %#x:\n", (unsigned long)tb->rip, tb->mode);
		list_guest(t, tb, bytes);
	}
	if (log_on(LOG_OUT_ASM) && !t->interp) {
		log_to(LOG_OUT_ASM, "out, %#lx, %u bytes, %u cold:\n", (unsigned long)tb->rip, (unsigned)tb->size,
		       (unsigned)tb->cold_size);
		list_host(tb_code(t->cache, tb), tb->size);
		log_to(LOG_OUT_ASM, "cold:\n");
		list_host(tb_cold(t->cache, tb), tb->cold_size);
	}
}

void log_exec(const struct cpu *c, const struct tb *tb)
{
	if (log_on(LOG_EXEC) && log_in_range(tb->rip + tb->cs_base))
		log_to(LOG_EXEC, "exec cpu %d rip %#lx cs_base %#lx mode %#x\n", c->index, (unsigned long)tb->rip,
		       (unsigned long)tb->cs_base, tb->mode);
}
