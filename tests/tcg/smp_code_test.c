/*
 * Two vCPUs, one of which writes what the other runs: with a serializing instruction
 * between (SDM vol. 3A, 8.1.3), by INT3 first, by aligned stores at any time, on pages
 * that are translated for the first time meanwhile; as single blocks and as regions.
 */
#include <criterion/criterion.h>

#include "tests/tcg/two_cpus.h"

enum { CHANGING = 0x62000 };

#define SERIALIZE "push rbx\n xor eax, eax\n cpuid\n pop rbx\n"

/* ---- flag, serializing instruction, run ---- */

GUEST(changing, "mov eax, 0\n ret\n")

GUEST(write_synced, "xor ecx, ecx\n"
      "1: inc ecx\n mov [rbp + 1], ecx\n mov [" FLAG "], ecx\n"
      "2: pause\n cmp [" ACK "], ecx\n jne 2b\n cmp ecx, r15d\n jne 1b\n" END)
GUEST(run_synced, "xor r12d, r12d\n"
      "1: inc r12d\n 2: pause\n cmp [" FLAG "], r12d\n jne 2b\n" SERIALIZE
      "call rbp\n cmp eax, r12d\n je 3f\n inc dword ptr [" BAD "]\n"
      "3: mov [" ACK "], r12d\n cmp r12d, r15d\n jne 1b\n" END)

TEST_TWO(smp_code, code_written_before_a_serializing_instruction_is_what_runs)
{
	GUEST_PUT(m, M_CODE, write_synced);
	GUEST_PUT(m, RUNNER, run_synced);
	GUEST_PUT(m, CHANGING, changing);
	run_two(m, CHANGING, rounds(300));
}

/* The same, inlined: nothing but CPUID stands between flag and code. */
GUEST(run_inline, "xor r12d, r12d\n jmp 1f\n .balign 64\n"
      "1: inc r12d\n 2: pause\n cmp [" FLAG "], r12d\n jne 2b\n" SERIALIZE
      "jmp 4f\n .balign 64\n 4: mov eax, 0\n cmp eax, r12d\n je 3f\n inc dword ptr [" BAD "]\n"
      "3: mov [" ACK "], r12d\n cmp r12d, r15d\n jne 1b\n" END)

TEST_TWO(smp_code, code_behind_the_serializing_instruction_itself_may_change)
{
	uint64_t at = RUNNER + 64;

	GUEST_PUT(m, M_CODE, write_synced);
	GUEST_PUT(m, RUNNER, run_inline);
	while (*machine_mem(m, at) != 0xb8)
		at += 64;
	run_two(m, at, rounds(300));
}

/* ---- at any time: quadwords that are stored at once are run whole ---- */

GUEST(quad, ".balign 8\n mov eax, 0\n ret\n nop\n nop\n")

/* b8 k 00 00 00 c3 90 90, and at the end the last one must be seen. */
GUEST(write_any_time, "mov rax, [rbp]\n mov ecx, r15d\n"
      "1: add rax, 0x100\n mov rdx, 0xff00\n and rdx, rax\n mov rbx, 0x9090c300000000b8\n or rbx, rdx\n"
      " mov [rbp], rbx\n mov edx, 50\n 2: dec edx\n jnz 2b\n dec ecx\n jnz 1b\n"
      "mov rbx, 0x9090c30000007fb8\n mov [rbp], rbx\n mov dword ptr [" FLAG "], 1\n" END)
GUEST(run_any_time, "1: mov r12d, [" FLAG "]\n mov eax, -1\n call rbp\n cmp eax, 0xff\n jbe 2f\n inc dword ptr [" BAD "]\n"
      "2: test r12d, r12d\n jz 1b\n" SERIALIZE " call rbp\n cmp eax, 0x7f\n je 3f\n inc dword ptr [" BAD "]\n 3:" END)

TEST_TWO(smp_code, aligned_quadwords_may_change_at_any_time)
{
	GUEST_PUT(m, M_CODE, write_any_time);
	GUEST_PUT(m, RUNNER, run_any_time);
	GUEST_PUT(m, CHANGING, quad);
	run_two(m, CHANGING, rounds(3000));
}

/* ---- INT3 first, as operating systems do ---- */

/* eax = 0xdead and back behind the instruction of 5 bytes that INT3 stands on. */
GUEST(int3_handler, "add qword ptr [rsp], 4\n mov eax, 0xdead\n iretq\n")
/* An acknowledged request means that the runner has executed a serializing instruction since. */
#define SYNC "inc esi\n mov [" FLAG "], esi\n 9: pause\n cmp [" ACK "], esi\n jne 9b\n"
GUEST(write_int3, "xor esi, esi\n xor ecx, ecx\n"
      "1: inc ecx\n mov byte ptr [rbp], 0xcc\n" SYNC " mov [rbp + 1], ecx\n" SYNC " mov byte ptr [rbp], 0xb8\n" SYNC
      " cmp ecx, r15d\n jne 1b\n mov dword ptr [" FLAG "], -1\n" END)
/* rounds are 3 requests each; what may be seen: the value of this round or the one before, or the INT3. */
GUEST(run_int3, "xor r13d, r13d\n"
      "1: mov r12d, [" FLAG "]\n cmp r12d, -1\n je 8f\n cmp r12d, r13d\n je 2f\n" SERIALIZE " mov r13d, r12d\n mov [" ACK "], r13d\n"
      "2: call rbp\n cmp eax, 0xdead\n jne 3f\n inc dword ptr [" SEEN "]\n"
      " jmp 1b\n"
      "3: mov edi, eax\n xor edx, edx\n mov ebx, 3\n mov eax, r13d\n div ebx\n"	/* eax rounds done, edx stage */
      " cmp edi, eax\n je 4f\n inc eax\n cmp edi, eax\n je 5f\n inc dword ptr [" BAD "]\n jmp 1b\n"
      "4: cmp edx, 0\n je 1b\n inc dword ptr [" BAD "]\n jmp 1b\n"	/* the old one behind the first stage */
      "5: cmp edx, 2\n je 1b\n inc dword ptr [" BAD "]\n jmp 1b\n"	/* the new one before the last */
      "8: " END)

TEST_TWO(smp_code, code_may_be_replaced_behind_an_int3)
{
	GUEST_PUT(m, M_CODE, write_int3);
	GUEST_PUT(m, RUNNER, run_int3);
	GUEST_PUT(m, CHANGING, changing);
	GUEST_PUT(m, M_HANDLERS + 3 * 16, int3_handler);
	cr_assert_leq(GUEST_SIZE(int3_handler), 16);
	run_two(m, CHANGING, rounds(200));
	cr_expect_gt(word(m, AT_SEEN), 0);
}

/* ---- pages that are translated while they are written ---- */

/*
 * Each round: the writer makes the page data again (so many stores that nobody keeps track of it), lets the
 * runner go, waits for some time, stores once and raises the flag. The runner calls all
 * the while; what it finds after the flag and a serializing instruction must be new.
 */
GUEST(write_fresh, "xor r12d, r12d\n"
      "1: inc r12d\n lea rdi, [rbp + 0x800]\n mov ecx, 400\n 2: mov [rdi], ecx\n dec ecx\n jnz 2b\n"
      " mov dword ptr [rbp + 1], 0\n mov [" FLAG "], r12d\n"
      "3: pause\n cmp [" ACK "], r12d\n jne 3b\n"
      " mov ecx, r12d\n and ecx, 0xfff\n 4: dec ecx\n jns 4b\n"
      " mov [rbp + 1], r12d\n mov dword ptr [" FLAG "], 0\n"
      "5: pause\n cmp dword ptr [" ACK "], 0\n jne 5b\n cmp r12d, r15d\n jne 1b\n" END)
GUEST(run_fresh, "xor r12d, r12d\n"
      "1: inc r12d\n 2: pause\n cmp [" FLAG "], r12d\n jne 2b\n mov [" ACK "], r12d\n"
      "3: call rbp\n cmp dword ptr [" FLAG "], 0\n jne 3b\n" SERIALIZE
      "call rbp\n cmp eax, r12d\n je 4f\n inc dword ptr [" BAD "]\n"
      "4: mov dword ptr [" ACK "], 0\n cmp r12d, r15d\n jne 1b\n" END)

TEST_TWO(smp_code, a_store_while_its_bytes_are_translated_is_not_lost)
{
	GUEST_PUT(m, M_CODE, write_fresh);
	GUEST_PUT(m, RUNNER, run_fresh);
	GUEST_PUT(m, CHANGING, changing);
	run_two(m, CHANGING, rounds(300));
}
