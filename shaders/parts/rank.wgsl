// Numbers as integers in their order: equals are equal (0 and -0 too), a NaN is above all.
fn rank_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    let rank = select(0x80000000u + size, 0x80000000u - size, bits > 0x7fffffffu);
    return select(rank, 0xffffffffu, size > 0x7f800000u);
}

// A rank and a column: below every number, after every column.
const NOTHING = vec2u(0u, 0xffffffffu);

// The one of higher rank; of equals the one of the lower column.
fn better(a: vec2u, b: vec2u) -> vec2u {
    return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}
