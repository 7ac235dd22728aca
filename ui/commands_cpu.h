/*
 * Processors as devices: what device_add and device_del do when they are asked for one.
 */
#ifndef UI_COMMANDS_CPU_H
#define UI_COMMANDS_CPU_H

#include "ui/command.h"

struct vm;

/* Is that how a kind of processor is called, of whatever model? */
bool is_cpu_driver(const char *driver);
/* {} or NULL with c->err filled, as commands answer. */
struct value *add_cpu(struct cmd *c, const char *driver, const struct value *args);
struct value *del_cpu(struct cmd *c, int n);
/* The processor that the user has added under that id, or -1. */
int find_cpu(const struct vm *vm, const char *id);

#endif
