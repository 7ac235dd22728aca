/*
 * CPU models and features (cpu/cpuid.def), and what CPUID answers.
 * The leaves are light (cpuid_light.c); choosing a model is not (cpuid.c).
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "cpu/cpu.h"

/* Index into cpu->feat[]. */
enum feat_word {
#define WORD(word, text, leaf, sub, reg) FEAT_##word,
#include "cpu/cpuid.def"
	FEAT_NWORDS
};

/* A feature's number: word * 32 + bit. */
enum cpuid_feature {
#define FEAT(word, bit, id, name, how, insn) CPUID_##id = FEAT_##word * 32 + (bit),
#include "cpu/cpuid.def"
};

static inline bool cpu_has(const struct cpu *c, enum cpuid_feature f)
{
	return c->feat[f >> 5] >> (f & 31) & 1;
}

struct cpu_model {
	const char *name;
	const char *vendor;		/* 12 characters: ebx, edx, ecx of leaf 0 */
	uint16_t family, model, stepping;
	uint32_t level, xlevel;		/* highest leaves */
	uint32_t phys_bits;
	const char brand[48];
	const char *features;		/* names, or "*": all there are */
};
extern const struct cpu_model cpu_models[];
extern const unsigned n_cpu_models;

/*
 * "model[,+f][,-f][,f=on|off][,phys-bits=n][,vendor=text]" into c->model, c->feat, c->phys_bits.
 * A feature this emulator or host lacks is left out with a warning if it was asked for by name.
 */
bool cpuid_configure(struct cpu *c, const char *text, bool x2apic, struct err *e);

/* The nth feature's name for help texts, NULL past the end. */
const char *cpuid_feature_name(unsigned n);

/* Family, model and stepping as leaf 1 EAX has them. Light. */
uint32_t cpuid_signature(const struct cpu *c);
bool cpuid_is_intel(const struct cpu *c);

/* The enum insn_cpuid bits (cpu/insn.h) that instruction rows are gated by. */
static inline void cpuid_insn_features(const struct cpu *c, uint64_t feat[2])
{
	feat[0] = c->insn_feat[0];
	feat[1] = c->insn_feat[1];
}

#endif
