/* The file server: messages as a guest's kernel sends them, as a hostile one does, and any bytes at all. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "hw/backend/share.h"
#include "hw/virtio/p9.h"
#include "tests/bench.h"

static struct bench b;
static char dir[64];
static struct share *share;
static struct p9 *s;
static uint8_t msg[65536], reply[65536];
static size_t n_msg, n_reply;

enum {
	STATFS = 8, LOPEN = 12, LCREATE = 14, SYMLINK = 16, MKNOD = 18, RENAME = 20, READLINK = 22, GETATTR = 24,
	SETATTR = 26, XATTRWALK = 30, XATTRCREATE = 32, READDIR = 40, LINK = 70, MKDIR = 72, RENAMEAT = 74,
	UNLINKAT = 76, VERSION = 100, ATTACH = 104, WALK = 110, READ = 116, WRITE = 118, CLUNK = 120, REMOVE = 122,
};

static void open_share(enum share_model model, bool readonly)
{
	struct share_options o = { .id = "f", .path = dir, .model = model, .readonly = readonly };

	share_free_all(b.m);
	share = share_new(b.m, &o, &b.err);
	cr_assert(share, "%s", b.err.msg);
	p9_free(s);
	s = p9_new(share);
}

static void setup(void)
{
	bench_machine(&b);
	strcpy(dir, "/tmp/rhea-p9-XXXXXX");
	cr_assert(mkdtemp(dir));
	open_share(SHARE_MAPPED, false);
}

static void teardown(void)
{
	char command[128];

	p9_free(s);
	share_free_all(b.m);
	bench_close(&b);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}
TestSuite(p9, .init = setup, .fini = teardown, .timeout = 60);

/* ---- messages; fields are b w d q and s ---- */

static void put(int n, uint64_t v)
{
	st_n(msg + n_msg, n, v);
	n_msg += (size_t)n;
}

static void begin(uint8_t type)
{
	n_msg = 4;
	put(1, type);
	put(2, 7);
}

static void text(const char *t)
{
	put(2, strlen(t));
	memcpy(msg + n_msg, t, strlen(t));
	n_msg += strlen(t);
}

/* The answer: 0, or the error it tells. */
static int end(void)
{
	uint8_t type = msg[4];

	st32(msg, (uint32_t)n_msg);
	n_reply = p9_serve(s, msg, n_msg, reply, sizeof(reply));
	cr_assert_eq(ld32(reply), n_reply);
	cr_assert_eq(ld16(reply + 5), 7);
	if (reply[4] == 7)
		return (int)ld32(reply + 7);
	cr_assert_eq(reply[4], type + 1);
	return 0;
}

static int attach(uint32_t fid)
{
	begin(VERSION), put(4, 65536), text("9P2000.L");
	cr_assert_eq(end(), 0);
	cr_assert(!memcmp(reply + 13, "9P2000.L", 8));
	begin(ATTACH), put(4, fid), put(4, 0xffffffff), text("root"), text(""), put(4, 0);
	return end();
}

/* "a/b" from fid, as new_fid. */
static int walk(uint32_t fid, uint32_t new_fid, const char *path)
{
	char copy[256], *save = NULL;
	size_t at;
	uint16_t n = 0;

	begin(WALK), put(4, fid), put(4, new_fid), at = n_msg, put(2, 0);
	strcpy(copy, path);
	for (char *w = strtok_r(copy, "/", &save); w; w = strtok_r(NULL, "/", &save), n++)
		text(w);
	st16(msg + at, n);
	int r = end();
	return r ? r : ld16(reply + 7) == n ? 0 : -(int)ld16(reply + 7) - 1;
}

static int lopen(uint32_t fid, uint32_t flags) { begin(LOPEN), put(4, fid), put(4, flags); return end(); }
static int clunk(uint32_t fid) { begin(CLUNK), put(4, fid); return end(); }
static int make_dir(uint32_t fid, const char *n) { begin(MKDIR), put(4, fid), text(n), put(4, 0755), put(4, 5); return end(); }

static int create(uint32_t fid, const char *n)
{
	begin(LCREATE), put(4, fid), text(n), put(4, O_RDWR), put(4, 0640), put(4, 7);
	return end();
}

static int write_at(uint32_t fid, uint64_t at, const char *t)
{
	begin(WRITE), put(4, fid), put(8, at), put(4, strlen(t));
	memcpy(msg + n_msg, t, strlen(t));
	n_msg += strlen(t);
	return end();
}

static int read_at(uint32_t fid, uint64_t at, uint32_t n) { begin(READ), put(4, fid), put(8, at), put(4, n); return end(); }
static int getattr(uint32_t fid) { begin(GETATTR), put(4, fid), put(8, 0x7ff); return end(); }
#define ATTR_MODE	ld32(reply + 7 + 8 + 13)
#define ATTR_UID	ld32(reply + 7 + 8 + 13 + 4)
#define ATTR_GID	ld32(reply + 7 + 8 + 13 + 8)
#define ATTR_SIZE	ld64(reply + 7 + 8 + 13 + 12 + 16)

static const char *host(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void host_file(const char *name, const char *t)
{
	int fd = open(host(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	cr_assert(fd >= 0 && write(fd, t, strlen(t)) == (ssize_t)strlen(t));
	close(fd);
}

Test(p9, files_are_made_written_and_read)
{
	cr_assert_eq(attach(1), 0);
	cr_assert_eq(walk(1, 2, ""), 0);
	cr_assert_eq(create(2, "new"), 0);
	cr_assert_eq(write_at(2, 0, "hello world"), 0);
	cr_assert_eq(read_at(2, 6, 100), 0);
	cr_assert_eq(n_reply, 11 + 5);
	cr_assert(!memcmp(reply + 11, "world", 5));
	cr_assert_eq(getattr(2), 0);
	cr_assert_eq(ATTR_SIZE, 11);
	cr_assert_eq(ATTR_MODE, S_IFREG | 0640);
	cr_assert_eq(ATTR_GID, 7);
	struct stat st;
	cr_assert_eq(stat(host("new"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600, "the host sees a private file");
	cr_assert_eq(clunk(2), 0);
	cr_assert_eq(clunk(2), EBADF);
}

/* The guest's own has been taken away already. */
Test(p9, the_hosts_umask_takes_nothing_away)
{
	struct stat st;

	open_share(SHARE_NONE, false);
	mode_t was = umask(077);
	cr_assert_eq(attach(1), 0);
	cr_assert_eq(walk(1, 2, ""), 0);
	cr_assert_eq(create(2, "file"), 0);
	cr_assert_eq(make_dir(1, "folder"), 0);
	begin(MKNOD), put(4, 1), text("fifo"), put(4, S_IFIFO | 0666), put(4, 0), put(4, 0), put(4, 0);
	cr_assert_eq(end(), 0);
	umask(was);
	cr_assert_eq(stat(host("file"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert_eq(stat(host("folder"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0755);
	cr_assert_eq(stat(host("fifo"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0666);
}

Test(p9, a_walk_goes_as_far_as_it_can)
{
	attach(1);
	cr_assert_eq(make_dir(1, "a"), 0);
	cr_assert_eq(walk(1, 2, "a/b/c"), -2, "one of three");
	cr_assert_eq(clunk(2), EBADF, "there is no fid then");
	cr_assert_eq(walk(1, 2, "nothing"), ENOENT);
	cr_assert_eq(walk(1, 2, "a"), 0);
	cr_assert_eq(walk(1, 2, "a"), EBADF, "the fid is taken");
	cr_assert_eq(walk(2, 3, "../a"), 0);
}

Test(p9, no_way_leads_out)
{
	static const char *const names[] = { "..", ".", "", "a/b", "/etc", "../x" };

	host_file("file", "x");
	cr_assert_eq(symlink("/", host("out")), 0);
	cr_assert_eq(symlink("..", host("up")), 0);
	attach(1);
	cr_assert_eq(walk(1, 2, "../.."), 0, "above the folder is the folder");
	cr_assert_eq(getattr(2), 0);
	cr_assert_eq(clunk(2), 0);
	cr_assert_eq(walk(1, 2, "out/etc"), -2);
	cr_assert_eq(walk(1, 2, "up/tmp"), -2);
	cr_assert_eq(walk(1, 2, "file/x"), -2);
	cr_assert_eq(walk(1, 3, "out"), 0);
	cr_assert_eq(lopen(3, O_RDONLY), ELOOP);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cr_expect_neq(make_dir(1, names[i]), 0, "'%s'", names[i]);
		begin(UNLINKAT), put(4, 1), text(names[i]), put(4, 0);
		cr_expect_neq(end(), 0, "'%s'", names[i]);
		begin(RENAMEAT), put(4, 1), text("file"), put(4, 1), text(names[i]);
		cr_expect_neq(end(), 0, "'%s'", names[i]);
		begin(SYMLINK), put(4, 1), text(names[i]), text("x"), put(4, 0);
		cr_expect_neq(end(), 0, "'%s'", names[i]);
		begin(WALK), put(4, 1), put(4, 9), put(2, 1), text(names[i]);
		if (strcmp(names[i], ".."))
			cr_expect_eq(end(), ENOENT, "'%s'", names[i]);
	}
	/* A folder that becomes a link behind the guest's back. */
	cr_assert_eq(make_dir(1, "d"), 0);
	cr_assert_eq(walk(1, 4, "d"), 0);
	cr_assert_eq(rmdir(host("d")), 0);
	cr_assert_eq(symlink("/tmp", host("d")), 0);
	cr_assert_neq(make_dir(4, "rhea-p9-escaped"), 0);
	cr_assert_neq(access("/tmp/rhea-p9-escaped", F_OK), 0);
}

Test(p9, links_of_the_guest_are_files_of_the_host)
{
	attach(1);
	begin(SYMLINK), put(4, 1), text("l"), text("/etc/passwd"), put(4, 0);
	cr_assert_eq(end(), 0);
	cr_assert_eq(reply[7], 0x02);
	struct stat st;
	cr_assert_eq(lstat(host("l"), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(walk(1, 2, "l"), 0);
	begin(READLINK), put(4, 2);
	cr_assert_eq(end(), 0);
	cr_assert(!memcmp(reply + 9, "/etc/passwd", 11));
	begin(MKNOD), put(4, 1), text("null"), put(4, S_IFCHR | 0666), put(4, 1), put(4, 3), put(4, 0);
	cr_assert_eq(end(), 0);
	cr_assert_eq(lstat(host("null"), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
}

Test(p9, an_open_file_outlives_its_name)
{
	attach(1);
	walk(1, 2, "");
	create(2, "f");
	write_at(2, 0, "data");
	cr_assert_eq(walk(1, 3, "f"), 0);
	begin(RENAMEAT), put(4, 1), text("f"), put(4, 1), text("g");
	cr_assert_eq(end(), 0);
	cr_assert_eq(getattr(3), 0);
	begin(UNLINKAT), put(4, 1), text("g"), put(4, 0);
	cr_assert_eq(end(), 0);
	cr_assert_eq(getattr(3), 0, "not open, but still there");
	cr_assert_eq(ATTR_SIZE, 4);
	cr_assert_eq(walk(1, 4, "g"), ENOENT);
	walk(1, 5, "");
	create(5, "g");
	cr_assert_eq(getattr(3), 0);
	cr_assert_eq(ATTR_SIZE, 4, "another file of that name is another file");
	cr_assert_eq(read_at(2, 0, 10), 0);
	cr_assert(!memcmp(reply + 11, "data", 4));
}

Test(p9, fids_below_a_folder_move_with_it)
{
	attach(1);
	make_dir(1, "a");
	walk(1, 2, "a");
	make_dir(2, "b");
	walk(1, 3, "a/b");
	begin(RENAME), put(4, 2), put(4, 1), text("z");
	cr_assert_eq(end(), 0);
	cr_assert_eq(make_dir(3, "c"), 0);
	cr_assert_eq(access(host("z/b/c"), F_OK), 0);
	begin(RENAMEAT), put(4, 1), text("z"), put(4, 3), text("in-itself");
	cr_assert_eq(end(), EINVAL);
	cr_assert_eq(walk(3, 4, ".."), 0);
}

static int set_xattr(uint32_t fid, const char *name, const char *value)
{
	walk(fid, 99, "");
	begin(XATTRCREATE), put(4, 99), text(name), put(8, strlen(value)), put(4, 0);
	int r = end();
	if (!r && *value)
		r = write_at(99, 0, value);
	return clunk(99) | r;
}

Test(p9, extended_attributes)
{
	attach(1);
	walk(1, 2, "");
	create(2, "f");
	walk(1, 3, "f");
	if (set_xattr(3, "user.colour", "green"))
		cr_skip_test("no extended attributes in /tmp");
	begin(XATTRWALK), put(4, 3), put(4, 4), text("user.colour");
	cr_assert_eq(end(), 0);
	cr_assert_eq(ld64(reply + 7), 5);
	cr_assert_eq(read_at(4, 0, 100), 0);
	cr_assert(!memcmp(reply + 11, "green", 5));
	clunk(4);
	begin(XATTRWALK), put(4, 3), put(4, 4), text("");
	cr_assert_eq(end(), 0);
	cr_assert_eq(ld64(reply + 7), sizeof("user.colour"), "ours are hidden");
	cr_assert_neq(set_xattr(3, "user.virtfs.uid", "1234"), 0);
	cr_assert_neq(set_xattr(3, "trusted.x", "1"), 0);
	begin(XATTRCREATE), put(4, 3), text("user.big"), put(8, 1ull << 40), put(4, 0);
	cr_assert_eq(end(), E2BIG);
}

Test(p9, folders_are_listed_in_pieces)
{
	unsigned n = 0;
	uint64_t at = 0;
	char name[32];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		host_file(name, "");
	}
	attach(1);
	walk(1, 2, "");
	cr_assert_eq(lopen(2, O_RDONLY | O_DIRECTORY), 0);
	for (;;) {
		begin(READDIR), put(4, 2), put(8, at), put(4, 500);
		cr_assert_eq(end(), 0);
		cr_assert_leq(ld32(reply + 7), 500);
		if (n_reply == 11)
			break;
		for (size_t i = 11; i < n_reply; i += 24 + ld16(reply + i + 22), n++)
			at = ld64(reply + i + 13);
	}
	cr_assert_eq(n, 302);
}

Test(p9, a_readonly_folder_stays_as_it_is)
{
	host_file("f", "abc");
	open_share(SHARE_NONE, true);
	attach(1);
	cr_assert_eq(make_dir(1, "d"), EROFS);
	walk(1, 2, "f");
	cr_assert_eq(lopen(2, O_RDWR), EROFS);
	cr_assert_eq(lopen(2, O_RDONLY | O_TRUNC), EROFS);
	begin(UNLINKAT), put(4, 1), text("f"), put(4, 0);
	cr_assert_eq(end(), EROFS);
	begin(SETATTR), put(4, 2), put(4, 8), put(4, 0), put(4, 0), put(4, 0);
	for (int i = 0; i < 5; i++)
		put(8, 0);
	cr_assert_eq(end(), EROFS);
	begin(REMOVE), put(4, 2);
	cr_assert_eq(end(), EROFS);
	cr_assert_eq(access(host("f"), F_OK), 0);
}

Test(p9, a_guest_leaves_descriptors_to_the_program)
{
	struct rlimit few = { .rlim_cur = 400, .rlim_max = 400 };
	int n = 0, fd;

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while ((fd = share_walk(share, "")) >= 0)
		n++;
	cr_assert_eq(fd, -EMFILE);
	cr_assert_gt(n, 200);
	cr_assert_geq(open("/dev/null", O_RDONLY | O_CLOEXEC), 0, "%d", n);
}

Test(p9, fids_are_bounded)
{
	uint32_t i;

	attach(0);
	for (i = 1; i < 1000000 && !walk(0, i, ""); i++)
		;
	cr_assert_eq(i, 1u << 17);
	cr_assert_eq(clunk(5), 0);
	cr_assert_eq(walk(0, 5, ""), 0);
}

static uint64_t x = 88172645463325252ull;
static uint32_t rnd(void)
{
	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return (uint32_t)(x >> 20);
}

/* Any type, any fields; some of them meant well. The seed is fixed. */
Test(p9, random_messages_do_no_harm)
{
	static const uint8_t types[] = {
		STATFS, LOPEN, LCREATE, SYMLINK, MKNOD, RENAME, READLINK, GETATTR, SETATTR, XATTRWALK, XATTRCREATE,
		READDIR, 50, 52, 54, LINK, MKDIR, RENAMEAT, UNLINKAT, ATTACH, WALK, WALK, READ, WRITE, CLUNK, REMOVE,
	};
	static const char *const names[] = { "a", "b", "..", "user.x", "c/d", "", "a", "b", "c" };
	static const uint8_t sizes[] = { 1, 2, 4, 4, 4, 8 };

	attach(1);
	for (int k = 0; k < 100000; k++) {
		unsigned fields = rnd() % 8;
		begin(rnd() % 50 ? types[rnd() % sizeof(types)] : (uint8_t)rnd());
		if (rnd() & 7)
			put(4, 1 + rnd() % 8);
		while (fields--)
			if (rnd() % 3 == 0)
				text(names[rnd() % ARRAY_LEN(names)]);
			else
				put(sizes[rnd() % sizeof(sizes)], rnd() & 3 ? rnd() % 10 : (uint64_t)rnd() << 20 ^ rnd());
		if (msg[4] == MKNOD || (msg[4] == VERSION && k % 8))
			continue;
		st32(msg, (uint32_t)n_msg);
		n_reply = p9_serve(s, msg, n_msg, reply, 11 + rnd() % 4096);
		cr_assert_eq(ld32(reply), n_reply);
		if (!p9_n_fids(s))
			attach(1);
	}
}
