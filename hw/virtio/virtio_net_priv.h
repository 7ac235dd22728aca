/* Between the card (virtio_net.c: frames) and what its driver commands (virtio_net_ctrl.c). */
#ifndef HW_VIRTIO_VIRTIO_NET_PRIV_H
#define HW_VIRTIO_VIRTIO_NET_PRIV_H

#include "hw/backend/net.h"
#include "hw/virtio/virtio_net.h"

#define F_CTRL_VQ	BIT(17)
#define F_CTRL_RX	BIT(18)
#define F_CTRL_VLAN	BIT(19)
#define F_CTRL_RX_EXTRA	BIT(20)
#define F_GUEST_ANNOUNCE BIT(21)
#define F_MQ		BIT(22)
#define F_CTRL_MAC_ADDR	BIT(23)

/* 5.1.4: offsets in the configuration */
enum { C_MAC = 0, C_STATUS = 6, C_MAX_PAIRS = 8, C_MTU = 10, C_LEN = 12 };
enum { S_LINK_UP = 1, S_ANNOUNCE = 2 };

#define MAX_FILTERS	64u
#define N_VLANS		4096u
#define N_FLOWS		256u
#define N_OFFERS	11u

struct virtio_net {
	struct virtio v;
	struct net *net;		/* property */
	uint8_t mac[6];			/* property */
	bool mq;			/* property */
	bool offer[N_OFFERS];		/* properties: features that can be withheld from the driver */
	uint16_t host_mtu;		/* property */
	bool attached;			/* to `net` */
	uint16_t max_pairs;
	uint16_t pairs;			/* in use */
	uint8_t promisc, allmulti, too_many;
	uint8_t modes;			/* the others, a bit each: virtio_net_ctrl.c */
	uint32_t n_filters;
	uint8_t filter[MAX_FILTERS][6];	/* other addresses it takes frames for */
	uint8_t vlans[N_VLANS / 8];	/* it takes frames of */
	uint8_t flow[N_FLOWS];		/* the pair a flow was last sent on */
	uint8_t frame[NET_MAX_FRAME];
};

/* As after a reset: everything is taken. */
void virtio_net_forget(struct virtio_net *d);
/* Is the frame (14 bytes at least) for this card? */
bool virtio_net_wants(const struct virtio_net *d, const uint8_t *frame, size_t n);
/* One command of the control queue, for virtio_serve(). */
bool virtio_net_command(struct virtio *v, unsigned q);

/* Answers to a frame sent on this pair come in there. */
void virtio_net_learn(struct virtio_net *d, const uint8_t *frame, size_t n, unsigned pair);
unsigned virtio_net_pair(const struct virtio_net *d, const uint8_t *frame, size_t n);

#endif
