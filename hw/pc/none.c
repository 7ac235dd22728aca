/*
 * The board `none`: nothing at all. Programs start it to ask what there is (libvirt
 * does); its processor waits for a start-up message that nobody can send.
 */
#include "hw/pc/pc_priv.h"

const struct board board_none = { .name = "none" };
