/* Sound: what cards play, as it arrives at the sink. Frequencies are found by counting where the wave rises through zero. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hw/audio/ac97.h"
#include "hw/audio/hda.h"
#include "hw/audio/pcspk.h"
#include "hw/backend/audio.h"
#include "hw/pci/pci.h"
#include "hw/timer/pit.h"
#include "tests/bench.h"

#define RATE		44100
#define BUFFER		0x100000u
#define LIST		0x20000u
#define CORB		0x30000u
#define RIRB		0x31000u
#define BAR		0xe0000000u

static struct bench b;
static char path[] = "/tmp/rhea-audio-XXXXXX";

static void setup(void)
{

	close(mkstemp(path));
	bench_open_pci(&b, 4 << 20);
	cr_assert(audio_new(b.m, &(struct audio_options){ .driver = "wav", .id = "a", .path = path }, &b.err),
		  "%s", b.err.msg);
}

static void teardown(void)
{
	bench_close(&b);
	unlink(path);
}

TestSuite(audio, .init = setup, .fini = teardown);

static struct dev *card(const struct dev_type *t, const char *props)
{
	struct dev *d = dev_make(b.m, t, NULL, props, &b.err);

	cr_assert(d, "%s", b.err.msg);
	return d;
}

static void configure(int slot, uint32_t bar0, uint32_t bar1)
{
	pci_config_write(b.m->pci, 0, slot * 8, 0x10, 4, bar0);
	pci_config_write(b.m->pci, 0, slot * 8, 0x14, 4, bar1);
	pci_config_write(b.m->pci, 0, slot * 8, 0x04, 4, 7);
}

/* The recording is complete: its left samples, and how many. */
static int recorded(int16_t *left, int most)
{
	uint8_t h[44], f[4];
	int n = 0;
	FILE *in;

	while (b.m->devs->next)
		dev_free(b.m->devs->next);
	audio_free_all(b.m);
	in = fopen(path, "rb");
	cr_assert_eq(fread(h, 1, 44, in), 44);
	cr_assert(!memcmp(h, "RIFF", 4) && !memcmp(h + 8, "WAVEfmt ", 8));
	cr_assert_eq(ld32(h + 24), RATE);
	while (n < most && fread(f, 1, 4, in) == 4)
		left[n++] = (int16_t)ld16(f);
	fclose(in);
	cr_assert_eq(ld32(h + 40), (uint32_t)n * 4);
	return n;
}

static int16_t samples[RATE * 2];

/* Of the middle of the recording, in Hz. */
static double frequency(int n)
{
	int first = -1, last = 0, rises = 0;

	for (int i = n / 4; i < n * 3 / 4; i++) {
		if (samples[i - 1] < 0 && samples[i] >= 0) {
			first = first < 0 ? i : first;
			last = i;
			rises++;
		}
	}
	return rises < 2 ? 0 : (double)(rises - 1) * RATE / (last - first);
}

static int loudest(int n)
{
	int max = 0;

	for (int i = n / 4; i < n * 3 / 4; i++)
		max = samples[i] > max ? samples[i] : max;
	return max;
}

/* A sine of `hz` in guest memory, 16 bits, two channels. */
static void put_tone(uint32_t at, int frames, double hz, int rate)
{
	for (int i = 0; i < frames; i++) {
		uint8_t f[4];
		int16_t v = (int16_t)(10000 * sin(2 * M_PI * hz * i / rate));

		st16(f, (uint16_t)v);
		st16(f + 2, (uint16_t)v);
		dma_write(b.m, at + 4u * (unsigned)i, f, 4);
	}
}

/* ---- the loudspeaker ---- */

static void speaker(void)
{
	struct dev *pit = card(&pit_type, NULL), *spk = card(&pcspk_type, "audiodev=a");

	pcspk_connect(spk, pit_speaker_level, pit);
	pit_connect_speaker(pit, pcspk_changing, spk);
}

static void beep(void)
{
	bench_out(&b, 0x43, 1, 0xb6);
	bench_out(&b, 0x42, 1, 1193182 / 440 & 0xff);
	bench_out(&b, 0x42, 1, 1193182 / 440 >> 8);
	bench_out(&b, 0x61, 1, 3);
}

Test(audio, the_speaker_plays_what_counter_2_counts)
{
	int n;

	speaker();
	beep();
	bench_run(&b, NS_PER_SEC);
	bench_out(&b, 0x61, 1, 0);
	n = recorded(samples, RATE * 2);
	cr_assert(n > RATE - 500 && n < RATE + 500, "%d", n);
	cr_assert_float_eq(frequency(n), 440, 1.0);
}

/* A recording has the same sound as the sink, for as long as it goes on. */
Test(audio, sound_is_recorded_beside_the_sink)
{
	char copy[sizeof(path) + 2];
	const char *name;

	snprintf(copy, sizeof(copy), "%s2", path);
	speaker();
	cr_assert(audio_capture(audio_find(b.m, "a"), copy, &b.err), "%s", b.err.msg);
	cr_assert(audio_capture_nth(b.m, 0, &name));
	cr_assert_str_eq(name, copy);
	cr_assert_not(audio_capture_nth(b.m, 1, &name));
	beep();
	bench_run(&b, NS_PER_SEC);
	cr_assert(audio_capture_end(b.m, 0));
	cr_assert_not(audio_capture_end(b.m, 0));
	bench_run(&b, NS_PER_SEC / 2);
	rename(copy, path);
	int n = recorded(samples, RATE * 2);
	cr_assert(n > RATE - 500 && n < RATE + 500, "%d", n);
	cr_assert_float_eq(frequency(n), 440, 1.0);
}

/* A program that moves the membrane by itself, with the counter standing still. */
Test(audio, the_speaker_follows_the_data_bit)
{
	int n;

	speaker();
	bench_out(&b, 0x43, 1, 0xb0);		/* mode 0: the output stays high once it has counted */
	bench_out(&b, 0x42, 1, 1);
	bench_out(&b, 0x42, 1, 0);
	for (int i = 0; i < 400; i++) {
		bench_out(&b, 0x61, 1, i & 1 ? 3 : 1);
		bench_run(&b, NS_PER_SEC / 400);
	}
	bench_out(&b, 0x61, 1, 0);
	n = recorded(samples, RATE * 2);
	cr_assert(n > 1000 && loudest(n) > 4000, "%d frames, %d", n, loudest(n));
}

/* ---- AC'97 ---- */

enum { NAM = 0xc000, NABM = 0xc400, PO = NABM + 0x10 };

static void ac97(void)
{
	card(&ac97_type, "addr=4,audiodev=a");
	configure(4, NAM, NABM);
	bench_out(&b, NABM + 0x2c, 4, 2);		/* out of cold reset */
	cr_assert_eq(bench_in(&b, NABM + 0x30, 4) & 0x100, 0x100);
}

/* n entries of `frames` each, one behind the other. */
static void ac97_list(int n, int frames, uint32_t flags)
{
	for (int i = 0; i < n; i++) {
		uint8_t entry[8];

		st32(entry, BUFFER + 4u * (unsigned)(i * frames));
		st32(entry + 4, (uint32_t)frames * 2 | flags);
		dma_write(b.m, LIST + 8u * (unsigned)i, entry, 8);
	}
	bench_out(&b, PO, 4, LIST);
	bench_out(&b, PO + 5, 1, (uint32_t)n - 1);
}

Test(audio, ac97_plays_its_ring_and_halts_behind_the_last_entry)
{
	int n;

	ac97();
	bench_out(&b, NAM + 0x02, 2, 0);		/* full volume */
	bench_out(&b, NAM + 0x18, 2, 0x0808);
	put_tone(BUFFER, 48000, 1000, 48000);
	ac97_list(30, 1600, 0x80000000u);
	bench_out(&b, PO + 0xb, 1, 0x1d);		/* run, with interrupts */
	bench_run(&b, NS_PER_SEC / 2);
	cr_assert(bench_in(&b, PO + 4, 1) > 10 && bench_in(&b, PO + 4, 1) < 20);
	cr_assert(b.line[0].level || b.line[1].level || b.line[2].level || b.line[3].level);
	bench_out(&b, PO + 6, 2, 0x1c);
	bench_run(&b, NS_PER_SEC * 6 / 10);
	cr_assert_eq(bench_in(&b, PO + 6, 2) & 7, 7);	/* halted, last valid entry */
	bench_out(&b, PO + 0xb, 1, 0);
	n = recorded(samples, RATE * 2);
	cr_assert_float_eq(frequency(n), 1000, 1.0);
	cr_assert(abs(loudest(n) - 10000) < 100, "%d", loudest(n));
}

Test(audio, ac97_goes_on_when_entries_are_added)
{
	ac97();
	ac97_list(2, 480, 0);
	bench_out(&b, PO + 0xb, 1, 0x01);
	bench_run(&b, NS_PER_SEC / 10);
	cr_assert(bench_in(&b, PO + 6, 2) & 1);
	bench_out(&b, PO + 5, 1, 5);
	cr_assert_not(bench_in(&b, PO + 6, 2) & 1);
	cr_assert_eq(bench_in(&b, PO + 4, 1), 2);
}

Test(audio, ac97_resamples_and_attenuates)
{
	int n;

	ac97();
	bench_out(&b, NAM + 0x2a, 2, 1);		/* variable rate */
	bench_out(&b, NAM + 0x2c, 2, 22050);
	cr_assert_eq(bench_in(&b, NAM + 0x2c, 2), 22050);
	bench_out(&b, NAM + 0x02, 2, 0x0404);		/* 6 dB less */
	bench_out(&b, NAM + 0x18, 2, 0x0808);
	put_tone(BUFFER, 22050, 500, 22050);
	ac97_list(30, 735, 0);
	bench_out(&b, PO + 0xb, 1, 0x01);
	bench_run(&b, NS_PER_SEC);
	n = recorded(samples, RATE * 2);
	cr_assert_float_eq(frequency(n), 500, 1.0);
	cr_assert(abs(loudest(n) - 5012) < 100, "%d", loudest(n));
}

Test(audio, ac97_semaphore_is_free_after_a_codec_access)
{
	ac97();
	cr_assert_eq(bench_in(&b, NABM + 0x34, 1), 0);
	cr_assert_eq(bench_in(&b, NABM + 0x34, 1), 1);
	bench_in(&b, NAM + 0x7c, 2);
	cr_assert_eq(bench_in(&b, NABM + 0x34, 1), 0);
}

Test(audio, ac97_with_an_empty_or_hostile_list_does_no_harm)
{
	ac97();
	bench_out(&b, PO, 4, 0xfffffff8u);
	bench_out(&b, PO + 5, 1, 31);
	bench_out(&b, PO + 0xb, 1, 0x1d);
	bench_run(&b, NS_PER_SEC / 10);
	bench_out(&b, PO + 0xb, 1, 0x02);
	cr_assert_eq(bench_in(&b, PO + 6, 2), 1);
	cr_assert_eq(bench_in(&b, PO + 4, 1), 0);
}

/* ---- HD Audio ---- */

static uint32_t rd32(uint32_t off)
{
	return (uint32_t)phys_read(b.m->phys, BAR + off, 4);
}

static void wr32(uint32_t off, uint32_t v, int size)
{
	phys_write(b.m->phys, BAR + off, size, v);
}

static void hda(void)
{
	card(&hda_type, "addr=5");
	card(&hda_duplex_type, "audiodev=a");
	configure(5, BAR, 0);
	wr32(0x08, 1, 4);
	cr_assert_eq(rd32(0x0c) >> 16, 1);		/* a codec at address 0 */
}

static uint32_t verb(unsigned node, uint32_t v)
{
	wr32(0x60, node << 20 | v, 4);
	wr32(0x68, 2, 2);
	wr32(0x68, 1, 2);
	cr_assert_eq(rd32(0x68) & 3, 2);
	return rd32(0x64);
}

Test(audio, hda_codec_tells_its_widgets)
{
	hda();
	cr_assert_eq(verb(0, 0xf0004), 0x00010001);
	cr_assert_eq(verb(1, 0xf0005), 1);
	cr_assert_eq(verb(1, 0xf0004), 0x00020004);
	cr_assert_eq(verb(3, 0xf0009) >> 20, 4);
	cr_assert_eq(verb(3, 0xf0200), 2);
	cr_assert_eq(verb(77, 0xf0000), 0);
}

Test(audio, hda_commands_go_through_the_rings)
{
	uint8_t word[8];

	hda();
	wr32(0x40, CORB, 4);
	wr32(0x50, RIRB, 4);
	wr32(0x5a, 1, 2);
	wr32(0x20, 0xc0000000u, 4);
	wr32(0x5c, 3, 1);
	wr32(0x4c, 2, 1);
	st32(word, 0x000f0000);
	dma_write(b.m, CORB + 4, word, 4);
	wr32(0x48, 1, 2);
	cr_assert_eq(rd32(0x58) & 0xffff, 1);
	dma_read(b.m, RIRB + 8, word, 8);
	cr_assert_eq(ld32(word), 0x1af40020);
	cr_assert_eq(rd32(0x24), 0xc0000000u);
	wr32(0x5d, 1, 1);
	cr_assert_eq(rd32(0x24), 0);
}

Test(audio, hda_plays_a_stream)
{
	const unsigned sd = 0x100;			/* the first output stream */
	uint8_t entry[16];
	int n;

	hda();
	put_tone(BUFFER, 4410, 440, 44100);
	for (unsigned i = 0; i < 2; i++) {
		st64(entry, BUFFER + i * 2205 * 4);
		st32(entry + 8, 2205 * 4);
		st32(entry + 12, 1);
		dma_write(b.m, LIST + 16 * i, entry, 16);
	}
	verb(2, 0x24011);				/* 44.1 kHz, 16 bits, two channels */
	verb(2, 0x70630);
	verb(2, 0x3b04a);				/* 0 dB */
	wr32(sd + 0x98 - 0x80, LIST, 4);
	wr32(sd + 0x08, 4410 * 4, 4);
	wr32(sd + 0x0c, 1, 2);
	wr32(sd + 0x12, 0x4011, 2);
	wr32(0x20, 0x80000010u, 4);
	wr32(sd, 0x00300006, 4);
	bench_run(&b, NS_PER_SEC / 4);
	cr_assert(rd32(sd) & 0x04000000);
	cr_assert(b.line[0].level || b.line[1].level || b.line[2].level || b.line[3].level);
	cr_assert(rd32(sd + 4) < 4410 * 4);
	bench_run(&b, NS_PER_SEC * 3 / 4);
	wr32(sd, 0, 1);
	n = recorded(samples, RATE * 2);
	cr_assert(n > RATE - 500 && n < RATE + 500, "%d", n);
	cr_assert_float_eq(frequency(n), 440, 1.0, "%g of %d", frequency(n), n);
	cr_assert(abs(loudest(n) - 10000) < 100, "%d", loudest(n));
}

/* The first output stream runs, with a list of 256 buffers of no length. */
static void hda_empty_stream(void)
{
	hda();
	verb(2, 0x20011);
	verb(2, 0x70610);
	wr32(0x100 + 0x08, 64, 4);
	wr32(0x100 + 0x0c, 255, 2);
	wr32(0x100, 0x00100002, 4);
}

/* A guest could have the host read for ever: lists are looked at for every sample. */
Test(audio, hda_with_empty_buffers_does_not_spin)
{
	char log[] = "/tmp/rhea-audio-XXXXXX";
	int fd = mkstemp(log), lines = 0;
	FILE *f;

	hda_empty_stream();
	cr_assert(trace_open(b.m, log, &b.err) && trace_set(b.m, "dma.read", true, &b.err), "%s", b.err.msg);
	bench_run(&b, NS_PER_SEC / 100);
	cr_assert_eq(rd32(0x104), 0);
	trace_fini(b.m);
	cr_assert(f = fdopen(fd, "r"));
	for (int c; (c = getc(f)) != EOF;)
		lines += c == '\n';
	fclose(f);
	unlink(log);
	cr_assert_lt(lines, 441 * 10);
}

Test(audio, a_codec_whose_controller_is_pulled_out_is_silent)
{
	hda_empty_stream();
	bench_run(&b, NS_PER_SEC / 50);
	dev_free(dev_find_type(b.m, &hda_type));
	bench_run(&b, NS_PER_SEC / 50);
	cr_assert_not_null(dev_find_type(b.m, &hda_duplex_type));
}

/* ---- back ends ---- */

Test(audio, without_a_sink_named_sound_goes_nowhere_but_goes_on)
{
	struct audio *a = audio_default(b.m, &b.err);

	cr_assert_eq(a, audio_find(b.m, "a"));
	audio_free_all(b.m);
	a = audio_default(b.m, &b.err);
	cr_assert(a && audio_find(b.m, "silence") == a);
}

Test(audio, a_file_that_cannot_be_made_is_an_error)
{
	cr_assert_not(audio_new(b.m, &(struct audio_options){ .driver = "wav", .id = "x", .path = "/nonexistent/x" }, &b.err));
	cr_assert(strstr(b.err.msg, "/nonexistent/x: No such file"), "%s", b.err.msg);
	cr_assert_not(audio_new(b.m, &(struct audio_options){ .driver = "drum", .id = "x" }, &b.err));
	cr_assert(strstr(b.err.msg, "there are none, wav and sdl"), "%s", b.err.msg);
}
