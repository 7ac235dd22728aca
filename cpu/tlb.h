/*
 * What the MMU remembers besides the inline TLB (struct tlb in cpu/cpu.h), and
 * what its parts offer each other. Private to mmu*.c and tlb.c.
 *
 * Second-level TLB: L2_SETS sets of L2_WAYS translations of 4 KiB pieces, each
 * tagged with an address-space number ("asid"). Every PCID has a current asid
 * and global pages have one of their own, so forgetting a whole PCID, or all
 * of them, means handing out a new number, and nothing needs to be cleared.
 *
 * The inline tables hold entries of the current PCID and global ones. `logged`
 * has the slots that got a non-global entry: a CR3 switch clears just those.
 */
#ifndef CPU_TLB_H
#define CPU_TLB_H

#include "cpu/mmu.h"
#include "cpu/phys.h"

#define PAGE		4096ull
#define L2_SETS		4096u
#define L2_WAYS		4u
#define ASID_BITS	28
#define NPCID		4096u
#define PDE_SLOTS	128u
#define LOG_PAGES	512u
#define SEEN_BITS	4096u
#define NSPACES		5u	/* the host, and guests of VMRUN remembered */
#define NPT_SLOTS	512u
#define FILTER_BITS	16384u
#define MANY_PLACES	UINT16_MAX

/* Attributes in the low bits of l2_entry.pa: what the walk found. */
#define TR_W		0x01u	/* writable at all levels */
#define TR_U		0x02u	/* user at all levels */
#define TR_NX		0x04u	/* no execute at some level */
#define TR_D		0x08u	/* the dirty bit is set */
#define TR_G		0x10u	/* global */
#define TR_LARGE	0x20u	/* piece of a 2 MiB or 4 MiB page */
#define TR_HUGE		0x40u	/* piece of a 1 GiB page */
#define TR_KEY		8	/* shift: protection key, 4 bits; 0 where keys are not in force */

struct l2_entry {
	uint64_t key;			/* see l2_key(); 0: empty */
	uint64_t pa;			/* page address | TR_* */
	uint8_t *host;			/* the page, or NULL: not plain memory */
	_Atomic uint8_t *flags;		/* its PAGE_*, or NULL: writes are not plain */
	struct ram *ram;		/* of flags */
};

/* The asid of each PCID; entries of older epochs are void. */
struct pcid_asid {
	uint32_t asid, epoch;
};

/*
 * What belongs to the host, or to one guest ASID of SVM, while another runs. Space 0
 * is the host's. The current one's copy of these fields stands in struct mmu.
 */
struct mmu_space {
	uint32_t owner;			/* ASID of VMRUN, 0: the host */
	bool valid;
	uint32_t global_asid, epoch;
	uint64_t npt_gen;
	uint64_t large_seen[SEEN_BITS / 64], huge_seen[SEEN_BITS / 64];
	struct pcid_asid pcid[NPCID];
};

/* A guest-physical page of nested paging; 0: empty. */
struct npt_entry {
	uint64_t key;			/* page number | generation << 40 */
	uint64_t pa;			/* system-physical page | TR_W, TR_NX, TR_D */
};

/* Where the page table for 2 MiB (4 MiB) of linear space stands. */
struct pde_entry {
	uint64_t key;			/* see pde_key() in mmu_walk.c */
	uint64_t table;
	uint64_t perm;			/* TR_W, TR_U, TR_NX of the levels above */
};

/*
 * Slots of the inline tables that a change of PKRU, PKRS or CR0.WP may forbid:
 * one list a user key, one a supervisor key, one for what only a clear WP allows.
 * It may name a slot twice, or one that holds another page by now: dropping is
 * always right. A full list stands for every slot.
 */
#define REVOKE_ROOM	256u
#define REVOKE_USER	16
#define REVOKE_WP	32
#define NREVOKE		33
struct revocable {
	uint16_t n;			/* REVOKE_ROOM + 1: full */
	bool global;			/* some survive a CR3 switch */
	uint16_t slot[REVOKE_ROOM];	/* enum mmu_idx << TLB_BITS | slot */
};

/* Slots of an inline table that were filled. */
struct slot_log {
	uint64_t logged[TLB_SIZE / 64];
	uint16_t slot[TLB_SIZE];
	uint32_t n;
};

struct mmu {
	/* How the current CR0, CR4, EFER make the walk. */
	int levels;			/* 0: paging off; 2, 3, 4, 5 */
	int index_bits;			/* 10 or 9 */
	int entry_size;			/* 4 or 8 */
	uint64_t table_mask;		/* address bits of a table entry */
	uint64_t rsvd[5], rsvd_large[5];	/* by level, 0 = page table */
	uint32_t large_ok;		/* bit per level: PS may be set */
	bool pse36;
	bool keyed[2];			/* supervisor pages, user pages have keys */
	uint32_t key_rights[2];		/* PKRS, PKRU, as far as in force */

	uint32_t asid, global_asid;	/* current PCID's; global pages' */
	uint32_t next_asid;
	uint32_t epoch;			/* complete flushes; pcid[] entries of older ones are void */
	uint64_t pde_gen;
	unsigned victim;
	struct pcid_asid *pcid;		/* of the current space */
	struct mmu_space space[NSPACES];
	unsigned cur;			/* the current space */
	unsigned space_victim;

	/* Nested paging (cpu/mmu_nested.c). */
	bool nested;			/* addresses of the walk are guest-physical */
	uint64_t npt_gen, next_npt_gen;
	uint64_t npf_info, npf_gpa;	/* EXITINFO1 and 2 of the last nested fault */

	/* invlpg of a large page must find its pieces: where there may be such pages (mmu_seen_bit). */
	uint64_t *large_seen, *huge_seen;	/* SEEN_BITS of the current space */

	/* Slots of the inline tables that hold non-global entries. */
	struct slot_log log[NMMU];
	/* The same for global entries, kept while SVM is on: a change of space clears these, too. */
	struct slot_log global_log[NMMU];
	bool log_global;

	/* Host pages that may stand in a write table, as a hash filter; made anew before it is too full. */
	uint64_t wfilter[FILTER_BITS / 64];
	unsigned filter_room;		/* bits that may be set before it is made anew */
	/* For each bit that is set: the one place (enum mmu_idx << TLB_BITS | slot) where such pages may stand, or MANY_PLACES. */
	uint16_t wplace[FILTER_BITS];
	/* Pages with dirty tracking that do. */
	_Atomic uint8_t *log_pages[LOG_PAGES];
	unsigned nlog_pages;

	struct revocable revocable[NREVOKE];
	uint64_t revocable_any;		/* bit per list that is not empty */

	int nwatch;			/* pages with data breakpoints */
	uint64_t watch[4];

	struct l2_entry l2[L2_SETS][L2_WAYS] __attribute__((aligned(64)));
	struct pde_entry pde[PDE_SLOTS];
	struct npt_entry npt[NPT_SLOTS];
};

static inline void zero64(uint64_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = 0;
}

/* The bit of large_seen or huge_seen for the 2^shift bytes around va. */
static inline unsigned mmu_seen_bit(uint64_t va, int shift)
{
	return (unsigned)((va >> shift) * 0x9e3779b97f4a7c15ull >> 52);
}

static inline bool mmu_seen(const uint64_t *seen, uint64_t va, int shift)
{
	unsigned bit = mmu_seen_bit(va, shift);
	return seen[bit >> 6] >> (bit & 63) & 1;
}

/* One walk under way. */
struct walk {
	uint64_t va;
	int n;				/* entries used */
	uint64_t at[5], entry[5];	/* their physical addresses and values */
	uint64_t perm;			/* TR_W, TR_U, TR_NX so far */
	uint64_t pa;			/* of the 4 KiB page */
	unsigned attr;			/* TR_* */
	uint64_t table;			/* the last one read */
	int leaf;			/* level of the last entry */
	uint32_t fault;			/* PF_P, PF_RSVD, PF_NESTED of a failed walk */
	bool quiet;			/* without side effects */
};

/* ---- mmu_walk.c ---- */

/* CR0, CR4, EFER changed: how walks go from now on. */
void mmu_configure(struct cpu *c);
/* A complete translation of w->va with side effects; w->pa and w->attr on success. */
bool mmu_walk(struct cpu *c, struct walk *w, enum mmu_access how, enum mmu_idx idx, uint32_t *pf_error);

/* Does its protection key keep a data access from a page? (SDM vol. 3A, 4.6.2) */
static inline bool mmu_key_refuses(const struct cpu *c, unsigned attr, enum mmu_access how,
				   enum mmu_idx idx)
{
	uint32_t rights = c->mmu->key_rights[(attr & TR_U) != 0] >> 2 * (attr >> TR_KEY & 15);

	return rights & 1 || (rights & 2 && how & MMU_WRITE && (idx == MMU_USER || c->cr0 & CR0_WP));
}

/* The access rules (SDM vol. 3A, 4.6). */
static inline bool mmu_allowed(const struct cpu *c, unsigned attr, enum mmu_access how,
			       enum mmu_idx idx)
{
	bool user = idx == MMU_USER;

	if (user && !(attr & TR_U))
		return false;
	if (how & MMU_FETCH)
		return !(attr & TR_NX) && (user || !(attr & TR_U) || !(c->cr4 & CR4_SMEP));
	if (idx == MMU_KERNEL && attr & TR_U && c->cr4 & CR4_SMAP)
		return false;
	if (mmu_key_refuses(c, attr, how, idx))
		return false;
	return !(how & MMU_WRITE) || attr & TR_W || (!user && !(c->cr0 & CR0_WP));
}

/* ---- mmu_nested.c ---- */

/*
 * Guest-physical *pa to system-physical, with the side effects of such an access;
 * `table`: an entry of the guest's page tables. attr, if not NULL: TR_W, TR_D, TR_NX.
 * False: npf_info and npf_gpa say why.
 */
bool mmu_nested(struct cpu *c, uint64_t *pa, enum mmu_access how, bool table, unsigned *attr);
/* The same without side effects. */
bool mmu_nested_probe(struct cpu *c, uint64_t *pa);

/* ---- mmu.c ---- */

/* The entry of a page under one asid, or NULL. */
struct l2_entry *mmu_l2_find(struct mmu *m, uint64_t va, uint32_t asid);
/* Forget all 1024 pages from va on, a multiple of 4 MiB: they share a key, and stand in 1024 sets in a row. */
void mmu_l2_drop_1024(struct mmu *m, uint64_t va, uint32_t asid);
/*
 * The translation of va for this access, entered into the inline tables where
 * that is allowed; NULL host: not plain memory. Raises #PF.
 */
const struct l2_entry *mmu_enter(struct cpu *c, uint64_t va, enum mmu_access how, enum mmu_idx idx);
/* Forget all write entries; tracked pages among them count as written until now. */
void mmu_drop_writes(struct cpu *c);
/* Empty all sites, and end the run of a loop: they copy entries, so whoever takes one away does this, too. */
void mmu_drop_sites(struct cpu *c);
/* End the runs of loops that may be under way or taken up again. Any thread. */
void mmu_end_runs(struct cpu *c);
/* After DR7 or DR0-3 changed: which pages must take the slow path. */
void mmu_update_watch(struct cpu *c);

#endif
