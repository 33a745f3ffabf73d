// Two elements to a word, the even one low.
fn half_of(word: u32, i: u32) -> f32 {
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, (i & 1u) == 1u);
}

fn bfloat_of(word: u32, i: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (i & 1u) == 1u));
}

fn halves_of(pair: vec2u) -> vec4f {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

fn bfloats_of(pair: vec2u) -> vec4f {
    return bitcast<vec4f>(vec4u(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}
