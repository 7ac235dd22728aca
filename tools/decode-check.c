/*
 * Runs the decoder beside capstone over whole programs.
 *
 *   decode-check [-16|-32|-64] FILE...      executable sections of ELF files; other files
 *                                           as they are, as 16-bit code unless told
 *   decode-check -r N [-16|-32|-64]         N random byte sequences
 *
 * Prints counts, and the differences; what is capstone's fault is counted by reason.
 * Exit status 1 if anything else differs.
 */
#include "config.h"

#include <stdio.h>

#ifdef CONFIG_CAPSTONE
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "tests/insn/compare.h"

#define MAX_SHOWN 100
#define MAX_REASONS 64

struct reasons {
	const char *why[MAX_REASONS];
	long count[MAX_REASONS];
	unsigned n;
	unsigned char seen[1 << 16];	/* differences like one shown before */
	unsigned n_shown;
};

/* One of a kind: the same row and mnemonic, and the same thing differs. */
static bool is_new(struct reasons *r, const struct pair *p)
{
	unsigned key = p->in.row * 31u + p->ref->id * 1009u + (unsigned char)p->what[0];

	if (r->seen[key & 0xffff])
		return false;
	r->seen[key & 0xffff] = 1;
	r->n_shown++;
	return true;
}

static void count(struct reasons *r, const char *why)
{
	unsigned i = 0;

	while (i < r->n && strcmp(r->why[i], why))
		i++;
	if (i == MAX_REASONS)
		return;
	if (i == r->n)
		r->why[r->n++] = why;
	r->count[i]++;
}

static unsigned one(struct pair *p, struct reasons *r, const uint8_t *b)
{
	char line[300];
	unsigned len;

	switch (pair_compare(p, b, &len)) {
	case PAIR_EXCUSED:
		count(r, p->what);
		break;
	case PAIR_DIFFER:
		if (is_new(r, p) && r->n_shown < MAX_SHOWN)
			printf("%s\n", pair_text(p, b, line, sizeof(line)));
		break;
	default:
		break;
	}
	return len;
}

static void sweep(struct pair *p, struct reasons *r, const uint8_t *code, size_t n)
{
	for (size_t at = 0; at + 15 < n; )
		at += one(p, r, code + at);
}

static bool report(const char *name, const struct pair *p, const struct reasons *r)
{
	printf("%s: %ld agree, %ld differ, %ld excused, %ld are no instruction to either\n", name, p->same, p->differ,
	       p->excused, p->refused);
	for (unsigned i = 0; i < r->n; i++)
		printf("  %8ld %s\n", r->count[i], r->why[i]);
	return p->differ == 0;
}

/* ---- files ---- */

static uint8_t *read_file(const char *name, size_t *n)
{
	FILE *f = fopen(name, "rb");
	uint8_t *data = NULL;
	size_t room = 0;

	*n = 0;
	if (!f) {
		fprintf(stderr, "decode-check: %s: %s\n", name, strerror(errno));
		exit(2);
	}
	do {
		room += 1 << 20;
		data = realloc(data, room + 16);
		*n += fread(data + *n, 1, room - *n, f);
	} while (*n == room);
	memset(data + *n, 0, 16);
	fclose(f);
	return data;
}

/* Sweeps executable sections; false: no ELF file for this processor, or without sections. */
#define SWEEP_ELF(bits)										\
static bool sweep_elf##bits(struct pair *p, struct reasons *r, const uint8_t *data, size_t n)	\
{												\
	const Elf##bits##_Ehdr *e = (const void *)data;						\
	bool any = false;									\
												\
	for (unsigned i = 0; i < e->e_shnum; i++) {						\
		uint64_t at = e->e_shoff + (uint64_t)i * e->e_shentsize;			\
		const Elf##bits##_Shdr *s = (const void *)(data + at);				\
		if (at + sizeof(*s) > n)							\
			return any;								\
		if (!(s->sh_flags & SHF_EXECINSTR) || s->sh_type != SHT_PROGBITS ||		\
		    s->sh_offset > n || s->sh_size > n - s->sh_offset)				\
			continue;								\
		sweep(p, r, data + s->sh_offset, s->sh_size);					\
		any = true;									\
	}											\
	return any;										\
}
SWEEP_ELF(32)
SWEEP_ELF(64)

static bool check_file(const char *name, int code)
{
	size_t n;
	uint8_t *data = read_file(name, &n);
	bool elf = n > sizeof(Elf64_Ehdr) && !memcmp(data, ELFMAG, SELFMAG), is64 = elf && data[EI_CLASS] == ELFCLASS64, ok;
	struct reasons *r = calloc(1, sizeof(*r));
	struct pair p;

	if (elf)
		code = is64 ? MODE_CODE64 : MODE_CODE32;
	if (!pair_open(&p, code < 0 ? MODE_CODE16 : (uint32_t)code))
		return false;
	if (!elf)
		sweep(&p, r, data, n);
	else if (!(is64 ? sweep_elf64(&p, r, data, n) : sweep_elf32(&p, r, data, n)))
		fprintf(stderr, "decode-check: %s: no executable sections\n", name);
	ok = report(name, &p, r);
	pair_close(&p);
	free(data);
	free(r);
	return ok;
}

/* ---- random bytes ---- */

static bool check_random(long n, uint32_t code)
{
	static const char *const names[] = { "16-bit random bytes", "32-bit random bytes", "64-bit random bytes" };
	struct reasons *r = calloc(1, sizeof(*r));
	uint64_t s = 0x9e3779b97f4a7c15ull;
	struct pair p;
	uint8_t b[16];

	if (!pair_open(&p, code))
		return false;
	while (n-- > 0) {
		for (int i = 0; i < 16; i++) {
			s = s * 6364136223846793005ull + 1442695040888963407ull;
			b[i] = (uint8_t)(s >> 56);
		}
		one(&p, r, b);
	}
	bool ok = report(names[code], &p, r);
	pair_close(&p);
	free(r);
	return ok;
}

int main(int argc, char **argv)
{
	int code = -1;
	bool ok = true;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-16"))
			code = MODE_CODE16;
		else if (!strcmp(argv[i], "-32"))
			code = MODE_CODE32;
		else if (!strcmp(argv[i], "-64"))
			code = MODE_CODE64;
		else if (!strcmp(argv[i], "-r") && i + 1 < argc)
			ok &= check_random(atol(argv[++i]), code < 0 ? MODE_CODE64 : (uint32_t)code);
		else
			ok &= check_file(argv[i], code);
	}
	if (argc < 2)
		fprintf(stderr, "usage: decode-check [-16|-32|-64] FILE...|-r N\n");
	return argc < 2 ? 2 : !ok;
}

#else

int main(void)
{
	fprintf(stderr, "decode-check: built without capstone (Debian package: libcapstone-dev)\n");
	return 0;
}
#endif
