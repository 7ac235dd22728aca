/*
 * -add-fd: open files that the program starts with, and their names /dev/fdset/N.
 *
 * Not modelled: several files in a set, and sets behind other options than -chardev.
 */
#include "ui/options_parse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/keyval.h"

enum opt_result opt_add_fd(struct options *o, const char *arg, FILE *out, struct err *e)
{
	static const char *const ignored[] = { "opaque", NULL };
	struct opt_fd f;
	struct kv k;

	(void)out;
	kv_parse(&k, "-add-fd", arg, NULL, e);
	f.fd = (int)kv_num(&k, "fd", 0, 0, 65535);
	f.set = (unsigned)kv_num(&k, "set", 0, 0, 65535);
	kv_ignore(&k, ignored);
	bool ok = kv_done(&k);
	kv_free(&k);
	if (!ok)
		return OPT_BAD;
	if (o->nfds == OPT_MAX_FDS)
		return err_set(e, "-add-fd: more than %d", OPT_MAX_FDS), OPT_BAD;
	if (f.fd < 3 || fcntl(f.fd, F_GETFD) < 0)
		return err_set(e, "-add-fd %s: no such file is open", arg), OPT_BAD;
	o->fds[o->nfds++] = f;
	return OPT_GO;
}

#define SET "/dev/fdset/"

char *options_named_fds(const struct options *o, const char *text, struct err *e)
{
	const char *at = strstr(text, "path=" SET);
	char *end, *whole;

	if (!at)
		return strdup(text);
	at += strlen("path=");
	unsigned long set = strtoul(at + strlen(SET), &end, 10);
	for (int i = 0; i < o->nfds; i++) {
		if (o->fds[i].set != set)
			continue;
		if (asprintf(&whole, "%.*s/dev/fd/%d%s", (int)(at - text), text, o->fds[i].fd, end) >= 0)
			return whole;
		break;
	}
	err_set(e, "%s: no -add-fd in front of it has set=%lu", text, set);
	return NULL;
}
