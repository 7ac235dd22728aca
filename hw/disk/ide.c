/*
 * PIIX IDE: channels, task file registers, reset, interrupts, and the PCI
 * function they belong to.
 *
 *	0x1f0 / 0x170   data, then error/feature, sector count, LBA low, mid,
 *	                high, device, status/command
 *	0x3f6 / 0x376   alternate status / device control
 *	BAR 4           bus master (ide_dma.c)
 *
 * Writing a register writes it in both drives of a channel; the device register
 * selects which one answers and executes commands. What needs the disk is BSY until
 * the main loop says that it is done (ide_io.c); anything else completes at once.
 *
 * Not modelled: the controller's timing registers (they store), decoding
 * switched off in IDETIM, native-mode ports, overlapped commands.
 * Source: Intel 82371SB data sheet, 2.3 and 2.6; ATA/ATAPI-6 (T13 1410D) 5-9.
 */
#include "hw/disk/ide_priv.h"

#include <stdio.h>
#include <string.h>

#define CTL_NIEN	0x02u
#define CTL_SRST	0x04u
#define CTL_HOB		0x80u
#define BM_STATUS_IRQ	0x04u
#define IDETIM		0x40		/* timing of both channels */

enum { R_DATA, R_ERROR, R_COUNT, R_LBA0, R_LBA1, R_LBA2, R_SELECT, R_STATUS };

/* ---- interrupts ---- */

static void channel_update(struct ide *d, int ch)
{
	struct ide_channel *c = &d->ch[ch];
	irq_set(dev_isa_irq(&d->pci.dev, 14 + ch), c->intrq && !(c->control & CTL_NIEN));
}

static void ide_update(void *dev)
{
	channel_update(dev, 0);
	channel_update(dev, 1);
}

void ide_raise(struct ide *d, int i)
{
	struct ide_channel *c = ide_channel_of(d, i);
	if (c->unit != i % 2)
		return;
	c->intrq = 1;
	c->bm_status |= BM_STATUS_IRQ;
	channel_update(d, i / 2);
}

/* ---- how commands end ---- */

void ide_done(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	v->xfer = XFER_NONE;
	v->dma = 0;
	v->status = ST_DRDY | ST_DSC;
	ide_raise(d, i);
}

void ide_abort(struct ide *d, int i, uint8_t error)
{
	struct ide_drive *v = &d->drive[i];
	v->xfer = XFER_NONE;
	v->dma = 0;
	v->error = error;
	v->status = ST_DRDY | ST_DSC | ST_ERR;
	ide_raise(d, i);
}

void ide_request(struct ide *d, int i, enum transfer x, uint32_t n, bool quiet)
{
	struct ide_drive *v = &d->drive[i];
	v->xfer = (uint8_t)x;
	v->pos = 0;
	v->len = v->fill = n;
	v->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (!quiet)
		ide_raise(d, i);
}

void ide_signature(struct ide *d, int i)
{
	struct ide_drive *v = &d->drive[i];
	bool cd = d->medium[i].cdrom;
	v->xfer = XFER_NONE;
	v->dma = 0;
	v->error = 1;			/* diagnostics passed */
	v->count = v->lba0 = 1;
	v->lba1 = cd ? 0x14 : 0;
	v->lba2 = cd ? 0xeb : 0;
	v->hob_count = v->hob_lba0 = v->hob_lba1 = v->hob_lba2 = v->hob_feature = 0;
	v->select &= 0x10;
	v->status = cd ? 0 : ST_DRDY | ST_DSC;
}

/* ---- data port ---- */

static void data_block_done(struct ide *d, int i)
{
	switch (d->drive[i].xfer) {
	case XFER_PACKET:
	case XFER_PACKET_IN:
	case XFER_PACKET_OUT:
		ide_packet_next(d, i);
		break;
	default:
		ide_ata_next(d, i);
	}
}

static bool host_reads(const struct ide_drive *v)
{
	return v->xfer == XFER_DATA_IN || v->xfer == XFER_READ || v->xfer == XFER_PACKET_IN;
}

static uint32_t data_read(struct ide *d, int i, int size)
{
	struct ide_drive *v = &d->drive[i];
	uint32_t r = 0;
	if (!(v->status & ST_DRQ) || !host_reads(v) || v->dma)
		return 0;
	for (int k = 0; k < size && v->pos < v->len; k++)
		r |= (uint32_t)v->buf[v->pos++] << 8 * k;
	if (v->pos >= v->len)
		data_block_done(d, i);
	return r;
}

static void data_write(struct ide *d, int i, int size, uint32_t value)
{
	struct ide_drive *v = &d->drive[i];
	if (!(v->status & ST_DRQ) || host_reads(v) || v->dma)
		return;
	for (int k = 0; k < size && v->pos < v->len; k++)
		v->buf[v->pos++] = (uint8_t)(value >> 8 * k);
	if (v->pos >= v->len)
		data_block_done(d, i);
}

/* Of n accesses those that do not end the data request. */
static unsigned inner_accesses(const struct ide_drive *v, int size, unsigned n)
{
	unsigned room;

	if (!(v->status & ST_DRQ) || v->dma || v->pos >= v->len)
		return 0;
	room = (v->len - v->pos - 1) / (unsigned)size;
	return room < n ? room : n;
}

static unsigned data_read_run(struct ide *d, int ch, uint16_t off, int size, uint8_t *buf, unsigned n)
{
	struct ide_drive *v = &d->drive[ch * 2 + d->ch[ch].unit];
	unsigned k = off == R_DATA && host_reads(v) ? inner_accesses(v, size, n) : 0;

	memcpy(buf, v->buf + v->pos, k * (size_t)size);
	v->pos += k * (unsigned)size;
	return k;
}

static unsigned data_write_run(struct ide *d, int ch, uint16_t off, int size, const uint8_t *buf, unsigned n)
{
	struct ide_drive *v = &d->drive[ch * 2 + d->ch[ch].unit];
	unsigned k = off == R_DATA && !host_reads(v) ? inner_accesses(v, size, n) : 0;

	memcpy(v->buf + v->pos, buf, k * (size_t)size);
	v->pos += k * (unsigned)size;
	return k;
}

/* ---- task file ---- */

/* Device 0 answers for a device 1 that is missing; from a channel without any nothing comes back. */
static bool somebody_answers(const struct ide *d, int ch)
{
	return d->medium[ch * 2].present || d->medium[ch * 2 + 1].present;
}

static uint8_t register_read(struct ide *d, int ch, unsigned reg)
{
	struct ide_channel *c = &d->ch[ch];
	int i = ch * 2 + c->unit;
	const struct ide_drive *v = &d->drive[i];
	bool hob = c->control & CTL_HOB;

	if (!d->medium[i].present)
		return reg == R_SELECT && somebody_answers(d, ch) ? v->select | 0xa0 : 0;
	switch (reg) {
	case R_ERROR: return hob ? v->hob_feature : v->error;
	case R_COUNT: return hob ? v->hob_count : v->count;
	case R_LBA0: return hob ? v->hob_lba0 : v->lba0;
	case R_LBA1: return hob ? v->hob_lba1 : v->lba1;
	case R_LBA2: return hob ? v->hob_lba2 : v->lba2;
	case R_SELECT: return v->select | 0xa0;
	default:
		c->intrq = 0;		/* reading the status acknowledges */
		channel_update(d, ch);
		return v->status;
	}
}

static void two_byte(uint8_t *reg, uint8_t *hob, uint8_t value)
{
	*hob = *reg;
	*reg = value;
}

/* While a drive is busy its task file is its own; which drive is selected is the channel's. */
static void register_write_drive(struct ide_drive *v, unsigned reg, uint8_t value)
{
	if (v->status & ST_BSY && reg != R_SELECT)
		return;
	switch (reg) {
	case R_ERROR: two_byte(&v->feature, &v->hob_feature, value); break;
	case R_COUNT: two_byte(&v->count, &v->hob_count, value); break;
	case R_LBA0: two_byte(&v->lba0, &v->hob_lba0, value); break;
	case R_LBA1: two_byte(&v->lba1, &v->hob_lba1, value); break;
	case R_LBA2: two_byte(&v->lba2, &v->hob_lba2, value); break;
	default: v->select = value; break;
	}
}

#define CMD_DEVICE_RESET 0x08

static void command_write(struct ide *d, int i, uint8_t command)
{
	if (d->drive[i].status & ST_BSY && !(command == CMD_DEVICE_RESET && d->medium[i].cdrom)) {
		log_guest("%s: command %02x for a busy drive", d->pci.dev.id, command);
		return;
	}
	d->ch[i / 2].intrq = 0;
	ide_command(d, i, command);
	channel_update(d, i / 2);
}

static void register_write(struct ide *d, int ch, unsigned reg, uint8_t value)
{
	struct ide_channel *c = &d->ch[ch];
	c->control &= (uint8_t)~CTL_HOB;
	if (reg == R_STATUS) {
		int i = ch * 2 + c->unit;
		if (value == 0x90)	/* EXECUTE DEVICE DIAGNOSTIC goes to both */
			i = d->medium[ch * 2].present ? ch * 2 : i;
		if (d->medium[i].present)
			command_write(d, i, value);
		return;
	}
	register_write_drive(&d->drive[ch * 2], reg, value);
	register_write_drive(&d->drive[ch * 2 + 1], reg, value);
	if (reg == R_SELECT)
		c->unit = value >> 4 & 1;
}

static void channel_reset(struct ide *d, int ch)
{
	d->ch[ch].unit = 0;
	d->ch[ch].intrq = 0;
	for (int i = ch * 2; i < ch * 2 + 2; i++) {
		d->drive[i].select = 0;
		ide_io_cancel(d, i);
		ide_signature(d, i);
	}
	ide_dma_reset(&d->ch[ch]);
	channel_update(d, ch);
}

static void control_write(struct ide *d, int ch, uint8_t value)
{
	struct ide_channel *c = &d->ch[ch];
	bool was = c->control & CTL_SRST;
	c->control = value;
	if (value & CTL_SRST && !was)
		channel_reset(d, ch);
	channel_update(d, ch);
}

/* ---- ports ---- */

static uint32_t command_block_read(struct ide *d, int ch, uint16_t off, int size)
{
	uint32_t r = 0;
	if (off == R_DATA)
		return data_read(d, ch * 2 + d->ch[ch].unit, size);
	for (int k = 0; k < size; k++)
		r |= (uint32_t)register_read(d, ch, off + (unsigned)k) << 8 * k;
	return r;
}

static void command_block_write(struct ide *d, int ch, uint16_t off, int size, uint32_t v)
{
	if (off == R_DATA) {
		data_write(d, ch * 2 + d->ch[ch].unit, size, v);
		return;
	}
	for (int k = 0; k < size; k++)
		register_write(d, ch, off + (unsigned)k, (uint8_t)(v >> 8 * k));
}

static uint32_t control_read(struct ide *d, int ch)
{
	int i = ch * 2 + d->ch[ch].unit;
	return d->medium[i].present ? d->drive[i].status : 0;
}

#define CHANNEL_OPS(ch)									\
static uint32_t block_read_##ch(void *o, uint16_t off, int size)			\
{											\
	return command_block_read(o, ch, off, size);					\
}											\
static void block_write_##ch(void *o, uint16_t off, int size, uint32_t v)		\
{											\
	command_block_write(o, ch, off, size, v);					\
}											\
static unsigned block_read_run_##ch(void *o, uint16_t off, int size, uint8_t *buf, unsigned n)	\
{											\
	return data_read_run(o, ch, off, size, buf, n);					\
}											\
static unsigned block_write_run_##ch(void *o, uint16_t off, int size, const uint8_t *buf, unsigned n)	\
{											\
	return data_write_run(o, ch, off, size, buf, n);					\
}											\
static uint32_t control_read_##ch(void *o, uint16_t off, int size)			\
{											\
	(void)off, (void)size;								\
	return control_read(o, ch);							\
}											\
static void control_write_##ch(void *o, uint16_t off, int size, uint32_t v)		\
{											\
	(void)off, (void)size;								\
	control_write(o, ch, (uint8_t)v);						\
}											\
static const struct port_ops command_ops_##ch = { block_read_##ch, block_write_##ch, 4, 1,	\
	block_read_run_##ch, block_write_run_##ch };					\
static const struct port_ops control_ops_##ch = { control_read_##ch, control_write_##ch, 1, 1 };

CHANNEL_OPS(0)
CHANNEL_OPS(1)

/* ---- drives ---- */

static const struct drive_user disk_user = { .name = "an IDE disk" };

static bool attach_disc_drive(struct ide *d, int index, struct drive *drive, struct err *e)
{
	struct scsi_unit *u = &d->medium[index].unit;

	*u = (struct scsi_unit){
		.dev = &d->pci.dev, .drive = drive, .cd = true, .vendor = "RHEA", .product = "DVD-ROM", .version = "1.0",
		.serial = d->medium[index].serial,
	};
	d->io[index].scsi = (struct scsi_req){ .unit = u, .done = ide_packet_moved, .opaque = &d->io[index] };
	return scsi_unit_init(u, e);
}

bool ide_attach(struct dev *dev, int index, struct drive *drive, bool cdrom, const char *serial,
		struct err *e)
{
	struct ide *d = (struct ide *)dev;
	if (index < 0 || index > 3 || d->medium[index].present)
		return err_set(e, "IDE position %d is taken or does not exist", index);
	if (!cdrom && (!drive_present(drive) || drive_readonly(drive)))
		return err_set(e, drive_present(drive) ? "'%s': an IDE disk cannot be read-only"
			       : "'%s': a disk needs an image file", drive_id(drive));
	d->io[index].ide = d;
	d->io[index].index = index;
	if (!(cdrom ? attach_disc_drive(d, index, drive, e) : drive_attach(drive, &disk_user, &d->io[index], e)))
		return false;
	struct ide_medium *m = &d->medium[index];
	m->present = true;
	m->cdrom = cdrom;
	m->drive = drive;
	if (serial)
		snprintf(m->serial, sizeof(m->serial), "%s", serial);
	else
		snprintf(m->serial, sizeof(m->serial), "RH%05d", index + 1);
	ide_ata_power_on(d, index);
	ide_signature(d, index);
	return true;
}

void ide_detach(struct dev *dev, int index)
{
	struct ide *d = (struct ide *)dev;

	ide_io_cancel(d, index);
	if (d->medium[index].cdrom)
		scsi_unit_fini(&d->medium[index].unit);
	else if (d->medium[index].drive)
		drive_detach(d->medium[index].drive);
	d->medium[index] = (struct ide_medium){ 0 };
}

struct drive *ide_disk(const struct dev *dev, int index)
{
	const struct ide_medium *m = &((const struct ide *)dev)->medium[index];

	return m->present && !m->cdrom ? m->drive : NULL;
}

static const struct ata_controller places = { ide_attach, ide_detach };

/* ---- device ---- */

static bool ide_init(void *dev, struct err *e)
{
	static const struct pci_ids ids = { 0x8086, 0x7010, 0x1af4, 0x1100, 0x010180, 0x00, 0, false };
	struct ide *d = dev;
	struct machine *m = d->pci.dev.m;

	if (!pci_attach(&d->pci, &ids, e) || !pci_bar_io(&d->pci, 4, 16, &ide_bm_ops, d, e))
		return false;
	pci_set_config(&d->pci, PCI_STATUS, 2, 0x0280, 0);
	pci_set_config(&d->pci, IDETIM, 4, 0, 0xffffffff);
	pci_keep_config(&d->pci, IDETIM, 4);	/* drivers look there for which channels are in use */
	d->ports[0] = port_map(m, 0x1f0, 8, &command_ops_0, d, "ide0");
	d->ports[1] = port_map(m, 0x3f6, 1, &control_ops_0, d, "ide0-control");
	d->ports[2] = port_map(m, 0x170, 8, &command_ops_1, d, "ide1");
	d->ports[3] = port_map(m, 0x376, 1, &control_ops_1, d, "ide1-control");
	for (unsigned i = 0; i < 2; i++) {
		d->bus[i] = (struct ata_bus){ .controller = &places, .number = i, .units = 2 };
		ata_bus_init(&d->bus[i], &d->pci.dev);
	}
	return true;
}

static void ide_fini(void *dev)
{
	struct ide *d = dev;
	for (int i = 0; i < 2; i++)
		ata_bus_fini(&d->bus[i]);
	for (int i = 0; i < 4; i++) {
		port_unmap(d->pci.dev.m, d->ports[i]);
		ide_detach(dev, i);
		sg_fini(&d->io[i].sg);
	}
	pci_detach(&d->pci);
}

static void ide_reset(void *dev)
{
	struct ide *d = dev;

	pci_reset(&d->pci);
	for (int i = 0; i < 4; i++) {
		ide_io_cancel(d, i);
		ide_ata_power_on(d, i);
	}
	for (int ch = 0; ch < 2; ch++) {
		d->ch[ch].control = 0;
		d->ch[ch].bm_status = 0;
		channel_reset(d, ch);
	}
}

static bool packet_loaded(const struct ide *d, int i, struct err *e)
{
	const struct scsi_unit *u = &d->medium[i].unit;
	uint8_t xfer = d->drive[i].xfer;
	bool moving = xfer == XFER_PACKET_IN || xfer == XFER_PACKET_OUT;

	if (!d->medium[i].cdrom)
		return xfer < XFER_PACKET || err_set(e, "damaged IDE state: packets for a disk");
	return scsi_unit_loaded(u, e) &&
	       (!moving || scsi_job_valid(u, &d->io[i].scsi.job) || err_set(e, "damaged IDE state: packet command"));
}

static bool ide_loaded(void *dev, struct err *e)
{
	struct ide *d = dev;

	for (int i = 0; i < 4; i++) {
		const struct ide_drive *v = &d->drive[i];
		if (v->xfer && !d->medium[i].present)
			return err_set(e, "damaged IDE state: a transfer of an absent drive");
		if (v->fill > BUF_BYTES || v->len > v->fill || v->pos > v->len || v->block > BUF_SECTORS
		    || v->xfer > XFER_PACKET_OUT || v->limit > BUF_BYTES || v->status & ST_BSY)
			return err_set(e, "damaged IDE state");
		if (!packet_loaded(d, i, e))
			return false;
	}
	if (d->ch[0].unit > 1 || d->ch[1].unit > 1)
		return err_set(e, "damaged IDE state");
	return pci_loaded(&d->pci);
}

#define PACKET_STATE(i) SCSI_UNIT_STATE(ide, medium[i].unit), STATE(ide, io[i].scsi.job)
static const struct state ide_state[] = {
	STATE(ide, ch), STATE(ide, drive), PACKET_STATE(0), PACKET_STATE(1), PACKET_STATE(2), PACKET_STATE(3), { 0 }
};

const struct dev_type ide_type = {
	.name = "piix3-ide", .bus = "system", .help = "PIIX3 IDE controller",
	.size = sizeof(struct ide), .version = 3, .state = ide_state,
	.bus_props = pci_props, .bus_state = pci_state,
	.init = ide_init, .fini = ide_fini, .reset = ide_reset,
	.update = ide_update, .loaded = ide_loaded, .boot_path = pci_boot_path,
};
