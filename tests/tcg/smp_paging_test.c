/*
 * Two vCPUs and the page tables: the writer changes the entry of a page that the runner
 * stores to all the time, by a linear address of its own, and asks it to forget the entry
 * (a shootdown; the runner looks at FLAG, executes INVLPG and raises ACK). A walk sets the
 * accessed and dirty bits in an entry with one locked access (SDM vol. 3A, 4.8 and 8.1.2.1),
 * so an entry that is exchanged for another one tells of every store that went through it;
 * and once the shootdown is acknowledged no store comes any more (4.10.5).
 */
#include "tests/tcg/two_cpus.h"

#define VA	"0x150000"
#define PAGE1	"0x152000"
#define ENTRY	"0x103a80"	/* of VA */
enum { VA_AT = 0x150000, PAGE1_AT = 0x152000, PAGE2_AT = 0x153000, ENTRY_AT = 0x103a80 };

/* The runner: rcx counts its stores. FLAG -1 ends it. */
#define SERVE(n) n ": mov edx, [" FLAG "]\n cmp edx, [" ACK "]\n je " n "f\n invlpg [" VA "]\n mov [" ACK "], edx\n " n ":\n"
GUEST(store_for_ever, "1: inc rcx\n mov [" VA "], rcx\n" SERVE("2") "cmp edx, -1\n jne 1b\n" END)
/* The page is not there, or not to be written: serve, and try again. The second one comes by the first. */
GUEST(page_fault, "jmp [rip + 0f]\n 0: .quad 0x45000\n")
GUEST(page_fault_serves, "push rdx\n" SERVE("2") "pop rdx\n add rsp, 8\n iretq\n")

/* esi = the next request; waits for its acknowledgement. */
#define SHOOT "inc esi\n mov [" FLAG "], esi\n 9: pause\n cmp [" ACK "], esi\n jne 9b\n"
#define PAUSE_A_WHILE "mov ecx, esi\n and ecx, 0x3ff\n 8: dec ecx\n jns 8b\n"
#define STOP "mov dword ptr [" FLAG "], -1\n 9: pause\n cmp dword ptr [" ACK "], -1\n jne 9b\n" END

/* rbx = what the page held in the round before, rdi = the entry, not accessed and not dirty. */
GUEST(take_away, "xor esi, esi\n mov rbx, [" PAGE1 "]\n mov rdi, [" ENTRY "]\n and edi, 0xffffff9f\n"
      "1: xor eax, eax\n xchg [" ENTRY "], rax\n" SHOOT "mov rdx, [" PAGE1 "]\n"
      "test al, 0x40\n jz 2f\n inc dword ptr [" SEEN "]\n jmp 3f\n"
      "2: cmp rdx, rbx\n je 3f\n inc dword ptr [" BAD "]\n"		/* stored, and not dirty */
      "3: test al, 0x60\n jpe 4f\n test al, 0x20\n jnz 4f\n inc dword ptr [" BAD "]\n"	/* dirty, and not accessed */
      "4: " PAUSE_A_WHILE "cmp [" PAGE1 "], rdx\n je 5f\n inc dword ptr [" BAD "]\n"	/* stored behind the shootdown */
      "5: mov rbx, rdx\n mov [" ENTRY "], rdi\n" PAUSE_A_WHILE
      "test esi, 1\n jz 7f\n 6: pause\n cmp [" PAGE1 "], rdx\n je 6b\n"		/* in each second round a store has come */
      "7: cmp esi, r15d\n jb 1b\n" STOP)

static void put_runner(struct machine *m)
{
	GUEST_PUT(m, RUNNER, store_for_ever);
	GUEST_PUT(m, M_HANDLERS + 14 * 16, page_fault);
	GUEST_PUT(m, 0x45000, page_fault_serves);
	cr_assert_leq(GUEST_SIZE(page_fault), 16);
	st64(machine_mem(m, ENTRY_AT), PAGE1_AT | PTE_P | PTE_W);
}

TEST_TWO(smp_paging, an_entry_that_is_taken_away_tells_of_every_store)
{
	put_runner(m);
	GUEST_PUT(m, M_CODE, take_away);
	run_two(m, VA_AT, rounds(500));
	cr_expect_geq(word(m, AT_SEEN), rounds(500) / 2 - 1);
}

/* In turns writable and not: bit 1 of the entry. */
GUEST(protect, "xor esi, esi\n"
      "1: lock btr qword ptr [" ENTRY "], 1\n" SHOOT "mov rdx, [" PAGE1 "]\n" PAUSE_A_WHILE
      "cmp [" PAGE1 "], rdx\n je 2f\n inc dword ptr [" BAD "]\n"
      "2: lock bts qword ptr [" ENTRY "], 1\n" PAUSE_A_WHILE
      "cmp [" PAGE1 "], rdx\n je 3f\n inc dword ptr [" SEEN "]\n"
      "3: cmp esi, r15d\n jb 1b\n" STOP)

TEST_TWO(smp_paging, no_store_comes_behind_the_shootdown_of_a_protected_page)
{
	put_runner(m);
	GUEST_PUT(m, M_CODE, protect);
	run_two(m, VA_AT, rounds(500));
}

/* Another page in its place, and back: rdi, r14 = the entries, r8, r9 = the pages. */
GUEST(move_page, "xor esi, esi\n mov rdi, [" ENTRY "]\n lea r14, [rdi + 0x1000]\n mov r8d, " PAGE1 "\n lea r9, [r8 + 0x1000]\n"
      "1: mov [" ENTRY "], r14\n" SHOOT "mov rdx, [r8]\n" PAUSE_A_WHILE
      "cmp [r8], rdx\n je 2f\n inc dword ptr [" BAD "]\n"
      "2: pause\n cmp qword ptr [r9], 0\n je 2b\n"		/* it is stored to where it is now */
      "xchg rdi, r14\n xchg r8, r9\n cmp esi, r15d\n jb 1b\n" STOP)

TEST_TWO(smp_paging, a_page_that_has_moved_gets_no_store_behind_the_shootdown)
{
	put_runner(m);
	GUEST_PUT(m, M_CODE, move_page);
	run_two(m, VA_AT, rounds(500));
	cr_expect_neq(ld64(machine_mem(m, PAGE2_AT)), 0);
}
