// Finite, since WGSL may assume that there are no infinities; far below any score.
const NEG_LARGE = -3.0e38;

// By bits: `x != x` may be folded away.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// `max` may drop a NaN; this keeps it, from either side.
fn max_nan(a: f32, b: f32) -> f32 {
    return select(select(b, a, a > b), a, is_nan(a));
}
