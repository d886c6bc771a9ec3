/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working set lies above the image and its data, at WORKING_SET_BASE. A page
 * holds in 16 places a value made of its number, its generation and the nonce, so a
 * page that is lost, stale or another's is found when its turn comes again.
 *
 * Invariant: pages [0, cursor) hold generation G, pages [cursor, count) hold G-1, or
 * nothing while G is 1.
 */
#include "memory.h"

#include "serial.h"

enum {
	PAGE_SIZE = 4096,
	WORKING_SET_BASE = 0x400000,
	/* One word in 64 is written and checked: 16 places spread over the page. */
	PAGE_STRIDE = 64,
};

u32 memory_nonce;
int memory_flush_wanted = 1;

static u32 memory_top;
static u32 working_set_pages = 1;
static u32 cursor;
static u32 generation = 1;
static u32 pages_written;

/*
 * QEMU before 9.0 loses writes under TCG: when migration clears its dirty log,
 * entries of the guest's TLB that were already writable stay so, and later
 * writes to those pages are never logged. Changing CR4.PSE makes QEMU drop the
 * whole TLB, so the next write takes the slow path that marks the page. Without
 * this every migration of more than one pass corrupts the guest; with KVM the
 * bug does not exist. flush=0 shows it.
 */
void memory_flush_tlb(void)
{
	u32 value;

	if (!memory_flush_wanted)
		return;
	__asm__ volatile("mov %%cr4, %0\n\t"
	                 "xor $0x10, %0\n\t"
	                 "mov %0, %%cr4"
	                 : "=r"(value)
	                 :
	                 : "memory");
}

/* What word `word` of page `page` holds in generation `of`: different everywhere. */
static inline u32 page_word(u32 page, u32 of, u32 word)
{
	u32 value = (page * 1024 + word) * 2654435761u ^ of * 2246822519u ^ memory_nonce;

	return value ^ value >> 15;
}

static void rewrite_page(u32 page)
{
	volatile u32 *words = (volatile u32 *)(WORKING_SET_BASE + page * PAGE_SIZE);
	u32 word;

	if (generation > 1) {
		for (word = 0; word < PAGE_SIZE / 4; word += PAGE_STRIDE) {
			u32 wanted = page_word(page, generation - 1, word);

			if (words[word] != wanted) {
				serial_report_corruption("page", page, words[word], wanted);
				break;
			}
		}
	}
	for (word = 0; word < PAGE_SIZE / 4; word += PAGE_STRIDE)
		words[word] = page_word(page, generation, word);
	pages_written++;
}

void memory_rewrite_pages(u32 count)
{
	while (count--) {
		memory_flush_tlb();
		rewrite_page(cursor);
		if (++cursor >= working_set_pages) {
			cursor = 0;
			generation++;
		}
	}
}

void memory_rewrite_all(void)
{
	memory_rewrite_pages(working_set_pages);
}

u32 memory_get_pages_written(void)
{
	return pages_written;
}

void memory_set_top(u32 top)
{
	memory_top = top;
}

u32 memory_get_working_set_kib(void)
{
	return working_set_pages * (PAGE_SIZE / 1024);
}

void memory_set_working_set(u32 kib)
{
	u32 most = memory_top > WORKING_SET_BASE ? (memory_top - WORKING_SET_BASE) / PAGE_SIZE : 0;
	u32 pages = kib / 4;

	if (pages > most)
		pages = most;
	working_set_pages = pages ? pages : 1;
	/* Back to the start: the first round writes without checking. */
	cursor = 0;
	generation = 1;
}
