/*
 * Bits of page-table entries, at every level and in nested tables alike.
 * Source: Intel SDM vol. 3A 4.5; AMD APM vol. 2, 5.4.
 */
#ifndef CPU_PTE_H
#define CPU_PTE_H

#define PTE_P		0x001u
#define PTE_W		0x002u
#define PTE_U		0x004u
#define PTE_A		0x020u
#define PTE_D		0x040u
#define PTE_PS		0x080u
#define PTE_G		0x100u
#define PTE_KEY		59	/* shift; 4 bits */
#define PTE_NX		(1ull << 63)

#endif
