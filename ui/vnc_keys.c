/*
 * What VNC lacks for keyboards, as QEMU added it.
 *
 * Keys by their place on a viewer's keyboard ("QEMU Extended Key Event"): the viewer says
 * which key it is by its code in set 1, so neither its layout nor the guest's matters.
 * A viewer asks by a pseudo-encoding, the server agrees by a rectangle of that encoding,
 * and then the viewer's keys come as messages of this kind.
 *
 * The guest's LEDs ("QEMU LED State"): a viewer asks by a pseudo-encoding and gets a
 * rectangle of it, at once and at each change. Viewers that know press their own lock
 * keys' counterparts where the two keyboards disagree.
 *
 * Source: the community's RFB protocol specification (rfbproto), "QEMU Extended Key Event
 * Message", "QEMU Extended Key Event Pseudo-encoding", "QEMU LED State Pseudo-encoding".
 */
#include "config.h"

#ifdef CONFIG_VNC

#include "ui/vnc_keys.h"

#include <pthread.h>

#include "base/bits.h"
#include "hw/core/input.h"

#define ENCODING_KEYS	(-258)
#define ENCODING_LEDS	(-261)
#define MESSAGE		255
#define MESSAGE_KEY	0	/* its subtype */
#define XT_EXT		0x80u	/* e0-prefixed */
#define XT_PAUSE	0xc6u

static const struct vnc_keys *on;

/* An update of one rectangle at 0, 0 with no more than a byte of content. */
static bool send_rectangle(rfbClientPtr cl, int w, int h, int encoding, const uint8_t *content)
{
	uint8_t m[17] = { rfbFramebufferUpdate, 0, 0, 1, 0, 0, 0, 0, (uint8_t)(w >> 8), (uint8_t)w,
			  (uint8_t)(h >> 8), (uint8_t)h, 0xff, 0xff, encoding >> 8 & 0xff, encoding & 0xff,
			  content ? *content : 0 };

	return rfbWriteExact(cl, (char *)m, content ? 17 : 16) > 0;
}

bool vnc_keys_tell_leds(rfbClientPtr cl, uint8_t leds)
{
	uint8_t bits = (leds & LED_SCROLL ? 1 : 0) | (leds & LED_NUM ? 2 : 0) | (leds & LED_CAPS ? 4 : 0);

	return send_rectangle(cl, 1, 1, ENCODING_LEDS, &bits);
}

static rfbBool agree(rfbClientPtr cl, void **data, int encoding)
{
	(void)data;
	if (encoding == ENCODING_LEDS)
		on->wants_leds(cl);
	else if (encoding == ENCODING_KEYS)
		return send_rectangle(cl, cl->screen->width, cl->screen->height, ENCODING_KEYS, NULL);
	return encoding == ENCODING_LEDS;
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
	on->key(cl, code_of(be32(m + 7)), be32(m + 3), m[1] || m[2]);
	return TRUE;
}

/* The library keeps one list for the whole process, of what is the same for all servers. */
static int encodings[] = { ENCODING_KEYS, ENCODING_LEDS, 0 };
static rfbProtocolExtension extension = {
	.pseudoEncodings = encodings, .enablePseudoEncoding = agree, .handleMessage = take,
};

static void offer(void)
{
	rfbRegisterProtocolExtension(&extension);
}

void vnc_keys_offer(const struct vnc_keys *ops)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	on = ops;
	pthread_once(&once, offer);
}

#endif
