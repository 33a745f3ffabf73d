// W [N, K]: four neighbours in depth of column n of the product, zeros past the end of the depth.
fn w_four(w0: u32, n: u32, k: u32) -> vec4f {
    return w_quad(w0 + n * c.w_stride, k, c.k);
}
