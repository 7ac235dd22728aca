/* Inside the file server: messages (p9_msg.c), fids and names (p9_fid.c), requests (p9.c, p9_file.c). */
#ifndef HW_VIRTIO_P9_PRIV_H
#define HW_VIRTIO_P9_PRIV_H

#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "hw/backend/share.h"
#include "hw/virtio/p9.h"

/* ---- messages ---- */

struct p9_in {
	const uint8_t *p;
	size_t n, at;
	bool bad;			/* it ended too early, or held what may not be */
};
struct p9_out {
	uint8_t *p;
	size_t room, n;
	bool full;
};

/*
 * Fields one after the other: b w d q (u8 .. u64), s a name (char[NAME_MAX + 1]), S a path
 * (char[PATH_MAX]), 13 bytes Q of struct p9_qid. False: the message is bad, or full.
 */
bool p9_get(struct p9_in *in, const char *fields, ...);
bool p9_put(struct p9_out *out, const char *fields, ...);

struct p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};
struct p9_qid p9_qid_of(const struct stat *st);

/* ---- names and fids ---- */

/* A name in the folder that some fid stands for, or a folder above such a name. */
struct p9_node {
	struct p9_node *parent;		/* NULL: the shared folder */
	struct p9_node *next;		/* in its hash chain */
	unsigned refs;
	bool gone;			/* nobody finds it by its name any more; `fd` is what it was, or -1 */
	int fd;
	char *name;
};

struct p9_fid {
	uint32_t id;
	unsigned refs;
	struct p9_fid *next;
	struct p9_node *node;
	uint32_t uid;			/* who attached */
	pthread_mutex_t lock;		/* for what follows */
	int fd;				/* open file or folder, or -1 */
	bool is_dir;
	/* A fid for an extended attribute: its value, read from, or written by the end. */
	char *xattr;
	bool xwrite;
	int xflags;
	uint8_t *value;
	uint64_t value_len, value_at;
};

#define P9_BUCKETS	4096u
#define P9_MAX_FIDS	(1u << 17)

struct p9 {
	struct share *share;
	uint32_t msize;
	pthread_mutex_t lock;		/* fids, nodes */
	pthread_mutex_t rename_lock;	/* renames, one at a time: names follow the files */
	struct p9_fid *fids[P9_BUCKETS];
	struct p9_node *nodes[P9_BUCKETS];
	unsigned n_fids;
	struct p9_node root;
};

/* NULL: there is none of that number. p9_fid_put() it. */
struct p9_fid *p9_fid_get(struct p9 *s, uint32_t id);
void p9_fid_put(struct p9 *s, struct p9_fid *f);
/* A new one for a node, whose reference it takes over (also when it fails). 0 or -errno; *out as by p9_fid_get(). */
int p9_fid_new(struct p9 *s, uint32_t id, struct p9_node *node, uint32_t uid, struct p9_fid **out);
/* Take the number away; the fid goes with the last who uses it. */
void p9_fid_forget(struct p9 *s, struct p9_fid *f);
void p9_fid_set_node(struct p9 *s, struct p9_fid *f, struct p9_node *node);

struct p9_node *p9_node_of(struct p9 *s, struct p9_fid *f);
/* The name in that folder, or its parent for "..". NULL: no memory. */
struct p9_node *p9_node_child(struct p9 *s, struct p9_node *dir, const char *name);
void p9_node_put(struct p9 *s, struct p9_node *n);
/* A descriptor to ask about what has the name (share_walk), or -errno. */
int p9_node_fd(struct p9 *s, struct p9_node *n);
/* The same for what a fid stands for. */
int p9_fid_fd(struct p9 *s, struct p9_fid *f);
/* Who has the name? A descriptor of it, if some fid stands for it, so that it can be told it is gone; or -1. */
int p9_name_fd(struct p9 *s, struct p9_node *dir, const char *name);
/* What had the name has it no more; takes fd over. */
void p9_name_gone(struct p9 *s, struct p9_node *dir, const char *name, int fd);
/* The name is another one now. */
void p9_name_moved(struct p9 *s, struct p9_node *from, const char *old, struct p9_node *to, const char *name);
/* The folder and the name of a node: false, it is the shared folder, or gone. *dir is a reference. */
bool p9_node_place(struct p9 *s, struct p9_node *n, struct p9_node **dir, char name[NAME_MAX + 1]);

/* ---- requests ---- */

/* 0 or -errno; the header is not theirs. */
typedef int p9_request_fn(struct p9 *s, struct p9_in *in, struct p9_out *out);
#define REQUEST(type, name) p9_request_fn p9_##name;
#include "hw/virtio/p9.def"
#undef REQUEST

int p9_stat_node(struct p9 *s, struct p9_node *n, struct stat *st);
int p9_stat_fid(struct p9 *s, struct p9_fid *f, struct stat *st);
/* The attribute that was written by this fid is set. */
int p9_end_xattr(struct p9 *s, struct p9_fid *f);

#endif
