/*
 * xHCI event rings and interrupts.
 *
 * A ring is a list of segments (the table at ERSTBA); the controller writes where
 * segment, index and cycle say, up to ERDP. An interrupter is pending (IP) from the
 * first event that comes while the guest is not at work on the ring (ERDP's busy bit).
 *
 * When a ring is nearly full nothing is begun that may cause events (xhci_room()), and
 * goes on when the guest moves ERDP.
 *
 * Not modelled: moderation (IMOD stores).
 * Source: xHCI 1.1, 4.9.4 (event ring), 4.17 (interrupters), 5.5.2.
 */
#include "hw/usb/xhci_priv.h"

#include <string.h>

#define MAX_SEGMENTS	16u		/* HCSPARAMS2 says so */
#define ROOM		4		/* events that must fit for something to begin */
enum { R_IMAN = 0x00, R_IMOD = 0x04, R_ERSTSZ = 0x08, R_ERSTBA = 0x10, R_ERDP = 0x18 };

/* ---- interrupts ---- */

void xhci_update_irq(struct xhci *x)
{
	bool level = false;

	for (unsigned i = 0; i < XHCI_INTRS; i++)
		level |= (x->intr[i].iman & (IMAN_IP | IMAN_IE)) == (IMAN_IP | IMAN_IE);
	level = level && x->cmd & CMD_INTE && !pci_msi_enabled(&x->pci) && !pci_msix_enabled(&x->pci);
	pci_set_irq(&x->pci, level);
}

/* Messages clear IP by being sent (4.17.5). */
static void raise(struct xhci *x, unsigned i)
{
	struct xhci_intr *v = &x->intr[i];

	v->erdp |= ERDP_BUSY;
	v->iman |= IMAN_IP;
	x->sts |= STS_EINT;
	if (!(v->iman & IMAN_IE) || !(x->cmd & CMD_INTE))
		return;
	if (pci_msix_enabled(&x->pci)) {
		v->iman &= ~(uint32_t)IMAN_IP;
		pci_msix_send(&x->pci, i);
	} else if (pci_msi_enabled(&x->pci)) {
		v->iman &= ~(uint32_t)IMAN_IP;
		pci_set_irq(&x->pci, true);
		pci_set_irq(&x->pci, false);
	} else {
		xhci_update_irq(x);
	}
}

/* ---- the ring ---- */

static bool load_segment(struct xhci *x, const struct xhci_intr *v, uint32_t n, uint64_t *base, uint32_t *size)
{
	uint8_t b[16];

	if (!xhci_read(x, v->erstba + 16ull * n, b, sizeof(b)))
		return false;
	*base = ld64(b) & ~63ull;
	*size = ld32(b + 8) & 0xffff;
	return *size >= 16 && *size <= 4096;
}

/* Where the event after `back` more would go. */
struct place {
	uint32_t segment, index, size;
	uint64_t base;
	uint8_t cycle;
};

static struct place here(const struct xhci_intr *v)
{
	return (struct place){ v->segment, v->index, v->size, v->base, v->cycle };
}

static bool advance(struct xhci *x, const struct xhci_intr *v, struct place *p)
{
	if (++p->index < p->size)
		return true;
	p->index = 0;
	if (++p->segment >= v->erstsz) {
		p->segment = 0;
		p->cycle ^= 1;
	}
	return load_segment(x, v, p->segment, &p->base, &p->size);
}

static uint64_t address(const struct place *p)
{
	return p->base + (uint64_t)TRB_SIZE * p->index;
}

/*
 * The first segment is looked up when the first event comes, because the address is
 * written in two halves.
 */
static bool is_usable(struct xhci *x, struct xhci_intr *v)
{
	if (v->size || !v->erstsz || !v->erstba)
		return v->erstsz && v->size;
	if (load_segment(x, v, 0, &v->base, &v->size))
		return true;
	log_guest("xhci: an impossible event ring segment at %#llx", (unsigned long long)v->erstba);
	v->size = 0;
	return false;
}

bool xhci_room(struct xhci *x, unsigned i)
{
	struct xhci_intr *v = &x->intr[i < XHCI_INTRS ? i : 0];
	struct place p;

	if (!is_usable(x, v))
		return true;		/* nowhere to put events: they are lost */
	p = here(v);
	for (int k = 0; k < ROOM; k++) {
		if (!advance(x, v, &p))
			return false;
		if (address(&p) == (v->erdp & ~15ull)) {
			x->starved = true;
			return false;
		}
	}
	return true;
}

/* The cycle bit, which hands the event over, goes last. */
static bool put(struct xhci *x, struct xhci_intr *v, const struct xhci_trb *ev)
{
	struct place p = here(v);
	uint8_t b[TRB_SIZE];

	st64(b, ev->param);
	st32(b + 8, ev->status);
	st32(b + 12, (ev->control & ~(uint32_t)TRB_CYCLE) | v->cycle);
	if (!xhci_write(x, address(&p), b, 12) || !xhci_write(x, address(&p) + 12, b + 12, 4) || !advance(x, v, &p))
		return false;
	v->segment = p.segment;
	v->index = p.index;
	v->size = p.size;
	v->base = p.base;
	v->cycle = p.cycle;
	return true;
}

void xhci_event(struct xhci *x, unsigned i, const struct xhci_trb *ev)
{
	static const struct xhci_trb full = { 0, (uint32_t)CC_RING_FULL << 24, (uint32_t)E_CONTROLLER << 10 };
	struct xhci_intr *v = &x->intr[i = i < XHCI_INTRS ? i : 0];
	uint64_t limit = v->erdp & ~15ull;
	struct place p;

	if (!is_usable(x, v))
		return;
	p = here(v);
	if (!advance(x, v, &p) || address(&p) == limit)
		return;			/* full: its last event said so */
	bool last = advance(x, v, &p) && address(&p) == limit;
	if (put(x, v, last ? &full : ev) && !(v->erdp & ERDP_BUSY) && !(ev->control & TRB_BEI))
		raise(x, i);
}

/* ---- registers ---- */

static void start_ring(struct xhci_intr *v)
{
	v->segment = v->index = v->size = 0;
	v->cycle = 1;
}

static void erdp_low(struct xhci *x, unsigned i, uint32_t v)
{
	struct xhci_intr *r = &x->intr[i];
	uint32_t busy = (uint32_t)r->erdp & ERDP_BUSY & ~v;
	struct place p = here(r);

	r->erdp = (r->erdp & ~0xffffffffull) | (v & ~15u) | (v & 7) | busy;
	if (!busy && v & ERDP_BUSY && r->size && address(&p) != (r->erdp & ~15ull))
		raise(x, i);		/* more events than the guest has looked at */
}

uint32_t xhci_intr_read(struct xhci *x, unsigned off)
{
	const struct xhci_intr *v = &x->intr[off / 32];

	switch (off % 32) {
	case R_IMAN:	return v->iman;
	case R_IMOD:	return v->imod;
	case R_ERSTSZ:	return v->erstsz;
	case R_ERSTBA:	return (uint32_t)v->erstba;
	case R_ERSTBA + 4: return (uint32_t)(v->erstba >> 32);
	case R_ERDP:	return (uint32_t)v->erdp;
	case R_ERDP + 4: return (uint32_t)(v->erdp >> 32);
	default:	return 0;
	}
}

static void intr_write(struct xhci *x, unsigned i, unsigned reg, uint32_t w)
{
	struct xhci_intr *v = &x->intr[i];

	switch (reg) {
	case R_IMAN:
		v->iman = (w & IMAN_IE) | (v->iman & IMAN_IP & ~w);
		break;
	case R_IMOD:
		v->imod = w;
		break;
	case R_ERSTSZ:
		v->erstsz = (uint32_t)min_u64(w & 0xffff, MAX_SEGMENTS);
		break;
	case R_ERSTBA:
		v->erstba = (v->erstba & ~0xffffffffull) | (w & ~63u);
		start_ring(v);
		break;
	case R_ERSTBA + 4:
		v->erstba = (v->erstba & 0xffffffffull) | (uint64_t)w << 32;
		start_ring(v);
		break;
	case R_ERDP:
		erdp_low(x, i, w);
		break;
	case R_ERDP + 4:
		v->erdp = (v->erdp & 0xffffffffull) | (uint64_t)w << 32;
		break;
	}
}

/* Everything that waited for room looks again. */
static void room_again(struct xhci *x)
{
	if (!x->starved)
		return;
	x->starved = false;
	x->ring_due = x->ring_running;
	for (unsigned s = 1; s <= XHCI_SLOTS; s++)
		if (x->slot[s].enabled)
			x->slot[s].due = ~1u;
	xhci_port_events(x);
	xhci_work(x);
}

void xhci_intr_write(struct xhci *x, unsigned off, uint32_t v)
{
	intr_write(x, off / 32, off % 32, v);
	xhci_update_irq(x);
	if (off % 32 >= R_ERDP)
		room_again(x);
}

void xhci_intr_reset(struct xhci *x)
{
	memset(x->intr, 0, sizeof(x->intr));
	for (unsigned i = 0; i < XHCI_INTRS; i++)
		x->intr[i].imod = 4000;
}
