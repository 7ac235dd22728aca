/*
 * Plugins: what they can call (struct rhea_api), and how a block is shown to them.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/disasm.h"
#include "cpu/dump.h"
#include "cpu/mmu.h"
#include "tcg/cache.h"
#include "tcg/plug.h"

static struct cpu *cpu_of(struct rhea_vcpu *v) { return (struct cpu *)(void *)v; }

/* ---- in install() ---- */

static void __attribute__((format(printf, 2, 3))) api_error(struct rhea_plugin *self, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(self->err.msg, sizeof(self->err.msg), fmt, ap);
	va_end(ap);
}

static void on_block(struct rhea_plugin *self,
		     void (*fn)(struct rhea_vcpu *v, const struct rhea_block *b, void *data), void *data)
{
	self->on_block = fn;
	self->block_data = data;
}

static void on_vcpu(struct rhea_plugin *self, enum rhea_event what, void (*fn)(struct rhea_vcpu *v, void *data),
		    void *data)
{
	if ((unsigned)what >= RHEA_N_EVENTS)
		return;
	self->on_vcpu[what] = fn;
	self->vcpu_data[what] = data;
}

static void on_flush(struct rhea_plugin *self, void (*fn)(struct rhea_vcpu *v, void *data), void *data)
{
	self->on_flush = fn;
	self->flush_data = data;
}

static void on_exit_(struct rhea_plugin *self, void (*fn)(void *data), void *data)
{
	self->on_exit = fn;
	self->exit_data = data;
}

/* n bytes of every vCPU's memory; 0: there are not so many. */
static uint32_t memory_new(struct plugins *p, uint64_t n)
{
	uint32_t at = 0;

	pthread_mutex_lock(&p->lock);
	if (n <= PLUG_MEMORY - p->used) {
		at = p->used;
		p->used += (uint32_t)n;
	}
	pthread_mutex_unlock(&p->lock);
	return at;
}

static rhea_stream stream_new(struct rhea_plugin *self,
			      void (*fn)(struct rhea_vcpu *v, const struct rhea_trace *t, size_t n, void *data), void *data)
{
	struct plugins *p = self->all;
	uint32_t at;

	if (p->n_streams == PLUG_MAX_STREAMS)
		return 0;
	at = memory_new(p, sizeof(struct plug_stream) + (PLUG_ENTRIES + PLUG_SLACK) * sizeof(struct rhea_trace));
	if (at)
		p->stream[p->n_streams++] = (struct plugin_stream){ at, fn, data };
	return at;
}

/* ---- counters, output, surroundings ---- */

static rhea_counter counter_new(struct rhea_plugin *self, uint32_t n)
{
	return memory_new(self->all, 8ull * n);
}

static uint64_t *counter_of(struct rhea_plugin *self, rhea_counter c, unsigned vcpu)
{
	struct plugins *p = self->all;

	return c && vcpu < PLUG_MAX_CPUS && p->memory[vcpu] ? (uint64_t *)(void *)(p->memory[vcpu] + c) : NULL;
}

static uint64_t counter_sum(struct rhea_plugin *self, rhea_counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < self->all->ncpus; i++) {
		const uint64_t *p = counter_of(self, c, i);

		sum += p ? *p : 0;
	}
	return sum;
}

static void text_out(bool always, const char *fmt, va_list ap)
{
	char text[4096];

	if (!always && !log_on(LOG_PLUGIN))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	log_always("%s", text);
}

static void __attribute__((format(printf, 1, 2))) api_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_out(false, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 1, 2))) api_print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_out(true, fmt, ap);
	va_end(ap);
}

static struct rhea_machine_info machine_info(struct rhea_plugin *self)
{
	return (struct rhea_machine_info){ self->all->machine_name, self->all->ncpus };
}

static unsigned vcpu_index(const struct rhea_vcpu *v)
{
	return (unsigned)((const struct cpu *)(const void *)v)->index;
}

/* ---- blocks and instructions ---- */

static uint64_t linear(const struct rhea_block *b, unsigned off)
{
	uint64_t va = b->ir->rip + b->ir->cs_base + off;

	return (b->ir->mode & MODE_CODE) == MODE_CODE64 ? va : (uint32_t)va;
}

static uint64_t physical(const struct rhea_block *b, unsigned off)
{
	uint64_t va = linear(b, off), pa = 0;
	uint32_t pf;

	mmu_fetch_page(b->c, va & ~4095ull, &pa, NULL, &pf);
	return (pa & ~4095ull) | (va & 4095);
}

static struct rhea_block_info block_info(const struct rhea_block *b)
{
	static const uint8_t bits[] = { 16, 32, 64 };

	return (struct rhea_block_info){
		.va = linear(b, 0), .rip = b->ir->rip, .pa = physical(b, 0), .bytes = b->ir->len, .insns = b->n_insns,
		.bits = bits[b->ir->mode & MODE_CODE], .cpl = b->ir->mode >> MODE_CPL_SHIFT & 3,
	};
}

static const struct rhea_insn *block_insn(const struct rhea_block *b, unsigned n)
{
	return n < b->n_insns ? &b->insn[n] : NULL;
}

/* Does it begin with `raise` of #UD because there is no such instruction? */
static const struct insn *decoded(const struct rhea_insn *i)
{
	const struct insn *in = &i->b->ir->insns[i->n];

	return in->len ? in : NULL;
}

static struct rhea_insn_info insn_info(const struct rhea_insn *i)
{
	const struct ir *ir = i->b->ir;
	unsigned off = ir->off[i->n];
	const struct insn *in = decoded(i);

	return (struct rhea_insn_info){
		.va = linear(i->b, off), .rip = ir->rip + off, .pa = physical(i->b, off), .bytes = i->b->bytes + off,
		.len = in ? in->len : 1, .name = in ? insn_row(in)->name : "(bad)",
	};
}

static int insn_text_(const struct rhea_insn *i, char *buf, size_t n)
{
	const struct insn *in = decoded(i);

	if (!in)
		return snprintf(buf, n, "(bad)");
	return insn_text(in, i->b->ir->rip + i->b->ir->off[i->n], buf, n);
}

/* ---- hooks ---- */

struct plug_hook *plug_hook(struct rhea_block *b, unsigned n)
{
	struct plug_hook *h;

	if (b->n_hooks + 1 == PLUG_MAX_HOOKS) {
		b->overflow = true;
		b->n_hooks--;
	}
	h = &b->hook[++b->n_hooks];
	*h = (struct plug_hook){ 0 };
	if (b->first[n])
		b->hook[b->last[n]].next = (uint16_t)b->n_hooks;
	else
		b->first[n] = (uint16_t)b->n_hooks;
	b->last[n] = (uint16_t)b->n_hooks;
	return h;
}

/* Handles are const for plugins, as they have nothing to change there. */
static struct plug_hook *of_block(const struct rhea_block *b)
{
	struct plug_hook *h = plug_hook((struct rhea_block *)(uintptr_t)b, PLUG_BLOCK);

	h->where = HOOK_BLOCK;
	return h;
}

static struct plug_hook *of_insn(const struct rhea_insn *i, int where)
{
	struct plug_hook *h = plug_hook(i->b, i->n);

	h->where = where;
	return h;
}

static void call(struct plug_hook *h, void (*fn)(struct rhea_vcpu *v, void *data), void *data, unsigned flags)
{
	h->fn = fn;
	h->flags = flags;
	h->m = (struct plug_memhook){ .kind = PLUG_CALL, .data = data };
}

static void block_call(const struct rhea_block *b, void (*fn)(struct rhea_vcpu *v, void *data), void *data, unsigned flags)
{
	call(of_block(b), fn, data, flags);
}

static void block_add(const struct rhea_block *b, rhea_counter c, int32_t n)
{
	if (c)
		of_block(b)->m = (struct plug_memhook){ .kind = PLUG_ADD, .at = c, .arg = (uint32_t)n };
}

static void insn_call(const struct rhea_insn *i, void (*fn)(struct rhea_vcpu *v, void *data), void *data, unsigned flags)
{
	call(of_insn(i, HOOK_BEFORE), fn, data, flags);
}

static void insn_add(const struct rhea_insn *i, rhea_counter c, int32_t n)
{
	if (c)
		of_insn(i, HOOK_AFTER)->m = (struct plug_memhook){ .kind = PLUG_ADD, .at = c, .arg = (uint32_t)n };
}

static void insn_trace(const struct rhea_insn *i, rhea_stream s, uint32_t tag)
{
	if (s)
		of_insn(i, HOOK_BEFORE)->m = (struct plug_memhook){ .kind = PLUG_TRACE, .at = s, .arg = tag };
}

static void mem_call(const struct rhea_insn *i, unsigned how,
		     void (*fn)(struct rhea_vcpu *v, const struct rhea_access *a, void *data), void *data)
{
	of_insn(i, HOOK_MEM)->m = (struct plug_memhook){ .kind = PLUG_CALL, .how = how, .fn = fn, .data = data };
}

static void mem_add(const struct rhea_insn *i, unsigned how, rhea_counter c, int32_t n)
{
	if (c)
		of_insn(i, HOOK_MEM)->m = (struct plug_memhook){ .kind = PLUG_ADD, .how = how, .at = c, .arg = (uint32_t)n };
}

static void mem_trace(const struct rhea_insn *i, unsigned how, rhea_stream s, uint32_t tag)
{
	if (s)
		of_insn(i, HOOK_MEM)->m = (struct plug_memhook){ .kind = PLUG_TRACE, .how = how, .at = s, .arg = tag };
}

/* ---- registers and memory ---- */

/* xmm0 .. xmm15: their bytes in the XSAVE area. */
static const uint8_t *xmm(const struct cpu *c, const char *name)
{
	char *end;
	unsigned long n;

	if (strncmp(name, "xmm", 3) || name[3] < '0' || name[3] > '9')
		return NULL;
	n = strtoul(name + 3, &end, 10);
	return *end || n > 15 ? NULL : c->xsave + 160 + 16 * n;
}

static size_t reg_read(struct rhea_vcpu *v, const char *name, void *buf, size_t n)
{
	struct cpu *c = cpu_of(v);
	const struct plug_cpu *p = tcg_of(c)->plug;
	const uint8_t *x = xmm(c, name);
	uint64_t value;

	if (x) {
		memcpy(buf, x, n < 16 ? n : 16);
		return 16;
	}
	if (!strcmp(name, "rip") && p->has_rip)
		value = p->rip;
	else if (!cpu_reg_by_name(c, name, &value))
		return 0;
	memcpy(buf, &value, n < 8 ? n : 8);
	return 8;
}

static bool va_to_pa(struct rhea_vcpu *v, uint64_t va, uint64_t *pa, bool *device)
{
	struct cpu *c = cpu_of(v);
	struct phys_page pp;

	if (!mmu_probe(c, cpu_is64(c) ? va : (uint32_t)va, pa))
		return false;
	phys_lookup(c->phys, PAGE_OF(*pa), &pp);
	if (device)
		*device = !pp.rhost;
	return true;
}

static bool mem_read(struct rhea_vcpu *v, uint64_t va, void *buf, size_t n)
{
	struct cpu *c = cpu_of(v);
	struct phys_page pp;

	for (size_t done = 0, part; done < n; done += part) {
		uint64_t pa;

		part = PAGE_SIZE - ((va + done) & (PAGE_SIZE - 1));
		if (part > n - done)
			part = n - done;
		if (!va_to_pa(v, va + done, &pa, NULL))
			return false;
		phys_lookup(c->phys, PAGE_OF(pa), &pp);
		if (!pp.rhost)
			return false;
		memcpy((uint8_t *)buf + done, pp.rhost + (pa & (PAGE_SIZE - 1)), part);
	}
	return true;
}

const struct rhea_api plug_api = {
	.abi = RHEA_PLUGIN_ABI, .size = sizeof(struct rhea_api),
	.error = api_error, .on_block = on_block, .on_vcpu = on_vcpu, .on_flush = on_flush, .on_exit = on_exit_,
	.stream_new = stream_new,
	.counter_new = counter_new, .counter_of = counter_of, .counter_sum = counter_sum, .log = api_log, .print = api_print,
	.machine = machine_info, .vcpu_index = vcpu_index,
	.block_info = block_info, .block_insn = block_insn, .insn_info = insn_info, .insn_text = insn_text_,
	.block_call = block_call, .block_add = block_add, .insn_call = insn_call, .insn_add = insn_add,
	.insn_trace = insn_trace, .mem_call = mem_call, .mem_add = mem_add, .mem_trace = mem_trace,
	.reg_read = reg_read, .mem_read = mem_read, .va_to_pa = va_to_pa,
};

/* ---- showing a block ---- */

static void show(struct rhea_block *b, const struct plugins *p)
{
	b->n_hooks = 0;
	b->overflow = false;
	memset(b->first, 0, sizeof(b->first));
	for (unsigned i = 0; i < b->n_insns; i++)
		b->insn[i] = (struct rhea_insn){ b, i };
	for (unsigned i = 0; i < p->n; i++)
		if (p->list[i].on_block)
			p->list[i].on_block(plug_vcpu(b->c), b, p->list[i].block_data);
}

/* A region leaves and comes back where nobody but counters may look. */
static bool only_counts(const struct rhea_block *b)
{
	for (unsigned i = 1; i <= b->n_hooks; i++) {
		const struct plug_hook *h = &b->hook[i];

		if (h->m.kind != PLUG_ADD || (h->where != HOOK_AFTER && h->where != HOOK_MEM))
			return false;
	}
	return true;
}

bool plug_translate(struct cpu *c, const uint8_t *bytes)
{
	struct tcg *t = tcg_of(c);
	struct rhea_block *b = t->plug->block;

	b->c = c;
	b->t = t;
	b->ir = t->ir;
	b->bytes = bytes;
	b->n_insns = t->ir->n_insns;
	show(b, c->plugins);
	if (t->ir->mode & MODE_REGION)
		return only_counts(b) && !b->overflow && plug_weave(t->ir, b);
	if (!b->overflow && plug_weave(t->ir, b))
		return true;
	if (b->n_insns > 1)
		return false;
	warn("plugins want more of the instruction at %#llx than fits; they miss it", (unsigned long long)t->ir->rip);
	return true;
}
