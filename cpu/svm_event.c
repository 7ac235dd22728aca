/*
 * Events of a VMRUN guest: exceptions that exit, what was being delivered, injection,
 * virtual interrupts (contract in cpu/svm.h).
 *
 * A virtual interrupt that its priority lets through is a request, REQ_VINTR, so that
 * polls see it; whether EFLAGS.IF lets it through is looked at when it is taken.
 * Source: AMD APM vol. 2, 15.7, 15.12, 15.20, 15.21.
 */
#include "cpu/desc.h"
#include "cpu/except.h"
#include "cpu/svm.h"

#define EVENT_HAS_ERROR	BIT(11)
#define EVENT_VALID	BIT(31)

bool svm_exception(struct cpu *c, int vector, bool has_error, uint32_t error)
{
	if (!svm_intercepts(c, SVM_EXCEPTION + (unsigned)vector))
		return false;
	svm_vmexit(c, SVM_EXCEPTION + (unsigned)vector, has_error ? error : 0, vector == EXC_PF ? c->exc_cr2 : 0, 0);
	return true;
}

void svm_note_event(struct cpu *c, int vector, int type, bool has_error, uint32_t error)
{
	c->svm.event = (unsigned)vector | (unsigned)type << 8 | EVENT_VALID |
		       (has_error ? EVENT_HAS_ERROR | (uint64_t)error << 32 : 0);
}

/* A software interrupt returns to nRIP, as far as the VMM has set that. */
void svm_inject(struct cpu *c)
{
	uint64_t e = c->svm.inject;
	int vector = e & 0xff;
	bool has_error = e & EVENT_HAS_ERROR, soft;

	c->svm.inject = 0;
	switch (e >> 8 & 7) {
	case SVM_EVENT_INTR:
		cpu_deliver_at(c, vector, EVENT_INTERRUPT, false, 0, c->rip);
		return;
	case SVM_EVENT_NMI:
		cpu_deliver_at(c, EXC_NMI, EVENT_NMI, false, 0, c->rip);
		return;
	case SVM_EVENT_SOFT:
		cpu_deliver_at(c, vector, EVENT_SOFT_INT, false, 0, c->svm.inject_rip ? c->svm.inject_rip : c->rip);
		return;
	}
	soft = (vector == EXC_BP || vector == EXC_OF) && c->svm.inject_rip;
	cpu_deliver_at(c, vector, soft ? EVENT_SOFT_TRAP : EVENT_EXCEPTION, has_error, (uint32_t)(e >> 32),
		       soft ? c->svm.inject_rip : c->rip);
}

static bool vintr_passes(const struct cpu *c)
{
	uint64_t v = c->svm.int_ctl;

	return c->svm.guest && v & V_IRQ && (v & V_IGN_TPR || V_PRIO(v) > (v & 15));
}

void svm_update_vintr(struct cpu *c)
{
	if (vintr_passes(c))
		atomic_fetch_or(&c->request, REQ_VINTR);
	else
		cpu_clear_request(c, REQ_VINTR);
}

bool svm_take_vintr(struct cpu *c)
{
	if (!vintr_passes(c)) {
		cpu_clear_request(c, REQ_VINTR);
		return false;
	}
	if (!(c->eflags & FL_IF) || c->shadow)
		return false;
	if (svm_intercepts(c, SVM_VINTR)) {
		svm_vmexit(c, SVM_VINTR, 0, 0, 0);
		return true;
	}
	c->svm.int_ctl &= ~V_IRQ;
	cpu_clear_request(c, REQ_VINTR);
	cpu_deliver(c, V_VECTOR(c->svm.int_ctl), EVENT_INTERRUPT, false, 0);
	return true;
}

bool svm_ferr(struct cpu *c)
{
	if (!svm_intercepts(c, SVM_FERR_FREEZE))
		return false;
	svm_vmexit(c, SVM_FERR_FREEZE, 0, 0, 0);
	return true;
}
