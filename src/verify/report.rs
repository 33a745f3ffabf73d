//! What a verification found.

use std::fmt;

use serde::Serialize;

use super::compare::{Element, Fault, Outcome};

/// Which adapter was verified, in the driver's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// Vulkan, Metal, DX12, ..
    pub backend: String,
    /// The driver's name.
    pub driver: String,
    /// The driver's version.
    pub driver_info: String,
    /// Discrete, integrated, software.
    pub kind: String,
    /// Whether it keeps a NaN; where it does not, results that should be one are not judged.
    pub keeps_nan: bool,
}

/// One kernel of an op.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kernel {
    /// Body and tier.
    pub name: String,
    /// How many cases ran, counting checked and trusted modules each.
    pub runs: usize,
    /// Why this device cannot run it, where it cannot.
    pub unavailable: Option<String>,
}

/// The element nearest to its allowance (or farthest beyond).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// The kernel.
    pub kernel: String,
    /// The case.
    pub case: String,
    /// The element.
    pub element: Element,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Wrong {
    /// An element of an output.
    Output {
        /// The argument.
        argument: String,
        /// In which way.
        fault: Fault,
        /// Where, and by how much.
        element: Element,
    },
    /// An input is not what it was.
    Input {
        /// The argument.
        argument: String,
    },
    /// The op could not be run.
    Error {
        /// What was said.
        message: String,
    },
}

/// The first failure of an op.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The op.
    pub op: String,
    /// Body and tier of the kernel.
    pub kernel: String,
    /// Compiled with bounds checks.
    pub checked: bool,
    /// The case.
    pub case: String,
    /// What went wrong.
    pub wrong: Wrong,
}

/// One op's part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OpReport {
    /// Its name.
    pub op: String,
    /// Its kernels.
    pub kernels: Vec<Kernel>,
    /// How many cases it has.
    pub cases: usize,
    /// The worst error that is right, beside what is allowed.
    pub worst: Option<Worst>,
    /// How many runs failed.
    pub failures: usize,
    /// The first of them.
    pub first: Option<Failure>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// This crate's version.
    pub version: String,
    /// The adapter; `None` when no GPU was tested, only the reference.
    pub adapter: Option<Adapter>,
    /// The ops.
    pub ops: Vec<OpReport>,
    /// Whole models: their kernels are those of the production plan, their cases its steps.
    pub models: Vec<OpReport>,
    /// How long it took.
    pub seconds: f64,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// The op.
    pub op: &'a str,
    /// Cases done, of all ops.
    pub done: usize,
    /// Cases in all.
    pub total: usize,
}

impl Report {
    /// Takes in the report of another share of the same verification; shares run side by side, so the longest counts.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in [(&mut self.ops, other.ops), (&mut self.models, other.models)] {
            for part in theirs {
                match mine.iter_mut().find(|p| p.op == part.op) {
                    Some(same) => same.merge(part),
                    None => mine.push(part),
                }
            }
        }
        self.seconds = self.seconds.max(other.seconds);
    }

    fn parts(&self) -> impl Iterator<Item = &OpReport> {
        self.ops.iter().chain(&self.models)
    }

    /// Nothing is wrong, and something was verified.
    pub fn passed(&self) -> bool {
        let mut parts = self.parts().peekable();
        parts.peek().is_some() && parts.all(|op| op.failures == 0 && op.kernels.iter().any(|k| k.runs > 0))
    }
}

impl OpReport {
    fn merge(&mut self, other: Self) {
        for Kernel { name, runs, unavailable } in other.kernels {
            let kernel = self.kernel(&name);
            kernel.runs += runs;
            kernel.unavailable = kernel.unavailable.take().or(unavailable);
        }
        self.cases += other.cases;
        let element = |worst: &Option<Worst>| worst.as_ref().map(|w| w.element);
        let mine = element(&self.worst);
        if Element::worse(mine, element(&other.worst)) != mine {
            self.worst = other.worst;
        }
        self.failures += other.failures;
        self.first = self.first.take().or(other.first);
    }

    pub(super) fn kernel(&mut self, name: &str) -> &mut Kernel {
        let at = self.kernels.iter().position(|k| k.name == name).unwrap_or_else(|| {
            self.kernels.push(Kernel { name: name.into(), ..Kernel::default() });
            self.kernels.len() - 1
        });
        &mut self.kernels[at]
    }

    /// Takes in one output's outcome.
    pub(super) fn judge(&mut self, kernel: &str, case: &str, outcome: Outcome) {
        let before = self.worst.as_ref().map(|w| w.element);
        let worst = Element::worse(before, outcome.worst);
        if let (true, Some(element)) = (worst != before, worst) {
            self.worst = Some(Worst { kernel: kernel.into(), case: case.into(), element });
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.failures += 1;
        self.first.get_or_insert(failure);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = if self.checked { "checked" } else { "trusted" };
        write!(f, "{}, {}, {module}, case \"{}\": ", self.op, self.kernel, self.case)?;
        match &self.wrong {
            Wrong::Input { argument } => write!(f, "the input {argument} was changed"),
            Wrong::Error { message } => f.write_str(message),
            Wrong::Output { argument, fault, element: e } => {
                let Element { index, got, expected, error, allowed } = e;
                match fault {
                    Fault::Value => write!(
                        f,
                        "{argument}[{index}] is {got:e}, expected {expected:e}; off by {error:.2e}, allowed {allowed:.2e}"
                    ),
                    Fault::Missing => write!(f, "{argument}[{index}] was not written, expected {expected:e}"),
                    Fault::Stray => {
                        write!(f, "{argument}[{index}] was written ({got:e}), which the op must leave alone")
                    }
                    Fault::Length => write!(f, "{argument} has {got} elements, expected {expected}"),
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wgformer {}, {} {}", self.version, std::env::consts::OS, std::env::consts::ARCH)?;
        match &self.adapter {
            None => writeln!(f, ", no GPU was tested: the reference in f32 against f64")?,
            Some(a) => {
                writeln!(f, "\nadapter  {} ({}, {})", a.name, a.backend, a.kind)?;
                writeln!(f, "driver   {} {}", a.driver, a.driver_info)?;
                if !a.keeps_nan {
                    writeln!(f, "note     this adapter does not keep NaNs; results that should be NaN are not judged")?;
                }
            }
        }
        writeln!(
            f,
            "\n{:<10} {:<26} {:>5} {:>5}  {:>9} {:>9}  worst in",
            "op", "kernel", "cases", "runs", "error", "allowed"
        )?;
        for op in self.parts() {
            op_rows(f, op)?;
        }
        let runs: usize = self.parts().flat_map(|op| &op.kernels).map(|k| k.runs).sum();
        let failures: usize = self.parts().map(|op| op.failures).sum();
        let verdict = if self.passed() { "all right".into() } else { format!("{failures} WRONG") };
        writeln!(f, "\n{runs} runs in {:.1} s: {verdict}", self.seconds)?;
        for first in self.parts().filter_map(|op| op.first.as_ref()) {
            writeln!(f, "  first wrong: {first}")?;
        }
        Ok(())
    }
}

fn op_rows(f: &mut fmt::Formatter<'_>, op: &OpReport) -> fmt::Result {
    for (i, kernel) in op.kernels.iter().enumerate() {
        let name = if i == 0 { op.op.as_str() } else { "" };
        write!(f, "{name:<10} {:<26} ", kernel.name)?;
        if let (0, Some(why)) = (kernel.runs, &kernel.unavailable) {
            writeln!(f, "not on this device: {why}")?;
            continue;
        }
        write!(f, "{:>5} {:>5}", if i == 0 { op.cases.to_string() } else { String::new() }, kernel.runs)?;
        match &op.worst {
            Some(w) if w.kernel == kernel.name => {
                writeln!(f, "  {:>9.2e} {:>9.2e}  {}", w.element.error, w.element.allowed, w.case)?
            }
            _ => writeln!(f)?,
        }
    }
    Ok(())
}
