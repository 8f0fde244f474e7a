/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's image, inside the host program. */
	.section .rodata
	.globl guest_image, guest_image_end
guest_image:
	.incbin GUEST_IMAGE
guest_image_end:
	.section .note.GNU-stack, "", @progbits
