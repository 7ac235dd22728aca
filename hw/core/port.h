/*
 * The port space's storage, for the machine that owns it. Devices use the
 * functions in hw/core/bus.h.
 */
#ifndef HW_CORE_PORT_H
#define HW_CORE_PORT_H

struct ports;

struct ports *ports_new(void);
void ports_free(struct ports *s);

#endif
