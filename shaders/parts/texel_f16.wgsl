// Packed weights in f16: a texel is two quads, the even elements low.
alias Weights = texture_storage_2d<rgba32uint, read>;
const QUADS_PER_TEXEL = 2u;
fn w_quads(at: u32, column: u32) -> array<vec4f, 2> {
    let texel = textureLoad(w, vec2u(at, column));
    return array<vec4f, 2>(
        vec4f(unpack2x16float(texel.x), unpack2x16float(texel.y)),
        vec4f(unpack2x16float(texel.z), unpack2x16float(texel.w)),
    );
}
