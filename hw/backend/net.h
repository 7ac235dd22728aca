/*
 * Networks: what a network card sends frames to and gets them from.
 *
 * A network (-netdev) has one card at most. Frames are Ethernet frames without
 * checksum. What comes in while the card has no buffers, or while the machine is
 * stopped, waits in a bounded queue; beyond it frames are lost, as on a real wire.
 *
 * A network and a card may agree that frames have no checksums yet, or are TCP segments that nobody has cut.
 * Such frames have a header, which says what is left to do: Virtio 1.2, 5.1.6, without the number of buffers.
 *
 * Machine lock.
 */
#ifndef HW_BACKEND_NET_H
#define HW_BACKEND_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct machine;
struct net;

#define NET_MAX_FRAME	(65535u + 14u)
#define NET_MAX_FORWARDS 16
#define NET_HEADER	10u
#define NET_MAX_QUEUES	31

/* What a header may leave to whoever gets the frame. */
enum net_offload { NET_CSUM = 1, NET_TSO4 = 2, NET_TSO6 = 4, NET_ECN = 8 };

/* The card's half. */
struct net_front {
	/* Take (or drop) a frame. False: no room; the card calls net_flush() when it has some. */
	bool (*input)(void *opaque, const uint8_t *frame, size_t n);
	void (*link)(void *opaque);	/* net_up() has changed; may be NULL */
	void (*announce)(void *opaque);	/* the guest is to say where it is; may be NULL */
};

/* What a network is to be like; strings may be NULL for their defaults. */
struct net_user_options {
	bool restricted;		/* no way to the host and beyond, but for forwards */
	bool no_ipv4, no_ipv6;
	const char *net, *host, *dhcpstart, *dns;
	const char *ipv6_net, *ipv6_host, *ipv6_dns;
	const char *hostname, *domainname;
	const char *dnssearch[NET_MAX_FORWARDS + 1];	/* NULL-terminated */
	const char *tftp, *tftp_server_name, *bootfile;
	const char *hostfwd[NET_MAX_FORWARDS + 1];	/* "tcp|udp:[addr]:port-[addr]:port" */
	const char *guestfwd[NET_MAX_FORWARDS + 1];	/* "tcp:addr:port-cmd:COMMAND", or a stream as in chr_find_or_new() */
};
/* One of listen, connect, mcast and udp; addresses are HOST:PORT, or unix:PATH for a stream. */
struct net_socket_options {
	const char *listen, *connect;	/* a stream */
	const char *mcast, *udp;	/* datagrams to there */
	const char *local;		/* udp: received here; mcast: through this interface's address, or NULL */
	unsigned reconnect;		/* connect: seconds until the next try; 0: none */
};
struct net_tap_options {
	const char *ifname;		/* NULL: a new one */
	const char *script, *downscript;	/* run with the interface's name; NULL: none */
	int fds[NET_MAX_QUEUES];	/* of queues of an interface opened by somebody else */
	unsigned n_fds;			/* 0: it is opened here, with as many queues as net_options wants */
};
struct net_options {
	const char *kind;		/* "user", "socket", "tap" */
	const char *id;
	unsigned queues;		/* pairs of queues that a card may offer; 0: 1 */
	struct net_user_options user;
	struct net_socket_options socket;
	struct net_tap_options tap;
};

/* Make a network; devices find it by its id. NULL with err filled. */
struct net *net_new(struct machine *m, const struct net_options *o, struct err *e);
/* All of the machine's, after their cards. */
void net_free_all(struct machine *m);
struct net *net_find(struct machine *m, const char *id);
/* One, which no card is connected to. */
void net_free(struct net *n);
/* Pull the cable out, or put it in; without it frames vanish. n NULL: no cable. */
void net_set_up(struct net *n, bool up);
bool net_up(const struct net *n);
/* Begin or end forwarding "tcp|udp:[addr]:port-[addr]:port"; to end, up to the '-' is enough. */
bool net_forward(struct net *n, const char *text, bool begin, struct err *e);
/* The machine is another one, or elsewhere: cards that can do so have their guest tell the network. */
void net_announce_all(struct machine *m);
/* Pairs of queues that were asked for; n NULL: 1. */
unsigned net_queues(const struct net *n);
bool net_kind_exists(const char *kind);
bool net_user_built_in(void);

/* Connect a card. False: there is one already. */
bool net_attach(struct net *n, const struct net_front *f, void *opaque, struct err *e);
/* Does nothing if `opaque` is not the card that is connected; n NULL is fine. */
void net_detach(struct net *n, const void *opaque);
/* A frame from the card; n NULL: it vanishes. */
void net_send(struct net *n, const uint8_t *frame, size_t len);
/* The same from one of several pairs of queues of the card. */
void net_send_on(struct net *n, unsigned pair, const uint8_t *frame, size_t len);
/* The network says by net_coming() which pair of queues the frame is for that input() gets. n NULL is fine. */
bool net_steers(const struct net *n);
unsigned net_coming(const struct net *n);
/* Frames from there have right checksums, for no wire has damaged them. n NULL is fine. */
bool net_is_sound(const struct net *n);
/* Does the network carry frames with headers? n NULL: no. */
bool net_has_headers(const struct net *n);
/* A frame with its header, to such a network. */
void net_send_with_header(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len);
/* What the card takes from such a network (enum net_offload), 0 at first. Frames that wait for more are lost. */
void net_take_offloads(struct net *n, unsigned offloads);
/* The header of the frame that input() gets: all zero if there is nothing left to do. */
const uint8_t *net_coming_header(const struct net *n);
/* The card has room again. */
void net_flush(struct net *n);
/* 52:54:00:12:34:56 for the first card of the machine that asks, then counting. */
void net_default_mac(struct machine *m, uint8_t mac[6]);

/* Write every frame, both ways, to a pcap file; the first `most` bytes of each. */
bool net_dump(struct net *n, const char *file, uint32_t most, struct err *e);

/* ---- for implementers ---- */

struct net_ops {
	const char *name;
	void (*send)(struct net *n, const uint8_t *frame, size_t len);
	void (*free)(struct net *n);		/* frees the whole struct */
	bool (*forward)(struct net *n, const char *text, bool begin, struct err *e);	/* may be NULL */
	/* The connections that go through, as a table to be freed; may be NULL. */
	char *(*connections)(struct net *n);
	void (*ready)(struct net *n);		/* net_full() is not true any more; may be NULL */
	void (*offloads)(struct net *n);	/* n->offloads has changed; may be NULL */
};

struct net_frame;
struct net_dump;

struct net {
	const struct net_ops *ops;
	struct machine *m;
	char *id;
	const struct net_front *front;
	void *front_opaque;
	struct net_frame *waiting, **tail;
	unsigned n_waiting;
	bool sound;			/* what is delivered was made here, with right checksums */
	bool down;			/* the cable is out */
	unsigned queues;		/* 0: 1 */
	bool steers;			/* it has as many queues itself */
	bool headers;			/* frames may have them, both ways */
	unsigned offloads;		/* what the card takes */
	const uint8_t *header;		/* of the frame in hand */
	unsigned sending, coming;	/* the pair of queues that the frame in hand is from or for */
	bool busy;			/* the card is sending or being given a frame */
	struct net_dump *dumps;
	uint64_t n_in, n_out;		/* frames so far */
};

/* A frame for the card. */
void net_deliver(struct net *n, const uint8_t *frame, size_t len);
/* For one of its pairs of queues. */
void net_deliver_on(struct net *n, unsigned pair, const uint8_t *frame, size_t len);

/* With its header. It is lost if the card takes no such frame. */
void net_deliver_with_header(struct net *n, unsigned pair, const uint8_t *header, const uint8_t *frame, size_t len);

/* Do frames wait? Whoever can leave more of them where they are should. */
bool net_full(const struct net *n);

struct net *net_socket_new(struct machine *m, const struct net_socket_options *o, struct err *e);
struct net *net_tap_new(struct machine *m, const struct net_tap_options *o, unsigned queues, struct err *e);
struct net *net_user_new(struct machine *m, const struct net_user_options *o, struct err *e);

/* net_dump.c: */
void net_dump_frame(struct net_dump *d, struct machine *m, const uint8_t *frame, size_t len);
void net_dump_free(struct net_dump *d);

#endif
