/*
 * An ELF core of the guest:
 *
 *	header
 *	program headers: one PT_NOTE, then PT_LOADs
 *	section header 0, which holds the number of program headers if that needs more than 16 bits
 *	notes: for each vCPU NT_PRSTATUS ("CORE"), then for each its state ("QEMU")
 *	memory: every piece of RAM or ROM, once
 *
 * A PT_LOAD says where its bytes are in physical memory; with `paging` there is one for
 * every run of pages of the vCPUs' address spaces, so that debuggers find virtual
 * addresses; several may mean the same bytes (Linux maps its espfix page 65,536 times).
 * ELF64, or ELF32 if no vCPU is in long mode and all RAM lies below 4 GiB. Pages of
 * zeros are holes in the file.
 *
 * Not modelled: compressed formats (kdump), notes for crashed kernels (vmcoreinfo).
 * Source: System V ABI, "Object Files"; Linux' struct elf_prstatus for both sizes;
 * QEMU's note as crash(8) reads it.
 */
#include "ui/dump.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "cpu/phys.h"
#include "ui/pagewalk.h"
#include "ui/vm.h"

#define MAX_PIECES (1u << 20)
#define NO_VA UINT64_MAX

struct piece {
	uint64_t va, pa, size;
	const uint8_t *host;
	uint64_t at;			/* in the file's memory part */
};

struct dump {
	const struct dump_options *o;
	struct vm *vm;
	FILE *f;
	struct piece *ram, *piece;	/* what there is; what the file has */
	size_t n_ram, cap_ram, n, cap;
	bool wide;			/* ELF64 */
	bool too_many;
	bool holes;			/* the file can be sought in */
	uint64_t headers;		/* how long everything in front of the memory part is */
	uint64_t memory;		/* where the memory part begins, and how long it is */
	uint64_t memory_size;
};

/* ---- what there is ---- */

static void add_piece(struct dump *d, struct piece **list, size_t *n, size_t *cap, struct piece p)
{
	struct piece *last = *n ? &(*list)[*n - 1] : NULL;

	if (last && last->at + last->size == p.at && last->host + last->size == p.host && last->pa + last->size == p.pa &&
	    (p.va == NO_VA ? last->va == NO_VA : last->va + last->size == p.va)) {
		last->size += p.size;
		return;
	}
	if (*n == MAX_PIECES) {
		d->too_many = true;
		return;
	}
	if (*n == *cap) {
		struct piece *more = realloc(*list, (*cap ? *cap * 2 : 64) * sizeof(p));

		if (!more) {
			d->too_many = true;
			return;
		}
		*list = more;
		*cap = *cap ? *cap * 2 : 64;
	}
	(*list)[(*n)++] = p;
}

/* The part that the user wants. */
static bool clip(const struct dump *d, struct piece *p)
{
	uint64_t end = p->pa + p->size, from = d->o->begin, to = from + d->o->length;

	if (!d->o->filter)
		return true;
	if (to < from)
		to = UINT64_MAX;
	if (p->pa >= to || end <= from)
		return false;
	if (end > to)
		p->size -= end - to;
	if (p->pa < from) {
		uint64_t cut = from - p->pa;
		p->pa += cut;
		p->host += cut;
		p->size -= cut;
		if (p->va != NO_VA)
			p->va += cut;
	}
	return true;
}

static void one_range(void *opaque, const struct phys_range *r)
{
	struct dump *d = opaque;
	struct piece p = { NO_VA, r->pa, r->size, r->rram ? r->rram->host + r->off : NULL, 0 };

	if (!p.host || !clip(d, &p))
		return;
	p.at = d->memory_size;
	d->memory_size += p.size;
	add_piece(d, &d->ram, &d->n_ram, &d->cap_ram, p);
}

/* A page, as far as memory is behind it. */
static bool one_page(void *opaque, const struct page_run *r)
{
	struct dump *d = opaque;

	for (size_t i = 0; i < d->n_ram; i++) {
		const struct piece *m = &d->ram[i];
		uint64_t from = r->pa > m->pa ? r->pa : m->pa;
		uint64_t to = r->pa + r->size < m->pa + m->size ? r->pa + r->size : m->pa + m->size;

		if (from < to)
			add_piece(d, &d->piece, &d->n, &d->cap, (struct piece){ r->va + (from - r->pa), from,
				  to - from, m->host + (from - m->pa), m->at + (from - m->pa) });
	}
	return !d->too_many;
}

/* Memory that no page table leads to is in the dump as well. */
static bool is_mapped(const struct dump *d, size_t n, const struct piece *m)
{
	for (size_t i = 0; i < n; i++)
		if (d->piece[i].pa <= m->pa && d->piece[i].pa + d->piece[i].size >= m->pa + m->size)
			return true;
	return false;
}

static bool collect(struct dump *d, struct err *e)
{
	bool any = false;

	phys_each(d->vm->m->phys, one_range, d);
	for (int i = 0; d->o->paging && i < d->vm->ncpus && !d->too_many; i++) {
		struct cpu *c = d->vm->vcpus[i].cpu;
		bool again = false;

		for (int k = 0; k < i; k++)
			again |= d->vm->vcpus[k].cpu->cr3 == c->cr3;
		if (again || !pagewalk_on(c))
			continue;
		any = true;
		if (!pagewalk(c, one_page, d))
			d->too_many = true;
	}
	if (d->too_many)
		return err_set(e, "there are too many translations: dump without paging");
	for (size_t i = 0, mapped = d->n; i < d->n_ram; i++)
		if (!any || !is_mapped(d, mapped, &d->ram[i]))
			add_piece(d, &d->piece, &d->n, &d->cap, d->ram[i]);
	if (!d->n)
		return err_set(e, "there is no memory in that range");
	return !d->too_many || err_set(e, "there are too many pieces of memory");
}

static bool is_wide(const struct dump *d)
{
	for (int i = 0; i < d->vm->ncpus; i++)
		if (d->vm->vcpus[i].cpu->efer & EFER_LMA)
			return true;
	return d->n_ram && d->ram[d->n_ram - 1].pa + d->ram[d->n_ram - 1].size > BIT(32);
}

/* ---- notes ---- */

struct prstatus {	/* of both sizes: only what is not zero */
	uint8_t bytes[336];
	size_t size;
};

/* Registers in the order of Linux' user_regs_struct. */
static struct prstatus prstatus64(const struct cpu *c, int pid)
{
	static const uint8_t order[15] = {
		15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI,
	};
	struct prstatus p = { .size = 336 };
	uint8_t *r = p.bytes + 112;

	st32(p.bytes + 32, (uint32_t)pid);
	for (int i = 0; i < 15; i++)
		st64(r + 8 * i, c->regs[order[i]]);
	const uint64_t rest[12] = {
		UINT64_MAX, c->rip, c->segs[CS].sel, cpu_get_eflags(c), c->regs[RSP], c->segs[SS].sel,
		c->segs[FS].base, c->segs[GS].base, c->segs[DS].sel, c->segs[ES].sel, c->segs[FS].sel, c->segs[GS].sel,
	};
	for (int i = 0; i < 12; i++)
		st64(r + 8 * (15 + i), rest[i]);
	return p;
}

static struct prstatus prstatus32(const struct cpu *c, int pid)
{
	struct prstatus p = { .size = 144 };
	const uint64_t regs[17] = {
		c->regs[RBX], c->regs[RCX], c->regs[RDX], c->regs[RSI], c->regs[RDI], c->regs[RBP], c->regs[RAX],
		c->segs[DS].sel, c->segs[ES].sel, c->segs[FS].sel, c->segs[GS].sel, UINT32_MAX, c->rip,
		c->segs[CS].sel, cpu_get_eflags(c), c->regs[RSP], c->segs[SS].sel,
	};

	st32(p.bytes + 24, (uint32_t)pid);
	for (int i = 0; i < 17; i++)
		st32(p.bytes + 72 + 4 * i, (uint32_t)regs[i]);
	return p;
}

#define STATE_SIZE (8 + 18 * 8 + 10 * 24 + 5 * 8 + 8)

static uint8_t *put_segment(uint8_t *p, uint32_t sel, uint32_t limit, uint32_t attr, uint64_t base)
{
	st32(p, sel);
	st32(p + 4, limit);
	st32(p + 8, attr << 8);
	st32(p + 12, 0);
	st64(p + 16, base);
	return p + 24;
}

static void cpu_state(const struct cpu *c, uint8_t p[STATE_SIZE])
{
	static const uint8_t order[16] = { RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const uint8_t segs[8] = { CS, DS, ES, FS, GS, SS, LDTR, TR };
	const uint64_t cr[5] = { c->cr0, 0, c->cr2, c->cr3, c->cr4 };

	st32(p, 1);			/* version */
	st32(p + 4, STATE_SIZE);
	p += 8;
	for (int i = 0; i < 16; i++, p += 8)
		st64(p, c->regs[order[i]]);
	st64(p, c->rip);
	st64(p + 8, cpu_get_eflags(c));
	p += 16;
	for (int i = 0; i < 8; i++) {
		const struct seg *s = &c->segs[segs[i]];
		p = put_segment(p, s->sel, s->limit, s->attr, s->base);
	}
	p = put_segment(p, 0, c->gdtr.limit, 0, c->gdtr.base);
	p = put_segment(p, 0, c->idtr.limit, 0, c->idtr.base);
	for (int i = 0; i < 5; i++, p += 8)
		st64(p, cr[i]);
	st64(p, c->kernel_gs_base);
}

/* Names and contents are padded to four bytes. */
static size_t note_size(size_t n)
{
	return sizeof(Elf64_Nhdr) + 8 + align_up(n, 4);
}

static void put(struct dump *d, const void *p, size_t n)
{
	fwrite(p, 1, n, d->f);
}

static void put_note(struct dump *d, const char *name, uint32_t type, const void *p, size_t n)
{
	static const uint8_t zeros[4];
	Elf64_Nhdr h = { 5, (uint32_t)n, type };
	char padded[8] = { 0 };

	memcpy(padded, name, strlen(name));
	put(d, &h, sizeof(h));
	put(d, padded, sizeof(padded));
	put(d, p, n);
	put(d, zeros, align_up(n, 4) - n);
}

static void put_notes(struct dump *d)
{
	uint8_t state[STATE_SIZE];

	for (int i = 0; i < d->vm->ncpus; i++) {
		const struct cpu *c = d->vm->vcpus[i].cpu;
		struct prstatus p = d->wide ? prstatus64(c, i + 1) : prstatus32(c, i + 1);
		put_note(d, "CORE", NT_PRSTATUS, p.bytes, p.size);
	}
	for (int i = 0; i < d->vm->ncpus; i++) {
		cpu_state(d->vm->vcpus[i].cpu, state);
		put_note(d, "QEMU", 0, state, sizeof(state));
	}
}

static size_t notes_size(const struct dump *d)
{
	return (size_t)d->vm->ncpus * (note_size(d->wide ? 336 : 144) + note_size(STATE_SIZE));
}

/* ---- headers ---- */

static void put_header(struct dump *d, size_t n, uint64_t section_header)
{
	Elf64_Ehdr h = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, d->wide ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE, .e_machine = d->wide ? EM_X86_64 : EM_386, .e_version = EV_CURRENT,
		.e_phoff = sizeof(h), .e_ehsize = sizeof(h), .e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)(n < PN_XNUM ? n : PN_XNUM), .e_shoff = section_header,
		.e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 1,
	};
	Elf32_Ehdr h32 = {
		.e_type = h.e_type, .e_machine = h.e_machine, .e_version = h.e_version, .e_phoff = sizeof(h32),
		.e_ehsize = sizeof(h32), .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = h.e_phnum,
		.e_shoff = (uint32_t)section_header, .e_shentsize = sizeof(Elf32_Shdr), .e_shnum = 1,
	};

	memcpy(h32.e_ident, h.e_ident, sizeof(h32.e_ident));
	put(d, d->wide ? (void *)&h : (void *)&h32, d->wide ? sizeof(h) : sizeof(h32));
}

static void put_phdr(struct dump *d, const Elf64_Phdr *p)
{
	Elf32_Phdr p32 = {
		.p_type = p->p_type, .p_offset = (uint32_t)p->p_offset, .p_vaddr = (uint32_t)p->p_vaddr,
		.p_paddr = (uint32_t)p->p_paddr, .p_filesz = (uint32_t)p->p_filesz, .p_memsz = (uint32_t)p->p_memsz,
		.p_flags = p->p_flags,
	};

	put(d, d->wide ? (const void *)p : (const void *)&p32, d->wide ? sizeof(*p) : sizeof(p32));
}

static void put_section_header(struct dump *d, size_t n)
{
	Elf64_Shdr h = { .sh_info = (uint32_t)n };
	Elf32_Shdr h32 = { .sh_info = (uint32_t)n };

	put(d, d->wide ? (void *)&h : (void *)&h32, d->wide ? sizeof(h) : sizeof(h32));
}

static bool put_headers(struct dump *d, struct err *e)
{
	size_t n = 1 + d->n, size = notes_size(d);
	uint64_t section = d->wide ? sizeof(Elf64_Ehdr) + n * sizeof(Elf64_Phdr)
				   : sizeof(Elf32_Ehdr) + n * sizeof(Elf32_Phdr);
	uint64_t notes = section + (d->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
	Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = notes, .p_filesz = size, .p_memsz = size };

	d->headers = notes + size;
	d->memory = align_up(d->headers, 4096);
	put_header(d, n, section);
	put_phdr(d, &note);
	for (size_t i = 0; i < d->n; i++) {
		const struct piece *p = &d->piece[i];
		Elf64_Phdr load = {
			.p_type = PT_LOAD, .p_offset = d->memory + p->at, .p_vaddr = p->va == NO_VA ? 0 : p->va,
			.p_paddr = p->pa, .p_filesz = p->size, .p_memsz = p->size,
		};

		put_phdr(d, &load);
	}
	put_section_header(d, n);
	return d->wide || d->memory + d->memory_size <= UINT32_MAX ||
	       err_set(e, "the dump is too large for a 32-bit guest's format");
}

/* ---- contents ---- */

static bool is_zero(const uint8_t *p, size_t n)
{
	return !*p && !memcmp(p, p + 1, n - 1);
}

/* Zeros are left out where the file can have holes. */
static bool put_piece(struct dump *d, const struct piece *p)
{
	for (uint64_t off = 0; off < p->size; off += 4096) {
		size_t n = (size_t)min_u64(p->size - off, 4096);

		if (d->holes && is_zero(p->host + off, n) && off + n < p->size ? fseeko(d->f, (off_t)n, SEEK_CUR)
									 : fwrite(p->host + off, 1, n, d->f) != n)
			return false;
	}
	return true;
}

/* Up to where memory begins. */
static bool put_gap(struct dump *d, size_t n)
{
	while (n-- > 0)
		if (putc(0, d->f) == EOF)
			return false;
	return true;
}

static bool put_all(struct dump *d, struct err *e)
{
	if (!put_headers(d, e))
		return false;
	put_notes(d);
	if (!put_gap(d, (size_t)(d->memory - d->headers)))
		return err_errno(e, "%s", d->o->file);
	for (size_t i = 0; i < d->n_ram; i++)
		if (!put_piece(d, &d->ram[i]))
			return err_errno(e, "%s", d->o->file);
	return true;
}

bool dump_write(struct vm *vm, const struct dump_options *o, struct err *e)
{
	struct dump d = { .o = o, .vm = vm };
	bool ok = collect(&d, e);

	d.wide = is_wide(&d);
	d.f = !ok ? NULL : o->fd >= 0 ? fdopen(o->fd, "wb") : fopen(o->file, "wbe");
	if (ok && !d.f)
		ok = err_set(e, "Could not open '%s': %s", o->file, strerror(errno));
	if (!d.f && o->fd >= 0)
		close(o->fd);
	d.holes = d.f && ftello(d.f) == 0 && fseeko(d.f, 0, SEEK_SET) == 0;
	ok = ok && put_all(&d, e);
	if (d.f && fclose(d.f) && ok)
		ok = err_errno(e, "%s", o->file);
	free(d.ram);
	free(d.piece);
	return ok;
}
