/*
 * Snapshots: the whole machine as a stream of sections, to anything that takes bytes and
 * from anything that has them. docs/state-format.md describes the stream.
 *
 * Saving: snapshot_begin, snapshot_ram, snapshot_end with the machine at rest. Or, so that
 * it rests for a moment only: snapshot_track, snapshot_put_tracked and as many rounds of
 * snapshot_take_changed and snapshot_put_changed as it takes while the guest runs; then
 * at rest a last round, snapshot_ram_rest and snapshot_end. Loading: snapshot_open reads
 * and checks everything and touches nothing; snapshot_load then changes the machine.
 *
 * Not saved: what belongs to the host (streams, network connections, images' contents)
 * and what the command line gives again.
 */
#ifndef HW_CORE_SNAPSHOT_H
#define HW_CORE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "hw/core/state.h"

struct machine;

/* Memory comes at most so often, taken as a whole. */
#define SNAPSHOT_COPIES	4

struct snapshot_sink {
	bool (*write)(void *opaque, const void *p, size_t n, struct err *e);
	void *opaque;
};

struct snapshot_source {
	bool (*read)(void *opaque, uint64_t at, void *p, size_t n, struct err *e);
	void *opaque;
	uint64_t size;			/* bytes there are; none may be left over */
};

/* How much there was of what. */
struct snapshot_stats {
	uint64_t bytes;			/* of the stream */
	uint64_t ram_total;		/* bytes of guest memory */
	uint64_t zero_pages, data_pages;	/* sent, a page that changed again counts again */
};

/* ---- saving ---- */

struct snapshot_out;

/* Writes the head. NULL with err. Machine lock. */
struct snapshot_out *snapshot_begin(struct machine *m, const struct snapshot_sink *sink, struct err *e);
/* All of RAM and ROM. */
bool snapshot_ram(struct snapshot_out *o, struct err *e);

/*
 * Begin to track what is written to large memories. Machine lock, vCPUs at rest.
 * snapshot_out_free() ends it, and wants the same.
 */
bool snapshot_track(struct snapshot_out *o, struct err *e);
/* All of the large memories. Any thread, no lock. */
bool snapshot_put_tracked(struct snapshot_out *o, struct err *e);
/* Pages come so often that it is time for the last round: SNAPSHOT_COPIES bound all there are. */
bool snapshot_enough(const struct snapshot_out *o);
/* How many pages changed since; remembers which. Machine lock; `last`: vCPUs at rest. */
uint64_t snapshot_take_changed(struct snapshot_out *o, bool last);
/* Those. Any thread, no lock. */
bool snapshot_put_changed(struct snapshot_out *o, struct err *e);
/* The small memories. Machine lock, vCPUs at rest. */
bool snapshot_ram_rest(struct snapshot_out *o, struct err *e);

/* Everything but memory, and the end. Machine lock, vCPUs at rest, the clock stopped. */
bool snapshot_end(struct snapshot_out *o, struct err *e);
void snapshot_stats(const struct snapshot_out *o, struct snapshot_stats *s);
void snapshot_out_free(struct snapshot_out *o);

/* ---- loading ---- */

struct snapshot_in;

/* Does a stream begin like this? n: as much of it as there is; half a head does. */
bool snapshot_begins(const void *p, size_t n, struct err *e);
/* As many bytes as a stream for this machine may have. */
uint64_t snapshot_most(const struct machine *m);
/*
 * Read all of it and check it against the machine: form, checksums, versions, board, size
 * of RAM, processors, devices. NULL with err. Machine lock.
 */
struct snapshot_in *snapshot_open(struct machine *m, const struct snapshot_source *src, struct err *e);
/*
 * The machine becomes what was saved. Machine lock, vCPUs at rest, the clock stopped; it stays
 * so. *touched false: it failed and the machine is as it was. commit (may be NULL) is asked
 * when nothing in the machine objects any more: disks follow there; false goes back.
 */
bool snapshot_load(struct snapshot_in *in, bool (*commit)(void *opaque, struct err *e), void *opaque,
		   bool *touched, struct err *e);
void snapshot_in_free(struct snapshot_in *in);

/* ---- parts that are no devices ---- */

/*
 * Fields of a struct that belongs to nobody's device: saved and loaded with the machine.
 * Storage is the owner's, and outlives the machine's snapshots.
 */
struct saved_part {
	const char *name;
	uint32_t version;
	const struct state *table;	/* plain fields only */
	void *base;
	void (*loaded)(void *base);	/* the fields are in; may be NULL */
	struct saved_part *next;
};
void machine_add_saved(struct machine *m, struct saved_part *p);
void machine_del_saved(struct machine *m, struct saved_part *p);	/* not added is fine */

#endif
