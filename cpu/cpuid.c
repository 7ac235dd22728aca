/*
 * Choosing a CPU model and its features.
 *
 * What a guest may get is `available`: EMU rows always, HOST rows if this host
 * has the bit as well. A model's own list is cut to that silently, as is "*";
 * a feature the user names that is not available draws a warning.
 *
 * Not modelled: changing family, model or stepping of a model.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/spell.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"

enum how { EMU, HOST, BOARD, OFF, NO };
enum { EAX, EBX, ECX, EDX };

static const struct feature {
	const char *name;
	uint8_t word, bit, how, insn;
} features[] = {
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

#define VENDOR_AMD	"AuthenticAMD"
#define VENDOR_INTEL	"GenuineIntel"
const struct cpu_model cpu_models[] = {
#define MODEL(name, vendor, family, model, stepping, level, xlevel, bits, brand, list) \
	{ name, VENDOR_##vendor, family, model, stepping, level, xlevel, bits, brand, list },
#include "cpu/cpuid.def"
};
const unsigned n_cpu_models = ARRAY_LEN(cpu_models);

const char *cpuid_feature_name(unsigned n)
{
	return n < ARRAY_LEN(features) ? features[n].name : NULL;
}

/* ---- what there is ---- */

static bool host_has(const struct feature *f)
{
	uint32_t r[4] = { 0 };

	if (!words[f->word].leaf)
		return false;
	__get_cpuid_count(words[f->word].leaf, words[f->word].sub, &r[EAX], &r[EBX], &r[ECX], &r[EDX]);
	/* Only AMD repeats this one where it belongs; it is part of SSE. */
	if (f->word == FEAT_8_1_EDX && f->bit == 22)
		return true;
	return r[words[f->word].reg] >> f->bit & 1;
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

static bool available(const struct feature *f, bool x2apic)
{
	switch (f->how) {
	case EMU:
	case OFF:
		return true;
	case HOST:
		return host_has(f);
	case BOARD:
		return x2apic;
	default:
		return false;
	}
}

static void put(struct cpu *c, const struct feature *f, bool on)
{
	uint32_t bit = 1u << f->bit;
	c->feat[f->word] = on ? c->feat[f->word] | bit : c->feat[f->word] & ~bit;
}

/* Features that mean nothing without another one. */
static void drop_dependents(struct cpu *c)
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
		{ CPUID_KVM, CPUID_KVM_NOPIODELAY }, { CPUID_KVM, CPUID_KVM_UNHALT }, { CPUID_KVM, CPUID_KVM_IPI },
		{ CPUID_APIC, CPUID_KVM_IPI }, { CPUID_KVM, CPUID_KVM_POLL }, { CPUID_MSR, CPUID_KVM_POLL },
		{ CPUID_LM, CPUID_LA57 }, { CPUID_LM, CPUID_PKU },
		{ CPUID_LM, CPUID_PKS }, { CPUID_XSAVEC, CPUID_XSAVES },
		{ CPUID_SVM, CPUID_NPT }, { CPUID_SVM, CPUID_NRIP },
		{ CPUID_SVM, CPUID_VMCB_CLEAN }, { CPUID_SVM, CPUID_FLUSHBYASID },
		{ CPUID_SVM, CPUID_DECODEASSISTS }, { CPUID_SVM, CPUID_PAUSE_FILTER },
	};

	if (!host_avx_usable())
		c->feat[FEAT_1_ECX] &= ~(1u << (CPUID_AVX & 31));
	for (size_t i = 0; i < ARRAY_LEN(deps); i++)
		if (!cpu_has(c, deps[i].needs))
			c->feat[deps[i].f >> 5] &= ~(1u << (deps[i].f & 31));
}

/* ---- names ---- */

/* "sse4_1" and "SSE4.1" are the same feature. */
static bool same_name(const char *a, const char *b, size_t n)
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

static const struct feature *find(const char *name, size_t n)
{
	static const struct {
		const char *alias, *name;
	} aliases[] = {
		{ "sse4", "sse4.2" }, { "pni", "sse3" }, { "lzcnt", "abm" }, { "xd", "nx" },
		{ "i64", "lm" }, { "ffxsr", "fxsr-opt" }, { "sha", "sha-ni" }, { "tsc-deadline-timer", "tsc-deadline" },
		{ "lahf", "lahf-lm" }, { "pclmul", "pclmulqdq" }, { "1gb-pages", "pdpe1gb" },
	};

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (same_name(name, aliases[i].alias, n))
			return find(aliases[i].name, strlen(aliases[i].name));
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		if (same_name(name, features[i].name, n))
			return &features[i];
	return NULL;
}

static bool unknown_feature(const char *name, size_t n, struct err *e)
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

static const struct cpu_model *find_model(const char *name, size_t n, struct err *e)
{
	char word[64], hint[96];
	struct spell s;

	if (n == 4 && strncasecmp(name, "host", 4) == 0)
		return &cpu_models[0];
	for (unsigned i = 0; i < n_cpu_models; i++)
		if (strlen(cpu_models[i].name) == n && strncasecmp(name, cpu_models[i].name, n) == 0)
			return &cpu_models[i];
	if (n >= sizeof(word))
		n = sizeof(word) - 1;
	memcpy(word, name, n);
	word[n] = 0;
	spell_init(&s, word);
	for (unsigned i = 0; i < n_cpu_models; i++)
		spell_try(&s, cpu_models[i].name);
	err_set(e, "unknown CPU model '%s'%s", word, spell_hint(&s, hint, sizeof(hint)));
	return NULL;
}

/* ---- a configuration ---- */

static void apply_model(struct cpu *c, bool x2apic)
{
	const char *list = c->model->features;

	if (strcmp(list, "*") == 0) {
		for (size_t i = 0; i < ARRAY_LEN(features); i++)
			put(c, &features[i], features[i].how != OFF && available(&features[i], x2apic));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(features); i++)	/* the emulator's own, whatever the processor */
		if (features[i].word == FEAT_HYPER || features[i].word == FEAT_KVM)
			put(c, &features[i], available(&features[i], x2apic));
	for (; *list; list += strspn(list, " ")) {
		size_t n = strcspn(list, " ");
		const struct feature *f = find(list, n);
		if (f && available(f, x2apic))
			put(c, f, true);
		list += n;
	}
}

static bool set_feature(struct cpu *c, const char *name, size_t n, bool on, bool x2apic, struct err *e)
{
	const struct feature *f = find(name, n);

	if (!f)
		return unknown_feature(name, n, e);
	if (on && !available(f, x2apic)) {
		warn("CPU feature '%s' is not available here", f->name);
		return true;
	}
	put(c, f, on);
	return true;
}

static bool set_phys_bits(struct cpu *c, const char *v, struct err *e)
{
	long n = strtol(v, NULL, 10);

	if (n < 32 || n > 52)
		return err_set(e, "phys-bits must be 32 to 52");
	c->phys_bits = (uint32_t)n;
	return true;
}

static bool set_vendor(struct cpu *c, const char *v, size_t n, struct err *e)
{
	if (n != 12)
		return err_set(e, "vendor must be 12 characters, as in GenuineIntel");
	memcpy(c->vendor, v, n);
	return true;
}

/* Options of other emulators' command lines that ask for what is so anyway. */
static bool harmless(const char *name, size_t n)
{
	static const char *const names[] = { "migratable", "check", "enforce", "host-phys-bits", "pmu" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (same_name(name, names[i], n))
			return true;
	return false;
}

static bool apply_word(struct cpu *c, const char *w, size_t n, bool x2apic, struct err *e)
{
	const char *eq = memchr(w, '=', n);

	if (n && (*w == '+' || *w == '-'))
		return set_feature(c, w + 1, n - 1, *w == '+', x2apic, e);
	size_t len = eq ? (size_t)(eq - w) : n;
	if (same_name(w, "phys-bits", len) && eq)
		return set_phys_bits(c, eq + 1, e);
	if (same_name(w, "vendor", len) && eq)
		return set_vendor(c, eq + 1, n - len - 1, e);
	if (harmless(w, len))
		return true;
	size_t vlen = eq ? n - len - 1 : 0;
	bool on = !eq || (vlen == 2 && strncmp(eq + 1, "on", 2) == 0);
	if (!on && !(vlen == 3 && strncmp(eq + 1, "off", 3) == 0))
		return err_set(e, "CPU option '%.*s': the value must be on or off", (int)n, w);
	return set_feature(c, w, len, on, x2apic, e);
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
	if (cpu_has(c, CPUID_SVM))	/* VMMCALL */
		c->insn_feat[F_HYPERCALL >> 6] |= BIT(F_HYPERCALL & 63);
	if (cpu_has(c, CPUID_LM))	/* every 64-bit processor has PREFETCHW; Linux relies on it */
		c->insn_feat[F_3DNOWPF >> 6] |= BIT(F_3DNOWPF & 63);
}

bool cpuid_configure(struct cpu *c, const char *text, bool x2apic, struct err *e)
{
	if (!text || !*text)
		text = "max";
	size_t n = strcspn(text, ",");

	c->model = find_model(text, n, e);
	if (!c->model)
		return false;
	c->phys_bits = c->model->phys_bits;
	memcpy(c->vendor, c->model->vendor, sizeof(c->vendor));
	memset(c->feat, 0, sizeof(c->feat));
	apply_model(c, x2apic);
	for (text += n; *text == ','; text += n) {
		n = strcspn(++text, ",");
		if (n && !apply_word(c, text, n, x2apic, e))
			return false;
	}
	drop_dependents(c);
	c->virt_bits = !cpu_has(c, CPUID_LM) ? 32 : cpu_has(c, CPUID_LA57) ? 57 : 48;
	set_insn_features(c);
	return true;
}
