/* Between the files that choose a CPU model: cpuid.c, cpuid_words.c, models.c. */
#ifndef CPU_CPUID_PRIV_H
#define CPU_CPUID_PRIV_H

#include "cpu/cpuid.h"

/* ---- cpuid.c: features ---- */

struct feature {
	const char *name;
	uint8_t word, bit, how, insn;
};
/* By name, which ends at n: QEMU's spellings with '-', '_' or '.' are one. NULL: unknown. */
const struct feature *feature_find(const char *name, size_t n);
bool feature_unknown(const char *name, size_t n, struct err *e);
bool same_name(const char *a, const char *b, size_t n);
static inline void feature_put(uint32_t set[FEAT_NWORDS], const struct feature *f, bool on)
{
	uint32_t bit = 1u << f->bit;
	set[f->word] = on ? set[f->word] | bit : set[f->word] & ~bit;
}

/* ---- models.c ---- */

struct cpu_model;
const struct cpu_model *model_find(const char *name, size_t n, struct err *e);
/* Its identity and address bits into x. */
void model_identify(const struct cpu_model *m, struct cpu_expansion *x);
/* True if it stands for all there is; else the features it wants are in `set`. */
bool model_features(const struct cpu_model *m, uint32_t set[FEAT_NWORDS]);
/* What any software processor of this vendor can promise, if x has the leaves. */
void model_safe(const struct cpu_expansion *x, uint32_t set[FEAT_NWORDS]);

/* ---- cpuid_words.c: what stands behind the model's name ---- */

/* A word that is no feature, into x. False with *known false: it is one. */
bool word_identity(const char *w, size_t n, struct cpu_expansion *x, bool *known, struct err *e);
/* "+f", "-f", "f", "f=on", "f=off": the feature and its state. NULL: no such, err filled. */
const struct feature *word_feature(const char *w, size_t n, bool *on, struct err *e);

#endif
