/*
 * A vCPU's registers as text. The layout is the one QEMU's users and their
 * scripts know: names in capitals, values in hexadecimal of full width.
 */
#include "cpu/dump.h"

#include <string.h>

static const char *const gpr[NGPR] = {
	"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
	"R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15",
};
static const char *const segment[NSEG] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR" };

static void dump_general(const struct cpu *c, FILE *out)
{
	static const uint8_t order[] = { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
					 R8, R9, R10, R11, R12, R13, R14, R15 };
	bool wide = cpu_is64(c);

	for (int i = 0; i < (wide ? 16 : 8); i++) {
		int r = order[i];
		const char *end = i % 4 == 3 ? "\n" : " ";

		if (wide)
			fprintf(out, "%s=%016llx%s", gpr[r], (unsigned long long)c->regs[r], end);
		else
			fprintf(out, "E%s=%08x%s", gpr[r] + 1, (uint32_t)c->regs[r], end);
	}
}

static void dump_flags(const struct cpu *c, FILE *out)
{
	static const struct { uint32_t bit; char letter; } letters[] = {
		{ FL_DF, 'D' }, { FL_OF, 'O' }, { FL_SF, 'S' }, { FL_ZF, 'Z' },
		{ FL_AF, 'A' }, { FL_PF, 'P' }, { FL_CF, 'C' },
	};
	uint32_t fl = cpu_get_eflags(c);

	if (cpu_is64(c))
		fprintf(out, "RIP=%016llx RFL=%08x [", (unsigned long long)c->rip, fl);
	else
		fprintf(out, "EIP=%08x EFL=%08x [", (uint32_t)c->rip, fl);
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		fputc(fl & letters[i].bit ? letters[i].letter : '-', out);
	fprintf(out, "] CPL=%d SMM=%d HLT=%d\n", cpu_cpl(c), c->in_smm, c->halted);
}

static const char *segment_kind(const struct seg *s)
{
	static const char *const system[16] = {
		"", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
		"", "TSS-avl", "", "TSS-busy", "CallGate", "", "IntGate", "TrapGate",
	};

	if (!(s->attr & SEG_S))
		return system[SEG_TYPE(s->attr)];
	if (s->attr & 8)
		return s->attr & SEG_L ? "CS64" : s->attr & SEG_DB ? "CS32" : "CS16";
	return "DS";
}

static void dump_segments(const struct cpu *c, FILE *out)
{
	static const uint8_t order[] = { ES, CS, SS, DS, FS, GS, LDTR, TR };

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const struct seg *s = &c->segs[order[i]];

		fprintf(out, "%-3s=%04x %016llx %08x %08x DPL=%d %s\n", segment[order[i]], s->sel,
			(unsigned long long)s->base, s->limit, s->attr << 8, SEG_DPL(s->attr),
			s->attr & SEG_P ? segment_kind(s) : "");
	}
	fprintf(out, "GDT=     %016llx %08x\nIDT=     %016llx %08x\n",
		(unsigned long long)c->gdtr.base, c->gdtr.limit,
		(unsigned long long)c->idtr.base, c->idtr.limit);
}

static void dump_system(const struct cpu *c, FILE *out)
{
	fprintf(out, "CR0=%08x CR2=%016llx CR3=%016llx CR4=%08x\n", (uint32_t)c->cr0,
		(unsigned long long)c->cr2, (unsigned long long)c->cr3, (uint32_t)c->cr4);
	for (int i = 0; i < 4; i++)
		fprintf(out, "DR%d=%016llx ", i, (unsigned long long)c->dr[i]);
	fprintf(out, "\nDR6=%016llx DR7=%016llx\nEFER=%016llx\n", (unsigned long long)c->dr[6],
		(unsigned long long)c->dr[7], (unsigned long long)c->efer);
}

/* Legacy area of the XSAVE image (SDM vol. 1, table 13-1): FCW, FSW, FTW, MXCSR, ST at 32, XMM at 160. */
static void dump_fpu(const struct cpu *c, FILE *out)
{
	const uint8_t *x = c->xsave;
	int nxmm = cpu_is64(c) ? 16 : 8;

	fprintf(out, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", ld16(x), ld16(x + 2),
		(int)bits(ld16(x + 2), 13, 11), x[4], ld32(x + 24));
	for (int i = 0; i < 8; i++)
		fprintf(out, "FPR%d=%016llx %04x%s", i, (unsigned long long)ld64(x + 32 + 16 * i),
			ld16(x + 40 + 16 * i), i % 2 ? "\n" : " ");
	for (int i = 0; i < nxmm; i++)
		fprintf(out, "XMM%02d=%016llx %016llx%s", i, (unsigned long long)ld64(x + 168 + 16 * i),
			(unsigned long long)ld64(x + 160 + 16 * i), i % 2 ? "\n" : " ");
}

void cpu_dump(const struct cpu *c, FILE *out, bool fpu)
{
	dump_general(c, out);
	dump_flags(c, out);
	dump_segments(c, out);
	dump_system(c, out);
	if (fpu)
		dump_fpu(c, out);
}

/* ---- by name ---- */

#define AT(field)	offsetof(struct cpu, field)
static const struct named {
	const char *name;
	uint32_t off;
	uint8_t size, shift;
} named[] = {
#define GPR(q, d, w, n)	{ q, AT(regs[n]), 8, 0 }, { d, AT(regs[n]), 4, 0 }, { w, AT(regs[n]), 2, 0 }
	GPR("rax", "eax", "ax", RAX), GPR("rcx", "ecx", "cx", RCX), GPR("rdx", "edx", "dx", RDX),
	GPR("rbx", "ebx", "bx", RBX), GPR("rsp", "esp", "sp", RSP), GPR("rbp", "ebp", "bp", RBP),
	GPR("rsi", "esi", "si", RSI), GPR("rdi", "edi", "di", RDI),
	GPR("r8", "r8d", "r8w", R8), GPR("r9", "r9d", "r9w", R9), GPR("r10", "r10d", "r10w", R10),
	GPR("r11", "r11d", "r11w", R11), GPR("r12", "r12d", "r12w", R12), GPR("r13", "r13d", "r13w", R13),
	GPR("r14", "r14d", "r14w", R14), GPR("r15", "r15d", "r15w", R15),
	{ "al", AT(regs[RAX]), 1, 0 }, { "cl", AT(regs[RCX]), 1, 0 }, { "dl", AT(regs[RDX]), 1, 0 },
	{ "bl", AT(regs[RBX]), 1, 0 }, { "ah", AT(regs[RAX]), 1, 8 }, { "ch", AT(regs[RCX]), 1, 8 },
	{ "dh", AT(regs[RDX]), 1, 8 }, { "bh", AT(regs[RBX]), 1, 8 },
	{ "rip", AT(rip), 8, 0 }, { "eip", AT(rip), 4, 0 }, { "pc", AT(rip), 8, 0 },
#define SEGMENT(s, n)	{ s, AT(segs[n].sel), 2, 0 }, { s ".base", AT(segs[n].base), 8, 0 }, \
			{ s ".limit", AT(segs[n].limit), 4, 0 }
	SEGMENT("es", ES), SEGMENT("cs", CS), SEGMENT("ss", SS), SEGMENT("ds", DS), SEGMENT("fs", FS),
	SEGMENT("gs", GS), SEGMENT("ldtr", LDTR), SEGMENT("tr", TR),
	{ "cr0", AT(cr0), 8, 0 }, { "cr2", AT(cr2), 8, 0 }, { "cr3", AT(cr3), 8, 0 },
	{ "cr4", AT(cr4), 8, 0 }, { "efer", AT(efer), 8, 0 },
	{ "dr0", AT(dr[0]), 8, 0 }, { "dr1", AT(dr[1]), 8, 0 }, { "dr2", AT(dr[2]), 8, 0 },
	{ "dr3", AT(dr[3]), 8, 0 }, { "dr6", AT(dr[6]), 8, 0 }, { "dr7", AT(dr[7]), 8, 0 },
	{ "gdtr.base", AT(gdtr.base), 8, 0 }, { "idtr.base", AT(idtr.base), 8, 0 },
	{ "eflags", 0, 0, 0 }, { "rflags", 0, 0, 0 },	/* put together from two fields */
};

bool cpu_reg_by_name(const struct cpu *c, const char *name, uint64_t *v)
{
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		const struct named *n = &named[i];

		if (strcmp(name, n->name))
			continue;
		*v = n->size ? ld64((const char *)c + n->off) >> n->shift & size_mask(n->size)
			     : cpu_get_eflags(c);
		return true;
	}
	return false;
}

const char *cpu_reg_name(unsigned n)
{
	return n < ARRAY_LEN(named) ? named[n].name : NULL;
}
