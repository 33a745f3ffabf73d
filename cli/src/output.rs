//! What goes out: standard output that may be closed early, notes on standard error, and why a command failed.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Why a command did not finish.
#[derive(Debug)]
pub enum Failure {
    /// What to tell the user.
    Message(String),
    /// The reader of standard output has gone.
    Closed,
}

impl Failure {
    /// A failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

impl From<wgformer::Error> for Failure {
    fn from(error: wgformer::Error) -> Self {
        Self::Message(error.to_string())
    }
}

/// Writes to standard output and flushes, so that a reader has it at once.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Message(format!("standard output: {e}")),
    })
}

/// A value as JSON, with the end of the line.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string(value).map_err(|e| Failure::new(e.to_string()))? + "\n")
}

/// A line on standard error; where that is closed, nobody wants to know.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A message without line breaks.
pub fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A progress bar on standard error, seen on a terminal only; hidden when quiet.
pub fn progress(total: Option<u64>, what: &str, quiet: bool) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:30}] {pos}/{len} {elapsed}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} {msg} {elapsed}"),
    };
    styled(bar.with_message(what.to_owned()), template, quiet)
}

/// Likewise, for the bytes of files that come over the network.
pub fn transfer(quiet: bool) -> ProgressBar {
    styled(ProgressBar::new(0), "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}", quiet)
}

fn styled(bar: ProgressBar, template: &str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
