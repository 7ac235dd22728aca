/* Code page 437, which VGA's own font has, in Unicode; characters below 32 are those of the font. */
#ifndef UI_CP437_H
#define UI_CP437_H

#include <stdint.h>

extern const uint16_t cp437[256];
/* What comes nearest in ASCII. */
char cp437_ascii(uint8_t ch);

#endif
