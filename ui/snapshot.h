/*
 * Snapshots inside disk images: savevm, loadvm, delvm, info snapshots.
 *
 * The first writable qcow2 image holds the machine's state; every writable image gets a
 * snapshot of the same name, so that disks and machine stay together.
 * Main loop's thread, machine lock.
 */
#ifndef UI_SNAPSHOT_H
#define UI_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/value.h"

struct vm;
struct snapshot_source;

/* Of which drives, by name; NULL: all. */
struct snapshot_choice {
	const char *vmstate;		/* holds the machine's state; NULL: the first one */
	const struct value *devices;	/* list of names; NULL: all writable ones */
};

/*
 * tag NULL: made from the date. One of the same name is replaced (with a choice: an error). live
 * and done: as in save_start(); done is called unless this returns false.
 */
bool snapshot_save_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, bool live,
		      void (*done)(void *opaque, bool ok, const struct err *e), void *opaque, struct err *e);
/* By tag or id. *touched false: the machine is as it was. */
bool snapshot_load_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, bool *touched, struct err *e);
bool snapshot_delete_vm(struct vm *vm, const char *tag, const struct snapshot_choice *which, struct err *e);
void snapshot_list(struct vm *vm, FILE *out);

/* Check a stream and become what it says; commit as in snapshot_load(). */
bool snapshot_become(struct vm *vm, const struct snapshot_source *src, bool (*commit)(void *opaque, struct err *e),
		     void *opaque, bool *touched, struct err *e);

#endif
