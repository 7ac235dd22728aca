/*
 * USB mass storage, bulk-only: SCSI commands over two endpoints.
 *
 *	OUT  command wrapper (31 bytes)		IN or OUT  data		IN  status wrapper (13 bytes)
 *
 * The host says how much it wants to move (H), the unit how much the command moves (D).
 * Data pass through `buf` in pieces; while the drive is at work both endpoints answer
 * NAK. Where D is less than H, data to the host end with a short packet and data from it
 * are dropped; where D is more, or goes the other way, the status is "phase error".
 *
 * Not modelled: several units, command sets other than SCSI, UAS.
 * Source: USB Mass Storage Class, Bulk-Only Transport 1.0 (5: wrappers, 6.7: the thirteen
 * cases).
 */
#include "hw/usb/storage.h"

#include <string.h>

#include "hw/scsi/scsi.h"
#include "hw/usb/usb.h"

#define EP_IN		(1 | USB_DIR_IN)
#define EP_OUT		2
#define CBW_LEN		31u
#define CBW_SIGNATURE	0x43425355u
#define CSW_LEN		13u
#define CSW_SIGNATURE	0x53425355u
#define BUF		(64u << 10)
enum { GET_MAX_LUN = 0xfe, BULK_RESET = 0xff };
enum { CSW_GOOD = 0, CSW_FAILED = 1, CSW_PHASE_ERROR = 2 };
enum { PHASE_COMMAND, PHASE_IN, PHASE_OUT, PHASE_STATUS, PHASE_BROKEN };

struct usb_storage {
	struct usb_dev usb;
	bool removable;			/* property */
	struct drive_wishes wishes;	/* properties */
	struct scsi_unit unit;		/* unit.drive: property */
	struct scsi_req req;
	struct iovec iov;
	bool moving;			/* the unit is at work */
	uint64_t from;			/* job.at when it began */

	uint8_t stage;
	bool phase_error;
	uint32_t tag, host_len;		/* of the command wrapper: tag, H */
	uint32_t moved;			/* data bytes to or from the host so far */
	uint32_t unit_len;		/* D, as far as it goes the host's way */
	uint32_t n_buf, at_buf;		/* valid in buf; of these, passed on */
	uint8_t buf[BUF];
};

/* ---- the unit's side ---- */

static void on_done(struct scsi_req *r)
{
	struct usb_storage *s = r->opaque;

	s->moving = false;
	s->n_buf = s->stage == PHASE_IN ? (uint32_t)(r->job.at - s->from) : 0;
	s->at_buf = 0;
	usb_ready(&s->usb, EP_IN);
	usb_ready(&s->usb, EP_OUT);
}

static void move(struct usb_storage *s, uint32_t n)
{
	s->moving = true;
	s->from = s->req.job.at;
	s->iov = (struct iovec){ s->buf, n };
	scsi_move(&s->req, &s->iov, 1, n);
}

static void cancel(struct usb_storage *s)
{
	scsi_cancel(&s->req);
	s->moving = false;
	s->n_buf = s->at_buf = 0;
}

static void restart(struct usb_storage *s)
{
	cancel(s);
	s->stage = PHASE_COMMAND;
}

/* ---- the command ---- */

static void broken(struct usb_storage *s, const char *why)
{
	log_guest("usb-storage: %s", why);
	cancel(s);
	s->stage = PHASE_BROKEN;
	usb_halt(&s->usb, EP_IN);
	usb_halt(&s->usb, EP_OUT);
}

static enum usb_result command(struct usb_storage *s, struct usb_packet *p)
{
	const uint8_t *c = p->buf;
	struct scsi_job *j = &s->req.job;

	if (p->len != CBW_LEN || ld32(c) != CBW_SIGNATURE || c[13] & 0xf0 || !c[14] || c[14] > 16) {
		broken(s, "not a command wrapper");
		return USB_STALL;
	}
	p->done = p->len;
	s->tag = ld32(c + 4);
	s->host_len = ld32(c + 8);
	s->moved = s->n_buf = s->at_buf = 0;
	memset(j->cdb, 0, sizeof(j->cdb));
	memcpy(j->cdb, c + 15, c[14]);
	scsi_begin(&s->req);
	bool host_in = c[12] & 0x80;
	bool mismatch = j->dir != SCSI_NONE && (!s->host_len || (j->dir == SCSI_IN) != host_in);
	s->phase_error = mismatch || (j->dir != SCSI_NONE && j->len > s->host_len);
	s->unit_len = mismatch || j->dir == SCSI_NONE ? 0 : (uint32_t)min_u64(j->len, s->host_len);
	s->stage = !s->host_len ? PHASE_STATUS : host_in ? PHASE_IN : PHASE_OUT;
	if (mismatch)
		cancel(s);
	else if (j->dir == SCSI_NONE)
		move(s, 0);
	return USB_OK;
}

/* ---- data ---- */

static bool unit_gives_more(const struct usb_storage *s)
{
	return s->moved < s->unit_len && !scsi_finished(&s->req);
}

static enum usb_result data_in(struct usb_storage *s, struct usb_packet *p)
{
	uint32_t left = s->unit_len - s->moved;

	while (p->done < p->len && s->at_buf < s->n_buf && left) {
		uint32_t n = (uint32_t)min_u64(min_u64(p->len - p->done, s->n_buf - s->at_buf), left);
		memcpy(p->buf + p->done, s->buf + s->at_buf, n);
		p->done += n;
		s->at_buf += n;
		s->moved += n;
		left -= n;
	}
	if (p->done < p->len && unit_gives_more(s)) {
		if (!s->moving)
			move(s, (uint32_t)min_u64(BUF, s->req.job.len - s->req.job.at));
		return USB_NAK;
	}
	if (s->moving)
		return USB_NAK;
	if (p->done < p->len || s->moved == s->host_len)
		s->stage = PHASE_STATUS;
	return USB_OK;
}

static enum usb_result data_out(struct usb_storage *s, struct usb_packet *p)
{
	while (p->done < p->len) {
		uint32_t left = s->unit_len > s->moved ? s->unit_len - s->moved : 0, n = p->len - p->done;
		if (s->moving)
			return USB_NAK;
		if (left && !scsi_finished(&s->req)) {
			n = (uint32_t)min_u64(min_u64(n, left), BUF - s->n_buf);
			memcpy(s->buf + s->n_buf, p->buf + p->done, n);
			s->n_buf += n;
		}
		p->done += n;
		s->moved += n;
		if (s->n_buf == BUF || (s->n_buf && s->moved >= s->unit_len))
			move(s, s->n_buf);
	}
	s->moved = (uint32_t)min_u64(s->moved, s->host_len);
	if (s->moved == s->host_len)
		s->stage = PHASE_STATUS;
	return USB_OK;
}

/* ---- the status ---- */

static enum usb_result status(struct usb_storage *s, struct usb_packet *p)
{
	const struct scsi_job *j = &s->req.job;

	if (s->moving)
		return USB_NAK;
	if (!scsi_finished(&s->req)) {
		if (!s->phase_error && j->dir == SCSI_NONE) {	/* begun before a load */
			move(s, 0);
			return s->moving ? USB_NAK : status(s, p);
		}
		cancel(s);
	}
	if (p->len < CSW_LEN)
		return USB_BABBLE;
	st32(p->buf, CSW_SIGNATURE);
	st32(p->buf + 4, s->tag);
	st32(p->buf + 8, s->host_len - (uint32_t)min_u64(s->moved, s->unit_len));
	p->buf[12] = s->phase_error ? CSW_PHASE_ERROR : j->status == SCSI_GOOD ? CSW_GOOD : CSW_FAILED;
	p->done = CSW_LEN;
	s->stage = PHASE_COMMAND;
	return USB_OK;
}

static enum usb_result storage_data(struct usb_dev *d, struct usb_packet *p)
{
	struct usb_storage *s = (struct usb_storage *)d;

	switch (s->stage) {
	case PHASE_COMMAND:
		return p->pid == USB_OUT ? command(s, p) : USB_NAK;
	case PHASE_IN:
		return p->pid == USB_IN ? data_in(s, p) : USB_NAK;
	case PHASE_OUT:
		if (p->pid == USB_OUT)
			return data_out(s, p);
		return USB_NAK;
	case PHASE_STATUS:
		return p->pid == USB_IN ? status(s, p) : USB_NAK;
	default:
		usb_halt(d, p->pid == USB_IN ? EP_IN : EP_OUT);
		return USB_STALL;
	}
}

/* ---- requests, life ---- */

static int storage_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
	if ((s->type & (USB_TYPE_MASK | USB_TO_MASK)) != (USB_CLASS | USB_TO_INTERFACE))
		return -1;
	if (s->request == GET_MAX_LUN) {
		data[0] = 0;
		return 1;
	}
	if (s->request != BULK_RESET)
		return -1;
	restart((struct usb_storage *)d);
	return 0;
}

static void bus_reset(struct usb_dev *d)
{
	restart((struct usb_storage *)d);
}

static const struct usb_ep_desc eps[] = {
	{ EP_IN,  USB_BULK, { [USB_FULL] = 64, [USB_HIGH] = 512, [USB_SUPER] = 1024 }, .burst = 15 },
	{ EP_OUT, USB_BULK, { [USB_FULL] = 64, [USB_HIGH] = 512, [USB_SUPER] = 1024 }, .burst = 15 },
};
static const struct usb_if_desc ifs[] = {
	{ 8, 6, 0x50, NULL, 0, eps, ARRAY_LEN(eps) },	/* mass storage, SCSI, bulk-only */
};
static const struct usb_desc desc = {
	.vendor = 0x46f4, .product = 0x0001, .name = "USB Storage", .serial = "000000000001", .max0 = 64,
	.speeds = USB_SPEED(USB_FULL) | USB_SPEED(USB_HIGH) | USB_SPEED(USB_SUPER),
	.attributes = USB_ATTR_BUS | USB_ATTR_SELF, .ifs = ifs, .n_ifs = ARRAY_LEN(ifs),
};
static const struct usb_class storage_class = {
	.desc = &desc, .reset = bus_reset, .control = storage_control, .data = storage_data,
};

static bool storage_init(void *dev, struct err *e)
{
	struct usb_storage *s = dev;
	struct scsi_unit *u = &s->unit;

	u->dev = &s->usb.dev;
	u->vendor = "RHEA";
	u->version = "1.0";
	s->req.unit = u;
	s->req.done = on_done;
	s->req.opaque = s;
	if (!scsi_unit_init(u, e) || !drive_wish(u->drive, &s->wishes, e))
		return false;
	u->product = u->cd ? "CD-ROM" : "HARDDISK";
	u->user.removable |= s->removable;
	u->serial = s->usb.serial ? s->usb.serial : drive_serial(u->drive);
	return usb_attach(&s->usb, &storage_class, e);
}

static void storage_fini(void *dev)
{
	struct usb_storage *s = dev;

	if (s->req.unit)
		cancel(s);
	usb_detach(&s->usb);
	scsi_unit_fini(&s->unit);
}

static void storage_reset(void *dev)
{
	struct usb_storage *s = dev;

	scsi_unit_reset(&s->unit);
	usb_reset(&s->usb);
}

static bool storage_loaded(void *dev, struct err *e)
{
	struct usb_storage *s = dev;

	s->moving = false;
	if (s->stage > PHASE_BROKEN || s->n_buf > BUF || s->at_buf > s->n_buf || s->moved > s->host_len ||
	    s->unit_len > s->host_len || !scsi_job_valid(&s->unit, &s->req.job))
		return err_set(e, "an impossible command");
	return scsi_unit_loaded(&s->unit, e) && usb_loaded(&s->usb, e);
}

static void storage_boot_path(const void *dev, char *buf)
{
	const struct usb_storage *s = dev;

	usb_boot_path(&s->usb, "storage", buf);
	if (*buf)
		dev_boot_path_add(buf, "/channel@0/disk@0,0");
}

static const struct prop storage_props[] = {
	PROP_REF("drive", usb_storage, unit.drive, "drive", "the image, a -drive's id"),
	PROP(BOOL, usb_storage, removable, "removable", 0, "the medium can be taken out"),
	PROP_DRIVE_WISHES(usb_storage, wishes),
	PROP_BOOTINDEX,
	{ 0 }
};
static const struct state storage_state[] = {
	SCSI_UNIT_STATE(usb_storage, unit), STATE(usb_storage, req.job), STATE(usb_storage, stage),
	STATE(usb_storage, phase_error), STATE(usb_storage, tag), STATE(usb_storage, host_len),
	STATE(usb_storage, moved), STATE(usb_storage, unit_len), STATE(usb_storage, n_buf),
	STATE(usb_storage, at_buf), STATE(usb_storage, buf), USB_STATE, { 0 }
};

const struct dev_type usb_storage_type = {
	.name = "usb-storage", .bus = "usb", .help = "a disk or an optical drive",
	.size = sizeof(struct usb_storage), .version = 1, .props = storage_props, .bus_props = usb_props,
	.state = storage_state,
	.init = storage_init, .fini = storage_fini, .reset = storage_reset, .loaded = storage_loaded,
	.boot_path = storage_boot_path, .boot_letter = 'c',
};
