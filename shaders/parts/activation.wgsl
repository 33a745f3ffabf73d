// Activations. Each keeps a NaN.

// By bits: of a comparison and a select, NVIDIA's compiler makes a maximum, which drops a NaN. Negative numbers are those
// from -0 to -infinity; beyond are NaNs.
fn relu(x: f32) -> f32 {
    return select(x, 0.0, bitcast<u32>(x) - 0x80000000u <= 0x7f800000u);
}

// Some drivers' tanh overflows beyond its flat part; 1 - tanh(10) is far below an ulp.
fn tanh_of(x: f32) -> f32 {
    return select(tanh(clamp(x, -10.0, 10.0)), x, is_nan(x));
}

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}

fn gelu_tanh(x: f32) -> f32 {
    return 0.5 * x * (1.0 + tanh_of(0.7978845608 * (x + 0.044715 * x * x * x)));
}

// erf within 2e-7: below 1 a polynomial in x^2 times x, above it 1 - exp(polynomial); both fitted by least squares at
// Chebyshev nodes.
fn erf(x: f32) -> f32 {
    let s = x * x;
    var small = 7.897515e-5;
    small = fma(small, s, -8.02417e-4);
    small = fma(small, s, 5.190036e-3);
    small = fma(small, s, -2.6854802e-2);
    small = fma(small, s, 0.11283612);
    small = fma(small, s, -0.3761263);
    small = fma(small, s, 1.1283792) * x;
    let t = min(abs(x), 4.0);
    var large = -2.1797379e-5;
    large = fma(large, t, 4.426889e-4);
    large = fma(large, t, -4.2115068e-3);
    large = fma(large, t, 2.522766e-2);
    large = fma(large, t, -0.10845045);
    large = fma(large, t, -0.6331891);
    large = fma(large, t, -1.1295947);
    large = 1.0 - exp(fma(large, t, 1.9163046e-4));
    return select(select(small, sign(x) * large, t > 1.0), x, is_nan(x));
}

fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
}
