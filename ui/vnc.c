/*
 * The screen for VNC viewers, by libvncserver.
 *
 * The library waits for slow viewers, so all of it runs on one thread; what the
 * thread and the main loop say to each other goes through ui/bridge.h. Of the
 * library's sockets only those of viewers are used: listening is done here.
 *
 * Not modelled: TLS and SASL, web sockets' TLS, sound, clipboard, file transfer,
 * sizes set by a viewer, viewers waiting for each other's slow connections.
 * Source: RFC 6143 "The Remote Framebuffer Protocol"; libvncserver's rfb/rfb.h.
 */
#include "ui/vnc.h"

#include "config.h"

#ifdef CONFIG_VNC

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rfb/rfb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/late.h"
#include "base/log.h"
#include "hw/core/bus.h"
#include "hw/core/input.h"
#include "ui/bridge.h"
#include "ui/keyval.h"
#include "ui/vnc_keys.h"
#include "ui/vnc_listen.h"

#define MAX_VIEWERS	32
#define MAX_PASSWORD	8		/* what the protocol's DES key holds */
#define STALL_MS	5000		/* a viewer that takes nothing for so long is dropped */

/* One connection, as the main loop and the thread both see it (vnc.lock). */
struct link {
	rfbClientPtr client;		/* NULL: free */
	int fd;				/* a duplicate, to end the connection from outside */
	char host[64];
	int x, y;			/* the thread's: last pointer position; x < 0: none */
	int buttons;
	bool let_in;			/* the thread's: it has seen something */
	bool old_size;			/* the thread's: it was told another size, and no new one */
	bool wants_leds;		/* the thread's: it shows what the guest's LEDs show */
	uint8_t leds;			/* the thread's: it was told these */
};

struct vnc {
	struct bridge bridge;
	struct vnc_listen listen;
	rfbScreenInfoPtr rfb;
	int wake_fd;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;		/* for what follows */
	bool ending;
	bool wants_password, has_password;
	char password[MAX_PASSWORD + 1];
	struct link links[MAX_VIEWERS];
	int n_links;
	int arrived[MAX_VIEWERS];	/* sockets of vnc_connect() the thread has not seen */
	int n_arrived;
};

/* ---- what viewers do (the thread) ---- */

static struct vnc *vnc_of(rfbClientPtr cl)
{
	return cl->screen->screenData;
}

static void on_key(rfbBool down, rfbKeySym symbol, rfbClientPtr cl)
{
	bridge_send(&vnc_of(cl)->bridge,
		    (struct bridge_event){ .kind = BRIDGE_SYMBOL, .a = (int)symbol, .b = down != 0 });
}

static void on_place(rfbClientPtr cl, int code, uint32_t symbol, bool down)
{
	bridge_send(&vnc_of(cl)->bridge, (struct bridge_event){ .kind = BRIDGE_KEY, .a = code, .symbol = symbol, .b = down });
}

static void tell_leds(rfbClientPtr cl)
{
	struct link *k = cl->clientData;

	k->leds = atomic_load(&vnc_of(cl)->bridge.leds);
	if (!vnc_keys_tell_leds(cl, k->leds))
		rfbCloseClient(cl);
}

static void tell_new_leds(rfbClientPtr cl)
{
	const struct link *k = cl->clientData;

	if (k->wants_leds && k->leds != atomic_load(&vnc_of(cl)->bridge.leds))
		tell_leds(cl);
}

static void on_wants_leds(rfbClientPtr cl)
{
	struct link *k = cl->clientData;

	k->wants_leds = true;
	tell_leds(cl);
}

static const struct vnc_keys on_keys = { .key = on_place, .wants_leds = on_wants_leds };

/* The protocol's buttons: left, middle, right, wheel up, wheel down. */
static unsigned buttons_of(int mask)
{
	return (mask & 1 ? BTN_LEFT : 0) | (mask & 2 ? BTN_MIDDLE : 0) | (mask & 4 ? BTN_RIGHT : 0);
}

static void on_pointer(int mask, int x, int y, rfbClientPtr cl)
{
	struct link *k = cl->clientData;
	int pressed = mask & ~k->buttons;
	struct pointer p = {
		.dz = !!(pressed & 8) - !!(pressed & 16), .buttons = buttons_of(mask),
		.x = display_place(x, cl->screen->width), .y = display_place(y, cl->screen->height),
	};

	if (k->x >= 0) {
		p.dx = x - k->x;
		p.dy = y - k->y;
	}
	if (k->x < 0 || p.dx || p.dy || p.dz || p.buttons != buttons_of(k->buttons))
		bridge_send(&vnc_of(cl)->bridge, (struct bridge_event){ .kind = BRIDGE_POINT, .pointer = p });
	k->x = x;
	k->y = y;
	k->buttons = mask;
}

/* "HOST:N" or "unix:PATH" as host and service. */
static void add_address(struct value *info, const char *name)
{
	const char *colon = strrchr(name, ':');
	bool is_unix = !strncmp(name, "unix:", 5);

	if (is_unix) {
		val_add_str(info, "host", name + 5);
		val_add_str(info, "service", "");
	} else {
		val_add(info, "host", val_strf("%.*s", colon ? (int)(colon - name) : 0, name));
		val_add(info, "service", val_strf("%d", 5900 + (colon ? atoi(colon + 1) : 0)));
	}
	val_add_str(info, "family", is_unix ? "unix" : strchr(name, '[') ? "ipv6" : "ipv4");
}

/* A viewer, as VncClientInfo. */
static struct value *client_info(const struct link *k)
{
	struct value *v = val_dict();

	val_add_str(v, "host", k->host);
	val_add_str(v, "service", "");
	val_add_str(v, "family", strchr(k->host, ':') ? "ipv6" : strcmp(k->host, "local") ? "ipv4" : "unix");
	val_add_bool(v, "websocket", false);
	return v;
}

/* ---- events: they belong to the main loop's thread ---- */

struct told {
	struct machine *m;
	const char *name;
	struct value *data;
};

static void tell_on_loop(void *opaque)
{
	struct told *t = opaque;

	machine_event(t->m, t->name, t->data);
	free(t);
}

static void tell(struct vnc *v, const char *name, const struct link *k)
{
	struct told *t = malloc(sizeof(*t));
	struct value *server = val_dict();

	if (!t)
		return;
	*t = (struct told){ display_machine(v->bridge.display), name, val_dict() };
	add_address(server, v->listen.name);
	val_add_bool(server, "websocket", false);
	val_add_str(server, "auth", v->wants_password ? "vnc" : "none");
	val_add(t->data, "server", server);
	val_add(t->data, "client", client_info(k));
	loop_call(v->bridge.loop, tell_on_loop, t);
}

/*
 * The first picture is asked for: the viewer is let in. If the size has changed between
 * its greeting and its list of encodings, the library has told it nothing.
 */
static void on_asked(rfbClientPtr cl, rfbFramebufferUpdateRequestMsg *msg)
{
	struct link *k = cl->clientData;

	(void)msg;
	if (!k->let_in)
		tell(vnc_of(cl), "VNC_INITIALIZED", k);
	k->let_in = true;
	if (k->old_size && cl->useNewFBSize) {
		cl->newFBSizePending = TRUE;
		k->old_size = false;
	}
}

static void on_gone(rfbClientPtr cl)
{
	struct link *k = cl->clientData;
	struct vnc *v = vnc_of(cl);
	int left;

	pthread_mutex_lock(&v->lock);
	close(k->fd);
	k->client = NULL;
	left = --v->n_links;
	pthread_mutex_unlock(&v->lock);
	tell(v, "VNC_DISCONNECTED", k);
	if (buttons_of(k->buttons))
		bridge_send(&v->bridge, (struct bridge_event){ .kind = BRIDGE_POINT,
			.pointer = { .x = display_place(k->x, cl->screen->width), .y = display_place(k->y, cl->screen->height) } });
	bridge_send(&v->bridge, left ? (struct bridge_event){ .kind = BRIDGE_RELEASE }
				     : (struct bridge_event){ .kind = BRIDGE_ACTIVE });
}

static struct link *free_link(struct vnc *v)
{
	for (int i = 0; i < MAX_VIEWERS; i++)
		if (!v->links[i].client)
			return &v->links[i];
	return NULL;
}

static enum rfbNewClientAction on_new(rfbClientPtr cl)
{
	struct vnc *v = vnc_of(cl);
	int fd = fcntl(cl->sock, F_DUPFD_CLOEXEC, 0);
	struct link *k;

	pthread_mutex_lock(&v->lock);
	k = fd < 0 || v->ending ? NULL : free_link(v);
	if (k) {
		*k = (struct link){ .client = cl, .fd = fd, .x = -1 };
		snprintf(k->host, sizeof(k->host), "%s", cl->host && *cl->host ? cl->host : "local");
		v->n_links++;
	}
	pthread_mutex_unlock(&v->lock);
	if (!k) {
		if (fd >= 0)
			close(fd);
		return RFB_CLIENT_REFUSE;
	}
	cl->clientData = k;
	cl->clientGoneHook = on_gone;
	cl->clientFramebufferUpdateRequestHook = on_asked;
	tell(v, "VNC_CONNECTED", k);
	bridge_send(&v->bridge, (struct bridge_event){ .kind = BRIDGE_ACTIVE, .b = 1 });
	return RFB_CLIENT_ACCEPT;
}

/* The answer is the challenge, encrypted by the password. Without one nobody comes in. */
static rfbBool on_password(rfbClientPtr cl, const char *answer, int n)
{
	struct vnc *v = vnc_of(cl);
	unsigned char expected[CHALLENGESIZE];
	char password[MAX_PASSWORD + 1];
	bool has;

	pthread_mutex_lock(&v->lock);
	has = v->has_password;
	memcpy(password, v->password, sizeof(password));
	pthread_mutex_unlock(&v->lock);
	memcpy(expected, cl->authChallenge, sizeof(expected));
	rfbEncryptBytes(expected, password);
	return has && n == CHALLENGESIZE && !memcmp(expected, answer, sizeof(expected));
}

/* ---- the picture (the thread) ---- */

static void each_client(struct vnc *v, void (*fn)(rfbClientPtr cl))
{
	for (int i = 0; i < MAX_VIEWERS; i++)
		if (v->links[i].client && v->links[i].client->sock >= 0)
			fn(v->links[i].client);
}

static void resized(rfbClientPtr cl)
{
	struct link *k = cl->clientData;

	k->old_size = cl->state == RFB_NORMAL && !cl->useNewFBSize;
	cl->screen->setTranslateFunction(cl);
}

static bool resize(void *opaque, int w, int h)
{
	struct vnc *v = opaque;
	char *old = v->rfb->frameBuffer, *fb = calloc((size_t)w * (size_t)h, 4);

	if (!fb)
		return false;
	rfbNewFramebuffer(v->rfb, fb, w, h, 8, 3, 4);
	free(old);
	/* The library's own order of colours is the other one. */
	v->rfb->serverFormat.redShift = 16;
	v->rfb->serverFormat.greenShift = 8;
	v->rfb->serverFormat.blueShift = 0;
	each_client(v, resized);
	return true;
}

static void put_row(void *opaque, int y, const uint32_t *px, int w)
{
	struct vnc *v = opaque;

	memcpy(v->rfb->frameBuffer + (size_t)y * (size_t)w * 4, px, (size_t)w * 4);
	rfbMarkRectAsModified(v->rfb, 0, y, w, y + 1);
}

/* ---- the thread ---- */

static void wake(void *opaque)
{
	struct vnc *v = opaque;
	uint64_t one = 1;
	ssize_t r = write(v->wake_fd, &one, sizeof(one));

	(void)r;
}

static void take_arrived(struct vnc *v)
{
	int fd[MAX_VIEWERS], n;

	pthread_mutex_lock(&v->lock);
	n = v->n_arrived;
	memcpy(fd, v->arrived, sizeof(fd));
	v->n_arrived = 0;
	pthread_mutex_unlock(&v->lock);
	for (int i = 0; i < n; i++)
		rfbNewClientConnection(v->rfb, fd[i]);
}

static bool is_ending(struct vnc *v)
{
	bool ending;

	pthread_mutex_lock(&v->lock);
	ending = v->ending;
	pthread_mutex_unlock(&v->lock);
	return ending;
}

#define NO_ROOM_US	100000

/* Without a descriptor left the caller goes on knocking: not as fast as we could look. */
static void let_in(struct vnc *v, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		rfbNewClientConnection(v->rfb, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		usleep(NO_ROOM_US);
}

/* Sleep until somebody wants something; take in who knocks. */
static void wait_for_work(struct vnc *v, int ms)
{
	struct pollfd p[1 + VNC_LISTENERS + MAX_VIEWERS] = { { .fd = v->wake_fd, .events = POLLIN } };
	int n = 1;
	uint64_t count;
	ssize_t r;

	for (int i = 0; i < v->listen.n; i++)
		p[n++] = (struct pollfd){ .fd = v->listen.fd[i], .events = POLLIN };
	for (int i = 0; i < MAX_VIEWERS; i++)
		if (v->links[i].client)
			p[n++] = (struct pollfd){ .fd = v->links[i].client->sock, .events = POLLIN };
	if (poll(p, (nfds_t)n, ms) <= 0)
		return;
	r = read(v->wake_fd, &count, sizeof(count));
	(void)r;
	for (int i = 0; i < v->listen.n; i++)
		if (p[1 + i].revents)
			let_in(v, v->listen.fd[i]);
}

static void *serve(void *opaque)
{
	struct vnc *v = opaque;
	struct bridge_taker taker = { .resize = resize, .row = put_row, .opaque = v };
	bool more = false;
	int first, last;

	while (!is_ending(v)) {
		wait_for_work(v, more ? 0 : -1);
		take_arrived(v);
		bridge_take(&v->bridge, &taker, &first, &last);
		each_client(v, tell_new_leds);
		more = rfbProcessEvents(v->rfb, 0);
	}
	rfbShutdownServer(v->rfb, TRUE);
	return NULL;
}

/* ---- life ---- */

static bool make_screen(struct vnc *v, const char *title, struct err *e)
{
	rfbScreenInfoPtr s;

	rfbLogEnable(FALSE);
	s = v->rfb = rfbGetScreen(NULL, NULL, 640, 480, 8, 3, 4);
	if (s)
		s->frameBuffer = calloc(640 * 480, 4);
	if (!s || !s->frameBuffer)
		return err_set(e, "no memory for the VNC server");
	s->screenData = v;
	s->desktopName = title;
	s->serverFormat.redShift = 16;
	s->serverFormat.greenShift = 8;
	s->serverFormat.blueShift = 0;
	s->autoPort = FALSE;
	s->port = s->ipv6port = s->httpPort = s->http6Port = 0;
	s->deferUpdateTime = s->deferPtrUpdateTime = 0;
	s->maxClientWait = STALL_MS;
	s->handleEventsEagerly = TRUE;
	s->kbdAddEvent = on_key;
	s->ptrAddEvent = on_pointer;
	s->newClientHook = on_new;
	s->passwordCheck = on_password;
	s->authPasswdData = v->wants_password ? v : NULL;
	vnc_keys_offer(&on_keys);
	rfbSetCursor(s, NULL);
	rfbInitServer(s);
	return true;
}

/* The library tells by a viewer's first bytes whether it is a browser. */
static bool websocket_fits(const char *word, struct err *e)
{
	return !word || !strcmp(word, "on") || !strcmp(word, "off") ||
	       err_set(e, "-vnc: websocket=%s: expected on or off; WebSockets come in by the viewers' own port", word);
}

static bool set_up(struct vnc *v, const char *spec, const char *title, struct err *e)
{
	static const char *const share[] = { "allow-exclusive", "force-shared", "ignore", NULL };
	const char *where, *audio, *websocket;
	int to, how;
	struct kv k;
	bool ok;

	kv_parse(&k, "-vnc", spec, "vnc", e);
	where = kv_str(&k, "vnc", NULL);
	v->wants_password = kv_bool(&k, "password", false);
	to = kv_str(&k, "to", NULL) ? (int)kv_num(&k, "to", 0, 0, 65535) : -1;
	how = kv_word(&k, "share", 0, share);
	audio = kv_str(&k, "audiodev", NULL);
	websocket = kv_str(&k, "websocket", NULL);
	ok = kv_done(&k) && websocket_fits(websocket, e) && (where || err_set(e, "-vnc %s: expected HOST:N or unix:PATH", spec)) &&
	     (!strcmp(where, "nowhere") || vnc_listen_open(&v->listen, where, to, e)) && make_screen(v, title, e);
	if (ok && audio)
		warn("-vnc audiodev=%s: viewers hear nothing; let the sound card use '-audiodev sdl' or '-audiodev wav', or leave this out", audio);
	kv_free(&k);
	if (!ok)
		return false;
	v->rfb->alwaysShared = how != 0;
	return true;
}

struct vnc *vnc_new(struct display *d, struct loop *l, const char *spec, const char *title, struct err *e)
{
	struct vnc *v;

	if (!late_load(LATE_VNC, e))
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		err_set(e, "no memory for the VNC server");
		return NULL;
	}
	pthread_mutex_init(&v->lock, NULL);
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->bridge.wake = wake;
	v->bridge.opaque = v;
	if (v->wake_fd < 0 || !set_up(v, spec, title, e) || !bridge_init(&v->bridge, d, l, e)) {
		vnc_free(v);
		return NULL;
	}
	v->started = !pthread_create(&v->thread, NULL, serve, v);
	if (!v->started) {
		err_set(e, "cannot start a thread for VNC");
		vnc_free(v);
		return NULL;
	}
	pthread_setname_np(v->thread, "vnc");
	return v;
}

static void end_thread(struct vnc *v)
{
	pthread_mutex_lock(&v->lock);
	v->ending = true;
	for (int i = 0; i < MAX_VIEWERS; i++)
		if (v->links[i].client)
			shutdown(v->links[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&v->lock);
	wake(v);
	pthread_join(v->thread, NULL);
}

void vnc_free(struct vnc *v)
{
	if (!v)
		return;
	if (v->started)
		end_thread(v);
	bridge_fini(&v->bridge);
	vnc_listen_close(&v->listen);
	while (v->n_arrived)
		close(v->arrived[--v->n_arrived]);
	if (v->rfb) {
		free(v->rfb->frameBuffer);
		v->rfb->frameBuffer = NULL;
		rfbScreenCleanup(v->rfb);
	}
	if (v->wake_fd >= 0)
		close(v->wake_fd);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* ---- the monitor's side ---- */

bool vnc_set_password(struct vnc *v, const char *password, struct err *e)
{
	if (!v->wants_password)
		return err_set(e, "viewers need no password; start with -vnc %s,password=on", v->listen.name);
	pthread_mutex_lock(&v->lock);
	memset(v->password, 0, sizeof(v->password));
	memcpy(v->password, password, strnlen(password, MAX_PASSWORD));
	v->has_password = *password != 0;
	pthread_mutex_unlock(&v->lock);
	return true;
}

int vnc_connect(struct vnc *v)
{
	bool room;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	pthread_mutex_lock(&v->lock);
	room = v->n_arrived < MAX_VIEWERS && !v->ending;
	if (room)
		v->arrived[v->n_arrived++] = pair[0];
	pthread_mutex_unlock(&v->lock);
	if (room) {
		wake(v);
		return pair[1];
	}
	close(pair[0]);
	close(pair[1]);
	return -1;
}

const char *vnc_address(const struct vnc *v)
{
	return v->listen.name;
}

struct value *vnc_info(struct vnc *v)
{
	struct value *info = val_dict(), *clients;

	pthread_mutex_lock(&v->lock);
	val_add_bool(info, "enabled", true);
	add_address(info, v->listen.name);
	/* Without a password that was asked for nobody can connect. */
	val_add_str(info, "auth", v->wants_password ? "vnc" : "none");
	clients = val_add(info, "clients", val_list());
	for (int i = 0; i < MAX_VIEWERS; i++)
		if (v->links[i].client)
			val_append(clients, client_info(&v->links[i]));
	pthread_mutex_unlock(&v->lock);
	return info;
}

#else

struct vnc *vnc_new(struct display *d, struct loop *l, const char *spec, const char *title, struct err *e)
{
	(void)d, (void)l, (void)spec, (void)title;
	err_set(e, "this program was built without VNC (Debian package libvncserver-dev, then configure again)");
	return NULL;
}

void vnc_free(struct vnc *v)
{
	(void)v;
}

bool vnc_set_password(struct vnc *v, const char *password, struct err *e)
{
	(void)v, (void)password;
	return err_set(e, "this program was built without VNC");
}

int vnc_connect(struct vnc *v)
{
	(void)v;
	return -1;
}

const char *vnc_address(const struct vnc *v)
{
	(void)v;
	return "";
}

struct value *vnc_info(struct vnc *v)
{
	(void)v;
	return val_dict();
}

#endif
