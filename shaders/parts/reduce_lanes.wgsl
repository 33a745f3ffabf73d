// Reductions where the workgroup is one subgroup of WG lanes: no workgroup memory, no barrier.
struct Invocation {
    @builtin(subgroup_invocation_id) local: u32,
}

fn reduce_sum(value: f32, in: Invocation) -> f32 {
    return subgroupAdd(value);
}

// Four sums at once.
fn reduce_sum4(value: vec4f, in: Invocation) -> vec4f {
    return subgroupAdd(value);
}
