/*
 * HTTP and WebSockets by libwebsockets. Everything but starting and ending runs on
 * the server's thread, which sleeps in the library.
 *
 *	browser -- WebSocket -- viewer -- pipe -- descriptor -- machine
 *
 * A viewer that does not take what comes is slowed down if the pipe is its own, and
 * dropped if others share it.
 *
 * Source: libwebsockets.h; RFC 6455.
 */
#include "config.h"
#ifdef CONFIG_WEB

#include "ui/web_server.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/late.h"

#define HISTORY		65536u		/* of a shared stream, for who comes later */
#define SLOW		(1u << 20)	/* bytes waiting for a viewer: it is behind */
#define MOST		(8u << 20)	/* for one that shares its pipe: it is lost */
#define MOST_TYPED	(1u << 20)	/* waiting for the machine */
#define PIECE		16384u

struct buffer {
	uint8_t *p;
	size_t head, n, cap;
};

struct viewer;

/* The machine's end. */
struct pipe {
	struct web_server *server;
	struct lws *wsi;		/* NULL: closed */
	int fd;
	bool shared, held;		/* held: not read, for its viewer is behind */
	struct buffer in;		/* to the machine */
	struct buffer history;
	struct viewer *viewers;
};

/* A WebSocket; the library's storage. */
struct viewer {
	struct lws *wsi;
	struct pipe *pipe;
	struct buffer out;
	struct viewer *next;
};

struct web_server {
	struct web_config c;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct lws_http_mount *mounts;
	struct pipe shared[WEB_STREAMS];
	int port;
	pthread_t thread;
	bool started;
	atomic_bool ending;
	struct lws_protocols protocols[3];
};

/* ---- buffers ---- */

static bool buffer_add(struct buffer *b, const void *p, size_t n)
{
	size_t cap = b->cap ? b->cap : 4096;

	if (b->head && b->head + b->n + n > b->cap) {
		memmove(b->p, b->p + b->head, b->n);
		b->head = 0;
	}
	while (cap < b->n + n)
		cap *= 2;
	if (cap != b->cap) {
		uint8_t *q = realloc(b->p, cap);
		if (!q)
			return false;
		b->p = q;
		b->cap = cap;
	}
	memcpy(b->p + b->head + b->n, p, n);
	b->n += n;
	return true;
}

static void buffer_drop(struct buffer *b, size_t n)
{
	b->head += n;
	b->n -= n;
	if (!b->n)
		b->head = 0;
}

static void buffer_fini(struct buffer *b)
{
	free(b->p);
	*b = (struct buffer){ 0 };
}

/* ---- pipes ---- */

static void hang_up(struct lws *wsi)
{
	if (wsi)
		lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

static bool pipe_open(struct pipe *p, struct web_server *s, int fd, bool shared)
{
	lws_sock_file_fd_type type = { .filefd = fd };

	*p = (struct pipe){ .server = s, .fd = fd, .shared = shared };
	p->wsi = lws_adopt_descriptor_vhost(s->vhost, LWS_ADOPT_RAW_FILE_DESC, type, "pipe", NULL);
	if (p->wsi)
		lws_set_opaque_user_data(p->wsi, p);
	return p->wsi;
}

/* A viewer's own, once neither end is there any more. */
static void pipe_release(struct pipe *p)
{
	if (p->shared || p->wsi || p->viewers)
		return;
	buffer_fini(&p->in);
	free(p);
}

static void pipe_closed(struct pipe *p)
{
	p->wsi = NULL;
	for (struct viewer *v = p->viewers; v; v = v->next)
		hang_up(v->wsi);
	pipe_release(p);
}

static void to_viewers(struct pipe *p, const uint8_t *bytes, size_t n)
{
	for (struct viewer *v = p->viewers; v; v = v->next) {
		if (!buffer_add(&v->out, bytes, n) || (p->shared && v->out.n > MOST))
			hang_up(v->wsi);
		else
			lws_callback_on_writable(v->wsi);
		if (!p->shared && v->out.n > SLOW) {
			p->held = true;
			lws_rx_flow_control(p->wsi, 0);
		}
	}
}

static int pipe_read(struct pipe *p)
{
	uint8_t bytes[PIECE];
	ssize_t n = read(p->fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (!n)
		return -1;
	to_viewers(p, bytes, (size_t)n);
	if (p->shared && buffer_add(&p->history, bytes, (size_t)n) && p->history.n > HISTORY)
		buffer_drop(&p->history, p->history.n - HISTORY);
	return 0;
}

static int pipe_write(struct pipe *p)
{
	ssize_t n = p->in.n ? write(p->fd, p->in.p + p->in.head, p->in.n) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (n > 0)
		buffer_drop(&p->in, (size_t)n);
	if (p->in.n)
		lws_callback_on_writable(p->wsi);
	return 0;
}

static int on_pipe(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
	struct pipe *p = lws_get_opaque_user_data(wsi);

	(void)user, (void)in, (void)len;
	switch (why) {
	case LWS_CALLBACK_RAW_RX_FILE:
		return p ? pipe_read(p) : -1;
	case LWS_CALLBACK_RAW_WRITEABLE_FILE:
		return p ? pipe_write(p) : -1;
	case LWS_CALLBACK_RAW_CLOSE_FILE:
		if (p)
			pipe_closed(p);
		return 0;
	default:
		return 0;
	}
}

/* ---- who may, and what they want ---- */

static bool has_token(struct lws *wsi, const struct web_server *s)
{
	size_t n = strlen(s->c.token);
	char given[80] = "";
	unsigned char differ = 0;
	const char *arg = lws_get_urlarg_by_name(wsi, "token=", given, sizeof(given));

	if (!arg || strlen(arg) != n)
		return false;
	for (size_t i = 0; i < n; i++)		/* takes as long wherever they differ */
		differ |= (unsigned char)(arg[i] ^ s->c.token[i]);
	return !differ;
}

static int answer(struct lws *wsi, unsigned status, const char *body, size_t n)
{
	uint8_t head[LWS_PRE + 512], *p = head + LWS_PRE, *end = head + sizeof(head);
	uint8_t *copy = malloc(LWS_PRE + n);
	int r = -1;

	if (!copy)
		return -1;
	memcpy(copy + LWS_PRE, body, n);
	if (!lws_add_http_common_headers(wsi, status, "text/html; charset=utf-8", n, &p, end) &&
	    !lws_add_http_header_by_name(wsi, (const uint8_t *)"cache-control:", (const uint8_t *)"no-store", 8, &p, end) &&
	    !lws_add_http_header_by_name(wsi, (const uint8_t *)"referrer-policy:", (const uint8_t *)"no-referrer", 11, &p, end) &&
	    !lws_finalize_write_http_header(wsi, head + LWS_PRE, &p, end) &&
	    lws_write(wsi, copy + LWS_PRE, n, LWS_WRITE_HTTP_FINAL) == (int)n)
		r = lws_http_transaction_completed(wsi) ? -1 : 0;
	free(copy);
	return r;
}

static int on_request(struct lws *wsi, struct web_server *s, const char *path)
{
	static const char forbidden[] = "<p>The address ends with a token that was printed when Rhea started.\n";
	static const char nothing[] = "<p>There is nothing here.\n";

	if (strcmp(path, "/"))
		return answer(wsi, HTTP_STATUS_NOT_FOUND, nothing, sizeof(nothing) - 1);
	if (!has_token(wsi, s))
		return answer(wsi, HTTP_STATUS_FORBIDDEN, forbidden, sizeof(forbidden) - 1);
	return answer(wsi, HTTP_STATUS_OK, s->c.page, s->c.page_len);
}

static struct pipe *own_pipe(struct web_server *s)
{
	struct pipe *p;
	int fd = s->c.screen ? s->c.screen(s->c.opaque) : -1;

	if (fd < 0)
		return NULL;
	p = malloc(sizeof(*p));
	if (p && pipe_open(p, s, fd, false))
		return p;
	free(p);
	close(fd);
	return NULL;
}

static struct pipe *wanted_pipe(struct lws *wsi, struct web_server *s)
{
	char path[64];

	if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0 || !has_token(wsi, s))
		return NULL;
	if (!strcmp(path, "/screen"))
		return own_pipe(s);
	for (int i = 0; i < s->c.n_streams; i++)
		if (!strncmp(path, "/stream/", 8) && !strcmp(path + 8, s->c.streams[i].name) && s->shared[i].wsi)
			return &s->shared[i];
	return NULL;
}

/* ---- viewers ---- */

static void viewer_comes(struct viewer *v, struct lws *wsi)
{
	struct pipe *p = lws_get_opaque_user_data(wsi);

	*v = (struct viewer){ .wsi = wsi, .pipe = p, .next = p->viewers };
	p->viewers = v;
	if (p->history.n)
		buffer_add(&v->out, p->history.p + p->history.head, p->history.n);
	lws_callback_on_writable(wsi);
}

static void viewer_goes(struct viewer *v)
{
	struct pipe *p = v->pipe;

	buffer_fini(&v->out);
	if (!p)
		return;
	for (struct viewer **q = &p->viewers; *q; q = &(*q)->next) {
		if (*q == v) {
			*q = v->next;
			break;
		}
	}
	v->pipe = NULL;
	if (!p->shared)
		hang_up(p->wsi);
	pipe_release(p);
}

static int viewer_typed(struct viewer *v, const void *bytes, size_t n)
{
	struct pipe *p = v->pipe;

	if (!p || !p->wsi || p->in.n + n > MOST_TYPED || !buffer_add(&p->in, bytes, n))
		return -1;
	lws_callback_on_writable(p->wsi);
	return 0;
}

static int viewer_takes(struct viewer *v)
{
	uint8_t piece[LWS_PRE + PIECE];
	size_t n = v->out.n < PIECE ? v->out.n : PIECE;
	struct pipe *p = v->pipe;

	if (!n)
		return 0;
	memcpy(piece + LWS_PRE, v->out.p + v->out.head, n);
	if (lws_write(v->wsi, piece + LWS_PRE, n, LWS_WRITE_BINARY) < (int)n)
		return -1;
	buffer_drop(&v->out, n);
	if (v->out.n)
		lws_callback_on_writable(v->wsi);
	if (p && p->held && v->out.n < SLOW / 2 && p->wsi) {
		p->held = false;
		lws_rx_flow_control(p->wsi, 1);
	}
	return 0;
}

static int on_web(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
	struct web_server *s = lws_context_user(lws_get_context(wsi));
	struct pipe *p;

	switch (why) {
	case LWS_CALLBACK_HTTP:
		return on_request(wsi, s, in);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		p = wanted_pipe(wsi, s);
		lws_set_opaque_user_data(wsi, p);
		return p ? 0 : 1;
	case LWS_CALLBACK_ESTABLISHED:
		viewer_comes(user, wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return viewer_typed(user, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return viewer_takes(user);
	case LWS_CALLBACK_CLOSED:
		viewer_goes(user);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, why, user, in, len);
	}
}

/* ---- life ---- */

static void *serve(void *opaque)
{
	struct web_server *s = opaque;

	while (!atomic_load(&s->ending) && lws_service(s->context, 0) >= 0)
		;
	return NULL;
}

static bool make_mounts(struct web_server *s)
{
	int n = 0;

	while (s->c.folders[n].at)
		n++;
	s->mounts = calloc((size_t)n + 1, sizeof(*s->mounts));
	for (int i = 0; i < n && s->mounts; i++)
		s->mounts[i] = (struct lws_http_mount){
			.mount_next = i + 1 < n ? &s->mounts[i + 1] : NULL, .mountpoint = s->c.folders[i].at,
			.mountpoint_len = (unsigned char)strlen(s->c.folders[i].at), .origin = s->c.folders[i].path,
			.origin_protocol = LWSMPRO_FILE, .def = "none",
		};
	return s->mounts;
}

static bool listen_at(struct web_server *s, struct err *e)
{
	struct lws_context_creation_info info = {
		.iface = s->c.address, .protocols = s->protocols, .mounts = s->mounts, .user = s,
		.options = LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.gid = -1, .uid = -1, .pt_serv_buf_size = 65536,
	};

	lws_set_log_level(0, NULL);
	s->context = lws_create_context(&info);
	if (!s->context)
		return err_set(e, "no memory for the web server");
	for (s->port = s->c.port; s->port <= s->c.last_port && !s->vhost; s->port++) {
		info.port = s->port;
		s->vhost = lws_create_vhost(s->context, &info);
	}
	s->port--;
	return s->vhost || err_set(e, "cannot listen at %s, ports %d to %d", s->c.address, s->c.port, s->c.last_port);
}

static bool open_shared(struct web_server *s, struct err *e)
{
	for (int i = 0; i < s->c.n_streams; i++) {
		if (!pipe_open(&s->shared[i], s, s->c.streams[i].fd, true))
			return err_set(e, "no memory for the web server");
		s->c.streams[i].fd = -1;	/* the library closes it */
	}
	return true;
}

struct web_server *web_server_new(const struct web_config *c, struct err *e)
{
	struct web_server *s;

	if (!late_load(LATE_WEB, e))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(e, "no memory for the web server");
		return NULL;
	}
	s->c = *c;
	s->protocols[0] = (struct lws_protocols){ "web", on_web, sizeof(struct viewer), PIECE, 0, NULL, 0 };
	s->protocols[1] = (struct lws_protocols){ "pipe", on_pipe, 0, 0, 0, NULL, 0 };
	if (!make_mounts(s) || !listen_at(s, e) || !open_shared(s, e)) {
		web_server_free(s);
		return NULL;
	}
	s->started = !pthread_create(&s->thread, NULL, serve, s);
	if (!s->started) {
		err_set(e, "cannot start a thread for the web server");
		web_server_free(s);
		return NULL;
	}
	pthread_setname_np(s->thread, "web");
	return s;
}

void web_server_free(struct web_server *s)
{
	if (!s)
		return;
	atomic_store(&s->ending, true);
	if (s->started) {
		lws_cancel_service(s->context);
		pthread_join(s->thread, NULL);
	}
	if (s->context)
		lws_context_destroy(s->context);
	for (int i = 0; i < s->c.n_streams; i++) {
		if (s->c.streams[i].fd >= 0)
			close(s->c.streams[i].fd);
		buffer_fini(&s->shared[i].in);
		buffer_fini(&s->shared[i].history);
	}
	free(s->mounts);
	free(s);
}

int web_server_port(const struct web_server *s)
{
	return s->port;
}

#endif
