/*
 * The UHCI schedule: 1,024 frames, each a list of queues and transfer descriptors.
 *
 *	frame list entry --> QH --> QH --> ...		(horizontal)
 *	                     |
 *	                     TD --> TD			(vertical)
 *
 *	TD	+0 link: address, bit 2 depth first, bit 1 QH, bit 0 end
 *		+4 control and status: the lower 11 bits are the length moved, less one
 *		+8 token: PID, address, endpoint, toggle, length less one
 *		+12 buffer
 *	QH	+0 the next one, +4 its first element
 *
 * The guest links queues in circles so that a frame's rest is used up ("bandwidth
 * reclamation"). A frame ends after FRAME_BYTES, MAX_STEPS links, or once a whole round
 * moved nothing.
 *
 * Not modelled: the time a packet takes on the wire (a frame carries more than a real
 * one), split frames at its end, isochronous errors.
 * Source: Intel UHCI Design Guide 1.1, 3 (data structures), 3.4 (traversal).
 */
#include "hw/usb/uhci_priv.h"

#include <string.h>

#define LINK_END	1u
#define LINK_QH		2u
#define LINK_DEPTH	4u
#define LINK_ADDR	(~15u)

enum {	/* TD status, bit numbers as in the guide */
	TD_TIMEOUT = 1 << 18, TD_NAK = 1 << 19, TD_BABBLE = 1 << 20, TD_BUFFER = 1 << 21, TD_STALLED = 1 << 22,
	TD_ACTIVE = 1 << 23, TD_IOC = 1 << 24, TD_ISO = 1 << 25, TD_SPD = 1 << 29,
};
#define TD_LENGTH	0x7ffu
#define TD_ERRORS	(TD_TIMEOUT | TD_NAK | TD_BABBLE | TD_BUFFER | TD_STALLED | 1 << 17)
#define TD_COUNT_SHIFT	27
#define TD_COUNT	(3u << TD_COUNT_SHIFT)

#define FRAME_BYTES	(32u << 10)
#define MAX_STEPS	2048
#define MAX_PACKET	1280u

struct td {
	uint32_t link, status, token, buffer;
};

/* What became of a TD. */
enum outcome { TD_WAITS, TD_DONE, TD_SHORT, TD_BROKEN };

static bool read_words(struct uhci *u, uint32_t at, uint32_t *w, int n)
{
	uint8_t b[16];

	if (!pci_ram_read(&u->pci, at, b, 4 * (unsigned)n)) {
		u->sts |= STS_SYSTEM | STS_HALTED;
		u->cmd &= ~CMD_RUN;
		log_guest("uhci: a list outside RAM at %#x", at);
		return false;
	}
	for (int i = 0; i < n; i++)
		w[i] = ld32(b + 4 * i);
	return true;
}

static void write_word(struct uhci *u, uint32_t at, uint32_t v)
{
	uint8_t b[4];

	st32(b, v);
	pci_ram_write(&u->pci, at, b, 4);
}

/* ---- one transfer descriptor ---- */

static enum usb_result packet(struct uhci *u, const struct td *t, uint8_t *buf, struct usb_packet *p)
{
	struct usb_dev *d = usb_find(&u->bus, t->token >> 8 & 0x7f);
	uint32_t len = ((t->token >> 21) + 1) & TD_LENGTH;

	*p = (struct usb_packet){ (enum usb_pid)(t->token & 0xff), t->token >> 15 & 15, buf, len, 0 };
	if (!d)
		return USB_GONE;
	if (p->pid != USB_IN && len && !pci_ram_read(&u->pci, t->buffer, buf, len))
		return USB_GONE;
	enum usb_result r = usb_transact(d, p);
	if (p->pid == USB_IN && p->done && !pci_ram_write(&u->pci, t->buffer, buf, p->done))
		return USB_GONE;
	return r;
}

static void retire(struct uhci *u, struct td *t)
{
	t->status &= ~(uint32_t)TD_ACTIVE;
	if (t->status & TD_IOC)
		u->on_complete = true;
}

/* An error ends the TD when its count reaches zero; a count that began at zero never does. */
static enum outcome failed(struct uhci *u, struct td *t, uint32_t bits, bool at_once)
{
	uint32_t count = t->status >> TD_COUNT_SHIFT & 3;

	t->status |= bits;
	if (!at_once && count != 1) {
		if (count)
			t->status -= 1u << TD_COUNT_SHIFT;
		return TD_WAITS;
	}
	t->status = (t->status & ~TD_COUNT) | TD_STALLED;
	u->sts |= STS_ERROR;
	retire(u, t);
	return TD_BROKEN;
}

static enum outcome run_packet(struct uhci *u, struct td *t, uint32_t *moved)
{
	uint8_t buf[MAX_PACKET];
	struct usb_packet p;
	enum usb_result r = packet(u, t, buf, &p);

	t->status &= ~(TD_ERRORS | TD_LENGTH);
	t->status |= (p.done - 1) & TD_LENGTH;
	*moved += p.done;
	switch (r) {
	case USB_OK:
		retire(u, t);
		if (p.pid != USB_IN || p.done == p.len)
			return TD_DONE;
		u->on_short |= !!(t->status & TD_SPD);
		return t->status & TD_SPD ? TD_SHORT : TD_DONE;
	case USB_NAK:
		t->status |= TD_NAK;
		return TD_WAITS;
	case USB_STALL:	return failed(u, t, TD_STALLED, true);
	case USB_BABBLE: return failed(u, t, TD_BABBLE, true);
	default:	return failed(u, t, TD_TIMEOUT, false);
	}
}

static bool good_token(const struct td *t)
{
	unsigned pid = t->token & 0xff, len = ((t->token >> 21) + 1) & TD_LENGTH;

	return (pid == USB_IN || pid == USB_OUT || pid == USB_SETUP) && len <= MAX_PACKET;
}

/* The TD at `at`; false: the frame is over. */
static bool run_td(struct uhci *u, uint32_t at, struct td *t, enum outcome *what, uint32_t *moved)
{
	uint32_t w[4];

	if (!read_words(u, at, w, 4))
		return false;
	*t = (struct td){ w[0], w[1], w[2], w[3] };
	*what = TD_WAITS;
	if (!(t->status & TD_ACTIVE))
		return true;
	if (!good_token(t)) {
		log_guest("uhci: a bad token %#x", t->token);
		u->sts |= STS_PROCESS | STS_HALTED;
		u->cmd &= ~CMD_RUN;
		return false;
	}
	*what = run_packet(u, t, moved);
	if (t->status & TD_ISO && t->status & TD_ACTIVE)
		retire(u, t);		/* gets one chance */
	write_word(u, at + 4, t->status);
	return true;
}

/* ---- the lists ---- */

struct walk {
	uint32_t link;			/* what to look at next */
	uint32_t qh;			/* the queue we are in; 0: none */
	uint32_t qh_next;		/* and its horizontal link */
	uint32_t moved;			/* bytes in this frame */
	uint32_t mark;			/* a queue met before, to notice an idle round */
	uint32_t since, limit;		/* queues since then; when to mark another one */
	bool progress;			/* since then */
};

static void leave_queue(struct walk *w)
{
	w->link = w->qh_next;
	w->qh = 0;
}

/* False: the round came back to a queue it had met, and nothing happened since. */
static bool enter_queue(struct uhci *u, struct walk *w)
{
	uint32_t at = w->link & LINK_ADDR, words[2];

	if (at == w->mark && !w->progress)
		return false;
	if (at == w->mark || ++w->since >= w->limit) {
		w->mark = at;
		w->since = 0;
		w->limit *= 2;		/* Brent: so it gets into the circle, however long that is */
		w->progress = false;
	}
	if (!read_words(u, at, words, 2))
		return false;
	w->qh = at;
	w->qh_next = words[0];
	w->link = words[1];
	if (w->link & LINK_END)
		leave_queue(w);
	return true;
}

static bool element(struct uhci *u, struct walk *w)
{
	enum outcome what;
	struct td t;

	if (!run_td(u, w->link & LINK_ADDR, &t, &what, &w->moved))
		return false;
	if (!w->qh) {
		w->link = t.link;
		return true;
	}
	if (what == TD_DONE) {
		w->progress = true;
		write_word(u, w->qh + 4, t.link);
		if (t.link & LINK_DEPTH && !(t.link & LINK_END)) {
			w->link = t.link;
			return true;
		}
	}
	leave_queue(w);
	return true;
}

void uhci_frame(struct uhci *u)
{
	struct walk w = { .mark = LINK_END, .limit = 1 };

	if (!read_words(u, (u->base & ~0xfffu) + 4 * (u->frnum & 0x3ffu), &w.link, 1))
		return;
	for (int i = 0; i < MAX_STEPS && !(w.link & LINK_END) && w.moved < FRAME_BYTES; i++)
		if (!(w.link & LINK_QH ? enter_queue(u, &w) : element(u, &w)))
			break;
}
