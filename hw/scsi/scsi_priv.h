/*
 * SCSI commands and what they are written with: scsi.c (moving data, status),
 * scsi_disk.c (commands of all units and of disks), scsi_cd.c (of optical drives).
 */
#ifndef HW_SCSI_SCSI_PRIV_H
#define HW_SCSI_SCSI_PRIV_H

#include <string.h>

#include "hw/scsi/scsi.h"

enum { KEY_NONE = 0, KEY_NOT_READY = 2, KEY_MEDIUM = 3, KEY_ILLEGAL = 5, KEY_ATTENTION = 6, KEY_PROTECT = 7 };
/* Additional sense code and qualifier. */
enum {
	ASC_WRITE_ERROR = 0x0c00, ASC_READ_ERROR = 0x1100, ASC_PARAM_LENGTH = 0x1a00, ASC_BAD_COMMAND = 0x2000,
	ASC_OUT_OF_RANGE = 0x2100, ASC_BAD_FIELD = 0x2400, ASC_BAD_PARAMETER = 0x2600, ASC_PROTECTED = 0x2700,
	ASC_CHANGED = 0x2800, ASC_POWER_ON = 0x2900, ASC_RESIZED = 0x2a09, ASC_SAVING = 0x3900, ASC_NO_MEDIUM = 0x3a00,
	ASC_TRAY_OPEN = 0x3a02, ASC_LOCKED = 0x5302,
};
enum { ATTENTION_POWER_ON = 1, ATTENTION_CHANGED, ATTENTION_RESIZED };

/* What a command's data are. */
enum {
	JOB_NONE,			/* nothing moves: done when asked to move */
	JOB_REPLY,			/* the first len bytes of buf go in */
	JOB_PARAM,			/* len bytes go to buf, then scsi_with_parameters() */
	JOB_READ, JOB_WRITE,		/* the medium */
	JOB_FLUSH, JOB_DISCARD, JOB_ZERO, JOB_SAME,	/* lba, left; SAME: buf again and again */
};

static inline uint16_t be16(const uint8_t *p) { return __builtin_bswap16(ld16(p)); }
static inline uint32_t be32(const uint8_t *p) { return __builtin_bswap32(ld32(p)); }
static inline uint64_t be64(const uint8_t *p) { return __builtin_bswap64(ld64(p)); }
static inline void put16(uint8_t *p, uint32_t v) { st16(p, __builtin_bswap16((uint16_t)v)); }
static inline void put32(uint8_t *p, uint32_t v) { st32(p, __builtin_bswap32(v)); }
static inline void put64(uint8_t *p, uint64_t v) { st64(p, __builtin_bswap64(v)); }

/* ---- results, by commands ---- */
void scsi_good(struct scsi_req *r);			/* nothing to move */
void scsi_fail(struct scsi_req *r, uint8_t key, uint16_t asc);
/* n bytes of job.buf, as many as the guest has room for. */
void scsi_reply(struct scsi_req *r, uint32_t n, uint32_t room);
/* Expect n bytes of parameters; more than fit into job.buf: an error. */
void scsi_want(struct scsi_req *r, uint32_t n);
/* job.buf, n bytes of zeros. */
uint8_t *scsi_clear(struct scsi_req *r, uint32_t n);
/* Blocks of the unit; out of range: an error. */
void scsi_medium(struct scsi_req *r, int kind, uint64_t lba, uint64_t blocks);
uint64_t scsi_blocks(const struct scsi_unit *u);
/* Discard what n descriptors in job.buf say, which were checked. */
void scsi_unmap(struct scsi_req *r, uint32_t n);

/* No command moves more: 2 GiB. */
#define SCSI_MAX_SECTORS (1u << 22)

struct scsi_command {
	uint8_t op, flags;
	void (*run)(struct scsi_req *r, const uint8_t *c);
	void (*parameters)(struct scsi_req *r, const uint8_t *c);	/* all are in job.buf; or NULL */
};
#define SCSI_MEDIUM	1u		/* needs a medium */
#define SCSI_CALM	2u		/* does not report attention conditions */
#define SCSI_CHANGES	4u		/* needs a medium that can be written to */

/* Tables end with a row without run. */
extern const struct scsi_command scsi_common_commands[], scsi_disk_commands[], scsi_cd_commands[];

#endif
