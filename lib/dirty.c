// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dirty logs, as the whole of a VM's users see them: the module knows what the guest
 * wrote, this file what the process did, in a bitmap of its own for each region that
 * is logged.
 *
 * A bit is set after the write, and taken before the page is copied. A second bitmap
 * says which words of the first have bits, so an idle log is quickly looked through;
 * its bit is set after the word's and taken before it.
 *
 * All of it under the VM's lock: for reading to set and take bits, for writing to make
 * and free bitmaps.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

#define PAGE_SHIFT	12
#define WORD_BITS	64

struct written {
	uint64_t *word;			/* a bit a page */
	uint64_t *busy;			/* a bit a word */
};

static uint64_t words_for(uint64_t bits)
{
	return (bits + WORD_BITS - 1) / WORD_BITS;
}

int written_create(uint64_t size, struct written **out)
{
	const uint64_t words = words_for(size >> PAGE_SHIFT);
	struct written *written = malloc(sizeof(*written));

	if (!written)
		return -ENOMEM;
	/* Zeros that the kernel gives on demand: nothing is touched here. */
	written->word = calloc(words + words_for(words), sizeof(*written->word));
	if (!written->word) {
		free(written);
		return -ENOMEM;
	}
	written->busy = written->word + words;
	*out = written;
	return 0;
}

void written_destroy(struct written *written)
{
	if (!written)
		return;
	free(written->word);
	free(written);
}

static void set_bit(uint64_t *words, uint64_t bit)
{
	__atomic_fetch_or(&words[bit / WORD_BITS], 1ULL << bit % WORD_BITS, __ATOMIC_SEQ_CST);
}

void written_mark(struct written *written, uint64_t offset, uint64_t len)
{
	uint64_t page;

	for (page = offset >> PAGE_SHIFT; page <= (offset + len - 1) >> PAGE_SHIFT; page++) {
		set_bit(written->word, page);
		set_bit(written->busy, page / WORD_BITS);
	}
}

static uint64_t take(uint64_t *word, bool keep)
{
	return keep ? __atomic_load_n(word, __ATOMIC_SEQ_CST) :
		      __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
}

uint64_t written_take(struct written *written, uint64_t from, uint64_t to, bool keep,
		      uint64_t *bitmap)
{
	uint64_t word, added = 0;

	for (word = from; word < to; word++) {
		const uint64_t rest = written->busy[word / WORD_BITS] >> word % WORD_BITS;
		uint64_t bits;

		if (!rest) {
			/* To the end of this word of busy bits. */
			word |= WORD_BITS - 1;
			continue;
		}
		if (!(rest & 1))
			continue;
		if (!keep)
			__atomic_fetch_and(&written->busy[word / WORD_BITS],
					   ~(1ULL << word % WORD_BITS), __ATOMIC_SEQ_CST);
		bits = take(&written->word[word], keep) & ~bitmap[word - from];
		bitmap[word - from] |= bits;
		added += __builtin_popcountll(bits);
	}
	return added;
}
