/*
 * What the console in a browser is made of: the page (ui/web.html), noVNC and
 * xterm.js as Debian has them, streams of kind vc as terminals, and a QMP session
 * that the page's buttons speak through.
 *
 * Whoever names the token, which is new at each start, may do all that a monitor
 * may. The page is not encrypted: other addresses than this host's are for who
 * trusts the network between.
 */
#include "ui/web.h"

#include <stddef.h>

#include "config.h"

#if defined(CONFIG_WEB) && defined(CONFIG_JANSSON)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "hw/core/chr.h"
#include "ui/json.h"
#include "ui/qmp.h"
#include "ui/vm.h"
#include "ui/vnc.h"
#include "ui/web_server.h"

#define FIRST_PORT	8080
#define CONTROL		"#web-control"

extern const char ui_web_html[], ui_web_html_end[];

struct web {
	struct web_server *server;
	char token[33];
	char host[64];
	char address[160];
	char *page;
};

static const struct web_folder folders[] = {
	{ "/novnc", "/usr/share/novnc" }, { "/xterm-addons", "/usr/share/javascript/xterm/addons" },
	{ "/xterm", "/usr/share/nodejs/xterm/lib" }, { NULL, NULL }
};

static void make_token(char *token, size_t n)
{
	uint8_t random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();		/* cannot fail for so few bytes */
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, n - 2 * i, "%02x", random[i]);
}

/* "", "PORT" or "ADDRESS:PORT" */
static bool parse_spec(const char *spec, struct web_config *c, char *host, size_t n_host, struct err *e)
{
	const char *colon = strrchr(spec, ':'), *port = colon ? colon + 1 : spec;
	char *end;
	long n = strtol(port, &end, 10);

	snprintf(host, n_host, "%.*s", colon ? (int)(colon - spec) : 9, colon && colon > spec ? spec : "127.0.0.1");
	c->address = host;
	c->port = FIRST_PORT;
	c->last_port = FIRST_PORT + 99;
	if (!*spec)
		return true;
	if (end == port || *end || n < 1 || n > 65535)
		return err_set(e, "web=%s: expected ADDRESS:PORT, as in 127.0.0.1:8080", spec);
	c->port = c->last_port = (int)n;
	return true;
}

static bool libraries_there(struct err *e)
{
	if (access("/usr/share/novnc/core/rfb.js", R_OK))
		return err_set(e, "noVNC is missing (Debian package: novnc)");
	if (access("/usr/share/nodejs/xterm/lib/public/Terminal.js", R_OK))
		return err_set(e, "xterm.js is missing (Debian package: node-xterm)");
	return true;
}

static void add_stream(struct web_config *c, const char *name, struct chr *chr)
{
	bool fits = c->n_streams < WEB_STREAMS && strlen(name) < sizeof(c->streams[0].name);
	int columns, rows, fd = fits ? chr_vc_open(chr, &columns, &rows) : -1;

	if (fd < 0)
		return;
	snprintf(c->streams[c->n_streams].name, sizeof(c->streams[0].name), "%s", name);
	c->streams[c->n_streams++].fd = fd;
}

static bool add_control(struct web_config *c, struct vm *vm, struct err *e)
{
	struct chr *chr;

	chr = chr_new(vm->m, CONTROL, "vc", e);
	if (!chr || !qmp_new(vm, chr, false, e))
		return false;
	add_stream(c, "control", chr);
	return true;
}

/* The page with what it cannot know, as a line of script: title and terminals. */
static char *make_page(const struct web_config *c, const char *title, bool screen)
{
	struct value *v = val_dict(), *names = val_list();
	char *json, *page = NULL;

	for (int i = 0; i < c->n_streams; i++)
		val_append(names, val_str(c->streams[i].name));
	val_add(v, "streams", names);
	val_add_str(v, "title", title);
	val_add_bool(v, "screen", screen);
	json = json_text(v, false);
	for (char *p = json; p && *p; p++)
		if (*p == '<')		/* cannot end the script in a page */
			*p = ' ';
	if (json && asprintf(&page, "%.*s<script>const rhea = %s;</script>\n",
			     (int)(ui_web_html_end - ui_web_html), ui_web_html, json) < 0)
		page = NULL;
	free(json);
	val_free(v);
	return page;
}

static int screen(void *opaque)
{
	return vnc_connect(opaque);
}

static bool start(struct web *w, struct vm *vm, struct vnc *vnc, const char *spec, const char *title, struct err *e)
{
	struct web_config c = { .token = w->token, .folders = folders, .screen = vnc ? screen : NULL, .opaque = vnc };

	make_token(w->token, sizeof(w->token));
	if (!libraries_there(e) || !parse_spec(spec, &c, w->host, sizeof(w->host), e) || !add_control(&c, vm, e))
		return false;
	for (struct chr *chr = vm->m->chrs; chr; chr = chr->next)
		if (strcmp(chr->id, CONTROL))
			add_stream(&c, chr->id, chr);
	w->page = make_page(&c, title, vnc);
	if (!w->page)
		return err_set(e, "no memory for the page");
	c.page = w->page;
	c.page_len = strlen(w->page);
	w->server = web_server_new(&c, e);
	return w->server;
}

struct web *web_new(struct vm *vm, struct vnc *vnc, const char *spec, const char *title, struct err *e)
{
	struct web *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, "no memory for the web server");
		return NULL;
	}
	if (!start(w, vm, vnc, spec, title, e)) {
		web_free(w);
		return NULL;
	}
	snprintf(w->address, sizeof(w->address), "http://%s:%d/?token=%s", w->host, web_server_port(w->server), w->token);
	return w;
}

void web_free(struct web *w)
{
	if (!w)
		return;
	web_server_free(w->server);
	free(w->page);
	free(w);
}

const char *web_address(const struct web *w)
{
	return w->address;
}

bool web_available(void)
{
	struct err e;

	return libraries_there(&e);
}

#else

struct web *web_new(struct vm *vm, struct vnc *vnc, const char *spec, const char *title, struct err *e)
{
	(void)vm, (void)vnc, (void)spec, (void)title;
	err_set(e, "this program was built without the console in a browser (Debian packages libwebsockets-dev and libjansson-dev, then configure again)");
	return NULL;
}

void web_free(struct web *w)
{
	(void)w;
}

const char *web_address(const struct web *w)
{
	(void)w;
	return "";
}

bool web_available(void)
{
	return false;
}

#endif
