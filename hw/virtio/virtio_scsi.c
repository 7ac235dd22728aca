/*
 * virtio-scsi: a host adapter. Queue 0 takes task management, queue 1 buffers for events,
 * the others commands:
 *
 *	driver's part	{ lun 8, id 8, attributes 3, cdb cdb_size } data to the unit
 *	device's part	{ sense length 4, residual 4, qualifier 2, status 1, response 1,
 *			  sense sense_size } data from the unit
 *
 * A lun is { 1, target, logical unit 2, 0 4 }. Commands run at the same time, as many as the
 * queues hold; data go straight between guest memory and the units (hw/scsi/scsi.h). What is
 * asked of addresses without a unit is answered here, and REPORT LUNS.
 *
 * Not modelled: commands with data both ways, protection information, task attributes
 * (all are simple), several channels, events a driver subscribes to.
 * Source: Virtio 1.2, 5.6.
 */
#include "hw/virtio/virtio_scsi.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/core/sg.h"
#include "hw/scsi/scsi_bus.h"
#include "hw/virtio/virtio_pool.h"

#define F_HOTPLUG	BIT(1)
#define F_CHANGE	BIT(2)

/* 5.6.4: offsets in the device configuration, and what the driver sets */
enum {
	C_NUM_QUEUES = 0, C_SEG_MAX = 4, C_MAX_SECTORS = 8, C_CMD_PER_LUN = 12, C_EVENT_SIZE = 16,
	C_SENSE_SIZE = 20, C_CDB_SIZE = 24, C_MAX_CHANNEL = 28, C_MAX_TARGET = 30, C_MAX_LUN = 32, C_LEN = 36,
};
#define SENSE_SIZE	96u
#define CDB_SIZE	32u
#define MAX_SENSE_SIZE	252u
#define MAX_CDB_SIZE	64u

enum { Q_CONTROL, Q_EVENT, Q_REQUEST };
#define QUEUE_SIZE	256u
#define SEG_MAX		(QUEUE_SIZE - 2)
#define MAX_SECTORS	0xffffu
#define MAX_TARGET	255u
#define MAX_LUN		16383u
#define COMMAND_LEN	19u		/* before the cdb */
#define RESPONSE_LEN	12u		/* before the sense data */
#define EVENT_LEN	16u

/* 5.6.6.1.1, 5.6.6.2: responses */
enum {
	S_OK = 0, S_OVERRUN = 1, S_ABORTED = 2, S_BAD_TARGET = 3, S_RESET = 4, S_FAILURE = 9, S_SUCCEEDED = 10,
	S_REJECTED = 11, S_INCORRECT_LUN = 12,
};
enum { T_TMF = 0, T_AN_QUERY = 1, T_AN_SUBSCRIBE = 2 };
enum {
	TMF_ABORT_TASK = 0, TMF_ABORT_SET = 1, TMF_CLEAR_SET = 3, TMF_NEXUS_RESET = 4, TMF_UNIT_RESET = 5,
	TMF_QUERY_TASK = 6, TMF_QUERY_SET = 7,
};
#define TMF_LEN		24u
#define AN_LEN		20u
enum { E_NONE = 0, E_RESET = 1, E_PARAM = 3 };
enum { RESET_RESCAN = 1, RESET_REMOVED = 2 };
#define E_MISSED	0x80000000u

enum { INQUIRY = 0x12, REQUEST_SENSE = 0x03, REPORT_LUNS = 0xa0 };

struct virtio_scsi {
	struct virtio v;
	struct scsi_bus bus;
	uint32_t num_queues;		/* property */
	bool hotplug, param_change;	/* properties */
	bool missed;			/* an event found no buffer */
	struct virtio_pool pool;
	struct vbuf event;		/* scratch */
};

struct address {
	uint8_t bytes[8];
	bool good;
	uint32_t target, lun;
};

struct request {
	struct virtio_item item;
	struct scsi_req s;
	struct virtio_scsi *d;
	struct scsi_dev *dev;
	struct sg response, data;
	uint64_t id;
	uint64_t room;			/* bytes of data the driver has or takes */
	uint32_t sense_size;
	struct vbuf_head head;
	unsigned queue;
	bool in;			/* data go to the driver */
	bool serving;			/* virtio_serve() will interrupt */
};

static const struct virtio_class scsi_class;

static struct address address_of(const uint8_t *p)
{
	struct address a = { .good = p[0] == 1 && p[2] < 0x80, .target = p[1],
			     .lun = (uint32_t)(p[2] & 0x3f) << 8 | p[3] };

	memcpy(a.bytes, p, 8);
	return a;
}

/* ---- requests under way ---- */

static struct request *new_request(struct virtio_scsi *d, unsigned q)
{
	struct request *x = virtio_pool_take(&d->pool, sizeof(*x));

	if (!x)
		return NULL;
	x->d = d;
	x->dev = NULL;
	x->queue = q;
	x->head = d->v.buf.head;
	x->serving = true;
	return x;
}

static void give_back(struct request *x)
{
	virtio_pool_give(&x->d->pool, &x->item);
}

/* The driver gets its buffer back; `moved` bytes of data were, sense data may be NULL. */
static void answer(struct request *x, uint8_t response, uint8_t status, const uint8_t *sense, uint64_t moved)
{
	struct virtio *v = &x->d->v;
	uint8_t r[RESPONSE_LEN + MAX_SENSE_SIZE] = { 0 };
	uint32_t n_sense = sense ? (uint32_t)min_u64(SCSI_SENSE, x->sense_size) : 0;

	if (virtio_running(v) && v->q[x->queue].enabled) {
		st32(r, n_sense);
		st32(r + 4, (uint32_t)min_u64(x->room - moved, UINT32_MAX));
		r[10] = status;
		r[11] = response;
		memcpy(r + RESPONSE_LEN, sense ? sense : r, n_sense);
		sg_put(&x->response, 0, r, x->response.bytes);
		sg_written(&x->response, x->response.bytes);
		virtq_push_head(v, x->queue, x->head, (uint32_t)(x->response.bytes + (x->in ? moved : 0)));
		if (!x->serving)
			virtq_interrupt(v, x->queue);
	}
	give_back(x);
}

static void end_early(struct request *x, uint8_t response)
{
	scsi_cancel(&x->s);
	answer(x, response, SCSI_GOOD, NULL, 0);
}

static void fail(struct request *x, uint8_t key, uint16_t asc)
{
	uint8_t sense[SCSI_SENSE] = { [0] = 0x70, [2] = key, [7] = SCSI_SENSE - 8,
				      [12] = (uint8_t)(asc >> 8), [13] = (uint8_t)asc };

	answer(x, S_OK, SCSI_CHECK, sense, 0);
}

/* ---- commands ---- */

static void unit_done(struct scsi_req *s)
{
	struct request *x = container_of(s, struct request, s);
	const struct scsi_job *j = &s->job;

	assert(scsi_finished(s));	/* all data moved at once */
	if (x->in)
		sg_written(&x->data, x->data.bytes);
	answer(x, S_OK, j->status, j->n_sense ? j->sense : NULL, min_u64(j->at, x->data.bytes));
}

/* The first n bytes of the driver's data; false: answered. */
static bool take_memory(struct request *x, bool in, uint64_t n, uint64_t off)
{
	struct virtio *v = &x->d->v;

	sg_begin(&x->data, v->pci.dev.m, in);
	x->data.ram_only = true;
	if (!n || vbuf_sg(v, &v->buf, in, off, n, &x->data))
		return true;
	answer(x, S_FAILURE, SCSI_GOOD, NULL, 0);
	return false;
}

static void to_unit(struct request *x, uint64_t in_off, uint64_t out_off)
{
	struct scsi_job *j = &x->s.job;

	x->s.unit = &x->dev->unit;
	x->s.done = unit_done;
	scsi_begin(&x->s);
	bool in = j->dir == SCSI_IN;
	if (j->dir != SCSI_NONE && (in != x->in || j->len > x->room)) {
		end_early(x, S_OVERRUN);
		return;
	}
	uint64_t n = j->dir == SCSI_NONE ? 0 : j->len;
	if (take_memory(x, in, n, in ? in_off : out_off))
		scsi_move(&x->s, x->data.iov, x->data.n, n);
}

/* n bytes of an answer from here. */
static void reply(struct request *x, const uint8_t *p, uint64_t n, uint64_t in_off)
{
	n = x->in ? min_u64(n, x->room) : 0;
	if (!take_memory(x, true, n, in_off))
		return;
	sg_put(&x->data, 0, p, n);
	sg_written(&x->data, n);
	answer(x, S_OK, SCSI_GOOD, NULL, n);
}

static uint32_t be32(const uint8_t *p)
{
	return __builtin_bswap32(ld32(p));
}

static void report_luns(struct request *x, const uint8_t *cdb, uint32_t target, uint64_t in_off)
{
	const struct scsi_dev *first = scsi_bus_target(&x->d->bus, target);
	uint32_t n = 0;

	for (const struct scsi_dev *u = first; u && u->target == target; u = u->next)
		n++;
	uint8_t *p = calloc(n + 1, 8), *q = p;
	if (!p || be32(cdb + 6) < 16 || cdb[2] > 2) {
		fail(x, 5, 0x2400);	/* illegal request: invalid field */
		free(p);
		return;
	}
	if (cdb[2] == 1)		/* of well-known units there are none */
		n = 0;
	st32(p, __builtin_bswap32(8 * n));
	for (const struct scsi_dev *u = first; n && u && u->target == target; u = u->next) {
		q += 8;
		q[0] = (uint8_t)(u->lun < 256 ? 0 : 0x40 | u->lun >> 8);
		q[1] = (uint8_t)u->lun;
	}
	reply(x, p, min_u64(8 + 8ull * n, be32(cdb + 6)), in_off);
	free(p);
}

/* SPC-4, 5.8: a target answers for units it has not got. */
static void no_unit(struct request *x, const uint8_t *cdb, uint64_t in_off)
{
	uint8_t p[36] = { 0 };

	switch (cdb[0]) {
	case INQUIRY:
		p[0] = 0x7f;		/* no unit here, and there cannot be one */
		p[2] = 5;
		p[3] = 2;
		p[4] = sizeof(p) - 5;
		reply(x, p, min_u64(sizeof(p), (uint64_t)cdb[3] << 8 | cdb[4]), in_off);
		break;
	case REQUEST_SENSE:
		p[0] = 0x70;
		p[2] = 5;
		p[7] = SCSI_SENSE - 8;
		p[12] = 0x25;
		reply(x, p, min_u64(SCSI_SENSE, cdb[4]), in_off);
		break;
	default:
		fail(x, 5, 0x2500);	/* illegal request: unit not supported */
	}
}

static void command(struct request *x, const uint8_t *c, uint64_t in_off, uint64_t out_off)
{
	const struct scsi_bus *bus = &x->d->bus;
	const uint8_t *cdb = c + COMMAND_LEN;
	struct address a = address_of(c);

	x->id = ld64(c + 8);
	if (!a.good || !scsi_bus_target(bus, a.target)) {
		answer(x, S_BAD_TARGET, SCSI_GOOD, NULL, 0);
		return;
	}
	x->dev = scsi_bus_find(bus, a.target, a.lun);
	memcpy(x->s.job.cdb, cdb, sizeof(x->s.job.cdb));
	if (cdb[0] == REPORT_LUNS)
		report_luns(x, cdb, a.target, in_off);
	else if (x->dev)
		to_unit(x, in_off, out_off);
	else
		no_unit(x, cdb, in_off);
}

static bool serve_command(struct virtio *v, unsigned q)
{
	struct virtio_scsi *d = (struct virtio_scsi *)v;
	uint32_t cdb_size = ld32(v->config + C_CDB_SIZE), sense_size = ld32(v->config + C_SENSE_SIZE);
	uint8_t c[COMMAND_LEN + MAX_CDB_SIZE] = { 0 };

	if (!cdb_size || cdb_size > MAX_CDB_SIZE || sense_size > MAX_SENSE_SIZE)
		return virtio_broken(v, "an impossible size of commands or sense data");
	uint64_t out = COMMAND_LEN + cdb_size, in = RESPONSE_LEN + sense_size;
	if (v->buf.out_len < out || v->buf.in_len < in)
		return virtio_broken(v, "a command without header or response");
	if (d->pool.n >= v->n_queues * QUEUE_SIZE)
		return virtio_broken(v, "more commands under way than the queues hold");
	struct request *x = new_request(d, q);
	if (!x)
		return virtio_broken(v, "no memory for its requests");
	x->sense_size = sense_size;
	sg_begin(&x->response, v->pci.dev.m, true);
	x->response.ram_only = true;
	if (!vbuf_read(v, &v->buf, 0, c, out) || !vbuf_sg(v, &v->buf, true, 0, in, &x->response)) {
		give_back(x);
		return virtio_broken(v, "a header or response outside RAM");
	}
	x->in = v->buf.in_len > in;
	x->room = x->in ? v->buf.in_len - in : v->buf.out_len - out;
	if (x->in && v->buf.out_len > out)
		answer(x, S_FAILURE, SCSI_GOOD, NULL, 0);
	else
		command(x, c, in, out);
	x->serving = false;
	return virtio_running(v);
}

/* ---- task management ---- */

/* End what is under way at an address (dev NULL: at the whole target; id NULL: all). Returns how many. */
static unsigned end_tasks(struct virtio_scsi *d, uint32_t target, const struct scsi_dev *dev, const uint64_t *id,
			  uint8_t response)
{
	unsigned n = 0;

	for (struct virtio_item *at = d->pool.under_way, *next; at; at = next) {
		struct request *x = (struct request *)at;
		next = at->next;
		if (!x->dev || x->dev->target != target || (dev && x->dev != dev) || (id && x->id != *id))
			continue;
		end_early(x, response);
		n++;
	}
	return n;
}

static bool is_task(const struct virtio_scsi *d, const struct scsi_dev *dev, const uint64_t *id)
{
	for (const struct virtio_item *at = d->pool.under_way; at; at = at->next) {
		const struct request *x = (const struct request *)at;
		if (x->dev == dev && (!id || x->id == *id))
			return true;
	}
	return false;
}

static uint8_t nexus_reset(struct virtio_scsi *d, uint32_t target)
{
	end_tasks(d, target, NULL, NULL, S_RESET);
	for (struct scsi_dev *u = scsi_bus_target(&d->bus, target); u && u->target == target; u = u->next)
		scsi_unit_bus_reset(&u->unit);
	return S_OK;
}

static uint8_t manage(struct virtio_scsi *d, uint32_t what, const struct address *a, uint64_t id)
{
	struct scsi_dev *dev;

	if (!a->good || !scsi_bus_target(&d->bus, a->target))
		return S_BAD_TARGET;
	if (what == TMF_NEXUS_RESET)
		return nexus_reset(d, a->target);
	if (!(dev = scsi_bus_find(&d->bus, a->target, a->lun)))
		return S_INCORRECT_LUN;
	switch (what) {
	case TMF_ABORT_TASK:
		end_tasks(d, a->target, dev, &id, S_ABORTED);
		return S_OK;
	case TMF_ABORT_SET: case TMF_CLEAR_SET:
		end_tasks(d, a->target, dev, NULL, S_ABORTED);
		return S_OK;
	case TMF_UNIT_RESET:
		end_tasks(d, a->target, dev, NULL, S_RESET);
		scsi_unit_bus_reset(&dev->unit);
		return S_OK;
	case TMF_QUERY_TASK:
		return is_task(d, dev, &id) ? S_SUCCEEDED : S_OK;
	case TMF_QUERY_SET:
		return is_task(d, dev, NULL) ? S_SUCCEEDED : S_OK;
	default:
		return S_REJECTED;
	}
}

static bool serve_control(struct virtio *v, unsigned q)
{
	struct virtio_scsi *d = (struct virtio_scsi *)v;
	uint8_t c[TMF_LEN] = { 0 }, r[5] = { 0 };
	uint64_t n = min_u64(v->buf.out_len, TMF_LEN);
	uint32_t n_r;

	if (n < 4 || !vbuf_read(v, &v->buf, 0, c, n))
		return virtio_broken(v, "no control request");
	bool tmf = ld32(c) == T_TMF;
	if (!tmf && ld32(c) != T_AN_QUERY && ld32(c) != T_AN_SUBSCRIBE)
		return virtio_broken(v, "an unknown control request");
	n_r = tmf ? 1 : 5;
	if (n < (tmf ? TMF_LEN : AN_LEN - 4) || v->buf.in_len < n_r)
		return virtio_broken(v, "a control request that is too short");
	struct address a = address_of(c + (tmf ? 8 : 4));
	/* Of asynchronous events there are none to subscribe to: event_actual is 0. */
	r[n_r - 1] = tmf ? manage(d, ld32(c + 4), &a, ld64(c + 16)) :
		     a.good && scsi_bus_find(&d->bus, a.target, a.lun) ? S_OK : S_BAD_TARGET;
	if (!vbuf_write(v, &v->buf, 0, r, n_r))
		return false;
	virtq_push(v, q, &v->buf, n_r);
	return true;
}

/* ---- events ---- */

/* Into a buffer the driver keeps ready; without one, the driver is told later that it missed some. */
static void tell(struct virtio_scsi *d, uint32_t event, const struct scsi_dev *u, uint32_t reason)
{
	struct virtio *v = &d->v;
	uint8_t p[EVENT_LEN] = { 0 };

	if (!virtio_running(v))
		return;
	while (!virtq_pop(v, Q_EVENT, &d->event))
		if (!virtq_ask(v, Q_EVENT, true)) {
			d->missed = true;
			return;
		}
	if (d->event.in_len < EVENT_LEN) {
		virtio_broken(v, "a buffer too small for events");
		return;
	}
	st32(p, event | (d->missed ? E_MISSED : 0));
	d->missed = false;
	if (u) {
		p[4] = 1;
		p[5] = (uint8_t)u->target;
		p[6] = (uint8_t)(u->lun < 256 ? 0 : 0x40 | u->lun >> 8);
		p[7] = (uint8_t)u->lun;
	}
	st32(p + 12, reason);
	if (!vbuf_write(v, &d->event, 0, p, EVENT_LEN))
		return;
	virtq_push(v, Q_EVENT, &d->event, EVENT_LEN);
	virtq_interrupt(v, Q_EVENT);
}

static void came(void *opaque, struct scsi_dev *u)
{
	struct virtio_scsi *d = opaque;

	if (virtio_has(&d->v, F_HOTPLUG))
		tell(d, E_RESET, u, RESET_RESCAN);
}

static void goes(void *opaque, struct scsi_dev *u)
{
	struct virtio_scsi *d = opaque;

	end_tasks(d, u->target, u, NULL, S_BAD_TARGET);
	if (virtio_has(&d->v, F_HOTPLUG))
		tell(d, E_RESET, u, RESET_REMOVED);
}

static void changed(void *opaque, struct scsi_dev *u, uint16_t asc)
{
	struct virtio_scsi *d = opaque;

	if (virtio_has(&d->v, F_CHANGE))
		tell(d, E_PARAM, u, (uint32_t)(asc >> 8 | (asc & 0xff) << 8));
}

static void scsi_run(struct virtio *v, unsigned q)
{
	struct virtio_scsi *d = (struct virtio_scsi *)v;

	if (q == Q_EVENT && d->missed)
		tell(d, E_NONE, NULL, 0);
	else if (q != Q_EVENT)
		virtio_serve(v, q, q == Q_CONTROL ? serve_control : serve_command);
}

/* ---- life ---- */

static void fill_config(struct virtio_scsi *d)
{
	uint8_t *c = d->v.config;

	st32(c + C_NUM_QUEUES, d->num_queues);
	st32(c + C_SEG_MAX, SEG_MAX);
	st32(c + C_MAX_SECTORS, MAX_SECTORS);
	st32(c + C_CMD_PER_LUN, QUEUE_SIZE / 2);
	st32(c + C_EVENT_SIZE, EVENT_LEN);
	st16(c + C_MAX_CHANNEL, 0);
	st16(c + C_MAX_TARGET, MAX_TARGET);
	st32(c + C_MAX_LUN, MAX_LUN);
}

/* Only the sizes of commands and sense data may be changed. */
static void config_written(struct virtio *v, unsigned off, unsigned n)
{
	(void)off, (void)n;
	fill_config((struct virtio_scsi *)v);
}

/* By the machine or the driver. */
static void class_reset(struct virtio *v)
{
	struct virtio_scsi *d = (struct virtio_scsi *)v;

	for (struct request *x; (x = (struct request *)d->pool.under_way); give_back(x))
		scsi_cancel(&x->s);
	d->missed = false;
	st32(v->config + C_SENSE_SIZE, SENSE_SIZE);
	st32(v->config + C_CDB_SIZE, CDB_SIZE);
}

static bool scsi_init(void *dev, struct err *e)
{
	struct virtio_scsi *d = dev;
	uint64_t more = (d->hotplug ? F_HOTPLUG : 0) | (d->param_change ? F_CHANGE : 0);

	if (!d->num_queues || d->num_queues > VIRTIO_MAX_QUEUES - Q_REQUEST)
		return err_set(e, "num_queues=%u: there may be 1 to %d", d->num_queues, VIRTIO_MAX_QUEUES - Q_REQUEST);
	d->v.n_queues = Q_REQUEST + d->num_queues;
	fill_config(d);
	if (!virtio_init(&d->v, &scsi_class, more, e))
		return false;
	d->bus = (struct scsi_bus){ .max_target = MAX_TARGET, .max_lun = MAX_LUN, .opaque = d, .came = came,
				    .goes = goes, .changed = changed };
	scsi_bus_init(&d->bus, &d->v.pci.dev);
	return true;
}

static void scsi_fini(void *dev)
{
	struct virtio_scsi *d = dev;

	scsi_bus_fini(&d->bus);
	for (struct request *x; (x = virtio_pool_drop(&d->pool)); free(x)) {
		sg_fini(&x->response);
		sg_fini(&x->data);
	}
	if (d->v.class)
		virtio_fini(&d->v);
}

static void scsi_reset(void *dev)
{
	virtio_reset(dev);
}

static bool scsi_loaded(void *dev, struct err *e)
{
	fill_config(dev);
	return virtio_loaded(dev, e);
}

static const struct virtio_class scsi_class = {
	.id = 8, .legacy_id = 0x1004, .pci_class = 0x010000, .n_queues = Q_REQUEST + 1, .queue_size = QUEUE_SIZE,
	.config_len = C_LEN, .run = scsi_run, .reset = class_reset, .config_written = config_written,
};

static const struct prop scsi_props[] = {
	PROP(U32, virtio_scsi, num_queues, "num_queues", 1, "how many request queues the driver may use, 1 to 62"),
	PROP(BOOL, virtio_scsi, hotplug, "hotplug", 1, "tell the driver of units that come and go"),
	PROP(BOOL, virtio_scsi, param_change, "param_change", 1, "tell the driver of media and sizes that change"),
	{ 0 }
};
static const struct state scsi_state[] = { STATE(virtio_scsi, missed), { 0 } };

const struct dev_type virtio_scsi_type = {
	.name = "virtio-scsi-pci", .alias = "virtio-scsi", .bus = "pci", .help = "a SCSI controller",
	.size = sizeof(struct virtio_scsi), .version = 1, .props = scsi_props, .state = scsi_state,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = scsi_init, .fini = scsi_fini, .reset = scsi_reset, .loaded = scsi_loaded,
	.boot_path = pci_boot_path,
};

const struct dev_type virtio_scsi_bus_type = {
	.name = "virtio-scsi-device", .bus = "virtio-bus", .help = "a SCSI controller",
	.size = sizeof(struct virtio_scsi), .version = 1, .props = scsi_props, .state = scsi_state,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = scsi_init, .fini = scsi_fini, .reset = scsi_reset, .loaded = scsi_loaded,
};
