/*
 * The lock of the code cache. Light: whoever wants it may have the guest's vector registers
 * live, so a vCPU that has to wait long sleeps by a system call of its own.
 *
 * 0: free; 1: held; 2: held, and somebody sleeps.
 *
 * Whoever holds it may ask for code_cache.writes_lock, and for the machine lock, where page tables lie in a
 * device; nobody who holds one of those asks for it.
 *
 * Source: futex(2).
 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "tcg/cache.h"

#define SPINS 200

static void futex(_Atomic int *at, long op, long value)
{
	register long timeout __asm__("r10") = 0;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"((long)SYS_futex), "D"(at), "S"(op), "d"(value), "r"(timeout)
			 : "rcx", "r11", "memory");
}

static bool take(_Atomic int *lock)
{
	int free = 0;

	return atomic_compare_exchange_strong_explicit(lock, &free, 1, memory_order_acquire, memory_order_relaxed);
}

void tcg_lock_slow(struct tcg *t)
{
	_Atomic int *lock = &t->cache->lock;

	if (t->locked++)
		return;
	for (int i = 0; i < SPINS; i++) {
		if (!atomic_load_explicit(lock, memory_order_relaxed) && take(lock))
			return;
		__builtin_ia32_pause();
	}
	while (atomic_exchange_explicit(lock, 2, memory_order_acquire))
		futex(lock, FUTEX_WAIT_PRIVATE, 2);
}

void tcg_unlock_slow(struct tcg *t)
{
	if (--t->locked)
		return;
	if (atomic_exchange_explicit(&t->cache->lock, 0, memory_order_release) == 2)
		futex(&t->cache->lock, FUTEX_WAKE_PRIVATE, 1);
}
