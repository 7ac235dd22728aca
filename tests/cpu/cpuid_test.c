/* CPU models, feature words on the command line, CPUID's leaves. */
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
	c.ncpus = 1;
	c.tsc_khz = 2400000;
	return cpuid_configure(&c, text, false, &e);
}

static uint32_t leaf(uint32_t l, uint32_t sub, int reg)
{
	uint32_t r[4];
	cpu_cpuid(&c, l, sub, r);
	return r[reg];
}

enum { EAX, EBX, ECX, EDX };

Test(cpuid, every_model_configures_and_names_itself)
{
	for (unsigned i = 0; i < n_cpu_models; i++) {
		char brand[49] = "";
		uint32_t r[4];
		cr_assert(configure(cpu_models[i].name), "%s", cpu_models[i].name);
		cr_expect(cpu_has(&c, CPUID_FPU));
		cpu_cpuid(&c, 0, 0, r);
		cr_expect_eq(r[EAX], cpu_models[i].level);
		cr_expect_eq(memcmp(&r[EBX], cpu_models[i].vendor, 4), 0);
		for (int k = 0; k < 3 && cpu_models[i].xlevel; k++) {
			cpu_cpuid(&c, 0x80000002 + k, 0, r);
			memcpy(brand + 16 * k, r, 16);
		}
		if (cpu_models[i].xlevel)
			cr_expect_str_eq(brand, cpu_models[i].brand);
	}
}

Test(cpuid, model_feature_lists_use_known_names)
{
	for (unsigned i = 0; i < n_cpu_models; i++) {
		char word[512];
		const char *f = cpu_models[i].features;
		if (*f == '*')
			continue;
		for (; *f; f += strspn(f, " ")) {
			size_t n = strcspn(f, " ");
			snprintf(word, sizeof(word), "max,+%.*s", (int)n, f);
			cr_expect(configure(word), "%s: %s", cpu_models[i].name, e.msg);
			f += n;
		}
	}
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

Test(cpuid, signature_packs_family_and_model)
{
	configure("Nehalem");
	cr_expect_eq(leaf(1, 0, EAX), 0x106a3);
	configure("pentium3");
	cr_expect_eq(leaf(1, 0, EAX), 0x683);
	configure("486");
	cr_expect_eq(leaf(1, 0, EAX), 0x480);
	configure("qemu64");
	cr_expect_eq(leaf(1, 0, EAX), 0x60fb1);
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
	cr_expect_eq(leaf(0x40000001, 0, EAX), 0x100188b);
	configure("qemu64,kvm=off");
	cr_expect_eq(leaf(0x40000000, 0, EBX), 0x61656852);	/* Rhea */
	cr_expect_eq(leaf(0x40000001, 0, EAX), 0);
	cr_expect(leaf(1, 0, ECX) >> 31);
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
	c.ncpus = 6;
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
	configure("max");
	cpuid_insn_features(&c, f);
	cr_expect(f[F_SSE42 >> 6] >> (F_SSE42 & 63) & 1 && f[F_LM >> 6] >> (F_LM & 63) & 1);
}
