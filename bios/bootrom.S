/*
 * Option ROM that starts a kernel given with -kernel.
 *
 * The firmware finds a PnP expansion header with a boot entry (BEV) and calls
 * it like a bootable device. What is to be done stands in a plan behind the
 * code, which hw/pc/boot.c appends (layout: struct rom_plan there, offsets
 * below): pieces of memory to be filled by fw_cfg DMA, then the registers to
 * start with, in real or in protected mode.
 *
 * The plan is copied to low memory first, because each DMA descriptor in it is
 * written to when its transfer is done. Each is used as it stands.
 *
 * Source: BIOS Boot Specification 1.01, 3.3; Plug and Play BIOS Specification
 * 1.0A, 3.2 (expansion header); fw_cfg DMA interface; ACPI 15.1 (INT 15h E820).
 */

#define PLAN_SEG	0x100		/* the copy: 0x1000 .. */
#define PLAN		(PLAN_SEG << 4)
#define STACK		0x7c00

#define PLAN_SIZE	0		/* u32 bytes of the plan */
#define PLAN_NPIECES	4		/* u32 */
#define PLAN_PROTECTED	8		/* u32 0: real mode */
#define PLAN_ENTRY	12		/* u32 linear address; real mode: seg:off as off, seg */
#define PLAN_EAX	16
#define PLAN_EBX	20
#define PLAN_ESI	24
#define PLAN_ESP	28
#define PLAN_DS		32		/* real mode: segment for ds, es, fs, gs, ss */
#define PLAN_MAP	36		/* u32 below 64 KiB: where the memory map goes; 0: none */
#define PLAN_MAP_LEAD	40		/* u32 0 or 4: bytes before each entry (holding 20) */
#define PLAN_MAP_COUNT	44		/* u32 below 64 KiB: where the map's length goes */
#define PLAN_MAP_UNIT	48		/* u32 that length's unit for one entry */
#define PLAN_GDT	56		/* six bytes for lgdt, two unused, then the table */
#define PLAN_PIECES	104		/* 16-byte fw_cfg DMA descriptors */

#define ENTRY_SIZE	24		/* of a memory map entry with lead or tail */
#define MAX_ENTRIES	64

#define FWCFG_DMA_HIGH	0x514
#define FWCFG_DMA_LOW	0x518
#define DMA_ERROR_BE	0x01000000

	.code16
	.text
start:
	.word	0xaa55
	.byte	0			/* length in 512-byte units: filled in by the loader */
	jmp	init
	.org	0x18
	.word	0
	.word	pnp
	.word	0

	.balign 16
pnp:
	.ascii	"$PnP"
	.byte	1			/* structure revision */
	.byte	2			/* length in 16-byte units */
	.word	0			/* no next header */
	.byte	0
	.byte	0			/* checksum: filled in by the loader */
	.long	0			/* device identifier */
	.word	maker
	.word	product
	.byte	2, 0, 0			/* device type: mass storage */
	.byte	0x24			/* may be shadowed, is an initial program load device */
	.word	0			/* boot connection vector */
	.word	0			/* disconnect vector */
	.word	boot			/* bootstrap entry vector */
	.word	0
	.word	0

maker:	.asciz	"Rhea"
product: .asciz	"Kernel from the command line"
failed:	.asciz	"\r\nRhea: loading the kernel failed\r\n"

init:
	movw	$0x20, %ax		/* there is an IPL device */
	lret

boot:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ss
	movl	$STACK, %esp
	movw	$PLAN_SEG, %ax
	movw	%ax, %es
	movw	$plan, %si
	movw	%cs:PLAN_SIZE(%si), %cx
	xorw	%di, %di
	rep	movsb %cs:(%si), %es:(%di)
	movw	%ax, %ds
	sti

	/* ---- pieces ---- */
	movl	PLAN_NPIECES, %ecx
	movl	$PLAN + PLAN_PIECES, %ebx	/* linear address of the descriptor */
	movw	$PLAN_PIECES, %si
1:	jecxz	2f
	xorl	%eax, %eax
	movw	$FWCFG_DMA_HIGH, %dx
	outl	%eax, %dx
	movl	%ebx, %eax
	bswapl	%eax
	movw	$FWCFG_DMA_LOW, %dx
	outl	%eax, %dx
3:	movl	(%si), %eax
	testl	$~DMA_ERROR_BE, %eax
	jnz	3b
	testl	%eax, %eax
	jnz	error
	addl	$16, %ebx
	addw	$16, %si
	decl	%ecx
	jmp	1b
2:
	cmpl	$0, PLAN_MAP
	je	4f
	call	memory_map
4:	call	a20
	cli
	cmpl	$0, PLAN_PROTECTED
	jne	protected

	/* ---- real mode: the Linux boot protocol ---- */
	movl	PLAN_ESP, %esp
	movl	PLAN_ENTRY, %edx
	movw	PLAN_DS, %ax
	movw	%ax, %ss
	pushl	%edx			/* far pointer: offset, segment */
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	lret

error:
	movw	%cs, %ax
	movw	%ax, %ds
	movw	$failed, %si
5:	lodsb
	testb	%al, %al
	jz	6f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	5b
6:	hlt
	jmp	6b

	/* Fast A20; nothing is written if it is open already. */
a20:
	inb	$0x92, %al
	testb	$2, %al
	jnz	7f
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
7:	ret

	/* E820 entries to PLAN_MAP, 24 bytes each with 4 before or behind the 20. */
memory_map:
	xorw	%ax, %ax
	movw	%ax, %es
	movl	PLAN_MAP, %edi
	xorl	%ebp, %ebp		/* entries */
	xorl	%ebx, %ebx
8:	movl	$20, %es:(%di)		/* the lead, or overwritten below */
	movl	$0, %es:20(%di)
	pushw	%di
	addw	PLAN_MAP_LEAD, %di
	movl	$0xe820, %eax
	movl	$0x534d4150, %edx
	movl	$20, %ecx
	pushl	%ebp
	int	$0x15
	popl	%ebp
	popw	%di
	jc	9f
	cmpl	$0x534d4150, %eax
	jne	9f
	incl	%ebp
	addw	$ENTRY_SIZE, %di
	cmpw	$MAX_ENTRIES, %bp
	jae	9f
	testl	%ebx, %ebx
	jnz	8b
9:	movl	%ebp, %eax
	mull	PLAN_MAP_UNIT
	movw	PLAN_MAP_COUNT, %di
	movl	%eax, %es:(%di)
	ret

	/* ---- protected mode: multiboot and PVH ---- */
protected:
	lgdtl	PLAN_GDT
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	/* A far jump into the ROM itself: its linear address is not known before. */
	movw	%cs, %ax
	movzwl	%ax, %eax
	shll	$4, %eax
	addl	$flat, %eax
	pushl	$0x08
	pushl	%eax
	lretl

	.code32
flat:
	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movw	$0x18, %ax
	ltr	%ax
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	movl	PLAN + PLAN_EAX, %eax
	movl	PLAN + PLAN_EBX, %ebx
	movl	PLAN + PLAN_ESI, %esi
	movl	PLAN + PLAN_ESP, %esp
	movl	PLAN + PLAN_ENTRY, %ecx
	jmp	*%ecx

	.balign 16
plan:
