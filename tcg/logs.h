/* Listings of blocks for -d in_asm, uop, uop_opt, out_asm, exec. Not light. */
#ifndef TCG_LOGS_H
#define TCG_LOGS_H

#include "base/log.h"
#include "tcg/cache.h"

/* The µops of a block, if that area is on and the address passes the filter. */
void log_ir(const struct ir *ir, enum log_area area);
/* Guest and host instructions of a finished block; its µops are still in t->ir. */
void log_code(const struct tcg *t, const struct tb *tb, const uint8_t *bytes);
/* One executed block. */
void log_exec(const struct cpu *c, const struct tb *tb);

#endif
