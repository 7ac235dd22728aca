/*
 * CPU features, and what a -cpu text comes to.
 *
 * What a guest may get is `available`: EMU rows always, HOST rows if this host
 * has the bit as well. "max" is exactly that; what a model or the user wants
 * beyond it is `missing`. The highest leaves grow with the features turned on.
 *
 * Not modelled: Hyper-V's interface; sizes of caches by model.
 */
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/spell.h"
#include "cpu/cpuid_priv.h"
#include "cpu/insn.h"

enum how { EMU, HOST, BOARD, OFF, NO };
enum { EAX, EBX, ECX, EDX };

static const struct feature features[] = {
#define FEAT(word, bit, id, name, how, insn) { name, FEAT_##word, bit, how, F_##insn },
#include "cpu/cpuid.def"
};

static const struct {
	uint32_t leaf, sub;
	int reg;
} words[FEAT_NWORDS] = {
#define WORD(word, text, leaf, sub, reg) { leaf, sub, reg },
#include "cpu/cpuid.def"
};

const char *cpuid_feature_name(unsigned n)
{
	return n < ARRAY_LEN(features) ? features[n].name : NULL;
}

bool cpuid_feature_in(const uint32_t set[FEAT_NWORDS], unsigned n)
{
	return set[features[n].word] >> features[n].bit & 1;
}

/* ---- what there is ---- */

/* Asked once, as a virtual host's CPUID leaves for its own host. */
struct there {
	uint32_t host[FEAT_NWORDS];
	bool x2apic;
};

static struct there what_is_there(bool x2apic)
{
	struct there t = { .x2apic = x2apic };

	for (int i = 0; i < FEAT_NWORDS; i++) {
		uint32_t r[4] = { 0 };

		if (words[i].leaf)
			__get_cpuid_count(words[i].leaf, words[i].sub, &r[EAX], &r[EBX], &r[ECX], &r[EDX]);
		t.host[i] = r[words[i].reg];
	}
	return t;
}

static bool host_has(const struct there *t, const struct feature *f)
{
	/* Only AMD repeats this one where it belongs; it is part of SSE. */
	if (f->word == FEAT_8_1_EDX && f->bit == 22)
		return true;
	return t->host[f->word] >> f->bit & 1;
}

/* Does the host's system let programs use AVX registers? */
static bool host_avx_usable(void)
{
	uint32_t a, b, c = 0, d, lo, hi;

	__get_cpuid(1, &a, &b, &c, &d);
	if (!(c & bit_OSXSAVE))
		return false;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

static bool available(const struct feature *f, const struct there *t)
{
	switch (f->how) {
	case EMU:
	case OFF:
		return true;
	case HOST:
		return host_has(t, f);
	case BOARD:
		return t->x2apic;
	default:
		return false;
	}
}

static bool has(const uint32_t set[FEAT_NWORDS], enum cpuid_feature f)
{
	return set[f >> 5] >> (f & 31) & 1;
}

/* Features that mean nothing without another one. */
static void drop_dependents(uint32_t on[FEAT_NWORDS])
{
	static const struct {
		enum cpuid_feature needs, f;
	} deps[] = {
		{ CPUID_SSE, CPUID_SSE2 }, { CPUID_SSE2, CPUID_SSE3 }, { CPUID_SSE2, CPUID_AES },
		{ CPUID_SSE2, CPUID_PCLMUL }, { CPUID_SSE2, CPUID_SHA }, { CPUID_SSE3, CPUID_SSSE3 },
		{ CPUID_SSSE3, CPUID_SSE41 }, { CPUID_SSE41, CPUID_SSE42 }, { CPUID_XSAVE, CPUID_AVX },
		{ CPUID_XSAVE, CPUID_XSAVEOPT }, { CPUID_XSAVE, CPUID_XSAVEC }, { CPUID_XSAVE, CPUID_XGETBV1 },
		{ CPUID_AVX, CPUID_AVX2 }, { CPUID_AVX, CPUID_FMA }, { CPUID_AVX, CPUID_F16C },
		{ CPUID_SSE2, CPUID_GFNI }, { CPUID_AVX, CPUID_VAES }, { CPUID_AVX, CPUID_VPCLMUL },
		{ CPUID_AVX, CPUID_AVX_VNNI }, { CPUID_SSE3, CPUID_SSE4A },
		{ CPUID_LM, CPUID_PCID }, { CPUID_LM, CPUID_FSGSBASE }, { CPUID_LM, CPUID_LAHF },
		{ CPUID_LM, CPUID_PDPE1GB }, { CPUID_HYPERVISOR, CPUID_KVM }, { CPUID_KVM, CPUID_KVM_CLOCK },
		{ CPUID_TSC, CPUID_KVM_CLOCK }, { CPUID_MSR, CPUID_KVM_CLOCK }, { CPUID_KVM_CLOCK, CPUID_KVM_STABLE },
		{ CPUID_KVM, CPUID_KVM_NOPIODELAY }, { CPUID_KVM, CPUID_KVM_UNHALT }, { CPUID_KVM, CPUID_KVM_IPI }, { CPUID_KVM, CPUID_KVM_YIELD },
		{ CPUID_APIC, CPUID_KVM_IPI }, { CPUID_KVM, CPUID_KVM_POLL }, { CPUID_MSR, CPUID_KVM_POLL },
		{ CPUID_LM, CPUID_LA57 }, { CPUID_LM, CPUID_PKU },
		{ CPUID_LM, CPUID_PKS }, { CPUID_XSAVEC, CPUID_XSAVES },
		{ CPUID_SVM, CPUID_NPT }, { CPUID_SVM, CPUID_NRIP },
		{ CPUID_SVM, CPUID_VMCB_CLEAN }, { CPUID_SVM, CPUID_FLUSHBYASID },
		{ CPUID_SVM, CPUID_DECODEASSISTS }, { CPUID_SVM, CPUID_PAUSE_FILTER },
	};

	if (!host_avx_usable())
		on[FEAT_1_ECX] &= ~(1u << (CPUID_AVX & 31));
	for (size_t i = 0; i < ARRAY_LEN(deps); i++)
		if (!has(on, deps[i].needs))
			on[deps[i].f >> 5] &= ~(1u << (deps[i].f & 31));
	if (!has(on, CPUID_ARCH_CAPABILITIES))
		on[FEAT_ARCH_CAP] = on[FEAT_ARCH_CAP_HI] = 0;
}

/* ---- names ---- */

/* "sse4_1" and "SSE4.1" are the same feature. */
bool same_name(const char *a, const char *b, size_t n)
{
	if (strlen(b) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char x = a[i] == '_' ? '-' : a[i], y = b[i] == '.' ? '-' : b[i];
		if (x == '.')
			x = '-';
		if (strncasecmp(&x, &y, 1))
			return false;
	}
	return true;
}

const struct feature *feature_find(const char *name, size_t n)
{
	static const struct {
		const char *alias, *name;
	} aliases[] = {
		{ "sse4", "sse4.2" }, { "pni", "sse3" }, { "lzcnt", "abm" }, { "xd", "nx" },
		{ "i64", "lm" }, { "ffxsr", "fxsr-opt" }, { "sha", "sha-ni" }, { "tsc-deadline-timer", "tsc-deadline" },
		{ "lahf", "lahf-lm" }, { "pclmul", "pclmulqdq" }, { "pclmuldq", "pclmulqdq" }, { "1gb-pages", "pdpe1gb" },
	};

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (same_name(name, aliases[i].alias, n))
			return feature_find(aliases[i].name, strlen(aliases[i].name));
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		if (same_name(name, features[i].name, n))
			return &features[i];
	return NULL;
}

bool feature_unknown(const char *name, size_t n, struct err *e)
{
	char word[64], hint[96];
	struct spell s;

	if (n >= sizeof(word))
		n = sizeof(word) - 1;
	memcpy(word, name, n);
	word[n] = 0;
	spell_init(&s, word);
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		spell_try(&s, features[i].name);
	return err_set(e, "unknown CPU feature '%s'%s", word, spell_hint(&s, hint, sizeof(hint)));
}

/* ---- a configuration ---- */

/* Everything available, or the model's list; and what does not depend on the model. */
static void wanted(const struct cpu_model *m, const struct cpu_expansion *x, const struct there *t, uint32_t set[FEAT_NWORDS])
{
	bool all = model_features(m, set);

	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		const struct feature *f = &features[i];
		bool own = f->word == FEAT_HYPER || f->word == FEAT_KVM || f->word * 32 + f->bit == CPUID_HYPERVISOR;
		if ((all || own) && f->how != OFF && available(f, t))
			feature_put(set, f, true);
	}
	if (has(set, CPUID_LM))
		model_safe(x, set);
}

/* The next word of a -cpu text behind a comma, or NULL. */
static const char *next_word(const char **text, size_t *n)
{
	while (**text == ',') {
		const char *w = ++*text;
		*n = strcspn(w, ",");
		*text = w + *n;
		if (*n)
			return w;
	}
	return NULL;
}

static bool identity_words(const char *text, struct cpu_expansion *x, struct err *e)
{
	bool known;
	size_t n;

	for (const char *w; (w = next_word(&text, &n));)
		if (!word_identity(w, n, x, &known, e))
			return false;
	return true;
}

static bool feature_words(const char *text, struct cpu_expansion *x, uint32_t set[FEAT_NWORDS], struct err *e)
{
	const struct feature *f;
	bool known, on;
	size_t n;

	for (const char *w; (w = next_word(&text, &n));) {
		if (!word_identity(w, n, x, &known, e))
			return false;
		if (known)
			continue;
		f = word_feature(w, n, &on, e);
		if (!f)
			return false;
		feature_put(set, f, on);
	}
	return true;
}

/* The highest leaves reach every feature that is on, unless the user has set them. */
static void raise_levels(struct cpu_expansion *x)
{
	for (int i = 0; i < FEAT_NWORDS; i++) {
		uint32_t leaf = x->on[i] ? words[i].leaf : 0;
		if (leaf < 0x40000000 && leaf > x->id.level && !x->level_given)
			x->id.level = leaf;
		if (leaf >= 0x80000000 && leaf > x->id.xlevel && leaf < 0xc0000000 && !x->xlevel_given)
			x->id.xlevel = leaf;
	}
}

bool cpuid_expand(const char *text, bool x2apic, struct cpu_expansion *x, struct err *e)
{
	uint32_t set[FEAT_NWORDS] = { 0 };
	const struct cpu_model *m;
	struct there t;

	if (!text || !*text)
		text = "max";
	memset(x, 0, sizeof(*x));
	x->check = true;
	size_t n = strcspn(text, ",");
	m = model_find(text, n, e);
	if (!m)
		return false;
	model_identify(m, x);
	if (!identity_words(text + n, x, e))
		return false;
	t = what_is_there(x2apic);
	wanted(m, x, &t, set);
	if (!feature_words(text + n, x, set, e))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		if (has(set, features[i].word * 32 + features[i].bit))
			feature_put(available(&features[i], &t) ? x->on : x->missing, &features[i], true);
	drop_dependents(x->on);
	raise_levels(x);
	return true;
}

/* Complains about what is missing. False: that is an error. */
static bool complain(const struct cpu *c, const char *text, const struct cpu_expansion *x, struct err *e)
{
	char list[600] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		if (cpuid_feature_in(x->missing, (unsigned)i) && n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", features[i].name);
	if (!n)
		return true;
	if (x->enforce)
		return err_set(e, "not available here, and 'enforce' wants all: %s", list);
	if (x->check && c->index == 0)
		warn("-cpu %.*s: left out because not available here: %s", (int)strcspn(text, ","), text, list);
	return true;
}

static void set_insn_features(struct cpu *c)
{
	c->insn_feat[0] = BIT(F_BASE);
	c->insn_feat[1] = 0;
	c->insn_feat[F_486 >> 6] |= BIT(F_486 & 63);
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		if (c->feat[features[i].word] >> features[i].bit & 1)
			c->insn_feat[features[i].insn >> 6] |= BIT(features[i].insn & 63);
	if (cpuid_is_intel(c))
		c->insn_feat[F_INTEL >> 6] |= BIT(F_INTEL & 63);
	if (cpu_has(c, CPUID_SVM))	/* VMMCALL is for any hypervisor; without KVM's interface it faults itself */
		c->insn_feat[F_HYPERCALL >> 6] |= BIT(F_HYPERCALL & 63);
	if (cpu_has(c, CPUID_LM))	/* every 64-bit processor has PREFETCHW; Linux relies on it */
		c->insn_feat[F_3DNOWPF >> 6] |= BIT(F_3DNOWPF & 63);
}

bool cpuid_configure(struct cpu *c, const char *text, bool x2apic, struct err *e)
{
	struct cpu_expansion x;

	if (!cpuid_expand(text, x2apic, &x, e) || !complain(c, text ? text : "max", &x, e))
		return false;
	c->id = x.id;
	c->phys_bits = x.phys_bits;
	if (x.tsc_khz)
		c->tsc_khz = x.tsc_khz;
	memset(c->feat, 0, sizeof(c->feat));
	memcpy(c->feat, x.on, sizeof(x.on));
	c->virt_bits = !cpu_has(c, CPUID_LM) ? 32 : cpu_has(c, CPUID_LA57) ? 57 : 48;
	set_insn_features(c);
	return true;
}
