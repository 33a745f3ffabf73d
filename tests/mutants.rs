//! Runs mutants of kernels through `verify`'s cases: the child of `cargo xtask mutants`, which makes them.
//!
//! With `serve` it reads mutants, each a line with a file's name and a length and then that file's whole text, and answers
//! each with a line: `killed`, `survived`, `invalid`, `lost` or, where a case fails without a mutant, `broken`. Before each
//! case it names it, so that whoever waits knows of a case that does not end. Without arguments it tests itself.

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, Read, Write};

use wgformer::Context;
use wgformer::kernel::{ALL, Spec};
use wgformer::verify::{Failure, Trial, Wrong, cases, keeps_nan};

/// Cases with more elements come last, whatever they have killed.
const LARGE: usize = 1 << 17;

/// A case with one kernel.
#[derive(Clone, Copy)]
struct Unit {
    op: &'static str,
    case: usize,
    spec: Spec,
    large: bool,
    /// How much there is to compile.
    length: usize,
    kills: usize,
}

impl Unit {
    /// What comes first: what kills often for little.
    fn cost(&self) -> (bool, usize) {
        (self.large, self.length / (1 + self.kills))
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Killed(String),
    Survived,
    Invalid(String),
    Broken(String),
}

struct Runner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// Checked, without a mutant.
    plain: Context,
    keeps_nan: bool,
    trials: BTreeMap<&'static str, Vec<Trial>>,
    /// For each file, the cases of all kernels that it is linked into, in the order in which they are run.
    units: HashMap<String, Vec<Unit>>,
    /// What passes without a mutant.
    proven: HashSet<(&'static str, usize, Spec)>,
    say: fn(&str),
}

impl Runner {
    fn new(say: fn(&str)) -> Self {
        let (device, queue) = common::device();
        let plain = Context::checked(&device, &queue).expect("a device with the wanted limits");
        let keeps_nan = common::block_on(keeps_nan(&plain)).expect("the device runs");
        let trials = |op: &str| cases::of(op).into_iter().map(|case| Trial::new(&plain, case)).collect();
        let trials = ALL.iter().map(|&op| (op, trials(op))).collect();
        let (units, proven) = Default::default();
        Self { device, queue, plain, keeps_nan, trials, units, proven, say }
    }

    /// The cases of the kernels that a file is linked into, cheap ones first, those of a kernel together.
    fn units(&self, file: &str) -> Vec<Unit> {
        let mut all = Vec::new();
        let mut order = HashMap::new();
        for (&op, trials) in &self.trials {
            for (case, trial) in trials.iter().enumerate() {
                for spec in trial.specs().into_iter().filter(|spec| spec.files().contains(&file)) {
                    let next = order.len();
                    let number = *order.entry(spec).or_insert(next);
                    let large = trial.case().large || trial.elements() > LARGE;
                    let unit = Unit { op, case, spec, large, length: spec.source().len(), kills: 0 };
                    all.push(((unit.cost(), number, trial.elements()), unit));
                }
            }
        }
        all.sort_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, unit)| unit).collect()
    }

    /// Runs a file's text in its stead through all cases until one fails.
    fn judge(&mut self, file: &str, text: &str) -> wgformer::Result<Verdict> {
        let mut units = match self.units.remove(file) {
            Some(units) => units,
            None => self.units(file),
        };
        let verdict = self.run(&mut units, file, text);
        self.units.insert(file.into(), units);
        verdict
    }

    fn run(&mut self, units: &mut [Unit], file: &str, text: &str) -> wgformer::Result<Verdict> {
        let (name, text) = (file.to_owned(), text.to_owned());
        let patch = move |spec: &Spec, source| {
            if spec.files().contains(&name.as_str()) { spec.source_with(&name, &text) } else { source }
        };
        let gpu = Context::patched(&self.device, &self.queue, Box::new(patch))?;
        for at in 0..units.len() {
            let unit = units[at];
            match self.failure(&gpu, unit)? {
                None => {}
                Some(Failure { wrong: Wrong::Error { message }, .. }) => return Ok(Verdict::Invalid(message)),
                Some(failure) => {
                    units[at].kills += 1;
                    units.sort_by_key(Unit::cost);
                    return self.proven(unit, &failure);
                }
            }
        }
        if units.is_empty() {
            return Ok(Verdict::Broken(format!("no case runs a kernel with {file}.wgsl on this adapter")));
        }
        Ok(Verdict::Survived)
    }

    fn failure(&self, gpu: &Context, unit: Unit) -> wgformer::Result<Option<Failure>> {
        let trial = &self.trials[unit.op][unit.case];
        (self.say)(&format!("case {}", trial.case().name));
        common::block_on(trial.failure(gpu, &unit.spec, self.keeps_nan))
    }

    /// A mutant is killed by a case that passes without it.
    fn proven(&mut self, unit: Unit, failure: &Failure) -> wgformer::Result<Verdict> {
        let key = (unit.op, unit.case, unit.spec);
        if !self.proven.contains(&key) {
            if let Some(failure) = self.failure(&self.plain, unit)? {
                return Ok(Verdict::Broken(format!("without a mutant: {failure}")));
            }
            self.proven.insert(key);
        }
        Ok(Verdict::Killed(failure.to_string()))
    }
}

/// Mutants from stdin, until it ends.
fn serve() {
    let say = |line: &str| {
        println!("{}", line.replace('\n', " "));
        std::io::stdout().flush().expect("somebody listens");
    };
    let mut runner = Runner::new(say);
    let mut input = std::io::stdin().lock();
    say("ready");
    loop {
        let mut head = String::new();
        if input.read_line(&mut head).expect("a readable stdin") == 0 {
            return;
        }
        let (file, length) = head.trim().split_once(' ').expect("a file and a length");
        let mut text = vec![0; length.parse().expect("a length")];
        input.read_exact(&mut text).expect("a text");
        let text = String::from_utf8(text).expect("UTF-8");
        match runner.judge(file, &text) {
            Ok(Verdict::Killed(why)) => say(&format!("killed {why}")),
            Ok(Verdict::Survived) => say("survived"),
            Ok(Verdict::Invalid(why)) => say(&format!("invalid {why}")),
            Ok(Verdict::Broken(why)) => say(&format!("broken {why}")),
            Err(error) => return say(&format!("lost {error}")),
        }
    }
}

/// What is whole survives; one mistake is killed; what is no WGSL is invalid; a file that nothing is linked with is told.
fn test() {
    let text = std::fs::read_to_string("shaders/gate.wgsl").expect("shaders/gate.wgsl");
    let mut runner = Runner::new(|_| {});
    let mut judge = |file: &str, text: &str| runner.judge(file, text).expect("the device runs");
    assert_eq!(judge("gate", &text), Verdict::Survived);
    let broken = text.replace("activate(a[e])", "a[e]");
    assert!(broken != text && matches!(judge("gate", &broken), Verdict::Killed(why) if why.contains("gate (")));
    assert!(matches!(judge("gate", &text.replace("let x0", "let x1")), Verdict::Invalid(_)));
    assert!(matches!(judge("nowhere", &text), Verdict::Broken(_)));
    println!("the runner of mutants: ok");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        _ => test(),
    }
}
