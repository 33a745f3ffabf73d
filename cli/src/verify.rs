//! `wgformer verify`: the proof, on this machine.

use std::process::ExitCode;

use wgformer::blocking::block_on;
use wgformer::verify::{Progress, Report, verify, verify_cpu};

use crate::device::{self, Device};
use crate::output::{Failure, print, progress};

/// Every kernel that this adapter can run, against the CPU reference; exit code 1 where something is wrong
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer verify
  wgformer verify --filter attention --adapter 0
  wgformer verify --device cpu      (judges the reference in f32 by f64; no GPU is tested)

The report is made to be pasted into a bug report.")]
pub struct Args {
    /// Only ops and models whose name contains this
    #[arg(long, value_name = "S")]
    filter: Option<String>,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let opened = device.open()?;
    let bar = progress(Some(0), "verifying", device.quiet);
    let filter = args.filter.as_deref();
    let mut show = |p: Progress<'_>| {
        bar.set_length(p.total as u64);
        bar.set_position(p.done as u64);
        bar.set_message(format!("{:<9}", p.op));
    };
    let report: Report = match &opened {
        Device::Gpu(gpu) => block_on(gpu, verify(gpu, filter, &mut show))?,
        Device::Cpu => verify_cpu(filter, &mut show)?,
    };
    bar.finish_and_clear();
    match args.json {
        true => print(&(serde_json::to_string(&report).map_err(|e| Failure::new(e.to_string()))? + "\n"))?,
        false => print(&report.to_string())?,
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
