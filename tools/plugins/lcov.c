/*
 * Plugin: which code the guest has executed, and how often, as lcov's tracefile (genhtml makes pages of it).
 *
 * With an ELF file that has line numbers (DWARF), a line counts as often as the most frequent
 * instruction that begins a statement of it. Instructions count for the file only if the guest
 * executes the file's own bytes at their addresses, so that other programs at the same addresses do
 * not. Without a file, or where it was built without libdw, every instruction is a line of a listing
 * that is written beside.
 *
 * Not modelled: branches; functions; code that the guest patches (it counts as other code).
 * Source: geninfo(1), "TRACEFILE FORMAT".
 */
#include <rhea-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#ifdef CONFIG_LIBDW
#include <elfutils/libdw.h>
#include <gelf.h>
#endif

const int rhea_plugin_abi = RHEA_PLUGIN_ABI;
const char rhea_plugin_help[] =
	"writes which code was executed as an lcov tracefile\n"
	"  file=FILE        where to [rhea.info]\n"
	"  elf=FILE         a program or kernel with line numbers; without, every instruction is a line of FILE.lst\n"
	"  bias=ADDRESS     it was loaded so much above the addresses in it [0]\n"
	"  from=ADDRESS     code from here on, and\n"
	"  to=ADDRESS       up to here only\n";

/* An instruction that was translated. */
struct place {
	uint64_t va;
	rhea_counter count;
	char text[72];			/* without a file */
};

/* Where a statement begins. */
struct row {
	uint64_t va;
	const char *file;
	int line;
	uint64_t count;
};

struct lcov {
	struct rhea_plugin *self;
	const struct rhea_api *api;
	const char *out, *elf;
	uint64_t bias, from, to;
	struct row *rows;
	size_t n_rows;
#ifdef CONFIG_LIBDW
	int fd;
	Dwarf *dw;
	Elf *image;
#endif
	pthread_mutex_t lock;		/* for what follows */
	struct place **hash;		/* by address and text; n_hash a power of two */
	size_t n_places, n_hash;
};

/* ---- the program ---- */

#ifdef CONFIG_LIBDW

static bool take_lines(struct lcov *p, Dwarf_Die *cu)
{
	Dwarf_Lines *lines;
	size_t n;

	if (dwarf_getsrclines(cu, &lines, &n))
		return true;		/* none there */
	p->rows = realloc(p->rows, (p->n_rows + n) * sizeof(*p->rows));
	if (!p->rows)
		return false;
	for (size_t i = 0; i < n; i++) {
		Dwarf_Line *l = dwarf_onesrcline(lines, i);
		struct row r = { .file = dwarf_linesrc(l, NULL, NULL) };
		bool statement = false, end = false;
		Dwarf_Addr va;

		dwarf_linebeginstatement(l, &statement);
		dwarf_lineendsequence(l, &end);
		if (!statement || end || !r.file || dwarf_lineno(l, &r.line) || r.line <= 0 || dwarf_lineaddr(l, &va))
			continue;
		r.va = va + p->bias;
		p->rows[p->n_rows++] = r;
	}
	return true;
}

static bool open_elf(struct lcov *p)
{
	Dwarf_Off off = 0, next;
	size_t header;

	p->fd = open(p->elf, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0) {
		p->api->error(p->self, "elf=%s: %s", p->elf, strerror(errno));
		return false;
	}
	elf_version(EV_CURRENT);
	p->dw = dwarf_begin(p->fd, DWARF_C_READ);
	p->image = p->dw ? dwarf_getelf(p->dw) : NULL;
	for (; p->image && !dwarf_nextcu(p->dw, off, &next, &header, NULL, NULL, NULL); off = next) {
		Dwarf_Die cu;

		if (dwarf_offdie(p->dw, off + header, &cu) && !take_lines(p, &cu)) {
			p->api->error(p->self, "out of memory");
			return false;
		}
	}
	if (!p->n_rows)
		p->api->error(p->self, "elf=%s: it has no line numbers (compile with -g)", p->elf);
	return p->n_rows;
}

/* Are those bytes at that address in the program? */
static bool is_ours(struct lcov *p, uint64_t va, const uint8_t *bytes, size_t n)
{
	size_t headers, size;
	GElf_Phdr h;
	char *raw = elf_rawfile(p->image, &size);

	va -= p->bias;
	if (!raw || elf_getphdrnum(p->image, &headers))
		return false;
	for (size_t i = 0; i < headers; i++)
		if (gelf_getphdr(p->image, (int)i, &h) && h.p_type == PT_LOAD && va >= h.p_vaddr && va - h.p_vaddr < h.p_filesz &&
		    n <= h.p_filesz - (va - h.p_vaddr) && h.p_offset + (va - h.p_vaddr) + n <= size)
			return !memcmp(raw + h.p_offset + (va - h.p_vaddr), bytes, n);
	return false;
}

#else

static bool open_elf(struct lcov *p)
{
	p->api->error(p->self, "elf= needs libdw: install libdw-dev, run configure and make again");
	return false;
}

static bool is_ours(struct lcov *p, uint64_t va, const uint8_t *bytes, size_t n)
{
	(void)p, (void)va, (void)bytes, (void)n;
	return false;
}

#endif

static int by_va(const void *a, const void *b)
{
	uint64_t x = ((const struct row *)a)->va, y = ((const struct row *)b)->va;

	return x < y ? -1 : x > y;
}

/* The first row at va or behind it. */
static size_t row_from(const struct lcov *p, uint64_t va)
{
	size_t lo = 0, hi = p->n_rows;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->rows[mid].va < va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- instructions ---- */

static size_t slot(const struct lcov *p, uint64_t va)
{
	return (va * 0x9e3779b97f4a7c15ull >> 32) & (p->n_hash - 1);
}

static bool grow(struct lcov *p)
{
	size_t n = p->n_hash ? 2 * p->n_hash : 1u << 14, old_n = p->n_hash;
	struct place **old = p->hash, **h = calloc(n, sizeof(*h));

	if (!h)
		return false;
	p->hash = h;
	p->n_hash = n;
	for (size_t i = 0; i < old_n; i++)
		if (old[i]) {
			size_t k = slot(p, old[i]->va);

			for (; h[k]; k = (k + 1) & (n - 1))
				;
			h[k] = old[i];
		}
	free(old);
	return true;
}

/* The counter of an instruction; 0: no room. With the lock. */
static rhea_counter count_of(struct lcov *p, uint64_t va, const char *text)
{
	struct place *at;
	size_t k;

	if (2 * p->n_places >= p->n_hash && !grow(p))
		return 0;
	for (k = slot(p, va); (at = p->hash[k]); k = (k + 1) & (p->n_hash - 1))
		if (at->va == va && !strcmp(at->text, text))
			return at->count;
	at = calloc(1, sizeof(*at));
	if (!at)
		return 0;
	at->va = va;
	at->count = p->api->counter_new(p->self, 1);
	snprintf(at->text, sizeof(at->text), "%s", text);
	p->hash[k] = at;
	p->n_places++;
	return at->count;
}

static void on_insn(struct lcov *p, const struct rhea_insn *i)
{
	struct rhea_insn_info info = p->api->insn_info(i);
	char text[72] = "";

	if (info.va < p->from || info.va > p->to)
		return;
	if (p->elf) {
		size_t r = row_from(p, info.va);

		if (r == p->n_rows || p->rows[r].va != info.va || !is_ours(p, info.va, info.bytes, info.len))
			return;
	} else {
		p->api->insn_text(i, text, sizeof(text));
	}
	p->api->insn_add(i, count_of(p, info.va, text), 1);
}

static void on_block(struct rhea_vcpu *v, const struct rhea_block *b, void *data)
{
	struct lcov *p = data;
	const struct rhea_insn *i;

	(void)v;
	pthread_mutex_lock(&p->lock);
	for (unsigned k = 0; (i = p->api->block_insn(b, k)); k++)
		on_insn(p, i);
	pthread_mutex_unlock(&p->lock);
}

/* ---- the tracefile ---- */

static int by_line(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int d = strcmp(x->file, y->file);

	return d ? d : x->line - y->line;
}

/* The rows from i on that are of one line: the most frequent, and the first one behind. */
static size_t one_line(const struct row *r, size_t n, size_t i, uint64_t *count)
{
	size_t k = i;

	for (*count = 0; k < n && r[k].line == r[i].line && !strcmp(r[k].file, r[i].file); k++)
		if (r[k].count > *count)
			*count = r[k].count;
	return k;
}

static void write_rows(FILE *f, struct row *r, size_t n)
{
	qsort(r, n, sizeof(*r), by_line);
	for (size_t i = 0; i < n;) {
		const char *file = r[i].file;
		size_t found = 0, hit = 0;
		uint64_t count;

		fprintf(f, "SF:%s\n", file);
		while (i < n && !strcmp(r[i].file, file)) {
			int line = r[i].line;

			i = one_line(r, n, i, &count);
			fprintf(f, "DA:%d,%llu\n", line, (unsigned long long)count);
			found++;
			hit += count > 0;
		}
		fprintf(f, "LF:%zu\nLH:%zu\nend_of_record\n", found, hit);
	}
}

static void count_rows(struct lcov *p)
{
	for (size_t i = 0; i < p->n_hash; i++) {
		const struct place *at = p->hash[i];

		for (size_t r = at ? row_from(p, at->va) : p->n_rows; r < p->n_rows && p->rows[r].va == at->va; r++)
			p->rows[r].count = p->api->counter_sum(p->self, at->count);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = *(struct place *const *)a, *y = *(struct place *const *)b;

	return x->va < y->va ? -1 : x->va > y->va ? 1 : strcmp(x->text, y->text);
}

/* A listing whose lines are the instructions, and the tracefile about it. */
static bool write_listing(struct lcov *p, FILE *f)
{
	size_t n = 0, hit = 0;
	char name[4096], *full;
	FILE *list;

	snprintf(name, sizeof(name), "%s.lst", p->out);
	list = fopen(name, "w");
	if (!list)
		return false;
	full = realpath(name, NULL);
	fprintf(f, "SF:%s\n", full ? full : name);
	free(full);
	for (size_t i = 0; i < p->n_hash; i++)
		if (p->hash[i])
			p->hash[n++] = p->hash[i];
	qsort(p->hash, n, sizeof(*p->hash), by_place);
	for (size_t i = 0; i < n; i++) {
		uint64_t count = p->api->counter_sum(p->self, p->hash[i]->count);

		fprintf(list, "%#llx  %s\n", (unsigned long long)p->hash[i]->va, p->hash[i]->text);
		fprintf(f, "DA:%zu,%llu\n", i + 1, (unsigned long long)count);
		hit += count > 0;
	}
	fprintf(f, "LF:%zu\nLH:%zu\nend_of_record\n", n, hit);
	return !fclose(list);
}

static void on_exit_(void *data)
{
	struct lcov *p = data;
	FILE *f = fopen(p->out, "w");
	bool ok = f;

	if (f) {
		fputs("TN:rhea\n", f);
		if (p->elf) {
			count_rows(p);
			write_rows(f, p->rows, p->n_rows);
		} else {
			ok = write_listing(p, f);
		}
		ok = !fclose(f) && ok;
	}
	if (!ok)
		p->api->print("lcov plugin: %s: %s\n", p->out, strerror(errno));
}

/* ---- the beginning ---- */

static bool number(const char *text, uint64_t *v)
{
	char *end;

	*v = strtoull(text, &end, 0);
	return *text && !*end;
}

static bool argument(struct lcov *p, const char *arg)
{
	const char *value = strchr(arg, '=');

	if (!value++ || !*value)
		return false;
	if (!strncmp(arg, "file=", 5))
		p->out = value;
	else if (!strncmp(arg, "elf=", 4))
		p->elf = value;
	else if (!strncmp(arg, "bias=", 5))
		return number(value, &p->bias);
	else if (!strncmp(arg, "from=", 5))
		return number(value, &p->from);
	else if (!strncmp(arg, "to=", 3))
		return number(value, &p->to);
	else
		return false;
	return true;
}

int rhea_plugin_install(struct rhea_plugin *self, const struct rhea_api *api, int argc, const char *const *argv)
{
	struct lcov *p = calloc(1, sizeof(*p));

	if (!p)
		return 1;
	*p = (struct lcov){ .self = self, .api = api, .out = "rhea.info", .to = ~0ull, .lock = PTHREAD_MUTEX_INITIALIZER };
	for (int i = 0; i < argc; i++)
		if (!argument(p, argv[i])) {
			api->error(self, "'%s' is no argument of it; it takes file=, elf=, bias=, from=, to=", argv[i]);
			return 1;
		}
	if (p->elf && !open_elf(p))
		return 1;
	if (p->n_rows)
		qsort(p->rows, p->n_rows, sizeof(*p->rows), by_va);
	api->on_block(self, on_block, p);
	api->on_exit(self, on_exit_, p);
	return 0;
}
