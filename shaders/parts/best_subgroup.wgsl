// The best of the invocations' ranks and columns (rank.wgsl): within each subgroup first, then over the subgroups.
var<workgroup> scratch_best: array<vec2u, WG>;

fn reduce_best(best: vec2u, in: Invocation) -> vec2u {
    let top = subgroupMax(best.x);
    let column = subgroupMin(select(NOTHING.y, best.y, best.x == top));
    if (in.lane == 0u) { scratch_best[in.subgroup] = vec2u(top, column); }
    workgroupBarrier();
    var all = scratch_best[0];
    for (var i = 1u; i < min(in.subgroups, WG); i++) { all = better(all, scratch_best[i]); }
    workgroupBarrier();
    return all;
}
