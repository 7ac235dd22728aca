/* The file under an image: whole transfers at byte offsets, locking, size. */
#ifndef HW_BACKEND_BLOCK_FILE_H
#define HW_BACKEND_BLOCK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct block_options;

/* Open and lock o->file (for writing unless o says otherwise). -1 with err filled. */
int block_file_open(const struct block_options *o, struct err *e);
/* Length of a regular file or a device. */
bool block_file_size(int fd, const char *name, uint64_t *bytes, struct err *e);
/* What stands behind the end of the file reads as zeros. */
bool block_file_read(int fd, const char *name, uint64_t at, void *buf, size_t n, struct err *e);
bool block_file_write(int fd, const char *name, uint64_t at, const void *buf, size_t n, struct err *e);
bool block_file_sync(int fd, const char *name, struct err *e);

#endif
