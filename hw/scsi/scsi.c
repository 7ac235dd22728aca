/*
 * SCSI units: finding commands, moving their data, status and sense.
 *
 * Data of the medium go straight between the drive's workers and the transport's
 * memory; everything else passes through job.buf. A long operation without data
 * (discard, zeros) is done in steps of STEP sectors.
 *
 * Not modelled: task attributes, reservations (accepted, hold off nobody), deferred
 * errors, descriptor sense format.
 * Source: SPC-4, 4.5 (sense data), 5 (model); SAM-5, 5 (status).
 */
#include "hw/scsi/scsi_priv.h"

#include <stdlib.h>

#define STEP	(1u << 15)

/* ---- results ---- */

void scsi_good(struct scsi_req *r)
{
	r->job.kind = JOB_NONE;
	r->job.dir = SCSI_NONE;
	r->job.len = 0;
	r->job.status = SCSI_GOOD;
}

static void set_sense(struct scsi_job *j, uint8_t key, uint16_t asc)
{
	memset(j->sense, 0, sizeof(j->sense));
	j->sense[0] = 0x70;
	j->sense[2] = key;
	j->sense[7] = SCSI_SENSE - 8;
	put16(j->sense + 12, asc);
	j->n_sense = SCSI_SENSE;
}

void scsi_fail(struct scsi_req *r, uint8_t key, uint16_t asc)
{
	scsi_good(r);
	r->job.status = SCSI_CHECK;
	set_sense(&r->job, key, asc);
}

uint8_t *scsi_clear(struct scsi_req *r, uint32_t n)
{
	memset(r->job.buf, 0, n);
	return r->job.buf;
}

void scsi_reply(struct scsi_req *r, uint32_t n, uint32_t room)
{
	r->job.kind = JOB_REPLY;
	r->job.dir = SCSI_IN;
	r->job.len = r->job.n_buf = (uint32_t)min_u64(n, room);
	if (!r->job.len)
		scsi_good(r);
}

void scsi_want(struct scsi_req *r, uint32_t n)
{
	if (n > SCSI_BUF - 8) {
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
		return;
	}
	r->job.kind = JOB_PARAM;
	r->job.dir = n ? SCSI_OUT : SCSI_NONE;
	r->job.len = n;
	r->job.n_buf = 0;
}

uint64_t scsi_blocks(const struct scsi_unit *u)
{
	return drive_sectors(u->drive) * SECTOR / scsi_block(u);
}

void scsi_medium(struct scsi_req *r, int kind, uint64_t lba, uint64_t blocks)
{
	uint64_t all = scsi_blocks(r->unit), scale = scsi_block(r->unit) / SECTOR;

	if (blocks > all || lba > all - blocks) {
		scsi_fail(r, KEY_ILLEGAL, ASC_OUT_OF_RANGE);
		return;
	}
	scsi_good(r);
	if (!blocks && kind != JOB_FLUSH)
		return;
	r->job.kind = (uint8_t)kind;
	r->job.lba = lba * scale;
	r->job.left = blocks * scale;
	if (kind == JOB_READ || kind == JOB_WRITE) {
		r->job.dir = kind == JOB_READ ? SCSI_IN : SCSI_OUT;
		r->job.len = r->job.left * SECTOR;
	}
}

/* The next descriptor of an UNMAP list that is not empty; job.n_buf: where it stands, from the end. */
static void next_unmap(struct scsi_job *j)
{
	while (!j->left && j->n_buf >= 16) {
		const uint8_t *d = j->buf + 8 + j->len - j->n_buf;
		j->lba = be64(d);
		j->left = be32(d + 8);
		j->n_buf -= 16;
	}
}

void scsi_unmap(struct scsi_req *r, uint32_t n)
{
	scsi_good(r);
	r->job.kind = JOB_DISCARD;
	r->job.len = r->job.at = r->job.n_buf = 16 * n;
	r->job.left = 0;
	next_unmap(&r->job);
}

/* ---- the end of a command, of a move ---- */

/* A transport without automatic sense asks for it by a command. */
static void finish(struct scsi_req *r)
{
	struct scsi_unit *u = r->unit;

	r->job.finished = true;
	r->job.dir = SCSI_NONE;
	if (r->job.status != SCSI_CHECK)
		r->job.n_sense = 0;
	if (!u->autosense && r->job.status == SCSI_CHECK) {
		memcpy(u->sense, r->job.sense, SCSI_SENSE);
		u->n_sense = SCSI_SENSE;
	}
}

static void moved(struct scsi_req *r)
{
	r->pending = false;
	if (r->job.kind == JOB_NONE || ((r->job.kind == JOB_REPLY || r->job.kind == JOB_READ) && r->job.at >= r->job.len))
		finish(r);
	r->done(r);
}

/* ---- drives ---- */

static void step(struct scsi_req *r);

static void drive_done(struct drive_req *d)
{
	struct scsi_req *r = container_of(d, struct scsi_req, drive);
	struct scsi_job *j = &r->job;
	bool reading = d->op == DRIVE_READ;

	if (!d->ok) {
		scsi_fail(r, KEY_MEDIUM, reading ? ASC_READ_ERROR : ASC_WRITE_ERROR);
		moved(r);
		return;
	}
	if (d->op == DRIVE_FLUSH) {
		j->kind = JOB_NONE;
		moved(r);
		return;
	}
	j->lba += d->n;
	j->left -= d->n;
	if (reading || j->kind == JOB_WRITE) {
		j->at += r->moving;
		if (reading || j->left)
			moved(r);
		else
			step(r);
	} else {
		step(r);
	}
}

static void submit(struct scsi_req *r, enum drive_op op, uint64_t n, const struct iovec *iov, int niov)
{
	r->drive = (struct drive_req){
		.op = op, .at = r->job.lba, .n = (uint32_t)n, .iov = iov, .niov = niov,
		.unmap = op == DRIVE_ZERO && r->job.cdb[1] & 8, .done = drive_done,
	};
	drive_submit(r->unit->drive, &r->drive);
}

/* Changes that must be safe before they are told of: FUA, or the cache is off. */
static bool must_flush(const struct scsi_req *r)
{
	uint8_t op = r->job.cdb[0], kind = r->job.kind;
	bool has_fua = op == 0x2a || op == 0xaa || op == 0x8a;
	bool changes = kind == JOB_WRITE || kind == JOB_DISCARD || kind == JOB_ZERO || kind == JOB_SAME;

	return changes && (!r->unit->write_cache || (has_fua && r->job.cdb[1] & 8));
}

/* What goes on without data of the transport. */
static void step(struct scsi_req *r)
{
	struct scsi_job *j = &r->job;
	uint64_t n;

	if (j->kind == JOB_DISCARD)
		next_unmap(j);
	n = min_u64(j->left, STEP);
	switch (n || j->kind == JOB_FLUSH ? j->kind : JOB_NONE) {
	case JOB_FLUSH:
		submit(r, DRIVE_FLUSH, 0, NULL, 0);
		return;
	case JOB_DISCARD:
		submit(r, DRIVE_DISCARD, n, NULL, 0);
		return;
	case JOB_ZERO:
		submit(r, DRIVE_ZERO, n, NULL, 0);
		return;
	case JOB_SAME:
		r->iov = (struct iovec){ j->buf, SCSI_BUF };
		n = min_u64(n, SCSI_BUF / SECTOR);
		r->iov.iov_len = n * SECTOR;
		submit(r, DRIVE_WRITE, n, &r->iov, 1);
		return;
	}
	if (must_flush(r)) {
		submit(r, DRIVE_FLUSH, 0, NULL, 0);
		return;
	}
	j->kind = JOB_NONE;
	moved(r);
}

/* ---- moving ---- */

static void copy(uint8_t *buf, const struct iovec *iov, int niov, uint64_t n, bool to_iov)
{
	for (int i = 0; i < niov && n; i++) {
		size_t k = min_u64(iov[i].iov_len, n);
		if (to_iov)
			memcpy(iov[i].iov_base, buf, k);
		else
			memcpy(buf, iov[i].iov_base, k);
		buf += k;
		n -= k;
	}
}

static const struct scsi_command *find(const struct scsi_unit *u, uint8_t op)
{
	const struct scsi_command *tables[] = { u->cd ? scsi_cd_commands : scsi_disk_commands, scsi_common_commands };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct scsi_command *c = tables[i]; c->run; c++)
			if (c->op == op)
				return c;
	return NULL;
}

static void parameter_data(struct scsi_req *r, const struct iovec *iov, int niov, uint64_t n)
{
	struct scsi_job *j = &r->job;
	const struct scsi_command *c = find(r->unit, j->cdb[0]);

	copy(j->buf + j->n_buf, iov, niov, n, false);
	j->n_buf += (uint32_t)n;
	j->at += n;
	if (j->at < j->len) {
		moved(r);
		return;
	}
	if (c && c->parameters)
		c->parameters(r, j->cdb);
	else
		scsi_good(r);
	step(r);
}

void scsi_move(struct scsi_req *r, const struct iovec *iov, int niov, uint64_t n)
{
	struct scsi_job *j = &r->job;

	n = min_u64(n, j->len - j->at);
	r->pending = true;
	r->moving = n;
	switch (j->kind) {
	case JOB_REPLY:
		copy(j->buf + j->at, iov, niov, n, true);
		j->at += n;
		moved(r);
		break;
	case JOB_PARAM:
		parameter_data(r, iov, niov, n);
		break;
	case JOB_READ:
		submit(r, DRIVE_READ, n / SECTOR, iov, niov);
		break;
	case JOB_WRITE:
		submit(r, DRIVE_WRITE, n / SECTOR, iov, niov);
		break;
	default:
		step(r);
	}
}

void scsi_cancel(struct scsi_req *r)
{
	if (r->pending)
		drive_cancel(&r->drive);
	r->pending = false;
	r->job.finished = true;
	r->job.kind = JOB_NONE;
}

/* ---- commands ---- */

static uint16_t attention_code(const struct scsi_unit *u)
{
	return u->attention == ATTENTION_CHANGED ? ASC_CHANGED :
	       u->attention == ATTENTION_RESIZED ? ASC_RESIZED : ASC_POWER_ON;
}

static bool ready(struct scsi_req *r, const struct scsi_command *c)
{
	struct scsi_unit *u = r->unit;
	bool present = drive_present(u->drive) && !u->tray_open;

	if (u->attention && !(c->flags & SCSI_CALM)) {
		scsi_fail(r, KEY_ATTENTION, attention_code(u));
		u->attention = 0;
		return false;
	}
	if (c->flags & (SCSI_MEDIUM | SCSI_CHANGES) && !present) {
		scsi_fail(r, KEY_NOT_READY, u->tray_open ? ASC_TRAY_OPEN : ASC_NO_MEDIUM);
		return false;
	}
	if (c->flags & SCSI_CHANGES && drive_readonly(u->drive)) {
		scsi_fail(r, KEY_PROTECT, ASC_PROTECTED);
		return false;
	}
	return true;
}

void scsi_begin(struct scsi_req *r)
{
	const struct scsi_command *c = find(r->unit, r->job.cdb[0]);

	r->job.finished = r->job.n_sense = 0;
	r->job.at = r->job.left = r->job.lba = 0;
	r->job.n_buf = 0;
	r->pending = false;
	r->drive.drive = NULL;		/* nothing is submitted */
	r->drive.state = DRIVE_IDLE;
	scsi_good(r);
	if (!c) {
		log_guest("scsi: no command %02x", r->job.cdb[0]);
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_COMMAND);
	} else if (ready(r, c)) {
		c->run(r, r->job.cdb);
		if ((r->job.kind == JOB_READ || r->job.kind == JOB_WRITE) && r->job.left > SCSI_MAX_SECTORS)
			scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
	}
}

bool scsi_job_valid(const struct scsi_unit *u, const struct scsi_job *j)
{
	uint64_t all = drive_sectors(u->drive);

	return j->kind <= JOB_SAME && j->dir <= SCSI_OUT && j->at <= j->len && j->n_buf <= SCSI_BUF - 8 &&
	       j->n_sense <= SCSI_SENSE &&
	       (j->kind == JOB_NONE || j->kind == JOB_READ || j->kind == JOB_WRITE || j->len <= SCSI_BUF - 8) &&
	       (j->kind != JOB_DISCARD || j->n_buf <= j->len) && (j->kind != JOB_PARAM || j->n_buf == j->at) &&
	       (j->finished || j->kind < JOB_READ || (j->left <= all && j->lba <= all - j->left));
}

/* ---- life ---- */

static void announce(struct scsi_unit *u, uint8_t attention)
{
	u->attention = attention;
	if (u->changed)
		u->changed(u, attention_code(u));
}

static void on_resized(void *opaque)
{
	announce(opaque, ATTENTION_RESIZED);
}

static void on_changed(void *opaque)
{
	struct scsi_unit *u = opaque;

	u->tray_open = false;
	u->media_event = drive_present(u->drive) ? 2 : 3;	/* new medium, medium gone */
	announce(u, ATTENTION_CHANGED);
}

static bool is_locked(void *opaque)
{
	return ((struct scsi_unit *)opaque)->locked;
}

static bool is_open(void *opaque)
{
	return ((struct scsi_unit *)opaque)->tray_open;
}

static void set_tray(void *opaque, bool open)
{
	struct scsi_unit *u = opaque;

	u->tray_open = open;
	u->media_event = open ? 3 : 2;
	if (!open)
		announce(u, ATTENTION_CHANGED);
}

static void on_ask(void *opaque)
{
	((struct scsi_unit *)opaque)->media_event = 1;	/* somebody wants to eject */
}

bool scsi_unit_init(struct scsi_unit *u, struct err *e)
{
	if (!u->drive)
		return err_set(e, "a disk needs drive=ID of a -drive if=none,id=ID");
	u->cd |= drive_is_cdrom(u->drive);
	if (!u->cd && !drive_present(u->drive))
		return err_set(e, "a disk needs an image");
	u->user = (struct drive_user){
		.name = u->dev->id, .changed = on_changed, .resized = on_resized, .locked = is_locked, .tray_open = is_open,
		.set_tray = u->cd ? set_tray : NULL, .ask_eject = on_ask, .removable = u->cd,
	};
	if (drive_attach(u->drive, &u->user, u, e))
		return true;
	u->drive = NULL;
	return false;
}

void scsi_unit_fini(struct scsi_unit *u)
{
	if (u->drive && u->user.name)
		drive_detach(u->drive);
	u->user.name = NULL;
}

void scsi_unit_reset(struct scsi_unit *u)
{
	u->attention = ATTENTION_POWER_ON;
	u->locked = u->tray_open = u->media_event = 0;
	u->write_cache = 1;
	u->n_sense = 0;
}

void scsi_unit_bus_reset(struct scsi_unit *u)
{
	u->attention = ATTENTION_POWER_ON;
	u->locked = 0;
	u->write_cache = 1;
}

bool scsi_unit_loaded(const struct scsi_unit *u, struct err *e)
{
	return u->n_sense <= SCSI_SENSE || err_set(e, "impossible sense data");
}
