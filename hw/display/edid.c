/*
 * The EDID block of a digital monitor without a glass: the preferred timing, others
 * that drivers may offer, sRGB's colours, a name.
 *
 *	00 header	08 who made it	12 version 1.4	14 input and size
 *	19 colours	23 established	26 standard	36 four descriptors	7f checksum
 *
 * Timings are made by the CVT formula with reduced blanking, which needs no table;
 * where 60 Hz would take a faster pixel clock than a descriptor can name, the
 * picture comes less often.
 *
 * Not modelled: extension blocks (sound, more than 4,095 pixels in a direction).
 * Source: VESA Enhanced EDID Standard, release A revision 2 (EDID 1.4), section 3;
 * VESA Coordinated Video Timings 1.1, section 5.4.
 */
#include "hw/display/edid.h"

#include <string.h>

#include "base/bits.h"

#define DESCRIPTORS	0x36
#define DESCRIPTOR	18
#define DPI		96
#define CLOCK_MAX	65535	/* units of 10 kHz, as everywhere here */

/* CVT's reduced blanking. */
#define H_BLANK		160
#define H_FRONT		48
#define H_SYNC		32
#define V_FRONT		3
#define V_BACK_MIN	6
#define V_BLANK_MIN_US	460

/* Bits 7:6 of a standard timing, which give the height. */
enum aspect { ASPECT_16_10, ASPECT_4_3, ASPECT_5_4, ASPECT_16_9 };

static const struct { uint16_t xres; enum aspect aspect; } standard[8] = {
	{ 1280, ASPECT_16_9 }, { 1280, ASPECT_5_4 },  { 1440, ASPECT_16_10 }, { 1600, ASPECT_16_9 },
	{ 1600, ASPECT_4_3 },  { 1680, ASPECT_16_10 }, { 1920, ASPECT_16_9 }, { 1920, ASPECT_16_10 },
};

/* sRGB's red, green, blue and white as x, y in 1,024ths. */
static const uint16_t colours[8] = { 655, 338, 307, 614, 154, 61, 320, 337 };

struct timing {
	unsigned xres, yres, v_blank, v_sync, clock;
};

/* CVT tells the aspect ratio by the length of the vertical sync. */
static unsigned sync_lines(unsigned x, unsigned y)
{
	return x * 3 == y * 4 ? 4 : x * 9 == y * 16 ? 5 : x * 10 == y * 16 ? 6 : x * 4 == y * 5 || x * 9 == y * 15 ? 7 : 10;
}

static struct timing timing_at(unsigned x, unsigned y, unsigned hz)
{
	struct timing t = { .xres = x, .yres = y, .v_sync = sync_lines(x, y) };
	unsigned least = V_FRONT + t.v_sync + V_BACK_MIN;

	t.v_blank = V_BLANK_MIN_US * y * hz / (1000000 - V_BLANK_MIN_US * hz) + 1;
	if (t.v_blank < least)
		t.v_blank = least;
	t.clock = (unsigned)((uint64_t)(x + H_BLANK) * (y + t.v_blank) * hz / 10000);
	return t;
}

static struct timing timing_of(unsigned x, unsigned y)
{
	struct timing t;
	unsigned hz = 60;

	do
		t = timing_at(x, y, hz--);
	while (t.clock > CLOCK_MAX);
	return t;
}

static unsigned mm(unsigned pixels)
{
	return pixels * 254 / (10 * DPI);
}

/* Two 12-bit numbers: the low bytes, then what is above them in one byte. */
static void put_pair(uint8_t *p, unsigned a, unsigned b)
{
	p[0] = (uint8_t)a;
	p[1] = (uint8_t)b;
	p[2] = (uint8_t)(a >> 8 << 4 | b >> 8);
}

/* A timing on the whole of a screen that is width times height millimetres. */
static void detailed(uint8_t *p, unsigned x, unsigned y, unsigned width, unsigned height)
{
	struct timing t = timing_of(x, y);

	st16(p, (uint16_t)t.clock);
	put_pair(p + 2, t.xres, H_BLANK);
	put_pair(p + 5, t.yres, t.v_blank);
	p[8] = H_FRONT;
	p[9] = H_SYNC;
	p[10] = (uint8_t)(V_FRONT << 4 | t.v_sync);
	put_pair(p + 12, width, height);
	p[17] = 0x1a;		/* separate syncs, the horizontal one positive */
}

/* A descriptor that is no timing: its kind, then text or numbers up to a line feed and spaces. */
static void other(uint8_t *p, uint8_t kind, const void *what, size_t n)
{
	memset(p, 0, 5);
	p[3] = kind;
	memset(p + 5, ' ', DESCRIPTOR - 5);
	memcpy(p + 5, what, n);
	p[5 + n] = '\n';
}

static void put_colours(uint8_t *p)
{
	for (int i = 0; i < 8; i++) {
		p[i / 4] |= (uint8_t)((colours[i] & 3) << 2 * (3 - i % 4));
		p[2 + i] = (uint8_t)(colours[i] >> 2);
	}
}

void edid_make(uint8_t block[EDID_SIZE], unsigned xres, unsigned yres)
{
	/* The maker "RHA" as three letters of 5 bits, 2026, digital with 8 bits a colour, gamma 2.2, sRGB, native first. */
	static const uint8_t begin[] = {
		0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x49, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 2026 - 1990, 1, 4, 0xa0, 0, 0, 120, 0x06,
	};
	static const uint8_t limits[] = { 24, 75, 15, 200, CLOCK_MAX / 1000 + 1, 1 };	/* Hz, kHz, 10 MHz */
	static const char name[] = "Rhea Monitor";
	unsigned width = mm(xres), height = mm(yres);
	uint8_t *d = block + DESCRIPTORS, sum = 0;

	memset(block, 0, EDID_SIZE);
	memcpy(block, begin, sizeof(begin));
	block[0x15] = (uint8_t)(width / 10);
	block[0x16] = (uint8_t)(height / 10);
	put_colours(block + 0x19);
	block[0x23] = 0x21;		/* 640x480 and 800x600 with 60 Hz */
	block[0x24] = 0x08;		/* 1024x768 with 60 Hz */
	for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
		block[0x26 + 2 * i] = (uint8_t)(standard[i].xres / 8 - 31);
		block[0x27 + 2 * i] = (uint8_t)(standard[i].aspect << 6);
	}
	detailed(d, xres, yres, width, height);
	detailed(d + DESCRIPTOR, 2560, 1600, width, height);
	other(d + 2 * DESCRIPTOR, 0xfd, limits, sizeof(limits));
	other(d + 3 * DESCRIPTOR, 0xfc, name, sizeof(name) - 1);
	for (int i = 0; i < EDID_SIZE - 1; i++)
		sum += block[i];
	block[EDID_SIZE - 1] = (uint8_t)-sum;
}
