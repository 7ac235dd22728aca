/* What a monitor tells of itself: a VESA EDID block for a display of a size that the user chooses. */
#ifndef HW_DISPLAY_EDID_H
#define HW_DISPLAY_EDID_H

#include <stdint.h>

#define EDID_SIZE	128
#define EDID_MAX_RES	4095	/* a timing has 12 bits for each direction */

/* Fill in the block of a monitor that likes best to be driven with xres times yres, 1 to EDID_MAX_RES each. */
void edid_make(uint8_t block[EDID_SIZE], unsigned xres, unsigned yres);

#endif
