/*
 * Plugin: how many instructions the guest completes, by vCPU and mode, and by mnemonic.
 *
 * An instruction that faults is not complete; a repeated string instruction is one.
 */
#include <rhea-plugin.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const int rhea_plugin_abi = RHEA_PLUGIN_ABI;
const char rhea_plugin_help[] =
	"counts instructions by vCPU and mode\n"
	"  mnemonics=on     by mnemonic, too\n"
	"  top=N            the N most frequent ones only [30]\n";

enum { KERNEL, USER, N_RINGS, N_SIZES = 3, N_MODES = N_RINGS * N_SIZES, MAX_NAMES = 4096 };

struct name {
	const char *name;		/* Rhea's, for ever */
	rhea_counter count;
	uint64_t sum;
};

struct insns {
	struct rhea_plugin *self;
	const struct rhea_api *api;
	rhea_counter modes;
	bool mnemonics;
	unsigned top;
	pthread_mutex_t lock;		/* for what follows */
	struct name names[MAX_NAMES];
	unsigned n_names;
};

/* The counter of a mnemonic; 0: there are too many. */
static rhea_counter counter_of_name(struct insns *p, const char *name)
{
	unsigned i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->n_names && strcmp(p->names[i].name, name); i++)
		;
	if (i == p->n_names && i < MAX_NAMES)
		p->names[p->n_names++] = (struct name){ name, p->api->counter_new(p->self, 1), 0 };
	pthread_mutex_unlock(&p->lock);
	return i < MAX_NAMES ? p->names[i].count : 0;
}

static void on_block(struct rhea_vcpu *v, const struct rhea_block *b, void *data)
{
	struct insns *p = data;
	struct rhea_block_info info = p->api->block_info(b);
	unsigned mode = (info.cpl == 3 ? USER : KERNEL) * N_SIZES + (info.bits == 64 ? 2 : info.bits == 32 ? 1 : 0);
	const struct rhea_insn *i;

	(void)v;
	for (unsigned k = 0; (i = p->api->block_insn(b, k)); k++) {
		p->api->insn_add(i, p->modes + 8 * mode, 1);
		if (p->mnemonics)
			p->api->insn_add(i, counter_of_name(p, p->api->insn_info(i).name), 1);
	}
}

/* ---- the report ---- */

static void print_vcpu(struct insns *p, unsigned n)
{
	static const char *const rings[] = { "kernel", "user" };
	const uint64_t *c = p->api->counter_of(p->self, p->modes, n);
	uint64_t sum = 0;

	if (!c)
		return;
	for (int i = 0; i < N_MODES; i++)
		sum += c[i];
	p->api->print("cpu %u: %llu instructions\n", n, (unsigned long long)sum);
	for (int i = 0; i < N_MODES; i++)
		if (c[i])
			p->api->print("  %-6s %d-bit  %16llu  %5.1f%%\n", rings[i / N_SIZES], 16 << i % N_SIZES,
				      (unsigned long long)c[i], 100.0 * (double)c[i] / (double)sum);
}

static int by_sum(const void *a, const void *b)
{
	uint64_t x = ((const struct name *)a)->sum, y = ((const struct name *)b)->sum;

	return x < y ? 1 : x > y ? -1 : 0;
}

static void on_exit_(void *data)
{
	struct insns *p = data;
	unsigned n = p->api->machine(p->self).vcpus;

	for (unsigned i = 0; i < n; i++)
		print_vcpu(p, i);
	for (unsigned i = 0; i < p->n_names; i++)
		p->names[i].sum = p->api->counter_sum(p->self, p->names[i].count);
	qsort(p->names, p->n_names, sizeof(p->names[0]), by_sum);
	for (unsigned i = 0; i < p->n_names && i < p->top && p->names[i].sum; i++)
		p->api->print("%-14s %16llu\n", p->names[i].name, (unsigned long long)p->names[i].sum);
	free(p);
}

/* ---- the beginning ---- */

static bool argument(struct insns *p, const char *arg)
{
	char *end;

	if (!strcmp(arg, "mnemonics=on") || !strcmp(arg, "mnemonics=off")) {
		p->mnemonics = arg[11] == 'n';
		return true;
	}
	if (strncmp(arg, "top=", 4))
		return false;
	p->top = (unsigned)strtoul(arg + 4, &end, 10);
	return arg[4] && !*end;
}

int rhea_plugin_install(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv)
{
	struct insns *p = calloc(1, sizeof(*p));

	if (!p)
		return 1;
	*p = (struct insns){ .self = self, .api = api, .top = 30, .lock = PTHREAD_MUTEX_INITIALIZER };
	for (int i = 0; i < argc; i++)
		if (!argument(p, argv[i])) {
			api->error(self, "unknown argument '%s'; it takes mnemonics=on|off and top=N", argv[i]);
			free(p);
			return 1;
		}
	p->modes = api->counter_new(self, N_MODES);
	api->on_block(self, on_block, p);
	api->on_exit(self, on_exit_, p);
	return 0;
}
