/*
 * Multiboot 1 and PVH kernels: ELF files (or multiboot's own address fields)
 * that are entered in flat 32-bit protected mode.
 *
 * The loaded image is made here in one piece, from its lowest to its highest
 * address with zeros in between, modules follow page-aligned, and the boot
 * information goes below 24 KiB, where the option ROM adds the memory map.
 *
 * Not modelled: multiboot video modes (flag 2), symbol tables, APM and VBE
 * information; PVH's RSDP address (kernels then search for it).
 * Source: Multiboot Specification 0.6.96, 3.1-3.3; Xen docs/misc/pvh and
 * xen/include/public/arch-x86/hvm/start_info.h (layout); ELF specification.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "hw/pc/boot.h"
#include "hw/pc/bytes.h"

/* ---- what is to be loaded ---- */

#define MAX_SEGMENTS	32

struct segment {
	uint64_t off, file_size, pa, mem_size;
};

struct image {
	struct segment seg[MAX_SEGMENTS];
	int n;
	uint64_t low, high;		/* physical extent */
	uint64_t entry;
	uint32_t pvh_entry;		/* 0: no note */
};

static bool inside(const struct boot_file *k, uint64_t off, uint64_t n)
{
	return off <= k->n && n <= k->n - off;
}

static bool add_segment(struct image *im, const struct boot_file *k, struct segment s, struct err *e)
{
	if (!s.mem_size)
		return true;
	if (im->n == MAX_SEGMENTS || !inside(k, s.off, s.file_size) || s.mem_size < s.file_size)
		return err_set(e, "damaged program headers");
	if (s.pa >> 32 || s.mem_size >> 32 || (s.pa + s.mem_size) >> 32)
		return err_set(e, "wants to be loaded above 4 GiB");
	if (!im->n || s.pa < im->low)
		im->low = s.pa;
	if (s.pa + s.mem_size > im->high)
		im->high = s.pa + s.mem_size;
	im->seg[im->n++] = s;
	return true;
}

#define NOTE_PHYS32_ENTRY 18

static void scan_notes(struct image *im, const struct boot_file *k, uint64_t off, uint64_t n, uint64_t align)
{
	if (!inside(k, off, n))
		return;
	align = align == 8 ? 8 : 4;
	while (n >= 12) {
		uint64_t name = ld32(k->p + off), desc = ld32(k->p + off + 4);
		uint32_t type = ld32(k->p + off + 8);
		uint64_t desc_at = 12 + align_up(name, align), whole = desc_at + align_up(desc, align);
		if (desc_at + desc > n)
			return;
		if (type == NOTE_PHYS32_ENTRY && name == 4 && desc >= 4
		    && !memcmp(k->p + off + 12, "Xen", 4))
			im->pvh_entry = ld32(k->p + off + desc_at);
		if (whole >= n)
			return;
		off += whole;
		n -= whole;
	}
}

static bool is_elf(const struct boot_file *k)
{
	return k->n >= sizeof(Elf64_Ehdr) && !memcmp(k->p, ELFMAG, SELFMAG)
		&& k->p[EI_DATA] == ELFDATA2LSB
		&& (k->p[EI_CLASS] == ELFCLASS32 || k->p[EI_CLASS] == ELFCLASS64);
}

/* One program header of either class in the 64-bit form. */
static Elf64_Phdr program_header(const struct boot_file *k, uint64_t at)
{
	Elf64_Phdr h;
	Elf32_Phdr s;
	if (k->p[EI_CLASS] == ELFCLASS64) {
		memcpy(&h, k->p + at, sizeof(h));
		return h;
	}
	memcpy(&s, k->p + at, sizeof(s));
	return (Elf64_Phdr){
		.p_type = s.p_type, .p_offset = s.p_offset, .p_paddr = s.p_paddr,
		.p_filesz = s.p_filesz, .p_memsz = s.p_memsz, .p_align = s.p_align,
	};
}

static bool parse_elf(struct image *im, const struct boot_file *k, struct err *e)
{
	bool wide = k->p[EI_CLASS] == ELFCLASS64;
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	memcpy(&h64, k->p, sizeof(h64));
	memcpy(&h32, k->p, sizeof(h32));
	uint16_t machine = wide ? h64.e_machine : h32.e_machine;
	uint64_t at = wide ? h64.e_phoff : h32.e_phoff;
	unsigned count = wide ? h64.e_phnum : h32.e_phnum;
	unsigned size = wide ? h64.e_phentsize : h32.e_phentsize;

	im->entry = wide ? h64.e_entry : h32.e_entry;
	if (machine != EM_386 && machine != EM_X86_64)
		return err_set(e, "an ELF file for another processor");
	if (size < (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || !inside(k, at, (uint64_t)count * size))
		return err_set(e, "damaged ELF header");
	for (unsigned i = 0; i < count; i++, at += size) {
		Elf64_Phdr p = program_header(k, at);
		if (p.p_type == PT_NOTE)
			scan_notes(im, k, p.p_offset, p.p_filesz, p.p_align);
		struct segment s = { p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz };
		if (p.p_type == PT_LOAD && !add_segment(im, k, s, e))
			return false;
	}
	return im->n ? true : err_set(e, "an ELF file without anything to load");
}

/* ---- multiboot header ---- */

#define MB_MAGIC	0x1badb002u
#define MB_BOOTLOADER	0x2badb002u
#define MB_SEARCH	8192
#define MB_PAGE_ALIGN	BIT(0)
#define MB_VIDEO	BIT(2)
#define MB_ADDRESSES	BIT(16)

static const uint8_t *find_multiboot(const struct boot_file *k)
{
	for (size_t i = 0; i + 12 <= k->n && i + 12 <= MB_SEARCH; i += 4) {
		const uint8_t *h = k->p + i;
		if (ld32(h) == MB_MAGIC && ld32(h) + ld32(h + 4) + ld32(h + 8) == 0)
			return h;
	}
	return NULL;
}

/* Flag 16: header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr. */
static bool parse_addresses(struct image *im, const struct boot_file *k, const uint8_t *h, struct err *e)
{
	if (!inside(k, (uint64_t)(h - k->p), 32))
		return err_set(e, "damaged multiboot header");
	uint64_t at = (uint64_t)(h - k->p);
	uint32_t header = ld32(h + 12), load = ld32(h + 16), load_end = ld32(h + 20), bss_end = ld32(h + 24);
	im->entry = ld32(h + 28);
	if (header < load || header - load > at)
		return err_set(e, "damaged multiboot header");
	struct segment s = { .off = at - (header - load), .pa = load };
	s.file_size = load_end ? (uint64_t)load_end - load : k->n - s.off;
	s.mem_size = max_u64(s.file_size, bss_end > load ? (uint64_t)bss_end - load : 0);
	return add_segment(im, k, s, e);
}

static bool parse_image(struct image *im, const struct boot_file *k, const uint8_t *mb, struct err *e)
{
	if (mb && ld32(mb + 4) & MB_VIDEO)
		return err_set(e, "wants a video mode, which multiboot here cannot set");
	if (mb && ld32(mb + 4) & MB_ADDRESSES)
		return parse_addresses(im, k, mb, e);
	if (!is_elf(k))
		return err_set(e, "a multiboot header without addresses in a file that is not ELF");
	return parse_elf(im, k, e);
}

bool boot_is_elf_kernel(const struct boot_file *k)
{
	return is_elf(k) || find_multiboot(k);
}

/* ---- loading ---- */

static bool give_image(struct fwcfg *f, const struct image *im, const struct boot_file *k,
		       const struct boot_request *r, struct boot_job *j, struct err *e)
{
	if (im->high > r->ram_below_4g)
		return err_set(e, "does not fit into memory; use a larger -m");
	if (im->low < BOOT_LOWEST)
		return err_set(e, "wants to be loaded below 31 KiB");
	uint32_t n = (uint32_t)(im->high - im->low);
	uint8_t *p = calloc(1, n);
	if (!p)
		return err_set(e, "out of memory");
	for (int i = 0; i < im->n; i++)
		memcpy(p + (im->seg[i].pa - im->low), k->p + im->seg[i].off, im->seg[i].file_size);
	fwcfg_add32(f, FWCFG_KERNEL_ADDR, (uint32_t)im->low);
	fwcfg_add32(f, FWCFG_KERNEL_SIZE, n);
	fwcfg_add32(f, FWCFG_KERNEL_ENTRY, (uint32_t)im->entry);
	fwcfg_give(f, FWCFG_KERNEL_DATA, p, n);
	boot_piece(j, FWCFG_KERNEL_DATA, n, im->low);
	return true;
}

#define MAX_MODULES	32

struct modules {
	struct bytes data;		/* all files, each page-aligned */
	struct { uint32_t start, end; char *args; } mod[MAX_MODULES];
	int n;
	uint32_t base;
};

static void modules_fini(struct modules *m)
{
	for (int i = 0; i < m->n; i++)
		free(m->mod[i].args);
	bytes_fini(&m->data);
}

/* "file args,file args"; the whole text is the module's command line. */
static bool read_modules(struct modules *m, const char *list, struct err *e)
{
	while (list && *list) {
		size_t len = strcspn(list, ",");
		char *text = strndup(list, len);
		char *path = text ? strndup(text, strcspn(text, " ")) : NULL;
		struct boot_file file;
		bool ok = path && m->n < MAX_MODULES && boot_read_file(path, &file, e);
		free(path);
		if (!ok) {
			free(text);
			return m->n < MAX_MODULES ? err_prefix(e, "module") : err_set(e, "too many modules");
		}
		bytes_align(&m->data, 4096);
		m->mod[m->n].start = m->base + (uint32_t)m->data.n;
		bytes_put(&m->data, file.p, file.n);
		m->mod[m->n].end = m->base + (uint32_t)m->data.n;
		m->mod[m->n++].args = text;
		free(file.p);
		list += len + (list[len] == ',');
	}
	return true;
}

static bool give_modules(struct fwcfg *f, struct modules *m, const struct boot_request *r,
			 struct boot_job *j, struct err *e)
{
	if (m->base + (uint64_t)m->data.n > r->ram_below_4g)
		return err_set(e, "modules do not fit into memory; use a larger -m");
	fwcfg_add32(f, FWCFG_INITRD_ADDR, m->base);
	fwcfg_add32(f, FWCFG_INITRD_SIZE, (uint32_t)m->data.n);
	fwcfg_add(f, FWCFG_INITRD_DATA, m->data.p, (uint32_t)m->data.n);
	boot_piece(j, FWCFG_INITRD_DATA, (uint32_t)m->data.n, m->base);
	return true;
}

/* Append a string to the information block; its guest address. */
static uint32_t info_string(struct bytes *b, const char *s)
{
	uint32_t at = BOOT_INFO_ADDR + (uint32_t)b->n;
	bytes_puts(b, s);
	return at;
}

/* The kernel's command line begins with its name. */
static uint32_t info_cmdline(struct bytes *b, const struct boot_request *r)
{
	uint32_t at = BOOT_INFO_ADDR + (uint32_t)b->n;
	bytes_put(b, r->kernel, strlen(r->kernel));
	if (r->append && *r->append) {
		bytes_put8(b, ' ');
		bytes_put(b, r->append, strlen(r->append));
	}
	bytes_put8(b, 0);
	return at;
}

static bool give_info(struct fwcfg *f, struct bytes *b, struct boot_job *j, struct err *e)
{
	bool fits = b->n <= BOOT_INFO_MAX;
	if (fits) {
		fwcfg_add32(f, FWCFG_SETUP_ADDR, BOOT_INFO_ADDR);
		fwcfg_add32(f, FWCFG_SETUP_SIZE, (uint32_t)b->n);
		fwcfg_add(f, FWCFG_SETUP_DATA, b->p, (uint32_t)b->n);
		boot_piece(j, FWCFG_SETUP_DATA, (uint32_t)b->n, BOOT_INFO_ADDR);
	}
	bytes_fini(b);
	return fits ? true : err_set(e, "the command line (-append) is too long");
}

/* ---- multiboot information ---- */

enum {	/* offsets, 3.3 */
	MBI_FLAGS = 0, MBI_MEM_LOWER = 4, MBI_MEM_UPPER = 8, MBI_CMDLINE = 16, MBI_MODS_COUNT = 20,
	MBI_MODS_ADDR = 24, MBI_MMAP_LENGTH = 44, MBI_MMAP_ADDR = 48, MBI_LOADER = 64, MBI_SIZE = 88,
};
#define MBI_HAS		(BIT(0) | BIT(2) | BIT(3) | BIT(6) | BIT(9))
#define MBI_CONVENTIONAL_KB 639

static bool multiboot_info(struct fwcfg *f, const struct boot_request *r, const struct modules *m,
			   struct boot_job *j, struct err *e)
{
	struct bytes b = { 0 };
	bytes_grow(&b, MBI_SIZE);
	uint32_t table = BOOT_INFO_ADDR + (uint32_t)b.n;
	size_t table_at = b.n;
	bytes_grow(&b, 16 * (size_t)m->n);
	for (int i = 0; i < m->n; i++) {
		uint32_t args = info_string(&b, m->mod[i].args);
		st32(b.p + table_at + 16 * i, m->mod[i].start);
		st32(b.p + table_at + 16 * i + 4, m->mod[i].end);
		st32(b.p + table_at + 16 * i + 8, args);
	}
	uint32_t cmdline = info_cmdline(&b, r), loader = info_string(&b, "Rhea");
	st32(b.p + MBI_FLAGS, MBI_HAS);
	st32(b.p + MBI_MEM_LOWER, MBI_CONVENTIONAL_KB);
	st32(b.p + MBI_MEM_UPPER, (uint32_t)(r->ram_below_4g / 1024 - 1024));
	st32(b.p + MBI_CMDLINE, cmdline);
	st32(b.p + MBI_MODS_COUNT, (uint32_t)m->n);
	st32(b.p + MBI_MODS_ADDR, table);
	st32(b.p + MBI_MMAP_ADDR, BOOT_MAP_ADDR);
	st32(b.p + MBI_LOADER, loader);
	j->eax = MB_BOOTLOADER;
	j->ebx = BOOT_INFO_ADDR;
	j->map_lead = 4;
	j->map_count = BOOT_INFO_ADDR + MBI_MMAP_LENGTH;
	j->map_unit = 24;
	return give_info(f, &b, j, e);
}

/* ---- PVH start information ---- */

enum {
	PVH_MAGIC = 0, PVH_VERSION = 4, PVH_NMODULES = 12, PVH_MODULES = 16, PVH_CMDLINE = 24,
	PVH_MEMMAP = 40, PVH_MEMMAP_N = 48, PVH_SIZE = 56, PVH_MODULE_SIZE = 32,
};
#define PVH_START_MAGIC	0x336ec578u

static bool pvh_info(struct fwcfg *f, const struct boot_request *r, const struct modules *m,
		     struct boot_job *j, struct err *e)
{
	struct bytes b = { 0 };
	bytes_grow(&b, PVH_SIZE);
	for (int i = 0; i < m->n; i++) {
		uint8_t *p = bytes_grow(&b, PVH_MODULE_SIZE);
		st64(p, m->mod[i].start);
		st64(p + 8, m->mod[i].end - m->mod[i].start);
	}
	uint32_t cmdline = info_string(&b, r->append ? r->append : "");
	st32(b.p + PVH_MAGIC, PVH_START_MAGIC);
	st32(b.p + PVH_VERSION, 1);
	st32(b.p + PVH_NMODULES, (uint32_t)m->n);
	st64(b.p + PVH_MODULES, m->n ? BOOT_INFO_ADDR + PVH_SIZE : 0);
	st64(b.p + PVH_CMDLINE, cmdline);
	st64(b.p + PVH_MEMMAP, BOOT_MAP_ADDR);
	j->ebx = BOOT_INFO_ADDR;
	j->map_lead = 0;
	j->map_count = BOOT_INFO_ADDR + PVH_MEMMAP_N;
	j->map_unit = 1;
	return give_info(f, &b, j, e);
}

bool boot_elf_kernel(struct fwcfg *f, const struct boot_request *r, struct boot_file *k,
		     struct boot_job *j, struct err *e)
{
	const uint8_t *mb = find_multiboot(k);
	struct image im = { 0 };
	struct modules m = { 0 };

	if (!parse_image(&im, k, mb, e))
		return false;
	if (!mb && !im.pvh_entry)
		return err_set(e, "an ELF file with neither a multiboot header nor a PVH entry note");
	if (im.entry >> 32 && mb)
		return err_set(e, "its entry point is above 4 GiB");
	m.base = (uint32_t)align_up(im.high, 4096);
	bool ok = give_image(f, &im, k, r, j, e) && read_modules(&m, r->initrd, e)
		&& give_modules(f, &m, r, j, e)
		&& (mb ? multiboot_info(f, r, &m, j, e) : pvh_info(f, r, &m, j, e));
	modules_fini(&m);
	j->protected_mode = true;
	j->entry = mb ? (uint32_t)im.entry : im.pvh_entry;
	j->esp = 0x7c00;
	return ok;
}
