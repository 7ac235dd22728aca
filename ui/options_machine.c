/* -machine: which board, and its switches. */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/spell.h"
#include "ui/keyval.h"

static const struct board_row {
	struct opt_board told;		/* name, alias, ... as tools ask for them */
	enum pc_board board;
} boards[] = {
	{ { "pc-i440fx-7.2", "pc", "Standard PC (i440FX + PIIX, 1996)", PC_MAX_CPUS, true }, PC_BOARD_I440FX },
	{ { "pc-q35-7.2", "q35", "Standard PC (Q35 + ICH9, 2009)", PC_MAX_CPUS, true }, PC_BOARD_Q35 },
	{ { "microvm", NULL, "microvm (i386)", PC_MAX_CPUS, true }, PC_BOARD_MICROVM },
	{ { "none", NULL, "empty machine", 1, false }, PC_BOARD_NONE },
};

bool options_board(int n, struct opt_board *out)
{
	if (n >= (int)ARRAY_LEN(boards))
		return false;
	*out = boards[n].told;
	return true;
}

/* Its short name, or that of any version: other programs pass what they know. */
static bool is_called(const struct opt_board *b, const char *name)
{
	size_t family = b->alias ? (size_t)(strrchr(b->name, '-') - b->name) : 0;

	return b->alias ? !strcmp(name, b->alias) || !strncmp(name, b->name, family) : !strcmp(name, b->name);
}

static enum opt_result list_boards(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(boards); i++)
		if (boards[i].told.alias)
			fprintf(out, "%-6s (also %s and other versions) %s%s\n", boards[i].told.alias,
				boards[i].told.name, boards[i].told.help, i ? "" : " (default)");
		else
			fprintf(out, "%-6s %s\n", boards[i].told.name, boards[i].told.help);
	return OPT_DONE;
}

static bool choose_board(struct options *o, const char *name, struct err *e)
{
	struct spell near;
	char hint[80];

	spell_init(&near, name);
	for (size_t i = 0; i < ARRAY_LEN(boards); i++) {
		spell_try(&near, boards[i].told.alias ? boards[i].told.alias : boards[i].told.name);
		if (is_called(&boards[i].told, name)) {
			o->pc.board = boards[i].board;
			return true;
		}
	}
	return err_set(e, "-machine: no board '%s'%s", name,
		       near.best ? spell_hint(&near, hint, sizeof(hint)) : "; -machine help lists them");
}

/* Switches of things that a software machine has in one way only: said where it matters. */
static void note_fixed(struct kv *k)
{
	static const char *const irqchips[] = { "off", "on", "split", NULL };
	static const char *const vmports[] = { "off", "on", "auto", NULL };
	static const char *const ignored[] = { "dump-guest-core", "mem-merge", "graphics", "memory-backend", NULL };

	kv_word(k, "kernel-irqchip", 0, irqchips);
	kv_word(k, "kernel_irqchip", 0, irqchips);
	if (kv_word(k, "vmport", 2, vmports) == 1)
		warn("-machine: vmport=on: there is no VMware port");
	if (!kv_bool(k, "pit", true))
		warn("-machine: pit=off: these boards always have an 8254");
	kv_ignore(k, ignored);
}

enum opt_result opt_machine(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const smm_words[] = { "off", "on", "auto", NULL };
	struct kv k;
	const char *type, *accel;

	if (!strcmp(arg, "help") || !strcmp(arg, "?"))
		return list_boards(out);
	kv_parse(&k, "-machine", arg, "type", e);
	type = kv_str(&k, "type", NULL);
	accel = kv_str(&k, "accel", NULL);
	o->pc.no_acpi = !kv_bool(&k, "acpi", !o->pc.no_acpi);
	o->pc.no_hpet = !kv_bool(&k, "hpet", !o->pc.no_hpet);
	o->pc.pflash[0] = kv_str(&k, "pflash0", o->pc.pflash[0]);
	o->pc.pflash[1] = kv_str(&k, "pflash1", o->pc.pflash[1]);
	o->pc.usb = kv_bool(&k, "usb", o->pc.usb);
	o->pc.pcspk = kv_str(&k, "pcspk-audiodev", o->pc.pcspk);
	o->pc.no_smm = kv_word(&k, "smm", o->pc.no_smm ? 0 : 2, smm_words) == 0;
	note_fixed(&k);
	if (!kv_done(&k) || (type && !choose_board(o, type, e)))
		return OPT_BAD;
	return !accel || options_add_accels(o, accel, e) ? OPT_GO : OPT_BAD;
}
