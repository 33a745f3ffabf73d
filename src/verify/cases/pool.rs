use super::{Case, MANY, ROOM, SIZES, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::{Pool, View};
use crate::model::arch::PoolMode::{self, Cls, Last, Max, Mean};

/// One token, none, a few, more than a workgroup has on their way at a time.
const LENGTHS: [usize; 5] = [1, 0, 5, 300, 0];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &n in &SIZES {
        cases.push(case(format!("{n} columns"), n, Mean, true));
    }
    // As many columns as whole workgroups have.
    cases.push(case("plain, 64 columns".into(), 64, Mean, false));
    for row in pairwise(&[4, 2]) {
        let (mode, normalize) = ([Mean, Cls, Max, Last][row[0]], row[1] == 1);
        let name = format!("{mode:?} normalize {normalize}");
        cases.push(case(name, 67, mode, normalize).special("x", 3, 66, f32::NAN).odd());
    }
    for size in [1e4, 1e-20] {
        cases.push(case(format!("x around {size:e}"), 97, Mean, true).around("x", 0.0, size));
        cases.push(case(format!("plain, x around {size:e}"), 97, Max, false).around("x", 0.0, size));
    }
    let op = Pool { x: matrix(MANY, 3), y: matrix(ROOM, 3), mode: Mean, normalize: false };
    cases.push(Case::new("many sequences", op, Step::packed(&[1; MANY])).large());
    cases
}

fn pool(cols: usize, mode: PoolMode, normalize: bool) -> Pool<View> {
    let tokens = LENGTHS.iter().sum();
    Pool { x: matrix(tokens, cols), y: matrix(LENGTHS.len(), cols), mode, normalize }
}

fn case(name: String, cols: usize, mode: PoolMode, normalize: bool) -> Case {
    Case::new(name, pool(cols, mode, normalize), Step::packed(&LENGTHS))
}
