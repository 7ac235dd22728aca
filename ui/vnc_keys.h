/* Keys by their place on a viewer's keyboard; between ui/vnc*.c only. */
#ifndef UI_VNC_KEYS_H
#define UI_VNC_KEYS_H

#include <rfb/rfb.h>
#include <stdbool.h>

/*
 * From now on viewers of all servers may send "QEMU Extended Key Event" messages, whose codes
 * (hw/core/input.h) and X keysyms `key` gets: the same function each time, on the thread of the viewer's server.
 */
void vnc_keys_offer(void (*key)(rfbClientPtr cl, int code, uint32_t symbol, bool down));

#endif
