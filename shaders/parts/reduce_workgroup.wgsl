// Reductions over a workgroup of WG invocations by a tree in workgroup memory. Every invocation gets the result, and
// the order is fixed: same input, same bits.
struct Invocation {
    @builtin(local_invocation_index) local: u32,
}

var<workgroup> scratch: array<f32, WG>;

fn reduce_sum(value: f32, in: Invocation) -> f32 {
    scratch[in.local] = value;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half = half / 2u) {
        if (in.local < half) { scratch[in.local] += scratch[in.local + half]; }
        workgroupBarrier();
    }
    let total = scratch[0];
    workgroupBarrier();
    return total;
}

fn reduce_max(value: f32, in: Invocation) -> f32 {
    scratch[in.local] = value;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half = half / 2u) {
        if (in.local < half) { scratch[in.local] = max_nan(scratch[in.local], scratch[in.local + half]); }
        workgroupBarrier();
    }
    let top = scratch[0];
    workgroupBarrier();
    return top;
}

var<workgroup> scratch4: array<vec4f, WG>;

// Four sums at once.
fn reduce_sum4(value: vec4f, in: Invocation) -> vec4f {
    scratch4[in.local] = value;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half = half / 2u) {
        if (in.local < half) { scratch4[in.local] += scratch4[in.local + half]; }
        workgroupBarrier();
    }
    let total = scratch4[0];
    workgroupBarrier();
    return total;
}
