/*
 * virtio-9p: carries messages of the protocol 9P between a guest and a file server
 * (p9.h) for one shared folder. A buffer is a message and room for its answer. Messages
 * are copied, and served by the folder's worker threads; each is answered when it is done.
 *
 * What a guest has open are files of this host, so a machine that has mounted the folder
 * cannot be saved.
 *
 * Source: Virtio 1.2, 5.10 (9P transport), where it is reserved; Linux,
 * include/uapi/linux/virtio_9p.h.
 */
#include "hw/virtio/virtio_9p.h"

#include <stdlib.h>
#include <string.h>

#include "hw/backend/share.h"
#include "hw/backend/workers.h"
#include "hw/core/sg.h"
#include "hw/virtio/p9.h"

#define F_MOUNT_TAG	BIT(0)
#define QUEUE_SIZE	128u
#define MAX_TAG		(VIRTIO_CONFIG_SIZE - 2u)

/* The file server between two Tversions; requests that outlive it keep it. */
struct session {
	struct p9 *p9;
	unsigned refs;
};

struct virtio_9p {
	struct virtio v;
	struct share *share;		/* property */
	char *mount_tag;		/* property */
	struct session *session;
	struct request *under_way;
	unsigned n_under_way;
};

struct request {
	struct work work;
	struct virtio_9p *d;		/* NULL: nobody waits for the answer any more */
	struct session *session;
	struct request *next;		/* in d->under_way, or of those that flush the same one */
	struct request *flushes;	/* to be answered behind this one */
	struct vbuf_head head;
	struct sg answer;
	uint8_t *reply;
	size_t n, room, len;
	uint8_t msg[];
};

/* ---- sessions ---- */

static struct session *new_session(struct share *share)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s && (s->p9 = p9_new(share))) {
		s->refs = 1;
		return s;
	}
	free(s);
	return NULL;
}

static void drop(struct session *s)
{
	if (!s || --s->refs)
		return;
	p9_free(s->p9);
	free(s);
}

/* False: no memory; the old one stays. */
static bool begin_session(struct virtio_9p *d)
{
	struct session *s = new_session(d->share);

	if (!s)
		return false;
	drop(d->session);
	d->session = s;
	return true;
}

/* ---- requests ---- */

static void free_request(struct request *x)
{
	drop(x->session);
	sg_fini(&x->answer);
	free(x->reply);
	free(x);
}

static void forget(struct request *x)
{
	struct request **at = &x->d->under_way;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
}

/* The driver gets its buffer back. */
static void answer(struct request *x)
{
	struct virtio *v = &x->d->v;

	if (virtio_running(v) && v->q[0].enabled) {
		sg_put(&x->answer, 0, x->reply, x->len);
		sg_written(&x->answer, x->len);
		virtq_push_head(v, 0, x->head, (uint32_t)x->len);
	}
	x->d->n_under_way--;
	free_request(x);
}

static void answer_flush(struct request *x)
{
	st32(x->reply, P9_HEADER);
	x->reply[4] = P9_RFLUSH;
	memcpy(x->reply + 5, x->msg + 5, 2);
	x->len = P9_HEADER;
	answer(x);
}

static void run(struct work *w)
{
	struct request *x = container_of(w, struct request, work);

	x->len = p9_serve(x->session->p9, x->msg, x->n, x->reply, x->room);
}

static void done(struct work *w)
{
	struct request *x = container_of(w, struct request, work), *flushes = x->flushes;
	struct virtio_9p *d = x->d;

	if (!d) {
		free_request(x);
		return;
	}
	forget(x);
	answer(x);
	while (flushes) {
		x = flushes;
		flushes = x->next;
		answer_flush(x);
	}
	if (!d->v.running)
		virtq_interrupt(&d->v, 0);
}

/*
 * Answers that nobody waits for: the driver or the machine has begun anew. What no thread
 * has begun goes at once, or resets without end would pile requests up.
 */
static void abandon(struct virtio_9p *d)
{
	while (d->under_way) {
		struct request *x = d->under_way;
		forget(x);
		d->n_under_way--;
		while (x->flushes) {
			struct request *f = x->flushes;
			x->flushes = f->next;
			d->n_under_way--;
			free_request(f);
		}
		x->d = NULL;
		if (workers_withdraw(d->share->workers, &x->work))
			free_request(x);
	}
}

/* ---- messages ---- */

static struct request *new_request(struct virtio_9p *d, uint64_t n)
{
	struct request *x = calloc(1, sizeof(*x) + n);
	uint64_t room = min_u64(d->v.buf.in_len, P9_MSIZE);

	if (!x || !(x->reply = calloc(1, room))) {
		free(x);
		return NULL;
	}
	x->d = d;
	x->n = n;
	x->room = room;
	x->head = d->v.buf.head;
	x->session = d->session;
	x->session->refs++;
	sg_begin(&x->answer, d->v.pci.dev.m, true);
	x->answer.ram_only = true;
	if (vbuf_read(&d->v, &d->v.buf, 0, x->msg, n) && vbuf_sg(&d->v, &d->v.buf, true, 0, room, &x->answer))
		return x;
	free_request(x);
	return NULL;
}

static struct request *by_tag(struct virtio_9p *d, uint16_t tag)
{
	struct request *x = d->under_way;

	while (x && (x->session != d->session || ld16(x->msg + 5) != tag))
		x = x->next;
	return x;
}

/* Answered when what it wants to forget is over; that is not interrupted. */
static void flush(struct virtio_9p *d, struct request *x)
{
	struct request *old = x->n < P9_HEADER + 2 ? NULL : by_tag(d, ld16(x->msg + P9_HEADER));

	d->n_under_way++;
	if (!old) {
		answer_flush(x);
		return;
	}
	struct request **end = &old->flushes;
	while (*end)
		end = &(*end)->next;
	*end = x;
}

static bool take(struct virtio *v, unsigned q)
{
	struct virtio_9p *d = (struct virtio_9p *)v;
	uint64_t n = v->buf.out_len;

	(void)q;
	if (n < P9_HEADER || v->buf.in_len < P9_LEAST_REPLY)
		return virtio_broken(v, "a message without a header or room for an answer");
	if (n > P9_MSIZE)
		return virtio_broken(v, "a message longer than was agreed upon");
	if (d->n_under_way >= QUEUE_SIZE)
		return virtio_broken(v, "more messages under way than the queue holds");
	struct request *x = new_request(d, n);
	if (!x)
		return virtio_broken(v, "no memory for its messages");
	if (x->msg[4] == P9_TFLUSH) {
		flush(d, x);
		return true;
	}
	if (x->msg[4] == P9_TVERSION && begin_session(d)) {
		drop(x->session);
		x->session = d->session;
		x->session->refs++;
	}
	x->next = d->under_way;
	d->under_way = x;
	d->n_under_way++;
	x->work = (struct work){ .run = run, .done = done };
	workers_add(d->share->workers, &x->work);
	return virtio_running(v);
}

static void run_queue(struct virtio *v, unsigned q)
{
	virtio_serve(v, q, take);
}

/* ---- life ---- */

static void fill_config(struct virtio_9p *d)
{
	st16(d->v.config, (uint16_t)strlen(d->mount_tag));
	memcpy(d->v.config + 2, d->mount_tag, strlen(d->mount_tag));
}

static void class_reset(struct virtio *v)
{
	struct virtio_9p *d = (struct virtio_9p *)v;

	abandon(d);
	if (!begin_session(d))
		p9_forget_all(d->session->p9);
}

static const struct virtio_class p9_class = {
	.id = 9, .legacy_id = 0x1009, .pci_class = 0x000200, .features = F_MOUNT_TAG,
	.n_queues = 1, .queue_size = QUEUE_SIZE, .config_len = VIRTIO_CONFIG_SIZE, .run = run_queue, .reset = class_reset,
};

static bool p9_init(void *dev, struct err *e)
{
	struct virtio_9p *d = dev;

	if (!d->share)
		return err_set(e, "a shared folder needs fsdev=ID of a -fsdev local,id=ID,path=..");
	if (!d->mount_tag || !*d->mount_tag || strlen(d->mount_tag) > MAX_TAG)
		return err_set(e, "mount_tag= is missing, or longer than %u characters: the guest mounts the folder by it", MAX_TAG);
	d->session = new_session(d->share);
	if (!d->session)
		return err_set(e, "no memory for a shared folder");
	fill_config(d);
	return virtio_init(&d->v, &p9_class, 0, e);
}

static void p9_fini(void *dev)
{
	struct virtio_9p *d = dev;

	abandon(d);
	drop(d->session);
	d->session = NULL;
	if (d->v.class)
		virtio_fini(&d->v);
}

static void p9_reset(void *dev)
{
	virtio_reset(dev);
}

static bool p9_can_save(void *dev, struct err *e)
{
	struct virtio_9p *d = dev;

	if (!d->n_under_way && !p9_n_fids(d->session->p9))
		return true;
	return err_set(e, "%s: the guest has mounted the folder %s (mount_tag %s); unmount it there first", d->v.pci.dev.id,
		       d->share->path, d->mount_tag);
}

/* Whatever was open is of another machine. */
static bool p9_loaded(void *dev, struct err *e)
{
	struct virtio_9p *d = dev;

	abandon(d);
	if (!begin_session(d))
		return err_set(e, "no memory for a shared folder");
	fill_config(d);
	return virtio_loaded(&d->v, e);
}

static const struct prop p9_props[] = {
	PROP_REF("fsdev", virtio_9p, share, "fsdev", "the folder, a -fsdev's id"),
	PROP_TEXT(virtio_9p, mount_tag, "mount_tag", NULL, "what the guest mounts it by"),
	{ 0 }
};

const struct dev_type virtio_9p_type = {
	.name = "virtio-9p-pci", .alias = "virtio-9p", .bus = "pci", .help = "a folder of the host",
	.size = sizeof(struct virtio_9p), .version = 1, .props = p9_props,
	.bus_props = virtio_props, .bus_state = virtio_state,
	.init = p9_init, .fini = p9_fini, .reset = p9_reset, .loaded = p9_loaded, .can_save = p9_can_save,
};

const struct dev_type virtio_9p_bus_type = {
	.name = "virtio-9p-device", .bus = "virtio-bus", .help = "a folder of the host",
	.size = sizeof(struct virtio_9p), .version = 1, .props = p9_props,
	.bus_props = virtio_bus_props, .bus_state = virtio_bus_state,
	.init = p9_init, .fini = p9_fini, .reset = p9_reset, .loaded = p9_loaded, .can_save = p9_can_save,
};
