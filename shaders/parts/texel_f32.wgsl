// Packed weights in f32: a texel is a quad.
alias Weights = texture_storage_2d<rgba32float, read>;
const QUADS_PER_TEXEL = 1u;
fn w_quads(at: u32, column: u32) -> array<vec4f, 2> {
    return array<vec4f, 2>(textureLoad(w, vec2u(at, column)), textureLoad(w, vec2u(at + WG, column)));
}
