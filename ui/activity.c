/*
 * What the machine is doing: the processor time of its vCPUs' threads, and what drives and networks have
 * moved (contract in ui/activity.h).
 *
 * Not modelled: guest instructions a second; the translator does not count them without a plugin.
 */
#include "ui/activity.h"

#include <stdio.h>
#include <string.h>

#include "hw/backend/drive.h"
#include "hw/backend/net.h"
#include "hw/core/loop.h"
#include "ui/vm.h"

static struct activity sums(const struct vm *vm)
{
	struct activity a = { .at = clock_now(loop_host_clock(vm->loop)) };

	for (int i = 0; i < vm->ncpus; i++)
		a.cpu_ns += cpu_ran_ns(vm->vcpus[i].cpu);
	for (struct drive *d = drive_next(vm->m, NULL); d; d = drive_next(vm->m, d)) {
		a.read += drive_stats(d)->op[DRIVE_READ].bytes;
		a.written += drive_stats(d)->op[DRIVE_WRITE].bytes;
	}
	for (const struct backend *b = vm->m->backends; b; b = b->next)
		if (!strcmp(b->kind, "netdev")) {
			a.in += ((const struct net *)b->p)->n_in;
			a.out += ((const struct net *)b->p)->n_out;
		}
	return a;
}

/* With three or four digits, and the letter of a thousand or a million. */
static const char *rate(char *buf, size_t n, double v)
{
	if (v >= 1e6)
		snprintf(buf, n, "%.1fM", v / 1e6);
	else if (v >= 1e4)
		snprintf(buf, n, "%.0fk", v / 1e3);
	else
		snprintf(buf, n, "%.0f", v);
	return buf;
}

void activity_text(const struct vm *vm, struct activity *last, char *buf, size_t n)
{
	struct activity now = sums(vm);
	double s = (double)(now.at - last->at) / (double)NS_PER_SEC;
	char r[32], w[32], in[32], out[32];

	if (!last->at || s <= 0)
		s = 1e30;		/* nothing is known of the time before */
	snprintf(buf, n, "%s %.0f%% | disk read %s write %s | net in %s out %s", vm->ops ? vm->ops->name : "",
		 (double)(now.cpu_ns - last->cpu_ns) / s / (double)NS_PER_SEC * 100,
		 rate(r, sizeof(r), (double)(now.read - last->read) / s),
		 rate(w, sizeof(w), (double)(now.written - last->written) / s),
		 rate(in, sizeof(in), (double)(now.in - last->in) / s),
		 rate(out, sizeof(out), (double)(now.out - last->out) / s));
	*last = now;
}
