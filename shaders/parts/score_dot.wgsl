// Similarity of a query and a key from their product; squared lengths are not needed.
const COSINE = false;
fn similarity(product: f32, q_square: f32, k_square: f32) -> f32 {
    return c.scale * product;
}
