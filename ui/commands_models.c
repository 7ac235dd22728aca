/* Commands about boards, processor models and options: what a program asks before it starts a guest. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/cpuid.h"
#include "hw/pc/pc.h"
#include "ui/commands.h"
#include "ui/options.h"
#include "ui/vm.h"

/* ---- boards ---- */

struct value *cmd_query_machines(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();
	struct opt_board b;

	(void)c, (void)args;
	for (int i = 0; options_board(i, &b); i++) {
		struct value *v = val_dict();

		val_add_str(v, "name", b.name);
		if (b.alias)
			val_add_str(v, "alias", b.alias);
		if (i == 0)
			val_add_bool(v, "is-default", true);
		val_add_int(v, "cpu-max", b.max_cpus);
		val_add_bool(v, "hotpluggable-cpus", b.alias != NULL);
		val_add_bool(v, "numa-mem-supported", false);
		val_add_bool(v, "deprecated", false);
		val_add_bool(v, "acpi", b.acpi);
		val_append(list, v);
	}
	return list;
}

struct value *cmd_query_current_machine(struct cmd *c, const struct value *args)
{
	struct value *v = val_dict();

	(void)args;
	val_add_bool(v, "wakeup-suspend-support", c->vm->cfg && !c->vm->cfg->no_acpi);
	return v;
}

/* ---- processor models ---- */

static struct value *missing_of(const struct cpu_expansion *x)
{
	struct value *list = val_list();

	for (unsigned i = 0; cpuid_feature_name(i); i++)
		if (cpuid_feature_in(x->missing, i))
			val_append(list, val_str(cpuid_feature_name(i)));
	return list;
}

struct value *cmd_query_cpu_definitions(struct cmd *c, const struct value *args)
{
	struct value *list = val_list();
	struct cpu_model_name m;
	struct cpu_expansion x;
	struct err e;

	(void)c, (void)args;
	for (unsigned i = 0; cpuid_model_name(i, &m); i++) {
		struct value *v = val_dict();
		bool everything = !strcmp(m.name, "max") || !strcmp(m.name, "host");

		val_add_str(v, "name", m.name);
		val_add_bool(v, "migration-safe", !everything);
		val_add_bool(v, "static", false);
		if (cpuid_expand(m.name, true, &x, &e))
			val_add(v, "unavailable-features", missing_of(&x));
		val_add(v, "typename", val_strf("%s-x86_64-cpu", m.name));
		if (*m.alias_of)
			val_add_str(v, "alias-of", m.alias_of);
		val_add_bool(v, "deprecated", false);
		val_append(list, v);
	}
	return list;
}

/* {"name": .., "props": {..}} as -cpu has it; "base", of static expansions, has no feature but those named. */
static char *model_text(const struct value *model)
{
	const struct value *props = val_get(model, "props");
	bool base = !strcmp(val_get_str(model, "name", ""), "base");
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fputs(base ? "max" : val_get_str(model, "name", ""), f);
	for (unsigned i = 0; base && cpuid_feature_name(i); i++)
		if (!val_get(props, cpuid_feature_name(i)))
			fprintf(f, ",%s=off", cpuid_feature_name(i));
	for (size_t i = 0; props && props->kind == VAL_DICT && i < props->n; i++) {
		const struct value *p = props->item[i];

		fprintf(f, ",%s=", props->key[i]);
		if (p->kind == VAL_BOOL)
			fputs(p->b ? "on" : "off", f);
		else if (p->kind == VAL_INT)
			fprintf(f, "%lld", (long long)p->i);
		else if (p->kind == VAL_STR)
			fputs(p->s, f);
	}
	fclose(f);
	return text;
}

static struct value *model_props(const struct cpu_expansion *x)
{
	struct value *v = val_dict();

	val_add_str(v, "vendor", x->id.vendor);
	val_add_int(v, "family", x->id.family);
	val_add_int(v, "model", x->id.model);
	val_add_int(v, "stepping", x->id.stepping);
	val_add_int(v, "phys-bits", x->phys_bits);
	for (unsigned i = 0; cpuid_feature_name(i); i++)
		val_add_bool(v, cpuid_feature_name(i), cpuid_feature_in(x->on, i));
	return v;
}

struct value *cmd_query_cpu_model_expansion(struct cmd *c, const struct value *args)
{
	const struct value *model = val_get(args, "model");
	bool fixed = !strcmp(val_get_str(args, "type", ""), "static");
	char *text = model_text(model);
	struct value *v = NULL, *m;
	struct cpu_expansion x;

	if (text && cpuid_expand(text, true, &x, &c->err)) {
		v = val_dict();
		m = val_add(v, "model", val_dict());
		val_add_str(m, "name", fixed ? "base" : val_get_str(model, "name", ""));
		val_add(m, "props", model_props(&x));
	}
	free(text);
	return v;
}

/* ---- options ---- */

/* "key=" anywhere in the words that describe an option's argument. */
struct value *options_keys(const char *arg)
{
	struct value *list = val_list();
	const char *start = arg;

	for (const char *p = arg; p && *p; p++) {
		if (*p == '=' && p > start) {
			struct value *v = val_dict();
			char name[40];

			snprintf(name, sizeof(name), "%.*s", (int)(p - start), start);
			val_add_str(v, "name", name);
			val_add_str(v, "type", "string");
			val_append(list, v);
		}
		if (!((*p >= 'a' && *p <= 'z') || *p == '-' || *p == '_'))
			start = p + 1;
	}
	return list;
}

struct value *cmd_query_command_line_options(struct cmd *c, const struct value *args)
{
	const char *wanted = val_get_str(args, "option", NULL), *name, *arg;
	struct value *list = val_list();

	for (unsigned i = 0; options_row(i, &name, &arg); i++) {
		/* What can only be "off" is not there. */
		if (!name || (arg && !strcmp(arg, "off")) || (wanted && strcmp(wanted, name)))
			continue;
		struct value *v = val_dict();
		val_add_str(v, "option", name);
		val_add(v, "parameters", options_keys(arg));
		val_append(list, v);
	}
	if (!wanted || list->n)
		return list;
	val_free(list);
	return cmd_fail(c, CMD_GENERIC, "Invalid parameter '%.100s'", wanted);
}
