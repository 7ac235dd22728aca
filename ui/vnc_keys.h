/* Keys by their place on a viewer's keyboard, and its LEDs; between ui/vnc*.c only. */
#ifndef UI_VNC_KEYS_H
#define UI_VNC_KEYS_H

#include <rfb/rfb.h>
#include <stdbool.h>

/* On the thread of the viewer's server. */
struct vnc_keys {
	/* "QEMU Extended Key Event": a code of hw/core/input.h and an X keysym. */
	void (*key)(rfbClientPtr cl, int code, uint32_t symbol, bool down);
	/* The viewer wants to know the LEDs: vnc_keys_tell_leds() now, and whenever they change. */
	void (*wants_leds)(rfbClientPtr cl);
};

/* From now on viewers of all servers may ask for these: the same functions each time. */
void vnc_keys_offer(const struct vnc_keys *ops);
/* The guest's LED_ bits. False: the viewer is lost. */
bool vnc_keys_tell_leds(rfbClientPtr cl, uint8_t leds);

#endif
