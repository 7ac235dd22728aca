/*
 * The debugger's stub: registers and memory.
 *
 * Memory is what the page tables say now, read and written without their being
 * marked; a debugger may write what is read-only for the guest, and ROM.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu/gdbregs.h"
#include "cpu/gdbstub_priv.h"
#include "cpu/mmu.h"
#include "cpu/phys.h"

#define PAGE 4096u

/* ---- registers ---- */

void gdb_cmd_read_regs(struct gdbstub *g)
{
	struct cpu *c = gdb_cpu(g, g->g_cpu);
	char text[GDB_PACKET + 1];
	size_t k = 0;
	uint8_t buf[GDB_REG_MAX];

	for (int i = 0, n; (n = gdb_reg_get(c, g->view, i, buf)); i++, k += 2 * (size_t)n)
		gdb_to_hex(buf, (size_t)n, text + k);
	gdb_send(g, text, k);
}

/* As many as there are in the packet. */
void gdb_cmd_write_regs(struct gdbstub *g, const char *p, size_t n)
{
	struct cpu *c = gdb_cpu(g, g->g_cpu);
	uint8_t buf[GDB_REG_MAX];
	bool ok = true;

	for (int i = 0, k; (k = gdb_reg_bytes(c, g->view, i)) && n >= 2 * (size_t)k; i++, p += 2 * k, n -= 2 * (size_t)k) {
		if (!gdb_from_hex(p, buf, (size_t)k)) {
			gdb_say(g, "E22");
			return;
		}
		ok &= gdb_reg_set(c, g->view, i, buf);
	}
	gdb_say(g, n ? "E22" : ok ? "OK" : "E14");
}

void gdb_cmd_read_reg(struct gdbstub *g, const char *p)
{
	char text[2 * GDB_REG_MAX + 1];
	uint8_t buf[GDB_REG_MAX];
	uint64_t i;
	int n;

	if (!gdb_number(&p, &i) || i > 0xffff || !(n = gdb_reg_get(gdb_cpu(g, g->g_cpu), g->view, (int)i, buf))) {
		gdb_say(g, "E14");
		return;
	}
	gdb_to_hex(buf, (size_t)n, text);
	gdb_say(g, "%s", text);
}

void gdb_cmd_write_reg(struct gdbstub *g, const char *p)
{
	struct cpu *c = gdb_cpu(g, g->g_cpu);
	uint8_t buf[GDB_REG_MAX];
	uint64_t i;
	int n;
	bool ok = gdb_number(&p, &i) && i <= 0xffff && *p++ == '=' && (n = gdb_reg_bytes(c, g->view, (int)i)) &&
		  gdb_from_hex(p, buf, (size_t)n) && gdb_reg_set(c, g->view, (int)i, buf);

	gdb_say(g, ok ? "OK" : "E14");
}

/* ---- memory ---- */

/* Physical address of va, as the chosen thread sees it. */
static bool find(struct gdbstub *g, uint64_t va, uint64_t *pa)
{
	struct cpu *c = gdb_cpu(g, g->g_cpu);

	*pa = va;
	if (g->physical)
		return true;
	return mmu_probe(c, c->efer & EFER_LMA ? va : (uint32_t)va, pa);
}

static size_t in_page(uint64_t va, size_t n)
{
	size_t room = PAGE - (va & (PAGE - 1));

	return n < room ? n : room;
}

static size_t read_memory(struct gdbstub *g, uint64_t va, uint8_t *buf, size_t n)
{
	size_t done = 0;
	uint64_t pa;

	while (done < n && find(g, va + done, &pa)) {
		size_t part = in_page(va + done, n - done);

		phys_read_buf(gdb_cpu(g, 0)->phys, pa, buf + done, part);
		done += part;
	}
	return done;
}

/* ROM, too; whoever has translated it hears of it. */
static void write_page(struct gdbstub *g, uint64_t pa, const uint8_t *buf, size_t n)
{
	struct phys *p = gdb_cpu(g, 0)->phys;
	uint64_t off = pa & (PAGE - 1);
	struct phys_page pp;

	phys_lookup(p, pa - off, &pp);
	if (!pp.rhost || pp.whost) {
		phys_write_buf(p, pa, buf, n);
		return;
	}
	memcpy(pp.rhost + off, buf, n);
	if (pp.ram)
		phys_tell_code_write(p, NULL, pp.ram, pp.ram_off + off, n);
}

static bool write_memory(struct gdbstub *g, uint64_t va, const uint8_t *buf, size_t n)
{
	uint64_t pa;

	for (size_t at = 0; at < n; at += in_page(va + at, n - at))
		if (!find(g, va + at, &pa))
			return false;
	for (size_t at = 0, part; at < n; at += part) {
		part = in_page(va + at, n - at);
		if (!find(g, va + at, &pa))
			return false;
		write_page(g, pa, buf + at, part);
	}
	return true;
}

void gdb_cmd_read_memory(struct gdbstub *g, const char *p)
{
	uint8_t buf[GDB_PACKET / 2];
	char text[GDB_PACKET + 1];
	uint64_t va, n;
	size_t got;

	if (!gdb_number(&p, &va) || *p++ != ',' || !gdb_number(&p, &n) || n > sizeof(buf)) {
		gdb_say(g, "E22");
		return;
	}
	got = read_memory(g, va, buf, n);
	if (!got && n) {
		gdb_say(g, "E14");
		return;
	}
	gdb_to_hex(buf, got, text);
	gdb_send(g, text, 2 * got);
}

#define SEARCH_MOST	(4ull << 30)	/* a request ends some time */
#define SEARCH_STEP	65536u

/*
 * The pattern in what is mapped from va on. A window of memory slides on by less than it holds,
 * so that what lies across its end is found, too. -1: memory ends before the range does.
 */
static int search(struct gdbstub *g, uint64_t va, uint64_t n, const uint8_t *what, size_t n_what, uint64_t *found)
{
	static const size_t room = SEARCH_STEP + GDB_PACKET;
	uint8_t *buf = malloc(room);
	int result = buf ? 0 : -1;

	while (!result && n >= n_what) {
		size_t want = n < room ? (size_t)n : room, got = read_memory(g, va, buf, want);
		const uint8_t *at = memmem(buf, got, what, n_what);

		if (at) {
			*found = va + (size_t)(at - buf);
			result = 1;
		} else if (got < want) {
			result = -1;
		} else {
			size_t on = want - n_what + 1;

			va += on;
			n -= on;
		}
	}
	free(buf);
	return result;
}

void gdb_cmd_search(struct gdbstub *g, const char *p)
{
	uint64_t va, n, found;
	size_t n_what;
	int r;

	if (!gdb_number(&p, &va) || *p++ != ';' || !gdb_number(&p, &n) || *p++ != ';' || n > SEARCH_MOST) {
		gdb_say(g, "E22");
		return;
	}
	n_what = g->n_in - (size_t)(p - (const char *)g->in);
	r = n_what ? search(g, va, n, (const uint8_t *)p, n_what, &found) : -1;
	if (r > 0)
		gdb_say(g, "1,%llx", (unsigned long long)found);
	else
		gdb_say(g, r ? "E14" : "0");
}

void gdb_cmd_write_memory(struct gdbstub *g, const char *p, size_t n_packet, bool binary)
{
	const char *start = p;
	uint8_t buf[GDB_PACKET];
	uint64_t va, n;
	size_t rest;

	if (!gdb_number(&p, &va) || *p++ != ',' || !gdb_number(&p, &n) || *p++ != ':' || n > GDB_PACKET) {
		gdb_say(g, "E22");
		return;
	}
	rest = n_packet - (size_t)(p - start);
	if (rest != (binary ? n : 2 * n) || (!binary && !gdb_from_hex(p, buf, n))) {
		gdb_say(g, "E22");
		return;
	}
	if (binary)
		memcpy(buf, p, n);
	gdb_say(g, write_memory(g, va, buf, n) ? "OK" : "E14");
}
