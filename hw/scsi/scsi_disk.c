/*
 * SCSI commands of every unit (SPC) and of disks (SBC).
 *
 * Not modelled: protection information, persistent reservations, thin provisioning
 * thresholds, log pages, mode pages other than caching, control and (of an optical
 * drive) error recovery and capabilities; MODE SELECT changes only the write cache.
 * Source: SPC-4 (6: commands, 7.5: mode pages, 7.8: VPD pages), SBC-3 (5, 6).
 */
#include "hw/scsi/scsi_priv.h"

#define MAX_UNMAP	64u		/* descriptors; fit into SCSI_BUF */
#define MAX_UNMAP_BLOCKS (1u << 22)
#define MAX_SAME	(1u << 22)

/* ---- INQUIRY ---- */

static void put_text(uint8_t *p, const char *s, size_t n)
{
	size_t k = s ? strnlen(s, n) : 0;

	memcpy(p, s ? s : "", k);
	memset(p + k, ' ', n - k);
}

static void inquiry_standard(struct scsi_req *r, uint32_t room)
{
	const struct scsi_unit *u = r->unit;
	uint8_t *p = scsi_clear(r, 36);

	p[0] = u->cd ? 5 : 0;
	p[1] = u->user.removable ? 0x80 : 0;
	p[2] = 5;			/* SPC-3 */
	p[3] = 2;			/* response format */
	p[4] = 31;
	p[7] = u->autosense ? 0x12 : 0;	/* command queueing, SYNC */
	put_text(p + 8, u->vendor, 8);
	put_text(p + 16, u->product, 16);
	put_text(p + 32, u->version, 4);
	scsi_reply(r, 36, room);
}

/* Names: vendor's text with the serial number, and a number of the whole world if there is one. */
static uint32_t vpd_names(const struct scsi_unit *u, uint8_t *p)
{
	const char *name = u->serial ? u->serial : drive_id(u->drive);
	size_t n = strnlen(name, 36);
	uint8_t *q = p + 4;

	q[0] = 2;			/* ASCII */
	q[3] = (uint8_t)(8 + n);
	q[1] = 1;			/* T10 vendor identification */
	put_text(q + 4, u->vendor, 8);
	memcpy(q + 12, name, n);
	q += 12 + n;
	if (u->wwn) {
		q[0] = 1;
		q[1] = 3;		/* NAA */
		q[3] = 8;
		put64(q + 4, u->wwn);
		q += 12;
	}
	return (uint32_t)(q - p);
}

static uint32_t vpd_limits(uint8_t *p)
{
	put32(p + 8, SCSI_MAX_SECTORS);
	put32(p + 20, MAX_UNMAP_BLOCKS);
	put32(p + 24, MAX_UNMAP);
	put32(p + 28, 1);		/* optimal granularity */
	put64(p + 36, MAX_SAME);
	return 64;
}

static void inquiry_page(struct scsi_req *r, uint8_t page, uint32_t room)
{
	const struct scsi_unit *u = r->unit;
	static const uint8_t disk_pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	uint8_t *p = scsi_clear(r, 256);
	const char *serial = u->serial ? u->serial : "";
	uint32_t n;

	switch (u->cd && page >= 0xb0 ? 0xff : page) {
	case 0x00:
		n = 4 + (u->cd ? 3 : (uint32_t)sizeof(disk_pages));
		memcpy(p + 4, disk_pages, n - 4);
		break;
	case 0x80:
		n = 4 + (uint32_t)strnlen(serial, 36);
		memcpy(p + 4, serial, n - 4);
		break;
	case 0x83: n = vpd_names(u, p); break;
	case 0xb0: n = vpd_limits(p); break;
	case 0xb1:
		n = 64;
		put16(p + 4, 1);	/* does not rotate */
		break;
	case 0xb2:
		n = 8;
		p[5] = 0xe0;		/* UNMAP, WRITE SAME (16) and (10) give space back */
		p[6] = 2;		/* thin */
		break;
	default:
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
		return;
	}
	p[0] = u->cd ? 5 : 0;
	p[1] = page;
	put16(p + 2, n - 4);
	scsi_reply(r, n, room);
}

static void cmd_inquiry(struct scsi_req *r, const uint8_t *c)
{
	if (c[1] & 1)
		inquiry_page(r, c[2], be16(c + 3));
	else if (c[2])
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
	else
		inquiry_standard(r, be16(c + 3));
}

static void cmd_request_sense(struct scsi_req *r, const uint8_t *c)
{
	struct scsi_unit *u = r->unit;
	uint8_t *p = scsi_clear(r, SCSI_SENSE);

	if (u->n_sense) {
		memcpy(p, u->sense, SCSI_SENSE);
	} else {
		p[0] = 0x70;
		p[7] = SCSI_SENSE - 8;
	}
	u->n_sense = 0;
	scsi_reply(r, SCSI_SENSE, c[4]);
}

/* ---- mode pages ---- */

static uint32_t page_caching(const struct scsi_unit *u, uint8_t *p, bool changeable)
{
	p[0] = 0x08;
	p[1] = 18;
	p[2] = changeable || u->write_cache ? 4 : 0;
	return 20;
}

static uint32_t page_control(uint8_t *p)
{
	p[0] = 0x0a;
	p[1] = 10;
	return 12;
}

static uint32_t page_recovery(uint8_t *p, bool changeable)
{
	p[0] = 0x01;
	p[1] = 10;
	p[2] = changeable ? 0 : 0x80;	/* replaces bad blocks by itself */
	return 12;
}

static uint32_t page_capabilities(const struct scsi_unit *u, uint8_t *p, bool changeable)
{
	p[0] = 0x2a;
	p[1] = 20;
	if (changeable)
		return 22;
	p[2] = 0x3b;			/* reads CD-R, CD-RW, DVD-ROM, DVD-R, method 2 */
	p[4] = 0x70;			/* several sessions, mode 2 */
	p[6] = (uint8_t)(0x29 | (u->locked ? 2 : 0));	/* tray, lock, eject */
	put16(p + 8, 706);		/* kB/s at most */
	put16(p + 10, 2);
	put16(p + 12, 512);		/* kB of buffer */
	put16(p + 14, 706);
	return 22;
}

/* Pages of a request; 0: there is none such. */
static uint32_t pages(const struct scsi_unit *u, uint8_t page, uint8_t *p, bool changeable)
{
	bool all = page == 0x3f;
	uint8_t *q = p;

	if (all || page == 0x01)
		q += page_recovery(q, changeable);
	if (!u->cd && (all || page == 0x08))
		q += page_caching(u, q, changeable);
	if (all || page == 0x0a)
		q += page_control(q);
	if (u->cd && (all || page == 0x2a))
		q += page_capabilities(u, q, changeable);
	return (uint32_t)(q - p);
}

static void cmd_mode_sense(struct scsi_req *r, const uint8_t *c)
{
	const struct scsi_unit *u = r->unit;
	bool ten = c[0] == 0x5a, block = !u->cd && !(c[1] & 8);
	uint32_t head = ten ? 8 : 4, room = ten ? be16(c + 7) : c[4], n;
	uint8_t *p = scsi_clear(r, 256), *q = p + head;

	if (c[2] >> 6 == 3) {
		scsi_fail(r, KEY_ILLEGAL, ASC_SAVING);
		return;
	}
	if (block) {
		put32(q, (uint32_t)min_u64(scsi_blocks(u), ten ? UINT32_MAX : 0xffffff));
		put32(q + 4, scsi_block(u));
		q += 8;
	}
	n = pages(u, c[2] & 0x3f, q, c[2] >> 6 == 1);
	if (!n) {
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
		return;
	}
	n += (uint32_t)(q - p);
	/* Write protected; DPO and FUA are known. */
	p[ten ? 3 : 2] = u->cd ? 0 : (uint8_t)((drive_readonly(u->drive) ? 0x80 : 0) | 0x10);
	p[ten ? 2 : 1] = !u->cd ? 0 : drive_present(u->drive) ? 0x01 : 0x70;
	if (ten) {
		put16(p, n - 2);
		put16(p + 6, block ? 8 : 0);
	} else {
		p[0] = (uint8_t)(n - 1);
		p[3] = block ? 8 : 0;
	}
	scsi_reply(r, n, room);
}

static void cmd_mode_select(struct scsi_req *r, const uint8_t *c)
{
	scsi_want(r, c[0] == 0x55 ? be16(c + 7) : c[4]);
}

/* Only the write cache can be changed; other pages must stay as they are. */
static void mode_select(struct scsi_req *r, const uint8_t *c)
{
	struct scsi_unit *u = r->unit;
	const uint8_t *p = r->job.buf;
	bool ten = c[0] == 0x55;
	uint32_t n = r->job.n_buf, at = ten ? 8 : 4;

	if (n && n < at) {
		scsi_fail(r, KEY_ILLEGAL, ASC_PARAM_LENGTH);
		return;
	}
	for (at += n ? (ten ? be16(p + 6) : p[3]) : 0; at + 2 <= n; at += 2u + p[at + 1]) {
		if (at + 2u + p[at + 1] > n) {
			scsi_fail(r, KEY_ILLEGAL, ASC_PARAM_LENGTH);
			return;
		}
		if ((p[at] & 0x3f) == 0x08 && p[at + 1] >= 1)
			u->write_cache = p[at + 2] >> 2 & 1;
	}
	scsi_good(r);
}

/* ---- state of the unit ---- */

static void cmd_nothing(struct scsi_req *r, const uint8_t *c)
{
	(void)c;
	scsi_good(r);
}

static void cmd_start_stop(struct scsi_req *r, const uint8_t *c)
{
	struct scsi_unit *u = r->unit;
	bool eject = (c[4] & 3) == 2, load = (c[4] & 3) == 3;

	scsi_good(r);
	if (!u->user.removable || c[4] >> 4)
		return;
	if (eject && u->locked)
		scsi_fail(r, KEY_ILLEGAL, ASC_LOCKED);
	else if ((eject || load) && u->tray_open != eject) {
		u->tray_open = eject;
		drive_tray_moved(u->drive, eject);
	}
}

static void cmd_prevent(struct scsi_req *r, const uint8_t *c)
{
	r->unit->locked = c[4] & 1;
	scsi_good(r);
}

static void cmd_diagnostic(struct scsi_req *r, const uint8_t *c)
{
	scsi_want(r, be16(c + 3));
}

/* A unit alone has number 0; transports with several answer for themselves. */
static void cmd_luns(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 16);

	put32(p, 8);
	scsi_reply(r, 16, be32(c + 6));
}

/* ---- capacity ---- */

static void cmd_capacity10(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 8);

	(void)c;
	put32(p, (uint32_t)min_u64(scsi_blocks(r->unit) - 1, UINT32_MAX));
	put32(p + 4, scsi_block(r->unit));
	scsi_reply(r, 8, 8);
}

static void cmd_service_in(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 32);

	if ((c[1] & 31) != 0x10) {
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
		return;
	}
	put64(p, scsi_blocks(r->unit) - 1);
	put32(p + 8, scsi_block(r->unit));
	p[14] = r->unit->cd ? 0 : 0x80;	/* thin */
	scsi_reply(r, 32, be32(c + 10));
}

/* ---- reading and writing ---- */

struct extent {
	uint64_t lba, n;
};

/* Address and length, by the size of the command. */
static struct extent extent(const uint8_t *c)
{
	uint32_t n6 = c[4] ? c[4] : 256;

	switch (c[0] >> 5) {
	case 0:	return (struct extent){ (uint32_t)(c[1] & 31) << 16 | be16(c + 2), n6 };
	case 4:	return (struct extent){ be64(c + 2), be32(c + 10) };
	case 5:	return (struct extent){ be32(c + 2), be32(c + 6) };
	default: return (struct extent){ be32(c + 2), be16(c + 7) };
	}
}

static void cmd_read(struct scsi_req *r, const uint8_t *c)
{
	struct extent x = extent(c);

	scsi_medium(r, JOB_READ, x.lba, x.n);
}

static void cmd_write(struct scsi_req *r, const uint8_t *c)
{
	struct extent x = extent(c);

	scsi_medium(r, JOB_WRITE, x.lba, x.n);
}

/* Without comparing, whatever can be read is verified. */
static void cmd_verify(struct scsi_req *r, const uint8_t *c)
{
	struct extent x = extent(c);

	if (c[1] & 6) {
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
		return;
	}
	scsi_medium(r, JOB_READ, x.lba, x.n);
	if (r->job.kind == JOB_READ)
		scsi_good(r);
}

static void cmd_seek(struct scsi_req *r, const uint8_t *c)
{
	scsi_medium(r, JOB_READ, extent(c).lba, 1);
	if (r->job.kind == JOB_READ)
		scsi_good(r);
}

static void cmd_sync(struct scsi_req *r, const uint8_t *c)
{
	(void)c;
	scsi_good(r);
	if (drive_present(r->unit->drive))
		r->job.kind = JOB_FLUSH;
}

/* ---- giving space back ---- */

static void cmd_unmap(struct scsi_req *r, const uint8_t *c)
{
	scsi_want(r, be16(c + 7));
}

/* Descriptors of 16 bytes follow a head of 8; scsi.c takes one after the other. */
static void unmap(struct scsi_req *r, const uint8_t *c)
{
	const uint8_t *p = r->job.buf;
	uint32_t n = r->job.n_buf >= 8 ? (uint32_t)min_u64(be16(p + 2), r->job.n_buf - 8) / 16 : 0;

	(void)c;
	scsi_good(r);
	if (n > MAX_UNMAP || (r->job.n_buf && r->job.n_buf < 8)) {
		scsi_fail(r, KEY_ILLEGAL, ASC_PARAM_LENGTH);
		return;
	}
	for (uint32_t i = 0; i < n && r->job.status == SCSI_GOOD; i++) {
		const uint8_t *d = p + 8 + 16 * i;
		if (be32(d + 8) > MAX_UNMAP_BLOCKS)
			scsi_fail(r, KEY_ILLEGAL, ASC_BAD_PARAMETER);
		else
			scsi_medium(r, JOB_DISCARD, be64(d), be32(d + 8));
	}
	if (r->job.status == SCSI_GOOD && n)
		scsi_unmap(r, n);
}

static void cmd_write_same(struct scsi_req *r, const uint8_t *c)
{
	struct extent x = extent(c);
	bool no_data = c[0] == 0x93 && c[1] & 1;

	scsi_medium(r, JOB_ZERO, x.lba, x.n);
	if (r->job.status != SCSI_GOOD)
		return;
	if (!x.n || x.n > MAX_SAME)
		scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
	else if (!no_data)
		scsi_want(r, SECTOR);
}

static void write_same(struct scsi_req *r, const uint8_t *c)
{
	struct extent x = extent(c);
	bool zero = true;

	for (uint32_t i = 0; i < SECTOR; i++)
		zero &= !r->job.buf[i];
	scsi_medium(r, zero ? JOB_ZERO : JOB_SAME, x.lba, x.n);
	for (uint32_t at = SECTOR; at < SCSI_BUF && !zero; at += SECTOR)
		memcpy(r->job.buf + at, r->job.buf, SECTOR);
}

/* ---- the tables ---- */

const struct scsi_command scsi_common_commands[] = {
	{ 0x00, SCSI_MEDIUM,  cmd_nothing },		/* TEST UNIT READY */
	{ 0x03, SCSI_CALM,    cmd_request_sense },
	{ 0x08, SCSI_MEDIUM,  cmd_read },		/* READ (6) */
	{ 0x0b, SCSI_MEDIUM,  cmd_seek },
	{ 0x12, SCSI_CALM,    cmd_inquiry },
	{ 0x15, 0,            cmd_mode_select, mode_select },
	{ 0x16, 0,            cmd_nothing },		/* RESERVE, RELEASE (6) */
	{ 0x17, 0,            cmd_nothing },
	{ 0x1a, 0,            cmd_mode_sense },
	{ 0x1b, 0,            cmd_start_stop },
	{ 0x1d, 0,            cmd_diagnostic },
	{ 0x1e, 0,            cmd_prevent },
	{ 0x25, SCSI_MEDIUM,  cmd_capacity10 },
	{ 0x28, SCSI_MEDIUM,  cmd_read },		/* READ (10) */
	{ 0x2b, SCSI_MEDIUM,  cmd_seek },
	{ 0x2f, SCSI_MEDIUM,  cmd_verify },
	{ 0x35, 0,            cmd_sync },
	{ 0x55, 0,            cmd_mode_select, mode_select },
	{ 0x56, 0,            cmd_nothing },		/* RESERVE, RELEASE (10) */
	{ 0x57, 0,            cmd_nothing },
	{ 0x5a, 0,            cmd_mode_sense },
	{ 0x88, SCSI_MEDIUM,  cmd_read },		/* READ (16) */
	{ 0x8f, SCSI_MEDIUM,  cmd_verify },
	{ 0x91, 0,            cmd_sync },
	{ 0x9e, SCSI_MEDIUM,  cmd_service_in },
	{ 0xa0, SCSI_CALM,    cmd_luns },
	{ 0xa8, SCSI_MEDIUM,  cmd_read },		/* READ (12) */
	{ 0xaf, SCSI_MEDIUM,  cmd_verify },
	{ 0 }
};

const struct scsi_command scsi_disk_commands[] = {
	{ 0x0a, SCSI_CHANGES, cmd_write },		/* WRITE (6), (10), (16), (12) */
	{ 0x2a, SCSI_CHANGES, cmd_write },
	{ 0x8a, SCSI_CHANGES, cmd_write },
	{ 0xaa, SCSI_CHANGES, cmd_write },
	{ 0x2e, SCSI_CHANGES, cmd_write },		/* WRITE AND VERIFY */
	{ 0x8e, SCSI_CHANGES, cmd_write },
	{ 0xae, SCSI_CHANGES, cmd_write },
	{ 0x41, SCSI_CHANGES, cmd_write_same, write_same },
	{ 0x93, SCSI_CHANGES, cmd_write_same, write_same },
	{ 0x42, SCSI_CHANGES, cmd_unmap, unmap },
	{ 0 }
};
