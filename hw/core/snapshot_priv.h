/*
 * Between the files of snapshots: snapshot.c (the stream out), snapshot_in.c (the stream
 * in), snapshot_ram.c (pages), snapshot_cpu.c (vCPUs).
 */
#ifndef HW_CORE_SNAPSHOT_PRIV_H
#define HW_CORE_SNAPSHOT_PRIV_H

#include "hw/core/bus.h"
#include "hw/core/snapshot.h"

#define SNAPSHOT_MAGIC	"RheaVM\r\n"
#define SNAPSHOT_FORMAT	1u
#define SNAPSHOT_HEAD	12u		/* magic and format */

#define SNAP_PAGE	4096u
#define SNAP_RUN	64u		/* pages in one section, unless they are zero */

struct snapshot_out {
	struct machine *m;
	struct snapshot_sink sink;
	struct state_buf buf;		/* sections not written yet */
	uint32_t crc;			/* over the sections' checksums */
	uint32_t sections;
	struct snapshot_stats stats;
	uint8_t *copy, *packed;		/* a run of pages, and packed */
	void *zstd;			/* its context */
	struct saved_ram {
		struct ram *ram;
		char name[STATE_NAME_MAX - 8];
		uint64_t *changed;	/* while tracking: a bit per page; NULL: a small one */
	} *rams;			/* those there were at the start: cards may come and go meanwhile */
	unsigned n_rams;
};

/* The section begun last is complete: write it out. */
bool snapshot_put_section(struct snapshot_out *o, struct err *e);

/* ---- snapshot_ram.c ---- */

/* The nth memory there is and its name, unique; NULL past the end. */
struct ram *snapshot_ram_nth(struct machine *m, unsigned n, char *name, size_t size);
bool snapshot_ram_init(struct snapshot_out *o, struct err *e);
void snapshot_ram_fini(struct snapshot_out *o);
void snapshot_untrack(struct snapshot_out *o);
/* n pages of r from page `first` on. */
bool snapshot_put_pages(struct snapshot_out *o, struct ram *r, const char *name, uint64_t first, uint64_t n,
			struct err *e);

/* Pages of a "ram" section: checked; put into memory. */
struct ram_pages {
	struct ram *ram;
	uint64_t first, n;
	uint8_t how;
	const uint8_t *data;
	uint32_t size;
};
bool snapshot_parse_pages(struct machine *m, const struct section *s, struct ram_pages *g, struct err *e);
/* The pages' bytes, unpacked to `room` (SNAP_RUN pages) if they are packed; NULL: damaged. For zero pages: not called. */
const uint8_t *snapshot_unpack(const struct ram_pages *g, uint8_t *room);
void snapshot_load_pages(struct machine *m, const struct ram_pages *g, const uint8_t *bytes);

/* ---- snapshot_cpu.c ---- */

void snapshot_put_cpu(struct state_buf *b, struct cpu *c);
bool snapshot_cpu_fits(const struct section *s, struct cpu *c, struct err *e);
/* Its registers; cpu_regs_loaded() follows when all vCPUs have theirs. */
void snapshot_load_cpu(const struct section *s, struct cpu *c);

#endif
