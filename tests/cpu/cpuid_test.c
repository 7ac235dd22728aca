/* CPU models, feature words on the command line, CPUID's leaves. */
#include <cpuid.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/system.h"

static struct cpu c;
static struct err e;

static bool configure(const char *text)
{
	memset(&c, 0, sizeof(c));
	c.ncpus = c.cores = c.threads = 1;
	c.tsc_khz = 2400000;
	return cpuid_configure(&c, text, false, &e);
}

/* On a vCPU that does not warn. */
static bool quietly(const char *text)
{
	memset(&c, 0, sizeof(c));
	c.index = 1;
	c.ncpus = c.cores = c.threads = 1;
	c.tsc_khz = 2400000;
	return cpuid_configure(&c, text, true, &e);
}

static uint32_t leaf(uint32_t l, uint32_t sub, int reg)
{
	uint32_t r[4];
	cpu_cpuid(&c, l, sub, r);
	return r[reg];
}

enum { EAX, EBX, ECX, EDX };

Test(cpuid, every_name_configures_and_says_who_it_is)
{
	struct cpu_model_name m;
	unsigned n = 0;

	for (; cpuid_model_name(n, &m); n++) {
		char brand[49] = "";
		uint32_t r[4];
		cr_assert(quietly(m.name), "%s: %s", m.name, e.msg);
		cr_expect(cpu_has(&c, CPUID_FPU) && cpu_has(&c, CPUID_HYPERVISOR));
		cpu_cpuid(&c, 0, 0, r);
		cr_expect_eq(r[EAX], c.id.level);
		cr_expect_eq(memcmp(&r[EBX], c.id.vendor, 4), 0);
		for (int k = 0; k < 3 && c.id.xlevel >= 0x80000004; k++) {
			cpu_cpuid(&c, 0x80000002 + k, 0, r);
			memcpy(brand + 16 * k, r, 16);
		}
		if (c.id.xlevel >= 0x80000004)
			cr_expect_str_eq(brand, c.id.brand);
		if (*m.alias_of)
			cr_expect(quietly(m.alias_of), "%s", m.alias_of);
	}
	cr_expect_gt(n, 120);
}

/* The same names, and their features. */
Test(cpuid, lists_of_models_use_known_names)
{
	static const char *const lists[] = {
#define MODEL(name, vendor, family, model, stepping, level, xlevel, bits, brand, list) list,
#define VERSION(name, n, alias, model, stepping, brand, list) list,
#define SAFE(vendor, list) list,
#include "cpu/models.def"
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		char word[512];
		const char *f = lists[i];
		if (*f == '*')
			continue;
		for (; *f; f += strspn(f, " ")) {
			size_t n = strcspn(f, " ");
			bool minus = *f == '-';
			struct cpu_expansion x;
			if (*f == '@')
				snprintf(word, sizeof(word), "%.*s", (int)n - 1, f + 1);
			else
				snprintf(word, sizeof(word), "max,+%.*s", (int)n - minus, f + minus);
			cr_expect(cpuid_expand(word, true, &x, &e), "%s", e.msg);
			f += n;
		}
	}
}

/* Signatures of the processors themselves, from their makers' and QEMU's lists. */
Test(cpuid, signatures_of_models)
{
	static const struct {
		const char *name;
		uint32_t signature;
	} known[] = {
		{ "486", 0x480 }, { "pentium", 0x543 }, { "pentium2", 0x652 }, { "pentium3", 0x673 }, { "qemu64", 0x60fb1 },
		{ "core2duo", 0x6fb }, { "n270", 0x106c2 }, { "Nehalem", 0x106a3 }, { "Westmere", 0x206c1 },
		{ "SandyBridge", 0x206a1 }, { "IvyBridge", 0x306a9 }, { "Haswell", 0x306c4 }, { "Haswell-noTSX", 0x306c1 },
		{ "Broadwell", 0x306d2 }, { "Skylake-Client", 0x506e3 }, { "Skylake-Server", 0x50654 },
		{ "Cascadelake-Server", 0x50656 }, { "Icelake-Server", 0x80660 }, { "Icelake-Server-v4", 0x606a0 },
		{ "Opteron_G3", 0x100f23 }, { "Opteron_G5", 0x600f20 }, { "EPYC", 0x800f12 }, { "EPYC-Rome", 0x830f10 },
		{ "EPYC-Milan", 0xa00f11 }, { "phenom", 0x100f23 }, { "athlon", 0x623 }, { "max", 0xa10f11 },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		cr_assert(quietly(known[i].name));
		cr_expect_eq(leaf(1, 0, EAX), known[i].signature, "%s: %#x", known[i].name, leaf(1, 0, EAX));
	}
}

Test(cpuid, versions_change_what_came_before)
{
	cr_assert(quietly("Nehalem-IBRS") && cpu_has(&c, CPUID_SPEC_CTRL) && cpu_has(&c, CPUID_SSE42));
	cr_assert(quietly("EPYC-v1") && !cpu_has(&c, CPUID_IBPB));
	cr_assert(quietly("EPYC-v3") && cpu_has(&c, CPUID_IBPB) && cpu_has(&c, CPUID_XSAVEERPTR));
	cr_assert(quietly("EPYC-IBPB") && !cpu_has(&c, CPUID_XSAVEERPTR));
	cr_assert(quietly("skylake-server-v4") && !strcmp(c.id.brand, "Intel Xeon Processor (Skylake, IBRS, no TSX)"));
}

static bool expanded(const char *text, const char *name, bool missing)
{
	struct cpu_expansion x;

	cr_assert(cpuid_expand(text, true, &x, &e), "%s", e.msg);
	for (unsigned i = 0; cpuid_feature_name(i); i++)
		if (!strcmp(cpuid_feature_name(i), name))
			return cpuid_feature_in(missing ? x.missing : x.on, i);
	cr_expect_fail("%s: no such feature", name);
	return false;
}

Test(cpuid, expansion_tells_what_is_on_and_what_is_missing)
{
	cr_expect(expanded("Skylake-Server", "avx512f", true));
	cr_expect_not(expanded("Skylake-Server", "avx512f", false));
	cr_expect_not(expanded("Skylake-Server,-avx512f", "avx512f", true));
	cr_expect(expanded("Skylake-Server", "sse4.1", false));
	cr_expect(expanded("qemu64,+invtsc", "invtsc", false));
	cr_expect_not(expanded("qemu64", "invtsc", false));
	cr_expect_not(expanded("max", "avx512f", true), "max wants what there is");
	cr_expect(expanded("Nehalem", "kvmclock", false));
}

/* Linux then mitigates nothing that costs: see cpu/models.def, SAFE. */
Test(cpuid, processors_say_that_they_do_not_speculate)
{
	uint64_t v;

	cr_assert(quietly("Skylake-Client") && cpu_has(&c, CPUID_ARCH_CAPABILITIES));
	cr_assert(msr_get(&c, 0x10a, &v));
	cr_expect_eq(v & 0x4000000000100173, 0x4000000000100173, "%#lx", v);
	cr_assert(quietly("EPYC-Rome") && cpu_has(&c, CPUID_AUTO_IBRS) && cpu_has(&c, CPUID_BTC_NO));
	cr_expect_eq(c.id.xlevel, 0x80000021, "the leaf is reachable");
	cr_assert(quietly("max,vendor=GenuineIntel") && cpu_has(&c, CPUID_ARCH_CAPABILITIES));
	cr_assert(quietly("max") && !cpu_has(&c, CPUID_ARCH_CAPABILITIES));
	cr_expect_not(cpu_has(&c, CPUID_RDCL_NO), "no MSR to tell it");
	cr_assert(quietly("Nehalem,-arch-capabilities") && !msr_get(&c, 0x10a, &v));
	cr_assert(quietly("pentium3") && !cpu_has(&c, CPUID_ARCH_CAPABILITIES));
}

Test(cpuid, identity_can_be_given)
{
	cr_assert(quietly("max,family=6,model=0x9e,stepping=10,model-id=Some Processor,vendor=GenuineIntel"), "%s", e.msg);
	cr_expect_eq(leaf(1, 0, EAX), 0x906ea);
	cr_expect_str_eq(c.id.brand, "Some Processor");
	cr_assert(quietly("qemu64,level=5,xlevel=0x80000008"));
	cr_expect(leaf(0, 0, EAX) == 5 && leaf(0x80000000, 0, EAX) == 0x80000008);
	cr_assert(quietly("pentium3,+aes,+arat"));
	cr_expect_eq(leaf(0, 0, EAX), 6, "ARAT stands in leaf 6");
	cr_assert(quietly("max,tsc-frequency=1500000000"));
	cr_expect_eq(c.tsc_khz, 1500000);
	cr_expect_not(quietly("max,family=1000"));
	cr_expect_not(quietly("max,stepping=x"));
	cr_expect_not(quietly("max,model"));
	cr_expect_not(quietly("max,xlevel=5"));
	cr_expect_not(quietly("max,tsc-frequency=0"));
	cr_expect_not(quietly("max,vendor=Intel"));
}

Test(cpuid, other_words_are_accepted_or_refused_clearly)
{
	cr_expect(quietly("max,migratable=off,check,host-phys-bits=on,l3-cache=on,pmu=off,+sse4_1,+sse4-2,+xd,+i64"));
	cr_expect_not(quietly("max,hv-relaxed"));
	cr_expect(strstr(e.msg, "Hyper-V"), "%s", e.msg);
	cr_expect_not(quietly("max,hv_vapic=on"));
	cr_expect_not(quietly("Skylake-Server,enforce"));
	cr_expect(strstr(e.msg, "avx512f"), "%s", e.msg);
	cr_expect(quietly("kvm64,enforce"), "%s", e.msg);
	cr_expect_not(quietly("max,+avx512f,enforce=on"));
}

Test(cpuid, host_has_the_host_s_name)
{
	uint32_t r[4], h[4];

	cr_assert(quietly("host"));
	__cpuid(1, h[0], h[1], h[2], h[3]);
	cr_expect_eq(leaf(1, 0, EAX), h[0] & 0x0fff0fff);
	__cpuid(0x80000003, h[0], h[1], h[2], h[3]);
	cpu_cpuid(&c, 0x80000003, 0, r);
	cr_expect_eq(memcmp(r, h, 16), 0);
}

Test(cpuid, features_switch_on_and_off)
{
	cr_assert(configure("qemu64,+SSE4_1,+ssse3,-mtrr,popcnt=on,pae=off"));
	cr_expect(cpu_has(&c, CPUID_SSE41) && cpu_has(&c, CPUID_POPCNT));
	cr_expect_not(cpu_has(&c, CPUID_MTRR) || cpu_has(&c, CPUID_PAE));
	cr_assert(configure("max,-avx"));
	cr_expect_not(cpu_has(&c, CPUID_AVX2), "AVX2 needs AVX");
	cr_assert(configure("max,phys-bits=36"));
	cr_expect_eq(leaf(0x80000008, 0, EAX) & 0xff, 36);
}

Test(cpuid, wrong_words_name_the_nearest)
{
	cr_expect_not(configure("max,+avx3"));
	cr_expect(strstr(e.msg, "avx3") && strstr(e.msg, "avx"), "%s", e.msg);
	cr_expect_not(configure("Nehalen"));
	cr_expect(strstr(e.msg, "Nehalem"), "%s", e.msg);
	cr_expect_not(configure("max,sse2=perhaps"));
	cr_expect_not(configure("max,phys-bits=99"));
}

Test(cpuid, max_has_what_64_bit_systems_want)
{
	cr_assert(configure("max"));
	static const enum cpuid_feature want[] = {
		CPUID_LM, CPUID_NX, CPUID_SYSCALL, CPUID_CX16, CPUID_LAHF, CPUID_SSE42, CPUID_POPCNT, CPUID_PCID,
		CPUID_INVPCID, CPUID_SMEP, CPUID_SMAP, CPUID_FSGSBASE, CPUID_ERMS, CPUID_XSAVE, CPUID_INVTSC,
		CPUID_HYPERVISOR, CPUID_ARAT, CPUID_PDPE1GB, CPUID_RDTSCP, CPUID_DEADLINE, CPUID_AMD_NO_SSB,
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		cr_expect(cpu_has(&c, want[i]), "%zu", i);
	cr_expect_not(cpu_has(&c, CPUID_X2APIC));
	memset(c.feat, 0, sizeof(c.feat));
	cpuid_configure(&c, "max", true, &e);
	cr_expect(cpu_has(&c, CPUID_X2APIC));
}

Test(cpuid, leaves_out_of_range_follow_the_vendor)
{
	configure("max");
	cr_expect_eq(leaf(0x17, 0, EAX) | leaf(0x17, 0, EBX), 0);
	cr_expect_eq(leaf(0x40000000, 0, EAX), 0x40000010);
	cr_expect_eq(leaf(0x40000010, 0, EAX), 2400000);
	configure("Nehalem,-hypervisor");
	cr_expect_eq(leaf(0x40000000, 0, EBX), leaf(11, 0, EBX));
	cr_expect_neq(leaf(0x40000000, 0, EBX), 0);
}

Test(cpuid, interface_says_kvm_or_hides)
{
	configure("max");
	cr_expect_eq(leaf(0x40000000, 0, EBX), 0x4b4d564b);	/* KVMK VMKV M */
	cr_expect_eq(leaf(0x40000000, 0, ECX), 0x564b4d56);
	cr_expect_eq(leaf(0x40000000, 0, EDX), 0x4d);
	cr_expect_eq(leaf(0x40000001, 0, EAX), 0x100388b);
	configure("qemu64,kvm=off");
	cr_expect_eq(leaf(0x40000000, 0, EBX), 0x61656852);	/* Rhea */
	cr_expect_eq(leaf(0x40000001, 0, EAX), 0);
	cr_expect(leaf(1, 0, ECX) >> 31);
	configure("486");
	cr_expect_eq(leaf(0x40000000, 0, EAX), 0x40000001);
	cr_expect_eq(leaf(0x40000010, 0, EAX), 0, "a frequency of no TSC");
}

Test(cpuid, frequencies_agree)
{
	configure("max");
	cr_expect_eq((uint64_t)leaf(0x15, 0, ECX) * leaf(0x15, 0, EBX) / leaf(0x15, 0, EAX), 2400000000);
	cr_expect_eq(leaf(0x15, 0, ECX), leaf(0x40000010, 0, EBX) * 1000);
	cr_expect_eq(leaf(0x16, 0, EAX), 2400);
}

Test(cpuid, osxsave_follows_cr4)
{
	configure("max");
	cr_expect_not(leaf(1, 0, ECX) >> 27 & 1);
	c.cr4 |= CR4_OSXSAVE;
	cr_expect(leaf(1, 0, ECX) >> 27 & 1);
	c.xcr0 = 1;
	cr_expect_eq(leaf(0xd, 0, EBX), 576);
	c.xcr0 = 7;
	cr_expect_eq(leaf(0xd, 0, EBX), 832);
	cr_expect_eq(leaf(0xd, 2, EBX), 576);
}

Test(cpuid, topology_counts_cores)
{
	configure("max");
	c.ncpus = c.cores = 6;
	c.apic_id = 5;
	c.index = 5;
	cr_expect_eq(leaf(0xb, 0, EAX), 0);
	cr_expect_eq(leaf(0xb, 1, EAX), 3);
	cr_expect_eq(leaf(0xb, 1, EBX), 6);
	cr_expect_eq(leaf(0xb, 7, ECX), 7);
	cr_expect_eq(leaf(0xb, 7, EDX), 5);
	cr_expect_eq(leaf(1, 0, EBX) >> 16, 0x506);
	cr_expect(leaf(1, 0, EDX) >> 28 & 1);
	cr_expect_eq(leaf(0x80000008, 0, ECX), 0x3005);
	cr_expect_eq(leaf(0x8000001e, 0, EAX), 5);
}

Test(cpuid, apic_ids_have_fields)
{
	cr_expect_eq(cpuid_apic_id(5, 6, 1), 5);
	cr_expect_eq(cpuid_apic_id(3, 3, 1), 4, "three cores take two bits");
	cr_expect_eq(cpuid_apic_id(5, 2, 2), 5);
	cr_expect_eq(cpuid_apic_id(7, 3, 2), 9);
}

/* Two packages of three cores of two threads: how Linux reads AMD's and Intel's leaves. */
Test(cpuid, topology_of_packages_cores_and_threads)
{
	static const char *const models[] = { "max", "Skylake-Client" };

	for (int m = 0; m < 2; m++) {
		cr_assert(quietly(models[m]));
		c.ncpus = 12;
		c.cores = 3;
		c.threads = 2;
		c.index = 11;
		c.apic_id = cpuid_apic_id(11, 3, 2);
		cr_expect_eq(c.apic_id, 0xd);		/* package 1, core 2, thread 1 */
		cr_expect_eq(leaf(1, 0, EBX) >> 16 & 0xff, 6);
		cr_expect_eq(leaf(0xb, 0, EAX), 1);
		cr_expect_eq(leaf(0xb, 0, EBX), 2);
		cr_expect_eq(leaf(0xb, 1, EAX), 3);
		cr_expect_eq(leaf(0xb, 1, EBX), 6);
	}
	cr_expect_eq(leaf(4, 0, EAX) >> 26, 3, "room for four cores");
	cr_expect_eq(leaf(4, 0, EAX) >> 14 & 0xfff, 1, "threads share L1");
	cr_expect_eq(leaf(4, 3, EAX) >> 14 & 0xfff, 5, "a package shares L3");
	cr_assert(quietly("max"));
	c.cores = 3;
	c.threads = 2;
	c.apic_id = 0xd;
	cr_expect_eq(leaf(0x80000008, 0, ECX), 0x3005);
	cr_expect_eq(leaf(0x8000001e, 0, EBX), 0x102);
	cr_expect_eq(leaf(0x8000001e, 0, ECX), 1);
	cr_expect_eq(leaf(0x8000001d, 3, EAX) >> 14 & 0xfff, 5);
}

Test(cpuid, instruction_gates_follow_features)
{
	uint64_t f[2];
	configure("486");
	cpuid_insn_features(&c, f);
	cr_expect(f[F_486 >> 6] >> (F_486 & 63) & 1 && f[0] >> F_FPU & 1);
	cr_expect_not(f[F_SSE >> 6] >> (F_SSE & 63) & 1);
	configure("qemu64");
	cpuid_insn_features(&c, f);
	cr_expect(f[F_3DNOWPF >> 6] >> (F_3DNOWPF & 63) & 1, "PREFETCHW comes with long mode");
	configure("max,kvm=off,-svm");
	cpuid_insn_features(&c, f);
	cr_expect_not(f[F_HYPERCALL >> 6] >> (F_HYPERCALL & 63) & 1);
	configure("max,kvm=off,+svm");
	cpuid_insn_features(&c, f);
	cr_expect(f[F_HYPERCALL >> 6] >> (F_HYPERCALL & 63) & 1, "for nested guests");
	configure("max");
	cpuid_insn_features(&c, f);
	cr_expect(f[F_SSE42 >> 6] >> (F_SSE42 & 63) & 1 && f[F_LM >> 6] >> (F_LM & 63) & 1);
}
