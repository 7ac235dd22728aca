/*
 * A small byte ring with its storage inside, so that a device's fifo is saved
 * like any other field.
 */
#ifndef BASE_FIFO_H
#define BASE_FIFO_H

#include <stdbool.h>
#include <stdint.h>

#define FIFO8_CAP 64

struct fifo8 {
	uint16_t head;			/* index of the oldest byte */
	uint16_t n;			/* bytes held */
	uint8_t buf[FIFO8_CAP];
};

static inline void fifo8_clear(struct fifo8 *f) { f->head = f->n = 0; }
static inline bool fifo8_empty(const struct fifo8 *f) { return !f->n; }
static inline int fifo8_count(const struct fifo8 *f) { return f->n; }

/* False: full (at most `limit` bytes are kept). */
static inline bool fifo8_push(struct fifo8 *f, uint8_t v, int limit)
{
	if (f->n >= limit || f->n >= FIFO8_CAP)
		return false;
	f->buf[(f->head + f->n++) % FIFO8_CAP] = v;
	return true;
}

static inline uint8_t fifo8_peek(const struct fifo8 *f)
{
	return f->buf[f->head % FIFO8_CAP];
}

/* The fifo must not be empty. */
static inline uint8_t fifo8_pop(struct fifo8 *f)
{
	uint8_t v = fifo8_peek(f);

	f->head = (f->head + 1) % FIFO8_CAP;
	f->n--;
	return v;
}

/* After loading untrusted state. */
static inline bool fifo8_valid(const struct fifo8 *f)
{
	return f->head < FIFO8_CAP && f->n <= FIFO8_CAP;
}

#endif
