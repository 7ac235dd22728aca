/*
 * Nodes: images and files by the names that programs give them (-blockdev, blockdev-add).
 *
 * An image nobody uses yet is a drive of that name; one that stands in a chain is found there.
 * A file's node is a name and what the file is opened with.
 * Main loop's thread, machine lock.
 */
#ifndef UI_NODE_H
#define UI_NODE_H

#include "hw/backend/drive.h"

struct vm;

/* The image of that name and the drive it belongs to, first of its chain or further down. NULL with err. */
struct block *node_find(struct vm *vm, const char *name, struct drive **d, struct err *e);
/* A drive by its name, or its first image's. NULL with err. */
struct drive *node_drive(struct vm *vm, const char *name, struct err *e);
/* How the first image of a drive is called. */
const char *node_name(struct drive *d);
/* A drive with an image that no device uses. NULL with err. */
struct drive *node_unused(struct vm *vm, const char *name, struct err *e);
/* Its image, which becomes the caller's. NULL with err. */
struct block *node_take(struct vm *vm, const char *name, struct err *e);
/* As -blockdev; text is "key=value,.." or JSON. */
bool node_add(struct vm *vm, const char *text, struct err *e);
bool node_del(struct vm *vm, const char *name, struct err *e);
/* The file of a file's node. NULL with err. */
const char *node_file(struct vm *vm, const char *name, struct err *e);
/* query-named-block-nodes lists files, too: the i-th one's name, or NULL. */
const char *node_nth_file(struct vm *vm, int i, const char **file);

#endif
