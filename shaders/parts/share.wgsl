// Shows every invocation's value to all; `shared_at` may be called until `share_end`.
fn share(value: f32, in: Invocation) {
    scratch[in.local] = value;
    workgroupBarrier();
}

fn shared_at(value: f32, i: u32) -> f32 {
    return scratch[i];
}

fn share_end() {
    workgroupBarrier();
}
