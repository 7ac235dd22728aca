/*
 * Snapshots: every device type saves and loads everything, and what is not a whole and
 * fitting snapshot is refused without touching the machine.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "tests/bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "hw/backend/share.h"
#include "hw/core/snapshot.h"
#include "hw/pc/types.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/mch.h"
#include "hw/pci/pci.h"

#define RAM_SIZE	(1u << 20)
#define IO_BASE		0xc000u
#define MEM_BASE	0xe0000000u
#define MEM_STEP	0x01000000u

/* ---- streams in memory ---- */

static bool to_buf(void *opaque, const void *p, size_t n, struct err *e)
{
	struct state_buf *s = opaque;

	(void)e;
	if (s->n + n > s->cap)
		s->p = realloc(s->p, s->cap = 2 * (s->n + n));
	memcpy(s->p + s->n, p, n);
	s->n += n;
	return true;
}

static bool from_buf(void *opaque, uint64_t at, void *p, size_t n, struct err *e)
{
	const struct state_buf *s = opaque;

	(void)e;
	cr_assert_leq(at + n, s->n);
	memcpy(p, s->p + at, n);
	return true;
}

static struct state_buf save(struct bench *b)
{
	struct state_buf s = { 0 };
	struct snapshot_sink sink = { to_buf, &s };

	if (clock_running(&b->m->clock))
		clock_stop(&b->m->clock);
	clock_settle(&b->m->clock);
	struct snapshot_out *o = snapshot_begin(b->m, &sink, &b->err);
	cr_assert(o && snapshot_ram(o, &b->err) && snapshot_end(o, &b->err), "%s", b->err.msg);
	snapshot_out_free(o);
	return s;
}

static bool load(struct bench *b, struct state_buf *s, bool *touched)
{
	struct snapshot_source src = { from_buf, s, s->n };
	struct snapshot_in *in = snapshot_open(b->m, &src, &b->err);

	*touched = false;
	if (!in)
		return false;
	if (clock_running(&b->m->clock))
		clock_stop(&b->m->clock);
	bool ok = snapshot_load(in, NULL, NULL, touched, &b->err);
	snapshot_in_free(in);
	return ok;
}

/* ---- a machine with one device ---- */

/* What types need to be made: properties, and another type in front of them. */
static const struct need { const char *type, *props, *before; } needs[] = {
	{ "pcie-root-port", NULL, "mch" }, { "virtio-blk-device", "drive=disk", "virtio-mmio" },
	{ "virtio-net-device", NULL, "virtio-mmio" }, { "virtio-rng-device", NULL, "virtio-mmio" },
	{ "hda-output", NULL, "intel-hda" }, { "hda-duplex", NULL, "intel-hda" },
	{ "virtio-blk-pci", "drive=disk" }, { "isa-fdc", "driveA=disk", "i8257" }, { "nvme", "drive=disk" }, { "cfi.pflash01", "drive=disk" },
	{ "usb-kbd", NULL, "piix3-usb-uhci" }, { "usb-mouse", NULL, "piix3-usb-uhci" },
	{ "usb-tablet", NULL, "piix3-usb-uhci" }, { "usb-hub", NULL, "piix3-usb-uhci" },
	{ "usb-storage", "drive=disk", "piix3-usb-uhci" }, { "virtio-scsi-device", NULL, "virtio-mmio" },
	{ "scsi-hd", "drive=disk", "virtio-scsi-pci" }, { "scsi-cd", "drive=disk", "virtio-scsi-pci" },
	{ "scsi-disk", "drive=disk", "virtio-scsi-pci" },
	{ "ide-hd", "drive=disk", "ich9-ahci" }, { "ide-cd", NULL, "piix3-ide" },
	{ "hda-output", NULL, "intel-hda" }, { "hda-duplex", NULL, "intel-hda" },
	{ "virtio-serial-device", NULL, "virtio-mmio" }, { "virtio-balloon-device", NULL, "virtio-mmio" },
	{ "virtio-9p-pci", "fsdev=folder,mount_tag=t" }, { "virtio-9p-device", "fsdev=folder,mount_tag=t", "virtio-mmio" },
	{ "virtio-keyboard-device", NULL, "virtio-mmio" }, { "virtio-mouse-device", NULL, "virtio-mmio" },
	{ "virtio-tablet-device", NULL, "virtio-mmio" }, { "virtconsole", NULL, "virtio-serial-pci" },
	{ "virtserialport", NULL, "virtio-serial-pci" },
};

/* Nobody sees its name any more once it is open. */
static void make_disk(struct bench *b)
{
	char name[] = "/tmp/rhea-snapshot-XXXXXX";
	int fd = mkstemp(name);

	cr_assert(fd >= 0 && !ftruncate(fd, 1 << 20));
	close(fd);
	bench_drive(b, "disk", name, false);
	unlink(name);
}

static struct need need_of(const struct dev_type *t)
{
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (!strcmp(needs[i].type, t->name))
			return needs[i];
	return (struct need){ NULL };
}

static void open_type(struct bench *b, const struct dev_type *t)
{
	static const struct share_options folder = { .id = "folder", .path = "/", .readonly = true };
	struct need need = need_of(t);
	struct ram *ram;

	bench_machine(b);
	ram = phys_ram_new(b->m->phys, "ram", RAM_SIZE, &b->err);
	struct phys_range r = { .size = RAM_SIZE, .rram = ram, .wram = ram, .name = "ram" };
	cr_assert(ram && phys_map(b->m->phys, &r, &b->err));
	if (t != &i440fx_type && t != &mch_type)
		cr_assert(dev_make(b->m, &i440fx_type, NULL, NULL, &b->err));
	if (need.before)
		cr_assert(dev_make(b->m, dev_type_find(b->m, need.before), NULL, NULL, &b->err), "%s", b->err.msg);
	if (need.props && strstr(need.props, "disk"))
		make_disk(b);
	if (need.props && strstr(need.props, "folder"))
		cr_assert(share_new(b->m, &folder, &b->err), "%s", b->err.msg);
	b->dev = dev_make(b->m, t, NULL, need.props, &b->err);
	cr_assert(b->dev, "%s: %s (say in needs[] what it wants)", t->name, b->err.msg);
}

static void close_type(struct bench *b)
{
	share_free_all(b->m);
	bench_close(b);
}

/* ---- a guest that does anything ---- */

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
	return *x;
}

static bool is_pci(const struct dev_type *t)
{
	return t->bus_props && !strcmp(t->bus_props[0].name, "addr");
}

/* Every BAR gets a place. */
static void place_bars(struct bench *b)
{
	struct pci_dev *p = (struct pci_dev *)b->dev;

	for (unsigned i = 0; i < PCI_NBARS; i++)
		pci_config_write(b->m->pci, 0, p->devfn, PCI_BAR0 + 4 * i, 4,
				 p->bars[i].kind == PCI_BAR_IO ? IO_BASE + 0x100 * i : MEM_BASE + MEM_STEP * i);
	pci_config_write(b->m->pci, 0, p->devfn, PCI_COMMAND, 2, 7);
}

static void poke_port(struct bench *b, uint64_t *x)
{
	static const uint8_t sizes[] = { 1, 1, 1, 2, 4 };
	static const uint16_t bases[] = { 0, 0, 0x100, 0x200, 0x300, 0x400, 0x500, 0x600, 0x700, IO_BASE, IO_BASE + 0x400 };
	uint16_t port = (uint16_t)(bases[next(x) % ARRAY_LEN(bases)] + (next(x) >> 20 & 0xff));
	int size = sizes[next(x) % ARRAY_LEN(sizes)];

	if (next(x) & 1)
		port_read(b->m, port, size);
	else
		port_write(b->m, port, size, (uint32_t)(*x >> 13));
}

static void poke_memory(struct bench *b, uint64_t *x)
{
	static const uint8_t sizes[] = { 4, 4, 4, 1, 2, 8 };
	static const uint64_t bases[] = {
		0xfec00000u, 0xfed00000u, 0xfee00000u, 0xa0000u, MEM_BASE, MEM_BASE, MEM_BASE + 2 * MEM_STEP,
		MEM_BASE + 4 * MEM_STEP, MEM_BASE + MEM_STEP, 0xff000000u, MEM_BASE + 4 * MEM_STEP + 0x3000,
	};
	int size = sizes[next(x) % ARRAY_LEN(sizes)];
	uint64_t pa = bases[next(x) % ARRAY_LEN(bases)] + (next(x) >> 20 & 0x3ff & ~(uint64_t)(size - 1));

	if (next(x) & 1)
		phys_read(b->m->phys, pa, size);
	else
		phys_write(b->m->phys, pa, size, *x >> (*x >> 58));
}

static void poke(struct bench *b, uint64_t seed, int n)
{
	uint64_t x = 88172645463325252ull + seed * 977;

	for (int k = 0; k < n; k++) {
		if (k % 500 == 0 && is_pci(b->dev->type))
			place_bars(b);
		poke_port(b, &x);
		poke_memory(b, &x);
		if (k % 16 == 0)
			bench_run(b, next(&x) >> 40 & 0xffff);
	}
}

/* ---- comparing ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static size_t deadlines(const struct bench *b, uint64_t *d, size_t max)
{
	const struct clock *c = &b->m->clock;

	cr_assert_leq(c->n_timers, max);
	for (size_t i = 0; i < c->n_timers; i++)
		d[i] = c->heap[i]->deadline;
	qsort(d, c->n_timers, sizeof(*d), by_value);
	return c->n_timers;
}

static void expect_same_timers(const struct bench *a, const struct bench *b, const char *name)
{
	uint64_t x[64], y[64];
	size_t n = deadlines(a, x, 64), m = deadlines(b, y, 64);

	cr_expect_eq(n, m, "%s: %zu timers, loaded %zu", name, n, m);
	for (size_t i = 0; i < n && i < m; i++)
		cr_expect_eq(x[i], y[i], "%s: timer %zu at %llu, loaded %llu", name, i, (unsigned long long)x[i],
			     (unsigned long long)y[i]);
}

static void expect_same_bytes(const struct state_buf *a, const struct state_buf *b, const char *name)
{
	cr_expect_eq(a->n, b->n, "%s: %zu bytes, loaded %zu", name, a->n, b->n);
	for (size_t i = 0; i < a->n && i < b->n; i++)
		if (a->p[i] != b->p[i]) {
			cr_expect(false, "%s: differs at byte %zu", name, i);
			break;
		}
}

/* Fields that may differ, by how many bytes: they are about the host. */
static const struct { const char *type; unsigned n; const char *what; } differ[] = {
	{ "cfi.pflash01", 8, "what its image has not got yet" },
};

static unsigned may_differ(const struct dev_type *t)
{
	for (size_t i = 0; i < ARRAY_LEN(differ); i++)
		if (!strcmp(differ[i].type, t->name))
			return differ[i].n;
	return 0;
}

/* To the heap or what stands around it: a large struct may be in either. */
static bool is_pointer(uint64_t v)
{
	return v >> 40 > 0x50 && !(v >> 47);
}

static bool both_pointers(uint64_t x, uint64_t y)
{
	return is_pointer(x) && is_pointer(y);
}

/*
 * Two devices that hold the same are the same, byte by byte, but for pointers. So a field
 * that no table names is noticed as soon as somebody writes it, without a list of such fields.
 */
static void expect_same_structs(const struct bench *a, const struct bench *b)
{
	const uint8_t *x = (const uint8_t *)a->dev, *y = (const uint8_t *)b->dev;
	const struct dev_type *t = a->dev->type;
	unsigned n = 0;
	size_t last = 0;

	for (size_t i = sizeof(struct dev); i < t->size; i++) {
		size_t word = i & ~7ul;
		if (x[i] == y[i] || (word + 8 <= t->size && both_pointers(ld64(x + word), ld64(y + word))))
			continue;
		last = i;
		n++;
	}
	cr_expect_leq(n, may_differ(t), "%s: %u bytes of its struct differ after loading, the last one is %zu: "
		      "is a field missing in its table?", t->name, n, last);
}

struct names {
	const char *name[512];
	unsigned n;
};

static void note_name(void *opaque, const char *name, void *p, uint32_t size)
{
	struct names *s = opaque;

	(void)p;
	cr_expect(size, "%s is empty", name);
	for (unsigned i = 0; i < s->n; i++)
		cr_expect_str_neq(s->name[i], name, "%s is saved twice, or there are two of that name", name);
	cr_assert_lt(s->n, 512);
	s->name[s->n++] = name;
}

static struct criterion_test_params each_type(void)
{
	size_t *index = cr_malloc(n_dev_types * sizeof(size_t));

	for (size_t i = 0; i < n_dev_types; i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, n_dev_types);
}

ParameterizedTestParameters(snapshot, every_type_loads_what_it_saved) { return each_type(); }
ParameterizedTest(size_t *i, snapshot, every_type_loads_what_it_saved)
{
	const struct dev_type *t = dev_types[*i];
	static struct bench a, b;

	for (uint64_t seed = 0; seed < 3; seed++) {
		bool touched;

		open_type(&a, t);
		dev_each_saved(a.dev, note_name, &(struct names){ .n = 0 });
		poke(&a, seed, 1000);
		struct state_buf then = save(&a);
		open_type(&b, t);
		poke(&b, seed + 10, 300);		/* what is there must go completely */
		cr_assert(load(&b, &then, &touched), "%s: %s", t->name, b.err.msg);
		expect_same_timers(&a, &b, t->name);
		expect_same_structs(&a, &b);
		struct state_buf now = save(&b);
		expect_same_bytes(&then, &now, t->name);
		for (int k = 0; k < MACHINE_N_ISA_IRQS; k++)
			cr_expect_eq(a.isa[k].level, b.isa[k].level, "%s: line %d", t->name, k);
		free(then.p);
		free(now.p);
		close_type(&a);
		close_type(&b);
	}
}

/* ---- what is refused ---- */

/* Checksums of a changed stream are made right again. */
static void sum_again(struct state_buf *s)
{
	uint32_t all = 0;

	for (size_t at = 12, n; at + 4 <= s->n; at += n) {
		n = ld32(s->p + at);
		uint32_t crc = crc32c(0, s->p + at, n - 4);
		if (at + n == s->n) {		/* the end: its last field is the sum of sums */
			st32(s->p + s->n - 8, all);
			crc = crc32c(0, s->p + at, n - 4);
		}
		st32(s->p + at + n - 4, crc);
		all = crc32c(all, s->p + at + n - 4, 4);
	}
}

/* Where the section begins; fails the test if there is none. */
static size_t find_section(const struct state_buf *s, const char *tag, const char *instance)
{
	struct section x;
	struct err e;

	for (size_t at = 12; at < s->n; at += ld32(s->p + at))
		if (section_parse(s->p + at, ld32(s->p + at), &x, &e) && !strcmp(x.tag, tag)
		    && !strcmp(x.instance, instance))
			return at;
	cr_assert_fail("no section %s %s", tag, instance);
	return 0;
}

static uint8_t *find_field(const struct state_buf *s, const char *tag, const char *instance, const char *name)
{
	size_t at = find_section(s, tag, instance);
	struct section x;
	struct err e;
	uint32_t n;

	cr_assert(section_parse(s->p + at, ld32(s->p + at), &x, &e));
	const uint8_t *p = section_field(&x, name, &n);
	cr_assert(p, "no field %s", name);
	return s->p + (p - s->p);
}

static struct state_buf copy_of(const struct state_buf *s)
{
	struct state_buf c = { malloc(s->n), s->n, s->n, false, 0 };

	memcpy(c.p, s->p, s->n);
	return c;
}

static struct bench b;

static const struct dev_type *type_named(const char *name)
{
	for (unsigned i = 0; i < n_dev_types; i++)
		if (!strcmp(dev_types[i]->name, name))
			return dev_types[i];
	cr_assert_fail("no type %s", name);
	return NULL;
}

static bool refuse(void *opaque, struct err *e)
{
	(void)opaque;
	return err_set(e, "no");
}

static void expect_refused(struct state_buf *s, const char *because)
{
	struct state_buf before = save(&b);
	bool touched;

	cr_expect_not(load(&b, s, &touched), "taken, though %s", because);
	cr_expect_not(touched);
	cr_expect(strstr(b.err.msg, because), "'%s' does not say '%s'", b.err.msg, because);
	struct state_buf after = save(&b);
	expect_same_bytes(&before, &after, because);
	free(before.p);
	free(after.p);
}

static struct state_buf open_uart(void)
{
	open_type(&b, type_named("isa-serial"));
	poke(&b, 1, 200);
	return save(&b);
}

Test(snapshot, a_stream_cut_anywhere_is_refused)
{
	struct state_buf s = open_uart();
	bool touched;

	for (size_t n = 0; n < s.n; n += 1 + n / 64) {
		struct state_buf part = { s.p, n, n, false, 0 };
		cr_expect_not(load(&b, &part, &touched), "%zu of %zu bytes", n, s.n);
	}
	struct state_buf part = { s.p, s.n - 1, s.n, false, 0 };
	expect_refused(&part, "cut short");
	bench_close(&b);
}

Test(snapshot, any_changed_bit_is_noticed)
{
	struct state_buf s = open_uart();
	bool touched;

	for (size_t i = 0; i < s.n; i += 1 + i / 256) {
		s.p[i] ^= (uint8_t)(1u << i % 8);
		cr_expect_not(load(&b, &s, &touched), "bit %zu of byte %zu", i % 8, i);
		cr_expect_not(touched);
		s.p[i] ^= (uint8_t)(1u << i % 8);
	}
	cr_expect(load(&b, &s, &touched), "%s", b.err.msg);
	bench_close(&b);
}

Test(snapshot, bytes_behind_the_end_and_foreign_files_are_refused)
{
	struct state_buf s = open_uart(), c = copy_of(&s);

	to_buf(&c, "x", 1, NULL);
	expect_refused(&c, "behind its end");
	memcpy(s.p, "SNAPSHOT", 8);
	expect_refused(&s, "no snapshot of this program");
	bench_close(&b);
}

Test(snapshot, newer_ones_are_refused)
{
	struct state_buf s = open_uart();
	size_t at = find_section(&s, "dev", "isa-serial0");

	s.p[8] = 9;
	expect_refused(&s, "format 9");
	s.p[8] = 1;
	s.p[at + 4 + 1 + 3 + 1 + strlen("isa-serial0")] = 77;
	sum_again(&s);
	expect_refused(&s, "newer");
	bench_close(&b);
}

Test(snapshot, another_machine_is_refused)
{
	struct state_buf s = open_uart();

	bench_close(&b);
	open_type(&b, type_named("isa-parallel"));
	expect_refused(&s, "device 'isa-parallel0' (isa-parallel) of this machine is not in it");
	bench_close(&b);
	open_type(&b, type_named("isa-serial"));
	cr_assert(dev_make(b.m, type_named("e1000"), NULL, NULL, &b.err));
	expect_refused(&s, "e10000");
	bench_close(&b);
	open_type(&b, type_named("isa-serial"));
	b.m->board = "other";
	expect_refused(&s, "the machine was '' and is 'other'");
	bench_close(&b);
}

Test(snapshot, one_without_a_time_is_refused)
{
	struct state_buf s = open_uart();
	size_t at = find_section(&s, "clock", "");

	s.p[at + 5] = 'k';
	sum_again(&s);
	expect_refused(&s, "what time it was");
	bench_close(&b);
}

Test(snapshot, what_a_device_objects_to_leaves_the_machine_as_it_was)
{
	struct state_buf s = open_uart();

	poke(&b, 5, 200);
	st16(find_field(&s, "dev", "isa-serial0", "rx"), 0xffff);
	sum_again(&s);
	expect_refused(&s, "fifo");
	bench_close(&b);
}

Test(snapshot, a_commit_that_fails_leaves_the_machine_as_it_was)
{
	struct state_buf s = open_uart();
	bool touched;

	poke(&b, 5, 200);
	struct state_buf before = save(&b);
	struct snapshot_source src = { from_buf, &s, s.n };
	struct snapshot_in *in = snapshot_open(b.m, &src, &b.err);
	cr_assert(in, "%s", b.err.msg);
	cr_expect_not(snapshot_load(in, refuse, NULL, &touched, &b.err));
	cr_expect_not(touched);
	struct state_buf after = save(&b);
	expect_same_bytes(&before, &after, "commit failed");
	bench_close(&b);
}

/* Whatever stands in a file with right checksums: it loads or it is refused, and nothing breaks. */
ParameterizedTestParameters(snapshot, odd_fields_do_no_harm) { return each_type(); }
ParameterizedTest(size_t *i, snapshot, odd_fields_do_no_harm)
{
	const struct dev_type *t = dev_types[*i];
	uint64_t x = 88172645463325252ull + *i;
	bool touched;

	open_type(&b, t);
	poke(&b, 3, 200);
	struct state_buf s = save(&b);
	size_t from = find_section(&s, "dev", b.dev->id), n = ld32(s.p + from);
	for (int k = 0; k < 200; k++) {
		struct state_buf c = copy_of(&s);

		for (int j = 0; j < 1 + k % 8; j++)
			c.p[from + 20 + next(&x) % (n - 24)] = (uint8_t)(next(&x) >> 20);
		sum_again(&c);
		load(&b, &c, &touched);
		free(c.p);
		clock_start(&b.m->clock);
		poke(&b, next(&x), 20);
	}
	free(s.p);
	close_type(&b);
}

/* ---- cards that come and go ---- */

static void write_rom(char *path, const char *text)
{
	int fd = mkstemp(path);

	cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static struct dev *card_with_rom(const char *id, const char *rom)
{
	char props[128];

	snprintf(props, sizeof(props), "mac=52:54:00:12:34:%02x,romfile=%s", id ? 1 : 2, rom);
	struct dev *d = dev_make(b.m, type_named("e1000"), id, props, &b.err);

	cr_assert(d, "%s", b.err.msg);
	return d;
}

static unsigned count_rams(void)
{
	unsigned n = 0;

	while (phys_ram_nth(b.m->phys, n))
		n++;
	return n;
}

Test(snapshot, a_rom_goes_with_its_card)
{
	char first[] = "/tmp/snapshot_rom_XXXXXX", second[] = "/tmp/snapshot_rom_XXXXXX";
	unsigned before;
	bool touched;

	write_rom(first, "first and long");
	write_rom(second, "second");
	open_type(&b, type_named("isa-serial"));
	before = count_rams();
	struct state_buf never = save(&b);

	dev_free(card_with_rom("x", first));
	cr_expect_eq(count_rams(), before);
	struct state_buf gone = save(&b);
	cr_expect(load(&b, &never, &touched), "%s", b.err.msg);

	card_with_rom("x", second);
	cr_expect_str_eq((char *)phys_ram_nth(b.m->phys, before)->host, "second");
	struct state_buf there = save(&b);
	cr_expect(load(&b, &there, &touched), "%s", b.err.msg);
	bench_close(&b);

	open_type(&b, type_named("isa-serial"));
	cr_expect(load(&b, &gone, &touched), "%s", b.err.msg);
	card_with_rom("x", second);
	memset(phys_ram_nth(b.m->phys, before)->host, 0, 4096);
	cr_expect(load(&b, &there, &touched), "%s", b.err.msg);
	cr_expect_str_eq((char *)phys_ram_nth(b.m->phys, before)->host, "second");
	bench_close(&b);
	unlink(first);
	unlink(second);
	free(never.p);
	free(gone.p);
	free(there.p);
}

/* While memory is written the machine runs: what was there at the start is what is saved. */
Test(snapshot, cards_may_come_and_go_while_it_is_taken)
{
	char rom[] = "/tmp/snapshot_rom_XXXXXX", more[] = "/tmp/snapshot_rom_XXXXXX";
	struct state_buf s = { 0 };
	struct snapshot_sink sink = { to_buf, &s };

	write_rom(rom, "rom");
	write_rom(more, "more");
	open_type(&b, type_named("isa-serial"));
	struct dev *d = card_with_rom("x", rom);
	struct snapshot_out *o = snapshot_begin(b.m, &sink, &b.err);

	cr_assert(o && snapshot_track(o, &b.err) && snapshot_put_tracked(o, &b.err), "%s", b.err.msg);
	dev_free(d);
	for (int i = 0; i < 3; i++)
		card_with_rom(NULL, more);
	snapshot_take_changed(o, true);
	cr_expect(snapshot_put_changed(o, &b.err) && snapshot_ram_rest(o, &b.err), "%s", b.err.msg);
	snapshot_out_free(o);
	bench_close(&b);
	unlink(rom);
	unlink(more);
	free(s.p);
}
