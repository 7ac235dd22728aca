/*
 * 16550A serial port ("isa-serial").
 */
#ifndef HW_CHAR_UART_H
#define HW_CHAR_UART_H

#include "hw/core/dev.h"

extern const struct dev_type uart_type;

#endif
