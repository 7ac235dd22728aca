/*
 * CD-ROM (MMC) commands: one data track on a disc of 2048-byte sectors.
 *
 * Not modelled: audio, writing, several sessions, DVD structures other than the
 * physical format of a disc larger than a CD.
 * Source: INCITS MMC-4 (T10 1545-D), SPC-3 (T10 1416-D); SFF-8020i for what old
 * drivers ask.
 */
#include <string.h>

#include "hw/disk/ide_priv.h"

enum { KEY_NOT_READY = 2, KEY_ILLEGAL = 5, KEY_ATTENTION = 6 };
#define ASC_BAD_COMMAND	0x20
#define ASC_BAD_FIELD	0x24
#define ASC_NO_MEDIUM	0x3a
#define ASC_CHANGED	0x28
#define ASC_SAVING	0x39
#define ASC_LOCKED	0x53

#define CD_MAX_SECTORS	(80u * 60 * 75)		/* more: a DVD */
#define LEAD_OUT	0xaa

static uint16_t be16(const uint8_t *p) { return __builtin_bswap16(ld16(p)); }
static uint32_t be32(const uint8_t *p) { return __builtin_bswap32(ld32(p)); }
static void put16(uint8_t *p, uint32_t v) { st16(p, __builtin_bswap16((uint16_t)v)); }
static void put32(uint8_t *p, uint32_t v) { st32(p, __builtin_bswap32(v)); }

static uint32_t cd_sectors(const struct ide *d, int i)
{
	return (uint32_t)min_u64(ide_sectors(d, i) * SECTOR / CD_SECTOR, UINT32_MAX);
}

static bool is_dvd(const struct ide *d, int i)
{
	return cd_sectors(d, i) > CD_MAX_SECTORS;
}

static uint8_t *reply(struct ide *d, int i, size_t n)
{
	memset(d->drive[i].buf, 0, n);
	return d->drive[i].buf;
}

static void bad_field(struct ide *d, int i)
{
	ide_packet_fail(d, i, KEY_ILLEGAL, ASC_BAD_FIELD, 0);
}

/* ---- about the drive ---- */

static void cmd_test_ready(struct ide *d, int i, const uint8_t *c)
{
	(void)c;
	ide_packet_good(d, i);		/* readiness was checked before */
}

static void cmd_request_sense(struct ide *d, int i, const uint8_t *c)
{
	struct ide_drive *v = &d->drive[i];
	uint8_t *p = reply(d, i, 18);
	p[0] = 0xf0;
	p[2] = v->sense_key;
	p[7] = 10;
	p[12] = v->asc;
	p[13] = v->ascq;
	v->sense_key = v->asc = v->ascq = 0;
	ide_packet_reply(d, i, 18, c[4]);
}

static void cmd_inquiry(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 36);
	if (c[1] & 1) {			/* vital product data */
		bad_field(d, i);
		return;
	}
	p[0] = 5;			/* CD-ROM */
	p[1] = 0x80;			/* removable */
	p[3] = 0x21;			/* ATAPI, response format 1 */
	p[4] = 31;
	memcpy(p + 8, "RHEA    ", 8);
	memcpy(p + 16, "RHEA DVD-ROM    ", 16);
	memcpy(p + 32, "1.0 ", 4);
	ide_packet_reply(d, i, 36, (uint32_t)c[3] << 8 | c[4]);
}

static void cmd_mode_sense(struct ide *d, int i, const uint8_t *c)
{
	struct ide_drive *v = &d->drive[i];
	bool ten = c[0] == 0x5a;
	uint32_t alloc = ten ? be16(c + 7) : c[4];
	unsigned head = ten ? 8 : 4, n;
	uint8_t *p = reply(d, i, 64), *q = p + head;

	if (c[2] >> 6 == 3) {
		ide_packet_fail(d, i, KEY_ILLEGAL, ASC_SAVING, 0);
		return;
	}
	switch (c[2] & 0x3f) {
	case 0x01:			/* error recovery */
		q[0] = 0x01;
		q[1] = 6;
		q[3] = 5;
		n = 8;
		break;
	case 0x0e:			/* audio control */
		q[0] = 0x0e;
		q[1] = 14;
		n = 16;
		break;
	case 0x2a:			/* capabilities */
	case 0x3f:
		q[0] = 0x2a;
		q[1] = 20;
		q[2] = 0x3b;		/* reads CD-R, CD-RW, DVD-ROM, DVD-R, method 2 */
		q[4] = 0x70;		/* multi-session, mode 2 */
		q[6] = (uint8_t)(0x29 | (v->locked ? 2 : 0));	/* tray, lock, eject */
		put16(q + 8, 706);	/* kB/s at most */
		put16(q + 10, 2);
		put16(q + 12, 512);	/* kB of buffer */
		put16(q + 14, 706);
		n = 22;
		break;
	default:
		bad_field(d, i);
		return;
	}
	if (ten)
		put16(p, head + n - 2);
	else
		p[0] = (uint8_t)(head + n - 1);
	p[ten ? 2 : 1] = ide_has_medium(d, i) ? 0x01 : 0x70;	/* medium type */
	ide_packet_reply(d, i, head + n, alloc);
}

static void cmd_mode_select(struct ide *d, int i, const uint8_t *c)
{
	uint32_t n = be16(c + 7);
	if (!n) {
		ide_packet_good(d, i);
		return;
	}
	struct ide_drive *v = &d->drive[i];
	v->count = 0;
	v->lba1 = (uint8_t)n;
	v->lba2 = (uint8_t)(n >> 8);
	v->dma = 0;
	ide_request(d, i, XFER_PACKET_OUT, n, false);
}

static void put_feature(uint8_t **p, uint16_t code, uint8_t flags, const uint8_t *data, uint8_t n)
{
	put16(*p, code);
	(*p)[2] = flags;
	(*p)[3] = n;
	memcpy(*p + 4, data, n);
	*p += 4 + n;
}

static void cmd_get_configuration(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 64), *q = p + 8;
	bool disc = ide_has_medium(d, i), dvd = is_dvd(d, i);
	uint8_t profiles[8] = { 0x00, 0x10, disc && dvd, 0, 0x00, 0x08, disc && !dvd, 0 };
	static const uint8_t core[8] = { 0, 0, 0, 2, 1 }, medium[4] = { 0x29 };

	put16(p + 6, disc ? dvd ? 0x10 : 0x08 : 0);
	put_feature(&q, 0, 3, profiles, 8);
	put_feature(&q, 1, 0x0b, core, 8);
	put_feature(&q, 3, 3, medium, 4);
	put32(p, (uint32_t)(q - p) - 4);
	ide_packet_reply(d, i, (uint32_t)(q - p), be16(c + 7));
}

static void cmd_event_status(struct ide *d, int i, const uint8_t *c)
{
	struct ide_drive *v = &d->drive[i];
	uint8_t *p = reply(d, i, 8);
	if (!(c[1] & 1)) {		/* asynchronous operation */
		bad_field(d, i);
		return;
	}
	p[3] = 0x10;			/* only media events are supported */
	if (!(c[4] & 0x10)) {
		p[2] = 0x80;
		put16(p, 2);
		ide_packet_reply(d, i, 4, be16(c + 7));
		return;
	}
	put16(p, 6);
	p[2] = 4;
	p[4] = v->media_event;
	p[5] = (uint8_t)((ide_has_medium(d, i) ? 2 : 0) | (v->tray_open ? 1 : 0));
	v->media_event = 0;
	ide_packet_reply(d, i, 8, be16(c + 7));
}

static void cmd_mechanism(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 8);
	p[5] = 1;			/* slots */
	ide_packet_reply(d, i, 8, be16(c + 8));
}

static void cmd_nothing(struct ide *d, int i, const uint8_t *c)
{
	(void)c;
	ide_packet_good(d, i);
}

/* ---- the tray ---- */

static void cmd_start_stop(struct ide *d, int i, const uint8_t *c)
{
	struct ide_drive *v = &d->drive[i];
	bool eject = (c[4] & 3) == 2, load = (c[4] & 3) == 3;
	if (eject && v->locked) {
		ide_packet_fail(d, i, KEY_ILLEGAL, ASC_LOCKED, 2);
		return;
	}
	if ((eject || load) && v->tray_open != eject) {
		v->tray_open = eject;
		drive_tray_moved(d->medium[i].drive, eject);
	}
	ide_packet_good(d, i);
}

static void cmd_prevent(struct ide *d, int i, const uint8_t *c)
{
	d->drive[i].locked = c[4] & 1;
	ide_packet_good(d, i);
}

/* ---- about the disc ---- */

static void cmd_capacity(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 8);
	(void)c;
	put32(p, cd_sectors(d, i) - 1);
	put32(p + 4, CD_SECTOR);
	ide_packet_reply(d, i, 8, 8);
}

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

static uint32_t toc_tracks(struct ide *d, int i, uint8_t *p, bool msf, uint8_t start)
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
	put_address(q + 4, cd_sectors(d, i), msf);
	q += 8;
	return (uint32_t)(q - p);
}

static uint32_t toc_full(struct ide *d, int i, uint8_t *p)
{
	static const uint8_t points[4] = { 0xa0, 0xa1, 0xa2, 1 };
	p[2] = p[3] = 1;
	for (int k = 0; k < 4; k++) {
		uint8_t *q = p + 4 + 11 * k, at[4];
		q[0] = 1;
		q[1] = 0x14;
		q[3] = points[k];
		put_address(at, k == 2 ? cd_sectors(d, i) : 0, true);
		if (k < 2)
			q[8] = 1;	/* first, last track */
		else
			memcpy(q + 8, at + 1, 3);
	}
	return 4 + 4 * 11;
}

static void cmd_toc(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 64);
	bool msf = c[1] & 2;
	unsigned format = c[2] & 0x0f ? c[2] & 0x0f : c[9] >> 6;
	uint32_t n;
	switch (format) {
	case 0:
		if (c[6] > 1 && c[6] != LEAD_OUT) {
			bad_field(d, i);
			return;
		}
		n = toc_tracks(d, i, p, msf, c[6]);
		break;
	case 1:				/* sessions */
		p[2] = p[3] = 1;
		p[5] = 0x14;
		p[6] = 1;
		put_address(p + 8, 0, msf);
		n = 12;
		break;
	case 2:
		n = toc_full(d, i, p);
		break;
	default:
		bad_field(d, i);
		return;
	}
	put16(p, n - 2);
	ide_packet_reply(d, i, n, be16(c + 7));
}

static void cmd_subchannel(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 4);
	p[1] = 0x15;			/* no audio status */
	ide_packet_reply(d, i, 4, be16(c + 7));
}

static void cmd_disc_info(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 34);
	put16(p, 32);
	p[2] = 0x0e;			/* last session complete, finalized */
	p[3] = p[4] = p[5] = p[6] = 1;
	p[7] = 0x20;			/* unrestricted use */
	ide_packet_reply(d, i, 34, be16(c + 7));
}

static void cmd_track_info(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 28);
	put16(p, 26);
	p[2] = p[3] = 1;
	p[5] = 0x04;			/* data, uninterrupted */
	p[6] = 0x01;			/* mode 1 */
	put32(p + 24, cd_sectors(d, i));
	ide_packet_reply(d, i, 28, be16(c + 7));
}

static void cmd_header(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 8);
	p[0] = 1;			/* mode 1 data */
	put_address(p + 4, be32(c + 2), c[1] & 2);
	ide_packet_reply(d, i, 8, be16(c + 7));
}

static void cmd_dvd_structure(struct ide *d, int i, const uint8_t *c)
{
	uint8_t *p = reply(d, i, 2052);
	if (!is_dvd(d, i) || c[7] != 0) {
		bad_field(d, i);
		return;
	}
	put16(p, 2050);
	p[4] = 1;			/* DVD-ROM, version 1 */
	p[5] = 0x0f;			/* 120 mm, no maximum rate */
	p[6] = 1;			/* one layer, embossed */
	put32(p + 8, 0x30000);
	put32(p + 12, 0x30000 + cd_sectors(d, i) - 1);
	ide_packet_reply(d, i, 2052, be16(c + 8));
}

/* ---- reading ---- */

static void cmd_read10(struct ide *d, int i, const uint8_t *c)
{
	ide_packet_sectors(d, i, be32(c + 2), be16(c + 7));
}

static void cmd_read12(struct ide *d, int i, const uint8_t *c)
{
	ide_packet_sectors(d, i, be32(c + 2), be32(c + 6));
}

/* READ CD: only whole user data of a data sector. */
static void cmd_read_cd(struct ide *d, int i, const uint8_t *c)
{
	uint32_t n = (uint32_t)c[6] << 16 | be16(c + 7);
	if ((c[9] & 0xf8) == 0)
		ide_packet_good(d, i);
	else if ((c[9] & 0xf8) == 0x10)
		ide_packet_sectors(d, i, be32(c + 2), n);
	else
		bad_field(d, i);
}

static void cmd_seek(struct ide *d, int i, const uint8_t *c)
{
	if (be32(c + 2) >= cd_sectors(d, i))
		ide_packet_fail(d, i, KEY_ILLEGAL, 0x21, 0);
	else
		ide_packet_good(d, i);
}

/* ---- the table ---- */

#define NEED_DISC	1u	/* not ready without one */
#define ATTENTION	2u	/* reports a changed disc first */

static const struct cd_command {
	uint8_t op, flags;
	void (*run)(struct ide *d, int i, const uint8_t *c);
} cd_commands[] = {
	{ 0x00, NEED_DISC | ATTENTION, cmd_test_ready },
	{ 0x03, 0,                     cmd_request_sense },
	{ 0x12, 0,                     cmd_inquiry },
	{ 0x1a, 0,                     cmd_mode_sense },
	{ 0x1b, 0,                     cmd_start_stop },
	{ 0x1e, 0,                     cmd_prevent },
	{ 0x25, NEED_DISC | ATTENTION, cmd_capacity },
	{ 0x28, NEED_DISC | ATTENTION, cmd_read10 },
	{ 0x2b, NEED_DISC | ATTENTION, cmd_seek },
	{ 0x35, 0,                     cmd_nothing },		/* SYNCHRONIZE CACHE */
	{ 0x42, NEED_DISC | ATTENTION, cmd_subchannel },
	{ 0x43, NEED_DISC | ATTENTION, cmd_toc },
	{ 0x44, NEED_DISC | ATTENTION, cmd_header },
	{ 0x46, 0,                     cmd_get_configuration },
	{ 0x4a, 0,                     cmd_event_status },
	{ 0x51, NEED_DISC | ATTENTION, cmd_disc_info },
	{ 0x52, NEED_DISC | ATTENTION, cmd_track_info },
	{ 0x55, 0,                     cmd_mode_select },
	{ 0x5a, 0,                     cmd_mode_sense },
	{ 0xa8, NEED_DISC | ATTENTION, cmd_read12 },
	{ 0xad, NEED_DISC | ATTENTION, cmd_dvd_structure },
	{ 0xbb, 0,                     cmd_nothing },		/* SET CD SPEED */
	{ 0xbd, 0,                     cmd_mechanism },
	{ 0xbe, NEED_DISC | ATTENTION, cmd_read_cd },
};

void ide_cd_command(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	for (size_t k = 0; k < ARRAY_LEN(cd_commands); k++) {
		const struct cd_command *c = &cd_commands[k];
		if (c->op != v->packet[0])
			continue;
		if (c->flags & ATTENTION && v->disc_changed) {
			v->disc_changed = 0;
			ide_packet_fail(d, i, KEY_ATTENTION, ASC_CHANGED, 0);
		} else if (c->flags & NEED_DISC && (!ide_has_medium(d, i) || v->tray_open)) {
			ide_packet_fail(d, i, KEY_NOT_READY, ASC_NO_MEDIUM, v->tray_open ? 2 : 1);
		} else {
			c->run(d, i, v->packet);
		}
		return;
	}
	ide_packet_fail(d, i, KEY_ILLEGAL, ASC_BAD_COMMAND, 0);
}
