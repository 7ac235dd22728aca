/*
 * SCSI commands of optical drives (MMC): one data track on a disc of 2048-byte sectors.
 *
 * Not modelled: audio, writing, several sessions, DVD structures other than the
 * physical format of a disc larger than a CD.
 * Source: MMC-6 (T10), 6.
 */
#include "hw/scsi/scsi_priv.h"

#define CD_MAX_SECTORS	(80u * 60 * 75)		/* more: a DVD */
#define LEAD_OUT	0xaa

static uint32_t sectors(const struct scsi_unit *u)
{
	return (uint32_t)min_u64(scsi_blocks(u), UINT32_MAX);
}

static bool is_dvd(const struct scsi_unit *u)
{
	return sectors(u) > CD_MAX_SECTORS;
}

static void bad_field(struct scsi_req *r)
{
	scsi_fail(r, KEY_ILLEGAL, ASC_BAD_FIELD);
}

/* ---- the drive ---- */

static void put_feature(uint8_t **p, uint16_t code, uint8_t flags, const uint8_t *data, uint8_t n)
{
	put16(*p, code);
	(*p)[2] = flags;
	(*p)[3] = n;
	memcpy(*p + 4, data, n);
	*p += 4 + n;
}

static void cmd_configuration(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 64), *q = p + 8;
	bool disc = drive_present(r->unit->drive), dvd = is_dvd(r->unit);
	uint8_t profiles[8] = { 0x00, 0x10, disc && dvd, 0, 0x00, 0x08, disc && !dvd, 0 };
	static const uint8_t core[8] = { 0, 0, 0, 1, 1 }, medium[4] = { 0x29 };

	put16(p + 6, disc ? dvd ? 0x10 : 0x08 : 0);
	put_feature(&q, 0, 3, profiles, 8);
	put_feature(&q, 1, 0x0b, core, 8);
	put_feature(&q, 3, 3, medium, 4);
	put32(p, (uint32_t)(q - p) - 4);
	scsi_reply(r, (uint32_t)(q - p), be16(c + 7));
}

static void cmd_event_status(struct scsi_req *r, const uint8_t *c)
{
	struct scsi_unit *u = r->unit;
	uint8_t *p = scsi_clear(r, 8);

	if (!(c[1] & 1)) {		/* asynchronous operation */
		bad_field(r);
		return;
	}
	p[3] = 0x10;			/* only media events are known */
	if (!(c[4] & 0x10)) {
		p[2] = 0x80;
		put16(p, 2);
		scsi_reply(r, 4, be16(c + 7));
		return;
	}
	put16(p, 6);
	p[2] = 4;
	p[4] = u->media_event;
	p[5] = (uint8_t)((drive_present(u->drive) ? 2 : 0) | (u->tray_open ? 1 : 0));
	u->media_event = 0;
	scsi_reply(r, 8, be16(c + 7));
}

static void cmd_mechanism(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 8);

	p[5] = 1;			/* slots */
	scsi_reply(r, 8, be16(c + 8));
}

static void cmd_nothing(struct scsi_req *r, const uint8_t *c)
{
	(void)c;
	scsi_good(r);
}

/* ---- the disc ---- */

/* An address as minute, second, frame, or as a number. */
static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	if (!msf) {
		put32(p, lba);
		return;
	}
	lba += 150;
	p[0] = 0;
	p[1] = (uint8_t)(lba / (75 * 60));
	p[2] = (uint8_t)(lba / 75 % 60);
	p[3] = (uint8_t)(lba % 75);
}

static uint32_t toc_tracks(const struct scsi_unit *u, uint8_t *p, bool msf, uint8_t start)
{
	uint8_t *q = p + 4;

	p[2] = p[3] = 1;
	if (start <= 1) {
		q[1] = 0x14;		/* data track */
		q[2] = 1;
		put_address(q + 4, 0, msf);
		q += 8;
	}
	q[1] = 0x14;
	q[2] = LEAD_OUT;
	put_address(q + 4, sectors(u), msf);
	return (uint32_t)(q + 8 - p);
}

static uint32_t toc_sessions(uint8_t *p, bool msf)
{
	p[2] = p[3] = 1;
	p[5] = 0x14;
	p[6] = 1;
	put_address(p + 8, 0, msf);
	return 12;
}

static uint32_t toc_full(const struct scsi_unit *u, uint8_t *p)
{
	static const uint8_t points[4] = { 0xa0, 0xa1, 0xa2, 1 };

	p[2] = p[3] = 1;
	for (int k = 0; k < 4; k++) {
		uint8_t *q = p + 4 + 11 * k, at[4];
		q[0] = 1;
		q[1] = 0x14;
		q[3] = points[k];
		put_address(at, k == 2 ? sectors(u) : 0, true);
		if (k < 2)
			q[8] = 1;	/* first, last track */
		else
			memcpy(q + 8, at + 1, 3);
	}
	return 4 + 4 * 11;
}

static void cmd_toc(struct scsi_req *r, const uint8_t *c)
{
	unsigned format = c[2] & 0x0f ? c[2] & 0x0f : c[9] >> 6;
	uint8_t *p = scsi_clear(r, 64);
	bool msf = c[1] & 2;
	uint32_t n;

	if (format > 2 || (!format && c[6] > 1 && c[6] != LEAD_OUT)) {
		bad_field(r);
		return;
	}
	n = format == 0 ? toc_tracks(r->unit, p, msf, c[6]) : format == 1 ? toc_sessions(p, msf) : toc_full(r->unit, p);
	put16(p, n - 2);
	scsi_reply(r, n, be16(c + 7));
}

static void cmd_subchannel(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 4);

	p[1] = 0x15;			/* no audio status */
	scsi_reply(r, 4, be16(c + 7));
}

static void cmd_disc_info(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 34);

	put16(p, 32);
	p[2] = 0x0e;			/* last session complete, finalised */
	p[3] = p[4] = p[5] = p[6] = 1;
	p[7] = 0x20;			/* unrestricted use */
	scsi_reply(r, 34, be16(c + 7));
}

static void cmd_track_info(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 28);

	put16(p, 26);
	p[2] = p[3] = 1;
	p[5] = 0x04;			/* data, uninterrupted */
	p[6] = 0x01;			/* mode 1 */
	put32(p + 24, sectors(r->unit));
	scsi_reply(r, 28, be16(c + 7));
}

static void cmd_header(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 8);

	p[0] = 1;			/* mode 1 data */
	put_address(p + 4, be32(c + 2), c[1] & 2);
	scsi_reply(r, 8, be16(c + 7));
}

static void cmd_dvd_structure(struct scsi_req *r, const uint8_t *c)
{
	uint8_t *p = scsi_clear(r, 2052);

	if (!is_dvd(r->unit) || c[7] != 0) {
		bad_field(r);
		return;
	}
	put16(p, 2050);
	p[4] = 1;			/* DVD-ROM, version 1 */
	p[5] = 0x0f;			/* 120 mm, no maximum rate */
	p[6] = 1;			/* one layer, embossed */
	put32(p + 8, 0x30000);
	put32(p + 12, 0x30000 + sectors(r->unit) - 1);
	scsi_reply(r, 2052, be16(c + 8));
}

/* READ CD: only whole user data of a data sector. */
static void cmd_read_cd(struct scsi_req *r, const uint8_t *c)
{
	uint32_t n = (uint32_t)c[6] << 16 | be16(c + 7);

	if ((c[9] & 0xf8) == 0)
		scsi_good(r);
	else if ((c[9] & 0xf8) == 0x10)
		scsi_medium(r, JOB_READ, be32(c + 2), n);
	else
		bad_field(r);
}

const struct scsi_command scsi_cd_commands[] = {
	{ 0x35, 0,           cmd_nothing },		/* SYNCHRONIZE CACHE */
	{ 0x42, SCSI_MEDIUM, cmd_subchannel },
	{ 0x43, SCSI_MEDIUM, cmd_toc },
	{ 0x44, SCSI_MEDIUM, cmd_header },
	{ 0x46, SCSI_CALM,   cmd_configuration },
	{ 0x4a, SCSI_CALM,   cmd_event_status },
	{ 0x51, SCSI_MEDIUM, cmd_disc_info },
	{ 0x52, SCSI_MEDIUM, cmd_track_info },
	{ 0xad, SCSI_MEDIUM, cmd_dvd_structure },
	{ 0xbb, 0,           cmd_nothing },		/* SET CD SPEED */
	{ 0xbd, 0,           cmd_mechanism },
	{ 0xbe, SCSI_MEDIUM, cmd_read_cd },
	{ 0 }
};
