/* -kernel: what the loaders put where, and what they refuse. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "hw/pc/boot.h"
#include "tests/bench.h"

static struct bench b;
static struct fwcfg *f;
static uint8_t image[0x24000];

static void setup(void)
{
	bench_open(&b, &fwcfg_type, NULL);
	f = (struct fwcfg *)b.dev;
	memset(image, 0, sizeof(image));
}
static void teardown(void)
{
	bench_close(&b);
}
TestSuite(boot, .init = setup, .fini = teardown);

static bool load(size_t n, const char *append)
{
	char path[] = "/tmp/rhea-krn-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_eq(write(fd, image, n), (ssize_t)n);
	close(fd);
	struct boot_request r = { .kernel = path, .append = append, .ram_below_4g = 64 << 20 };
	bool ok = boot_load(f, &r, &b.err);
	unlink(path);
	return ok;
}

static void item(uint16_t key, void *to, unsigned n)
{
	bench_out(&b, 0x510, 2, key);
	for (unsigned i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)in(0x511);
}
static uint32_t number(uint16_t key)
{
	uint8_t v[4];
	item(key, v, 4);
	return ld32(v);
}

static void linux_image(void)
{
	image[0x1f1] = 3;
	memcpy(image + 0x202, "HdrS", 4);
	st16(image + 0x206, 0x20f);
	image[0x211] = 1;
	st32(image + 0x22c, 0x7fffffff);
	memcpy(image + 2048, "KERNEL", 6);
}

Test(boot, a_linux_image_is_split_and_its_header_filled_in)
{
	uint8_t h[0x250];
	char text[32], kernel[6];
	linux_image();
	cr_assert(load(4096, "console=ttyS0 vga=ext"), "%s", b.err.msg);
	cr_assert_eq(number(FWCFG_SETUP_SIZE), 2048);
	cr_assert_eq(number(FWCFG_KERNEL_SIZE), 2048);
	cr_assert_eq(number(FWCFG_KERNEL_ADDR), 0x100000);
	item(FWCFG_SETUP_DATA, h, sizeof(h));
	cr_assert_eq(h[0x210], 0xff);
	cr_assert_eq(ld32(h + 0x228), 0x20000);
	cr_assert_eq(ld16(h + 0x1fa), 0xfffe);
	item(FWCFG_CMDLINE_DATA, text, sizeof(text));
	cr_assert_str_eq(text, "console=ttyS0 vga=ext");
	item(FWCFG_KERNEL_DATA, kernel, 6);
	cr_assert_eq(memcmp(kernel, "KERNEL", 6), 0);
}

/* Up to the command line. The file's end is not looked at before the guest asks for it. */
Test(boot, setup_code_may_be_long)
{
	static uint8_t setup[120 * 512], kernel[sizeof(image) - sizeof(setup)];
	linux_image();
	image[0x1f1] = 119;
	memcpy(image + sizeof(setup) - 4, "LAST", 4);
	memcpy(image + sizeof(setup), "BEHIND", 6);
	memcpy(image + sizeof(image) - 3, "END", 3);
	cr_assert_not(load(sizeof(setup), NULL));
	cr_assert(load(sizeof(image), NULL), "%s", b.err.msg);
	cr_assert_eq(number(FWCFG_SETUP_SIZE), sizeof(setup));
	cr_assert_eq(number(FWCFG_KERNEL_SIZE), sizeof(image) - sizeof(setup));
	item(FWCFG_SETUP_DATA, setup, sizeof(setup));
	cr_assert_eq(memcmp(setup + sizeof(setup) - 4, "LAST", 4), 0);
	item(FWCFG_KERNEL_DATA, kernel, sizeof(kernel));
	cr_assert_eq(memcmp(kernel, image + sizeof(setup), sizeof(kernel)), 0);
}

Test(boot, the_option_rom_sums_to_zero)
{
	uint8_t rom[4096] = { 0 }, sum = 0;
	linux_image();
	cr_assert(load(4096, NULL));
	item(FWCFG_FILE_FIRST, rom, sizeof(rom));
	cr_assert_eq(ld16(rom), 0xaa55);
	for (int i = 0; i < rom[2] * 512; i++)
		sum += rom[i];
	cr_assert_eq(sum, 0);
	cr_assert_eq(memcmp(rom + ld16(rom + 0x1a), "$PnP", 4), 0);
}

Test(boot, a_setup_larger_than_the_file_is_refused)
{
	linux_image();
	image[0x1f1] = 200;
	cr_assert_not(load(4096, NULL));
}

Test(boot, garbage_is_refused)
{
	cr_assert_not(load(4096, NULL));
	cr_assert(strstr(b.err.msg, "neither"), "%s", b.err.msg);
}

/* A multiboot header at 0x1000 of an ELF file with one segment at 1 MiB. */
static Elf32_Phdr *multiboot_image(void)
{
	Elf32_Ehdr *e = (void *)image;
	Elf32_Phdr *p = (void *)(image + sizeof(*e));
	memcpy(e->e_ident, ELFMAG, 4);
	e->e_ident[EI_CLASS] = ELFCLASS32;
	e->e_ident[EI_DATA] = ELFDATA2LSB;
	e->e_machine = EM_386;
	e->e_phoff = sizeof(*e);
	e->e_phnum = 1;
	e->e_phentsize = sizeof(*p);
	e->e_entry = 0x100020;
	*p = (Elf32_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x100000,
			   .p_filesz = 0x100, .p_memsz = 0x3000 };
	st32(image + 0x1000, 0x1badb002);
	st32(image + 0x1008, -0x1badb002u);
	return p;
}

Test(boot, a_multiboot_kernel_is_one_image_with_its_bss)
{
	uint8_t head[4];
	multiboot_image();
	cr_assert(load(0x2000, "x"), "%s", b.err.msg);
	cr_assert_eq(number(FWCFG_KERNEL_ADDR), 0x100000);
	cr_assert_eq(number(FWCFG_KERNEL_SIZE), 0x3000);
	cr_assert_eq(number(FWCFG_KERNEL_ENTRY), 0x100020);
	item(FWCFG_KERNEL_DATA, head, 4);
	cr_assert_eq(ld32(head), 0x1badb002);
}

Test(boot, segments_outside_the_file_or_memory_are_refused)
{
	Elf32_Phdr *p = multiboot_image();
	p->p_filesz = 0x2000;
	cr_assert_not(load(0x2000, NULL));
	p->p_filesz = 0x100;
	p->p_paddr = 0xf0000000;
	cr_assert_not(load(0x2000, NULL));
	p->p_paddr = 0x1000;
	cr_assert_not(load(0x2000, NULL));
}

Test(boot, an_elf_file_without_header_or_note_is_refused)
{
	multiboot_image();
	st32(image + 0x1000, 0);
	cr_assert_not(load(0x2000, NULL));
	cr_assert(strstr(b.err.msg, "PVH"), "%s", b.err.msg);
}

Test(boot, a_pvh_note_gives_the_entry)
{
	Elf32_Phdr *p = multiboot_image();
	st32(image + 0x1000, 0);
	((Elf32_Ehdr *)image)->e_phnum = 2;
	p[1] = (Elf32_Phdr){ .p_type = PT_NOTE, .p_offset = 0x1800, .p_filesz = 20, .p_align = 4 };
	st32(image + 0x1800, 4);
	st32(image + 0x1804, 4);
	st32(image + 0x1808, 18);
	memcpy(image + 0x180c, "Xen", 4);
	st32(image + 0x1810, 0x100040);
	cr_assert(load(0x2000, "x"), "%s", b.err.msg);
	p[1].p_filesz = 0xfffffff0;		/* a damaged note is not read */
	cr_assert_not(load(0x2000, "x"));
}

/* What is in the image, as a gzip file in its place; its length. */
static size_t pack(size_t n)
{
	static uint8_t packed[sizeof(image)];
	z_stream z = { .next_in = image, .avail_in = (uInt)n, .next_out = packed, .avail_out = sizeof(packed) };
	cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	memcpy(image, packed, z.total_out);
	return z.total_out;
}

Test(boot, a_kernel_in_a_gzip_file_is_unpacked)
{
	multiboot_image();
	cr_assert(load(pack(0x2000), "x"), "%s", b.err.msg);
	cr_assert_eq(number(FWCFG_KERNEL_ENTRY), 0x100020);
	cr_assert_eq(number(FWCFG_KERNEL_SIZE), 0x3000);
}

Test(boot, a_cut_or_damaged_gzip_file_is_refused)
{
	multiboot_image();
	size_t n = pack(0x2000);
	cr_assert_not(load(n - 9, NULL));
	cr_assert(strstr(b.err.msg, "gzip"), "%s", b.err.msg);
	image[n - 8] ^= 1;			/* its checksum */
	cr_assert_not(load(n, NULL));
	cr_assert(strstr(b.err.msg, "gzip"), "%s", b.err.msg);
}

Test(boot, a_gzip_file_larger_than_memory_is_refused)
{
	multiboot_image();
	struct boot_file k = { .n = pack(0x2000) };
	k.p = malloc(k.n);
	memcpy(k.p, image, k.n);
	cr_assert_not(boot_gunzip(&k, 0x1fff, &b.err));
	cr_assert(strstr(b.err.msg, "-m"), "%s", b.err.msg);
	cr_assert(boot_gunzip(&k, 0x2000, &b.err), "%s", b.err.msg);
	cr_assert_eq(k.n, 0x2000);
	free(k.p);
}
