/*
 * Keys by their place on a viewer's keyboard ("QEMU Extended Key Event"): the viewer says
 * which key it is by its code in set 1, so neither its layout nor the guest's matters.
 *
 * A viewer asks by a pseudo-encoding, the server agrees by a rectangle of that encoding,
 * and then the viewer's keys come as messages of this kind.
 *
 * Source: the community's RFB protocol specification (rfbproto), "QEMU Extended Key Event
 * Message" and "QEMU Extended Key Event Pseudo-encoding".
 */
#include "config.h"

#ifdef CONFIG_VNC

#include "ui/vnc_keys.h"

#include <pthread.h>

#include "base/bits.h"
#include "hw/core/input.h"

#define ENCODING	(-258)
#define MESSAGE		255
#define MESSAGE_KEY	0	/* its subtype */
#define XT_EXT		0x80u	/* e0-prefixed */
#define XT_PAUSE	0xc6u

static void (*on_key)(rfbClientPtr cl, int code, uint32_t symbol, bool down);

/* A rectangle without content, as large as the screen. */
static rfbBool agree(rfbClientPtr cl, void **data, int encoding)
{
	uint8_t m[16] = { rfbFramebufferUpdate, 0, 0, 1, 0, 0, 0, 0,
			  (uint8_t)(cl->screen->width >> 8), (uint8_t)cl->screen->width,
			  (uint8_t)(cl->screen->height >> 8), (uint8_t)cl->screen->height,
			  0xff, 0xff, ENCODING >> 8 & 0xff, ENCODING & 0xff };

	(void)data;
	return encoding == ENCODING && rfbWriteExact(cl, (char *)m, sizeof(m)) > 0;
}

static int code_of(uint32_t xt)
{
	if (xt == XT_PAUSE)
		return KEY_PAUSE;
	if (xt > 0xff)
		return 0;
	return (int)((xt & 0x7f) | (xt & XT_EXT ? KEY_EXT : 0));
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Type, subtype, 16 bits of down, 32 each of the symbol and the key. What is not known ends the connection. */
static rfbBool take(rfbClientPtr cl, void *data, const rfbClientToServerMsg *message)
{
	uint8_t m[11];

	(void)data;
	if (message->type != MESSAGE || rfbReadExact(cl, (char *)m, sizeof(m)) <= 0 || m[0] != MESSAGE_KEY)
		return FALSE;
	on_key(cl, code_of(be32(m + 7)), be32(m + 3), m[1] || m[2]);
	return TRUE;
}

/* The library keeps one list for the whole process, of what is the same for all servers. */
static int encodings[] = { ENCODING, 0 };
static rfbProtocolExtension extension = {
	.pseudoEncodings = encodings, .enablePseudoEncoding = agree, .handleMessage = take,
};

static void offer(void)
{
	rfbRegisterProtocolExtension(&extension);
}

void vnc_keys_offer(void (*key)(rfbClientPtr cl, int code, uint32_t symbol, bool down))
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	on_key = key;
	pthread_once(&once, offer);
}

#endif
