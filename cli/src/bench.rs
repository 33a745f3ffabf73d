//! `wgformer bench`: how fast, and how near to what the adapter can do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::Context;
use wgformer::bench::{Contest, Row, bench, contests, items};
use wgformer::blocking::block_on;

use crate::device::{self, Device};
use crate::output::{Failure, json, note, one_line, print};

/// Kernels and whole models, checked and then timed; exit code 1 where one is wrong, or slower than in a saved run
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer bench
  wgformer bench --filter matmul --json
  wgformer bench --filter encoder --ops
  wgformer bench --filter decode/opus-mt
  wgformer bench --candidates --filter minilm
  wgformer bench --save before.jsonl
  wgformer bench --compare before.jsonl --threshold 5

Shapes: matmul and matvec m x n x k; attention heads x head width / sequences x tokens; encoders sequences x tokens, or 32
sequences of 1 to 200 tokens, packed (`mixed`) or padded to 200; prefill a prompt's tokens (an encoder-decoder's source),
decode and beam4 the keys of a step for one sequence or four beams.
Rates are of the least times. `share` is of this run's ceilings: reading or copying where GB/s are given, else
multiply-adds; what fits a cache may exceed them. `x plain` tells how many times as fast as the simplest kernel for the
same problem (`plain/..`: an invocation for each output or row, over buffers) an op is. --compare looks at medians.")]
pub struct Args {
    /// Only items whose name contains this
    #[arg(long, value_name = "S")]
    filter: Option<String>,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
    /// Splits models by op
    #[arg(long)]
    ops: bool,
    /// Times the kernels of each tier against one another instead, for the ops of encoders' layers
    #[arg(long, conflicts_with_all = ["ops", "save", "compare"])]
    candidates: bool,
    /// Writes the JSON lines to a file
    #[arg(long, value_name = "F")]
    save: Option<PathBuf>,
    /// Compares the medians with a saved run on the same adapter
    #[arg(long, value_name = "F")]
    compare: Option<PathBuf>,
    /// How much slower, in percent, is too slow
    #[arg(long, value_name = "P", default_value_t = 10.0, requires = "compare", value_parser = percent)]
    threshold: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a number of percent, 0 or more".into()),
    }
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let saved = args.compare.as_deref().map(read).transpose()?;
    // Whether the file can be written is known now, not after the work.
    args.save.as_deref().map(writable).transpose()?;
    let Device::Gpu(gpu) = device.open()? else {
        return Err(Failure::new(
            "bench times kernels on an adapter, and the CPU reference has none; leave out `--device cpu`, or install a \
             Vulkan driver (Debian and Ubuntu: `apt-get install mesa-vulkan-drivers`, a software one)",
        ));
    };
    if args.candidates {
        return candidates(&gpu, &args);
    }
    let mut table = Table { json: args.json, begun: false, printed: Ok(()) };
    let mut show = |row: &Row| table.show(row);
    let Some(rows) = right(block_on(&gpu, bench(&gpu, args.filter.as_deref(), args.ops, &mut show)))? else {
        return Ok(ExitCode::from(1));
    };
    table.printed?;
    if !args.json {
        print(&summary(&rows, gpu.caps().cpu))?;
    }
    if let Some(path) = &args.save {
        let lines = rows.iter().map(json).collect::<Result<String, _>>()?;
        std::fs::write(path, lines).map_err(|e| wgformer::Error::io(path, e))?;
    }
    let slower = saved.map_or(Ok(false), |saved| compare(&rows, &saved, &args))?;
    Ok(if slower { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Nothing where a kernel was wrong, which is told here.
fn right<T>(result: wgformer::Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Err(wrong @ wgformer::Error::Wrong { .. }) => {
            note(&format!("error: {}", one_line(&wrong.to_string())));
            Ok(None)
        }
        other => Ok(Some(other?)),
    }
}

/// Prints the kernels of each op, the one that plans take first, and how far that one is behind the fastest.
fn candidates(gpu: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let mut printed = Ok(());
    let mut show = |contest: &Contest| {
        let text = match args.json {
            true => json(contest),
            false => {
                let kernels = contest.kernels.iter().map(|(kernel, ms)| format!("{kernel} {ms:.4} ms"));
                let kernels = kernels.collect::<Vec<_>>().join(", ");
                Ok(format!("{:<40} {:>5.2}  {kernels}\n", contest.name, contest.behind()))
            }
        };
        if printed.is_ok() {
            printed = text.and_then(|text| print(&text));
        }
    };
    let Some(all) = right(block_on(gpu, contests(gpu, args.filter.as_deref(), &mut show)))? else {
        return Ok(ExitCode::from(1));
    };
    printed?;
    let slow = all.iter().filter(|contest| contest.behind() > 1.1).count();
    if !args.json {
        print(&format!("{slow} of {} ops have a kernel that is more than 10% faster than their first\n", all.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints rows as they come; what went wrong with that is told at the end.
struct Table {
    json: bool,
    begun: bool,
    printed: Result<(), Failure>,
}

impl Table {
    fn show(&mut self, row: &Row) {
        if self.printed.is_ok() {
            self.printed = self.print(row);
        }
    }

    fn print(&mut self, row: &Row) -> Result<(), Failure> {
        if self.json {
            return print(&json(row)?);
        }
        if !std::mem::replace(&mut self.begun, true) {
            let names = ["median ms", "least ms", "spread", "GFLOP/s", "GB/s", "share", "x plain"].map(str::to_owned);
            print(&columns("", &names))?;
        }
        let number = |value: Option<f64>, digits: usize| value.map_or_else(String::new, |v| format!("{v:.digits$}"));
        let percent = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{:.0}%", 100.0 * v));
        let (spread, share) = (percent(row.spread), percent(row.share));
        let (ms, min, gflops, gbps) =
            (number(row.ms, 4), number(row.min, 4), number(row.gflops, 1), number(row.gbps, 1));
        print(&columns(&row.name, &[ms, min, spread, gflops, gbps, share, number(row.plain, 1)]))
    }
}

fn columns(name: &str, [ms, min, spread, gflops, gbps, share, plain]: &[String; 7]) -> String {
    format!("{name:<36} {ms:>10} {min:>10} {spread:>7} {gflops:>8} {gbps:>7} {share:>6} {plain:>8}\n")
}

/// What encoders and prompts take beside what their matmuls would take at the rate of a large one, measured in the same
/// run, and what a token takes beside the matmuls of its step. A software adapter's times are also told as they would be on
/// a processor of a certain speed.
fn summary(rows: &[Row], software: bool) -> String {
    const RATE: &str = "matmul/f32/1024x1024x1024";
    let find = |name: &str| rows.iter().find(|row| row.name == name);
    let Some(ceiling) = find("ceiling/fma").and_then(|row| row.gflops) else { return String::new() };
    let rate = find(RATE).and_then(|row| row.gflops);
    let scaled = |value: f64, unit: &str| match software {
        true => format!("; {value:.1} {unit} if the FMA ceiling were 120 GFLOP/s"),
        false => String::new(),
    };
    let mut text = String::new();
    for item in items() {
        let Some((row, ms)) = find(item.name()).and_then(|row| Some((row, row.min?))) else { continue };
        let many = item.name().starts_with("encoder/") || item.name().starts_with("prefill/");
        if let (Some(gflops), true) = (rate, many) {
            let matmuls = item.matmul_flops() / gflops * 1e-6;
            text += &format!(
                "{}: {ms:.1} ms, {:.2} of it its matmuls at the rate of {RATE} ({matmuls:.1} ms); {:.1} ms if the FMA \
                 ceiling were 120 GFLOP/s\n",
                item.name(),
                matmuls / ms,
                ms * ceiling / 120.0
            );
        }
        let (Some(tokens), Some(bytes), Some(host)) = (row.tokens, row.bytes, row.host) else { continue };
        text +=
            &format!("{}: {tokens:.1} tokens/s, {:.1} MB a token, {host:.2} ms on the host", item.name(), bytes * 1e-6);
        if let Some(matvecs) = row.matvecs {
            text += &format!(", {:.2} times its matmuls alone ({matvecs:.2} ms)", ms / matvecs);
        }
        text += &format!("{}\n", scaled(tokens * 120.0 / ceiling, "tokens/s"));
    }
    text
}

/// A file that is there stays as it is; where none is, none is left.
fn writable(path: &Path) -> Result<(), Failure> {
    let there = path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|e| wgformer::Error::io(path, e))?;
    if !there {
        std::fs::remove_file(path).map_err(|e| wgformer::Error::io(path, e))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| wgformer::Error::io(path, e))?;
    let row = |(at, line): (usize, &str)| {
        let failed = |e: serde_json::Error| Failure::new(format!("{}: line {}: {e}", path.display(), at + 1));
        serde_json::from_str(line).map_err(failed)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

/// Tells what changed, on standard error where standard output has JSON; whether anything is too much slower.
fn compare(rows: &[Row], saved: &[Row], args: &Args) -> Result<bool, Failure> {
    let (mut common, mut slower) = (0, false);
    for row in rows {
        let before = saved.iter().find(|old| old.name == row.name && old.adapter == row.adapter);
        let (Some(now), Some(then)) = (row.ms, before.and_then(|old| old.ms)) else { continue };
        common += 1;
        let change = 100.0 * (now / then - 1.0);
        let verdict = if change > args.threshold { "  SLOWER" } else { "" };
        slower |= change > args.threshold;
        let text = format!("{:<36} {then:>10.4} -> {now:>10.4} ms {change:>+7.1}%{verdict}", row.name);
        match args.json {
            true => note(&text),
            false => print(&(text + "\n"))?,
        }
    }
    match common {
        0 => Err(Failure::new("the saved run has nothing in common with this one: no timed item on this adapter")),
        _ => Ok(slower),
    }
}
