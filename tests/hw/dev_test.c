/* The device model: register rows, properties, and what holds for every type. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/bench.h"

#include <stdlib.h>
#include <string.h>

#include "hw/intc/lapic.h"
#include "hw/pc/types.h"

/* ---- every device type there is ---- */

static struct bench b;

/* Types that cannot stand alone (no bus, no disk) are none of these tests' business. */
static bool open_alone(size_t i)
{
	bench_machine(&b);
	b.dev = dev_make(b.m, dev_types[i], NULL, NULL, &b.err);
	return b.dev != NULL;
}

static struct criterion_test_params each_type(void)
{
	size_t *index = cr_malloc(n_dev_types * sizeof(size_t));

	for (size_t i = 0; i < n_dev_types; i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, n_dev_types);
}

ParameterizedTestParameters(dev, plain_registers_obey_their_masks) { return each_type(); }
ParameterizedTest(size_t *i, dev, plain_registers_obey_their_masks)
{
	if (open_alone(*i))
		for (const struct reg *r = b.dev->type->regs; r && r->name; r++) {
			uint32_t all = (uint32_t)size_mask(reg_size(r));

			if (!reg_is_plain(r))
				continue;
			cr_expect_eq(reg_get(b.dev, r), r->reset, "%s", r->name);
			reg_put(b.dev, r, ~r->reset & all);
			cr_expect_eq(reg_get(b.dev, r), r->reset ^ r->wmask, "%s", r->name);
		}
	bench_close(&b);
}

/* A byte written to a wide register leaves alone what ones in its other bytes would clear. */
ParameterizedTestParameters(dev, bytes_not_written_clear_nothing) { return each_type(); }
ParameterizedTest(size_t *i, dev, bytes_not_written_clear_nothing)
{
	if (open_alone(*i))
		for (const struct reg *r = b.dev->type->regs; r && r->name; r++)
			for (int at = 0; r->w1c && at < reg_size(r); at++) {
				uint32_t byte = 0xffu << 8 * at;

				reg_poke(b.dev, r, r->w1c);
				dev_reg_write(b.dev, r->off + at, 1, 0xff);
				cr_expect_eq(reg_peek(b.dev, r) & r->w1c, r->w1c & ~byte, "%s", r->name);
			}
	bench_close(&b);
}

ParameterizedTestParameters(dev, the_tables_are_well_formed) { return each_type(); }
ParameterizedTest(size_t *i, dev, the_tables_are_well_formed)
{
	const struct dev_type *t = dev_types[*i];

	cr_expect_geq(t->size, sizeof(struct dev));
	cr_expect(t->name && t->bus && t->version, "%s", t->name);
	for (const struct reg *r = t->regs; r && r->name; r++) {
		cr_expect(!(r->reset >> 1 >> (8 * reg_size(r) - 1)), "%s.%s: reset", t->name, r->name);
		cr_expect(!(r->wmask >> 1 >> (8 * reg_size(r) - 1)), "%s.%s: mask", t->name, r->name);
		cr_expect(r->stored == REG_NONE || r->stored + reg_size(r) <= t->size, "%s.%s", t->name, r->name);
	}
	for (const struct state *s = t->state; s && s->name; s++)
		cr_expect(s->off >= sizeof(struct dev) && s->off + s->size <= t->size, "%s.%s", t->name, s->name);
	for (const struct prop *p = t->props; p && p->name; p++)
		cr_expect(p->help && p->off + p->size <= t->size, "%s.%s", t->name, p->name);
	for (size_t j = 0; j < *i; j++)
		cr_expect_str_neq(t->name, dev_types[j]->name);
}

struct image {
	uint8_t *buf;
	size_t n, cap, at;
};

static void save(void *opaque, const char *name, void *p, uint32_t size)
{
	struct image *im = opaque;

	(void)name;
	if (im->n + size > im->cap)
		im->buf = realloc(im->buf, im->cap = 2 * (im->n + size));
	memcpy(im->buf + im->n, p, size);
	im->n += size;
}

static void load(void *opaque, const char *name, void *p, uint32_t size)
{
	struct image *im = opaque;

	(void)name;
	cr_assert_leq(im->at + size, im->n);
	memcpy(p, im->buf + im->at, size);
	im->at += size;
}

ParameterizedTestParameters(dev, saved_state_loads_into_the_same_state) { return each_type(); }
ParameterizedTest(size_t *i, dev, saved_state_loads_into_the_same_state)
{
	struct image before = { 0 }, after = { 0 };

	if (open_alone(*i)) {
		dev_each_saved(b.dev, save, &before);
		bench_close(&b);
		cr_assert(open_alone(*i));
		dev_each_saved(b.dev, load, &before);
		cr_assert(dev_loaded(b.dev, &b.err), "%s", b.err.msg);
		dev_each_saved(b.dev, save, &after);
		cr_assert_eq(before.n, after.n);
		if (before.n)
			cr_assert_arr_eq(before.buf, after.buf, before.n);
	}
	free(before.buf);
	free(after.buf);
	bench_close(&b);
}

/* Whatever a guest does to the ports, nothing breaks. The seed is fixed. */
ParameterizedTestParameters(dev, random_port_accesses_do_no_harm) { return each_type(); }
ParameterizedTest(size_t *i, dev, random_port_accesses_do_no_harm)
{
	uint64_t x = 88172645463325252ull + *i;
	static const uint8_t sizes[] = { 1, 1, 1, 2, 4 };

	if (open_alone(*i))
		for (int k = 0; k < 3000; k++) {
			uint16_t port;
			int size;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			port = (uint16_t)(x >> 40 & (k & 1 ? 0xff : 0x7ff));
			size = sizes[(x >> 32) % 5];
			if (x & 1)
				port_read(b.m, port, size);
			else
				port_write(b.m, port, size, (uint32_t)x);
			if (k % 64 == 0)
				bench_run(&b, x >> 44 & 0xfffff);
		}
	bench_close(&b);
}

/* The same for registers in memory. */
ParameterizedTestParameters(dev, random_memory_accesses_do_no_harm) { return each_type(); }
ParameterizedTest(size_t *i, dev, random_memory_accesses_do_no_harm)
{
	static const uint64_t pages[] = { 0xfec00000u, 0xfed00000u, 0xfee00000u };
	static const uint8_t sizes[] = { 4, 4, 4, 1, 2, 8 };
	uint64_t x = 88172645463325252ull + *i;

	if (open_alone(*i)) {
		bench_cpus(&b, 1);
		b.cpu[0]->board = (struct cpu_board){ .opaque = b.m, .now_ns = machine_now_ns };
		b.cpu[0]->tsc_from_clock = true;
		if (dev_types[*i] == &lapic_type)
			lapic_connect_cpu(b.dev, b.cpu[0]);
		for (int k = 0; k < 3000; k++) {
			uint64_t pa;
			int size;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			size = sizes[(x >> 8) % 6];
			pa = pages[(x >> 16) % 3] + (x >> 40 & 0x3ff & ~(uint64_t)(size - 1));
			if (x & 1)
				phys_read(b.m->phys, pa, size);
			else
				phys_write(b.m->phys, pa, size, x >> (x >> 60));
			if (k % 64 == 0)
				bench_run(&b, x >> 44 & 0xffff);
			if (k % 16 == 0 && dev_types[*i] == &lapic_type)
				lapic_intack(b.dev);
		}
	}
	bench_close(&b);
}

/* ---- a device for the register rules ---- */

struct toy {
	struct dev dev;
	uint8_t a, b, c;
	uint16_t w;
	uint32_t d;
	uint32_t seen_v, seen_old;
	int updates;
	uint16_t base;
	char *text;
	bool flag;
	uint8_t mac[6];
	int32_t devfn;
	uint64_t ram;
	struct irq irq;
};

static void d_write(void *dev, uint32_t v, uint32_t old)
{
	struct toy *t = dev;

	t->seen_v = v;
	t->seen_old = old;
}

static uint32_t c_read(void *dev)
{
	(void)dev;
	return 0x1c3;		/* too wide: only the low byte is seen */
}

static unsigned toy_bank(void *dev, unsigned off)
{
	(void)off;
	return ((struct toy *)dev)->a & 1;
}

static void toy_update(void *dev)
{
	((struct toy *)dev)->updates++;
}

#define F(f) offsetof(struct toy, f)
static const struct reg toy_regs[] = {
	{ 0, REG_ANY, "a", F(a), 0x12, 0x0f, 0 },
	{ 1, 0, "b", F(b), 0x55, 0xff, 0x05 },
	{ 1, 1, "c", F(c), 0, 0xff, 0, c_read, NULL },
	{ 2, 0, "w", F(w), 0x1234, 0xff0f, 0, NULL, NULL, 2 },
	{ 4, 0, "d", F(d), 0x89abcdef, 0xffffffff, 0, NULL, d_write, 4 },
	{ 0 }
};
static const struct prop toy_props[] = {
	PROP(U16, toy, base, "base", 0x300, "a port"),
	PROP_TEXT(toy, text, "text", "hello", "a text"),
	PROP(BOOL, toy, flag, "flag", true, "a flag"),
	PROP(MAC, toy, mac, "mac", 0, "an address"),
	PROP(DEVFN, toy, devfn, "addr", (uint64_t)-1, "a place"),
	PROP(SIZE, toy, ram, "ram", 0, "a size"),
	PROP(IRQ, toy, irq, "irq", 5, "a line"),
	{ 0 }
};
static const struct dev_type toy_type = {
	.name = "toy", .alias = "plaything", .bus = "isa", .size = sizeof(struct toy), .version = 1,
	.regs = toy_regs, .props = toy_props, .bank = toy_bank, .update = toy_update,
};

static struct toy *toy_open(const char *props)
{
	bench_open(&b, &toy_type, props);
	return (struct toy *)b.dev;
}

Test(dev, a_write_changes_only_the_bits_of_the_mask)
{
	toy_open(NULL);
	dev_reg_write(b.dev, 0, 1, 0xee);
	cr_assert_eq(dev_reg_read(b.dev, 0, 1), 0x1e);
	bench_close(&b);
}

Test(dev, a_read_clears_the_bits_of_the_clear_column)
{
	toy_open(NULL);
	cr_assert_eq(dev_reg_read(b.dev, 1, 1), 0x55);
	cr_assert_eq(dev_reg_read(b.dev, 1, 1), 0x50);
	bench_close(&b);
}

Test(dev, the_bank_chooses_among_rows_of_one_offset)
{
	toy_open(NULL);
	dev_reg_write(b.dev, 0, 1, 1);
	cr_assert_eq(dev_reg_read(b.dev, 1, 1), 0xc3);
	bench_close(&b);
}

Test(dev, on_write_sees_the_value_written_and_the_old_one)
{
	struct toy *t = toy_open(NULL);

	dev_reg_write(b.dev, 4, 4, 0x11223344);
	cr_assert_eq(t->seen_v, 0x11223344u);
	cr_assert_eq(t->seen_old, 0x89abcdefu);
	bench_close(&b);
}

Test(dev, part_of_a_wide_register_is_read_and_written_by_bytes)
{
	struct toy *t = toy_open(NULL);

	cr_assert_eq(dev_reg_read(b.dev, 5, 1), 0xcd);
	dev_reg_write(b.dev, 6, 2, 0xbeef);
	cr_assert_eq(t->d, 0xbeefcdefu);
	cr_assert_eq(t->seen_v, 0xbeefcdefu);
	bench_close(&b);
}

Test(dev, a_wide_access_is_put_together_from_its_rows)
{
	toy_open(NULL);
	cr_assert_eq(dev_reg_read(b.dev, 0, 4), 0x12345512u);
	dev_reg_write(b.dev, 0, 4, 0);
	cr_assert_eq(dev_reg_read(b.dev, 0, 4), 0x00300010u);
	bench_close(&b);
}

Test(dev, update_runs_once_after_an_access)
{
	struct toy *t = toy_open(NULL);

	t->updates = 0;
	dev_reg_read(b.dev, 0, 4);
	cr_assert_eq(t->updates, 1);
	bench_close(&b);
}

Test(dev, reset_restores_the_reset_column)
{
	toy_open(NULL);
	dev_reg_write(b.dev, 4, 4, 0);
	machine_reset_devices(b.m);
	cr_assert_eq(dev_reg_read(b.dev, 4, 4), 0x89abcdefu);
	bench_close(&b);
}

/* ---- properties ---- */

Test(dev, properties_are_parsed_by_kind)
{
	struct toy *t = toy_open("base=0x2f8,text=a,,b,flag=off,mac=52:54:00:12:34:56,addr=1f.2,ram=3M,irq=11");

	cr_assert_eq(t->base, 0x2f8);
	cr_assert_str_eq(t->text, "a,b");
	cr_assert_not(t->flag);
	cr_assert_eq(t->mac[5], 0x56);
	cr_assert_eq(t->devfn, 0x1f << 3 | 2);
	cr_assert_eq(t->ram, 3u << 20);
	irq_set(t->irq, 1);
	cr_assert(b.isa[11].level);
	bench_close(&b);
}

Test(dev, properties_have_defaults)
{
	struct toy *t = toy_open(NULL);

	cr_assert_eq(t->base, 0x300);
	cr_assert_str_eq(t->text, "hello");
	cr_assert(t->flag);
	cr_assert_eq(t->devfn, -1);
	cr_assert_eq(t->irq.n, 5);
	bench_close(&b);
}

Test(dev, wrong_values_are_refused_with_the_reason)
{
	static const char *const wrong[] = {
		"base=70000", "base=x", "base=", "flag=maybe", "mac=1:2", "addr=20", "addr=1.8", "ram=3X",
		"irq=16", "nonsense=1",
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		bench_machine(&b);
		cr_expect_null(dev_make(b.m, &toy_type, NULL, wrong[i], &b.err), "%s", wrong[i]);
		cr_expect(*b.err.msg, "%s", wrong[i]);
		bench_close(&b);
	}
}

Test(dev, a_global_applies_to_every_device_of_its_driver)
{
	bench_machine(&b);
	cr_assert(machine_add_global(b.m, "toy.base=0x123", &b.err));
	cr_assert_not(machine_add_global(b.m, "toybase", &b.err));
	cr_assert(machine_add_global(b.m, "driver=cfi.pflash01,property=secure,value=on", &b.err));
	cr_assert_str_eq(b.m->globals->next->driver, "cfi.pflash01");
	cr_assert_str_eq(b.m->globals->next->prop, "secure");
	cr_assert_str_eq(b.m->globals->next->value, "on");
	b.dev = dev_make(b.m, &toy_type, NULL, NULL, &b.err);
	cr_assert_eq(((struct toy *)b.dev)->base, 0x123);
	bench_close(&b);
}

Test(dev, a_device_is_made_from_the_text_of_an_option)
{
	struct dev *d;

	bench_machine(&b);
	d = dev_make_from(b.m, "isa-serial,iobase=0x2f8,id=com2,irq=3", &b.err);
	cr_assert(d, "%s", b.err.msg);
	cr_assert_eq(dev_find(b.m, "com2"), d);
	cr_assert_null(dev_make_from(b.m, "isa-serial,id=com2", &b.err));
	cr_assert_null(dev_make_from(b.m, "nothing", &b.err));
	cr_assert_null(dev_make_from(b.m, "isa-pit", &b.err), "part of the board");
	cr_assert_eq(in(0x2f8 + 5), 0x60);
	bench_close(&b);
}

Test(dev, help_names_types_and_properties)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	bench_machine(&b);
	cr_expect(dev_help(b.m, NULL, f, &b.err));
	cr_expect(dev_help(b.m, "isa-serial", f, &b.err));
	cr_expect_not(dev_help(b.m, "isa-serail", f, &b.err));
	cr_expect(strstr(b.err.msg, "did you mean isa-serial"), "%s", b.err.msg);
	fclose(f);
	cr_assert(strstr(text, "name \"isa-serial\""));
	cr_assert_not(strstr(text, "i8042"));
	cr_assert(strstr(text, "iobase=<uint16>"));
	free(text);
	bench_close(&b);
}
