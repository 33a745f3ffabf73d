// Packed weights in bf16: a texel is two quads, the even elements low; each is the upper half of an f32.
alias Weights = texture_storage_2d<rgba32uint, read>;
const QUADS_PER_TEXEL = 2u;
fn w_quads(at: u32, column: u32) -> array<vec4f, 2> {
    let texel = textureLoad(w, vec2u(at, column));
    let even = bitcast<vec4f>(texel << vec4u(16u));
    let odd = bitcast<vec4f>(texel & vec4u(0xffff0000u));
    return array<vec4f, 2>(vec4f(even.x, odd.x, even.y, odd.y), vec4f(even.z, odd.z, even.w, odd.w));
}
