/*
 * Saved state in memory: sections of named fields.
 *
 * A section is one part of the machine (a device, a vCPU, the clock, a piece of
 * RAM), found by tag and instance. Its fields have names, so their order does not
 * matter and new ones can come. docs/state-format.md has the bytes.
 *
 * Versions. A section of a newer version than the program knows is refused. In one of
 * the same version every field is there, with the size it has; in an older one missing
 * fields keep the values they have (a reset's) and unknown ones are left out.
 */
#ifndef HW_CORE_STATE_H
#define HW_CORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dev;
struct state;

#define STATE_NAME_MAX	255u
#define STATE_MAX_SECTION (320u << 20)

/* ---- writing ---- */

/* Bytes that grow. Zeroed at first; state_buf_free() at the end. */
struct state_buf {
	uint8_t *p;
	size_t n, cap;
	bool failed;		/* no memory: what follows is lost */
	size_t begun;		/* where the section under way starts */
};

void state_buf_free(struct state_buf *b);
void state_begin(struct state_buf *b, const char *tag, const char *instance, uint32_t version);
void state_put(struct state_buf *b, const char *name, const void *p, uint32_t size);
void state_put32(struct state_buf *b, const char *name, uint32_t v);
void state_put64(struct state_buf *b, const char *name, uint64_t v);
void state_put_text(struct state_buf *b, const char *name, const char *text);
void state_end(struct state_buf *b);

/* ---- reading ---- */

/* A section that was checked; points into the bytes it was parsed from. */
struct section {
	char tag[STATE_NAME_MAX + 1], instance[STATE_NAME_MAX + 1];
	uint32_t version;
	uint32_t crc;
	const uint8_t *fields, *end;
};

#define SECTION_HEAD	4u	/* bytes that say how long the section is */

/* How many bytes the section has whose first SECTION_HEAD ones are at p; 0: none can. */
uint32_t section_length(const uint8_t *p);
/* The whole section of n bytes. False: damaged. */
bool section_parse(const uint8_t *p, uint32_t n, struct section *s, struct err *e);
/* A field's bytes, or NULL. */
const uint8_t *section_field(const struct section *s, const char *name, uint32_t *size);
/* A field of exactly this size. False (with err): it is not there. */
bool section_get(const struct section *s, const char *name, void *p, uint32_t size, struct err *e);
bool section_get32(const struct section *s, const char *name, uint32_t *v, struct err *e);
bool section_get64(const struct section *s, const char *name, uint64_t *v, struct err *e);
/* Is the version one the program knows? */
bool section_version_ok(const struct section *s, uint32_t known, struct err *e);

/* ---- tables ---- */

/* Rows of plain fields of the struct at base. */
void state_put_table(struct state_buf *b, const struct state *table, const void *base);
bool section_get_table(const struct section *s, const struct state *table, void *base, uint32_t version,
		       struct err *e);

/* ---- devices ---- */

/* A device as a section: tag "dev", instance its id. */
void state_put_dev(struct state_buf *b, struct dev *d);
/* Would the section load into the device? Touches nothing. */
bool section_fits_dev(const struct section *s, struct dev *d, struct err *e);
/* Take the fields; dev_loaded() follows when everything is in. */
void section_load_dev(const struct section *s, struct dev *d);

#endif
