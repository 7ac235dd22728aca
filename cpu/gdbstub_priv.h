/* Between the parts of the debugger's stub: gdbstub.c, gdbstub_*.c. */
#ifndef CPU_GDBSTUB_PRIV_H
#define CPU_GDBSTUB_PRIV_H

#include "cpu/gdbstub.h"

#define GDB_PACKET	16384	/* bytes of a packet's contents, either way */

/* Thread numbers in packets; vCPU i is thread i + 1. */
enum { THREAD_ALL = -1, THREAD_ANY = -2, THREAD_BAD = -3 };

enum gdb_rx { RX_IDLE, RX_BODY, RX_ESCAPE, RX_SUM1, RX_SUM2 };

struct gdbstub {
	struct gdb_host host;
	/* What comes in. */
	enum gdb_rx rx;
	uint8_t in[GDB_PACKET + 1];	/* 0 behind it */
	size_t n_in;
	bool too_long;
	uint8_t sum, sum_said;
	/* What goes out; kept until acknowledged. */
	uint8_t out[2 * GDB_PACKET + 8];
	size_t n_out;
	/* The session. */
	bool connected;
	bool no_ack;
	bool multiprocess, swbreak, hwbreak;	/* the debugger knows these */
	bool waiting;			/* for the machine to stop: it has told it to run */
	bool physical;			/* addresses of memory packets */
	unsigned step_bits;		/* STEP_* */
	int c_cpu, g_cpu;		/* what `H` has chosen */
	struct debug_list soft, hard;	/* breakpoints, by the kind the debugger has set */
	enum gdb_view view;		/* since the debugger came */
	bool view_fixed;
	char *xml;
};
#define STEP_ENABLE	1u
#define STEP_NOIRQ	2u
#define STEP_NOTIMER	4u

/* ---- gdbstub.c ---- */
void gdb_send(struct gdbstub *g, const void *p, size_t n);
void gdb_say(struct gdbstub *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline struct cpu *gdb_cpu(struct gdbstub *g, int i)
{
	return g->host.cpu(g->host.opaque, i);
}
/* "p1.2" (or "2") of vCPU 1. */
const char *gdb_thread(const struct gdbstub *g, int cpu, char buf[24]);
/* A hex number at *p; false: there is none, or it is too long. */
bool gdb_number(const char **p, uint64_t *v);
/* vCPU, THREAD_ALL, THREAD_ANY or THREAD_BAD at *p. */
int gdb_parse_thread(const struct gdbstub *g, const char **p);
bool gdb_from_hex(const char *p, uint8_t *to, size_t n);
void gdb_to_hex(const uint8_t *p, size_t n, char *to);

/* ---- gdbstub_run.c ---- */
void gdb_clear_breaks(struct gdbstub *g);
void gdb_stop_reply(struct gdbstub *g, int signal);
void gdb_cmd_break(struct gdbstub *g, const char *p, bool set);
void gdb_cmd_vcont(struct gdbstub *g, const char *p);
void gdb_cmd_go(struct gdbstub *g, char how, const char *p);
void gdb_cmd_detach(struct gdbstub *g);

/* ---- gdbstub_state.c ---- */
void gdb_cmd_read_regs(struct gdbstub *g);
void gdb_cmd_write_regs(struct gdbstub *g, const char *p, size_t n);
void gdb_cmd_read_reg(struct gdbstub *g, const char *p);
void gdb_cmd_write_reg(struct gdbstub *g, const char *p);
void gdb_cmd_read_memory(struct gdbstub *g, const char *p);
/* address;length;bytes */
void gdb_cmd_search(struct gdbstub *g, const char *p);
/* n: bytes of the packet behind its first; binary (X) or hex (M). */
void gdb_cmd_write_memory(struct gdbstub *g, const char *p, size_t n, bool binary);

/* ---- gdbstub_query.c ---- */
void gdb_cmd_query(struct gdbstub *g, const char *p);
void gdb_cmd_set(struct gdbstub *g, const char *p);

#endif
