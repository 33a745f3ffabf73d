// The best of the invocations' ranks and columns (rank.wgsl), by a tree in workgroup memory.
var<workgroup> scratch_best: array<vec2u, WG>;

fn reduce_best(best: vec2u, in: Invocation) -> vec2u {
    scratch_best[in.local] = best;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half = half / 2u) {
        if (in.local < half) { scratch_best[in.local] = better(scratch_best[in.local], scratch_best[in.local + half]); }
        workgroupBarrier();
    }
    let all = scratch_best[0];
    workgroupBarrier();
    return all;
}
