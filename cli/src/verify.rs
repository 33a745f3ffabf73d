//! `wgformer verify`: the proof, on this machine.

use std::process::ExitCode;

use indicatif::ProgressBar;
use wgformer::Context;
use wgformer::blocking::block_on;
use wgformer::verify::{Progress, Report, Share, verify_cpu, verify_share};

use crate::device::{self, Device};
use crate::output::{Failure, json, print, progress};

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
    let report: Report = match opened {
        Device::Gpu(gpu) => on_devices(&devices(gpu, device)?, filter, &bar)?,
        Device::Cpu => verify_cpu(filter, &mut |p| {
            bar.set_length(p.total as u64);
            bar.set_position(p.done as u64);
            bar.set_message(format!("{:<9}", p.op));
        })?,
    };
    bar.finish_and_clear();
    match args.json {
        true => print(&json(&report)?)?,
        false => print(&report.to_string())?,
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A device of a software adapter for each core: see [`Share`].
fn devices(gpu: Context, device: &device::Args) -> Result<Vec<Context>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let more = if gpu.caps().cpu { cores - 1 } else { 0 };
    let mut devices = vec![gpu];
    for _ in 0..more {
        devices.extend(device.choose()?.gpu().cloned());
    }
    Ok(devices)
}

/// Each device verifies a share.
fn on_devices(devices: &[Context], filter: Option<&str>, bar: &ProgressBar) -> Result<Report, Failure> {
    let share = |index: usize, gpu: &Context| {
        let mut done = 0;
        let mut show = |p: Progress<'_>| {
            if index == 0 {
                bar.set_length((p.total * devices.len()) as u64);
                bar.set_message(format!("{:<9}", p.op));
            }
            bar.inc(p.done.saturating_sub(done) as u64);
            done = p.done;
        };
        block_on(gpu, verify_share(gpu, filter, Share { index, of: devices.len() }, &mut show))
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            devices.iter().enumerate().map(|(index, gpu)| scope.spawn(move || share(index, gpu))).collect();
        let mut whole: Option<Report> = None;
        for worker in workers {
            let part = worker.join().map_err(|_| Failure::new("a thread that verified has panicked"))??;
            match &mut whole {
                Some(report) => report.merge(part),
                None => whole = Some(part),
            }
        }
        Ok(whole.unwrap_or_default())
    })
}
