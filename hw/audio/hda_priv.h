/*
 * Between the HD Audio controller (hda.c) and the codecs on its link
 * (hda_codec.c). Machine lock.
 */
#ifndef HW_AUDIO_HDA_PRIV_H
#define HW_AUDIO_HDA_PRIV_H

#include "hw/audio/hda.h"
#include "hw/pci/pci.h"

#define HDA_CODECS	15
#define HDA_NO_STREAM	0		/* stream tags count from 1 */

struct hda;

/* What the controller calls; embedded first in a codec. */
struct hda_codec {
	struct dev dev;
	struct hda *hda;
	uint8_t address;
	/* Answer a command: node and verb as in CORB, bits 27..0. */
	uint32_t (*command)(struct hda_codec *c, uint32_t command);
	void (*link_reset)(struct hda_codec *c);
	/* Pull what is due, and look again which streams run. */
	void (*streams)(struct hda_codec *c);
};

/* Take address `at` (-1: the first free one) on the link of the controller `bus` (NULL: the first there is). */
bool hda_attach(struct hda_codec *c, const char *bus, int at, struct err *e);
void hda_detach(struct hda_codec *c);

/* Does a stream with that tag run? to_codec: an output stream. */
bool hda_stream_runs(const struct hda *h, unsigned tag, bool to_codec);
/* Move n bytes between the running stream's buffers and p. Fewer: it has stopped. */
uint32_t hda_stream_move(struct hda *h, unsigned tag, bool to_codec, uint8_t *p, uint32_t n);
/* A stream began, stopped or got another tag, or software is about to look at a position: the codecs pull what is due. */
void hda_streams_changed(struct hda *h);

#endif
