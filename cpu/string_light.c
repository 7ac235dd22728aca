/*
 * What compilers call by themselves where C clears or copies large structures. Light objects are made
 * to call these (Makefile.in): libc's use vector registers, which may be the guest's.
 */
#include <stddef.h>

void *light_memset(void *to, int value, size_t n);
void *light_memcpy(void *to, const void *from, size_t n);

void *light_memset(void *to, int value, size_t n)
{
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(value) : "memory");
	return to;
}

void *light_memcpy(void *to, const void *from, size_t n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}
