/*
 * XSAVE areas: which state components there are, where they stand, what is in
 * use. Light. The instructions are in cpu/system.h.
 */
#ifndef CPU_XSTATE_H
#define CPU_XSTATE_H

#include "cpu/cpu.h"

/* Bits of XCR0, XSTATE_BV, XCOMP_BV. */
#define XF_X87		BIT(0)
#define XF_SSE		BIT(1)
#define XF_AVX		BIT(2)
#define XF_PKRU		BIT(9)
#define XCOMP_COMPACT	BIT(63)		/* of XCOMP_BV: the compacted format */

#define XSAVE_HEADER_END	576u
#define XSAVE_YMM		576	/* upper halves of ymm in c->xsave */

/* XCR0 bits this vCPU allows. */
uint64_t xsave_features(const struct cpu *c);
/* Where component `bit` (from 2 up) stands in an area with that XCOMP_BV; 0 is the standard format. */
uint32_t xsave_offset(const struct cpu *c, int bit, uint64_t comp_bv);
/* Bytes of an area that holds the components comp_bv, in the format its bit 63 says. */
uint32_t xsave_bytes(const struct cpu *c, uint64_t comp_bv);
/* EAX, EBX, ECX of CPUID leaf 0DH, subleaf `bit`. */
void xsave_leaf(const struct cpu *c, uint32_t bit, uint32_t out[3]);
/* XINUSE: components that may not be in their initial state. AVX always counts while it is live. */
uint64_t xsave_in_use(const struct cpu *c);
/* Would the processor take an image of c->xsave's shape? It faults at reserved bits of MXCSR and the header. */
bool xsave_loadable(const uint8_t area[XSAVE_SIZE]);
/* The x87's tag word, two bits a register; the area holds only which are empty. Not light. */
uint16_t x87_tags(const struct cpu *c);

#endif
