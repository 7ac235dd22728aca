/*
 * How fast is translation? Translates all the code of a program from its first byte to
 * its last, one block behind the other, and says how many guest instructions that
 * were a second of this thread's processor time, and how many host bytes came of a guest
 * byte. "first" starts with memory that nobody has touched; "again" is the same
 * with an emptied cache. Then the other extreme: one small block that is patched and
 * called in turns, as a guest's own compiler does.
 *
 *	translate-rate [FILE [ROUNDS]]	a 64-bit ELF program; this one itself if none is named
 *
 * Not modelled: linking. Blocks that are jumped to in the middle are not made twice.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cpu/accel.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"
#include "cpu/seg.h"
#include "tcg/cache.h"
#include "tcg/run.h"

enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PATCHED = 0x8000, STACK = 0x10000, CODE = 0x200000,
       RAM_SIZE = 64 << 20 };
enum { PTE_P = 1, PTE_W = 2, PTE_PS = 0x80 };
enum { END_PORT = 0xf4, PATCHES = 1000000 };

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "translate-rate: %s\n", what);
	exit(1);
}

/* ---- the program ---- */

/* Copies the first executable segment to `to`; its size. */
static size_t load_code(const char *path, uint8_t *to, size_t room)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	const uint8_t *file;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(Elf64_Ehdr))
		die("the program cannot be read");
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED || memcmp(file, ELFMAG, SELFMAG) || file[EI_CLASS] != ELFCLASS64)
		die("not a 64-bit ELF program");
	const Elf64_Ehdr *h = (const void *)file;
	for (unsigned i = 0; i < h->e_phnum && !n; i++) {
		const Elf64_Phdr *p = (const void *)(file + h->e_phoff + i * sizeof(*p));

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && p->p_offset + p->p_filesz <= (size_t)st.st_size) {
			n = p->p_filesz < room ? p->p_filesz : room;
			memcpy(to, file + p->p_offset, n);
		}
	}
	munmap((void *)(uintptr_t)file, (size_t)st.st_size);
	close(fd);
	if (!n)
		die("no code in it");
	return n;
}

/* ---- a vCPU in 64-bit user-like code, linear = physical ---- */

static void port_out(void *opaque, uint16_t port, int size, uint32_t v)
{
	(void)size;
	(void)v;
	if (port == END_PORT)
		cpu_request(*(struct cpu **)opaque, REQ_EXIT);
}

static struct cpu *new_cpu(struct cpu **self, struct ram **ram)
{
	struct err e = { "" };
	struct phys *phys = phys_new();
	struct phys_range range = { .size = RAM_SIZE, .name = "ram" };
	struct cpu_config cfg = { .model = "max", .phys = phys, .tsc_khz = 1000000,
				  .board = { .opaque = self, .port_out = port_out } };

	*ram = phys_ram_new(phys, "ram", RAM_SIZE, &e);
	range.rram = range.wram = *ram;
	if (!*ram || !phys_map(phys, &range, &e) || !(*self = cpu_new(&cfg, &e)))
		die(e.msg);
	return *self;
}

static void enter_64bit(struct cpu *c, uint8_t *mem)
{
	st64(mem + PML4, PDPT | PTE_P | PTE_W);
	st64(mem + PDPT, PD | PTE_P | PTE_W);
	for (uint64_t va = 0; va < RAM_SIZE; va += 2 << 20)
		st64(mem + PD + (va >> 21) * 8, va | PTE_PS | PTE_P | PTE_W);
	c->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_ET;
	c->cr3 = PML4;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->xcr0 = 7;
	c->efer = EFER_LME | EFER_LMA;
	for (int s = ES; s <= GS; s++)
		seg_set(c, s, s == CS ? 8 : 16, 0, ~0u,
			(uint16_t)(s == CS ? 0x9b | SEG_G | SEG_L : 0x93 | SEG_G | SEG_DB));
	c->halted = c->shadow = c->wait_sipi = false;
	c->exc_vector = c->exc_delivering = -1;
	cpu_set_eflags(c, 2);
	cpu_update_mode(c);
}

/* ---- what is measured ---- */

/* The block at c->rip. A program larger than the cache empties it on the way. */
static const struct tb *translate(struct cpu *c)
{
	struct tb *tb;

	while (!(tb = tcg_translate(c, c->mode, false)))
		tcg_flush(tcg_of(c));
	return tb;
}

static void sweep(struct cpu *c, size_t n, const char *how)
{
	struct tcg *t = tcg_of(c);
	double start;

	memset(&t->stats, 0, sizeof(t->stats));
	start = cpu_seconds();
	for (c->rip = CODE; c->rip < CODE + n;)
		c->rip += translate(c)->len;
	start = cpu_seconds() - start;
	printf("%-6s %.2f million instructions a second; %llu blocks, %.1f instructions and %.1f bytes each, "
	       "%.2f host bytes a byte, %.0f ns a block\n", how, (double)t->stats.guest_insns / start / 1e6,
	       (unsigned long long)t->stats.translations,
	       (double)t->stats.guest_insns / (double)t->stats.translations,
	       (double)t->stats.guest_bytes / (double)t->stats.translations,
	       (double)t->stats.host_bytes / (double)t->stats.guest_bytes,
	       start * 1e9 / (double)t->stats.translations);
}

/* mov ecx, PATCHES; l: mov [PATCHED + 1], ecx; call PATCHED; dec ecx; jnz l; out END_PORT, al; hlt */
static void patch(struct cpu *c, uint8_t *mem)
{
	uint8_t loop[] = { 0xb9, 0, 0, 0, 0, 0x89, 0x0c, 0x25, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0,
			   0xff, 0xc9, 0x75, 0xf0, 0xe6, END_PORT, 0xf4 };
	static const uint8_t patched[] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov eax, imm32; ret */
	double start;

	st32(loop + 1, PATCHES);
	st32(loop + 8, PATCHED + 1);
	st32(loop + 13, (uint32_t)(PATCHED - (CODE + 17)));
	memcpy(mem + CODE, loop, sizeof(loop));
	memcpy(mem + PATCHED, patched, sizeof(patched));
	c->rip = CODE;
	c->regs[RSP] = STACK;
	start = cpu_seconds();
	c->ops->run(c);
	start = cpu_seconds() - start;
	if (c->regs[RAX] != 1 || c->regs[RCX])
		die("the patched code went wrong");
	printf("patch  %.0f ns to patch and run a block of two instructions\n", start * 1e9 / PATCHES);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 2;
	struct err e = { "" };
	struct cpu *self, *c;
	struct ram *ram;
	size_t n;

	c = new_cpu(&self, &ram);
	enter_64bit(c, ram->host);
	c->ops = &tcg_accel;
	if (!c->ops->create(c, &e))
		die(e.msg);
	n = load_code(argc > 1 ? argv[1] : "/proc/self/exe", ram->host + CODE, RAM_SIZE - CODE);
	for (int i = 0; i < rounds; i++) {
		sweep(c, n, i ? "again" : "first");
		tcg_flush(tcg_of(c));
	}
	patch(c, ram->host);
	return 0;
}
