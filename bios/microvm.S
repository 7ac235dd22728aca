/*
 * The start ROM of boards without firmware: from the reset vector to a kernel that
 * hw/pc/direct.c has put into memory, in flat 32-bit protected mode.
 *
 * The ROM is one page at 0xfffff000. Registers to start with stand at REGS, where the
 * board writes them. Segments are those of Linux's 32-bit boot protocol (code 0x10,
 * data 0x18), which PVH kernels take as well; the task register holds a TSS at 0.
 *
 * Source: Linux Documentation/arch/x86/boot.rst, "32-bit boot protocol"; Xen PVH
 * start-of-day ABI.
 */
#define ROM	0xfffff000
#define REGS	0xf00			/* eax, ebx, esi, esp, entry */

	.code16
	.text
start:
	cli
	cld
	lgdtl	%cs:0xf000 + gdtr
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x10, $ROM + flat

	.code32
flat:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	$8, %eax
	ltr	%ax
	mov	ROM + REGS + 4, %ebx
	mov	ROM + REGS + 8, %esi
	mov	ROM + REGS + 12, %esp
	xor	%edi, %edi
	xor	%ebp, %ebp
	mov	ROM + REGS, %eax
	jmp	*ROM + REGS + 16

	.balign 8
gdt:
	.quad	0
	.quad	0x0000890000000067	/* 32-bit TSS at 0 */
	.quad	0x00cf9b000000ffff	/* code */
	.quad	0x00cf93000000ffff	/* data */
gdtr:
	.word	gdtr - gdt - 1
	.long	ROM + gdt

	.org	REGS
	.fill	5, 4, 0

	.code16
	.org	0xff0
	jmp	start
	.org	0x1000
