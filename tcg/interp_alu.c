/*
 * The µop interpreter's arithmetic, in plain C on 64-bit numbers cut to size.
 * Flags that the manual leaves undefined get what is simple: mostly they are
 * cleared, with shifts by more than one OF is what the rule for one bit gives.
 *
 * Source: SDM vol. 2 for each instruction; vol. 1 appendix A (flags).
 */
#include "tcg/interp_priv.h"

#define DO(name) void do_##name(struct run *x, const struct uop *u)
#define ALL FL_ARITH

static int width(const struct uop *u) { return 8 * u->size; }
static bool msb(uint64_t v, int w) { return v >> (w - 1) & 1; }
static uint64_t cut(uint64_t v, int w) { return v & (~0ull >> (64 - w)); }
static bool carry(const struct run *x) { return get_flags(x) & FL_CF; }

static uint32_t flag_if(bool on, uint32_t flag) { return on ? flag : 0; }

/* SF, ZF, PF of a result of w bits. */
static uint32_t szp(uint64_t r, int w)
{
	return flag_if(msb(r, w), FL_SF) | flag_if(!cut(r, w), FL_ZF) |
	       flag_if(!__builtin_parity((unsigned)r & 0xff), FL_PF);
}

/* ---- addition, logic ---- */

static uint64_t add(struct run *x, uint64_t a, uint64_t b, bool cin, int w, uint32_t mask)
{
	uint64_t r = cut(a + b + cin, w);

	set_flags(x, mask, szp(r, w) | ((uint32_t)(a ^ b ^ r) & FL_AF) |
		  flag_if(msb((a & b) | ((a | b) & ~r), w), FL_CF) |
		  flag_if(msb((a ^ r) & (b ^ r), w), FL_OF));
	return r;
}

static uint64_t sub(struct run *x, uint64_t a, uint64_t b, bool cin, int w, uint32_t mask)
{
	uint64_t r = cut(a - b - cin, w);

	set_flags(x, mask, szp(r, w) | ((uint32_t)(a ^ b ^ r) & FL_AF) |
		  flag_if(msb((~a & b) | ((~a | b) & r), w), FL_CF) |
		  flag_if(msb((a ^ b) & (a ^ r), w), FL_OF));
	return r;
}

static uint64_t logic(struct run *x, uint64_t r, int w)
{
	set_flags(x, ALL, szp(r, w));
	return r;
}

DO(add) { wr_d(x, u, add(x, rd_a(x, u), rd_b(x, u), false, width(u), ALL)); }
DO(adc) { wr_d(x, u, add(x, rd_a(x, u), rd_b(x, u), carry(x), width(u), ALL)); }
DO(sub) { wr_d(x, u, sub(x, rd_a(x, u), rd_b(x, u), false, width(u), ALL)); }
DO(sbb) { wr_d(x, u, sub(x, rd_a(x, u), rd_b(x, u), carry(x), width(u), ALL)); }
DO(cmp) { sub(x, rd_a(x, u), rd_b(x, u), false, width(u), ALL); }
DO(and) { wr_d(x, u, logic(x, rd_a(x, u) & rd_b(x, u), width(u))); }
DO(or) { wr_d(x, u, logic(x, rd_a(x, u) | rd_b(x, u), width(u))); }
DO(xor) { wr_d(x, u, logic(x, rd_a(x, u) ^ rd_b(x, u), width(u))); }
DO(test) { logic(x, rd_a(x, u) & rd_b(x, u), width(u)); }
DO(inc) { wr_d(x, u, add(x, rd_a(x, u), 1, false, width(u), ALL & ~FL_CF)); }
DO(dec) { wr_d(x, u, sub(x, rd_a(x, u), 1, false, width(u), ALL & ~FL_CF)); }
DO(neg) { wr_d(x, u, sub(x, 0, rd_a(x, u), false, width(u), ALL)); }

/* ADCX, ADOX: carry through one flag. */
static void add_through(struct run *x, const struct uop *u, uint32_t flag)
{
	bool cin = get_flags(x) & flag;
	uint64_t a = rd_a(x, u), b = rd_b(x, u), r = cut(a + b + cin, width(u));

	set_flags(x, flag, flag_if(msb((a & b) | ((a | b) & ~r), width(u)), flag));
	wr_d(x, u, r);
}

DO(adcx) { add_through(x, u, FL_CF); }
DO(adox) { add_through(x, u, FL_OF); }

/* ---- shifts ---- */

/* The count, masked as for the size. */
static unsigned count(struct run *x, const struct uop *u)
{
	uint64_t n = u->b == OP_IMM ? (uint64_t)u->imm : rd(x, u, u->b, 1);

	return n & (u->size == 8 ? 63 : 31);
}

static uint64_t shl_wide(uint64_t a, unsigned n) { return n > 63 ? 0 : a << n; }
static uint64_t shr_wide(uint64_t a, unsigned n) { return n > 63 ? 0 : a >> n; }

DO(shl)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t a = rd_a(x, u), r = cut(a << n, w);

	if (n) {
		bool c = n <= (unsigned)w && a >> (w - (int)n) & 1;
		set_flags(x, ALL, szp(r, w) | flag_if(c, FL_CF) | flag_if(msb(r, w) != c, FL_OF));
	}
	wr_d(x, u, r);
}

DO(shr)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t a = rd_a(x, u), r = a >> n;

	if (n)
		set_flags(x, ALL, szp(r, w) | flag_if(a >> (n - 1) & 1, FL_CF) | flag_if(msb(a, w), FL_OF));
	wr_d(x, u, r);
}

DO(sar)
{
	unsigned n = count(x, u);
	int w = width(u);
	int64_t a = sext(rd_a(x, u), w);
	uint64_t r = cut((uint64_t)(a >> n), w);

	if (n)
		set_flags(x, ALL, szp(r, w) | flag_if(a >> (n - 1) & 1, FL_CF));
	wr_d(x, u, r);
}

static uint64_t rotl(uint64_t a, unsigned n, int w)
{
	n %= (unsigned)w;
	return n ? cut(a << n | a >> ((unsigned)w - n), w) : a;
}

DO(rol)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t r = rotl(rd_a(x, u), n, w);

	if (n)
		set_flags(x, FL_CF | FL_OF, flag_if(r & 1, FL_CF) | flag_if(msb(r, w) != (r & 1), FL_OF));
	wr_d(x, u, r);
}

DO(ror)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t r = rotl(rd_a(x, u), (unsigned)w - n % (unsigned)w, w);

	if (n)
		set_flags(x, FL_CF | FL_OF, flag_if(msb(r, w), FL_CF) | flag_if(msb(r, w) != msb(r << 1, w), FL_OF));
	wr_d(x, u, r);
}

DO(rcl)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t r = rd_a(x, u);
	bool c = carry(x);

	for (unsigned i = 0; i < n; i++) {
		bool out = msb(r, w);
		r = cut(r << 1 | c, w);
		c = out;
	}
	if (n)
		set_flags(x, FL_CF | FL_OF, flag_if(c, FL_CF) | flag_if(msb(r, w) != c, FL_OF));
	wr_d(x, u, r);
}

DO(rcr)
{
	unsigned n = count(x, u);
	int w = width(u);
	uint64_t r = rd_a(x, u);
	bool c = carry(x);

	for (unsigned i = 0; i < n; i++) {
		bool out = r & 1;
		r = r >> 1 | (uint64_t)c << (w - 1);
		c = out;
	}
	if (n)
		set_flags(x, FL_CF | FL_OF, flag_if(c, FL_CF) | flag_if(msb(r, w) != msb(r << 1, w), FL_OF));
	wr_d(x, u, r);
}

static unsigned double_count(struct run *x, const struct uop *u)
{
	return (u->c ? x->c->regs[RCX] : (uint64_t)u->imm) & (u->size == 8 ? 63 : 31);
}

static void double_flags(struct run *x, uint64_t a, uint64_t r, bool c, int w)
{
	set_flags(x, ALL, szp(r, w) | flag_if(c, FL_CF) | flag_if(msb(a ^ r, w), FL_OF));
}

/* With 16 bits a count may exceed the width; then the destination comes round again. */
DO(shld)
{
	unsigned n = double_count(x, u), w = (unsigned)width(u);
	uint64_t a = rd_a(x, u), b = rd_b(x, u), r = a;
	bool c = false;

	if (n > w) {
		r = cut(b << (n - w) | a >> (2 * w - n), (int)w);
		c = b >> (2 * w - n) & 1;
	} else if (n) {
		r = cut(shl_wide(a, n) | b >> (w - n), (int)w);
		c = a >> (w - n) & 1;
	}
	if (n)
		double_flags(x, a, r, c, (int)w);
	wr_d(x, u, r);
}

DO(shrd)
{
	unsigned n = double_count(x, u), w = (unsigned)width(u);
	uint64_t a = rd_a(x, u), b = rd_b(x, u), r = a;
	bool c = false;

	if (n > w) {
		r = cut(b >> (n - w) | a << (2 * w - n), (int)w);
		c = b >> (n - w - 1) & 1;
	} else if (n) {
		r = cut(shr_wide(a, n) | b << (w - n), (int)w);
		c = a >> (n - 1) & 1;
	}
	if (n)
		double_flags(x, a, r, c, (int)w);
	wr_d(x, u, r);
}

/* ---- multiply and divide ---- */

static void mul_flags(struct run *x, bool overflow)
{
	set_flags(x, FL_CF | FL_OF, overflow ? FL_CF | FL_OF : 0);
}

/* RDX:RAX, or AX for bytes. */
static void put_product(struct run *x, int size, uint64_t lo, uint64_t hi)
{
	if (size == 1) {
		wr(x, RAX, 2, (hi & 0xff) << 8 | (lo & 0xff));
		return;
	}
	wr(x, RAX, size, lo);
	wr(x, RDX, size, hi);
}

DO(mul1)
{
	unsigned __int128 p = (unsigned __int128)rd(x, u, RAX, u->size) * rd_a(x, u);
	uint64_t hi = (uint64_t)(p >> width(u));

	put_product(x, u->size, (uint64_t)p, hi);
	mul_flags(x, cut(hi, width(u)));
}

DO(imul1)
{
	int w = width(u);
	__int128 p = (__int128)sext(rd(x, u, RAX, u->size), w) * sext(rd_a(x, u), w);

	put_product(x, u->size, (uint64_t)p, (uint64_t)(p >> w));
	mul_flags(x, p != sext((uint64_t)p, w));
}

DO(imul2)
{
	int w = width(u);
	__int128 p = (__int128)sext(rd_a(x, u), w) * sext(rd_b(x, u), w);

	wr_d(x, u, (uint64_t)p);
	mul_flags(x, p != sext((uint64_t)p, w));
}

DO(mulx)
{
	unsigned __int128 p = (unsigned __int128)rd(x, u, RDX, u->size) * rd_a(x, u);

	wr(x, u->b, u->size, (uint64_t)p);
	wr_d(x, u, (uint64_t)(p >> width(u)));
}

static unsigned __int128 dividend(struct run *x, int size)
{
	if (size == 1)
		return rd(x, NULL, RAX, 2);
	return (unsigned __int128)rd(x, NULL, RDX, size) << (8 * size) | rd(x, NULL, RAX, size);
}

static void put_quotient(struct run *x, int size, uint64_t q, uint64_t r)
{
	if (size == 1) {
		wr(x, RAX, 2, (r & 0xff) << 8 | (q & 0xff));
		return;
	}
	wr(x, RAX, size, q);
	wr(x, RDX, size, r);
}

DO(div1)
{
	unsigned __int128 n = dividend(x, u->size);
	uint64_t d = rd_a(x, u);

	if (!d || n / d >> width(u))
		cpu_raise(x->c, EXC_DE);
	put_quotient(x, u->size, (uint64_t)(n / d), (uint64_t)(n % d));
}

/* By magnitudes: the quotient is cut towards zero, the remainder has the dividend's sign. */
DO(idiv1)
{
	int w = width(u);
	unsigned __int128 n = dividend(x, u->size), q, r;
	int64_t sd = sext(rd_a(x, u), w);
	uint64_t d = sd < 0 ? -(uint64_t)sd : (uint64_t)sd;
	bool neg_n = n >> (2 * w - 1) & 1, neg_q = neg_n != (sd < 0);

	if (neg_n)
		n = -n & (~(unsigned __int128)0 >> (128 - 2 * w));
	if (!d)
		cpu_raise(x->c, EXC_DE);
	q = n / d;
	r = n % d;
	if (q > (1ull << (w - 1)) - !neg_q)
		cpu_raise(x->c, EXC_DE);
	put_quotient(x, u->size, (uint64_t)(neg_q ? -q : q), (uint64_t)(neg_n ? -r : r));
}

/* ---- bits ---- */

static uint64_t bit(struct run *x, const struct uop *u)
{
	return 1ull << (rd_b(x, u) & (uint64_t)(width(u) - 1));
}

static uint64_t tested(struct run *x, uint64_t a, uint64_t m)
{
	set_flags(x, FL_CF, flag_if(a & m, FL_CF));
	return a;
}

DO(bt) { tested(x, rd_a(x, u), bit(x, u)); }
DO(bts) { uint64_t m = bit(x, u); wr_d(x, u, tested(x, rd_a(x, u), m) | m); }
DO(btr) { uint64_t m = bit(x, u); wr_d(x, u, tested(x, rd_a(x, u), m) & ~m); }
DO(btc) { uint64_t m = bit(x, u); wr_d(x, u, tested(x, rd_a(x, u), m) ^ m); }

static unsigned lowest(uint64_t v, int w) { return v ? (unsigned)__builtin_ctzll(v) : (unsigned)w; }
static unsigned highest(uint64_t v) { return 63u - (unsigned)__builtin_clzll(v); }

DO(bsf)
{
	uint64_t b = rd_b(x, u);

	set_flags(x, FL_ZF, flag_if(!b, FL_ZF));
	if (b)
		wr_d(x, u, lowest(b, 64));
}

DO(bsr)
{
	uint64_t b = rd_b(x, u);

	set_flags(x, FL_ZF, flag_if(!b, FL_ZF));
	if (b)
		wr_d(x, u, highest(b));
}

static void put_zeros(struct run *x, const struct uop *u, unsigned n)
{
	set_flags(x, FL_CF | FL_ZF, flag_if(n == (unsigned)width(u), FL_CF) | flag_if(!n, FL_ZF));
	wr_d(x, u, n);
}

DO(tzcnt) { put_zeros(x, u, lowest(rd_a(x, u), width(u))); }

DO(lzcnt)
{
	uint64_t a = rd_a(x, u);

	put_zeros(x, u, a ? (unsigned)width(u) - 1 - highest(a) : (unsigned)width(u));
}

DO(popcnt)
{
	uint64_t a = rd_a(x, u);

	set_flags(x, ALL, flag_if(!a, FL_ZF));
	wr_d(x, u, (unsigned)__builtin_popcountll(a));
}

/* Polynomial 11EDC6F41, bits reflected. */
DO(crc32)
{
	uint32_t crc = (uint32_t)rd(x, u, u->a, 4);
	uint64_t b = rd(x, u, u->b, u->c);

	for (int i = 0; i < 8 * u->c; i++, b >>= 1) {
		bool out = (crc ^ b) & 1;
		crc = crc >> 1 ^ (out ? 0x82f63b78 : 0);
	}
	wr_d(x, u, crc);
}

/* SF, ZF of the result, OF = 0, CF as given: the BMI instructions. */
static void put_bmi(struct run *x, const struct uop *u, uint64_t r, bool c)
{
	set_flags(x, FL_SF | FL_ZF | FL_CF | FL_OF, (szp(r, width(u)) & (FL_SF | FL_ZF)) | flag_if(c, FL_CF));
	wr_d(x, u, r);
}

DO(andn) { put_bmi(x, u, cut(~rd_a(x, u) & rd_b(x, u), width(u)), false); }

DO(bextr)
{
	uint64_t a = rd_a(x, u), b = rd_b(x, u), start = b & 0xff, len = b >> 8 & 0xff;
	uint64_t r = shr_wide(a, (unsigned)start);

	if (len < 64)
		r &= BIT(len) - 1;
	put_bmi(x, u, r, false);
}

DO(blsi) { uint64_t a = rd_a(x, u); put_bmi(x, u, a & -a, a); }
DO(blsr) { uint64_t a = rd_a(x, u); put_bmi(x, u, a & (a - 1), !a); }

DO(blsmsk)
{
	uint64_t a = rd_a(x, u);

	put_bmi(x, u, cut(a ^ (a - 1), width(u)), !a);
}

DO(bzhi)
{
	uint64_t a = rd_a(x, u), n = rd_b(x, u) & 0xff;

	if (n < (uint64_t)width(u))
		put_bmi(x, u, a & (BIT(n) - 1), false);
	else
		put_bmi(x, u, a, true);
}

DO(pdep)
{
	uint64_t a = rd_a(x, u), m = rd_b(x, u), r = 0;

	for (; m; m &= m - 1, a >>= 1)
		if (a & 1)
			r |= m & -m;
	wr_d(x, u, r);
}

DO(pext)
{
	uint64_t a = rd_a(x, u), m = rd_b(x, u), r = 0;

	for (int i = 0; m; m &= m - 1, i++)
		if (a & m & -m)
			r |= BIT(i);
	wr_d(x, u, r);
}

DO(rorx)
{
	unsigned w = (unsigned)width(u);

	wr_d(x, u, rotl(rd_a(x, u), w - (unsigned)((uint64_t)u->imm % w), (int)w));
}

DO(sarx) { wr_d(x, u, (uint64_t)(sext(rd_a(x, u), width(u)) >> count(x, u))); }
DO(shlx) { wr_d(x, u, rd_a(x, u) << count(x, u)); }
DO(shrx) { wr_d(x, u, rd_a(x, u) >> count(x, u)); }

/* ---- read-modify-write with implicit registers ---- */

DO(cmpxchg)
{
	uint64_t a = rd_a(x, u), b = rd_b(x, u), acc = rd(x, u, RAX, u->size);

	sub(x, acc, a, false, width(u), ALL);
	if (acc == a)
		wr_d(x, u, b);
	else		/* d is not written, so that its upper half stays */
		wr(x, RAX, u->size, a);
}

DO(xadd)
{
	uint64_t a = rd_a(x, u), b = rd_b(x, u), r = add(x, a, b, false, width(u), ALL);

	wr(x, u->b, u->size, a);
	wr_d(x, u, r);
}

/* Pairs of registers of n bytes against M. */
static void compare_pair(struct run *x, int n)
{
	uint64_t lo = ld_n(x->m, n), hi = ld_n(x->m + n, n);
	bool equal = lo == rd(x, NULL, RAX, n) && hi == rd(x, NULL, RDX, n);

	set_flags(x, FL_ZF, flag_if(equal, FL_ZF));
	if (equal) {
		st_n(x->m, n, x->c->regs[RBX]);
		st_n(x->m + n, n, x->c->regs[RCX]);
	} else {
		wr(x, RAX, n, lo);
		wr(x, RDX, n, hi);
	}
}

DO(cmpxchg8b) { (void)u; compare_pair(x, 4); }
DO(cmpxchg16b) { (void)u; compare_pair(x, 8); }

/* ---- flags ---- */

DO(clc) { (void)u; set_flags(x, FL_CF, 0); }
DO(stc) { (void)u; set_flags(x, FL_CF, FL_CF); }
DO(cmc) { (void)u; set_flags(x, FL_CF, ~get_flags(x)); }
DO(lahf) { (void)u; wr(x, OP_AH, 1, x->c->cc >> 8); }
DO(getfl) { wr(x, u->d, 4, cpu_get_eflags(x->c)); }
DO(putfl) { set_flags(x, ALL, (uint32_t)rd_a(x, u)); }
DO(andfl) { x->c->eflags &= (uint32_t)u->imm; }
DO(orfl) { x->c->eflags |= (uint32_t)u->imm; }

DO(sahf)
{
	set_flags(x, ALL & ~FL_OF, (uint32_t)rd(x, u, OP_AH, 1));
}
