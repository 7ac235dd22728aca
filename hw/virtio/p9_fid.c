/*
 * Fids, and the names they stand for. A fid names a file by its place in a tree of
 * names, of which there is one node each, so a rename moves all fids below it as well.
 * A name that is taken away takes nothing from fids that stand for it: what it was is
 * kept as a descriptor until the last of them goes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/virtio/p9_priv.h"

/* ---- nodes; the session's lock is held where a function has no other name ---- */

static unsigned bucket_of(const struct p9_node *dir, const char *name)
{
	uint64_t h = (uintptr_t)dir >> 4;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
	return (unsigned)(h >> 20) % P9_BUCKETS;
}

static struct p9_node *find(struct p9 *s, const struct p9_node *dir, const char *name)
{
	struct p9_node *n = s->nodes[bucket_of(dir, name)];

	while (n && (n->parent != dir || strcmp(n->name, name)))
		n = n->next;
	return n;
}

static void link_in(struct p9 *s, struct p9_node *n)
{
	struct p9_node **at = &s->nodes[bucket_of(n->parent, n->name)];

	n->next = *at;
	*at = n;
}

static void link_out(struct p9 *s, struct p9_node *n)
{
	struct p9_node **at = &s->nodes[bucket_of(n->parent, n->name)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
}

static void put(struct p9 *s, struct p9_node *n)
{
	while (n != &s->root && !--n->refs) {
		struct p9_node *up = n->parent;
		if (!n->gone)
			link_out(s, n);
		if (n->fd >= 0)
			close(n->fd);
		free(n->name);
		free(n);
		n = up;
	}
}

static struct p9_node *hold(struct p9_node *n)
{
	n->refs++;
	return n;
}

static struct p9_node *new_node(struct p9 *s, struct p9_node *dir, const char *name)
{
	struct p9_node *n = calloc(1, sizeof(*n));

	if (!n || !(n->name = strdup(name))) {
		free(n);
		return NULL;
	}
	n->parent = hold(dir);
	n->refs = 1;
	n->fd = -1;
	link_in(s, n);
	return n;
}

struct p9_node *p9_node_child(struct p9 *s, struct p9_node *dir, const char *name)
{
	pthread_mutex_lock(&s->lock);
	struct p9_node *n = strcmp(name, "..") ? find(s, dir, name) : dir->parent ? dir->parent : dir;
	n = n ? hold(n) : new_node(s, dir, name);
	pthread_mutex_unlock(&s->lock);
	return n;
}

void p9_node_put(struct p9 *s, struct p9_node *n)
{
	pthread_mutex_lock(&s->lock);
	put(s, n);
	pthread_mutex_unlock(&s->lock);
}

/* From the end to the front; where a name above is gone, there is no way. */
static int path_of(const struct p9_node *n, char buf[PATH_MAX], char **path)
{
	char *p = buf + PATH_MAX - 1;

	*p = 0;
	for (; n->parent; n = n->parent) {
		size_t k = strlen(n->name);
		if (n->gone)
			return -ENOENT;
		if ((size_t)(p - buf) < k + 1)
			return -ENAMETOOLONG;
		if (*p)
			*--p = '/';
		p -= k;
		memcpy(p, n->name, k);
	}
	*path = p;
	return 0;
}

int p9_node_fd(struct p9 *s, struct p9_node *n)
{
	char buf[PATH_MAX], *path = buf;
	int r;

	pthread_mutex_lock(&s->lock);
	if (n->gone)
		r = n->fd < 0 ? -ENOENT : (r = dup(n->fd)) < 0 ? -errno : r;
	else
		r = path_of(n, buf, &path);
	bool by_path = !n->gone && !r;
	pthread_mutex_unlock(&s->lock);
	return by_path ? share_walk(s->share, path) : r;
}

int p9_fid_fd(struct p9 *s, struct p9_fid *f)
{
	struct p9_node *n = p9_node_of(s, f);
	int fd = p9_node_fd(s, n);

	p9_node_put(s, n);
	return fd;
}

int p9_name_fd(struct p9 *s, struct p9_node *dir, const char *name)
{
	pthread_mutex_lock(&s->lock);
	struct p9_node *n = find(s, dir, name);
	if (n)
		hold(n);
	pthread_mutex_unlock(&s->lock);
	if (!n)
		return -1;
	int fd = p9_node_fd(s, n);
	p9_node_put(s, n);
	return fd < 0 ? -1 : fd;
}

static void gone(struct p9 *s, struct p9_node *n, int fd)
{
	link_out(s, n);
	n->gone = true;
	n->fd = fd;
}

void p9_name_gone(struct p9 *s, struct p9_node *dir, const char *name, int fd)
{
	pthread_mutex_lock(&s->lock);
	struct p9_node *n = find(s, dir, name);
	if (n)
		gone(s, n, fd);
	else if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&s->lock);
}

static bool is_above(const struct p9_node *n, const struct p9_node *below)
{
	while (below && below != n)
		below = below->parent;
	return below;
}

void p9_name_moved(struct p9 *s, struct p9_node *from, const char *old, struct p9_node *to, const char *name)
{
	char *text = strdup(name);

	pthread_mutex_lock(&s->lock);
	struct p9_node *n = find(s, from, old), *above = from;
	/* The host may have moved folders about: the tree stays one. */
	if (n && (!text || is_above(n, to))) {
		gone(s, n, -1);
	} else if (n) {
		link_out(s, n);
		free(n->name);
		n->name = text;
		n->parent = hold(to);
		link_in(s, n);
		text = NULL;
		put(s, above);
	}
	pthread_mutex_unlock(&s->lock);
	free(text);
}

bool p9_node_place(struct p9 *s, struct p9_node *n, struct p9_node **dir, char name[NAME_MAX + 1])
{
	pthread_mutex_lock(&s->lock);
	bool ok = n->parent && !n->gone;
	if (ok) {
		*dir = hold(n->parent);
		memcpy(name, n->name, strlen(n->name) + 1);
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/* ---- fids ---- */

static struct p9_fid **slot(struct p9 *s, uint32_t id)
{
	struct p9_fid **at = &s->fids[id * 0x9e3779b1u >> 20];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void drop(struct p9 *s, struct p9_fid *f)
{
	if (--f->refs)
		return;
	put(s, f->node);
	if (f->fd >= 0)
		close(f->fd);
	pthread_mutex_destroy(&f->lock);
	free(f->xattr);
	free(f->value);
	free(f);
}

struct p9_fid *p9_fid_get(struct p9 *s, uint32_t id)
{
	pthread_mutex_lock(&s->lock);
	struct p9_fid *f = *slot(s, id);
	if (f)
		f->refs++;
	pthread_mutex_unlock(&s->lock);
	return f;
}

void p9_fid_put(struct p9 *s, struct p9_fid *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&s->lock);
	drop(s, f);
	pthread_mutex_unlock(&s->lock);
}

int p9_fid_new(struct p9 *s, uint32_t id, struct p9_node *node, uint32_t uid, struct p9_fid **out)
{
	struct p9_fid *f = calloc(1, sizeof(*f));
	int r = 0;

	pthread_mutex_lock(&s->lock);
	struct p9_fid **at = slot(s, id);
	if (*at || !f || s->n_fids == P9_MAX_FIDS) {
		r = *at ? -EBADF : -ENOMEM;
		free(f);
		put(s, node);
	} else {
		*f = (struct p9_fid){ .id = id, .refs = 2, .node = node, .uid = uid, .fd = -1 };
		pthread_mutex_init(&f->lock, NULL);
		*at = f;
		s->n_fids++;
		*out = f;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

void p9_fid_forget(struct p9 *s, struct p9_fid *f)
{
	pthread_mutex_lock(&s->lock);
	struct p9_fid **at = slot(s, f->id);
	/* Two messages may end the same fid. */
	if (*at == f) {
		*at = f->next;
		s->n_fids--;
		drop(s, f);
	}
	pthread_mutex_unlock(&s->lock);
}

struct p9_node *p9_node_of(struct p9 *s, struct p9_fid *f)
{
	pthread_mutex_lock(&s->lock);
	struct p9_node *n = hold(f->node);
	pthread_mutex_unlock(&s->lock);
	return n;
}

void p9_fid_set_node(struct p9 *s, struct p9_fid *f, struct p9_node *node)
{
	pthread_mutex_lock(&s->lock);
	put(s, f->node);
	f->node = node;
	pthread_mutex_unlock(&s->lock);
}

void p9_forget_all(struct p9 *s)
{
	for (unsigned i = 0; i < P9_BUCKETS; i++)
		while (s->fids[i])
			p9_fid_forget(s, s->fids[i]);
}

unsigned p9_n_fids(struct p9 *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->n_fids;
	pthread_mutex_unlock(&s->lock);
	return n;
}
