/*
 * EHCI schedules: queue heads with transfer descriptors, in a list for each frame
 * (periodic) and in a circle (asynchronous).
 *
 *	QH	+0 link, +4 endpoint, +8 capabilities, +12 current descriptor,
 *		+16 overlay: the descriptor at work
 *	qTD	+0 next, +4 the one after a short packet, +8 token, +12 five pages
 *	token	7:0 status, 9:8 PID, 11:10 error count, 14:12 page, 15 interrupt,
 *		30:16 bytes left, 31 toggle
 *
 * A descriptor is handed to the device as one packet; what a device leaves stays in the
 * overlay, as on the wire.
 *
 * Not modelled: isochronous descriptors (passed over: no device has such endpoints),
 * split transactions, NAK counters, retries.
 * Source: EHCI 1.0, 3 (data structures), 4.8-4.10 (traversal, queue heads).
 */
#include "hw/usb/ehci_priv.h"

#define LINK_END	1u
#define LINK_TYPE(l)	((l) >> 1 & 3)
#define TYPE_QH		1u
#define LINK_ADDR	(~31u)

enum {
	TOKEN_XACT = 0x08, TOKEN_BABBLE = 0x10, TOKEN_BUFFER = 0x20, TOKEN_HALTED = 0x40, TOKEN_ACTIVE = 0x80,
	TOKEN_IOC = 0x8000,
};
#define TOKEN_TOGGLE	(1u << 31)
#define TOKEN_BYTES(t)	((t) >> 16 & 0x7fff)
#define MAX_QHS		256		/* in one walk */
#define MAX_TDS		64		/* of one queue in a row */

struct qh {
	uint32_t at;
	uint32_t link, endpoint, caps, current;
	uint32_t next, alt, token, page[5];
};
#define QH_WORDS	12
#define HEAD	(1u << 15)		/* of endpoint */

static bool read_words(struct ehci *h, uint32_t at, uint32_t *w, unsigned n)
{
	uint8_t b[4 * QH_WORDS];

	if (!pci_ram_read(&h->pci, at, b, 4 * n)) {
		log_guest("ehci: a list outside RAM at %#x", at);
		h->sts |= STS_SYSTEM | STS_HALTED;
		h->cmd &= ~(uint32_t)CMD_RUN;
		return false;
	}
	for (unsigned i = 0; i < n; i++)
		w[i] = ld32(b + 4 * i);
	return true;
}

static void write_words(struct ehci *h, uint32_t at, const uint32_t *w, unsigned n)
{
	uint8_t b[4 * QH_WORDS];

	for (unsigned i = 0; i < n; i++)
		st32(b + 4 * i, w[i]);
	pci_ram_write(&h->pci, at, b, 4 * n);
}

static bool load_qh(struct ehci *h, uint32_t at, struct qh *q)
{
	q->at = at;
	return read_words(h, at, &q->link, QH_WORDS);
}

/* Current pointer and overlay, and the token of the descriptor they came from. */
static void store_qh(struct ehci *h, const struct qh *q)
{
	write_words(h, q->at + 12, &q->current, QH_WORDS - 3);
	if (q->current & LINK_ADDR)
		write_words(h, (q->current & LINK_ADDR) + 8, &q->token, 1);
}

/* ---- one descriptor ---- */

/* The next descriptor into the overlay; false: none is active. */
static bool fetch_td(struct ehci *h, struct qh *q)
{
	bool is_short = TOKEN_BYTES(q->token) && !(q->alt & LINK_END);
	uint32_t link = is_short ? q->alt : q->next, td[8], toggle = q->token & TOKEN_TOGGLE;

	if (link & LINK_END || !read_words(h, link & LINK_ADDR, td, 8) || !(td[2] & TOKEN_ACTIVE))
		return false;
	q->current = link & LINK_ADDR;
	q->next = td[0];
	q->alt = td[1];
	q->token = td[2];
	if (!(q->endpoint >> 14 & 1))		/* the toggle goes on over descriptors */
		q->token = (q->token & ~TOKEN_TOGGLE) | toggle;
	for (int i = 0; i < 5; i++)
		q->page[i] = td[3 + i];
	return true;
}

/* Between buf and the pages from the present place on; false: no RAM, or beyond the last page. */
static bool pages(struct ehci *h, const struct qh *q, uint32_t n, bool to_guest)
{
	uint32_t page = q->token >> 12 & 7, off = q->page[0] & 0xfff, at = 0;

	while (at < n) {
		uint32_t k = (uint32_t)min_u64(n - at, 4096 - off);
		if (page > 4)
			return false;
		uint32_t pa = (q->page[page] & ~0xfffu) + off;
		if (!(to_guest ? pci_ram_write(&h->pci, pa, h->buf + at, k) : pci_ram_read(&h->pci, pa, h->buf + at, k)))
			return false;
		at += k;
		off = 0;
		page++;
	}
	return true;
}

/* n bytes moved: place, count and toggle. */
static void move_on(struct qh *q, uint32_t n)
{
	uint32_t off = (q->page[0] & 0xfff) + n, page = (q->token >> 12 & 7) + off / 4096;
	uint32_t left = TOKEN_BYTES(q->token) - n, max = q->endpoint >> 16 & 0x7ff;
	uint32_t packets = !n ? 1 : max ? (n + max - 1) / max : 1;

	q->page[0] = (q->page[0] & ~0xfffu) | off % 4096;
	q->token = (q->token & ~(0x7fffu << 16 | 7u << 12)) | left << 16 | (page & 7) << 12;
	if (packets & 1)
		q->token ^= TOKEN_TOGGLE;
}

static void stop(struct ehci *h, struct qh *q, uint32_t why)
{
	q->token = (q->token & ~(uint32_t)TOKEN_ACTIVE) | TOKEN_HALTED | why;
	if (why & TOKEN_XACT)
		q->token &= ~(3u << 10);
	h->sts |= STS_ERROR;
}

static enum usb_result packet(struct ehci *h, struct qh *q, struct usb_packet *p)
{
	static const enum usb_pid pids[4] = { USB_OUT, USB_IN, USB_SETUP, USB_SETUP };
	struct usb_dev *d = usb_find(&h->bus, q->endpoint & 0x7f);

	*p = (struct usb_packet){
		pids[q->token >> 8 & 3], q->endpoint >> 8 & 15, h->buf,
		(uint32_t)min_u64(TOKEN_BYTES(q->token), EHCI_BUF), 0,
	};
	if (!d || (p->pid != USB_IN && !pages(h, q, p->len, false)))
		return USB_GONE;
	enum usb_result r = usb_transact(d, p);
	if (p->pid == USB_IN && p->done && !pages(h, q, p->done, true))
		return USB_GONE;
	return r;
}

/* True: the descriptor is done, the next one may follow. */
static bool run_td(struct ehci *h, struct qh *q)
{
	struct usb_packet p;
	enum usb_result r = packet(h, q, &p);

	if (r == USB_OK || (r == USB_NAK && p.done))
		move_on(q, p.done);
	switch (r) {
	case USB_OK:
		q->token &= ~(uint32_t)TOKEN_ACTIVE;
		if (q->token & TOKEN_IOC || (p.pid == USB_IN && p.done < p.len))
			h->sts |= STS_INT;
		break;
	case USB_NAK:
		break;
	case USB_STALL:
		stop(h, q, 0);
		break;
	case USB_BABBLE:
		stop(h, q, TOKEN_BABBLE);
		break;
	default:
		stop(h, q, TOKEN_XACT);
	}
	if (q->token & TOKEN_HALTED && q->token & TOKEN_IOC)
		h->sts |= STS_INT;
	return r == USB_OK;
}

/* ---- queues and lists ---- */

/* As far as the queue gets; true: something moved. */
static bool run_queue(struct ehci *h, struct qh *q, int most)
{
	bool any = false;

	for (int i = 0; i < most && !(q->token & TOKEN_HALTED); i++) {
		if (!(q->token & TOKEN_ACTIVE) && !fetch_td(h, q))
			break;
		uint32_t before = q->token;
		bool done = run_td(h, q);
		store_qh(h, q);
		any |= q->token != before;
		if (!done)
			break;
	}
	return any;
}

/*
 * A round ends at the head (its H bit). The place is left there, too: a driver may unlink
 * any other queue, and waits only for the next round before it forgets it.
 */
bool ehci_async(struct ehci *h)
{
	uint32_t at = h->async & LINK_ADDR;
	int heads = 0;
	bool any = false;
	struct qh q;

	for (int i = 0; i < MAX_QHS && h->cmd & CMD_RUN; i++) {
		if (!load_qh(h, at, &q) || (q.endpoint & HEAD && heads++))
			break;
		if (q.endpoint & HEAD)
			h->async = at;
		any |= run_queue(h, &q, MAX_TDS);
		if (q.link & LINK_END || LINK_TYPE(q.link) != TYPE_QH)
			break;
		at = q.link & LINK_ADDR;
	}
	return any;
}

/* Interrupt queues move a descriptor a frame, when their mask names any microframe. */
void ehci_periodic(struct ehci *h)
{
	uint32_t link, entry = (h->frindex >> 3) & 0x3ff;

	if (!read_words(h, (h->periodic & ~0xfffu) + 4 * entry, &link, 1))
		return;
	for (int i = 0; i < MAX_QHS && !(link & LINK_END) && h->cmd & CMD_RUN; i++) {
		struct qh q;
		if (LINK_TYPE(link) != TYPE_QH) {
			if (!read_words(h, link & LINK_ADDR, &link, 1))
				return;
			continue;
		}
		if (!load_qh(h, link & LINK_ADDR, &q))
			return;
		if (q.caps & 0xff)
			run_queue(h, &q, 1);
		link = q.link;
	}
}
