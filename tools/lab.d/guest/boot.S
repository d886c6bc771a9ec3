/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the tiny guest: multiboot header, flat 32-bit segments, a stack, and
 * the two interrupt stubs. No paging: an address is a physical address, so a
 * page that the migration loses is the page that the guest finds changed.
 */
.set MULTIBOOT_MAGIC, 0x1badb002
.set MULTIBOOT_FLAGS, 3 /* page-aligned modules, memory sizes */
.set CODE_SEGMENT, 8
.set DATA_SEGMENT, 16

.section .multiboot, "a"
.align 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

.section .text
.globl _start
_start:
	cli
	mov $stack_top, %esp
	push %ebx /* multiboot information */
	push %eax /* multiboot magic */
	lgdt gdt_pointer
	ljmp $CODE_SEGMENT, $1f
1:	mov $DATA_SEGMENT, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %fs
	mov %ax, %gs
	mov %ax, %ss
	call guest_main
2:	hlt
	jmp 2b

/* IRQ 0, the timer: counts a tick and acknowledges it at the first PIC. */
.globl timer_stub
timer_stub:
	incl guest_ticks
	push %eax
	mov $0x20, %al
	outb %al, $0x20
	pop %eax
	iret

/* Everything else: all other interrupts are masked, so only spurious ones arrive. */
.globl ignore_stub
ignore_stub:
	iret

.section .data
.align 8
gdt:
	.quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
	.word 23
	.long gdt

.section .bss
.align 16
	.skip 16384
stack_top:

.section .note.GNU-stack, "", @progbits
