// 2^x for x up to 16, within 2e-7; 0 below -126. By hand, since a driver's exp is slow: a polynomial on the fraction,
// the whole part added to the exponent.
fn power_of_two(x: f32) -> f32 {
    let whole = round(x);
    let f = x - whole;
    var p = 0.0013395285;
    p = fma(p, f, 0.009618283);
    p = fma(p, f, 0.05550327);
    p = fma(p, f, 0.24022648);
    p = fma(p, f, 0.6931472);
    p = fma(p, f, 1.0);
    let scaled = bitcast<f32>(bitcast<u32>(p) + (bitcast<u32>(whole + 12582912.0) << 23u));
    return select(select(scaled, 0.0, x < -126.0), x, is_nan(x));
}
