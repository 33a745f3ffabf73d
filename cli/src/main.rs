//! The command line of wgformer: `wgformer --help`.

mod answer;
mod attend;
mod bench;
mod builtin;
mod chat;
mod classify;
mod device;
mod embed;
mod fill_mask;
mod forward;
mod generate;
mod hush;
mod info;
mod input;
mod kept;
mod output;
mod plan;
mod rerank;
mod source;
mod tag;
mod task;
mod translate;
mod verify;
mod wgsl;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::Failure;

/// Transformers from hand-written WGSL kernels, on any adapter that wgpu reaches.
///
/// Exit codes: 0 all right; 1 `verify` or `bench` found something wrong, or `bench --compare` something slower; 2 bad
/// input, or it could not be run.
#[derive(Parser)]
#[command(name = "wgformer", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    device: device::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Translate(translate::Args),
    Generate(generate::Args),
    Embed(embed::Args),
    #[command(visible_alias = "similarity")]
    Rerank(rerank::Args),
    FillMask(fill_mask::Args),
    Classify(classify::Args),
    Tag(tag::Args),
    Answer(answer::Args),
    Forward(forward::Args),
    Attend(attend::Args),
    Verify(verify::Args),
    Info(info::Args),
    Plan(plan::Args),
    Bench(bench::Args),
    Wgsl(wgsl::Args),
}

fn main() -> ExitCode {
    hush::hush();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Translate(args) => translate::run(&cli.device, args),
        Command::Generate(args) => generate::run(&cli.device, args),
        Command::Embed(args) => embed::run(&cli.device, args),
        Command::Rerank(args) => rerank::run(&cli.device, args),
        Command::FillMask(args) => fill_mask::run(&cli.device, args),
        Command::Classify(args) => classify::run(&cli.device, args),
        Command::Tag(args) => tag::run(&cli.device, args),
        Command::Answer(args) => answer::run(&cli.device, args),
        Command::Forward(args) => forward::run(&cli.device, args),
        Command::Attend(args) => attend::run(&cli.device, args),
        Command::Verify(args) => verify::run(&cli.device, args),
        Command::Info(args) => info::run(&cli.device, args),
        Command::Plan(args) => plan::run(&cli.device, args),
        Command::Bench(args) => bench::run(&cli.device, args),
        Command::Wgsl(args) => wgsl::run(&cli.device, args),
    };
    kept::save();
    match result {
        Ok(code) => code,
        // Whoever read our output has had enough.
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Message(message)) => {
            output::note(&format!("error: {}", output::one_line(&message)));
            ExitCode::from(2)
        }
    }
}
