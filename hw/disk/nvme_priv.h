/*
 * The NVMe controller's parts: nvme.c (registers, queues), nvme_cmd.c (what commands
 * do). Machine lock.
 */
#ifndef HW_DISK_NVME_PRIV_H
#define HW_DISK_NVME_PRIV_H

#include "hw/backend/drive.h"
#include "hw/core/sg.h"
#include "hw/disk/nvme.h"
#include "hw/pci/pci.h"

#define NVME_QUEUES	17		/* pairs, with the administrator's */
#define NVME_DEPTH	2048u		/* entries of a queue at most */
#define NVME_SLOTS	128		/* commands under way at most */
#define NVME_EVENTS	4		/* asynchronous event requests at most */
#define NVME_SQE	64u
#define NVME_CQE	16u
#define NVME_PAGE	4096u

/* Status codes: type << 8 | code. */
enum {
	NVME_OK = 0, NVME_BAD_OPCODE = 0x001, NVME_BAD_FIELD = 0x002, NVME_DATA_ERROR = 0x004, NVME_INTERNAL = 0x006,
	NVME_BAD_NAMESPACE = 0x00b, NVME_LBA_RANGE = 0x080,
	NVME_BAD_CQ = 0x100, NVME_BAD_QUEUE = 0x101, NVME_BAD_SIZE = 0x102, NVME_ABORT_LIMIT = 0x103,
	NVME_EVENT_LIMIT = 0x105, NVME_BAD_VECTOR = 0x108, NVME_BAD_LOG = 0x109, NVME_BAD_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d, NVME_WRITE_FAULT = 0x280, NVME_READ_ERROR = 0x281,
};

struct nvme_sq {
	uint64_t base;
	uint16_t size;			/* entries; 0: there is no such queue */
	uint16_t head, tail, cq;
};

struct nvme_cq {
	uint64_t base;
	uint16_t size;
	uint16_t head, tail, vector;
	uint8_t phase, interrupts, pad[6];
};

/* A command under way. Saved: it begins again when the machine was loaded. */
struct nvme_slot {
	uint8_t used, pad;
	uint16_t sq;
	uint8_t sqe[NVME_SQE];
};

struct nvme;
/* ... and what it does at the moment. */
struct nvme_cmd {
	struct nvme *n;
	unsigned slot;
	bool running;
	uint64_t at, left;		/* sectors */
	uint64_t moved;			/* bytes */
	uint32_t range, n_ranges;	/* of a deallocation */
	struct sg sg;
	struct drive_req r;
};

struct nvme {
	struct pci_dev pci;
	struct drive *drive;		/* properties */
	char *serial;
	uint64_t asq, acq;
	uint32_t intm, cc, csts, aqa;
	uint32_t features_write_cache, features_coalescing, features_events;
	uint8_t n_events, pad[3];
	uint16_t event[NVME_EVENTS];	/* command identifiers that wait for something to happen */
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];
	struct nvme_slot slot[NVME_SLOTS];
	struct nvme_cmd *cmd;		/* by slot */
	struct drive_req shut;		/* the flush of a shutdown */
};

/* ---- nvme.c ---- */

/* The command's end: its slot is free, and what waits for one goes on. */
void nvme_done(struct nvme_cmd *c, unsigned status, uint32_t result);
/* Memory at `off` of the command's data, up to n bytes, as c->sg; how many: n or a multiple of a sector. */
uint64_t nvme_gather(struct nvme_cmd *c, uint64_t off, uint64_t n, bool to_guest);
const uint8_t *nvme_sqe(const struct nvme_cmd *c);
/* Everything that queue q has under way is given up. */
void nvme_cancel_queue(struct nvme *n, unsigned q);

/* ---- nvme_cmd.c ---- */
void nvme_execute(struct nvme_cmd *c);

#endif
