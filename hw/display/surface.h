/*
 * A picture: what a display adapter shows, in 32-bit pixels (0x00RRGGBB), and
 * how to write it to a file.
 */
#ifndef HW_DISPLAY_SURFACE_H
#define HW_DISPLAY_SURFACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct surface {
	int w, h;
	uint32_t *px;		/* w * h, row by row */
	size_t cap;		/* pixels allocated */
};

/* Make it w by h; the content is undefined. False: no memory, or not positive. */
bool surface_resize(struct surface *s, int w, int h);
void surface_fini(struct surface *s);

enum surface_format { SURFACE_BY_NAME, SURFACE_PPM, SURFACE_PNG };
/* A PPM or PNG (true colour) file; by its name: PNG if that ends in ".png". */
bool surface_save(const struct surface *s, const char *path, enum surface_format f, struct err *e);

#endif
