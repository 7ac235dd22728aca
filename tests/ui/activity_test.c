/* The line about what the machine is doing. */
#include "ui/activity.h"

#include <criterion/criterion.h>

#include "cpu/accel.h"
#include "hw/backend/net.h"
#include "hw/core/dev.h"
#include "hw/core/loop.h"
#include "ui/vm.h"

Test(activity, sums_become_rates)
{
	static const struct dev_type *const no_types[] = { NULL };
	struct err e;
	struct machine *m = machine_new(no_types, NULL, &e);
	struct loop *l = loop_new(m, &e);
	const struct accel_ops ops = { .name = "tcg" };
	struct net net = { 0 };
	struct backend b = { .kind = "netdev", .p = &net };
	struct vm vm = { .m = m, .loop = l, .ops = &ops };
	struct activity last = { 0 };
	unsigned in = 0;
	char text[200];

	machine_lock(m);
	net.n_in = 1000;
	m->backends = &b;
	activity_text(&vm, &last, text, sizeof(text));
	cr_expect_str_eq(text, "tcg 0% | disk read 0 write 0 | net in 0 out 0", "%s", text);
	last.at -= 2 * NS_PER_SEC;		/* as if that was two seconds ago */
	net.n_in += 5000;
	activity_text(&vm, &last, text, sizeof(text));
	cr_assert_eq(sscanf(text, "tcg 0%% | disk read 0 write 0 | net in %u out 0", &in), 1, "%s", text);
	cr_expect(in > 1000 && in <= 2500, "%u", in);
	m->backends = NULL;
	machine_unlock(m);
	machine_free(m);
	loop_free(l);
}
