/*
 * Plugins from shared objects. They stay loaded until the program ends: what they have registered
 * is in translated code, and what they allocated is theirs.
 */
#include "ui/plugins.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "base/bits.h"

#define MAX_ARGS 64

/* An option's argument, taken apart. */
struct spec {
	char *text;			/* what follows points into it */
	const char *file;
	int argc;
	const char *argv[MAX_ARGS + 1];
};

/* The next word of a list; *at moves behind the comma, NULL at the end. */
static char *next_word(char **at)
{
	char *from = *at, *to = *at, *word = *at;

	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*at = *from ? from + 1 : NULL;
	*to = 0;
	return word;
}

static bool take_apart(struct spec *s, const char *text, struct err *e)
{
	char *at;

	*s = (struct spec){ .text = strdup(text) };
	if (!s->text)
		return err_set(e, "out of memory");
	at = s->text;
	s->file = next_word(&at);
	if (!strncmp(s->file, "file=", 5))
		s->file += 5;
	while (at) {
		if (s->argc == MAX_ARGS)
			return err_set(e, "-plugin %s: more than %d arguments", s->file, MAX_ARGS);
		s->argv[s->argc++] = next_word(&at);
	}
	return *s->file || err_set(e, "-plugin: which? Write -plugin FILE[,ARG=VALUE...]; '-plugin help' lists the installed ones");
}

/* Where the file is. */
static void find(const char *file, char *path, size_t n)
{
	static const char *const forms[] = { "%s/%s", "%s/%s.so" };

	if (!strchr(file, '/'))
		for (size_t i = 0; i < ARRAY_LEN(forms) && access(file, R_OK); i++) {
			snprintf(path, n, forms[i], CONFIG_PLUGINDIR, file);
			if (!access(path, R_OK))
				return;
		}
	/* dlopen() looks for a name without a slash elsewhere. */
	snprintf(path, n, "%s%s", strchr(file, '/') ? "" : "./", file);
}

/* Load it and look whether it is one of ours. */
static void *load(const char *file, struct err *e)
{
	char path[4096];
	const int *abi;
	void *so;

	find(file, path, sizeof(path));
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		err_set(e, "-plugin %s: it does not load: %s", file, dlerror());
		return NULL;
	}
	abi = dlsym(so, "rhea_plugin_abi");
	if (!abi)
		err_set(e, "-plugin %s: it is no plugin of Rhea (it has no rhea_plugin_abi)%s", file,
			dlsym(so, "qemu_plugin_install") ? "; plugins of QEMU have to be rewritten for rhea-plugin.h" : "");
	else if (*abi != RHEA_PLUGIN_ABI)
		err_set(e, "-plugin %s: it is made for version %d of the interface, this is version %d; compile it anew",
			file, *abi, RHEA_PLUGIN_ABI);
	else if (!dlsym(so, "rhea_plugin_install"))
		err_set(e, "-plugin %s: it has no rhea_plugin_install()", file);
	else
		return so;
	dlclose(so);
	return NULL;
}

bool plugins_load(struct plugins *p, const char *text, struct err *e)
{
	union { void *p; plugin_install_fn *fn; } install;
	struct spec s;
	void *so;

	if (!take_apart(&s, text, e) || !(so = load(s.file, e)))
		return false;
	install.p = dlsym(so, "rhea_plugin_install");
	return plugins_add(p, s.file, install.fn, s.argc, s.argv, e) || err_prefix(e, "-plugin %s", s.file);
}

bool plugins_help(const char *text, FILE *out, struct err *e)
{
	const char *help;
	struct spec s;
	void *so;

	if (!take_apart(&s, text, e) || !(so = load(s.file, e)))
		return false;
	help = dlsym(so, "rhea_plugin_help");
	fputs(help ? help : "It says nothing about its arguments.\n", out);
	free(s.text);
	return true;
}

/* The first line of what it says about itself. */
static void list_one(const char *name, FILE *out)
{
	struct err e;
	void *so = load(name, &e);
	const char *help = so ? dlsym(so, "rhea_plugin_help") : NULL;

	if (so)
		fprintf(out, "  %-12.*s %.*s\n", (int)(strlen(name) - 3), name, help ? (int)strcspn(help, "\n") : 0,
			help ? help : "");
}

void plugins_list(FILE *out)
{
	struct dirent **names;
	int n = scandir(CONFIG_PLUGINDIR, &names, NULL, alphasort);

	fprintf(out, "-plugin FILE[,ARG=VALUE...]; -plugin FILE,help tells its arguments.\nPlugins in %s:\n", CONFIG_PLUGINDIR);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(names[i]->d_name);

		if (len > 3 && !strcmp(names[i]->d_name + len - 3, ".so"))
			list_one(names[i]->d_name, out);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}
