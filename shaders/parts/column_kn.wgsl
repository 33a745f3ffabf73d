// W [K, N]: four neighbours in depth of column n of the product, zeros past the end of the depth.
fn w_four(w0: u32, n: u32, k: u32) -> vec4f {
    let four = vec4u(k, k + 1u, k + 2u, k + 3u);
    let i = w0 + n + min(four, vec4u(c.k - 1u)) * c.w_stride;
    return select(vec4f(0.0), vec4f(w_at(i.x), w_at(i.y), w_at(i.z), w_at(i.w)), four < vec4u(c.k));
}
