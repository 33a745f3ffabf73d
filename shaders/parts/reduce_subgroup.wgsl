// Reductions over a workgroup of WG invocations: within each subgroup first, then over the subgroups in their order.
// Right for every subgroup width. `subgroupMax` may drop a NaN, so a maximum that met one is replaced by the sum of the
// values, which is NaN.
struct Invocation {
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

var<workgroup> scratch: array<f32, WG>;

fn reduce_sum(value: f32, in: Invocation) -> f32 {
    let part = subgroupAdd(value);
    if (in.lane == 0u) { scratch[in.subgroup] = part; }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < min(in.subgroups, WG); i++) { total += scratch[i]; }
    workgroupBarrier();
    return total;
}

fn reduce_max(value: f32, in: Invocation) -> f32 {
    let part = select(subgroupMax(value), subgroupAdd(value), subgroupAny(is_nan(value)));
    if (in.lane == 0u) { scratch[in.subgroup] = part; }
    workgroupBarrier();
    var top = scratch[0];
    for (var i = 1u; i < min(in.subgroups, WG); i++) { top = max_nan(top, scratch[i]); }
    workgroupBarrier();
    return top;
}

var<workgroup> scratch4: array<vec4f, WG>;

// Four sums at once.
fn reduce_sum4(value: vec4f, in: Invocation) -> vec4f {
    let part = subgroupAdd(value);
    if (in.lane == 0u) { scratch4[in.subgroup] = part; }
    workgroupBarrier();
    var total = vec4f(0.0);
    for (var i = 0u; i < min(in.subgroups, WG); i++) { total += scratch4[i]; }
    workgroupBarrier();
    return total;
}
