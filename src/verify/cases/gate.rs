use super::{Case, ROOM, SIZES, matrix};
use crate::kernel::{Gate, View};
use crate::model::arch::Activation::{self, Gelu, GeluTanh, None as Plain, Relu, Silu, Tanh};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&n| Case::rows(format!("{n} columns"), gate(3, n, Silu))).collect();
    cases.push(Case::rows("256 columns, whole workgroups", gate(3, 256, Silu)));
    // What comes after a row is not written.
    cases.push(Case::rows("131 columns, with gaps", gate(3, 131, Silu)).odd());
    for act in [Plain, Relu, Gelu, GeluTanh, Silu, Tanh] {
        for size in [3.0, 1e4, 1e-20] {
            let case = Case::rows(format!("{act:?}, x around {size:e}"), gate(5, 67, act));
            cases.push(case.around("x", 0.0, size).special("x", 2, 3, f32::NAN).special("x", 3, 70, f32::NAN).odd());
        }
    }
    // The first bits beyond all numbers, and the last that are one.
    for (act, infinity, nan) in [(Relu, f32::NEG_INFINITY, 0x7fff_ffff), (Tanh, f32::INFINITY, 0x7f80_0001)] {
        let case = Case::rows(format!("{act:?} at its bounds"), gate(3, 67, act)).special("x", 0, 1, infinity);
        let [nan, negative] = [nan, 0xff80_0001].map(f32::from_bits);
        cases.push(case.special("x", 1, 1, nan).special("x", 2, 1, negative));
    }
    cases.push(Case::many(gate(ROOM, 3, Relu)));
    cases.push(Case::rows("no rows", gate(0, 4, Relu)));
    cases
}

fn gate(rows: usize, cols: usize, act: Activation) -> Gate<View> {
    Gate { x: matrix(rows, 2 * cols), y: matrix(rows, cols), act }
}
