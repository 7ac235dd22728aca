/* ui/dump.c, ui/pagewalk.c: a core of a vCPU with a little memory and page tables. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/phys.h"
#include "cpu/pte.h"
#include "hw/core/dev.h"
#include "ui/dump.h"
#include "ui/pagewalk.h"
#include "ui/vm.h"

#define RAM_SIZE 0x10000u
#define VA 0xffff800000200000ull	/* of the page at 0x5000, and of the next but one */

static const struct dev_type *const no_types[] = { NULL };
static struct vm vm;
static struct cpu *cpu;
static struct ram *ram;
static uint8_t *file;
static size_t n_file;

static void setup(void)
{
	struct err e;

	vm.m = machine_new(no_types, NULL, &e);
	cpu = cpu_new(&(struct cpu_config){ .model = "max", .phys = vm.m->phys }, &e);
	ram = phys_ram_new(vm.m->phys, "ram", RAM_SIZE, &e);
	struct phys_range low = { .pa = 0, .size = RAM_SIZE, .rram = ram, .wram = ram, .name = "ram" };
	cr_assert(phys_map(vm.m->phys, &low, &e));
	machine_lock(vm.m);
	cr_assert(vm_init(&vm, &cpu, 1, &e));
	for (unsigned i = 0x4000; i < RAM_SIZE; i += 4096)
		st64(ram->host + i, 0x1111111100000000ull + i);
	cpu->regs[RAX] = 0x1122334455667788;
	cpu->rip = 0x89abcdef;
}

/* Four levels of tables; two pages of one run, and one that is mapped twice. */
static void page(void)
{
	st64(ram->host + 0x1000 + 256 * 8, 0x2000 | PTE_P | PTE_W);
	st64(ram->host + 0x2000, 0x3000 | PTE_P | PTE_W);
	st64(ram->host + 0x3000 + 8, 0x4000 | PTE_P | PTE_W);
	memset(ram->host + 0x4000, 0, 4096);
	st64(ram->host + 0x4000, 0x5000 | PTE_P | PTE_W);
	st64(ram->host + 0x4008, 0x6000 | PTE_P | PTE_W);
	st64(ram->host + 0x4010, 0x5000 | PTE_P | PTE_NX);
	cpu->cr3 = 0x1000;
	cpu->cr0 |= CR0_PG | CR0_PE;
	cpu->cr4 |= CR4_PAE;
	cpu->efer |= EFER_LMA | EFER_NXE;
}

static void dump(struct dump_options o)
{
	char path[] = "/tmp/rhea-dump-XXXXXX";
	int fd = mkstemp(path);
	struct err e = { "" };

	o.file = path;
	o.fd = -1;
	cr_assert(dump_write(&vm, &o, &e), "%s", e.msg);
	n_file = (size_t)lseek(fd, 0, SEEK_END);
	file = malloc(n_file);
	cr_assert_eq(pread(fd, file, n_file, 0), (ssize_t)n_file);
	close(fd);
	unlink(path);
}

TestSuite(dump, .init = setup);

Test(dump, elf32_while_no_processor_is_in_long_mode)
{
	dump((struct dump_options){ 0 });
	const Elf32_Ehdr *h = (void *)file;
	const Elf32_Phdr *p = (void *)(file + h->e_phoff);
	cr_assert(!memcmp(h->e_ident, ELFMAG "\1\1\1", 7));
	cr_assert_eq(h->e_type, ET_CORE);
	cr_assert_eq(h->e_machine, EM_386);
	cr_assert_eq(h->e_phnum, 2);
	cr_assert_eq(p[1].p_type, PT_LOAD);
	cr_assert_eq(p[1].p_filesz, RAM_SIZE);
	cr_assert(!memcmp(file + p[1].p_offset, ram->host, RAM_SIZE));
	const uint8_t *status = file + p[0].p_offset + 12 + 8;
	cr_assert_eq(ld32(status + 72 + 4 * 6), 0x55667788);	/* eax */
	cr_assert_eq(ld32(status + 72 + 4 * 12), 0x89abcdef);	/* eip */
}

Test(dump, translations_share_the_bytes)
{
	const Elf64_Phdr *by_va[3] = { NULL };

	page();
	dump((struct dump_options){ .paging = true });
	const Elf64_Ehdr *h = (void *)file;
	const Elf64_Phdr *p = (void *)(file + h->e_phoff);
	cr_assert_eq(h->e_ident[EI_CLASS], ELFCLASS64);
	for (int i = 0; i < h->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && p[i].p_vaddr >= VA)
			by_va[(p[i].p_vaddr - VA) / 4096] = &p[i];
	cr_assert(by_va[0] && !by_va[1] && by_va[2]);
	cr_assert_eq(by_va[0]->p_filesz, 8192);
	cr_assert_eq(by_va[0]->p_paddr, 0x5000);
	cr_assert_eq(by_va[2]->p_offset, by_va[0]->p_offset);
	cr_assert_eq(ld64(file + by_va[0]->p_offset), 0x1111111100005000ull);
	const uint8_t *status = file + p[0].p_offset + 12 + 8;
	cr_assert_eq(ld64(status + 112 + 8 * 10), 0x1122334455667788);
	cr_assert_eq(ld64(status + 112 + 8 * 16), 0x89abcdef);
	cr_assert_str_eq((const char *)status + 336 + 12, "QEMU");
	cr_assert_eq(ld64(status + 336 + 12 + 8 + 8), 0x1122334455667788);
	cr_assert(n_file < 2 * RAM_SIZE);
}

Test(dump, a_part_of_memory)
{
	dump((struct dump_options){ .filter = true, .begin = 0x5000, .length = 0x1800 });
	const Elf32_Ehdr *h = (void *)file;
	const Elf32_Phdr *p = (void *)(file + h->e_phoff);
	cr_assert_eq(h->e_phnum, 2);
	cr_assert_eq(p[1].p_paddr, 0x5000);
	cr_assert_eq(p[1].p_filesz, 0x1800);
}

Test(dump, what_is_not_there_is_an_error)
{
	struct dump_options o = { .file = "/dev/null", .fd = -1, .filter = true, .begin = 1 << 30, .length = 4096 };
	struct err e = { "" };

	cr_assert_not(dump_write(&vm, &o, &e));
	cr_assert_str_eq(e.msg, "there is no memory in that range");
}

static bool count(void *opaque, const struct page_run *r)
{
	(void)r;
	++*(unsigned *)opaque;
	return true;
}

Test(dump, page_tables_that_lead_to_themselves_end)
{
	unsigned n = 0;

	page();
	for (unsigned i = 0; i < 512; i++)
		st64(ram->host + 0x1000 + i * 8, 0x1000 | PTE_P | PTE_W);
	cr_assert_not(pagewalk(cpu, count, &n));
	cr_assert_gt(n, 0);
}
