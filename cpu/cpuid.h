/*
 * CPU models (cpu/models.def) and features (cpu/cpuid.def), and what CPUID answers.
 * The leaves are light (cpuid_light.c); choosing a model is not (cpuid.c, models.c).
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

/* The bus clock, which the local APIC's timer counts (hw/intc/lapic.h), in kHz. */
#define CPUID_BUS_KHZ	100000u

/* ---- choosing ---- */

/*
 * "model[,+f][,-f][,f=on|off][,key=value]" into c->id, c->feat,c->phys_bits, and if the user gives a
 * frequency c->tsc_khz. What this emulator or host lacks is left out with a warning, on the
 * first vCPU; "enforce" makes it an error, "check=off" silent.
 */
bool cpuid_configure(struct cpu *c, const char *text, bool x2apic, struct err *e);

/* ---- what there is to choose from, for lists and machine-readable answers ---- */

struct cpu_model_name {
	char name[40];
	char alias_of[40];		/* the versioned name it stands for, or "" */
	const char *brand;
};
/* The nth name that -cpu takes; false past the end. */
bool cpuid_model_name(unsigned n, struct cpu_model_name *out);

/* What a -cpu text comes to. */
struct cpu_expansion {
	struct cpu_id id;
	uint32_t phys_bits;
	uint64_t tsc_khz;		/* 0: the host's */
	uint32_t on[FEAT_NWORDS];	/* the guest gets these */
	uint32_t missing[FEAT_NWORDS];	/* the model or the user wants them, but they are not available */
	bool check, enforce;
	bool level_given, xlevel_given;	/* by the user */
};
bool cpuid_expand(const char *text, bool x2apic, struct cpu_expansion *x, struct err *e);

/* The nth feature's name, NULL past the end; is it in a set of an expansion? */
const char *cpuid_feature_name(unsigned n);
bool cpuid_feature_in(const uint32_t set[FEAT_NWORDS], unsigned n);

/* ---- leaves ---- */

/* Family, model and stepping as leaf 1 EAX has them. Light. */
uint32_t cpuid_signature(const struct cpu *c);
bool cpuid_is_intel(const struct cpu *c);
/* The APIC id of the nth processor: fields of bits for package, core, thread. Light. */
uint32_t cpuid_apic_id(unsigned n, unsigned cores, unsigned threads);

/* The enum insn_cpuid bits (cpu/insn.h) that instruction rows are gated by. */
static inline void cpuid_insn_features(const struct cpu *c, uint64_t feat[2])
{
	feat[0] = c->insn_feat[0];
	feat[1] = c->insn_feat[1];
}

#endif
