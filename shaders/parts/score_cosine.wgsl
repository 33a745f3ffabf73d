// Similarity of a query and a key from their product and squared lengths; a length counts as at least 1e-8.
const COSINE = true;
fn similarity(product: f32, q_square: f32, k_square: f32) -> f32 {
    return c.scale * product / (max_nan(sqrt(q_square), 1.0e-8) * max_nan(sqrt(k_square), 1.0e-8));
}
