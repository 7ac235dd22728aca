/*
 * Linear-address translation: page walks, permissions, the software TLB.
 * Source: SDM vol. 3A chapter 4. Everything here is light (see cpu/cpu.h).
 */
#ifndef CPU_MMU_H
#define CPU_MMU_H

#include "cpu/cpu.h"

enum mmu_access { MMU_READ = 1, MMU_WRITE = 2, MMU_RW = 3, MMU_FETCH = 4 };

bool mmu_init(struct cpu *c, struct err *e);
void mmu_fini(struct cpu *c);

/*
 * Translate one linear address for an access with the rights of `idx`. Sets
 * accessed and dirty bits as the access demands. True and *pa on success;
 * otherwise *pf_error has the #PF error code and nothing has changed.
 * Does not touch the TLB.
 */
bool mmu_translate(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx,
		   uint64_t *pa, uint32_t *pf_error);
/* The same without side effects, for debuggers and logs. */
bool mmu_probe(struct cpu *c, uint64_t va, uint64_t *pa);

/*
 * A data access missed the inline probe. Translates (raising #PF with the
 * architectural error code; c->rip must be right), fills the TLB where the page
 * is plain memory, and returns how to perform the access:
 *   a host pointer to n usable bytes  -- plain memory inside one page
 *   NULL                              -- MMIO, a page crossing, or a watched page
 * For writes to a page that holds code it returns the pointer and sets *code.
 * Such pages never enter the write table.
 */
uint8_t *mmu_fill(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx,
		  bool *code, uint64_t *pa);

/*
 * Any access, the slow and complete way: page crossings, MMIO, code pages.
 * Both pages are checked before a byte is written. Raise #PF on failure.
 */
uint64_t mmu_ld(struct cpu *c, uint64_t va, int size, enum mmu_idx idx);
void mmu_st(struct cpu *c, uint64_t va, int size, uint64_t v, enum mmu_idx idx);
/* n bytes to or from host memory (up to 4096, so at most two pages). */
void mmu_ld_buf(struct cpu *c, uint64_t va, void *buf, int n, enum mmu_idx idx);
void mmu_st_buf(struct cpu *c, uint64_t va, const void *buf, int n, enum mmu_idx idx);
/* Check that n bytes at va can be accessed so; raise #PF if not. */
void mmu_check(struct cpu *c, uint64_t va, int n, enum mmu_access how, enum mmu_idx idx);

/*
 * Instruction fetch translation of one page, with NX and SMEP; false: *pf_error.
 * *global (unless NULL): it outlives CR3 writes.
 */
bool mmu_fetch_page(struct cpu *c, uint64_t va, uint64_t *pa, bool *global, uint32_t *pf_error);

/* ---- forgetting translations ---- */
void mmu_flush(struct cpu *c, bool keep_global);
void mmu_flush_page(struct cpu *c, uint64_t va);
/* CR3 was loaded; `keep` is its bit 63 under PCID. New value already in c->cr3. */
void mmu_set_cr3(struct cpu *c, uint64_t v);
/* INVPCID (SDM vol. 2A). False: operands demand #GP. */
bool mmu_invpcid(struct cpu *c, int type, uint64_t pcid, uint64_t va);
/*
 * Writes to this RAM page must take the slow path: drop it from the write tables
 * of every vCPU. Its page flags must say so already.
 */
void mmu_protect_ram_page(struct cpu *c, const uint8_t *host_page);
/* May this vCPU, which may be running, have stored to that page by its write tables? True too often. */
bool mmu_may_write(const struct cpu *c, const uint8_t *host_page);
/* PKRU or PKRS changed: what they forbid from now on goes, the rest stays. */
void mmu_keys_changed(struct cpu *c);
/* CR0.WP was set: what only its being clear allowed goes. Clearing it takes nothing away. */
void mmu_wp_set(struct cpu *c);
/*
 * The translations of SVM guest `owner` (ASID; 0: the host) are in use from now on,
 * under the control registers as they are. All that is in use may be forgotten first.
 */
void mmu_switch_space(struct cpu *c, uint32_t owner);
/* Forget one owner's translations; not the current one's. */
void mmu_forget_space(struct cpu *c, uint32_t owner);
/* mmu_flush() of every owner's: memory has moved. */
void mmu_flush_all(struct cpu *c);
/*
 * In *pf_error: not a page fault but a nested one, which cpu_raise_pf() makes a
 * #VMEXIT. The page fault's other bits are void.
 */
#define PF_NESTED	0x80000000u
/* Load the PAE pointers from CR3; false: reserved bits set, raise #GP. */
bool mmu_load_pdptes(struct cpu *c);
/* Is this a canonical linear address for the current mode? */
static inline bool mmu_canonical(const struct cpu *c, uint64_t va)
{
	return (uint64_t)sext(va, c->cr4 & CR4_LA57 ? 57 : 48) == va;
}
/*
 * The same for what a register may hold: bases of segments and tables, MSRs, and
 * operands of INVLPG and INVPCID. Processors with 5-level paging take 57 bits
 * there whether it is on or not.
 */
static inline bool mmu_canonical_reg(const struct cpu *c, uint64_t va)
{
	return (uint64_t)sext(va, (int)c->virt_bits < 48 ? 48 : (int)c->virt_bits) == va;
}

#endif
