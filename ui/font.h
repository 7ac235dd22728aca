/*
 * Letters of eight by sixteen pixels for text consoles: ASCII, the accented letters of Latin-1, lines and blocks.
 */
#ifndef UI_FONT_H
#define UI_FONT_H

#include <stdint.h>

#define FONT_W	8
#define FONT_H	16

/* A character (Unicode) as rows of pixels from above, the leftmost in bit 7. What there is no letter for is what comes near, or a box. */
void font_glyph(uint32_t ch, uint8_t rows[FONT_H]);

#endif
