/* rhea-img from outside: what scripts written for qemu-img rely on. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[32], out[8192];

static void setup(void)
{
	char here[512], *program = NULL;
	strcpy(dir, "/tmp/rhea-img-XXXXXX");
	cr_assert(mkdtemp(dir));
	cr_assert(getcwd(here, sizeof(here)) && asprintf(&program, "%s/rhea-img", here) > 0);
	setenv("I", program, 1);
	setenv("D", dir, 1);
	free(program);
}
static void teardown(void)
{
	char line[64];
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	cr_expect_eq(system(line), 0);
}
TestSuite(img, .init = setup, .fini = teardown);

/* A shell line in a folder of its own; its status, and its output in `out`. */
static int run(const char *line)
{
	char all[2048];
	snprintf(all, sizeof(all), "cd $D && { %s\n} 2>&1", line);
	FILE *p = popen(all, "r");
	size_t n = fread(out, 1, sizeof(out) - 1, p);
	out[n] = 0;
	return WEXITSTATUS(pclose(p));
}

static void says(const char *line, int status, const char *text)
{
	int got = run(line);
	cr_expect_eq(got, status, "%s: status %d\n%s", line, got, out);
	cr_expect(strstr(out, text), "%s: no '%s' in\n%s", line, text, out);
}

/* An image with some contents: d.raw, 3 MiB. */
static void make_raw(void)
{
	cr_assert_eq(run("seq 1 200000 >d.raw && truncate -s 3M d.raw"), 0, "%s", out);
}

Test(img, create_and_info_have_the_usual_layout)
{
	says("$I create -f qcow2 -o cluster_size=4k,lazy_refcounts=on a.q 1.5G", 0,
	     "Formatting 'a.q', fmt=qcow2 cluster_size=4096 extended_l2=off compression_type=zlib size=1610612736 "
	     "lazy_refcounts=on refcount_bits=16\n");
	says("$I info a.q", 0, "image: a.q\nfile format: qcow2\nvirtual size: 1.5 GiB (1610612736 bytes)\n");
	says("$I info --output=json a.q", 0, "\"virtual-size\": 1610612736,");
	says("$I info a.q", 0, "lazy refcounts: true");
	says("$I create -q -f qcow2 -b a.q b.q", 1, "backing format");
	says("$I create -q -f qcow2 -b a.q -F qcow2 b.q && $I info b.q", 0, "backing file: a.q\nbacking file format: qcow2\n");
}

Test(img, conversions_and_back_are_identical)
{
	make_raw();
	says("for o in cluster_size=512 cluster_size=64k cluster_size=2M compat=0.10 refcount_bits=1; do for c in '' -c; do "
	     "$I convert $c -O qcow2 -o $o d.raw a.q && $I check -q a.q && $I compare -f raw d.raw a.q && "
	     "$I convert -O raw a.q e.raw && cmp d.raw e.raw || echo bad $o $c; done; done | sort -u", 0, "");
	cr_expect_str_eq(out, "Images are identical.\n", "%s", out);
}

Test(img, compare_says_where)
{
	make_raw();
	says("cp d.raw e.raw; printf x | dd of=e.raw bs=1 seek=1000 conv=notrunc 2>/dev/null; $I compare d.raw e.raw", 1,
	     "Content mismatch at offset 512!\n");
	says("truncate -s 4M d.raw; cp d.raw e.raw; truncate -s 5M e.raw; $I compare d.raw e.raw", 0,
	     "Warning: Image size mismatch!\nImages are identical.\n");
	says("$I compare -s d.raw e.raw", 1, "size mismatch");
	says("$I compare d.raw nothing", 2, "nothing");
}

Test(img, commit_rebase_and_snapshots_keep_contents)
{
	make_raw();
	says("$I convert -O qcow2 d.raw base.q; $I create -q -f qcow2 other.q 3M; mkdir s;"
	     "$I create -q -f qcow2 -b ../base.q -F qcow2 s/top.q; $I rebase -b ../other.q -F qcow2 s/top.q && "
	     "$I compare d.raw s/top.q && $I check -q s/top.q", 0, "identical");
	says("$I commit s/top.q && $I compare d.raw other.q && $I compare d.raw s/top.q", 0, "Image committed.");
	says("$I snapshot -c one other.q && $I snapshot -l other.q", 0,
	     "Snapshot list:\nID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\n1         one ");
	says("$I convert -l one -O raw other.q e.raw && cmp d.raw e.raw && $I snapshot -d one other.q && "
	     "$I check other.q", 0, "No errors");
	says("$I rebase -u -b '' s/top.q && $I info s/top.q | grep -c backing", 1, "0");
}

Test(img, map_and_resize)
{
	says("$I create -q -f qcow2 a.q 1M; $I map --output=json a.q", 0,
	     "[{ \"start\": 0, \"length\": 1048576, \"depth\": 0, \"present\": false, \"zero\": true, \"data\": false}]\n");
	says("$I resize a.q +1M", 0, "Image resized.\n");
	says("$I resize a.q -1M", 1, "--shrink");
	says("$I resize --shrink a.q -1M && $I info a.q", 0, "1 MiB (1048576 bytes)");
}

Test(img, leaks_are_found_and_repaired)
{
	says("$I create -q -f qcow2 a.q 1M; printf '\\0\\7' | dd of=a.q bs=1 seek=131088 conv=notrunc 2>/dev/null; truncate "
	     "-s 1M a.q; $I check a.q", 3, "1 leaked clusters were found on the image.\n");
	says("$I check -r leaks a.q", 0, "Double checking the fixed image now...\nNo errors were found");
	says("$I check a.q", 0, "No errors");
	says("truncate -s 1M r; $I check r", 63, "does not support checks");
}

Test(img, mistakes_are_named)
{
	says("$I creat x", 1, "did you mean create?");
	says("$I create -f vdi x 1M", 1, "'vdi'");
	says("$I create x 1Q", 1, "Invalid image size '1Q'");
	says("$I create -f qcow2 -o cluster_size=3k x 1M", 1, "power of two");
	says("$I create -f qcow2 -o cluster_sise=4k x 1M", 1, "cluster_sise");
	says("truncate -s 1M r; $I convert -O qcow2 r r", 1, "in use");
	says("$I info nothing", 1, "'nothing': No such file");
}

Test(img, measure_tells_what_an_image_needs)
{
	says("$I measure -O qcow2 --size 1G", 0, "required size: 393216\nfully allocated size: 1074135040\n");
	says("$I measure --output=json -O qcow2 -o refcount_bits=1 --size 50G", 0,
	     "{\n    \"required\": 6881280,\n    \"fully-allocated\": 53693972480\n}\n");
	make_raw();
	says("$I convert -O qcow2 d.raw a.q; test $($I measure -O qcow2 a.q | sed -n 's/required size: //p') = "
	     "$(stat -c %s a.q) && echo equal", 0, "equal");
	says("$I measure -O qcow2", 1, "--size or a file");
}

Test(img, bench_reads_and_writes)
{
	make_raw();
	says("$I bench -c 50 -d 4 d.raw", 0, "Sending 50 read requests, 4096 bytes each, 4 in parallel");
	says("$I create -q -f qcow2 b.q 1M; $I bench -w -c 300 -d 8 --flush-interval 10 b.q && $I check -q b.q", 0,
	     "Run completed in");
	says("$I bench -s 100 d.raw", 1, "multiples of 512");
}

Test(img, any_number_of_threads_converts_alike)
{
	make_raw();
	says("$I convert -c -m 1 -O qcow2 d.raw a.q; $I convert -c -m 5 -O qcow2 d.raw b.q; cmp a.q b.q && echo same", 0,
	     "same");
	says("$I convert -W -m 5 -O qcow2 d.raw c.q && $I compare d.raw c.q", 0, "identical");
	says("$I convert -m 99 d.raw e", 1, "from 1 to 16");
}
