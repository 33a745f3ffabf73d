// Powers of e are powers of two of so many times the exponent.
const LOG2_E = 1.4426950408889634;

// 2^x for x up to 16, within an ulp; 0 below -126. By hand, since a driver's exp is slow: a polynomial on the fraction,
// the whole part added to the exponent.
fn power_of_two(x: f32) -> f32 {
    let whole = round(x);
    let f = x - whole;
    var p = 0.000153706904;
    p = fma(p, f, 0.00133999507);
    p = fma(p, f, 0.00961837359);
    p = fma(p, f, 0.0555032864);
    p = fma(p, f, 0.240226477);
    p = fma(p, f, 0.693147182);
    p = fma(p, f, 1.0);
    let scaled = bitcast<f32>(bitcast<u32>(p) + (bitcast<u32>(whole + 12582912.0) << 23u));
    return select(select(scaled, 0.0, x < -126.0), x, is_nan(x));
}
