// The best of the invocations' ranks and columns (rank.wgsl), where the workgroup is one subgroup.
fn reduce_best(best: vec2u, in: Invocation) -> vec2u {
    let top = subgroupMax(best.x);
    return vec2u(top, subgroupMin(select(NOTHING.y, best.y, best.x == top)));
}
