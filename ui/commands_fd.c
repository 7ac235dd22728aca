/* Descriptors that programs pass to this one by a monitor's Unix socket, to be named in later commands. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/core/chr.h"
#include "ui/commands.h"
#include "ui/monitor_priv.h"
#include "ui/qmp.h"
#include "ui/vm.h"

#define MAX_FDS 64

struct vm_fd {
	struct vm_fd *next;
	int fd;
	char name[];
};

static struct vm_fd **find(struct vm *vm, const char *name)
{
	struct vm_fd **p = &vm->fds;

	while (*p && strcmp((*p)->name, name))
		p = &(*p)->next;
	return p;
}

int commands_take_fd(struct vm *vm, const char *name)
{
	struct vm_fd **p = find(vm, name), *f = *p;
	int fd = f ? f->fd : -1;

	if (f)
		*p = f->next;
	free(f);
	return fd;
}

void commands_close_fds(struct vm *vm)
{
	while (vm->fds)
		close(commands_take_fd(vm, vm->fds->name));
}

struct value *cmd_getfd(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "fdname", "");
	struct chr *from = c->qmp ? qmp_stream(c->qmp) : c->mon ? c->mon->chr : NULL;
	int fd = chr_take_fd(from), old, n = 0;
	struct vm_fd *f;

	if (fd < 0)
		return cmd_fail(c, CMD_GENERIC, "No file descriptor supplied via SCM_RIGHTS");
	if ((old = commands_take_fd(c->vm, name)) >= 0)
		close(old);
	for (f = c->vm->fds; f; f = f->next)
		n++;
	f = n < MAX_FDS ? malloc(sizeof(*f) + strlen(name) + 1) : NULL;
	if (!f) {
		close(fd);
		return cmd_fail(c, CMD_GENERIC, "more than %d descriptors", MAX_FDS);
	}
	strcpy(f->name, name);
	f->fd = fd;
	f->next = c->vm->fds;
	c->vm->fds = f;
	return val_dict();
}

struct value *cmd_closefd(struct cmd *c, const struct value *args)
{
	const char *name = val_get_str(args, "fdname", "");
	int fd = commands_take_fd(c->vm, name);

	if (fd < 0)
		return cmd_fail(c, CMD_GENERIC, "File descriptor named '%.100s' not found", name);
	close(fd);
	return val_dict();
}
