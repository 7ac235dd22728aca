/* Arguments of QMP as the text of a command-line option: device_add, netdev_add. */
#ifndef UI_COMMAND_TEXT_H
#define UI_COMMAND_TEXT_H

#include "base/error.h"
#include "base/value.h"

/*
 * "driver,key=value,..": the value of `first`, then the others. A list of strings, or
 * of {"str": ..}, gives its key several times. To be freed; NULL with err filled.
 */
char *command_text(const struct value *args, const char *first, struct err *e);

#endif
