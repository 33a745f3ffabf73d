//! `wgformer bench`: how fast, and how near to what the adapter can do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::bench::{Row, bench};
use wgformer::blocking::block_on;

use crate::device::{self, Device};
use crate::output::{Failure, note, print};

/// Kernels and a whole encoder, each checked and then timed; exit code 1 where something is slower than a saved run
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer bench
  wgformer bench --filter matmul --json
  wgformer bench --save before.jsonl
  wgformer bench --compare before.jsonl --threshold 5

Shapes are m x n x k for matmul and matvec, sequences x tokens x heads x head width for attention, sequences x tokens
for encoders. `share` is of the ceilings measured in the same run: reading where GB/s are given, else multiply-adds.")]
pub struct Args {
    /// Only items whose name contains this
    #[arg(long, value_name = "S")]
    filter: Option<String>,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
    /// Writes the JSON lines to a file
    #[arg(long, value_name = "F")]
    save: Option<PathBuf>,
    /// Compares the medians with a saved run on the same adapter
    #[arg(long, value_name = "F")]
    compare: Option<PathBuf>,
    /// How much slower, in percent, is too slow
    #[arg(long, value_name = "P", default_value_t = 10.0, requires = "compare")]
    threshold: f64,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let saved = args.compare.as_deref().map(read).transpose()?;
    let Device::Gpu(gpu) = device.open()? else {
        return Err(Failure::new(
            "bench times kernels on an adapter, and the CPU reference has none; leave out `--device cpu`, or install a \
             Vulkan driver",
        ));
    };
    let mut printed = match args.json {
        true => Ok(()),
        false => print(&format!(
            "{:<36} {:>10} {:>10} {:>7} {:>9} {:>8} {:>6}\n",
            "", "median ms", "least ms", "spread", "GFLOP/s", "GB/s", "share"
        )),
    };
    let mut show = |row: &Row| {
        if printed.is_ok() {
            printed = if args.json { line(row).and_then(|line| print(&line)) } else { print(&table(row)) };
        }
    };
    let rows = block_on(&gpu, bench(&gpu, args.filter.as_deref(), &mut show))?;
    printed?;
    if let Some(path) = &args.save {
        let lines = rows.iter().map(line).collect::<Result<String, _>>()?;
        std::fs::write(path, lines).map_err(|e| wgformer::Error::io(path, e))?;
    }
    let slower = saved.map_or(Ok(false), |saved| compare(&rows, &saved, &args))?;
    Ok(if slower { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn line(row: &Row) -> Result<String, Failure> {
    Ok(serde_json::to_string(row).map_err(|e| Failure::new(e.to_string()))? + "\n")
}

fn table(row: &Row) -> String {
    let number = |value: Option<f64>, digits: usize| value.map_or_else(String::new, |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{:.0}%", 100.0 * v));
    format!(
        "{:<36} {:>10} {:>10} {:>7} {:>9} {:>8} {:>6}\n",
        row.name,
        number(row.ms, 4),
        number(row.min, 4),
        percent(row.spread),
        number(row.gflops, 1),
        number(row.gbps, 2),
        percent(row.share)
    )
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
