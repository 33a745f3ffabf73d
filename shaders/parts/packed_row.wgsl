// A table of weights that is packed as src/gpu/pack.rs says, read by its rows; WG is the lanes' number there, too. The
// header declares it, and how a texel of PER_TEXEL neighbours gives one of them.

// Where a row's first texel lies; those that follow are WG texels apart.
fn word_row(row: u32) -> vec2u {
    let tile = row / (8u * WG);
    let tiles_high = textureDimensions(word).y / 8u;
    let wide = (c.cols + 4u * WG - 1u) / (4u * WG) * 4u * WG / PER_TEXEL * WG;
    let x = tile / tiles_high * wide + row / 4u % WG;
    return vec2u(x, tile % tiles_high * 8u + row / (4u * WG) % 2u * 4u + row % 4u);
}

fn word_of(row: vec2u, j: u32) -> f32 {
    return element_of(textureLoad(word, vec2u(row.x + j / PER_TEXEL * WG, row.y)), j % PER_TEXEL);
}
