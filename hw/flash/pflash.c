/*
 * Parallel NOR flash, Intel command set (CFI 01), one byte wide.
 *
 * In array mode reads come from memory, at full speed and with translated code;
 * every write is a command. A command that changes what reads give (status, ID,
 * query) makes reads come here, too, until "read array" (0xff):
 *
 *	0xff  read array		0x10, 0x40  program: the next write is the byte
 *	0x70  read status		0x20 0xd0   erase the block
 *	0x50  clear status		0xe8 n ... 0xd0  program n + 1 bytes
 *	0x90  read ID			0x60 x      lock bits
 *	0x98  CFI query
 *
 * Programming clears bits, erasing sets them. What has changed goes to the image
 * with the next command that is no programming, and at the end. With the property
 * "secure" only code in system-management mode can change anything.
 *
 * Not modelled: time that programming and erasing take (they are done at once, so
 * "suspend" has nothing to suspend), lock bits (blocks are never locked), banks
 * of chips side by side.
 * Source: Intel StrataFlash J3 data sheet (290667), "Flash Operations", tables of
 * commands and status; JEDEC JESD68.01 (CFI query). A cleared status reads as 0,
 * by which OVMF's driver tells flash from RAM and ROM.
 */
#include "hw/flash/pflash.h"

#include <string.h>

#include "cpu/cpu.h"
#include "hw/backend/drive.h"

enum {
	CMD_PROGRAM = 0x10, CMD_ERASE = 0x20, CMD_PROGRAM2 = 0x40, CMD_CLEAR_STATUS = 0x50,
	CMD_LOCK = 0x60, CMD_STATUS = 0x70, CMD_ID = 0x90, CMD_QUERY = 0x98, CMD_CONFIRM = 0xd0,
	CMD_BUFFER = 0xe8, CMD_ARRAY = 0xff,
};
enum step {			/* what the next write is */
	WANT_COMMAND, WANT_BYTE, WANT_ERASE, WANT_COUNT, WANT_DATA, WANT_CONFIRM, WANT_LOCK,
};
enum view { VIEW_ARRAY, VIEW_STATUS, VIEW_ID, VIEW_QUERY };	/* what reads give */

#define SR_READY	0x80u
#define SR_ERASE_ERROR	0x20u
#define SR_PROGRAM_ERROR 0x10u
#define SR_SEQUENCE	(SR_ERASE_ERROR | SR_PROGRAM_ERROR)

#define ID_MAKER	0x89		/* Intel */
#define ID_DEVICE	0x18		/* 28F128J3 */
#define BUFFER_LOG2	8
#define BUFFER		(1u << BUFFER_LOG2)
#define QUERY_LEN	0x40
#define PRIO		1

struct pflash {
	struct dev dev;
	struct drive *drive;		/* property */
	bool secure;			/* property */
	struct ram *ram;
	struct mmio *mmio;		/* in array mode reads come from ram */
	uint8_t step, view, status;
	uint8_t buffer[BUFFER];
	uint32_t buffer_at;		/* where buffer[0] belongs */
	uint16_t buffer_n, buffer_have;
	uint32_t dirty, dirty_end;	/* bytes the image has not got yet */
	struct drive_req io;		/* on its way to the image: data, then a flush */
	struct iovec io_data;
	bool io_busy, io_again;		/* ... and when it is there the rest */
	uint8_t query[QUERY_LEN];
};

/* ---- the image ---- */

static void mark_dirty(struct pflash *f, uint32_t at, uint32_t n)
{
	if (f->dirty == f->dirty_end) {
		f->dirty = at;
		f->dirty_end = at + n;
	} else {
		f->dirty = f->dirty < at ? f->dirty : at;
		f->dirty_end = f->dirty_end > at + n ? f->dirty_end : at + n;
	}
}

static void write_back(struct pflash *f);

static void written_back(struct drive_req *r)
{
	struct pflash *f = container_of(r, struct pflash, io);

	if (r->ok && r->op == DRIVE_WRITE) {
		*r = (struct drive_req){ .op = DRIVE_FLUSH, .done = written_back };
		drive_submit(f->drive, r);
		return;
	}
	f->io_busy = false;
	if (!r->ok && r->op == DRIVE_WRITE)	/* the drive has said why; with the next command it is tried again */
		mark_dirty(f, (uint32_t)(r->at * SECTOR), r->n * SECTOR);
	if (f->io_again)
		write_back(f);
}

static void write_back(struct pflash *f)
{
	uint32_t from = (uint32_t)align_down(f->dirty, SECTOR), to = (uint32_t)align_up(f->dirty_end, SECTOR);

	f->io_again = f->io_busy;
	if (f->dirty == f->dirty_end || f->io_busy)
		return;
	f->dirty = f->dirty_end = 0;
	f->io_busy = true;
	f->io_data = (struct iovec){ f->ram->host + from, to - from };
	f->io = (struct drive_req){ .op = DRIVE_WRITE, .at = from / SECTOR, .n = (to - from) / SECTOR,
				    .iov = &f->io_data, .niov = 1, .done = written_back };
	drive_submit(f->drive, &f->io);
}

/* ---- changing the array ---- */

static bool may_change(const struct pflash *f)
{
	const struct cpu *c = machine_current_cpu(f->dev.m);

	return !drive_readonly(f->drive) && (!f->secure || (c && c->in_smm));
}

/* Program n bytes: bits only go from 1 to 0. */
static void program(struct pflash *f, uint32_t at, const uint8_t *p, uint32_t n)
{
	uint8_t v[BUFFER];

	f->status |= SR_READY;
	if (!may_change(f) || n > f->ram->size - at) {
		f->status |= SR_PROGRAM_ERROR;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		v[i] = f->ram->host[at + i] & p[i];
	phys_ram_write(f->dev.m->phys, f->ram, at, v, n);
	mark_dirty(f, at, n);
}

static void erase(struct pflash *f, uint32_t at)
{
	static const uint8_t blank[64] = { [0 ... 63] = 0xff };

	f->status |= SR_READY;
	if (!may_change(f)) {
		f->status |= SR_ERASE_ERROR;
		return;
	}
	at = (uint32_t)align_down(at, PFLASH_BLOCK);
	for (uint32_t i = 0; i < PFLASH_BLOCK; i += sizeof(blank))
		phys_ram_write(f->dev.m->phys, f->ram, at + i, blank, sizeof(blank));
	mark_dirty(f, at, PFLASH_BLOCK);
}

/* ---- commands ---- */

static void set_view(struct pflash *f, enum view v)
{
	f->view = v;
	mmio_read_from(f->dev.m, f->mmio, v == VIEW_ARRAY ? f->ram : NULL);
}

static void expect(struct pflash *f, enum step s)
{
	f->step = s;
	set_view(f, VIEW_STATUS);
}

static void back_to_array(struct pflash *f)
{
	f->step = WANT_COMMAND;
	set_view(f, VIEW_ARRAY);
}

static void command(struct pflash *f, uint32_t at, uint8_t v)
{
	if (v != CMD_PROGRAM && v != CMD_PROGRAM2)
		write_back(f);
	switch (v) {
	case CMD_PROGRAM: case CMD_PROGRAM2: expect(f, WANT_BYTE); break;
	case CMD_ERASE: expect(f, WANT_ERASE); break;
	case CMD_LOCK: expect(f, WANT_LOCK); break;
	case CMD_STATUS: set_view(f, VIEW_STATUS); break;
	case CMD_ID: set_view(f, VIEW_ID); break;
	case CMD_QUERY: set_view(f, VIEW_QUERY); break;
	case CMD_ARRAY: set_view(f, VIEW_ARRAY); break;
	case CMD_CLEAR_STATUS: f->status = 0; break;
	case CMD_BUFFER:
		f->status |= SR_READY;
		expect(f, WANT_COUNT);
		break;
	default:
		log_guest("pflash: command %#x at %#x", v, at);
		back_to_array(f);
	}
}

static void take_count(struct pflash *f, uint8_t v)
{
	f->buffer_n = (uint16_t)(v + 1);
	f->buffer_have = 0;
	f->step = WANT_DATA;
}

/* The first byte says where the rest goes. */
static void take_data(struct pflash *f, uint32_t at, uint8_t v)
{
	if (!f->buffer_have)
		f->buffer_at = at;
	f->buffer[f->buffer_have++] = v;
	if (f->buffer_have >= f->buffer_n)
		f->step = WANT_CONFIRM;
}

static void take_confirm(struct pflash *f, uint32_t at, uint8_t v)
{
	enum step was = (enum step)f->step;

	f->step = WANT_COMMAND;
	if (v != CMD_CONFIRM)
		f->status |= SR_READY | SR_SEQUENCE;
	else if (was == WANT_ERASE)
		erase(f, at);
	else
		program(f, f->buffer_at, f->buffer, f->buffer_n);
}

static void flash_write(void *opaque, uint64_t off, int size, uint64_t v)
{
	struct pflash *f = opaque;
	uint32_t at = (uint32_t)off;
	uint8_t byte = (uint8_t)v;

	(void)size;
	switch ((enum step)f->step) {
	case WANT_COMMAND: command(f, at, byte); break;
	case WANT_COUNT: take_count(f, byte); break;
	case WANT_DATA: take_data(f, at, byte); break;
	case WANT_ERASE: case WANT_CONFIRM: take_confirm(f, at, byte); break;
	case WANT_BYTE:
		f->step = WANT_COMMAND;
		program(f, at, &byte, 1);
		break;
	case WANT_LOCK:
		f->step = WANT_COMMAND;
		f->status |= SR_READY;
		break;
	}
}

static uint64_t flash_read(void *opaque, uint64_t off, int size)
{
	struct pflash *f = opaque;

	(void)size;
	switch ((enum view)f->view) {
	case VIEW_STATUS: return f->status;
	case VIEW_ID: return (off & 0xff) == 0 ? ID_MAKER : (off & 0xff) == 1 ? ID_DEVICE : 0;
	case VIEW_QUERY: return off < QUERY_LEN ? f->query[off] : 0;
	case VIEW_ARRAY: break;
	}
	return f->ram->host[off];
}

/* A command changes what the next instruction reads: stores are executed alone. */
static const struct mmio_ops flash_ops = { flash_read, flash_write, 1, true };

/* ---- device ---- */

/* JESD68.01, tables 2-4: voltages in BCD, times and sizes as powers of two. */
static void fill_query(struct pflash *f)
{
	static const uint8_t fixed[] = {
		[0x10] = 'Q', 'R', 'Y', 0x01, 0x00, 0x31, 0x00, 0, 0, 0, 0,
		[0x1b] = 0x27, 0x36, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0,
		[0x2a] = BUFFER_LOG2, 0, 1,
		[0x31] = 'P', 'R', 'I', '1', '1',
	};
	uint32_t blocks = (uint32_t)(f->ram->size / PFLASH_BLOCK) - 1;

	memcpy(f->query, fixed, sizeof(fixed));
	while (1ull << f->query[0x27] < f->ram->size)
		f->query[0x27]++;
	st16(f->query + 0x2d, (uint16_t)blocks);
	st16(f->query + 0x2f, PFLASH_BLOCK / 256);
}

static bool load_image(struct pflash *f, struct err *e)
{
	uint64_t size = drive_sectors(f->drive) * SECTOR;

	if (!size || size % PFLASH_BLOCK || size > PFLASH_MOST)
		return err_set(e, "'%s': flash images are multiples of 4 KiB, up to 16 MiB",
			       drive_id(f->drive));
	f->ram = phys_ram_new(f->dev.m->phys, "flash", size, e);
	return f->ram && drive_transfer(f->drive, DRIVE_READ, 0, f->ram->host, (uint32_t)(size / SECTOR), e);
}

static const struct drive_user user = { .name = "flash" };

static bool pflash_init(void *dev, struct err *e)
{
	struct pflash *f = dev;

	if (!f->drive)
		return err_set(e, "needs drive=ID, the image it holds");
	if (!drive_attach(f->drive, &user, f, e)) {
		f->drive = NULL;
		return false;
	}
	if (!load_image(f, e))
		return false;
	fill_query(f);
	f->mmio = mmio_map(f->dev.m, 0, f->ram->size, PRIO, &flash_ops, f, "flash", e);
	if (!f->mmio)
		return false;
	mmio_set(f->dev.m, f->mmio, 0, false);
	return true;
}

static void pflash_fini(void *dev)
{
	struct pflash *f = dev;

	if (!f->drive)
		return;
	if (f->ram) {
		drive_drain(f->dev.m, f->drive);
		write_back(f);
		drive_drain(f->dev.m, f->drive);
	}
	drive_cancel(&f->io);
	drive_detach(f->drive);
	mmio_unmap(f->dev.m, f->mmio);
}

static void pflash_reset(void *dev)
{
	struct pflash *f = dev;

	write_back(f);
	f->status = 0;
	f->buffer_n = f->buffer_have = 0;
	back_to_array(f);
}

/* The image will hold what the memory of the loaded state holds, which comes behind this. */
static bool pflash_loaded(void *dev, struct err *e)
{
	struct pflash *f = dev;

	if (f->step > WANT_LOCK || f->view > VIEW_QUERY || f->buffer_n > BUFFER || f->buffer_at >= f->ram->size
	    || f->buffer_have > f->buffer_n || (f->step == WANT_DATA && f->buffer_have == f->buffer_n))
		return err_set(e, "%s: state out of range", f->dev.id);
	if (!drive_readonly(f->drive))
		mark_dirty(f, 0, (uint32_t)f->ram->size);
	set_view(f, (enum view)f->view);
	return true;
}

struct ram *pflash_ram(const struct dev *d)
{
	return ((const struct pflash *)d)->ram;
}

void pflash_place(struct dev *d, uint64_t pa)
{
	struct pflash *f = (struct pflash *)d;

	mmio_set(d->m, f->mmio, pa, true);
}

static const struct state pflash_state[] = {
	STATE(pflash, step), STATE(pflash, view), STATE(pflash, status), STATE(pflash, buffer),
	STATE(pflash, buffer_at), STATE(pflash, buffer_n), STATE(pflash, buffer_have), { 0 }
};
static const struct prop pflash_props[] = {
	PROP_REF("drive", pflash, drive, "drive", "the image it holds"),
	PROP(BOOL, pflash, secure, "secure", 0, "only code in SMM can change it"),
	{ 0 }
};

const struct dev_type pflash_type = {
	.name = "cfi.pflash01", .bus = "system", .help = "parallel NOR flash",
	.size = sizeof(struct pflash), .version = 1, .state = pflash_state, .props = pflash_props,
	.init = pflash_init, .fini = pflash_fini, .reset = pflash_reset, .loaded = pflash_loaded,
};
