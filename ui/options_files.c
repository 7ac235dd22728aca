/*
 * Files named without an option: each goes where its kind belongs, and what
 * nobody asked for is chosen so that it starts well (memory, network, screen).
 * options_tell() says in one line what that was.
 */
#include "ui/options_parse.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "ui/file_kind.h"
#include "ui/web.h"

#define MEMORY_LEAST	(256ull << 20)
#define MEMORY_MOST	(2ull << 30)

void options_hint(FILE *out)
{
	fputs("Name what to start:\n"
	      "  rhea disk.qcow2                    a disk\n"
	      "  rhea debian.iso [disk.qcow2]       a CD, and a disk to install to\n"
	      "  rhea vmlinuz [initrd.img]          a kernel\n"
	      "rhea-img create -f qcow2 disk.qcow2 20G makes an empty disk; rhea -help lists all options.\n", out);
}

bool options_add_file(struct options *o, const char *path, struct err *e)
{
	if (o->nfiles == OPT_MAX_FILES)
		return err_set(e, "%s: more than %d files", path, OPT_MAX_FILES);
	o->files[o->nfiles++] = path;
	return true;
}

static bool only_one(const char **field, const char *path, const char *text, struct err *e)
{
	if (*field)
		return err_set(e, "%s: a %s, and there is %s already", path, text, *field);
	*field = path;
	return true;
}

static bool place(struct options *o, const char *path, const struct file_guess *g, struct err *e)
{
	switch (g->kind) {
	case FILE_KERNEL:
		return only_one(&o->pc.kernel, path, g->text, e);
	case FILE_RAMDISK:
		return only_one(&o->pc.initrd, path, g->text, e);
	case FILE_CD:
		return opt_cdrom(o, path, stdout, e) == OPT_GO;
	case FILE_FLOPPY:
		return options_add_floppy(o, path, e);
	case FILE_DISK:
		return options_add_disk(o, path, e);
	}
	return false;
}

/* A quarter of the host's, within bounds. */
static uint64_t memory_for_this_host(void)
{
	uint64_t size = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;

	size = size < MEMORY_LEAST ? MEMORY_LEAST : size > MEMORY_MOST ? MEMORY_MOST : size;
	return align_down(size, MEMORY_LEAST);
}

static bool nobody_chose_a_screen(const struct options *o)
{
	return o->display == OPT_DISPLAY_DEFAULT && !o->nographic && !o->daemonize && !o->nodefaults &&
	       o->pc.vga != PC_VGA_NONE;
}

/* Without a desktop: a kernel talks on the serial port, anything else has a screen. */
static void choose_screen(struct options *o)
{
	if (!nobody_chose_a_screen(o) || options_desktop())
		return;
	if (o->pc.kernel && !o->nserials) {
		o->nographic = true;
	} else if (web_available()) {
		o->web = "";
		o->display = OPT_DISPLAY_WEB;
	} else {
		o->vnc = OPT_VNC_HERE;
		o->vnc_chosen = true;
		o->display = OPT_DISPLAY_VNC;
	}
}

bool options_place_files(struct options *o, struct err *e)
{
	struct file_guess g;

	for (int i = 0; i < o->nfiles; i++) {
		if (!file_guess(o->files[i], &g, e) || !place(o, o->files[i], &g, e))
			return false;
		o->file_kinds[i] = g.text;
	}
	if (!o->nfiles)
		return true;
	if (o->pc.initrd && !o->pc.kernel)
		return err_set(e, "%s: a RAM disk starts with a kernel; name that, too", o->pc.initrd);
	choose_screen(o);
	if (o->pc.kernel && !o->pc.append && o->nographic)
		o->pc.append = "console=ttyS0";
	if (!o->pc.ram_size)
		o->pc.ram_size = memory_for_this_host();
	return true;
}

void options_tell(const struct options *o, const char *screen, FILE *out)
{
	uint64_t mib = o->pc.ram_size >> 20;

	fputs("rhea:", out);
	for (int i = 0; i < o->nfiles; i++)
		fprintf(out, "%s %s (%s)", i ? "," : "", o->files[i], o->file_kinds[i]);
	fprintf(out, ": board pc, %d processor%s, ", o->pc.online, o->pc.online == 1 ? "" : "s");
	if (mib % 1024)
		fprintf(out, "%llu MiB", (unsigned long long)mib);
	else
		fprintf(out, "%llu GiB", (unsigned long long)mib / 1024);
	fprintf(out, " of memory, %s, %s\n", o->nnets ? "network" : "no network", screen);
}
