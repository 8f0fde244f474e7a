/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second opinion on kmod/decode.c: the same bytes through Zydis.
 */
#ifndef UNIT_DECODE_ORACLE_H
#define UNIT_DECODE_ORACLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * decode_oracle - compare insn_decode() with Zydis on one string of bytes
 * @mode: enum insn_mode
 * @class: out, if not NULL: the class that insn_decode() found
 *
 * Returns NULL if they agree, else what they differ in.
 *
 * Agreement is: the same class, length and operands where either of the two
 * sees one of decode.h's classes; -EINVAL only where Zydis rejects the bytes;
 * -ENODATA for each string that is cut short; insn_length_of() gives the length
 * for the right class and -EINVAL for others; the effective address follows
 * Zydis's for registers made from the bytes.
 */
const char *decode_oracle(const uint8_t *bytes, size_t len, int mode, unsigned int *class);

#endif /* UNIT_DECODE_ORACLE_H */
