/* Between the monitor's line editor and what words may become. */
#ifndef UI_MONITOR_COMPLETE_H
#define UI_MONITOR_COMPLETE_H

#include <stddef.h>

#define COMPLETE_MAX 512

struct monitor;

struct completion {
	char stem[1024];		/* what is being completed: the end of the line */
	char *word[COMPLETE_MAX];	/* what it may become, in order */
	int n;
};

/* The word at the end of the line. Then complete_free(). */
void complete(struct monitor *mon, const char *line, struct completion *c);
void complete_free(struct completion *c);
/* How much all candidates have in common. */
size_t complete_common(const struct completion *c);

#endif
