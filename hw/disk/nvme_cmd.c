/*
 * What NVMe commands do: the administrator's (queues, identification, features, logs)
 * and those of the namespace (read, write, flush, write zeroes, deallocate).
 *
 * Source: NVM Express Base Specification 1.4, chapters 5 and 6.
 */
#include <stdio.h>
#include <string.h>

#include "hw/disk/nvme_priv.h"

#define NAMESPACE	1u
#define ALL_NAMESPACES	0xffffffffu
#define PIECE_SECTORS	2048u
#define MOST_PAGES	9u		/* log 2 of the pages a command moves: 2 MiB */
#define RANGE		16u
#define MOST_DEALLOCATED (1u << 21)	/* sectors at once */
#define MODEL		"Rhea NVMe disk"

static uint32_t dw(const struct nvme_cmd *c, unsigned i)
{
	return ld32(nvme_sqe(c) + 4 * i);
}

/* Up to a page of an answer, to where the command wants it. */
static void answer(struct nvme_cmd *c, const void *p, uint32_t n)
{
	c->moved = n;			/* how much memory there is, for the pages' sake */
	c->left = 0;
	uint64_t got = nvme_gather(c, 0, n, true);

	sg_put(&c->sg, 0, p, got);
	sg_written(&c->sg, got);
	nvme_done(c, got == n ? NVME_OK : NVME_DATA_ERROR, 0);
}

/* ---- sectors ---- */

static struct nvme_cmd *cmd_of(struct drive_req *r)
{
	return (struct nvme_cmd *)((char *)r - offsetof(struct nvme_cmd, r));
}

static void submit(struct nvme_cmd *c, enum drive_op op, uint32_t n, void (*done)(struct drive_req *r))
{
	c->r = (struct drive_req){ .op = op, .at = c->at, .n = n, .iov = c->sg.iov, .niov = c->sg.n, .done = done };
	drive_submit(c->n->drive, &c->r);
}

static void finished(struct drive_req *r)
{
	nvme_done(cmd_of(r), r->ok ? NVME_OK : NVME_WRITE_FAULT, 0);
}

static bool writes(const struct nvme_cmd *c)
{
	return nvme_sqe(c)[0] == 0x01;
}

static void next_piece(struct nvme_cmd *c);

static void piece_done(struct drive_req *r)
{
	struct nvme_cmd *c = cmd_of(r);
	uint32_t n = r->n * SECTOR;

	if (!r->ok) {
		nvme_done(c, writes(c) ? NVME_WRITE_FAULT : NVME_READ_ERROR, 0);
		return;
	}
	if (!writes(c))
		sg_written(&c->sg, n);
	c->at += r->n;
	c->left -= r->n;
	c->moved += n;
	next_piece(c);
}

/* Of what changes the disk: forced unit access, or no write cache. */
static bool must_flush(const struct nvme_cmd *c)
{
	return dw(c, 12) & BIT(30) || !(c->n->features_write_cache & 1);
}

static void next_piece(struct nvme_cmd *c)
{
	uint64_t n = min_u64(c->left, PIECE_SECTORS), got;

	if (!c->left) {
		if (writes(c) && must_flush(c))
			submit(c, DRIVE_FLUSH, 0, finished);
		else
			nvme_done(c, NVME_OK, 0);
		return;
	}
	got = nvme_gather(c, c->moved, n * SECTOR, !writes(c)) / SECTOR;
	if (!got)
		nvme_done(c, NVME_DATA_ERROR, 0);
	else
		submit(c, writes(c) ? DRIVE_WRITE : DRIVE_READ, (uint32_t)got, piece_done);
}

static bool in_disk(const struct nvme_cmd *c)
{
	uint64_t total = drive_sectors(c->n->drive);

	return c->at < total && c->left <= total - c->at;
}

/* Where and how much; false: it has ended, there is no such place. */
static bool set_up(struct nvme_cmd *c)
{
	c->at = ld64(nvme_sqe(c) + 40);
	c->left = (dw(c, 12) & 0xffff) + 1;
	c->moved = 0;
	if (in_disk(c))
		return true;
	nvme_done(c, NVME_LBA_RANGE, 0);
	return false;
}

static void io_transfer(struct nvme_cmd *c)
{
	if (nvme_sqe(c)[1] >> 6)
		nvme_done(c, NVME_BAD_FIELD, 0);	/* SGL */
	else if (set_up(c) && c->left * SECTOR > (uint64_t)NVME_PAGE << MOST_PAGES)
		nvme_done(c, NVME_BAD_FIELD, 0);
	else if (c->running)
		next_piece(c);
}

static void io_flush(struct nvme_cmd *c)
{
	submit(c, DRIVE_FLUSH, 0, finished);
}

static void zeroed(struct drive_req *r)
{
	struct nvme_cmd *c = cmd_of(r);

	if (r->ok && must_flush(c))
		submit(c, DRIVE_FLUSH, 0, finished);
	else
		finished(r);
}

static void io_write_zeroes(struct nvme_cmd *c)
{
	if (!set_up(c))
		return;
	c->r = (struct drive_req){ .op = DRIVE_ZERO, .at = c->at, .n = (uint32_t)c->left, .unmap = dw(c, 12) & BIT(25), .done = zeroed };
	drive_submit(c->n->drive, &c->r);
}

/* ---- deallocation: up to 256 ranges ---- */

static void deallocate(struct nvme_cmd *c);

static void deallocated(struct drive_req *r)
{
	struct nvme_cmd *c = cmd_of(r);

	c->at += r->n;
	c->left -= r->n;
	if (r->ok)
		deallocate(c);
	else
		nvme_done(c, NVME_WRITE_FAULT, 0);
}

static unsigned next_range(struct nvme_cmd *c)
{
	uint8_t range[RANGE];

	c->moved = RANGE * c->n_ranges;
	if (nvme_gather(c, RANGE * c->range, RANGE, false) < RANGE)
		return NVME_DATA_ERROR;
	sg_get(&c->sg, 0, range, RANGE);
	c->range++;
	c->at = ld64(range + 8);
	c->left = ld32(range + 4);
	return !c->left || in_disk(c) ? NVME_OK : NVME_LBA_RANGE;
}

static void deallocate(struct nvme_cmd *c)
{
	unsigned status = NVME_OK;

	while (!status && !c->left && c->range < c->n_ranges)
		status = next_range(c);
	if (status || !c->left)
		nvme_done(c, status, 0);
	else
		submit(c, DRIVE_DISCARD, (uint32_t)min_u64(c->left, MOST_DEALLOCATED), deallocated);
}

static void io_dataset(struct nvme_cmd *c)
{
	c->range = 0;
	c->left = 0;
	c->n_ranges = dw(c, 11) & 4 ? (dw(c, 10) & 0xff) + 1 : 0;
	deallocate(c);
}

/* ---- identification ---- */

static void put_text(uint8_t *to, const char *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)(*s ? *s++ : ' ');
}

static void identify_controller(struct nvme_cmd *c)
{
	const struct nvme *n = c->n;
	const char *serial = n->serial ? n->serial : drive_serial(n->drive);
	uint8_t id[4096] = { 0 };

	st16(id, 0x1b36);
	st16(id + 2, 0x1af4);
	put_text(id + 4, serial ? serial : "RH00001", 20);
	put_text(id + 24, MODEL, 40);
	put_text(id + 64, "1.0", 8);
	id[72] = 6;			/* arbitration burst */
	id[77] = MOST_PAGES;
	st32(id + 80, 0x00010400);
	st16(id + 256, 0);		/* no optional administrator's commands */
	id[258] = 3;			/* aborts */
	id[259] = NVME_EVENTS - 1;
	id[260] = 3;			/* one firmware slot, read-only */
	id[262] = 0;			/* error log entries: one */
	st16(id + 266, 343);		/* warning and critical temperatures, kelvins */
	st16(id + 268, 373);
	id[512] = 0x66;			/* entries have 2^6 bytes */
	id[513] = 0x44;
	st32(id + 516, 1);		/* namespaces */
	st16(id + 520, 0x000c);		/* write zeroes, dataset management */
	id[525] = 1;			/* a write cache */
	snprintf((char *)id + 768, 256, "nqn.2014.08.org.nvmexpress:rhea:%s", serial ? serial : "RH00001");
	st16(id + 2048, 2500);		/* power state 0: 25 W */
	answer(c, id, sizeof(id));
}

static void identify_namespace(struct nvme_cmd *c)
{
	uint64_t total = drive_sectors(c->n->drive);
	uint8_t id[4096] = { 0 };

	st64(id, total);
	st64(id + 8, total);
	st64(id + 16, total);
	id[24] = 0x04;			/* reads of deallocated blocks ... */
	id[33] = 0x09;			/* ... are zeros; write zeroes may deallocate */
	id[130] = 9;			/* format 0: blocks of 2^9 bytes */
	answer(c, id, sizeof(id));
}

static void identify_list(struct nvme_cmd *c)
{
	uint8_t list[4096] = { 0 };

	if (dw(c, 1) < NAMESPACE)
		st32(list, NAMESPACE);
	answer(c, list, sizeof(list));
}

/* The namespace's own name: an EUI-64 made of the controller's place. */
static void identify_descriptors(struct nvme_cmd *c)
{
	uint8_t d[4096] = { 1 /* EUI-64 */, 8, 0, 0, 0x52, 0x54, 0x00, 0x52, 0x48, 0x00, 0x00, (uint8_t)c->n->pci.devfn };

	answer(c, d, sizeof(d));
}

static void admin_identify(struct nvme_cmd *c)
{
	uint32_t nsid = dw(c, 1), what = dw(c, 10) & 0xff;
	bool of_namespace = what == 0 || what == 3;

	if (of_namespace && nsid != NAMESPACE && !(what == 0 && nsid == ALL_NAMESPACES)) {
		nvme_done(c, NVME_BAD_NAMESPACE, 0);
		return;
	}
	switch (what) {
	case 0: identify_namespace(c); break;
	case 1: identify_controller(c); break;
	case 2: identify_list(c); break;
	case 3: identify_descriptors(c); break;
	default: nvme_done(c, NVME_BAD_FIELD, 0);
	}
}

/* ---- queues ---- */

static void admin_create_cq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	uint32_t q = dw(c, 10) & 0xffff, size = (dw(c, 10) >> 16) + 1, vector = dw(c, 11) >> 16;

	if (!q || q >= NVME_QUEUES || n->cq[q].size)
		nvme_done(c, NVME_BAD_QUEUE, 0);
	else if (size < 2 || size > NVME_DEPTH)
		nvme_done(c, NVME_BAD_SIZE, 0);
	else if (vector >= NVME_QUEUES)
		nvme_done(c, NVME_BAD_VECTOR, 0);
	else if (!(dw(c, 11) & 1))
		nvme_done(c, NVME_BAD_FIELD, 0);	/* not contiguous */
	else {
		n->cq[q] = (struct nvme_cq){
			.base = ld64(nvme_sqe(c) + 24) & ~(uint64_t)(NVME_PAGE - 1), .size = (uint16_t)size, .phase = 1,
			.vector = (uint16_t)vector, .interrupts = dw(c, 11) >> 1 & 1,
		};
		nvme_done(c, NVME_OK, 0);
	}
}

static void admin_create_sq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	uint32_t q = dw(c, 10) & 0xffff, size = (dw(c, 10) >> 16) + 1, cq = dw(c, 11) >> 16;

	if (!cq || cq >= NVME_QUEUES || !n->cq[cq].size)
		nvme_done(c, NVME_BAD_CQ, 0);
	else if (!q || q >= NVME_QUEUES || n->sq[q].size)
		nvme_done(c, NVME_BAD_QUEUE, 0);
	else if (size < 2 || size > NVME_DEPTH)
		nvme_done(c, NVME_BAD_SIZE, 0);
	else if (!(dw(c, 11) & 1))
		nvme_done(c, NVME_BAD_FIELD, 0);
	else {
		n->sq[q] = (struct nvme_sq){
			.base = ld64(nvme_sqe(c) + 24) & ~(uint64_t)(NVME_PAGE - 1), .size = (uint16_t)size, .cq = (uint16_t)cq,
		};
		nvme_done(c, NVME_OK, 0);
	}
}

static void admin_delete_sq(struct nvme_cmd *c)
{
	uint32_t q = dw(c, 10) & 0xffff;

	if (!q || q >= NVME_QUEUES || !c->n->sq[q].size) {
		nvme_done(c, NVME_BAD_QUEUE, 0);
		return;
	}
	nvme_cancel_queue(c->n, q);
	c->n->sq[q] = (struct nvme_sq){ 0 };
	nvme_done(c, NVME_OK, 0);
}

static void admin_delete_cq(struct nvme_cmd *c)
{
	uint32_t q = dw(c, 10) & 0xffff;

	if (!q || q >= NVME_QUEUES || !c->n->cq[q].size) {
		nvme_done(c, NVME_BAD_QUEUE, 0);
		return;
	}
	for (unsigned i = 1; i < NVME_QUEUES; i++)
		if (c->n->sq[i].size && c->n->sq[i].cq == q) {
			nvme_done(c, NVME_BAD_DELETION, 0);
			return;
		}
	c->n->cq[q] = (struct nvme_cq){ 0 };
	nvme_done(c, NVME_OK, 0);
}

/* ---- features, logs, events ---- */

enum { F_ARBITRATION = 1, F_POWER = 2, F_TEMPERATURE = 4, F_ERROR_RECOVERY = 5, F_WRITE_CACHE = 6, F_QUEUES = 7, F_COALESCING = 8,
	F_VECTOR = 9, F_ATOMICITY = 10, F_EVENTS = 11 };

static uint32_t *feature(struct nvme *n, unsigned which)
{
	return which == F_WRITE_CACHE ? &n->features_write_cache : which == F_COALESCING ? &n->features_coalescing :
	       which == F_EVENTS ? &n->features_events : NULL;
}

#define QUEUES_THERE	((NVME_QUEUES - 2u) << 16 | (NVME_QUEUES - 2u))

static void admin_features(struct nvme_cmd *c)
{
	bool set = nvme_sqe(c)[0] == 0x09;
	unsigned which = dw(c, 10) & 0xff;
	uint32_t *f = feature(c->n, which);

	if (set && dw(c, 10) >> 31) {
		nvme_done(c, NVME_NOT_SAVEABLE, 0);
		return;
	}
	if (f && set)
		*f = dw(c, 11);
	if (f || which == F_QUEUES)
		nvme_done(c, NVME_OK, which == F_QUEUES ? QUEUES_THERE : *f);
	else if (which >= F_ARBITRATION && which <= F_EVENTS)
		nvme_done(c, NVME_OK, which == F_TEMPERATURE ? 343 : 0);
	else
		nvme_done(c, NVME_BAD_FIELD, 0);
}

/* Errors (none), health, firmware. */
static void admin_log(struct nvme_cmd *c)
{
	unsigned which = dw(c, 10) & 0xff;
	uint64_t n = ((uint64_t)(dw(c, 11) & 0xffff) << 16 | dw(c, 10) >> 16) * 4 + 4, off = ld64(nvme_sqe(c) + 48);
	uint8_t page[4096 + 512] = { 0 };

	if (which < 1 || which > 3 || n > 4096 || off > 512) {
		nvme_done(c, which < 1 || which > 3 ? NVME_BAD_LOG : NVME_BAD_FIELD, 0);
		return;
	}
	if (which == 2) {
		st16(page + 1, 303);	/* 30 degrees */
		page[3] = 100;		/* spare */
		page[4] = 10;
	} else if (which == 3) {
		page[0] = 1;
		put_text(page + 8, "1.0", 8);
	}
	answer(c, page + off, (uint32_t)n);
}

/* It is answered when something happens, which is never. */
static void admin_event(struct nvme_cmd *c)
{
	struct nvme *n = c->n;

	if (n->n_events == NVME_EVENTS) {
		nvme_done(c, NVME_EVENT_LIMIT, 0);
		return;
	}
	n->event[n->n_events++] = ld16(nvme_sqe(c) + 2);
	c->running = false;
	n->slot[c->slot].used = 0;
}

/* It may have ended already; the result says that it was not aborted. */
static void admin_abort(struct nvme_cmd *c)
{
	nvme_done(c, NVME_OK, 1);
}

static void admin_keep_alive(struct nvme_cmd *c)
{
	nvme_done(c, NVME_OK, 0);
}

/* ---- the tables ---- */

struct opcode {
	uint8_t code;
	bool of_namespace;
	void (*run)(struct nvme_cmd *c);
};
static const struct opcode admin[] = {
	{ 0x00, false, admin_delete_sq }, { 0x01, false, admin_create_sq }, { 0x02, false, admin_log },
	{ 0x04, false, admin_delete_cq }, { 0x05, false, admin_create_cq }, { 0x06, false, admin_identify },
	{ 0x08, false, admin_abort }, { 0x09, false, admin_features }, { 0x0a, false, admin_features },
	{ 0x0c, false, admin_event }, { 0x18, false, admin_keep_alive },
};
static const struct opcode io[] = {
	{ 0x00, false, io_flush }, { 0x01, true, io_transfer }, { 0x02, true, io_transfer },
	{ 0x08, true, io_write_zeroes }, { 0x09, true, io_dataset },
};

void nvme_execute(struct nvme_cmd *c)
{
	bool is_admin = !c->n->slot[c->slot].sq;
	const struct opcode *table = is_admin ? admin : io;

	for (size_t i = 0; i < (is_admin ? ARRAY_LEN(admin) : ARRAY_LEN(io)); i++) {
		if (table[i].code != nvme_sqe(c)[0])
			continue;
		if (table[i].of_namespace && dw(c, 1) != NAMESPACE)
			nvme_done(c, NVME_BAD_NAMESPACE, 0);
		else
			table[i].run(c);
		return;
	}
	nvme_done(c, NVME_BAD_OPCODE, 0);
}
