// Finite, since WGSL may assume that there are no infinities; far below any score.
const NEG_LARGE = -3.0e38;

// How often a loop turns, where there is something to do at all, which is always so. At a kernel's first run Mesa's software
// driver builds bare constants that loops end at into its code, to see whether it gets much shorter, and starts again.
fn turns_of(n: u32, something: u32) -> u32 {
    return select(n, 0u, something == 0u);
}

// By bits: `x != x` may be folded away.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// `max` may drop a NaN; this keeps it, from either side.
fn max_nan(a: f32, b: f32) -> f32 {
    return select(select(b, a, a > b), a, is_nan(a));
}
