/*
 * What a network card does for its driver on the way out: checksums, and large TCP
 * segments cut into frames.
 */
#ifndef HW_VIRTIO_OFFLOAD_H
#define HW_VIRTIO_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one's complement sum over n bytes, complemented, goes to frame[start + offset]. False: outside the frame. */
bool offload_checksum(uint8_t *frame, size_t len, size_t start, size_t offset);

/*
 * Cut a TCP segment (IPv4 or IPv6, 14 bytes of Ethernet header, VLAN tags or not) into
 * frames with `size` bytes of data each, with headers and checksums of their own. Calls
 * send for each; the frame it gets is valid during the call. False: no TCP segment, or a
 * damaged one: nothing was sent.
 */
bool offload_segment(const uint8_t *frame, size_t len, size_t size,
		     void (*send)(void *opaque, const uint8_t *frame, size_t len), void *opaque);

#endif
