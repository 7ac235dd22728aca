/*
 * Firmware's view of the board: ROM image, fw_cfg items, CMOS contents.
 *
 * Source: what SeaBIOS reads (its docs/Runtime_config.md and the item names it
 * asks for); PC/AT CMOS map as in Ralf Brown's CMOS.LST.
 */
#include "hw/pc/firmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cpu/cpuid.h"
#include "hw/disk/fdc.h"
#include "hw/pc/boot.h"
#include "hw/pc/map.h"
#include "hw/pc/smbios.h"
#include "hw/timer/rtc.h"

#define MAX_BIOS	(16u << 20)
#define BIOS_UNIT	0x10000u
#define PRIO_ROM	1

/* ---- files ---- */

static const char *const system_dirs[] = { "/usr/share/seabios", "/usr/share/qemu", NULL };

static const char *const boot_rom_dirs[] = { "/usr/lib/ipxe/qemu", "/usr/share/qemu", NULL };

static bool try_dirs(const char *const *dirs, const char *name, char *path, size_t n)
{
	for (; dirs && *dirs; dirs++) {
		snprintf(path, n, "%s/%s", *dirs, name);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

bool firmware_find(const struct pc_config *cfg, const char *name, char *path, size_t n, struct err *e)
{
	snprintf(path, n, "%s", name);
	if (strchr(name, '/') || !access(name, R_OK))
		return !access(path, R_OK) ? true : err_errno(e, "'%s'", name);
	if (try_dirs(cfg->dirs, name, path, n) || try_dirs(system_dirs, name, path, n))
		return true;
	return err_set(e, "firmware '%s' not found (Debian package: seabios; -L adds a folder)", name);
}

bool firmware_quote(char *path, size_t n, struct err *e)
{
	for (char *c = path; (c = strchr(c, ',')); c += 2) {
		if (strlen(path) + 1 >= n)
			return err_set(e, "'%s': too long with its commas doubled", path);
		memmove(c + 1, c, strlen(c) + 1);
	}
	return true;
}

struct ram *firmware_load(const struct pc_config *cfg, struct machine *m, struct err *e)
{
	char path[512];
	struct boot_file img;

	if (!firmware_find(cfg, cfg->bios ? cfg->bios : "bios-256k.bin", path, sizeof(path), e)
	    || !boot_read_file(path, &img, e))
		return NULL;
	struct ram *rom = NULL;
	if (!img.n || img.n > MAX_BIOS || img.n % BIOS_UNIT)
		err_set(e, "'%s' is no firmware image: its size is not a multiple of 64 KiB", path);
	else
		rom = phys_ram_new(m->phys, "bios", max_u64(img.n, 2 * BIOS_UNIT), e);
	if (rom) {
		memcpy(rom->host + rom->size - img.n, img.p, img.n);
		struct phys_range r = {
			.pa = PC_HOLE_END - rom->size, .size = rom->size, .prio = PRIO_ROM,
			.rram = rom, .nowrite = true, .name = "bios",
		};
		if (!phys_map(m->phys, &r, e))
			rom = NULL;
	}
	free(img.p);
	return rom;
}

/* ---- boot order ---- */

#define DEFAULT_ORDER	"cad"

static const char *boot_order(const struct pc_config *cfg)
{
	return cfg->boot_order && *cfg->boot_order ? cfg->boot_order : DEFAULT_ORDER;
}

bool firmware_find_boot_rom(const struct pc_config *cfg, const char *name, const char *card, char *path, size_t n)
{
	bool asked = strchr(boot_order(cfg), 'n') || (card && strstr(card, "bootindex="));

	if (!asked && !cfg->boot_menu)
		return false;
	if (try_dirs(cfg->dirs, name, path, n) || try_dirs(boot_rom_dirs, name, path, n))
		return true;
	if (asked)
		warn("no boot from a network without '%s' (Debian package: ipxe-qemu; -L adds a folder)", name);
	return false;
}

static void put_line(struct bytes *b, const char *line)
{
	bytes_put(b, line, strlen(line));
	bytes_put(b, "\n", 1);
}

/* Nothing for a device whose controller has gone. */
static void put_path(struct bytes *b, const struct dev *d)
{
	char path[BOOT_PATH] = "";

	d->type->boot_path(d, path);
	if (*path)
		put_line(b, path);
}

/* The device with the lowest boot index that is not below `from`. */
static const struct dev *next_to_boot(const struct machine *m, int64_t from)
{
	const struct dev *best = NULL;

	for (const struct dev *d = m->devs; d; d = d->next)
		if (d->bootindex >= from && (!best || d->bootindex < best->bootindex))
			best = d;
	return best;
}

static void put_indexed(struct bytes *b, const struct machine *m)
{
	const struct dev *d = next_to_boot(m, 0);

	for (; d; d = next_to_boot(m, (int64_t)d->bootindex + 1))
		put_path(b, d);
}

static void put_floppy(struct bytes *b, const struct pc_config *cfg, int n)
{
	char path[BOOT_PATH];

	snprintf(path, sizeof(path), "/pci@i0cf8/isa@%x/fdc@03f0/floppy@%d",
		 cfg->board == PC_BOARD_Q35 ? PC_SLOT_ICH9 : PC_SLOT_PIIX, n);
	put_line(b, path);
}

/* What has no index, as the letters say. */
static void put_letters(struct bytes *b, const struct pc_config *cfg, const struct machine *m)
{
	const struct dev *fdc = dev_find_type(m, &fdc_type);

	for (const char *c = boot_order(cfg); *c; c++) {
		if ((*c == 'a' || *c == 'b') && fdc && fdc_drive_kind(fdc, *c - 'a'))
			put_floppy(b, cfg, *c - 'a');
		for (const struct dev *d = m->devs; d; d = d->next)
			if (d->bootindex < 0 && d->type->boot_letter == *c)
				put_path(b, d);
	}
}

/*
 * Open Firmware paths, one a line; firmware tries them in this order, and then the rest
 * unless HALT ends the list. Whoever gives devices an index and is strict wants no others.
 */
static void add_boot_order(const struct pc_config *cfg, struct fwcfg *f)
{
	const struct machine *m = ((struct dev *)f)->m;
	struct bytes b = { 0 };

	if (cfg->kernel)
		put_line(&b, "/rom@" BOOT_ROM_FILE);
	put_indexed(&b, m);
	if (!cfg->boot_strict || !next_to_boot(m, 0))
		put_letters(&b, cfg, m);
	if (cfg->boot_strict)
		put_line(&b, "HALT");
	if (b.n)
		b.p[b.n - 1] = 0;
	fwcfg_add_file(f, "bootorder", b.p, (uint32_t)b.n);
	bytes_fini(&b);
}

static void add_boot_options(const struct pc_config *cfg, struct fwcfg *f)
{
	int32_t wait = cfg->reboot_timeout;
	uint16_t menu_wait = (uint16_t)cfg->boot_splash_time;

	fwcfg_add16(f, FWCFG_BOOT_MENU, cfg->boot_menu);
	fwcfg_add16(f, FWCFG_BOOT_DEVICE, (uint8_t)boot_order(cfg)[0]);
	fwcfg_add_file(f, "etc/boot-fail-wait", &wait, sizeof(wait));
	if (menu_wait)
		fwcfg_add_file(f, "etc/boot-menu-wait", &menu_wait, sizeof(menu_wait));
	add_boot_order(cfg, f);
}

/* ---- memory and processors ---- */

#define E820_RAM	1

static void put_e820(struct bytes *b, uint64_t addr, uint64_t n, uint32_t type)
{
	bytes_put64(b, addr);
	bytes_put64(b, n);
	bytes_put32(b, type);
}

/* One more than the highest APIC id. */
static uint16_t apic_ids(const struct pc_config *cfg)
{
	unsigned cores = (unsigned)(cfg->cores ? cfg->cores : cfg->ncpus);
	unsigned threads = cfg->threads ? (unsigned)cfg->threads : 1;

	return (uint16_t)(cpuid_apic_id((unsigned)cfg->ncpus - 1, cores, threads) + 1);
}

static void add_sizes(const struct pc_config *cfg, struct fwcfg *f, uint64_t low)
{
	struct bytes e820 = { 0 };
	uint64_t *numa = calloc((size_t)cfg->ncpus + 1, sizeof(*numa));

	put_e820(&e820, 0, low, E820_RAM);
	if (cfg->ram_size > low)
		put_e820(&e820, PC_HOLE_END, cfg->ram_size - low, E820_RAM);
	fwcfg_add_file(f, "etc/e820", e820.p, (uint32_t)e820.n);
	bytes_fini(&e820);

	fwcfg_add64(f, FWCFG_RAM_SIZE, cfg->ram_size);
	fwcfg_add16(f, FWCFG_MAX_CPUS, apic_ids(cfg));
	fwcfg_add16(f, FWCFG_NOGRAPHIC, cfg->vga == PC_VGA_NONE);
	fwcfg_add32(f, FWCFG_MACHINE_ID, 0);
	fwcfg_add32(f, FWCFG_IRQ0_OVERRIDE, 1);
	fwcfg_add(f, FWCFG_UUID, cfg->uuid, sizeof(cfg->uuid));
	if (numa)
		fwcfg_add(f, FWCFG_NUMA, numa, (uint32_t)(((size_t)cfg->ncpus + 1) * sizeof(*numa)));
	free(numa);
}

/* ---- tables ---- */

static bool add_smbios(const struct pc_config *cfg, struct fwcfg *f, uint64_t low, struct err *e)
{
	bool q35 = cfg->board == PC_BOARD_Q35;
	struct smbios_config s = {
		.product = q35 ? "Standard PC (Q35 + ICH9)" : "Standard PC (i440FX + PIIX)",
		.version = q35 ? "q35" : "pc",
		.ram_size = cfg->ram_size, .ram_below_4g = low,
		.cores = cfg->cores ? cfg->cores : 1, .threads = cfg->threads ? cfg->threads : 1,
		.sockets = cfg->sockets ? cfg->sockets : 1,
		.has_uuid = cfg->has_uuid, .options = cfg->smbios, .noptions = cfg->nsmbios,
	};
	struct bytes anchor = { 0 }, tables = { 0 };

	memcpy(s.uuid, cfg->uuid, sizeof(s.uuid));
	bool ok = smbios_build(&s, &anchor, &tables, e);
	if (ok) {
		fwcfg_add_file(f, "etc/smbios/smbios-anchor", anchor.p, (uint32_t)anchor.n);
		fwcfg_add_file(f, "etc/smbios/smbios-tables", tables.p, (uint32_t)tables.n);
	}
	bytes_fini(&anchor);
	bytes_fini(&tables);
	return ok;
}

/* ---- the user's own items ---- */

static bool add_user_files(const struct pc_config *cfg, struct fwcfg *f, struct err *e)
{
	for (int i = 0; i < cfg->nfwcfg; i++) {
		struct boot_file file = { 0 };
		const char *name = cfg->fwcfg[i].name, *text = cfg->fwcfg[i].string;
		if (strlen(name) > 55)
			return err_set(e, "-fw_cfg: the name '%s' is too long", name);
		if (!text && !boot_read_file(cfg->fwcfg[i].file, &file, e))
			return err_prefix(e, "-fw_cfg");
		bool ok = fwcfg_add_file(f, name, text ? (const void *)text : file.p,
					 text ? (uint32_t)strlen(text) : (uint32_t)file.n);
		free(file.p);
		if (!ok)
			return err_set(e, "-fw_cfg: too many files");
	}
	return true;
}

bool firmware_config(const struct pc_config *cfg, struct fwcfg *f, uint64_t low, struct err *e)
{
	struct boot_request boot = { cfg->kernel, cfg->initrd, cfg->append, low };

	add_sizes(cfg, f, low);
	add_boot_options(cfg, f);
	return add_smbios(cfg, f, low, e) && add_user_files(cfg, f, e)
		&& (!cfg->kernel || boot_load(f, &boot, e));
}

/* ---- CMOS ---- */

enum {
	CMOS_FLOPPY = 0x10, CMOS_EQUIPMENT = 0x14, CMOS_BASE = 0x15, CMOS_EXT = 0x17, CMOS_EXT2 = 0x30,
	CMOS_ABOVE_16M = 0x34, CMOS_BOOT3 = 0x38, CMOS_BOOT = 0x3d, CMOS_ABOVE_4G = 0x5b, CMOS_CPUS = 0x5f,
};
#define EQUIPMENT_FLOPPY 0x01
#define EQUIPMENT_FPU	0x02
#define EQUIPMENT_MOUSE	0x04
#define EQUIPMENT_TWO	0x40		/* floppy drives */
#define BASE_KB		640

static void cmos16(struct dev *rtc, unsigned at, uint64_t v)
{
	v = min_u64(v, 0xffff);
	rtc_cmos_set(rtc, at, (uint8_t)v);
	rtc_cmos_set(rtc, at + 1, (uint8_t)(v >> 8));
}

/* Boot devices as nibbles: 1 floppy, 2 disk, 3 CD, 4 network. */
static unsigned boot_nibble(char c)
{
	switch (c) {
	case 'a': case 'b': return 1;
	case 'c': return 2;
	case 'd': return 3;
	case 'n': return 4;
	default: return 0;
	}
}

static void cmos_boot_order(const struct pc_config *cfg, struct dev *rtc)
{
	const char *o = boot_order(cfg);
	unsigned n[3] = { 0 };
	for (int i = 0; i < 3 && o[i]; i++)
		n[i] = boot_nibble(o[i]);
	rtc_cmos_set(rtc, CMOS_BOOT, (uint8_t)(n[1] << 4 | n[0]));
	rtc_cmos_set(rtc, CMOS_BOOT3, (uint8_t)(n[2] << 4));
}

void firmware_boot_order(const struct pc_config *cfg, struct fwcfg *f, struct dev *rtc)
{
	fwcfg_add16(f, FWCFG_BOOT_DEVICE, (uint8_t)boot_order(cfg)[0]);
	add_boot_order(cfg, f);
	cmos_boot_order(cfg, rtc);
}

static void cmos_floppies(const struct dev *fdc, struct dev *rtc)
{
	unsigned a = fdc ? fdc_drive_kind(fdc, 0) : 0, b = fdc ? fdc_drive_kind(fdc, 1) : 0;

	rtc_cmos_set(rtc, CMOS_FLOPPY, (uint8_t)(a << 4 | b));
	rtc_cmos_set(rtc, CMOS_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_MOUSE | (a || b ? EQUIPMENT_FLOPPY : 0) |
		     (a && b ? EQUIPMENT_TWO : 0));
}

void firmware_cpus(struct fwcfg *f, struct dev *rtc, int n)
{
	fwcfg_add16(f, FWCFG_NB_CPUS, (uint16_t)n);
	rtc_cmos_set(rtc, CMOS_CPUS, (uint8_t)(n - 1));
}

void firmware_cmos(const struct pc_config *cfg, const struct dev *fdc, struct dev *rtc, uint64_t low)
{
	uint64_t ext_kb = low > 1 << 20 ? (low >> 10) - 1024 : 0;
	uint64_t above16 = low > 16 << 20 ? (low >> 16) - 256 : 0;
	uint64_t above4g = (cfg->ram_size - low) >> 16;

	cmos16(rtc, CMOS_BASE, BASE_KB);
	cmos16(rtc, CMOS_EXT, ext_kb);
	cmos16(rtc, CMOS_EXT2, ext_kb);
	cmos16(rtc, CMOS_ABOVE_16M, above16);
	for (unsigned i = 0; i < 3; i++)
		rtc_cmos_set(rtc, CMOS_ABOVE_4G + i, (uint8_t)(above4g >> 8 * i));
	cmos_floppies(fdc, rtc);
	cmos_boot_order(cfg, rtc);
}
