//! `cargo xtask mutants`: how good the proof is. Each line of each kernel is broken in every way that the operators know,
//! one mistake at a time, and `verify`'s own cases must notice.

mod operators;
mod report;
mod reviewed;
mod runner;
mod wgsl;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use operators::Mutant;
use report::Report;
use runner::{Runner, Verdict};

/// The kernels and what they are linked with; `shaders/bench` is only measured.
const FOLDERS: [&str; 2] = ["shaders", "shaders/parts"];
/// The mutants that were reviewed.
const LIST: &str = "xtask/equivalent.txt";
/// A case takes seconds; a mutant's that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);
const USAGE: &str = "usage: cargo xtask mutants [--filter S] [--seed N] [--sample N]";

/// What is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Mutants whose `FILE.wgsl:LINE OPERATOR` contains it.
    pub filter: Option<String>,
    /// What is drawn.
    pub seed: u64,
    /// Draws so many; all otherwise.
    pub sample: Option<usize>,
}

impl Options {
    pub fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in args.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value; {USAGE}", pair[0])) };
            let number = || value.parse().map_err(|_| format!("{name} needs a whole number, not {value:?}; {USAGE}"));
            match *name {
                "--filter" => options.filter = Some((*value).into()),
                "--seed" => options.seed = number()?,
                "--sample" => options.sample = Some(number()? as usize),
                _ => return Err(format!("no option {name}; {USAGE}")),
            }
        }
        match options.sample {
            Some(0) => Err(format!("--sample 0 runs nothing; {USAGE}")),
            _ => Ok(options),
        }
    }
}

/// A file of kernels: its name without the extension, its text, its mutants.
struct Source {
    name: String,
    text: String,
    mutants: Vec<Mutant>,
}

/// Runs mutants on the driver that `prepare` pins a command to; an error where some survive unexplained.
pub fn run(options: &Options, features: &str, prepare: &(dyn Fn(&mut Command) + Sync)) -> Result<(), String> {
    let sources = sources()?;
    let reviewed = std::fs::read_to_string(LIST).map_err(|e| format!("{LIST}: {e}"))?;
    let entries = reviewed::parse(&reviewed).map_err(|e| format!("{LIST}: {e}"))?;
    let chosen = choose(&sources, options)?;
    let program = build(features)?;
    let start = || {
        let mut command = Command::new(&program);
        // Mesa: what is compiled runs once, so neither keep it nor optimise it.
        command.arg("serve").env("MESA_SHADER_CACHE_DISABLE", "true").env("GALLIVM_PERF", "nopt");
        prepare(&mut command);
        Runner::start(&mut command, LIMIT)
    };
    println!("xtask: {} mutants", chosen.len());
    let began = Instant::now();
    let verdicts = judge(&chosen, &start)?;
    let report = Report::new(&sources, &chosen, &verdicts, &entries);
    print!("{report}");
    println!("xtask: {} mutants took {:.0} s", chosen.len(), began.elapsed().as_secs_f64());
    report.verdict()
}

fn sources() -> Result<Vec<Source>, String> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let files =
            std::fs::read_dir(folder).map_err(|e| format!("{folder}: {e}; run this at the repository's root"))?;
        for path in
            files.filter_map(|file| Some(file.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "wgsl"))
        {
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = Path::new(folder)
                .join(&*stem)
                .strip_prefix("shaders")
                .map_or_else(|_| stem.to_string(), |p| p.to_string_lossy().replace('\\', "/"));
            all.push(Source { mutants: operators::mutants(&name, &text), name, text });
        }
    }
    all.sort_by(|a, b| (a.name.contains('/'), &a.name).cmp(&(b.name.contains('/'), &b.name)));
    Ok(all)
}

/// A mutant and its file.
type Chosen<'a> = (&'a Source, &'a Mutant);

fn choose<'a>(sources: &'a [Source], options: &Options) -> Result<Vec<Chosen<'a>>, String> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let all = sources.iter().flat_map(|source| source.mutants.iter().map(move |mutant| (source, mutant)));
    let mut chosen: Vec<_> = all.filter(|(_, mutant)| mutant.place().contains(filter)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = sources.iter().map(|s| s.name.as_str()).collect();
        return Err(format!(
            "no mutant's FILE.wgsl:LINE OPERATOR contains {filter:?}; the files are {}",
            names.join(", ")
        ));
    }
    if let Some(count) = options.sample {
        draw(&mut chosen, count, options.seed);
    }
    Ok(chosen)
}

/// Keeps so many, in their order, the same for the same seed.
fn draw<T>(all: &mut Vec<T>, count: usize, seed: u64) {
    let mut state = seed;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<(u64, usize)> = (0..all.len()).map(|i| (random(), i)).collect();
    order.sort_unstable();
    let kept: std::collections::HashSet<usize> = order.iter().take(count).map(|(_, i)| *i).collect();
    let mut number = 0..;
    all.retain(|_| number.next().is_some_and(|i| kept.contains(&i)));
}

/// Builds the program that runs mutants, and says where it is.
fn build(features: &str) -> Result<String, String> {
    let mut cargo = crate::cargo(&["test", "--workspace", "--features", features, "--test", "mutants", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = cargo.output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("the runner of mutants does not build ({})", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages.lines().filter(|line| line.contains(r#""name":"mutants""#));
    let path = built.filter_map(|line| line.split_once(r#""executable":""#)?.1.split('"').next()).next_back();
    path.map(|path| path.replace(r"\\", r"\")).ok_or_else(|| "cargo named no runner of mutants".into())
}

/// A verdict for each mutant, from as many children as the machine has cores.
fn judge(chosen: &[Chosen<'_>], start: &(impl Fn() -> Result<Runner, String> + Sync)) -> Result<Vec<Verdict>, String> {
    let next = Mutex::new(chosen.iter().enumerate());
    let verdicts = Mutex::new(vec![None; chosen.len()]);
    let work = || -> Result<(), String> {
        let mut runner = None;
        loop {
            let Some((i, (source, mutant))) = lock(&next).next() else { return Ok(()) };
            let mut ready = match runner.take() {
                Some(ready) => ready,
                None => start()?,
            };
            let verdict = ready.run(&source.name, &mutant.apply(&source.text));
            let verdict = verdict.inspect_err(|_| lock(&next).by_ref().for_each(drop))?;
            match verdict {
                Verdict::Hung | Verdict::Lost => eprintln!("xtask: {verdict:?} by {}", mutant.place()),
                _ => runner = Some(ready),
            }
            if verdict == Verdict::Survived {
                eprintln!("xtask: {} survives", mutant.place());
            }
            lock(&verdicts)[i] = Some(verdict);
        }
    };
    std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, |n| n.get()).min(chosen.len());
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked".to_owned())?)
    })?;
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdicts.into_iter().collect::<Option<_>>().ok_or_else(|| "not every mutant was run".into())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_refused() {
        let options = Options::parse(&["--filter", "mask", "--sample", "5", "--seed", "7"]).expect("options");
        assert_eq!(options, Options { filter: Some("mask".into()), seed: 7, sample: Some(5) });
        for (args, want) in [
            (&["--filter"][..], "needs a value"),
            (&["--sample", "x"], "whole number"),
            (&["--sample", "0"], "runs nothing"),
            (&["--all", "1"], "no option"),
        ] {
            let error = Options::parse(args).expect_err("no options");
            assert!(error.contains(want) && error.contains("usage:"), "{error}");
        }
    }

    #[test]
    fn a_sample_is_drawn_by_its_seed() {
        let drawn = |seed| {
            let mut all: Vec<usize> = (0..100).collect();
            draw(&mut all, 10, seed);
            all
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).len() == 10 && drawn(1).is_sorted());
    }

    #[test]
    fn a_filter_that_finds_nothing_names_the_files() {
        let mutants = operators::mutants("parts/f", "const A = 1u;\n");
        let sources = [Source { name: "parts/f".into(), text: String::new(), mutants }];
        let with = |filter: &str| Options { filter: Some(filter.into()), ..Options::default() };
        assert_eq!(choose(&sources, &with("f.wgsl:1 literal")).map(|c| c.len()), Ok(2));
        assert!(choose(&sources, &with("mask")).is_err_and(|e| e.contains("\"mask\"; the files are parts/f")));
    }
}
