/* A program's session with ./rhea over QMP: its standard input and output. */
#ifndef TESTS_UI_CLIENT_H
#define TESTS_UI_CLIENT_H

#include <stdio.h>
#include <sys/types.h>

#include "base/value.h"

struct client {
	pid_t pid;
	FILE *to, *from;
	char bios[40];
	struct value *events;		/* since the last command */
};

/*
 * Start ./rhea with these options and the firmware (bytes at f000:0000; NULL: it sleeps), and
 * negotiate. Skips the test where there is no JSON.
 */
void client_start(struct client *c, const uint8_t *code, size_t n, const char *options);
/* The answer (not an event) to a command with arguments as JSON, or NULL. Events are checked against their rows. */
struct value *client_ask(struct client *c, const char *name, const char *arguments);
/* The same; it must succeed. What it returns. */
const struct value *client_do(struct client *c, const char *name, const char *arguments);
/* An event since (and during) the last command, or NULL. */
const struct value *client_event(const struct client *c, const char *name);
/* Ask until the answer's member is this word; at most ten seconds. */
void client_await(struct client *c, const char *query, const char *member, const char *word);
/* Quit; the program must end well. */
void client_finish(struct client *c);

#endif
