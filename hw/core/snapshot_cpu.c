/*
 * A vCPU in a snapshot: the rows of cpu/regs.def, its time-stamp counter, and what kind
 * of processor it is, which must be the same where it is loaded.
 *
 * The counter is saved as the guest sees it; the offset to the host's is made anew.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/regs.h"
#include "cpu/tsc.h"
#include "cpu/xstate.h"
#include "hw/core/dev.h"
#include "hw/core/snapshot_priv.h"

#define VERSION	1u

/* Requests that are guest state; the others belong to whoever runs the vCPU. */
#define GUEST_REQUESTS (REQ_INTR | REQ_NMI | REQ_SMI | REQ_INIT | REQ_SIPI | REQ_VINTR | REQ_KICK | REQ_PMU)

/* ---- what kind ---- */

/* Every feature's name with a blank behind it. */
static void put_features(struct state_buf *b, const struct cpu *c)
{
	char text[8192];
	size_t n = 0;

	for (unsigned i = 0; cpuid_feature_name(i); i++)
		if (cpuid_feature_in(c->feat, i) && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", cpuid_feature_name(i));
	state_put_text(b, "features", text);
}

static bool listed(const char *name, const uint8_t *list, uint32_t size)
{
	size_t n = strlen(name);

	while (size) {
		const uint8_t *blank = memchr(list, ' ', size);
		size_t k = blank ? (size_t)(blank - list) : size;

		if (k == n && !memcmp(list, name, n))
			return true;
		k += blank != NULL;
		list += k;
		size -= (uint32_t)k;
	}
	return false;
}

static bool features_agree(const struct section *s, const struct cpu *c, struct err *e)
{
	uint32_t size;
	const uint8_t *list = section_field(s, "features", &size);

	if (!list)
		return err_set(e, "processor %s has no list of features", s->instance);
	for (unsigned i = 0; cpuid_feature_name(i); i++) {
		const char *name = cpuid_feature_name(i);
		bool has = cpuid_feature_in(c->feat, i), had = listed(name, list, size);

		if (has != had)
			return err_set(e, "processors %s the feature %s and %s it here: use the same -cpu",
				       had ? "had" : "did not have", name, has ? "have" : "lack");
	}
	return true;
}

struct kind {
	uint32_t signature, apic_id, phys_bits, virt_bits, ncpus, cores, threads;
	char vendor[13];
};

static struct kind kind_of(const struct cpu *c)
{
	struct kind k = { cpuid_signature(c), c->apic_id, c->phys_bits, c->virt_bits, c->ncpus, c->cores, c->threads, "" };

	memcpy(k.vendor, c->id.vendor, sizeof(k.vendor));
	return k;
}

#define F(f) { #f, offsetof(struct kind, f), sizeof(((struct kind *)0)->f), STATE_RAW }
static const struct state kind_table[] = {
	F(signature), F(apic_id), F(phys_bits), F(virt_bits), F(ncpus), F(cores), F(threads), F(vendor), { 0 }
};
#undef F

static bool kind_agrees(const struct section *s, const struct cpu *c, struct err *e)
{
	struct kind here = kind_of(c), then = { 0 };

	if (!section_get_table(s, kind_table, &then, VERSION, e))
		return false;
	if (then.ncpus != here.ncpus || then.cores != here.cores || then.threads != here.threads
	    || then.apic_id != here.apic_id)
		return err_set(e, "there were %u processors (%u cores a socket, %u threads a core) and are %u "
			       "(%u, %u): use the same -smp", then.ncpus, then.cores, then.threads, here.ncpus,
			       here.cores, here.threads);
	if (then.signature != here.signature || memcmp(then.vendor, here.vendor, sizeof(then.vendor)))
		return err_set(e, "processors were %.12s %08x and are %.12s %08x: use the same -cpu", then.vendor,
			       then.signature, here.vendor, here.signature);
	return (then.phys_bits == here.phys_bits && then.virt_bits == here.virt_bits)
		|| err_set(e, "addresses had %u and %u bits and have %u and %u: use the same -cpu", then.phys_bits,
			   then.virt_bits, here.phys_bits, here.virt_bits);
}

/* ---- state ---- */

void snapshot_put_cpu(struct state_buf *b, struct cpu *c)
{
	struct kind k = kind_of(c);
	char name[16];

	snprintf(name, sizeof(name), "%d", c->index);
	state_begin(b, "cpu", name, VERSION);
	state_put_table(b, kind_table, &k);
	put_features(b, c);
	for (unsigned i = 0; i < n_cpu_regs; i++)
		state_put(b, cpu_regs[i].name, (char *)c + cpu_regs[i].where, cpu_regs[i].bytes);
	state_put64(b, "tsc", c->tsc_held);
	state_put64(b, "tsc_khz", c->tsc_khz);
	state_end(b);
}

bool snapshot_cpu_fits(const struct section *s, struct cpu *c, struct err *e)
{
	uint64_t tsc, khz;
	uint32_t n;

	if (!section_version_ok(s, VERSION, e) || !kind_agrees(s, c, e) || !features_agree(s, c, e)
	    || !section_get64(s, "tsc", &tsc, e) || !section_get64(s, "tsc_khz", &khz, e))
		return false;
	if (!khz)
		return err_set(e, "it is damaged: a time-stamp counter that stands");
	for (unsigned i = 0; i < n_cpu_regs; i++) {
		const uint8_t *p = section_field(s, cpu_regs[i].name, &n);

		if (!p && s->version < VERSION)
			continue;
		if (!p || n != cpu_regs[i].bytes)
			return err_set(e, "register %s of processor %s is missing or has another width",
				       cpu_regs[i].name, s->instance);
	}
	return xsave_loadable(section_field(s, "xsave", &n))
		|| err_set(e, "it is damaged: x87 and SSE registers that no processor has");
}

void snapshot_load_cpu(const struct section *s, struct cpu *c)
{
	uint32_t n, others = atomic_load(&c->request) & ~GUEST_REQUESTS;
	uint64_t khz = c->tsc_khz;
	struct err ignored;

	for (unsigned i = 0; i < n_cpu_regs; i++) {
		const uint8_t *p = section_field(s, cpu_regs[i].name, &n);

		if (p && n == cpu_regs[i].bytes)
			memcpy((char *)c + cpu_regs[i].where, p, n);
	}
	atomic_store(&c->request, (atomic_load(&c->request) & GUEST_REQUESTS) | others);
	section_get64(s, "tsc", &c->tsc_held, &ignored);
	section_get64(s, "tsc_khz", &khz, &ignored);
	if (khz != c->tsc_khz)
		tsc_set_khz(c, khz);
	tsc_update_insn(c);
	c->tsc_stands = true;
}
